import pickle
import re
from pathlib import Path

import hypothesis.extra.numpy
import matplotlib.pyplot
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics import Metric, MetricCollection

from topodl import metrics as public
from topodl.errors import InputError
from topodl.metrics import (
    AdjustedRandIndex,
    BettiError,
    ClDice,
    Dice,
    HausdorffDistance95,
    VariationOfInformation,
    dice_score,
)

METRICS = [Dice, ClDice, HausdorffDistance95, BettiError]
EVERY_METRIC = [m for m in vars(public).values() if isinstance(m, type) and issubclass(m, Metric)]


def batches(seed: int, n: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (2, n, 1, 12, 12), generator=generator).unbind(0)


@pytest.mark.parametrize("metric_class", METRICS)
def test_batches_add_up_and_the_batch_size_does_not_matter(metric_class):
    preds, target = batches(0)
    whole, parts, each = metric_class(), metric_class(), metric_class(reduction="none")
    whole.update(preds, target)
    for start in range(0, 7, 3):
        parts.update(preds[start : start + 3], target[start : start + 3])
        each.update(preds[start : start + 3], target[start : start + 3])
    assert torch.allclose(whole.compute(), parts.compute(), rtol=1e-15)
    assert each.compute().shape[0] == 7
    assert torch.allclose(each.compute().mean(0), whole.compute(), rtol=1e-12)


