"""What every registered loss promises, whatever it computes."""

import copy
import inspect
import io
import pickle
import re

import numpy as np
import pytest
import torch

import topodl.losses
from topodl.errors import InputError
from topodl.losses import (
    ClDiceLoss,
    DeepSupervisionLoss,
    SkeletonRecallLoss,
    registry,
    topomortar_head_weights,
)
from topodl.losses._reading import warn_of_double_activation
from topodl.losses._targets import TargetCache

# options without which a loss cannot be made, or is slow on tiny input
OPTIONS = {"mosin": {"features": torch.nn.Identity()}, "cldice": {"iterations": 3}}
NAMES = sorted(registry)


def make(name, **options):
    return registry[name](**OPTIONS.get(name, {}), **options)


def sample(channels=2, size=(20, 23), batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, channels, *size, generator=generator)
    labels = torch.randint(max(channels, 2), (batch, *size), generator=generator)
    # blobs instead of noise
    kernel = tuple(3 if s > 1 else 1 for s in size)
    pool = torch.nn.functional.avg_pool2d if len(size) == 2 else torch.nn.functional.avg_pool3d
    labels = (
        (pool(labels[:, None].float(), kernel, 1, tuple(k // 2 for k in kernel)) * 0.999).round().long()[:, 0]
    )
    return 2 * logits, labels.clamp_max(max(channels, 2) - 1)


def value_and_gradient(loss, logits, labels, **kwargs):
    z = logits.detach().clone().requires_grad_()
    value = loss(z, labels, **kwargs)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(z.grad).all()
    return value.detach(), z.grad


def size_for(name):
    return (9, 10, 11) if name == "cavity" else (20, 23)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_classes_sizes_and_shapes_of_the_target(name, channels):
    loss = make(name)
    logits, labels = sample(channels, size_for(name))
    value, gradient = value_and_gradient(loss, logits, labels)
    assert value.shape == ()
    assert gradient.abs().sum() > 0
    torch.testing.assert_close(loss(logits, labels[:, None]), value)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_pixels_are_those_of_the_cross_entropy(name):
    logits, labels = sample(3, size_for(name))
    loss, ones = make(name), torch.ones(labels.shape)
    for mask in (None, torch.ones_like(labels)):
        expected = value_and_gradient(loss, logits, labels, mask=mask)
        found = value_and_gradient(loss, logits, labels, mask=mask, pixel_weights=ones[:, None])
        assert torch.equal(found[0], expected[0])
        torch.testing.assert_close(found[1], expected[1])
    some = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(loss(logits, labels, pixel_weights=some), expected[0])
    torch.testing.assert_close(
        loss(logits, labels, pixel_weights=4 * some), loss(logits, labels, pixel_weights=some)
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_cross_entropy_is_a_mean_by_weights(channels):
    logits, labels = sample(channels)
    weights = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) * (labels > 0)
    loss = topodl.losses.CEDiceLoss(dice_weight=0.0, reduction="none")
    if channels == 1:
        ce = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[:, 0], labels.float(), reduction="none"
        )
    else:
        ce = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    expected = (weights * ce).sum((1, 2)) / weights.sum((1, 2))
    torch.testing.assert_close(loss(logits, labels, pixel_weights=weights), expected)
    counted = (weights > 0).int()
    torch.testing.assert_close(
        loss(logits, labels, pixel_weights=counted), loss(logits, labels, mask=counted)
    )
    assert loss(logits, labels, pixel_weights=0 * weights).tolist() == [0.0, 0.0]


def test_unusable_weights_and_masks_are_named():
    logits, labels = sample()
    weights = torch.rand(labels.shape) + 0.1
    loss = topodl.losses.CEDiceLoss()
    with pytest.raises(
        InputError, match=r"mask has floats other than 0 and 1; .*their weights are pixel_weights"
    ):
        loss(logits, labels, mask=weights)
    torch.testing.assert_close(loss(logits, labels, mask=torch.ones(labels.shape)), loss(logits, labels))
    for bad in (weights - 0.2, weights / 0, weights * torch.nan):
        with pytest.raises(InputError, match="pixel_weights has negative, infinite or NaN entries"):
            loss(logits, labels, pixel_weights=bad)
    with pytest.raises(InputError, match="pixel_weights has shape"):
        loss(logits, labels, pixel_weights=weights[:, :3])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 7), (16, 5), (64, 64)])
