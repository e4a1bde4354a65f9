import numpy as np
import torch

from tests.losses import golden
from topodl.losses import RegionWiseLoss, region_wise_loss
from topodl.losses.region_wise import relative_depth


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "A")
    golden.check(shared, "tm_regionwise", RegionWiseLoss(base_weight=0.0)(logits, labels), logits)


def test_value_by_hand():
    # a row 1 1 1 0: depths 1, 2/3, 1/3 in class 1 and 1 in class 0; p = 1/2
    labels = torch.tensor([[[1, 1, 1, 0]]])
    logits = torch.zeros(1, 2, 1, 4, dtype=torch.float64)
    region = np.array([[1, 1, 1, -1], [-1, -2 / 3, -1 / 3, 1]])
    alone = region_wise_loss(logits, labels, base_weight=0.0).item()
    np.testing.assert_allclose(alone, (0.5 * region).mean(), rtol=1e-6)
    # cross-entropy log 2, and the Dice score of the three labelled pixels 2 * 1.5 / (2 + 3)
    base = region_wise_loss(logits, labels).item() - alone
    np.testing.assert_allclose(base, np.log(2) - 0.6, rtol=1e-5)


def test_spacing_stretches_the_depth():
    labels = np.zeros((5, 5), np.int16)
    labels[1:4, 1:4] = 1
    labels[0] = 1
    stretched = relative_depth(labels, (10.0, 1.0))["depth"]
    # with tall pixels the nearest background of (2, 2) is two columns away, of (1, 1) one column
    np.testing.assert_allclose(stretched[2, 2] / stretched[1, 1], 2.0, rtol=1e-6)


def test_gradcheck():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (2, 4, 5))
    assert torch.autograd.gradcheck(lambda z: region_wise_loss(z, labels, reduction="none"), logits)
