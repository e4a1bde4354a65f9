"""Topograph: the published values, gradients, hand-made cases."""

import numpy as np
import pytest
import torch

from topodl.kernels.masks.topograph import critical_regions
from topodl.losses.topograph import TopographLoss, topograph_loss


def _golden(shared, name):
    inputs = np.load(shared / "golden" / "seg" / "inputs.npz")
    logits = torch.tensor(inputs["logits_A"]).double().requires_grad_()
    return logits, torch.tensor(inputs["labels_A"]).long(), np.load(shared / "golden" / "seg" / f"{name}.npz")


def test_equals_the_published_loss(shared):
    logits, target, golden = _golden(shared, "tl_topograph")
    loss = topograph_loss(logits, target, base_weight=0.0, topology_weight=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(float(golden["loss"]), rel=1e-6)  # the original computes in float32
    np.testing.assert_allclose(logits.grad[:, 1], golden["grad"], atol=1e-7)


def test_regions_equal_the_published_ones_under_four_connectivity(shared):
    """The original pads by one pixel, counts diagonal background twice, and reads classes off by one."""
    logits, target, golden = _golden(shared, "tl_topograph_4conn_sphere")
    probabilities, total = logits.softmax(1), 0
    for p, label in zip(probabilities, target, strict=True):
        predicted = np.pad(p.detach().argmax(0).numpy(), 1)
        pixels, regions = critical_regions(predicted == 1, np.pad(label.numpy() == 1, 1), False, False)
        y, x = np.divmod(pixels, predicted.shape[1])
        values = p[predicted[y - 1, x - 1], y - 1, x - 1]
        total = total + sum(values[regions == r].mean() for r in np.unique(regions))
    (total / 2).backward()
    assert (total / 2).item() == pytest.approx(float(golden["loss"]), rel=1e-6)
    np.testing.assert_allclose(logits.grad[:, 1], golden["grad"], atol=1e-7)


@pytest.mark.parametrize("aggregation", ["mean", "sum", "max", "min", "rms"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_gradient(aggregation, channels):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, channels, 5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    target = torch.randint(max(channels, 2), (1, 5, 6), generator=generator)
    options = {"base_weight": 0.5, "topology_weight": 2.0, "aggregation": aggregation}
    assert topograph_loss(logits, target, **options) > topograph_loss(
        logits, target, base_weight=0.5, topology_weight=0
    )
    assert torch.autograd.gradcheck(lambda z: topograph_loss(z, target, **options), logits, eps=1e-7)


def test_aggregations_of_a_region_of_two_pixels():
    target = torch.zeros(1, 3, 5, dtype=torch.long)
    target[:, 1] = 1
    p = torch.where(target == 1, 0.9, 0.1).double()
    p[0, 1, 2], p[0, 1, 3] = 0.2, 0.4
    values = {
        a: float(
            topograph_loss(
                p[:, None], target, base_weight=0, topology_weight=1, activation="none", aggregation=a
            )
        )
        for a in ("mean", "sum", "max", "min", "rms")
    }
    expected = {"mean": 0.7, "sum": 1.4, "max": 0.8, "min": 0.6, "rms": 0.5**0.5}
    assert values == pytest.approx(expected)


def test_ignored_pixels_are_not_critical():
    target = torch.zeros(1, 3, 7, dtype=torch.long)
    target[:, 1] = 1
    logits = (8.0 * target - 4)[:, None]
    logits[0, 0, 1, 3] = -4.0
    target[0, 1, 3] = 255
    assert float(topograph_loss(logits, target, base_weight=0, ignore_index=255)) == 0


@pytest.mark.parametrize("fill", [0, 1])
def test_empty_and_full_target(fill):
    logits = torch.randn(2, 2, 9, 12, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = TopographLoss()(logits, torch.full((2, 9, 12), fill))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_a_volume_is_refused():
    with pytest.raises(
        ValueError, match=r"logits has shape \(1, 2, 4, 4, 4\); expected shape \(B, C, H, W\)"
    ):
        topograph_loss(torch.randn(1, 2, 4, 4, 4), torch.zeros(1, 4, 4, 4, dtype=torch.long))