@pytest.mark.parametrize("metric_class", METRICS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_forward_returns_the_batchs_own_value_and_accumulates(metric_class, reduction):
    preds, target = batches(1)
    metric, expected = metric_class(reduction=reduction), metric_class(reduction=reduction)
    metric.update(preds[:4], target[:4])
    value = metric(preds[4:], target[4:])
    expected.update(preds[4:], target[4:])
    assert torch.equal(value, expected.compute())
    expected.update(preds[:4], target[:4])
    assert torch.allclose(metric.compute().mean(0), expected.compute().mean(0))


@pytest.mark.parametrize("metric_class", METRICS)
def test_reset_pickle_and_empty_batches(metric_class):
    preds, target = batches(2)
    metric = metric_class()
    metric.update(preds[:0], target[:0])
    metric.update(preds, target)
    copy = pickle.loads(pickle.dumps(metric))
    assert torch.equal(copy.compute(), metric.compute())
    metric.reset()
    with (
        pytest.warns(UserWarning, match="before the ``update`` method"),
        pytest.raises(InputError, match=f"{metric_class.__name__}: compute.. before any image was measured"),
    ):
        metric.compute()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_compute_of_empty_batches_only_says_so(reduction):
    metric = Dice(reduction=reduction)
    metric.update(torch.zeros(0, 4, 4), torch.zeros(0, 4, 4))
    if reduction == "none":
        assert metric.compute().shape == (0,)
    else:
        with pytest.raises(InputError, match="before any image"):
            metric.compute()


def test_the_512_pixel_cases_agree_in_every_metric(shared):
    golden = np.load(shared / "golden" / "seg" / "metrics_512.npz")
    study = {"convention": "topomortar"}
    metrics = {
        "dice": Dice(**study),
        "hd95": HausdorffDistance95(**study),
        "betti": BettiError(**study),
        "betti_local": BettiError(window=128, **study),
        "cldice": ClDice(**study),
    }
    for case in (0, 1):
        preds, target = (
            torch.from_numpy(np.unpackbits(golden[f"{name}_{case}"]).reshape(1, 512, 512)).bool()
            for name in ("pred", "label")
        )
        for name, metric in metrics.items():
            value = metric(preds, target)
            np.testing.assert_allclose(value.reshape(-1), golden[f"{name}_{case}"], rtol=1e-12, err_msg=name)


def _measure_in_process(rank: int, folder: str) -> None:
    store = Path(folder, "store").as_uri()
    torch.distributed.init_process_group("gloo", store, rank=rank, world_size=2)
    preds, target = batches(3)
    own = slice(0, 3) if rank == 0 else slice(3, 7)
    results = {}
    for metric_class in EVERY_METRIC:
        mean, idle, each = metric_class(), metric_class(), metric_class(reduction="none")
        never = metric_class(reduction="none")
        left_out = metric_class(num_classes=4, ignore_empty="both", reduction="per_class")
        left_out.update(preds[own] * (1 + rank), target[own])
        mean.update(preds[own], target[own])
        each.update(preds[own], target[own])
        if rank == 0:
            idle.update(preds, target)
            never.update(preds, target)
        else:
            idle.update(preds[:0], target[:0])
            never._update_count = 1  # which torchmetrics warns of otherwise
        results[metric_class.__name__] = [m.compute() for m in (mean, each, idle, never, left_out)]
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_processes_add_up_also_with_one_that_saw_no_image(tmp_path):
    mp.spawn(_measure_in_process, args=(tmp_path.as_posix(),), nprocs=2)
    preds, target = batches(3)
    for rank in (0, 1):
        results = torch.load(tmp_path / f"{rank}.pt")
        for metric_class in EVERY_METRIC:
            mean, each = metric_class(), metric_class(reduction="none")
            mean.update(preds, target)
            each.update(preds, target)
            found = results[metric_class.__name__]
            assert torch.allclose(found[0], mean.compute())
            assert torch.equal(found[1], each.compute())
            assert torch.allclose(found[2], mean.compute())
            assert torch.equal(found[3], each.compute())
            left_out = metric_class(num_classes=4, ignore_empty="both", reduction="per_class")
            left_out.update(torch.cat([preds[:3], preds[3:] * 2]), target)
            assert torch.allclose(found[4], left_out.compute(), equal_nan=True)
            assert left_out.counts().tolist() == [7, 4, 0]


VARIANTS = {
    **{m.__name__: m() for m in EVERY_METRIC},
    "hd95_in_mm": HausdorffDistance95(spacing=0.5),
    "hd95_anisotropic": HausdorffDistance95(spacing=(1, 0.5)),
    "local": BettiError(window=4),
    "components": BettiError(dims=(0,)),
    "dice_of_the_study": Dice(convention="topomortar"),
    "each": Dice(reduction="none"),
}


def test_a_collection_reports_what_each_metric_does_by_itself():
    """Metrics that agree on the first batch, as many do on empty masks, are not one metric."""
    nothing, (preds, target) = torch.zeros(3, 1, 12, 12), batches(4)
    together = MetricCollection({name: metric.clone() for name, metric in VARIANTS.items()})
    alone = {name: metric.clone() for name, metric in VARIANTS.items()}
    for batch in ((nothing, nothing), (preds, target)):
        together.update(*batch)
        for metric in alone.values():
            metric.update(*batch)
    found = together.compute()
    for name, metric in alone.items():
        assert torch.equal(found[name], metric.compute()), name


def test_a_collection_computes_equal_metrics_once():
    together = MetricCollection({"a": Dice(num_classes=2), "b": Dice(num_classes=2), "c": ClDice()})
    together.update(*batches(5))
    assert sorted(map(sorted, together.compute_groups.values())) == [["a", "b"], ["c"]]


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int16, torch.bool]
)
def test_labels_of_any_width_are_read(metric_class, dtype):
    preds, target = batches(6)
    expected = metric_class()(preds, target)
    assert torch.equal(metric_class()(preds.to(dtype), target.to(dtype)), expected)


LABELS = hypothesis.extra.numpy.arrays(np.int64, (2, 2, 5, 6), elements=st.integers(0, 2))
MEASURED_ALIKE = hypothesis.settings(max_examples=15)


