"""Regularisers by hand, by gradients, by what training does, and attached to a model."""

import math

import pytest
import torch
from torch import nn

import topodl
from topodl import Diagrams
from topodl.errors import InputError
from topodl.hooks import attach
from topodl.losses import BettiTargetLoss, DiagramTargetLoss, FeatureCountLoss, TotalPersistenceLoss

LINE = torch.tensor([[0.0], [1.0], [3.0], [3.5]])  # bars 0.5, 1, 2


def target():
    return topodl.rips_persistence(torch.tensor([[[0.0], [1.0], [2.0], [3.0]]]), 0)


ALL = [
    TotalPersistenceLoss(0),
    FeatureCountLoss(1.0, 0),
    BettiTargetLoss({0: 2}),
    DiagramTargetLoss(target()),
]


def test_values_by_hand():
    assert TotalPersistenceLoss(0)(LINE).item() == 3.5
    assert TotalPersistenceLoss(0, power=2.0)(LINE).item() == 5.25
    expected = sum(1 / (1 + math.exp(-(length - 0.8) / 0.08)) for length in (0.5, 1, 2))
    assert FeatureCountLoss(0.8, 0)(LINE).item() == pytest.approx(expected)
    assert BettiTargetLoss({0: 3}, length=1.5)(LINE).item() == pytest.approx(0.5**2 + 0.5**2)
    assert BettiTargetLoss({0: 6}, length=1.0)(LINE).item() == pytest.approx(0.5**2 + 2 * 1.0)
    assert DiagramTargetLoss(target())(LINE).item() == pytest.approx(0.5**2 + 1.0**2)


def test_images_by_hand():
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 1:4, 1:4] = 1.0
    image[0, 0, 2, 2] = 0.25  # a wall around a pit of depth 0.75
    pits = TotalPersistenceLoss(0, filtration="cubical")
    assert pits(image).item() == pytest.approx(0.75)
    torch.testing.assert_close(pits(torch.cat((image, 2 * image))), torch.tensor(1.5 * 0.75))
    # the border is a loop around the wall, from 0 to 1
    assert TotalPersistenceLoss()(image).item() == pytest.approx(1.75)
    ring = BettiTargetLoss({1: 1}, superlevel=True)
    assert ring(image).item() == pytest.approx((1 - 0.75) ** 2)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_gradients(loss):
    x = torch.tensor(
        [[0.0, 0.1], [1.1, 0.0], [3.0, 0.3], [3.4, 1.2]], dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(loss, x)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_through_attach(loss):
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    with attach(model, "0", loss) as attached:
        model(x)
        expected = loss(model[0](x))
        penalty = attached.values[0]
        torch.testing.assert_close(penalty, expected)
        penalty.backward()
    assert model[0].weight.grad.abs().sum() > 0


def test_training_reaches_the_betti_number():
    x = torch.randn(12, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss, optimiser = BettiTargetLoss({0: 3}, length=2.0), torch.optim.Adam([x], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        loss(x).backward()
        optimiser.step()
    deaths = topodl.rips_persistence(x.detach()[None], 0).deaths
    assert int((deaths[deaths.isfinite()] > 1.0).sum()) == 2
    assert deaths.sort().values[-4] < 0.3


def test_diagrams_functions_and_empty_ones():
    d = topodl.rips_persistence(LINE[None], 0)
    assert TotalPersistenceLoss(0)(d).item() == 3.5
    assert (
        TotalPersistenceLoss(0, filtration=lambda x: topodl.rips_persistence(x, 0))(LINE[None]).item() == 3.5
    )
    one = torch.zeros(1, 2, requires_grad=True)
    for loss in ALL[:2]:
        assert loss(one).item() == 0.0
    assert BettiTargetLoss({1: 1})(one).item() == 1.0


def test_unusable_input_is_named():
    with pytest.raises(InputError, match=r"TotalPersistenceLoss: x has shape \(4,\)"):
        TotalPersistenceLoss()(torch.zeros(4))
    with pytest.raises(InputError, match="dims ask for 2; expected dimensions of the diagrams"):
        TotalPersistenceLoss(2)(topodl.rips_persistence(LINE[None], 0))
    with pytest.raises(InputError, match="length is 0"):
        FeatureCountLoss(0.0)
    with pytest.raises(TypeError, match="target is a list; expected Diagrams"):
        DiagramTargetLoss([])
    with pytest.raises(InputError, match=r"betti\[0\] is -1"):
        BettiTargetLoss({0: -1})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_up_in_float32(dtype):
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    target = Diagrams.from_padded(torch.zeros(1, 0, 2))
    for loss in (
        TotalPersistenceLoss(dims=0),
        TotalPersistenceLoss(dims=0, power=0.0),
        FeatureCountLoss(0.1, dims=0),
        BettiTargetLoss({0: 3, 1: 2}),
        DiagramTargetLoss(target),
    ):
        torch.testing.assert_close(loss(x), loss(x.float()))
