import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tests.losses import golden
from topodl.kernels.distance import distance_to_other
from topodl.kernels.simple_points import one_piece_table, simple_point_table
from topodl.kernels.warping import warp
from topodl.losses import WarpingLoss, warping_loss
from topodl.losses._input import SegmentationBatch
from topodl.losses._overlap import dice_score
from topodl.losses.warping import _critical, _study_cross_entropy, critical_pixels


def critical_of(predicted, truth, connectivity=8):
    logits = torch.where(predicted, 4.0, -4.0)[:, None]
    batch = SegmentationBatch.read("test", logits, truth.long())
    return critical_pixels(batch, range(1), connectivity == 8)[:, 0]


def test_loss_of_the_study_on_its_critical_pixels(shared):
    logits, labels = golden.case(shared, "A")
    batch = SegmentationBatch.read("test", logits, labels)
    dice = -dice_score(batch, True).mean()
    (of_dice,) = torch.autograd.grad(dice, logits, retain_graph=True)
    stored = golden.load(shared, "tm_warping")["grad"]
    critical = torch.from_numpy(np.abs(stored - of_dice[:, 1].numpy()) > 1e-10)
    value = dice + 0.1 * _study_cross_entropy(batch, critical).mean()
    golden.check(shared, "tm_warping", value, logits)
    # what the study's code calls critical is right in every pixel
    assert ((logits.argmax(1) == labels) | ~critical).all()


def test_variant_of_the_study_finds_correct_pixels_critical(shared):
    """The original orders ties by an unstable sort, so that its pixels cannot be met one by one."""
    logits, labels = golden.case(shared, "A")
    batch = SegmentationBatch.read("test", logits, labels)
    critical = critical_pixels(batch, range(1, 2), False, study=True)[:, 0]
    assert ((logits.argmax(1) == labels) | ~critical).all()
    assert 3000 < critical.sum() < 4000  # 3393 in the original
    value = WarpingLoss(variant="topomortar")(logits, labels)
    np.testing.assert_allclose(value.item(), golden.load(shared, "tm_warping")["loss"], rtol=0.1)


def test_critical_pixels_of_the_original(shared):
    """With the original's connectivity, test and border rule most pixels agree; ties are unstable."""
    logits, labels = golden.case(shared, "A")
    tables = np.stack([one_piece_table(False), one_piece_table(True)])
    predicted, truth = (logits.argmax(1) == 1).numpy(), (labels == 1).numpy()
    found = np.stack(
        [
            _critical(p, t, tables, False, None, skip_border=True)
            for p, t in zip(predicted, truth, strict=True)
        ]
    )
    stored = golden.load(shared, "hu_warping")["critical"].astype(bool)
    assert 2 * (found & stored).sum() / (found.sum() + stored.sum()) > 0.85
    assert not (found & (predicted == truth)).any()


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


@given(st.integers(0, 10**6), st.floats(0.05, 0.95), st.sampled_from([None, (1.0, 1.0), (2.5, 0.5)]))
def test_distances_equal_scipys(seed, share, spacing):
    mask = np.random.default_rng(seed).random((13, 17)) < share
    mask[3, 4], mask[5, 6] = True, False
    both = ndimage.distance_transform_edt(mask, sampling=spacing)
    both += ndimage.distance_transform_edt(~mask, sampling=spacing)
    pixels = np.flatnonzero(np.ones_like(mask))
    np.testing.assert_allclose(distance_to_other(mask, pixels, spacing), both.ravel(), rtol=1e-6)


def test_distance_where_all_pixels_are_of_one_kind():
    assert np.isinf(distance_to_other(np.ones((3, 4), bool), np.arange(12))).all()
    assert np.isinf(distance_to_other(np.ones((2, 3, 4), bool), np.arange(24))).all()


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
