"""Regularisers by hand, by gradients, by what training does, and attached to a model."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import topodl
from tests.strategies import diagrams
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
    BettiTargetLoss({0: 3}, length=0.4, level=1.0),
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


def test_a_target_for_each_sample():
    clouds = torch.rand(3, 6, 2, generator=torch.Generator().manual_seed(0))
    for level in (None, 0.3):
        options = {"length": 0.2, "level": level}
        mixed = BettiTargetLoss({0: torch.tensor([1, 3, 9]), 1: 1}, **options)(clouds)
        alone = [
            BettiTargetLoss({0: number, 1: 1}, **options)(clouds[i : i + 1])
            for i, number in enumerate((1, 3, 9))
        ]
        torch.testing.assert_close(mixed, torch.stack(alone).mean())
    same = BettiTargetLoss({0: torch.tensor(2)})(clouds)
    torch.testing.assert_close(same, BettiTargetLoss({0: 2})(clouds))
    with pytest.raises(
        InputError, match=r"betti\[0\] has 2 targets; expected one, or one for each of 3 samples"
    ):
        BettiTargetLoss({0: [1, 2]})(clouds)
    for betti in ({}, [1, 0]):
        with pytest.raises(InputError, match=r"BettiTargetLoss: betti is .* a mapping of at least one"):
            BettiTargetLoss(betti)


def test_bars_across_a_level_by_hand():
    zeros = torch.zeros(4, dtype=torch.int64)
    births, deaths = torch.tensor([-2.0, -0.5, -3.0, 0.2]), torch.tensor([torch.inf, 0.25, -1.0, 4.0])
    d = Diagrams(births, deaths, zeros, zeros, n_samples=1, homology_dims=(0,))
    # Across 0 they lie by 2, 0.25, -1 and -0.2; they should by 0.5, or by -0.5.
    for number, expected in {
        1: 0.75**2 + 0.3**2,
        2: 0.25**2 + 0.3**2,
        5: 0.25**2 + 0.7**2 + 1.5**2 + 0.25,
    }.items():
        loss = BettiTargetLoss({0: number}, length=0.5, level=0.0)
        assert loss(d).item() == pytest.approx(expected)
        turned = d._with(births=-births, deaths=-deaths)
        assert loss(turned).item() == pytest.approx(expected)


@given(diagrams(essential=0.3), st.floats(-1, 2), st.floats(0, 0.5))
def test_the_loss_of_a_level_is_zero_where_its_betti_numbers_are_right(d, level, length):
    right = {k: d.betti(level)[:, i] for i, k in enumerate(d.homology_dims)}
    ends = torch.cat([d.births, d.deaths])
    clear = bool(((ends - level).abs() > length).all())
    loss = BettiTargetLoss(right, length=length, level=level)(d).item()
    assert (loss == 0) or not clear
    more = {k: numbers + 1 for k, numbers in right.items()}
    if len(d) and length > 1e-6:  # squares of it do not vanish
        assert BettiTargetLoss(more, length=length, level=level)(d).item() > 0


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
