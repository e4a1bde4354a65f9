import numpy as np

from tests.losses import golden
from topodl.losses import SkeletonRecallLoss, skeleton_recall_loss


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "A")
    loss = SkeletonRecallLoss(variant="topomortar")
    tube = loss.precompute(labels)["tube"]
    np.testing.assert_array_equal(tube.numpy(), golden.load(shared, "tm_ceskelrecall")["tube"][:, 0])
    golden.check(shared, "tm_ceskelrecall", loss(logits, labels), logits)


def test_recall_equals_its_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    golden.check(shared, "skelrecall_orig", skeleton_recall_loss(logits, labels, base_weight=0.0), logits)


def test_whole_loss_equals_its_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    value = SkeletonRecallLoss(over_batch=True)(logits, labels)
    golden.check(shared, "skelrecall_dc_ce", value, logits)