def test_odd_and_flat_images(name, size):
    if name == "cavity":
        size = (3, *size)
    value_and_gradient(make(name), *sample(2, size, batch=1))


@pytest.mark.parametrize("name", NAMES)
def test_volumes_are_taken_or_refused_in_one_line(name):
    logits, labels = sample(2, (6, 9, 7), batch=1)
    try:
        value_and_gradient(make(name), logits, labels)
    except InputError:
        with pytest.raises(InputError, match=r"logits has shape .*expected shape \(B, C, H, W\)"):
            make(name)(logits, labels)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_in_memory_does_not_matter(name):
    logits, labels = sample(2, size_for(name))
    backwards = [
        x.permute(*range(x.ndim)[::-1]).contiguous().permute(*range(x.ndim)[::-1]) for x in (logits, labels)
    ]
    transposed = [x.mT.contiguous().mT for x in (logits, labels)]
    loss, expected = make(name), value_and_gradient(make(name), logits, labels)
    for others in (backwards, transposed, [logits, transposed[1]], [transposed[0], labels]):
        torch.testing.assert_close(value_and_gradient(loss, *others), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fill", [0, 1])
def test_empty_and_full_targets_and_predictions(name, fill):
    logits, labels = sample(2, size_for(name))
    uniform = torch.full_like(labels, fill)
    loss = make(name)
    value_and_gradient(loss, logits, uniform)
    for other in (0, 1):
        certain = torch.stack([(uniform == c).float() * 12 - 6 for c in (other, 1 - other)], 1)
        value_and_gradient(loss, certain, uniform)
        value_and_gradient(loss, certain, labels)


@pytest.mark.parametrize("name", NAMES)
def test_reductions(name):
    logits, labels = sample(2, size_for(name))
    each = make(name, reduction="none")(logits, labels)
    assert each.shape == (2,)
    torch.testing.assert_close(make(name)(logits, labels), each.mean())
    torch.testing.assert_close(make(name, reduction="sum")(logits, labels), each.sum())
    # a sample's value does not depend on its companions
    torch.testing.assert_close(make(name)(logits[1:], labels[1:]), each[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(name, dtype):
    logits, labels = sample(2, size_for(name))
    half = logits.to(dtype)
    loss = make(name)
    with torch.autocast("cpu", dtype=dtype):
        value, gradient = value_and_gradient(loss, half, labels)
    assert value.dtype == torch.float32
    assert gradient.dtype == dtype
    torch.testing.assert_close(value, loss(half.float(), labels))


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_are_the_activated_logits(name):
    if name == "scnp_ce_dice":
        pytest.skip("takes logits alone")
    for channels in (1, 2):
        logits, labels = sample(channels, size_for(name))
        p = logits.double().softmax(1) if channels > 1 else logits.double().sigmoid()
        value = make(name, activation="none")(p, labels)
        torch.testing.assert_close(value, make(name)(logits.double(), labels), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_refused_by_name(name):
    loss = make(name)
    logits, labels = sample(2, size_for(name))
    nan, infinite = logits.clone(), logits.clone()
    nan[(1, 1, *[2] * (logits.ndim - 2))] = torch.nan
    infinite[(0, 1, *[2] * (logits.ndim - 2))] = torch.inf
    strict = make(name, non_finite="raise")
    with pytest.raises(InputError, match=r"logits\[1\] has NaN at \(1, 2, 2"):
        strict(nan, labels)
    with pytest.raises(InputError, match=r"logits\[0\] is infinite"):
        strict(infinite, labels)
    with pytest.raises(InputError, match=r"target has shape"):
        loss(logits, labels[..., :-1])
    with pytest.raises(InputError, match=r"logits has shape"):
        loss(logits[0, 0], labels)
    with pytest.raises(InputError, match=r"logits has shape"):
        loss(logits[:0], labels[:0])
    with pytest.raises(TypeError, match="logits is a ndarray"):
        loss(logits.numpy(), labels)
    with pytest.raises(InputError, match=r"target has fractional values"):
        loss(logits, labels + 0.5)
    with pytest.raises(InputError, match=r"logits has dtype torch.int64"):
        loss(logits.long(), labels)
    for wrong in (2, -1):
        bad = labels.clone()
        bad[(1, *[3] * (labels.ndim - 1))] = wrong
        with pytest.raises(InputError, match=rf"target\[1\] has the label {wrong} at \(3, 3"):
            loss(logits, bad)


@pytest.mark.parametrize("weights", ["ab", 5.0, [1.0], [1.0, -1.0], [1.0, torch.nan], [1.0, torch.inf]])
def test_unusable_class_weights_are_named(weights):
    with pytest.raises(InputError, match=r"class_weights is .*; expected 2 finite weights of at least 0"):
        make("ce_dice", class_weights=weights)(*sample(2))


@pytest.mark.parametrize("name", NAMES)
def test_double_activation_is_refused(name):
    logits, labels = sample(2, size_for(name))
    with pytest.raises(InputError, match="looks like probabilities"):
        make(name)(logits.softmax(1), labels)
    warn_of_double_activation.cache_clear()
    with pytest.warns(UserWarning, match=r"all logits lie in \[0, 1\]; if they are probabilities"):
        make(name)(logits[:, :1].sigmoid(), labels)
    make(name)(logits[:, :1].sigmoid(), labels)  # said once
    if name != "scnp_ce_dice":
        with pytest.raises(InputError, match="activation='none'"):
            make(name, activation="none")(logits, labels)


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_change_nothing_and_get_no_gradient(name):
    logits, labels = sample(2, size_for(name))
    ignored = torch.zeros_like(labels, dtype=torch.bool)
    ignored[..., 5:9] = True
    loss = make(name, ignore_index=255)
    value, gradient = value_and_gradient(loss, logits, labels, mask=~ignored)
    assert (gradient.movedim(1, -1)[ignored] == 0).all()
    changed = torch.where(ignored[:, None], -logits, logits)
    torch.testing.assert_close(
        loss(changed, 1 - labels, mask=~ignored), loss(logits, 1 - labels, mask=~ignored)
    )
    torch.testing.assert_close(loss(logits, labels.masked_fill(ignored, 255)), value)


@pytest.mark.parametrize("name", NAMES)
def test_precomputed_targets_change_nothing(name):
    loss = make(name)
    logits, labels = sample(3, size_for(name))
    fresh = make(name, cache_bytes=0)(logits, labels)
    first, again = loss(logits, labels), loss(logits, labels)
    parts = loss.precompute(labels)
    for value in (first, again, loss(logits, labels, precomputed=parts)):
        torch.testing.assert_close(value, fresh, rtol=0, atol=0)
    # as a transform in a data set, collated by the loader
    parts = torch.utils.data.default_collate([loss.target_transform(label[None]) for label in labels])
    torch.testing.assert_close(loss(logits, labels, precomputed=parts), fresh, rtol=0, atol=0)
    with pytest.raises(InputError, match="label has shape"):
        loss.target_transform(labels)


def labels_as_data_sets_give_them(label):
    """One label (H, W) as tensors, arrays and pictures."""
    pillow = pytest.importorskip("PIL.Image")
    array = label.numpy()
    picture = pillow.fromarray(array.astype(np.uint8))
    forms = [label, label[None], label[..., None], array, array[None], array[..., None], picture]
    return [
        *forms,
        array.astype(np.uint8),
        array.astype(np.float32),
        array.T.copy().T,
        array.astype(np.uint16),
    ]


@pytest.mark.parametrize("name", ["cldice", "skeleton_recall", "cbdice", "topograph", "ce_dice"])
def test_target_transforms_take_what_data_sets_give(name):
    loss = make(name)
    _, labels = sample(3, size_for(name))
    expected = loss.target_transform(labels[:1])
    for label in labels_as_data_sets_give_them(labels[0]):
        parts = loss.target_transform(label)
        assert parts.keys() == expected.keys()
        assert all(torch.equal(parts[key], expected[key]) for key in parts)
    named = loss.target_transform(image="picture", mask=labels[0].numpy().astype(np.uint8))
    assert named["image"] == "picture"
    assert torch.equal(named["mask"].long(), labels[:1])
    assert named["parts"].keys() == expected.keys()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (
            np.zeros((8, 8, 3)),
            r"label has shape \(8, 8, 3\); expected one label of shape \(H, W\), \(H, W, 1\)",
        ),
        (np.zeros(8), r"label has shape \(8,\)"),
        (None, "label is not given; expected one label"),
    ],
)
def test_target_transforms_name_what_is_no_label(label, message):
    with pytest.raises(InputError, match=f"ClDiceLoss.target_transform: {message}"):
        make("cldice").target_transform(label)


def test_target_transforms_refuse_colours_and_what_is_given_twice():
    pillow = pytest.importorskip("PIL.Image")
    loss = make("cldice")
    with pytest.raises(InputError, match="label is an image of mode RGB; expected one label"):
        loss.target_transform(pillow.new("RGB", (4, 4)))
    with pytest.raises(InputError, match="label is given twice, as label and as mask"):
        loss.target_transform(np.zeros((4, 4)), mask=np.zeros((4, 4)))
    with pytest.raises(TypeError, match=r"label is a str; expected a torch\.Tensor"):
        loss.target_transform("label.png")


@pytest.mark.parametrize("option", ["softmax", "sigmoid", "to_onehot_y", "other_act", "weight", "batch"])
@pytest.mark.parametrize("name", NAMES)
def test_options_that_others_name_otherwise_lead_to_ours(name, option):
    with pytest.raises(TypeError, match=f"has no option '{option}'; .+; its options are activation"):
        make(name, **{option: True})
    logits, labels = sample(3, size_for(name))
    function = getattr(registry[name], "function", None)
    if function is None:  # SCNP is around another loss
        return
    with pytest.raises(TypeError, match=f"{function.__name__} has no option '{option}'; .+; its options are"):
        function(logits, labels, **{option: True})


@pytest.mark.parametrize("name", NAMES)
def test_unknown_options_are_named(name):
    with pytest.raises(TypeError, match=r"has no option 'colour'; .*active_from, .*cache_bytes, .*ramp"):
        make(name, colour="red")
    with pytest.raises(InputError, match="reduction is 'median'"):
        make(name, reduction="median")
    with pytest.raises(InputError, match="activation is 'tanh'"):
        make(name, activation="tanh")


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles(name):
    loss = make(name)
    logits, labels = sample(2, size_for(name))
    value = loss(logits, labels)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(other(logits, labels), value)
    assert type(loss).__name__ in repr(loss)


def test_public_names():
    assert {"ce_dice", "cldice", "skeleton_recall", "region_wise", "cbdice", "warping"} <= set(registry)
    for cls in registry.values():
        assert getattr(topodl.losses, cls.__name__) is cls


def test_warm_up_schedule_and_state():
    logits, labels = sample()
    loss = ClDiceLoss(active_from=0.5, ramp=0.25, iterations=2)
    base = ClDiceLoss(iterations=2, topology_weight=0.0)(logits, labels)
    full = ClDiceLoss(iterations=2)(logits, labels)
    for fraction, share in ((0.0, 0.0), (0.5, 0.0), (0.625, 0.5), (0.75, 1.0), (1.0, 1.0)):
        loss.set_progress(fraction)
        torch.testing.assert_close(loss(logits, labels), base + share * (full - base))
    loss.set_progress(0.6)
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other = ClDiceLoss(active_from=0.5, ramp=0.25, iterations=2)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.topology_scale == loss.topology_scale > 0
    with pytest.raises(InputError, match=r"fraction is 1\.5"):
        loss.set_progress(1.5)
    with pytest.raises(TypeError, match="no topology term"):
        registry["ce_dice"](active_from=0.5)


def test_cache_hits_by_content_and_stays_small(monkeypatch):
    calls = []
    loss = SkeletonRecallLoss()
    original = type(loss).prepare
    monkeypatch.setattr(
        type(loss), "prepare", staticmethod(lambda *a, **k: calls.append(1) or original(*a, **k))
    )
    _, labels = sample()
    loss.precompute(labels)
    assert len(calls) == 2
    loss.precompute(labels.clone().flip(0))
    assert len(calls) == 2
    labels[0, 0, 0] = 1 - labels[0, 0, 0]
    loss.precompute(labels)
    assert len(calls) == 3
    cache = TargetCache(max_bytes=100)
    for i in range(10):
        cache.put((i, (), ""), {"x": torch.zeros(10)})
        assert cache.bytes <= 100
    assert len(cache) == 2
    assert cache.get((9, (), "")) is not None
    assert cache.get((0, (), "")) is None


def test_deep_supervision_sums_weighted_heads():
    heads = torch.stack([sample(seed=s)[0] for s in range(3)], 1)
    _, labels = sample()
    loss = SkeletonRecallLoss()
    weights = topomortar_head_weights(3)
    supervision = DeepSupervisionLoss(loss, weights)
    expected = sum(w * loss(heads[:, i], labels) for i, w in enumerate(weights))
    torch.testing.assert_close(supervision(heads, labels), expected)
    torch.testing.assert_close(supervision(list(heads.unbind(1)), labels[:, None]), expected)
    base = SkeletonRecallLoss(topology_weight=0.0)
    expected = sum(w * (base if i else loss)(heads[:, i], labels) for i, w in enumerate(weights))
    only_first = DeepSupervisionLoss(loss, weights, topology_heads="first")
    torch.testing.assert_close(only_first(heads, labels), expected)
    small = [heads[:, 0], heads[:, 1, :, ::2, ::2]]
    assert torch.isfinite(DeepSupervisionLoss(loss)(small, labels))
    with pytest.raises(InputError, match="heads has 3 heads"):
        DeepSupervisionLoss(loss, [1.0, 0.5])(heads, labels)
    with pytest.raises(InputError, match="heads has shape"):
        DeepSupervisionLoss(loss)(heads[:, 0], labels)
    np.testing.assert_allclose(7 * np.array(topomortar_head_weights(7))[:3], [1, 0.252, 0.126], atol=1e-3)


def test_deep_supervision_refuses_what_does_not_fit_by_name():
    torch.manual_seed(0)
    heads, labels = torch.randn(2, 3, 2, 8, 12), torch.randint(2, (2, 8, 12))
    loss = DeepSupervisionLoss(ClDiceLoss(iterations=1))
    with pytest.raises(
        InputError, match=r"heads\[0\] has shape \(2, 2, 8, 12\); .* to the target's \(12, 8\)"
    ):
        loss(heads, labels.mT)
    with pytest.raises(InputError, match=r"target has shape \(2, 2, 8, 12\)"):
        loss(heads[..., ::2, ::2], heads[:, 0])
    with pytest.raises(InputError, match=r"mask has shape \(8, 12\)"):
        loss(heads, labels, mask=labels[0])
    with pytest.raises(InputError, match=r"heads\[1\] has shape \(2, 2, 8\)"):
        loss([heads[:, 0], heads[:, 1, ..., 0]], labels)
    with pytest.raises(TypeError, match=r"heads\[0\] is a int"):
        loss([1], labels)
    with pytest.raises(TypeError, match="heads is a NoneType"):
        loss(None, labels)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"mosin"}))
