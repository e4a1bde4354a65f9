"""Metrics of ours over the epochs of an engine, from batches and from lists of single images."""

import pytest
import torch

engines = pytest.importorskip("ignite.engine")

from topodl.integrations.ignite import MetricHandler  # noqa: E402
from topodl.metrics import BettiError, Dice  # noqa: E402

BATCHES = [torch.randint(2, (2, 2, 8, 8), generator=torch.Generator().manual_seed(i)) for i in range(3)]


def run(metric, transform):
    engine = engines.Engine(lambda _, batch: {"pred": batch[0], "label": batch[1]})
    MetricHandler(metric, transform).attach(engine, "m")
    return engine.run(BATCHES, max_epochs=2).metrics


@pytest.mark.parametrize("as_list", [False, True])
def test_an_epoch_gives_the_mean_over_its_images(as_list):
    def transform(out):
        parts = out["pred"], out["label"]
        return tuple(list(part[:, None]) for part in parts) if as_list else parts

    dice, betti = Dice(), BettiError()
    for pred, label in BATCHES:
        dice.update(pred, label)
        betti.update(pred, label)
    assert run(Dice(), transform)["m"] == pytest.approx(float(dice.compute()))
    found = run(BettiError(), transform)
    expected = betti.compute().tolist()
    assert [found["m_b0"], found["m_b1"]] == pytest.approx(expected)


def test_values_of_single_images_stay_a_tensor():
    found = run(Dice(reduction="none"), lambda out: (out["pred"], out["label"]))
    assert found["m"].shape == (6,)
