import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.masks.test_thinning import blobs
from tests.losses import golden
from topodl.losses import ClDiceLoss, ce_dice_loss, cldice_loss
from topodl.losses._input import SegmentationBatch
from topodl.losses._soft_skeleton import _erode, _pooled_skeleton, cross_depth, soft_skeleton
from topodl.losses.cldice import label_skeleton, skeleton_sums


@pytest.mark.parametrize(("name", "iterations"), [("tm_cldice", None), ("tm_cldice_it10", 10)])
def test_equals_the_code_of_the_study(shared, name, iterations):
    logits, labels = golden.case(shared, "A")
    golden.check(
        shared, name, ClDiceLoss(variant="topomortar", iterations=iterations)(logits, labels), logits
    )


def sums(logits, labels, iterations, include_background=False):
    batch = SegmentationBatch.read("test", logits, labels)
    channels = batch.channels(include_background)
    return skeleton_sums(batch, channels, None, iterations, include_background, None, "paper")


def cldice_of(s, smooth=1.0, harmonic=0.0):
    precision, sensitivity = (s[0] + smooth) / (s[1] + smooth), (s[2] + smooth) / (s[3] + smooth)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity + harmonic)


def test_soft_cldice_equals_monai(shared):
    logits, labels = golden.case(shared, "A")
    value = cldice_of([s[:, 0] for s in sums(logits, labels, 3)], harmonic=1e-4).mean()
    golden.check(shared, "monai_softcldice", value, logits)


def test_dice_and_cldice_equal_monai(shared):
    logits, labels = golden.case(shared, "A")
    value = cldice_loss(logits, labels, iterations=3, ce_weight=0.0)
    # MONAI adds 1e-4 to the denominator of the harmonic mean
    s = [v[:, 0] for v in sums(logits, labels, 3)]
    value = value + 0.5 * (cldice_of(s, harmonic=1e-4) - cldice_of(s)).mean()
    golden.check(shared, "monai_softdicecldice", value, logits)


def test_soft_cldice_equals_its_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    value = cldice_of([s.sum() for s in sums(logits, labels, 10)])
    golden.check(shared, "jocpae_soft_cldice", value, logits)


def test_dice_and_cldice_equal_their_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    cl = cldice_of([s.sum() for s in sums(logits, labels, 10, include_background=True)])
    p = logits.softmax(1)
    y = torch.stack([labels == 0, labels == 1], 1)
    dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
    golden.check(shared, "jocpae_soft_dice_cldice", 0.5 * dice + 0.5 * cl, logits)


def test_cldice_equals_topolosses(shared):
    logits, labels = golden.case(shared, "A")
    # its Dice counts the background, its clDice does not
    dice = 1 + ce_dice_loss(logits, labels, ce_weight=0.0)
    value = dice + cldice_loss(logits, labels, iterations=3, smooth=1e-5, base_weight=0.0)
    golden.check(shared, "tl_cldice", value, logits)


@pytest.mark.parametrize("width", [3, 11, 31])
def test_a_false_blob_on_an_empty_label_costs_and_is_pulled_down(width):
    labels = torch.zeros(1, 48, 48, dtype=torch.long)
    logits = torch.zeros(1, 2, 48, 48)
    logits[:, 1] = -3.0
    logits[:, 1, 8 : 8 + width, 8 : 8 + width] = 3.0
    logits.requires_grad_()
    value = cldice_loss(logits, labels, base_weight=0.0, topology_weight=1.0)
    value.backward()
    assert value.item() > 0.25
    assert logits.grad.abs().max().item() > 1e-3


def test_two_lines_that_are_run_together_cost():
    labels = torch.zeros(1, 40, 40, dtype=torch.long)
    labels[:, [10, 14], 4:36] = 1
    logits = torch.zeros(1, 2, 40, 40)
    logits[:, 1] = -20.0
    logits[:, 1, 10:15, 4:36] = 20.0
    values = [
        cldice_loss(logits, labels, base_weight=0.0, topology_weight=1.0, iterations=n).item()
        for n in (None, 3)
    ]
    assert min(values) > 0.9
    assert values[0] == pytest.approx(values[1], rel=1e-5)


TERM = {"base_weight": 0.0, "topology_weight": 1.0}


def certain(mask):
    return torch.stack([~mask, mask], 1).double() * 60 - 30


def corners(whole):
    """Everything but one corner pixel, or everything."""
    mask = torch.ones(1, 100, 100, dtype=torch.bool)
    mask[:, 0, 0] = whole
    return mask


@pytest.mark.parametrize("whole", [True, False])
def test_foreground_everywhere_is_not_free(whole):
    labels = torch.zeros(1, 100, 100, dtype=torch.long)
    labels[:, [20, 60], 4:96] = 1
    logits = certain(corners(whole)).requires_grad_()
    value = cldice_loss(logits / 10, labels, **TERM)
    value.backward()
    assert value.item() > 0.9
    assert (logits.grad[:, 1][labels == 0] > 0).double().mean() > 0.3
    assert cldice_loss(certain(labels == 1), labels, **TERM).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("iterations", [None, 3])
