"""Targets of the logits' shape: regions that overlap, one-hot labels, soft labels; and label smoothing."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.losses.test_contract import NAMES, make, sample, size_for, value_and_gradient
from topodl.errors import InputError
from topodl.losses import CEDiceLoss, ClDiceLoss, MosinLoss, TopoGradLoss, ce_dice_loss
from topodl.losses._base import SegmentationLoss

WITHOUT_CROSS_ENTROPY = {"warping"}


def regions(name, n=3, seed=0):
    """Return logits and labels (B, n, *S) whose channels overlap, leave pixels to nobody, and differ."""
    parts = [sample(1, size_for(name), seed=seed + i) for i in range(n)]
    return torch.cat([logits for logits, _ in parts], 1), torch.stack([labels for _, labels in parts], 1)


@pytest.mark.parametrize("name", NAMES)
def test_regions_are_the_mean_over_channels_by_themselves(name):
    logits, target = regions(name)
    mask = torch.ones_like(target[:, 0])
    mask[..., :4] = 0
    for options in ({}, {"class_weights": [1.0, 2.0, 0.5]}, {"reduction": "none"}, {"reduction": "sum"}):
        for call in ({}, {"mask": mask}):
            value, gradient = value_and_gradient(
                make(name, activation="sigmoid", **options), logits, target, **call
            )
            alone = make(name, **{k: v for k, v in options.items() if k != "class_weights"})
            each = [alone(logits[:, c : c + 1], target[:, c], **call) for c in range(3)]
            weights = torch.tensor(options.get("class_weights", [1.0, 1.0, 1.0]))
            torch.testing.assert_close(value, (torch.stack(each, -1) * weights).mean(-1))
            assert all(gradient[:, c].abs().sum() > 0 for c in range(3))
    for dtype in (torch.bool, torch.uint8, torch.float32):
        torch.testing.assert_close(
            make(name, activation="sigmoid")(logits, target.to(dtype)),
            make(name, activation="sigmoid")(logits, target),
        )


@pytest.mark.parametrize("name", NAMES)
def test_regions_have_probabilities_ignored_pixels_and_precomputed_parts(name):
    logits, target = regions(name)
    loss = make(name, activation="sigmoid", ignore_index=255)
    value = loss(logits, target)
    if name != "scnp_ce_dice":
        torch.testing.assert_close(make(name, activation="none")(logits.sigmoid(), target), value)
    parts = [loss.precompute(target[:, c]) for c in range(3)]
    torch.testing.assert_close(loss(logits, target, precomputed=parts), value)
    if type(loss).prepare is not None:
        for unfit in (parts[0], parts[:2]):
            with pytest.raises(InputError, match=r"precomputed is one mapping .* a list of 3 of them"):
                loss(logits, target, precomputed=unfit)
    partly = target.clone()
    partly[:, 1, ..., :5] = 255  # not said of the second region
    changed = logits.clone()
    changed[:, 1, ..., :5] *= -1
    ignored, gradient = value_and_gradient(loss, logits, partly)
    torch.testing.assert_close(loss(changed, partly), ignored)
    assert (gradient[:, 1, ..., :5] == 0).all()
    assert gradient[:, 0, ..., :5].abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_bad_regions_are_named(name):
    logits, target = regions(name)
    loss = make(name, activation="sigmoid", non_finite="raise")
    bad = target.clone()
    bad[(1, 2, *[3] * (target.ndim - 2))] = 2
    with pytest.raises(InputError, match=r"target\[1\] has the label 2 at \(3, 3.*\(region 2\)"):
        loss(logits, bad)
    overflown = logits.clone()
    overflown[(0, 1, *[2] * (target.ndim - 2))] = overflown[(1, 2, *[4] * (target.ndim - 2))] = torch.nan
    with pytest.raises(InputError, match=r"logits\[0\] has NaN at \(1, 2, 2"):
        loss(overflown, target)
    lax = make(name, activation="sigmoid", reduction="none")
    with pytest.warns(RuntimeWarning, match=r"logits\[0\] has NaN at \(1, 2, 2.*; the loss is NaN") as said:
        assert lax(overflown, target).isnan().all()
    assert len(said) == 1
    with pytest.raises(InputError, match=r"target has shape .* that of the logits, with activation='auto'"):
        make(name)(logits, target)
    with pytest.raises(InputError, match=r"target has shape"):
        loss(logits, target[:, :2])
    if name != "scnp_ce_dice":
        with pytest.raises(InputError, match="channels that sum to 1 in every pixel"):
            make(name, activation="none")(logits.softmax(1), target)


def test_sums_over_the_batch_stay_those_of_a_region():
    logits, target = regions("skeleton_recall")
    for name in ("cldice", "skeleton_recall", "cbdice"):
        options = {"variant": "topomortar"} if name != "skeleton_recall" else {"over_batch": True}
        each = [make(name, **options)(logits[:, c : c + 1], target[:, c]) for c in range(3)]
        value = make(name, activation="sigmoid", **options)(logits, target)
        torch.testing.assert_close(value, torch.stack(each).mean())


def test_betti_numbers_of_regions():
    logits, target = regions("topo_grad")
    options = {"base_weight": 0.0, "topology_weight": 1.0}
    rows = torch.tensor([[[1, 0], [2, 1], [0, 3]], [[2, 0], [1, 1], [4, 0]]])
    for numbers in (rows, rows[0], rows[:, :1], rows[0, 0]):
        value = TopoGradLoss(activation="sigmoid", betti_numbers=numbers, **options)(logits, target)
        table = numbers.expand(2, 3, 2)
        alone = TopoGradLoss(**options)
        each = [
            alone(logits[:, c : c + 1], target[:, c], betti_numbers=table[:, c : c + 1]) for c in range(3)
        ]
        torch.testing.assert_close(value, torch.stack(each).mean())
    with pytest.raises(InputError, match=r"betti_numbers has shape .* a row for each of 3 regions"):
        TopoGradLoss(activation="sigmoid", betti_numbers=rows[0, :2], **options)(logits, target)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_one_hot_labels_are_labels(name, dtype):
    logits, labels = sample(3, size_for(name))
    ignored = labels.clone()
    ignored[..., :4] = 255
    one_hot = torch.stack([labels == c for c in range(3)], 1).to(dtype)
    loss = make(name, activation="softmax", ignore_index=255)
    torch.testing.assert_close(loss(logits, one_hot), loss(logits, labels))
    mask = ignored != 255
    torch.testing.assert_close(loss(logits, one_hot * mask[:, None], mask=mask), loss(logits, ignored))
    if dtype == torch.uint8:
        torch.testing.assert_close(
            loss(logits, one_hot.masked_fill(~mask[:, None], 255)), loss(logits, ignored)
        )
    wrong = one_hot.clone()
    wrong[(1, slice(None), *[2] * (labels.ndim - 1))] = 1
    with pytest.raises(InputError, match=r"target\[1\] has channels that do not sum to 1 at \(2, 2"):
        loss(logits, wrong)


def soft_case(channels, seed):
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(2, max(channels, 2), 6, 7, generator=generator, dtype=torch.float64).softmax(1)
    logits = torch.randn(2, channels, 6, 7, generator=generator, dtype=torch.float64)
    return logits, shares if channels > 1 else shares[:, 1:]


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4]), st.sampled_from([0.0, 0.1, 1.0]))
def test_cross_entropy_of_soft_and_smoothed_labels_is_that_of_torch(seed, channels, smoothing):
    logits, shares = soft_case(channels, seed)
    hard = torch.randint(max(channels, 2), (2, 6, 7), generator=torch.Generator().manual_seed(seed))
    weights = [0.5, 2.0, 1.0, 3.0][:channels]
    loss = CEDiceLoss(
        dice_weight=0.0, label_smoothing=smoothing, class_weights=weights,
        activation="sigmoid" if channels == 1 else "softmax",
    )  # fmt: skip
    for target in (hard, shares):
        if channels == 1:
            y = target.double().reshape(2, 1, 6, 7) * (1 - smoothing) + smoothing / 2
            expected = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, y, pos_weight=torch.tensor(weights, dtype=torch.float64)
            )
        else:
            expected = torch.nn.functional.cross_entropy(
                logits, target, torch.tensor(weights, dtype=torch.float64),
                label_smoothing=smoothing, reduction="none",
            ).mean()  # fmt: skip
        torch.testing.assert_close(loss(logits, target), expected)


def test_soft_dice_and_features_of_soft_labels():
    logits, shares = soft_case(3, 0)
    p = logits.softmax(1).flatten(2)
    y = shares.flatten(2)
    dice = (2 * (p * y).sum(2) / (p.sum(2) + y.sum(2))).mean()
    value = ce_dice_loss(logits, shares, activation="softmax", ce_weight=0.0)
    torch.testing.assert_close(value, -dice, rtol=1e-5, atol=0)
    loss = MosinLoss(features=torch.nn.Identity(), activation="softmax", base_weight=0.0, topology_weight=1.0)
    expected = (p - y).square()[:, 1:].mean()
    torch.testing.assert_close(loss(logits, shares), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_soft_labels_that_are_ignored_count_nowhere(channels):
    logits, shares = soft_case(channels, 1)
    loss = CEDiceLoss(activation="softmax" if channels > 1 else "sigmoid", ignore_index=255, reduction="none")
    mask = torch.ones(2, 6, 7)
    mask[..., :3] = 0
    value, gradient = value_and_gradient(loss, logits, shares, mask=mask)
    assert (gradient[..., :3] == 0).all()
    torch.testing.assert_close(loss(logits[..., 3:], shares[..., 3:]), value)
    marked = shares.masked_fill(mask[:, None] == 0, 255.0)
    torch.testing.assert_close(loss(logits, marked), value)
    torch.testing.assert_close(loss(logits, marked.masked_fill(marked == 255, torch.nan), mask=mask), value)
    probabilities = logits.softmax(1) if channels > 1 else logits.sigmoid()
    if channels == 1:
        none = CEDiceLoss(activation="none", ignore_index=255, reduction="none")
        torch.testing.assert_close(none(probabilities, marked), value)


def test_soft_regions():
    logits, _ = soft_case(3, 2)
    shares = torch.rand(2, 3, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    loss, alone = CEDiceLoss(activation="sigmoid"), CEDiceLoss()
    each = [alone(logits[:, c : c + 1], shares[:, c : c + 1]) for c in range(3)]
    torch.testing.assert_close(loss(logits, shares), torch.stack(each).mean())


@pytest.mark.parametrize("name", NAMES)
def test_soft_labels_are_refused_where_they_mean_nothing(name):
    for channels in (1, 3):
        logits, labels = sample(channels, size_for(name))
        shares = torch.stack([labels == c for c in range(3)], 1).float() * 0.8 + 0.2 / 3
        loss = make(name, activation="softmax" if channels > 1 else "sigmoid")
        target = shares if channels > 1 else shares[:, :1]
        if name in ("ce_dice", "mosin"):
            value_and_gradient(loss, logits, target)
            continue
        with pytest.raises(
            InputError, match=r"target has (soft labels|fractional values); .* CEDiceLoss and M"
        ):
            loss(logits, target)


def test_wrong_shares_are_named():
    logits, shares = soft_case(3, 3)
    loss = CEDiceLoss(activation="softmax")
    with pytest.raises(InputError, match=r"target\[1\] has channels that do not sum to 1 at \(2, 3\)"):
        loss(logits, shares.index_put([torch.tensor(i) for i in (1, 0, 2, 3)], torch.tensor(0.9).double()))
    with pytest.raises(InputError, match=r"target\[0\] has values outside \[0, 1\]"):
        loss(logits, 3 * shares - 1)
    with pytest.raises(InputError, match=r"target\[0\] has values outside \[0, 1\] at .* shares in \[0, 1\]"):
        CEDiceLoss()(logits[:, :1], 2.5 * shares[:, :1])
    nan = shares.clone()
    nan[1, 2, 3, 4] = torch.nan
    for case in ((loss, logits, nan), (CEDiceLoss(), logits[:, :1], nan[:, 2:])):
        with pytest.raises(InputError, match=r"target\[1\] has NaN at \([02], 3, 4\)"):
            case[0](*case[1:])
    with pytest.raises(InputError, match="ignore_index is 1; expected no class, as the labels are soft"):
        CEDiceLoss(activation="softmax", ignore_index=1)(logits, shares)


@pytest.mark.parametrize("name", NAMES)
def test_smoothed_labels_change_the_cross_entropy_or_are_refused(name):
    for channels in (1, 3):
        logits, labels = sample(channels, size_for(name))
        loss = make(name, label_smoothing=0.1)
        if name in WITHOUT_CROSS_ENTROPY:
            with pytest.raises(
                InputError, match=r"label_smoothing is 0.1; expected 0, as there is no cross-ent"
            ):
                loss(logits, labels)
            continue
        torch.testing.assert_close(
            make(name, label_smoothing=0.0)(logits, labels), make(name)(logits, labels)
        )
        parameters = inspect.signature(type(loss)).parameters
        weight = (
            0.5
            if name == "cldice"
            else parameters["base_weight"].default
            if "base_weight" in parameters
            else 1
        )
        if name in ("scnp_ce_dice", "critical_ce_dice"):  # which have cross-entropies of their own
            continue
        plain, smooth = ({"dice_weight": 0.0, "label_smoothing": s} for s in (0.0, 0.1))
        change = CEDiceLoss(**smooth)(logits, labels) - CEDiceLoss(**plain)(logits, labels)
        torch.testing.assert_close(loss(logits, labels), make(name)(logits, labels) + weight * change)
    with pytest.raises(InputError, match=r"label_smoothing is 1.5; expected a number in \[0, 1\]"):
        make(name, label_smoothing=1.5)


def test_a_loss_that_was_told_to_leave_the_cross_entropy_out_refuses_smoothing():
    logits, labels = sample(2)
    with pytest.raises(InputError, match="there is no cross-entropy in this loss with these options"):
        ClDiceLoss(iterations=2, ce_weight=0.0, label_smoothing=0.1)(logits, labels)


def test_losses_of_ones_own_need_not_know_of_regions():
    class Area(SegmentationLoss, function=lambda logits, target, *, mask=None, **common: logits.mean()):
        """Nothing of the target."""

    assert Area()(torch.ones(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)) == 1
