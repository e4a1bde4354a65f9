"""TopoGrad: the published values, gradients, prescriptions."""

import pytest
import torch

from tests.losses import golden
from topodl.losses.topo_grad import TopoGradLoss, topo_grad_loss

TOPOLOGY_ONLY = {"base_weight": 0.0, "topology_weight": 1.0}


def test_equals_the_barcode_loss_of_byrne(shared):
    logits, target = golden.case(shared, "A")
    stored = golden.load(shared, "byrne_topo_0")
    value = topo_grad_loss(
        logits[:1], target[:1], betti_numbers=stored["prior_b0_b1"].tolist(), connectivity=4,
        power=1, essential="drop", **TOPOLOGY_ONLY,
    )  # fmt: skip
    (gradient,) = torch.autograd.grad(value, logits)
    assert value.item() == pytest.approx(float(stored["loss"]), rel=1e-6)
    golden.check_gradient(stored, gradient.numpy(), 1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 5, 6), (1, 3, 4, 5), (1, 1, 3, 4, 3)])
@pytest.mark.parametrize("essential", ["clamp", "drop"])
def test_gradient(shape, essential):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
    target = torch.randint(max(shape[1], 2), (shape[0], *shape[2:]), generator=generator)
    assert torch.autograd.gradcheck(
        lambda z: topo_grad_loss(z, target, base_weight=0.5, topology_weight=2.0, essential=essential), logits
    )


def test_two_blobs_by_hand():
    p = torch.zeros(1, 1, 3, 7, dtype=torch.float64)
    p[..., 1, 1], p[..., 1, 2], p[..., 1, 3] = 0.9, 0.2, 0.8  # bars (0.9, 0) and (0.8, 0.2)
    target = torch.zeros(1, 3, 7, dtype=torch.long)

    def loss(betti, **options):
        return topo_grad_loss(
            p, target, betti_numbers=betti, activation="none", **TOPOLOGY_ONLY, **options
        ).item()

    assert loss((0, 0)) == pytest.approx(0.81 + 0.36)
    assert loss((1, 0)) == pytest.approx(0.19 + 0.36)
    assert loss((2, 0)) == pytest.approx(0.19 + 0.64)
    assert loss((3, 0), power=1) == pytest.approx(0.1 + 0.4 + 1)  # a missing bar has no length
    assert loss((2, 1)) == pytest.approx(0.19 + 0.64 + 1)
    assert loss((2, 0), essential="drop") == pytest.approx(0.64)


def test_without_a_prescription_the_label_gives_it():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 9, 9, generator=generator)
    target = torch.zeros(2, 9, 9, dtype=torch.long)
    target[0, 1:6, 1:6] = 1
    target[0, 3, 3] = 0  # a ring
    target[1, ::4] = 1  # three bars
    loss = TopoGradLoss(**TOPOLOGY_ONLY, reduction="none")
    expected = [
        topo_grad_loss(logits[i : i + 1], target[i : i + 1], betti_numbers=b, **TOPOLOGY_ONLY)
        for i, b in enumerate([(1, 1), (3, 0)])
    ]
    torch.testing.assert_close(loss(logits, target), torch.stack(expected))
    torch.testing.assert_close(
        loss(logits, target, precomputed=loss.precompute(target)), torch.stack(expected)
    )


@pytest.mark.parametrize("betti", [(1,), (1, 0, 0), (-1, 0), (1.5, 0), [(1, 0)] * 3, "ab", (True, False)])
def test_unusable_betti_numbers_are_named(betti):
    with pytest.raises(
        ValueError, match=r"topo_grad_loss: betti_numbers is .*; expected 2 integers of at least 0"
    ):
        topo_grad_loss(torch.randn(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long), betti_numbers=betti)


def test_each_sample_has_betti_numbers_of_its_own():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 3, 8, 9, generator=generator)
    table = torch.randint(4, (3, 2, 2), generator=generator)
    loss = TopoGradLoss(**TOPOLOGY_ONLY, reduction="none")

    def one_by_one(numbers):
        return torch.cat([loss(logits[i : i + 1], betti_numbers=numbers[i]) for i in range(3)])

    torch.testing.assert_close(loss(logits, betti_numbers=table), one_by_one(table))
    torch.testing.assert_close(loss(logits, betti_numbers=table.tolist()), one_by_one(table))
    torch.testing.assert_close(loss(logits, betti_numbers=table[:, :1]), one_by_one(table[:, 0]))
    torch.testing.assert_close(loss(logits, betti_numbers=table[0]), one_by_one([table[0]] * 3))
    for wrong in (
        table[:2],
        table[:, :, :1],
        table[:, 0],
    ):  # which may be a row a class, and is for none here
        with pytest.raises(ValueError, match=r"betti_numbers is .* each of 3 samples, \(3, 2, 2\)"):
            loss(logits, betti_numbers=wrong)


@pytest.mark.parametrize("channels", [1, 3])
def test_no_label_is_needed_where_betti_numbers_are_given(channels):
    logits = torch.randn(2, channels, 8, 9, generator=torch.Generator().manual_seed(2)).requires_grad_()
    label = torch.zeros(2, 8, 9, dtype=torch.long)
    mask = torch.ones(2, 8, 9)
    mask[..., :3] = 0
    loss = TopoGradLoss(betti_numbers=(2, 1), **TOPOLOGY_ONLY)
    assert loss(logits) == loss(logits, None) == loss(logits, label)
    assert loss(logits, mask=mask) == loss(logits, label, mask=mask)
    (gradient,) = torch.autograd.grad(loss(logits), logits)
    assert gradient.abs().sum() > 0
    for unfit in (TopoGradLoss(betti_numbers=(2, 1)), TopoGradLoss(**TOPOLOGY_ONLY)):
        with pytest.raises(
            ValueError, match="target is None; expected labels, or betti_numbers and base_weight"
        ):
            unfit(logits)
    with pytest.raises(ValueError, match="logits has shape"):
        loss(logits[0])
    with pytest.raises(TypeError, match="logits is a ndarray"):
        loss(logits.detach().numpy())
