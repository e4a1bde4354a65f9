import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.morphology import skeletonize

from topodl.errors import InputError
from topodl.kernels.masks.thinning import thin
from topodl.metrics import ClDice, Dice, cldice_score, dice_score

EMPTY, FULL = torch.zeros(1, 6, 6), torch.ones(1, 6, 6)
pairs = arrays(np.bool_, (2, 3, 7, 8))


@given(pairs)
def test_dice_is_that_of_sets(pair):
    preds, target = torch.from_numpy(pair)
    for p, t, value in zip(pair[0], pair[1], dice_score(preds, target).tolist(), strict=True):
        p, t = {*zip(*p.nonzero(), strict=True)}, {*zip(*t.nonzero(), strict=True)}
        assert value == (2 * len(p & t) / (len(p) + len(t)) if p or t else 1)


@pytest.mark.parametrize(("skeleton", "skeletonize"), [("thinned", thin), ("scikit-image", skeletonize)])
@given(pairs)
def test_cldice_is_the_harmonic_mean_of_the_shares_of_skeletons(skeleton, skeletonize, pair):
    preds, target = torch.from_numpy(pair)
    values = cldice_score(preds, target, skeleton=skeleton).tolist()
    for p, t, value in zip(pair[0], pair[1], values, strict=True):
        assert 0 <= value <= 1
        of_p, of_t = skeletonize(p), skeletonize(t)
        if p.any() and t.any() and (of_p & t).any() and (of_t & p).any():
            precision, recall = (of_p & t).sum() / of_p.sum(), (of_t & p).sum() / of_t.sum()
            assert value == pytest.approx(2 / (1 / precision + 1 / recall), abs=1e-12)


@given(arrays(np.bool_, (1, 4, 5, 6)))
def test_what_is_equal_has_a_cldice_of_1_in_a_volume(mask):
    assert cldice_score(*[torch.from_numpy(mask)[None]] * 2).tolist() == [1.0]


def test_a_straight_tube_of_even_width_has_a_skeleton():
    tube = torch.zeros(1, 1, 32, 32, 32)
    tube[..., 10:12, 10:12, 4:28] = 1
    assert cldice_score(tube, tube).item() == ClDice()(tube, tube).item() == 1
    assert ClDice(skeleton="scikit-image")(tube, tube).item() == 0


@pytest.mark.parametrize(
    ("preds", "target", "dice", "dice_study", "cldice"),
    [(EMPTY, EMPTY, 1, 0, 1), (EMPTY, FULL, 0, 0, 0), (FULL, EMPTY, 0, 0, 0), (FULL, FULL, 1, 1, 1)],
)
def test_empty_masks(preds, target, dice, dice_study, cldice):
    assert dice_score(preds, target).item() == dice
    assert dice_score(preds, target, convention="topomortar").item() == dice_study
    assert cldice_score(preds, target).item() == cldice
    study = cldice_score(preds, target, convention="topomortar").item()
    assert study == 1 if preds.any() and target.any() else math.isnan(study)


def test_cldice_of_masks_that_do_not_meet():
    preds, target = torch.zeros(2, 1, 6, 6)
    preds[:, 1], target[:, 4] = 1, 1
    assert cldice_score(preds, target).item() == 0
    assert math.isnan(cldice_score(preds, target, convention="topomortar").item())


def test_volumes():
    target = torch.zeros(2, 1, 9, 9, 9)
    target[..., 3:6, 3:6, :] = 1
    preds = target.clone()
    preds[1, ..., 5:] = 0
    dice, cldice = dice_score(preds, target), cldice_score(preds, target)
    assert dice[0] == cldice[0] == 1
    assert dice[1] == pytest.approx(2 * 5 / (5 + 9))
    assert 0 < cldice[1] < 1


def test_classes_are_measured_one_by_one_and_averaged():
    target = torch.tensor([[[0, 1, 1, 2]], [[0, 2, 2, 2]]])
    preds = torch.tensor([[[0, 1, 0, 2]], [[0, 2, 1, 1]]])
    values = dice_score(preds, target, num_classes=3)
    assert torch.allclose(values, torch.tensor([[2 / 3, 1], [0, 0.5]], dtype=torch.float64))
    metric = Dice(num_classes=3)
    metric.update(preds, target)
    assert metric.compute().item() == pytest.approx(values.mean().item())


def test_the_convention_reaches_the_function():
    for metric, value in ((Dice(), 1), (Dice(convention="topomortar"), 0), (ClDice(), 1)):
        metric.update(EMPTY, EMPTY)
        assert metric.compute().item() == value
    metric = ClDice(convention="topomortar")
    metric.update(EMPTY, EMPTY)
    assert math.isnan(metric.compute().item())


def corner() -> tuple[torch.Tensor, torch.Tensor]:
    """A line of 4 pixels down and, from its end, of 6 to the right; the prediction misses the first three."""
    target = torch.zeros(1, 8, 10, dtype=torch.bool)
    target[:, 1:5, 2] = target[:, 4, 2:8] = True
    preds = target.clone()
    preds[:, 1:4] = False
    return preds, target


def test_lengths_of_skeletons_by_hand():
    preds, target = corner()
    # Thinning takes the pixel of the corner, so that a diagonal step joins the two lines.
    skeleton = thin(target[0].numpy())
    assert skeleton.sum() == 8
    assert not skeleton[4, 2]
    assert cldice_score(preds, target).item() == pytest.approx(2 / (1 + 8 / 5))
    diagonal = math.hypot(3, 0.5)
    down, right = 3 + 3 + (3 + diagonal) / 2, (0.5 + diagonal) / 2 + 4 * 0.5
    recall = right / (down + right)
    value = cldice_score(preds, target, spacing=(3, 0.5)).item()
    assert value == ClDice(spacing=(3, 0.5))(preds, target).item() == pytest.approx(2 / (1 + 1 / recall))


@given(pairs, st.floats(1e-3, 1e3))
def test_the_unit_of_spacing_makes_no_difference(pair, unit):
    preds, target = torch.from_numpy(pair)
    value = cldice_score(preds, target, spacing=(1, 2))
    assert torch.allclose(cldice_score(preds, target, spacing=(unit, 2 * unit)), value, rtol=1e-9)
    assert torch.equal(cldice_score(target, target, spacing=(1, 2)), torch.ones(3, dtype=torch.float64))


def test_a_line_that_is_sampled_more_finely_keeps_its_share():
    preds, target = torch.zeros(2, 1, 1, 8, 5, 5)
    target[..., 1:7, 2, 2] = 1
    preds[..., 3:7, 2, 2] = 1
    coarse = cldice_score(preds, target, spacing=(3, 1, 1))
    fine = cldice_score(*(x.repeat_interleave(3, 2) for x in (preds, target)), spacing=1.0)
    assert coarse.item() == fine.item() == pytest.approx(2 / (1 + 6 / 4))


def test_pixels_by_themselves_have_a_length():
    preds, target = torch.zeros(2, 1, 6, 6)
    target[:, 1, 1] = target[:, 4, 4] = preds[:, 1, 1] = 1
    assert cldice_score(preds, target, spacing=(4, 1)).item() == pytest.approx(2 / 3)


def test_unusable_spacing_of_cldice_is_named():
    with pytest.raises(InputError, match="ClDice: spacing is"):
        ClDice(spacing=(1, 0))
    with pytest.raises(InputError, match=r"cldice_score: spacing is .* a number or 2 of them"):
        cldice_score(EMPTY, EMPTY, spacing=(1, 1, 1))