def channels_of(labels: torch.Tensor, n: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, n).movedim(-1, 1)


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
@MEASURED_ALIKE
@given(LABELS)
def test_one_hot_channels_are_what_their_label_maps_are(metric_class, labels):
    preds, target = torch.from_numpy(labels)
    expected = metric_class(num_classes=3, reduction="none")(preds, target)
    metric = metric_class(num_classes=3, reduction="none", input_format="one-hot")
    one_hot = channels_of(preds, 3)
    assert torch.equal(metric(one_hot, channels_of(target, 3).bool()), expected)
    assert torch.equal(metric(one_hot, target), expected)
    assert torch.equal(metric(preds[:, None], channels_of(target, 3).float()), expected)


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
@MEASURED_ALIKE
@given(hypothesis.extra.numpy.arrays(np.bool_, (2, 2, 3, 5, 6)))
def test_regions_may_overlap_and_are_measured_one_by_one(metric_class, regions):
    preds, target = torch.from_numpy(regions)
    metric = metric_class(num_classes=3, reduction="none", input_format="regions")
    values = metric(preds, target)
    alone = metric_class(reduction="none")
    expected = torch.stack([alone(preds[:, c], target[:, c]) for c in range(3)], 1)
    assert torch.equal(values, expected)
    united = metric_class(num_classes=3, reduction="none", input_format="regions", classes="union")
    assert torch.equal(united(preds, target), alone(preds.any(1), target.any(1)))


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
@MEASURED_ALIKE
@given(LABELS)
def test_classes_are_measured_one_by_one_or_as_their_union(metric_class, labels):
    preds, target = torch.from_numpy(labels)
    alone = metric_class(reduction="none")
    each = metric_class(num_classes=3, reduction="none")(preds, target)
    assert torch.equal(each, torch.stack([alone(preds == c, target == c) for c in (1, 2)], 1))
    union = metric_class(num_classes=3, reduction="none", classes="union")
    assert torch.equal(union(preds, target), alone(preds > 0, target > 0))


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
def test_channels_are_never_read_as_a_volume(metric_class):
    channels = torch.zeros(2, 3, 8, 8)
    for n in (2, 3, 5):
        with pytest.raises(InputError, match="whose second axis may be channels or depth"):
            metric_class(num_classes=n)(channels, channels)
    with pytest.raises(InputError, match=r"has shape \(2, 3, 8, 8\); expected shape \(B, 2, H, W\)"):
        metric_class(input_format="regions")(channels, channels)
    with pytest.raises(InputError, match=r"preds\[0\] has 0 classes at \(0, 0\); expected one class in each"):
        metric_class(input_format="one-hot", num_classes=3)(channels, channels)
    with pytest.raises(InputError, match=r"preds\[0\] has the value 0.5 at .* expected 0 and 1"):
        metric_class(input_format="regions", num_classes=3)(channels + 0.5, channels)


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"input_format": "onehot"},
            "input_format is 'onehot'; expected one of 'index', 'one-hot', 'regions'",
        ),
        ({"classes": "all"}, "classes is 'all'; expected one of 'each', 'union'"),
        ({"num_classes": 1}, "num_classes is 1; expected an integer of at least 2"),
        (
            {"num_classes": 0, "input_format": "regions"},
            "num_classes is 0; expected an integer of at least 1",
        ),
    ],
)
def test_unusable_common_options_are_named_at_once(metric_class, options, message):
    with pytest.raises(InputError, match=f"{metric_class.__name__}: {message}"):
        metric_class(**options)
    function, mask = metric_class.function, torch.zeros(1, 8, 8)
    with pytest.raises(InputError, match=f"{function.__name__}: {message}"):
        function(mask, mask, **options)


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
def test_an_unknown_option_is_named(metric_class):
    mask = torch.zeros(1, 8, 8)
    with pytest.raises(TypeError, match=f"{metric_class.function.__name__} has no option 'sigmoid'"):
        metric_class.function(mask, mask, sigmoid=True)
    with pytest.raises(TypeError, match=f"{metric_class.__name__} has no option 'colour'; its options are"):
        metric_class(colour="red")
    metric_class(compute_on_cpu=True)  # of torchmetrics


@pytest.mark.parametrize(
    ("option", "ours"),
    [
        ("include_background", "the background is no class"),
        ("softmax", "label maps come in"),
        ("sigmoid", "label maps come in"),
        ("to_onehot_y", "input_format='one-hot'"),
        ("get_not_nans", "counts()"),
        ("average", "reduction says it here"),
    ],
)
@pytest.mark.parametrize("metric_class", EVERY_METRIC)
def test_an_option_that_others_name_otherwise_leads_to_ours(metric_class, option, ours):
    with pytest.raises(TypeError, match=f"has no option '{option}'; .*{re.escape(ours)}"):
        metric_class(**{option: True})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("metric_class", EVERY_METRIC)
