import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tests.losses import golden
from topodl.errors import InputError
from topodl.kernels.masks.simple_points import simple_point_table
from topodl.kernels.masks.warping import warp
from topodl.losses import WarpingLoss, warping_loss
from topodl.losses._input import SegmentationBatch
from topodl.losses.warping import _study_critical, critical_pixels


def critical_of(predicted, truth, connectivity=8):
    logits = torch.where(predicted, 4.0, -4.0)[:, None]
    batch = SegmentationBatch.read("test", logits, truth.long())
    return critical_pixels(batch, range(1), connectivity == 8)[:, 0]


def ties_are_ordered_as_on_the_machine_of_the_golden_files():
    """NumPy's unstable sort depends on the processor; the originals used it on one with AVX-512."""
    order = np.argsort(np.tile([0.0, 1.0], 2000))
    return hashlib.sha256(order.astype(np.int64).tobytes()).hexdigest().startswith("a700a1ab")


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "A")
    batch = SegmentationBatch.read("test", logits, labels)
    found = critical_pixels(batch, range(1, 2), False, study=True)[:, 0]
    # what the study's code calls critical is right in every pixel
    assert ((logits.argmax(1) == labels) | ~found).all()
    value = WarpingLoss(variant="topomortar")(logits, labels)
    if ties_are_ordered_as_on_the_machine_of_the_golden_files():
        golden.check(shared, "tm_warping", value, logits)
    else:
        np.testing.assert_allclose(value.item(), golden.load(shared, "tm_warping")["loss"], rtol=0.1)


def test_equals_its_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    predicted, truth = (logits.argmax(1) == 1).numpy(), (labels == 1).numpy()
    found = np.stack([_study_critical(p, t) for p, t in zip(predicted, truth, strict=True)])
    assert not (found & (predicted == truth)).any()
    stored = golden.load(shared, "hu_warping")["critical"].astype(bool)
    if not ties_are_ordered_as_on_the_machine_of_the_golden_files():
        assert 2 * (found & stored).sum() / (found.sum() + stored.sum()) > 0.8
        return
    np.testing.assert_array_equal(found, stored)
    critical = torch.from_numpy(found)
    cross_entropy = torch.nn.functional.cross_entropy(logits * critical[:, None], labels * critical)
    golden.check(shared, "hu_warping", cross_entropy * critical.sum(), logits)


def test_the_sound_loss_finds_wrong_pixels_alone_on_real_labels(shared):
    logits, labels = golden.case(shared, "A")
    batch = SegmentationBatch.read("test", logits, labels)
    found = critical_pixels(batch, range(1, 2), True)[:, 0]
    assert found.any()
    assert not (found & (logits.argmax(1) == labels)).any()


def components(mask, corner):
    structure = ndimage.generate_binary_structure(mask.ndim, mask.ndim if corner else 1)
    return ndimage.label(mask, structure)[1]


def betti(mask, corner):
    """Components of the foreground, and of the background with a border of background around it."""
    return components(mask, corner), components(np.pad(~mask, 1, constant_values=True), not corner)


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([(7, 9), (5, 4, 6)]))
def test_warping_keeps_components_and_holes(seed, corner, size):
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < 0.5
    order = rng.permutation(mask.size)
    table = np.stack([simple_point_table(corner)] * 2)
    warped = warp(mask, order, table, corner)
    assert betti(warped, corner) == betti(mask, corner)


def test_errors_that_change_no_topology_are_not_critical():
    truth = torch.zeros(1, 12, 12, dtype=torch.bool)
    truth[:, 3:8, 1:11] = True
    thinner = truth.clone()
    thinner[:, 3:5] = False
    assert not critical_of(thinner, truth).any()
    assert not critical_of(truth, thinner).any()


def test_a_gap_is_critical_on_a_path_across_it_alone():
    truth = torch.zeros(1, 9, 15, dtype=torch.bool)
    truth[:, 3:6, 1:14] = True
    broken = truth.clone()
    broken[:, :, 6:9] = False
    critical = critical_of(broken, truth)
    assert 0 < critical.sum() <= 6
    assert (critical <= (truth & ~broken)).all()


@pytest.mark.parametrize(("connectivity", "n_critical"), [(8, 0), (4, 1)])
def test_connectivity_decides_about_a_missing_corner(connectivity, n_critical):
    # a diagonal step: with corners connected the pixel between them is not needed
    truth = torch.zeros(1, 6, 6, dtype=torch.bool)
    truth[0, 1, 1] = truth[0, 1, 2] = truth[0, 2, 2] = True
    predicted = truth.clone()
    predicted[0, 1, 2] = False
    found = critical_of(predicted, truth, connectivity)
    assert (int(found.sum()) > 0) == bool(n_critical)


def test_gradcheck():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (2, 6, 7))
    assert torch.autograd.gradcheck(lambda z: warping_loss(z, labels, reduction="none"), logits)


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_are_those_of_the_mean_over_critical_pixels(channels):
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, channels, 9, 11, generator=generator)
    labels = torch.randint(max(channels, 2), (2, 9, 11), generator=generator)
    weights = torch.rand(2, 9, 11, generator=generator) * (torch.rand(2, 9, 11, generator=generator) < 0.8)
    batch = SegmentationBatch.read("test", logits, labels)
    critical = critical_pixels(batch, batch.channels(False), True).double()
    if channels == 1:
        ce = -torch.where(labels == 1, logits[:, 0], -logits[:, 0]).sigmoid().log().double()
    else:
        ce = torch.nn.functional.cross_entropy(logits, labels, reduction="none").double()
    by_class = (critical * (weights * ce)[:, None]).sum((2, 3)) / (critical * weights[:, None]).sum((2, 3))
    loss = WarpingLoss(base_weight=0.0, topology_weight=1.0, reduction="none")
    found = loss(logits, labels, pixel_weights=weights).double()
    torch.testing.assert_close(found, by_class.mean(1), rtol=1e-5, atol=1e-6)
    assert loss(logits, labels, pixel_weights=0 * weights).tolist() == [0.0, 0.0]
    late = WarpingLoss(active_from=0.5)
    assert torch.equal(late(logits, labels, pixel_weights=weights), late(logits, labels))
    with pytest.raises(InputError, match="pixel_weights are given; expected none, as there is no cross"):
        WarpingLoss(variant="topomortar")(logits, labels, pixel_weights=weights)
