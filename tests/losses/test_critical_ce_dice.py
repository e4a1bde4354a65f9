"""Critical regions: what is in them, what is not, and the weights and the loss made of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topodl.errors import InputError
from topodl.losses import (
    CEDiceLoss,
    CriticalCEDiceLoss,
    critical_ce_dice_loss,
    critical_region_map,
    critical_region_weights,
)
from topodl.metrics import topology_errors

METHODS = ["warping", "topograph", "errors"]


def logits_of(mask):
    return (8.0 * mask.float() - 4.0)[:, None]


def line(height=13, width=21):
    target = torch.zeros(1, height, width, dtype=torch.long)
    target[:, 5:8, 2:19] = 1
    return target


def broken():
    target, preds = line(), line()
    preds[:, :, 10] = 0
    return preds, target, (slice(5, 8), 10)


def merged():
    preds, target, place = broken()
    return target, preds, place


def holed():
    preds, target = line(), line()
    preds[:, 6, 10] = 0
    return preds, target, (6, 10)


def blob():
    preds, target = line(), line()
    preds[:, 10:12, 4:6] = 1
    return preds, target, (slice(10, 12), slice(4, 6))


def thin():
    preds, target = line(), line()
    preds[:, 5] = 0
    return preds, target, None


def shifted():
    return line().roll(1, 1), line(), None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", [broken, merged, holed, blob, thin, shifted])
def test_what_is_critical(method, case):
    preds, target, place = case()
    critical = critical_region_map(logits_of(preds), target, method=method)[0, 0]
    assert not (critical & (preds == target)[0]).any()
    if place is None:
        assert not critical.any()
        return
    assert critical[place].any()
    elsewhere = critical.clone()
    elsewhere[place] = False
    assert not elsewhere.any()


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_errors_are_those_of_the_map_of_errors(seed):
    generator = torch.Generator().manual_seed(seed)
    preds, target = (torch.rand(2, 9, 10, generator=generator) < 0.5 for _ in range(2))
    critical = critical_region_map(logits_of(preds), target.long(), method="errors", reach=2)
    assert torch.equal(critical[:, 0], topology_errors(preds.long(), target.long(), reach=2) > 0)
    for method in METHODS:
        found = critical_region_map(logits_of(preds), target.long(), method=method, reach=0)
        assert not (found[:, 0] & (preds == target)).any()


def test_reach_spreads_within_the_wrong_region_alone():
    target, preds = line(), line()
    preds[:, :, 8:13] = 0
    near = [critical_region_map(logits_of(preds), target, reach=r).sum().item() for r in (0, 1, 9)]
    assert near[0] < near[1] <= near[2] == 15


def test_weights_and_what_is_left_out():
    preds, target, place = broken()
    weights = critical_region_weights(logits_of(preds), target, gamma=4.0)
    assert (weights[0][place] == 5.0).all()
    assert weights.sum() == target.numel() + 4 * 3
    shared = critical_region_weights(logits_of(preds), target, gamma=0.5, normalise="count")
    assert (shared - 1).sum().item() == pytest.approx(0.5 * target.numel())
    ignored = target.clone()
    ignored[..., 10] = 7
    assert (critical_region_weights(logits_of(preds), ignored, ignore_index=7) == 1).all()
    assert (critical_region_weights(logits_of(preds), target, mask=ignored != 7) == 1).all()


def test_volumes_are_taken_but_by_topograph():
    target = torch.zeros(1, 7, 7, 9, dtype=torch.long)
    target[:, 2:5, 2:5] = 1
    preds = target.clone()
    preds[..., 4] = 0
    for method in ("warping", "errors"):
        critical = critical_region_map(logits_of(preds), target, method=method)[0, 0]
        assert critical.any()
        assert (critical.nonzero()[:, 2] == 4).all()
    with pytest.raises(InputError, match="logits has shape"):
        critical_region_map(logits_of(preds), target, method="topograph")


@pytest.mark.parametrize("options", [{"gamma": 0.1}, {"gamma": 6.0, "normalise": "constant"}])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_that_of_the_weights(channels, options):
    generator = torch.Generator().manual_seed(3)
    target = torch.randint(max(channels, 2), (2, 12, 12), generator=generator)
    logits = torch.randn(2, channels, 12, 12, generator=generator)
    weights = critical_region_weights(logits, target, **{"normalise": "count"} | options)
    expected = CEDiceLoss()(logits, target, pixel_weights=weights)
    torch.testing.assert_close(CriticalCEDiceLoss(**options)(logits, target), expected)
    torch.testing.assert_close(critical_ce_dice_loss(logits, target, gamma=0.0), CEDiceLoss()(logits, target))
    more = torch.rand(2, 12, 12, generator=generator)
    both = CriticalCEDiceLoss(**options)(logits, target, pixel_weights=more)
    torch.testing.assert_close(both, CEDiceLoss()(logits, target, pixel_weights=more * weights))


def test_critical_pixels_have_a_tenth_of_the_weight_of_all_however_few_they_are():
    target = torch.zeros(1, 12, 20, dtype=torch.long)
    target[:, 3:9] = 1
    for width in (1, 3):
        preds = target.clone()
        preds[..., 10 : 10 + width] = 0  # a gap
        logits = logits_of(preds)
        right, wrong = (torch.nn.functional.softplus(torch.tensor(s * 4.0)) for s in (-1, 1))
        n, gap = 240, 6 * width
        error = ((n - gap) * right + gap * (1 + 0.1 * n / gap) * wrong) / (1.1 * n)
        found = critical_ce_dice_loss(logits, target, dice_weight=0.0)
        torch.testing.assert_close(found, error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -1.0}, "gamma is -1.0"),
        ({"method": "other"}, "method is 'other'; expected one of 'errors', 'warping', 'topograph'"),
        ({"normalise": "sum"}, "normalise is 'sum'"),
        ({"reach": 1.5}, "reach is 1.5; expected an integer of at least 0"),
        ({"connectivity": 5}, "connectivity is 5"),
    ],
)
def test_unusable_options(options, message):
    preds, target, _ = broken()
    with pytest.raises(InputError, match=message):
        critical_ce_dice_loss(logits_of(preds), target, **options)
