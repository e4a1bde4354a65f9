import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torchmetrics import Metric, MetricCollection

from topodl import metrics as public
from topodl.errors import InputError
from topodl.metrics import BettiError, ClDice, Dice, HausdorffDistance95

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
        mean.update(preds[own], target[own])
        each.update(preds[own], target[own])
        if rank == 0:
            idle.update(preds, target)
            never.update(preds, target)
        else:
            idle.update(preds[:0], target[:0])
            never._update_count = 1  # which torchmetrics warns of otherwise
        results[metric_class.__name__] = (mean.compute(), each.compute(), idle.compute(), never.compute())
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