def test_volumes_of_one_layer(name):
    if 3 not in registry[name].spatial_dims:
        return
    loss = make(name)
    logits, labels = sample(2, (1, 9, 12))
    expected = loss(logits, labels)
    torch.testing.assert_close(DeepSupervisionLoss(loss, [1.0])(logits[:, None], labels), expected)
    torch.testing.assert_close(loss(logits, labels, precomputed=loss.precompute(labels[:, None])), expected)


@pytest.mark.parametrize("name", ["topo_loss", "topo_grad"])
def test_betti_numbers_of_other_labels_are_refused(name):
    loss = make(name)
    logits, labels = sample(2, (1, 9, 12))
    for parts in (loss.precompute(labels), loss.precompute(labels[:1, None]), {}):
        with pytest.raises(InputError, match=r"precomputed has .* expected 'betti' of shape \(2, classes"):
            loss(logits, labels, precomputed=parts)


def corner_case(case):
    """Return sharp logits and a label that differ in one pixel, which matters only where corners do not."""
    label = torch.zeros(1, 12, 12, dtype=torch.long)
    if case == "two diagonal pixels":
        label[0, 4, 4] = label[0, 5, 5] = 1
        added = (4, 5)
    else:
        label[0, 4:7, 4:7] = 1
        label[0, 4, 4] = label[0, 5, 5] = 0
        added = (4, 4)
    predicted = label.clone()
    predicted[0][added] = 1
    return torch.where(predicted == 1, 8.0, -8.0)[:, None], label


