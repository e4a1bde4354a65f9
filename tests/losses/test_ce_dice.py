import pytest
import torch

from tests.losses import golden
from topodl.losses import CEDiceLoss, ce_dice_loss


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "A")
    golden.check(shared, "tm_cedice", CEDiceLoss()(logits, labels), logits)


def test_dice_equals_topolosses(shared):
    logits, labels = golden.case(shared, "A")
    value = 1 + ce_dice_loss(logits, labels, ce_weight=0.0)
    golden.check(shared, "tl_dice", value, logits)


def test_value_by_hand():
    # p = 1/2 everywhere: cross-entropy ln 2; Dice 2*(N/4)/(N/2+N/2) = 1/2 a class, up to the smoothing
    labels = torch.tensor([[[0, 1], [1, 0]]])
    logits = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    value = ce_dice_loss(logits, labels)
    torch.testing.assert_close(value.item(), torch.tensor(2.0).log().item() - 0.5, atol=1e-5, rtol=0)


def test_weights_scale_their_terms():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 8, 8), torch.randint(3, (2, 8, 8))
    ce = ce_dice_loss(logits, labels, dice_weight=0.0)
    dice = ce_dice_loss(logits, labels, ce_weight=0.0)
    torch.testing.assert_close(
        ce_dice_loss(logits, labels, ce_weight=2.0, dice_weight=0.5), 2 * ce + 0.5 * dice
    )


def test_class_weights_reach_both_terms():
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 2, 8, 8), torch.randint(2, (1, 8, 8))
    heavy = ce_dice_loss(logits, labels, class_weights=[1.0, 3.0])
    plain = ce_dice_loss(logits, labels)
    p = logits.softmax(1)[:, 1]
    y = (labels == 1).float()
    ce_1 = -(y * p.log()).mean()
    dice_1 = (2 * (p * y).sum() + 1e-5) / (p.sum() + y.sum() + 1e-5)
    torch.testing.assert_close(heavy - plain, 2 * (ce_1 - dice_1 / 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_gradcheck(channels):
    torch.manual_seed(0)
    logits = torch.randn(2, channels, 4, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(max(channels, 2), (2, 4, 5))
    assert torch.autograd.gradcheck(lambda z: ce_dice_loss(z, labels, reduction="none"), logits)
