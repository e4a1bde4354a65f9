"""Codes that are moved until what they decode to has a wanted topology."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import topodl
from topodl.errors import InputError
from topodl.losses import BettiTargetLoss, DiagramTargetLoss
from topodl.representations import guide_codes


def rows() -> torch.Tensor:
    """Two images of one row with two components below 0, of unlike depths."""
    return torch.tensor([[[-1.0, 0.2, -1.0, 1.0, 1.0]], [[-0.3, 0.2, 1.0, 0.2, -0.4]]])


def to_numbers(*components: int) -> BettiTargetLoss:
    numbers = {0: torch.tensor(components)}
    return BettiTargetLoss(numbers, length=0.05, level=0.0, filtration=topodl.cubical_persistence)


def test_samples_get_the_betti_numbers_that_each_is_to_have():
    moved = guide_codes(rows(), nn.Identity(), to_numbers(1, 2))
    assert topodl.cubical_persistence(moved).betti(0.0)[:, 0].tolist() == [1, 2]
    assert torch.equal(moved[1], rows()[1])  # it had them, by more than the margin


def test_the_diagram_of_another_sample_is_approached():
    wanted = topodl.cubical_persistence(torch.tensor([[[-1.0, 0.9, -0.5, 1.0, 1.0]]]))
    loss = DiagramTargetLoss(wanted, filtration=topodl.cubical_persistence)
    before, after = loss(rows()), loss(guide_codes(rows(), nn.Identity(), loss, n_steps=20))
    assert after < 0.5 * before


@given(st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3), st.integers(0, 5))
def test_a_sample_moves_as_it_would_alone(values, n_steps):
    torch.manual_seed(0)
    decode = nn.Linear(3, 12, dtype=torch.float64)
    codes = torch.stack([torch.tensor(values), torch.ones(3), -torch.ones(3)]).double()

    def loss(x):
        flat = BettiTargetLoss({0: 2}, length=0.3, level=0.0, filtration=topodl.cubical_persistence)
        return flat(x.view(len(x), 3, 4))

    together = guide_codes(codes, decode, loss, n_steps=n_steps)
    alone = torch.cat([guide_codes(code[None], decode, loss, n_steps=n_steps) for code in codes])
    torch.testing.assert_close(together, alone)
    assert not together.requires_grad
    assert all(weight.grad is None for weight in decode.parameters())


def test_one_step_by_hand_and_none():
    codes = torch.tensor([[1.0, -2.0]])

    def loss(z):
        return (z * torch.tensor([3.0, -1.0])).sum()

    # The first step of Adam is the learning rate against the sign of the gradient.
    moved = guide_codes(codes, nn.Identity(), loss, n_steps=1, learning_rate=0.1)
    torch.testing.assert_close(moved, torch.tensor([[0.9, -1.9]]))
    assert torch.equal(guide_codes(codes, nn.Identity(), loss, n_steps=0), codes)


def test_closeness_holds_codes_back():
    codes, target = torch.zeros(1, 2), torch.tensor([[1.0, -1.0]])

    def loss(z):
        return (z - target).square().sum() / len(z)

    # (z - 1)² + c z² is least at 1 / (1 + c).
    for closeness in (0.0, 1.0, 3.0):
        moved = guide_codes(codes, nn.Identity(), loss, n_steps=400, closeness=closeness)
        torch.testing.assert_close(moved, target / (1 + closeness), atol=0.02, rtol=0.0)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_off_around_it(mode):
    with mode():
        moved = guide_codes(rows(), nn.Identity(), to_numbers(1, 1))
    assert topodl.cubical_persistence(moved).betti(0.0)[:, 0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        (rows(), {"n_steps": -1}, "n_steps is -1"),
        (rows(), {"learning_rate": -0.1}, "learning_rate is -0.1"),
        (rows(), {"closeness": float("nan")}, "closeness is nan"),
        (rows().long(), {}, "codes has shape .* and dtype torch.int64; expected floating-point"),
        (rows() / 0, {}, "codes"),
    ],
)
def test_unusable_arguments_are_named(codes, options, message):
    with pytest.raises(InputError, match=f"guide_codes: {message}"):
        guide_codes(codes, nn.Identity(), to_numbers(1, 1), **options)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda z: z, r"loss has shape \(2, 1, 5\)"),
        (lambda z: z.detach().sum(), "loss does not depend on the codes"),
        (lambda z: (z * float("inf")).sum(), "loss is nan|loss is -?inf"),
        (lambda z: 3.0, "loss is 3.0"),
    ],
)
def test_unusable_losses_are_named(loss, message):
    with pytest.raises(InputError, match=f"guide_codes: ({message}).*expected a finite scalar"):
        guide_codes(rows(), nn.Identity(), loss)