@pytest.mark.parametrize("case", ["two diagonal pixels", "a ring that lacks a corner"])
@pytest.mark.parametrize("name", ["betti_matching", "topo_loss", "topograph", "warping"])
def test_one_connectivity_setting(name, case):
    logits, labels = corner_case(case)
    term = {"base_weight": 0.0, "topology_weight": 1.0}
    by_default, eight, four = (
        make(name, **term, **options)(logits, labels).item()
        for options in ({}, {"connectivity": 8}, {"connectivity": 4})
    )
    assert by_default == eight
    assert eight < 1e-3
    assert four > 0.4


WITH_SPACING = [name for name in NAMES if "spacing" in inspect.signature(registry[name]).parameters]


@pytest.mark.parametrize("name", WITH_SPACING)
def test_spacing_of_pixels(name):
    logits, labels = sample(2, (40, 46))
    labels[:, 12:18, 3:40] = 1
    value, _ = value_and_gradient(make(name), logits, labels)
    for spacing in (1, 1.0, (1, 1)):
        torch.testing.assert_close(make(name, spacing=spacing)(logits, labels), value, rtol=1e-5, atol=0)
    stretched = make(name, spacing=(1.0, 7.0))
    torch.testing.assert_close(
        stretched(logits, labels), stretched(logits, labels, precomputed=stretched.precompute(labels))
    )
    if name != "warping":  # where it decides the order of flips alone
        assert stretched(logits, labels) != value
    with pytest.raises(InputError, match=r"_loss: spacing is \(1\.0, 2\.0, 3\.0\); expected a number or 2"):
        make(name, spacing=(1.0, 2.0, 3.0))(logits, labels)
    with pytest.raises(InputError, match=r"Loss: spacing is \(1\.0, -2\.0\); expected positive numbers"):
        make(name, spacing=(1.0, -2.0))