def test_lists_of_decollated_items_are_their_images_one_by_one(metric_class):
    MetaTensor = pytest.importorskip("monai.data").MetaTensor
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randint(3, (2, *size), generator=generator) for size in ((7, 9), (8, 6), (5, 5))]
    preds, target = ([pair[k] for pair in maps] for k in (0, 1))
    one_hot = [torch.nn.functional.one_hot(m, 3).movedim(-1, 0).float() for m in preds]

    def measured(preds, target, **options):
        metric = metric_class(num_classes=3, **options)
        metric.update(preds, target)
        return metric.compute()

    alone = torch.stack([measured(p[None], t[None]) for p, t in zip(preds, target, strict=True)])
    expected = alone.mean(0)
    lists = [MetaTensor(m[None].float()) for m in preds], [MetaTensor(m[None].float()) for m in target]
    torch.testing.assert_close(measured(*lists), expected, equal_nan=True)
    mixed = measured([MetaTensor(m) for m in one_hot], [m[None] for m in target], input_format="one-hot")
    torch.testing.assert_close(mixed, expected, equal_nan=True)


# Which classes are measured, by ignore_empty.
MEASURED = {
    "both": lambda p, t: p | t,
    "target": lambda p, t: t,
}


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
@pytest.mark.parametrize("ignore_empty", ["both", "target"])
@MEASURED_ALIKE
@given(labels=hypothesis.extra.numpy.arrays(np.int64, (2, 3, 2, 3), elements=st.integers(0, 3)))
def test_absent_classes_are_left_out_of_values_means_and_counts(metric_class, ignore_empty, labels):
    preds, target = torch.from_numpy(labels)
    has_p, has_t = (torch.stack([(x == c).flatten(1).any(1) for c in (1, 2, 3)], 1) for x in (preds, target))
    kept = MEASURED[ignore_empty](has_p, has_t)
    every = metric_class(num_classes=4, reduction="none")(preds, target)
    wide = kept.reshape(*kept.shape, *(1,) * (every.ndim - 2))
    expected = every.where(wide, torch.nan)
    options = {"num_classes": 4, "ignore_empty": ignore_empty}
    each = metric_class(**options, reduction="none")
    assert torch.equal(each(preds, target).nan_to_num(-9), expected.nan_to_num(-9))
    mean, by_class = metric_class(**options), metric_class(**options, reduction="per_class")
    for p, t in zip(preds.split(2), target.split(2), strict=True):
        mean.update(p, t)
        by_class.update(p, t)
    same = {"equal_nan": True, "rtol": 1e-9, "atol": 1e-12}
    assert torch.allclose(mean.compute(), expected.nanmean(1).nanmean(0), **same)
    assert torch.allclose(by_class.compute(), expected.nanmean(0), **same)
    assert mean.counts() == kept.any(1).sum()
    assert by_class.counts().tolist() == each.counts().tolist() == kept.sum(0).tolist()