def test_a_label_that_fills_the_image_is_found_or_missed(iterations):
    labels = torch.ones(1, 30, 30, dtype=torch.long)
    full, empty = (certain(labels == c) for c in (1, 0))
    values = [cldice_loss(z, labels, iterations=iterations, **TERM).item() for z in (full, empty)]
    np.testing.assert_allclose(values, [0, 1], atol=0.01)
    nothing = torch.zeros_like(labels)
    assert cldice_loss(full, nothing, iterations=iterations, **TERM).item() > 0.99


def even_tube():
    mask = np.zeros((20, 20, 20), bool)
    mask[10:12, 10:12, 4:16] = True
    return mask


def diagonal():
    mask = np.zeros((30, 30), bool)
    rows = np.arange(2, 27)
    mask[rows, rows] = mask[rows, rows + 1] = True
    return mask


@pytest.mark.parametrize("mask", [even_tube(), diagonal()])
@pytest.mark.parametrize("spacing", [None, 2.0])
def test_lines_of_two_pixels_keep_their_length(mask, spacing):
    line = label_skeleton(mask.astype(np.int16), spacing=spacing)["skeleton"] > 0.5
    assert (line <= mask).all()
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        np.testing.assert_array_equal(line.any(others), mask.any(others))


@given(st.integers(0, 10**6), st.sampled_from([(13, 17), (7, 8, 9)]), st.floats(0.4, 3.0), st.booleans())
def test_what_is_there_has_a_skeleton(seed, shape, sigma, unequal):
    mask = blobs(seed, shape, sigma)
    spacing = (3.0, *[1.0] * (len(shape) - 1)) if unequal else None
    line = label_skeleton(mask.astype(np.int16), spacing=spacing)["skeleton"]
    assert (line > 0.5).any() == mask.any()
    assert ((line == 0) | mask).all()


@given(
    st.integers(0, 10**6),
    st.sampled_from([(9, 14), (5, 6, 7)]),
    st.integers(0, 2),
    st.integers(2, 4),
    st.sampled_from([None, 2]),
)
def test_pixels_that_are_cut_into_several_keep_the_value(seed, shape, axis, parts, iterations):
    generator = torch.Generator().manual_seed(seed)
    axis %= len(shape)
    labels = torch.from_numpy(blobs(seed, shape, 1.5)).long()[None]
    logits = (
        torch.randn(1, 2, *shape, generator=generator, dtype=torch.float64) + 2 * certain(labels == 1) / 60
    )
    fine = logits.repeat_interleave(parts, axis + 2).requires_grad_()
    logits.requires_grad_()
    sides = [1.0 / parts if a == axis else 1.0 for a in range(len(shape))]
    whole = cldice_loss(logits, labels, iterations=iterations, **TERM)
    cut = cldice_loss(
        fine, labels.repeat_interleave(parts, axis + 1), iterations=iterations, spacing=sides, **TERM
    )
    torch.testing.assert_close(cut, whole)
    (expected,), (found,) = (torch.autograd.grad(v, z) for v, z in ((whole, logits), (cut, fine)))
    torch.testing.assert_close(found.sum(), expected.sum())


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_thin_tube_keeps_its_value_when_one_axis_is_resampled(axis, factor):
    labels = torch.zeros(1, 24, 24, 24, dtype=torch.long)
    labels[:, 6:18, 11:13, 11:13] = 1  # along the first axis, half of it is found
    found = labels.clone()
    found[:, 6:12] = 0
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 1.0 / factor
    pair = [t.repeat_interleave(factor, axis + 1) for t in (labels, found)]
    value = cldice_loss(certain(pair[1] == 1), pair[0], spacing=spacing, smooth=0.0, **TERM)
    assert value.item() == pytest.approx(1 / 3)  # precision 1, sensitivity 1/2


@pytest.mark.parametrize("shape", [(2, 13, 12), (2, 7, 6, 8)])
def test_fused_kernels_equal_pooling(shape):
    x = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    steps = torch.tensor([1, 4])
    arms = (1,) * (x.ndim - 1)
    pair = [soft_skeleton(x, steps), _pooled_skeleton(x, steps, arms)]
    torch.testing.assert_close(*pair)
    torch.testing.assert_close(*(torch.autograd.grad((s * weights).sum(), x)[0] for s in pair))


@given(st.integers(0, 10**6), st.sampled_from([(1, 2), (3, 1), (1, 1)]))
def test_depths_count_erosions(seed, arms):
    mask = blobs(seed, (11, 12), 2.0)
    depth = cross_depth(mask, arms)
    image, inside = torch.from_numpy(mask).double()[None], np.zeros(mask.shape, int)
    if mask.all():
        assert (depth > mask.size).all()
        return
    while image.any():
        inside += image[0].numpy().astype(int)
        image = _erode(image, arms)
    np.testing.assert_array_equal(depth, inside)
    np.testing.assert_array_equal(cross_depth(mask, arms, 1).clip(max=2), inside.clip(max=2))