@pytest.mark.parametrize("name", WITH_SPACING)
def test_the_unit_of_spacing_changes_nothing(name):
    logits, labels = sample(2, (40, 46))
    labels[:, 12:18, 3:40] = 1
    values = [make(name, spacing=(2.0 * unit, 3.0 * unit))(logits, labels) for unit in (1.0, 2**-20, 2**20)]
    torch.testing.assert_close(values[1:], values[:1] * 2, rtol=1e-6, atol=0)


def test_losses_that_measure_distances_take_a_spacing():
    assert set(WITH_SPACING) == {
        "cbdice",
        "cldice",
        "region_wise",
        "skeleton_recall",
        "warping",
        "windowed_topo",
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_class_describes_each_option_and_its_example(name):
    kind = registry[name]
    doc = inspect.getdoc(kind)
    described = {
        word for names in re.findall(r"^([a-z_0-9, ]+) : ", doc, re.MULTILINE) for word in names.split(", ")
    }
    assert described == set(inspect.signature(kind).parameters) - {"options"}
    assert doc.index("Raises\n------") < doc.index("Examples\n--------")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", NAMES)
def test_logits_that_overflowed_make_the_loss_nan_and_say_which(name, value):
    logits, labels = sample(2, size_for(name))
    bad = logits.clone()
    bad[(1, 1, *[2] * (logits.ndim - 2))] = value
    bad.requires_grad_()
    with pytest.warns(
        RuntimeWarning, match=r"logits\[1\] (has NaN|is infinite) at \(1, 2, 2.*the loss is NaN"
    ) as said:
        total = make(name)(bad, labels)
    assert len(said) == 1
    assert total.isnan()
    total.backward()
    assert bad.grad[1].isnan().all()
    with pytest.warns(RuntimeWarning, match="the loss is NaN"):
        each = make(name, reduction="none")(bad, labels)
    torch.testing.assert_close(each[0], make(name, reduction="none")(logits, labels)[0])
    assert each[1].isnan()
    (gradient,) = torch.autograd.grad(each.sum(), bad)
    assert gradient[0].isfinite().all()
    assert gradient[1].isnan().all()


def test_a_scaler_of_gradients_skips_the_step_that_overflowed():
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 2, 3, padding=1)
    before = [p.detach().clone() for p in network.parameters()]
    optimizer, scaler = torch.optim.SGD(network.parameters(), lr=0.1), torch.amp.GradScaler("cpu")
    image, label = torch.randn(2, 1, 16, 16), torch.randint(2, (2, 16, 16))

    def step(factor):
        optimizer.zero_grad()
        scaler.scale(ClDiceLoss(iterations=2)(factor * network(image), label)).backward()
        scaler.step(optimizer)
        scaler.update()

    with pytest.warns(RuntimeWarning, match="the loss is NaN"):
        step(torch.inf)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
    step(1.0)
    assert all(p.isfinite().all() for p in network.parameters())
    assert not all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32"])
