import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tests.losses import golden
from topodl.kernels.masks.thinning import thin
from topodl.losses import CbDiceLoss, cbdice_loss


@pytest.mark.parametrize("iterations", [5, 30])
@pytest.mark.parametrize("detection", ["EulerCharacteristic", "Boolean"])
def test_skeleton_equals_mentens(shared, iterations, detection):
    stored = golden.load(shared, "menten_skeleton")[f"skel_{detection}_{iterations}"]
    expected = np.unpackbits(stored)[: 2 * 64 * 64].reshape(2, 64, 64).astype(bool)
    _, labels = golden.case(shared, "A")
    found = np.stack([thin(mask, iterations) for mask in (labels == 1).numpy()])
    np.testing.assert_array_equal(found, expected)


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "A")
    golden.check(shared, "tm_cbdice", CbDiceLoss(variant="topomortar")(logits, labels), logits)


@pytest.mark.parametrize(
    ("name", "skeleton", "iterations"),
    [("cbdice_orig_topo", "thinned", 5), ("cbdice_orig_morph", "morphological", 10)],
)
def test_equals_its_authors_code(shared, name, skeleton, iterations):
    logits, labels = golden.case(shared, "A")
    value = cbdice_loss(
        logits, labels, base_weight=0.0, over_batch=True, skeleton=skeleton, iterations=iterations
    )
    golden.check(shared, name, value, logits)


def naive_thin(mask, corner):
    """Try every pixel of every grid in every iteration, simple by counting components before and after."""
    image = np.pad(mask, 1)
    near = ndimage.generate_binary_structure(mask.ndim, mask.ndim)
    fore = near if corner else ndimage.generate_binary_structure(mask.ndim, 1)
    back = ndimage.generate_binary_structure(mask.ndim, 1) if corner else near

    def pieces(around, structure):
        labels, _ = ndimage.label(around, structure)
        centre = tuple(1 for _ in around.shape)
        reach = labels[tuple(slice(0, 3) for _ in centre)] * structure.reshape(around.shape)
        return len(set(reach[reach > 0].tolist()))

    def simple(at):
        around = image[tuple(slice(i - 1, i + 2) for i in at)].copy()
        around[tuple(1 for _ in at)] = False
        outside = ~around
        outside[tuple(1 for _ in at)] = False
        return pieces(around, fore) == 1 and pieces(outside, back) == 1

    while True:
        before = image.copy()
        ends = ndimage.convolve(image.astype(int), near.astype(int), mode="constant") - 1 <= 1
        for grid in range(2**mask.ndim):
            for at in np.argwhere(image):
                parity = sum((int(i) & 1) << a for a, i in enumerate(at))
                if parity == grid and not ends[tuple(at)] and simple(at):
                    image[tuple(at)] = False
        if (image == before).all():
            return image[tuple(slice(1, -1) for _ in mask.shape)]


@given(st.integers(0, 10**6), st.booleans())
def test_thinning_equals_its_slow_twin(seed, corner):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.standard_normal((11, 14)), 1) > 0
    np.testing.assert_array_equal(thin(mask, corner=corner), naive_thin(mask, corner))


@pytest.mark.parametrize("corner", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_thinning_keeps_the_topology_of_a_volume(seed, corner):
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((9, 10, 11)), 1.5) > 0
    line = thin(mask, corner=corner)
    for image, full in ((0, corner), (1, not corner)):
        structure = ndimage.generate_binary_structure(3, 3 if full else 1)
        counts = [
            ndimage.label(np.pad(~m if image else m, 1, constant_values=bool(image)), structure)[1]
            for m in (mask, line)
        ]
        assert counts[0] == counts[1]
    assert line.sum() < mask.sum()
    assert (line <= mask).all()


def test_gradcheck():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 8, 7, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (2, 8, 7))
    assert torch.autograd.gradcheck(lambda z: cbdice_loss(z, labels, reduction="none"), logits)