def test_dice_of_absent_classes_by_hand():
    """Class 1 is in neither map, class 2 in the prediction alone, 3 in the target alone, 4 in both."""
    preds, target = torch.tensor([[[2, 0, 4]]]), torch.tensor([[[0, 3, 4]]])
    nan = torch.nan
    for ignore_empty, values in (
        ("never", [1.0, 0.0, 0.0, 1.0]),
        ("both", [nan, 0.0, 0.0, 1.0]),
        ("target", [nan, nan, 0.0, 1.0]),
    ):
        options = {"num_classes": 5, "ignore_empty": ignore_empty}
        found = Dice(**options, reduction="none")(preds, target)
        assert torch.equal(found.nan_to_num(-9), torch.tensor([values], dtype=torch.float64).nan_to_num(-9))
        counted = [v for v in values if v == v]
        assert Dice(**options)(preds, target).item() == pytest.approx(sum(counted) / len(counted))
    nothing = torch.zeros(2, 4, 4)
    metric = Dice(ignore_empty="both")
    assert metric(nothing, nothing).isnan()
    assert metric.counts() == 0


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
@MEASURED_ALIKE
@given(hypothesis.extra.numpy.arrays(np.int64, (4, 2, 5, 6), elements=st.integers(0, 2)))
def test_what_is_ignored_counts_nowhere(metric_class, labels):
    preds, target, garbage, chosen = torch.from_numpy(labels)
    mask = chosen > 0
    options = {"num_classes": 3, "reduction": "none"}
    metric = metric_class(**options)
    values = metric(preds, target, mask=mask)
    assert torch.equal(
        metric(preds.where(mask, garbage), target.where(mask, garbage), mask=mask[:, None]), values
    )
    by_label = metric_class(**options, ignore_index=255)
    assert torch.equal(by_label(preds.where(mask, 77), target.where(mask, 255)), values)
    assert torch.equal(metric(preds, target, mask=torch.ones_like(mask)), metric(preds, target))
    if not issubclass(metric_class, AdjustedRandIndex | VariationOfInformation):
        assert torch.equal(metric(preds * mask, target * mask), values)
    nothing = metric(preds, target, mask=torch.zeros_like(mask))
    assert torch.equal(nothing, metric(torch.zeros_like(preds), torch.zeros_like(preds)))


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
def test_regions_and_one_hot_channels_have_ignored_pixels_of_their_own(metric_class):
    generator = torch.Generator().manual_seed(7)
    preds, target, chosen = torch.randint(0, 2, (3, 2, 3, 6, 7), generator=generator)
    mask = chosen > 0
    metric = metric_class(num_classes=3, input_format="regions", ignore_index=255, reduction="none")
    values = metric(preds, target.where(mask, 255))
    alone = metric_class(reduction="none")
    expected = [alone(preds[:, c], target[:, c], mask=mask[:, c]) for c in range(3)]
    assert torch.equal(values, torch.stack(expected, 1))
    assert torch.equal(metric(preds, target, mask=mask[:, 0]), metric(preds, target.where(mask[:, :1], 255)))
    labels = target.argmax(1)
    one_hot = metric_class(num_classes=3, input_format="one-hot", ignore_index=255, reduction="none")
    expected = metric_class(num_classes=3, reduction="none")(preds.argmax(1), labels, mask=mask[:, 0])
    assert torch.equal(
        one_hot(channels_of(preds.argmax(1), 3), channels_of(labels, 3).where(mask[:, :1], 255)), expected
    )


def test_dice_of_what_is_not_ignored_by_hand():
    preds, target = torch.tensor([[[1, 1, 1, 0]]]), torch.tensor([[[1, 0, 255, 1]]])
    assert Dice(ignore_index=255)(preds, target).item() == pytest.approx(2 * 1 / (2 + 2))
    mask = torch.tensor([[[1, 0, 0, 1]]])
    assert Dice()(preds, target, mask=mask).item() == pytest.approx(2 * 1 / (1 + 2))
    with pytest.raises(InputError, match=r"dice_score: mask has shape \(1, 4\); expected shape \(1, 1, 4\)"):
        Dice()(preds, target, mask=mask[0])
    with pytest.raises(InputError, match=r"Dice: ignore_index is 0\.5; expected an integer"):
        Dice(ignore_index=0.5)


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
def test_arrays_and_lists_of_images_are_read(metric_class):
    preds, target = (x[:, 0] for x in batches(8, n=3))
    metric = metric_class(reduction="none")
    expected = metric(preds, target)
    read_only = np.asarray(preds)
    read_only.flags.writeable = False
    assert torch.equal(metric(read_only, target.numpy().astype(np.uint8)), expected)
    assert torch.equal(
        metric(preds[:, ::2], target[:, ::2]), metric(preds.numpy()[:, ::2], target.numpy()[:, ::2])
    )
    assert torch.equal(metric(list(preds), list(target.numpy())), expected)
    assert torch.equal(metric([p[None] for p in preds], target), expected)
    ones = torch.ones_like(preds)
    assert torch.equal(metric(list(preds), list(target), mask=list(ones)), expected)
    small = preds[1:, :8, :9], target[1:, :8, :9]
    function, sizes = metric_class.function, metric([preds[0], *small[0]], [target[0], *small[1]])
    assert torch.equal(sizes, torch.cat([function(preds[:1], target[:1]), function(*small)]))
    regions = metric_class(num_classes=2, input_format="regions", reduction="none")
    pair = [preds[:2], target[:2]], [target[:2], preds[1:]]
    assert torch.equal(regions(*pair), regions(*(torch.stack(items) for items in pair)))


