import pytest
import torch

from tests.losses import golden
from topodl.losses import CbDiceLoss, cbdice_loss


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "A")
    golden.check(shared, "tm_cbdice", CbDiceLoss(variant="topomortar")(logits, labels), logits)


@pytest.mark.parametrize(
    ("name", "skeleton", "iterations"),
    [("cbdice_orig_topo", "thinned", 5), ("cbdice_orig_morph", "morphological", 10)],
)
def test_equals_its_authors_code(shared, name, skeleton, iterations):
    logits, labels = golden.case(shared, "A")
    value = cbdice_loss(
        logits, labels, base_weight=0.0, over_batch=True, skeleton=skeleton, iterations=iterations
    )
    golden.check(shared, name, value, logits)


def test_gradcheck():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 8, 7, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (2, 8, 7))
    assert torch.autograd.gradcheck(lambda z: cbdice_loss(z, labels, reduction="none"), logits)
