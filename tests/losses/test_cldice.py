import pytest
import torch

from tests.losses import golden
from topodl.losses import ClDiceLoss, ce_dice_loss, cldice_loss
from topodl.losses._input import SegmentationBatch
from topodl.losses.cldice import skeleton_sums


@pytest.mark.parametrize(("name", "iterations"), [("tm_cldice", None), ("tm_cldice_it10", 10)])
def test_equals_the_code_of_the_study(shared, name, iterations):
    logits, labels = golden.case(shared, "A")
    golden.check(
        shared, name, ClDiceLoss(variant="topomortar", iterations=iterations)(logits, labels), logits
    )


def sums(logits, labels, iterations, include_background=False):
    batch = SegmentationBatch.read("test", logits, labels)
    channels = batch.channels(include_background)
    return skeleton_sums(batch, channels, None, iterations, include_background, "paper")


def cldice_of(s, smooth=1.0, harmonic=0.0):
    precision, sensitivity = (s[0] + smooth) / (s[1] + smooth), (s[2] + smooth) / (s[3] + smooth)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity + harmonic)


def test_soft_cldice_equals_monai(shared):
    logits, labels = golden.case(shared, "A")
    value = cldice_of([s[:, 0] for s in sums(logits, labels, 3)], harmonic=1e-4).mean()
    golden.check(shared, "monai_softcldice", value, logits)


def test_dice_and_cldice_equal_monai(shared):
    logits, labels = golden.case(shared, "A")
    value = cldice_loss(logits, labels, iterations=3, ce_weight=0.0)
    # MONAI adds 1e-4 to the denominator of the harmonic mean
    s = [v[:, 0] for v in sums(logits, labels, 3)]
    value = value + 0.5 * (cldice_of(s, harmonic=1e-4) - cldice_of(s)).mean()
    golden.check(shared, "monai_softdicecldice", value, logits)


def test_soft_cldice_equals_its_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    value = cldice_of([s.sum() for s in sums(logits, labels, 10)])
    golden.check(shared, "jocpae_soft_cldice", value, logits)


def test_dice_and_cldice_equal_their_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    cl = cldice_of([s.sum() for s in sums(logits, labels, 10, include_background=True)])
    p = logits.softmax(1)
    y = torch.stack([labels == 0, labels == 1], 1)
    dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
    golden.check(shared, "jocpae_soft_dice_cldice", 0.5 * dice + 0.5 * cl, logits)


def test_cldice_equals_topolosses(shared):
    logits, labels = golden.case(shared, "A")
    # its Dice counts the background, its clDice does not
    dice = 1 + ce_dice_loss(logits, labels, ce_weight=0.0)
    value = dice + cldice_loss(logits, labels, iterations=3, smooth=1e-5, base_weight=0.0)
    golden.check(shared, "tl_cldice", value, logits)


@pytest.mark.parametrize("width", [3, 11, 31])
def test_a_false_blob_on_an_empty_label_costs_and_is_pulled_down(width):
    labels = torch.zeros(1, 48, 48, dtype=torch.long)
    logits = torch.zeros(1, 2, 48, 48)
    logits[:, 1] = -3.0
    logits[:, 1, 8 : 8 + width, 8 : 8 + width] = 3.0
    logits.requires_grad_()
    value = cldice_loss(logits, labels, base_weight=0.0, topology_weight=1.0)
    value.backward()
    assert value.item() > 0.25
    assert logits.grad.abs().max().item() > 1e-3


def test_two_lines_that_are_run_together_cost():
    labels = torch.zeros(1, 40, 40, dtype=torch.long)
    labels[:, [10, 14], 4:36] = 1
    logits = torch.zeros(1, 2, 40, 40)
    logits[:, 1] = -20.0
    logits[:, 1, 10:15, 4:36] = 20.0
    values = [
        cldice_loss(logits, labels, base_weight=0.0, topology_weight=1.0, iterations=n).item()
        for n in (None, 3)
    ]
    assert min(values) > 0.9
    assert values[0] == pytest.approx(values[1], rel=1e-5)