def test_labels_and_masks_of_any_integer_type(name, dtype):
    dtype = getattr(torch, dtype)
    logits, labels = sample(2, size_for(name))
    mask = torch.ones_like(labels)
    mask[..., :4] = 0
    for options in ({}, {"ignore_index": 1}):
        loss = make(name, **options)
        narrow, counted = labels.to(dtype), mask.to(dtype)
        torch.testing.assert_close(loss(logits, narrow, mask=counted), loss(logits, labels, mask=mask))
        torch.testing.assert_close(loss(logits, narrow[:, None]), loss(logits, labels))
        parts = loss.precompute(narrow, mask=counted)
        torch.testing.assert_close(
            loss(logits, narrow, mask=counted, precomputed=parts), loss(logits, labels, mask=mask)
        )
    if dtype != torch.bool:
        wrong = labels.clone()
        wrong[(1, *[3] * (labels.ndim - 1))] = 100
        with pytest.raises(InputError, match=r"target\[1\] has the label 100 at \(3, 3"):
            make(name)(logits, wrong.to(dtype))


@pytest.mark.parametrize("name", NAMES)
def test_terms_that_are_switched_off_leave_a_graph_and_a_value_a_sample(name):
    logits, labels = sample(2, size_for(name))
    logits.requires_grad_()
    weights = {"base_weight", "topology_weight", "ce_weight", "dice_weight"} & set(make(name).options)
    each = make(name, reduction="none", **dict.fromkeys(weights, 0.0))(logits, labels)
    assert each.tolist() == [0, 0]
    each.sum().backward()
    assert not logits.grad.any()


