import numpy as np
import pytest
import torch
from scipy import ndimage

from topodl.errors import InputError
from topodl.losses import CavityLoss, cavity_loss
from topodl.losses.cavity import find_leaks


def shell():
    """A box with one cavity, inside a larger volume, with walls of two voxels."""
    truth = np.zeros((14, 15, 16), bool)
    truth[2:12, 2:13, 2:14] = True
    truth[4:10, 4:11, 4:12] = False
    return truth


def test_a_hole_through_the_wall_leaks_and_a_dent_does_not():
    truth = shell()
    dented, holed = truth.copy(), truth.copy()
    dented[2, 6, 6] = False
    holed[2:4, 6, 6] = False
    assert not find_leaks(dented, truth, True).any()
    leaks = find_leaks(holed, truth, True)
    assert set(map(tuple, np.argwhere(leaks))) == {(2, 6, 6), (3, 6, 6)}


def test_without_a_cavity_nothing_leaks():
    truth = np.zeros((6, 6, 6), bool)
    truth[2:4, 2:4, 2:4] = True
    assert not find_leaks(np.zeros_like(truth), truth, True).any()
    assert not find_leaks(np.ones_like(truth), np.ones_like(truth), True).any()


def test_descent_closes_the_leak():
    truth = shell()
    predicted = truth.copy()
    predicted[2:4, 5:8, 5:8] = False
    z = torch.from_numpy(np.where(predicted, 1.0, -1.0))[None, None].requires_grad_()
    label = torch.from_numpy(truth)[None].long()

    def cavities(logits):
        return ndimage.label(np.pad(~(logits[0, 0] > 0).numpy(), 1, constant_values=True))[1]

    assert cavities(z.detach()) == 1
    first = cavity_loss(z, label, base_weight=0.0)
    for _ in range(40):
        value = cavity_loss(z, label, base_weight=0.0)
        (gradient,) = torch.autograd.grad(value, z)
        z = (z - 20 * gradient).detach().requires_grad_()
    assert value < first
    assert cavities(z.detach()) == 2


def test_gradcheck():
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 4, 5, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(2, (1, 4, 5, 4))
    assert torch.autograd.gradcheck(lambda z: cavity_loss(z, labels), logits)


def test_images_are_refused():
    with pytest.raises(InputError, match=r"expected shape \(B, C, D, H, W\)"):
        CavityLoss()(torch.randn(1, 2, 8, 8), torch.zeros(1, 8, 8).long())