@pytest.mark.parametrize("metric_class", EVERY_METRIC)
def test_masks_stay_as_they_are_whatever_their_strides(metric_class):
    preds, target = (x[:, 0].bool() for x in batches(10, n=2))
    before = preds.clone(), target.clone()
    metric = metric_class(reduction="none")
    expected = metric(preds.long()[:, ::2], target.long()[:, ::2])
    assert torch.equal(metric(preds[:, ::2], target[:, ::2]), expected)
    assert torch.equal(metric(preds.mT, target.mT), metric(preds.mT.long(), target.mT.long()))
    assert torch.equal(preds, before[0])
    assert torch.equal(target, before[1])


def test_items_of_lists_are_named():
    image, volume = torch.zeros(4, 4), torch.zeros(1, 3, 4, 4)
    for preds, target, message in (
        ([], [], "preds is an empty list; expected at least one image"),
        ([image, image], [image], "target has 1 items; expected 2, as many as preds"),
        ([image, image + 2], [image, image], r"preds\[1\] has the value 2 at \(0, 0\)"),
        ([image, image], [image, image[1:]], r"target\[1\] has shape \(1, 3, 4\); expected that of preds"),
        ([image, volume], [image, volume], "preds is a list of images and of volumes; expected one kind"),
        ([volume[0]], [volume[0]], r"preds\[0\] has shape \(1, 3, 4, 4\), whose second axis may be"),
    ):
        with pytest.raises(InputError, match=f"dice_score: {message}"):
            dice_score(preds, target)


@pytest.mark.parametrize("reduction", ["mean", "per_class", "none"])
@pytest.mark.parametrize("metric_class", EVERY_METRIC)
def test_values_have_names_and_are_plotted(metric_class, reduction):
    matplotlib.use("agg")
    metric = metric_class(num_classes=3, reduction=reduction)
    generator = torch.Generator().manual_seed(9)
    series = [metric(*torch.randint(0, 3, (2, 2, 9, 9), generator=generator)) for _ in range(3)]
    named, value = metric.as_dict(), metric.compute()
    assert all(name.startswith(metric_class.__name__) for name in named)
    shape = () if reduction != "none" else (6,)
    assert all(part.shape == shape for part in named.values())
    assert sum(part.sum() for part in named.values()).item() == pytest.approx(value.sum().item())
    assert (len(named) == 1) == (value.ndim == (reduction == "none"))
    for shown in (None, series[0], series):
        figure, _ = metric.plot(shown)
        matplotlib.pyplot.close(figure)


def test_names_of_values_by_hand():
    target = torch.zeros(1, 6, 6, dtype=torch.long)
    target[:, 1, 1], target[:, 4, 1:4] = 1, 2
    preds = target * (target == 2)
    preds[:, 1, 3] = 2
    metric = BettiError(num_classes=3, reduction="per_class")
    metric.update(preds, target)
    expected = {"b0_class_1": 1, "b1_class_1": 0, "b0_class_2": 1, "b1_class_2": 0}
    assert metric.as_dict() == {f"BettiError_{name}": value for name, value in expected.items()}
    metric = BettiError(dims=0)
    metric.update(preds > 0, target > 0)
    assert metric.as_dict() == {"BettiError_b0": 0}
    metric = VariationOfInformation()
    metric.update(target > 0, target > 0)
    assert metric.as_dict() == {"VariationOfInformation_splits": 0, "VariationOfInformation_merges": 0}
    regions = Dice(num_classes=2, input_format="regions", reduction="per_class")
    regions.update(torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4))
    assert regions.as_dict() == {"Dice_region_0": 1, "Dice_region_1": 1}
