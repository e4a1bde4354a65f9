"""Sums of losses and losses that fade into each other: values by hand, parts of labels, checks."""

import copy
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topodl import InputError
from topodl.losses import (
    SCNP,
    CEDiceLoss,
    ClDiceLoss,
    DeepSupervisionLoss,
    FadingLoss,
    SkeletonRecallLoss,
    TopographLoss,
    WeightedSumLoss,
)


def sample(channels=2, dtype=torch.float64, seed=0):
    generator = torch.Generator("cpu").manual_seed(seed)
    logits = torch.randn(2, channels, 9, 10, generator=generator, dtype=dtype, device="cpu")
    return logits, torch.randint(2, (2, 9, 10), generator=generator, device="cpu")


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.0, 5.0), min_size=2, max_size=2).filter(any), st.sampled_from(["mean", "none"]))
def test_a_sum_is_the_sum(weights, reduction):
    logits, labels = sample()
    parts = [CEDiceLoss(reduction=reduction), SkeletonRecallLoss(reduction=reduction)]
    expected = sum(w * part(logits, labels) for w, part in zip(weights, parts, strict=True))
    torch.testing.assert_close(WeightedSumLoss(parts, weights)(logits, labels), expected)


def test_without_weights_it_is_the_mean():
    logits, labels = sample()
    first, second = CEDiceLoss(), TopographLoss()
    mean = (first(logits, labels) + second(logits, labels)) / 2
    torch.testing.assert_close(WeightedSumLoss([first, second])(logits, labels), mean)


def test_scnp_alone_beside_the_plain_loss_is_scnp_of_half_weight():
    logits, labels = sample()
    loss = WeightedSumLoss([CEDiceLoss(), SCNP(CEDiceLoss(), plain_weight=0.0)])
    torch.testing.assert_close(loss(logits, labels), SCNP(CEDiceLoss(), plain_weight=0.5)(logits, labels))


def test_the_gradient_is_right():
    logits, labels = sample()
    loss = WeightedSumLoss([CEDiceLoss(), ClDiceLoss(iterations=2)], [0.3, 2.0])
    small, target = logits[:, :, :4, :5].clone().requires_grad_(), labels[:, :4, :5]
    assert torch.autograd.gradcheck(lambda z: loss(z, target), small)


def test_one_fades_into_the_other():
    logits, labels = sample()
    first, second = CEDiceLoss(), SkeletonRecallLoss()
    loss = FadingLoss(first, second, active_from=0.25, ramp=0.5)
    values = first(logits, labels), second(logits, labels)
    for progress, share in ((0.0, 0.0), (0.25, 0.0), (0.375, 0.25), (0.5, 0.5), (0.75, 1.0), (1.0, 1.0)):
        loss.set_progress(progress)
        torch.testing.assert_close(loss(logits, labels), (1 - share) * values[0] + share * values[1])


def test_the_progress_reaches_all_losses_and_the_state():
    loss = FadingLoss(CEDiceLoss(), WeightedSumLoss([TopographLoss(active_from=0.5)]), active_from=0.2)
    loss.set_progress(0.4)
    other = FadingLoss(CEDiceLoss(), WeightedSumLoss([TopographLoss(active_from=0.5)]), active_from=0.2)
    other.load_state_dict(loss.state_dict())
    logits, labels = sample()
    assert torch.equal(loss(logits, labels), other(logits, labels))
    assert loss.topology_scale == 1.0
    assert WeightedSumLoss([TopographLoss(active_from=0.5)]).topology_scale == 0.0
    assert torch.equal(copy.deepcopy(loss)(logits, labels), loss(logits, labels))


def test_parts_of_labels_are_those_of_each_loss():
    logits, labels = sample()
    loss = WeightedSumLoss([SkeletonRecallLoss(), SCNP(ClDiceLoss(iterations=2))])
    parts = loss.precompute(labels)
    assert {name.partition(".")[0] for name in parts} == {"0", "1"}
    torch.testing.assert_close(loss(logits, labels, precomputed=parts), loss(logits, labels))
    single = loss.target_transform(labels[0])
    assert single.keys() == parts.keys()
    heads = DeepSupervisionLoss(loss, [1.0, 0.5])([logits, logits[:, :, ::2, ::2].contiguous()], labels)
    assert heads.isfinite()


def test_regions_and_weights_of_pixels_reach_all_losses():
    logits, labels = sample()
    regions = torch.stack([labels, labels.flip(1)], 1)
    parts = [CEDiceLoss(activation="sigmoid"), SkeletonRecallLoss(activation="sigmoid")]
    loss = WeightedSumLoss(parts)
    weights = torch.rand(labels.shape, generator=torch.Generator("cpu").manual_seed(3), device="cpu")
    expected = sum(part(logits, regions, pixel_weights=weights) for part in parts) / 2
    torch.testing.assert_close(loss(logits, regions, pixel_weights=weights), expected)
    lists = [loss.precompute(regions[:, c]) for c in range(2)]
    torch.testing.assert_close(loss(logits, regions, precomputed=lists), loss(logits, regions))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightedSumLoss([]), "losses is empty; expected at least one loss"),
        (lambda: WeightedSumLoss([CEDiceLoss()], [1.0, 2.0]), "weights has 2; expected 1, one a loss"),
        (lambda: WeightedSumLoss([CEDiceLoss()], [-1.0]), r"weights\[0\] is -1.0"),
        (lambda: WeightedSumLoss([CEDiceLoss()], [0.0]), "weights is 0 for all losses; expected one above 0"),
        (lambda: FadingLoss(CEDiceLoss(), CEDiceLoss(), active_from=2.0), "active_from is 2.0"),
        (lambda: FadingLoss(CEDiceLoss(), CEDiceLoss(), ramp=-1.0), "ramp is -1.0"),
        (
            lambda: WeightedSumLoss([CEDiceLoss(ignore_index=3), CEDiceLoss()]),
            "losses have ignore_index 3 and None; expected one for all",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_only_losses_are_combined():
    with pytest.raises(TypeError, match=re.escape("losses[1] is a ReLU; expected a SegmentationLoss")):
        FadingLoss(CEDiceLoss(), torch.nn.ReLU())