def focal(logits, target, *, gamma):
    labels = target.reshape(len(target), *logits.shape[2:])
    ce = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return ((1 - torch.exp(-ce)) ** gamma * ce).mean()


def test_a_loss_of_ones_own_is_registered_and_trains():
    class FocalLoss(topodl.losses.SegmentationLoss, name="focal_of_the_test", function=focal):
        """What is not right yet."""

    try:
        loss = registry["focal_of_the_test"](gamma=2.0)
        logits, labels = sample()
        z = logits.clone().requires_grad_()
        optimiser = torch.optim.Adam([z], lr=0.1)
        values = []
        for _ in range(20):
            value = loss(z, labels[:, None])
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            values.append(value.item())
        assert values[-1] < values[0] / 2
        assert copy.deepcopy(loss)(logits, labels) == loss(logits, labels)
        with pytest.raises(
            TypeError, match="FocalLoss has no argument 'mask'; expected it in the loss's function"
        ):
            loss(logits, labels, mask=labels)
        with pytest.raises(TypeError, match="FocalLoss needs the option 'gamma'"):
            FocalLoss()
        with pytest.raises(TypeError, match="FocalLoss has no option 'reduction'"):
            FocalLoss(gamma=1.0, reduction="none")
    finally:
        registry.pop("focal_of_the_test")


@pytest.mark.parametrize(
    "function", [lambda logits: logits, lambda logits, target, gamma: logits, lambda *, a: a]
)
def test_a_function_that_no_loss_can_call_enters_no_registry(function):
    with pytest.raises(TypeError, match=r"expected f\(logits, target, \*, options\)"):
        type("Broken", (topodl.losses.SegmentationLoss,), {}, name="broken", function=function)
    with pytest.raises(TypeError, match="does not take precomputed"):
        type(
            "Broken",
            (topodl.losses.SegmentationLoss,),
            {},
            name="broken",
            function=lambda logits, target: logits,
            prepare=dict,
        )
    assert "broken" not in registry
