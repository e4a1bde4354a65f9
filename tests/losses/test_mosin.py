import pytest
import torch

from topodl.errors import InputError
from topodl.losses import MosinLoss, mosin_loss


def test_value_by_hand():
    # features: the image itself and its mean over pixels; p = 1/2, so that every square is 1/4
    labels = torch.tensor([[[0, 1], [1, 1]]])
    logits = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    value = mosin_loss(
        logits, labels, features=lambda x: [x, x.mean((2, 3))], base_weight=0.0, topology_weight=2.0
    )
    # mean over pixels of (y - 1/2)^2 is 1/4, and (3/4 - 1/2)^2 = 1/16
    torch.testing.assert_close(value.item(), 2 * (1 / 4 + 1 / 16))


def test_compares_with_the_label_of_the_same_class():
    # features that see only where class 2 lies
    labels = torch.tensor([[[0, 1, 2]]])
    perfect = 50.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1)
    value = mosin_loss(perfect, labels, features=lambda x: x, base_weight=0.0)
    assert value.item() == pytest.approx(0.0, abs=1e-10)


def test_the_network_is_frozen_and_the_prediction_is_not():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    loss = MosinLoss(features=network).train()
    logits = torch.randn(2, 2, 8, 8, requires_grad=True)
    loss(logits, torch.randint(2, (2, 8, 8))).backward()
    assert logits.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())
    assert not network.training
    assert int(network[1].num_batches_tracked) == 0


def test_gradcheck():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Tanh()).double()
    logits = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(2, (1, 5, 5))
    loss = MosinLoss(features=network, input_channels=1, topology_weight=3.0)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), logits)


def test_needs_a_network():
    with pytest.raises(TypeError, match="features"):
        MosinLoss()
    with pytest.raises(InputError, match="features is 3"):
        mosin_loss(torch.randn(1, 2, 4, 4), torch.zeros(1, 4, 4).long(), features=3)
    with pytest.raises(InputError, match="features returns"):
        mosin_loss(torch.randn(1, 2, 4, 4), torch.zeros(1, 4, 4).long(), features=lambda x: ["no map"])
