"""Heads of several sizes: one target that is shrunk without breaking lines, or one a head."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tests.losses.test_contract import sample
from topodl.errors import InputError
from topodl.losses import CEDiceLoss, ClDiceLoss, DeepSupervisionLoss, SkeletonRecallLoss
from topodl.losses._shrinking import nearest_pixels, shrink_labels


class Record(torch.nn.Module):
    """A loss that keeps what it is called with."""

    def __init__(self, **options):
        super().__init__()
        self.options, self.calls = options, []

    def forward(self, logits, target, *, mask=None, precomputed=None, topology=True):
        self.calls.append((target, mask, precomputed))
        return logits.mean()


@st.composite
def labels_and_sizes(draw):
    size = draw(st.tuples(*[st.integers(1, 12)] * draw(st.sampled_from([2, 3]))))
    small = tuple(draw(st.integers(1, side)) for side in size)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    return torch.from_numpy(rng.choice([0, 0, 0, 1, 2, 255], (2, 1, *size))), torch.Size(small)


def windows(size, small):
    """Return for each axis the pixels that each pixel of the small image lies over."""
    return [
        [(i * whole // part, -(-(i + 1) * whole // part)) for i in range(part)]
        for whole, part in zip(size, small, strict=True)
    ]


@given(labels_and_sizes(), st.booleans())
def test_the_greatest_label_that_counts(case, masked):
    labels, small = case
    mask = torch.from_numpy(np.random.default_rng(0).random(labels.shape) < 0.6) if masked else None
    found, counted = shrink_labels("f", labels, mask, small, "max", 255)
    cuts = windows(labels.shape[2:], small)
    for sample_, position in ((b, p) for b in range(2) for p in np.ndindex(*small)):
        window = tuple(slice(*cuts[axis][i]) for axis, i in enumerate(position))
        inside = labels[(sample_, 0, *window)]
        values = inside[(inside != 255) & (True if mask is None else mask[(sample_, 0, *window)])]
        expected = int(values.max()) if len(values) else 255
        assert found[(sample_, 0, *position)] == expected
        assert counted is None or counted[(sample_, 0, *position)] == (len(values) > 0)


@given(labels_and_sizes())
def test_skeletons_lie_over_the_nearest_pixels(case):
    labels, small = case
    greatest, _ = shrink_labels("f", labels, None, small, "max", 255)
    nearest, _ = shrink_labels("f", labels, None, small, "nearest", 255)
    found, _ = shrink_labels("f", labels, None, small, "skeleton", 255)
    changed = found != nearest
    assert (found[changed] > 0).all()
    assert (found[changed] != 255).all()
    assert (found[changed] <= greatest[changed]).all()


@given(st.integers(0, 10**6), st.sampled_from([2, 3, 4, 7]))
def test_thin_lines_stay_whole(seed, factor):
    rng = np.random.default_rng(seed)
    label = np.zeros((56, 56), bool)
    position = rng.integers(0, 56, 2)
    for _ in range(150):  # a walk that turns now and then
        label[tuple(position)] = True
        position = np.clip(position + rng.integers(-1, 2, 2), 0, 55)
    target = torch.from_numpy(label[None, None].astype(np.uint8))
    for how in ("max", "skeleton"):
        small, _ = shrink_labels("f", target, None, torch.Size([-(-56 // factor)] * 2), how, None)
        assert ndimage.label(small[0, 0].numpy() == 1, np.ones((3, 3)))[1] == 1


def test_a_line_and_a_wide_bar():
    target = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    target[..., 3, :] = 1  # between the nearest pixels of every fourth row
    target[..., 16:24, :] = 2
    rows = {}
    for how in ("nearest", "max", "skeleton"):
        loss = Record()
        heads = [torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 8, 8)]
        DeepSupervisionLoss(loss, [0.5, 0.5], shrink=how)(heads, target)
        (whole, _, _), (small, _, _) = loss.calls
        assert torch.equal(whole, target)
        rows[how] = small[0, 0, :, 4].tolist()
    assert rows == {
        "nearest": [0, 0, 0, 0, 2, 2, 0, 0],
        "max": [1, 0, 0, 0, 2, 2, 0, 0],
        "skeleton": [1, 0, 0, 0, 2, 2, 0, 0],
    }


def heads_and_targets(channels=2):
    logits, labels = sample(channels, (16, 24))
    generator = torch.Generator().manual_seed(5)
    sizes = [(16, 24), (8, 12), (4, 6)]
    heads = [logits, *(torch.randn(2, channels, *size, generator=generator) for size in sizes[1:])]
    return heads, [labels[:, None, :: 2**i, :: 2**i] for i in range(3)]


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64])
def test_a_target_for_each_head(dtype):
    heads, targets = heads_and_targets()
    targets = [target.to(dtype) for target in targets]
    loss, weights = SkeletonRecallLoss(), [0.5, 0.3, 0.2]
    expected = sum(w * loss(z, y) for w, z, y in zip(weights, heads, targets, strict=True))
    supervision = DeepSupervisionLoss(loss, weights)
    torch.testing.assert_close(supervision(heads, targets), expected)
    torch.testing.assert_close(supervision(heads, tuple(y[:, 0] for y in targets)), expected)
    parts = [loss.precompute(y) for y in targets]
    torch.testing.assert_close(supervision(heads, targets, precomputed=parts), expected)
    masks = [torch.ones(y.shape) for y in targets]
    for mask in masks:
        mask[..., :2] = 0
    expected = sum(w * loss(z, y, mask=m) for w, z, y, m in zip(weights, heads, targets, masks, strict=True))
    torch.testing.assert_close(supervision(heads, targets, mask=masks), expected)
    for how in ("nearest", "max", "skeleton"):
        assert torch.isfinite(DeepSupervisionLoss(loss, shrink=how)(heads, targets[0]))


def test_weights_of_pixels_for_all_heads():
    heads, targets = heads_and_targets()
    loss, shares = CEDiceLoss(), [0.5, 0.3, 0.2]
    supervision = DeepSupervisionLoss(loss, shares)
    weights = torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(2))
    means = [weights, *(weights.view(2, 16 // k, k, 24 // k, k).mean((2, 4)) for k in (2, 4))]
    expected = sum(
        w * loss(z, nearest_pixels(targets[0], z.shape[2:]), pixel_weights=each)
        for w, z, each in zip(shares, heads, means, strict=True)
    )
    torch.testing.assert_close(supervision(heads, targets[0], pixel_weights=weights), expected)
    torch.testing.assert_close(supervision(heads, targets[0][:, 0], pixel_weights=weights[:, 0]), expected)
    listed = sum(
        w * loss(z, y, pixel_weights=each)
        for w, z, y, each in zip(shares, heads, targets, means, strict=True)
    )
    torch.testing.assert_close(supervision(heads, targets, pixel_weights=means), listed)
    smaller = DeepSupervisionLoss(loss)
    for argument in ("pixel_weights", "mask"):
        with pytest.raises(InputError, match=rf"{argument} has shape \(2, 1, 8, 12\); .*as the target"):
            smaller(heads[1:], targets[0], **{argument: torch.ones(2, 8, 12)})
    with pytest.raises(InputError, match="pixel_weights has negative, infinite or NaN entries"):
        smaller(heads[1:], targets[0], pixel_weights=weights - 0.1)
    with pytest.raises(InputError, match="pixel_weights is a Tensor; expected a sequence of 3, one a head"):
        supervision(heads, targets, pixel_weights=weights)


def test_lists_that_do_not_fit_are_named():
    heads, targets = heads_and_targets()
    loss = DeepSupervisionLoss(CEDiceLoss())
    with pytest.raises(InputError, match="target has 2; expected a sequence of 3, one a head"):
        loss(heads, targets[:2])
    with pytest.raises(
        InputError, match=r"target\[1\] has shape \(2, 1, 16, 24\); expected shape \(2, 1, 8, 12\)"
    ):
        loss(heads, [targets[0]] * 3)
    with pytest.raises(TypeError, match=r"target\[2\] is a NoneType"):
        loss(heads, [*targets[:2], None])
    with pytest.raises(InputError, match="mask is a Tensor; expected a sequence of 3"):
        loss(heads, targets, mask=torch.ones(2, 16, 24))
    with pytest.raises(InputError, match="precomputed is a dict; expected a sequence of 3"):
        loss(heads, targets, precomputed={})
    with pytest.raises(InputError, match="shrink is 'average'; expected one of 'nearest', 'max', 'skeleton'"):
        DeepSupervisionLoss(CEDiceLoss(), shrink="average")


@pytest.mark.parametrize("how", ["nearest", "max", "skeleton"])
def test_regions_are_shrunk_by_themselves(how):
    heads, _ = heads_and_targets(3)
    regions = torch.stack([sample(1, (16, 24), seed=s)[1] for s in range(3)], 1)
    regions[0, 1, :4] = 255
    loss = SkeletonRecallLoss(activation="sigmoid", ignore_index=255)
    weights = [0.5, 0.3, 0.2]
    value = DeepSupervisionLoss(loss, weights, shrink=how)(heads, regions)
    small = [
        torch.cat([shrink_labels("f", r, None, z.shape[2:], how, 255)[0] for r in regions.split(1, 1)], 1)
        for z in heads[1:]
    ]
    expected = sum(w * loss(z, y) for w, z, y in zip(weights, heads, [regions, *small], strict=True))
    torch.testing.assert_close(value, expected)


def test_channels_that_are_classes_are_shrunk_to_the_nearest_pixels_alone():
    heads, targets = heads_and_targets(3)
    one_hot = torch.stack([targets[0][:, 0] == c for c in range(3)], 1)
    loss = SkeletonRecallLoss(activation="softmax")
    torch.testing.assert_close(
        DeepSupervisionLoss(loss)(heads, one_hot), DeepSupervisionLoss(loss)(heads, targets[0])
    )
    with pytest.raises(InputError, match=r"target has a channel for each class; .* with shrink='max'"):
        DeepSupervisionLoss(loss, shrink="max")(heads, one_hot)
    soft = one_hot * 0.7 + 0.1
    assert torch.isfinite(DeepSupervisionLoss(CEDiceLoss(activation="softmax"))(heads, soft))
    assert torch.isfinite(DeepSupervisionLoss(CEDiceLoss())([z[:, :1] for z in heads], soft[:, :1]))


def test_heads_that_overflowed_make_one_warning_and_a_loss_that_is_nan():
    heads, targets = heads_and_targets()
    bad = [z.clone() for z in heads]
    for z in bad:
        z[1, 0, 1, 1] = torch.inf
        z.requires_grad_()
    loss = DeepSupervisionLoss(ClDiceLoss(iterations=2, reduction="none"))
    for _ in range(2):  # one a step
        with pytest.warns(RuntimeWarning, match=r"logits\[1\] is infinite .*; the loss is NaN") as said:
            value = loss(bad, targets[0])
        assert len(said) == 1
    assert value[1].isnan()
    torch.testing.assert_close(value[0], loss(heads, targets[0])[0])
    value.sum().backward()
    for z in bad:
        assert z.grad[0].isfinite().all()
        assert z.grad[1].isnan().all()
    with pytest.raises(InputError, match=r"logits\[1\] is infinite"):
        DeepSupervisionLoss(ClDiceLoss(iterations=2, non_finite="raise"))(bad, targets[0])
