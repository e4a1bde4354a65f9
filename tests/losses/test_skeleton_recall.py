import numpy as np
import pytest
import torch

from tests.losses import golden
from topodl.losses import SkeletonRecallLoss, skeleton_recall_loss

AUTHORS = {"classes": "union", "skeleton": "scikit-image"}


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "A")
    loss = SkeletonRecallLoss(variant="topomortar")
    tube = loss.precompute(labels)["tube"]
    np.testing.assert_array_equal(tube.numpy(), golden.load(shared, "tm_ceskelrecall")["tube"][:, 0])
    golden.check(shared, "tm_ceskelrecall", loss(logits, labels), logits)


def test_recall_equals_its_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    value = skeleton_recall_loss(logits, labels, base_weight=0.0, **AUTHORS)
    golden.check(shared, "skelrecall_orig", value, logits)


def test_whole_loss_equals_its_authors_code(shared):
    logits, labels = golden.case(shared, "A")
    value = SkeletonRecallLoss(over_batch=True, **AUTHORS)(logits, labels)
    golden.check(shared, "skelrecall_dc_ce", value, logits)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_tube_covers_a_straight_vessel(width, axis):
    label = torch.zeros(1, 32, 32, 32, dtype=torch.long)
    label[:, 10 : 10 + width, 10 : 10 + width, 4:28] = 1
    label = label.movedim(3, axis + 1)
    tube = SkeletonRecallLoss().precompute(label)["tube"]
    along = tube.movedim(axis + 1, 1).flatten(2).any(2)
    assert int(along.sum()) >= 24 - width


def two_classes():
    """A thick class, 1, with a line of class 2 along its side."""
    labels = torch.zeros(1, 24, 24, dtype=torch.long)
    labels[:, 2:18, 2:22] = 1
    labels[:, 18, 2:22] = 2
    return labels


def test_a_thin_class_beside_a_thick_one_has_a_tube():
    labels = two_classes()
    found = {c: SkeletonRecallLoss(classes=c).precompute(labels)["tube"] for c in ("each", "union")}
    assert found["each"][labels == 2].all()
    assert not found["union"][labels == 2].all()


def test_missing_the_thin_class_costs():
    labels = two_classes()
    right = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float() * 20
    missed = torch.where((labels == 2)[:, None], right[:, [2, 1, 0]], right)
    cost = [float(skeleton_recall_loss(z, labels, base_weight=0.0)) for z in (right, missed)]
    np.testing.assert_allclose(cost, [-1.0, -0.5], atol=1e-4)


@pytest.mark.parametrize(
    ("spacing", "planes"), [(None, 5), ((1.0, 1.0, 1.0), 5), ((2.0, 1.0, 1.0), 3), (3, 5)]
)
def test_tube_reaches_twice_the_smallest_spacing(spacing, planes):
    loss = SkeletonRecallLoss(spacing=spacing)
    line = torch.zeros(15, 15, 15, dtype=torch.long)
    line[7, 7, 2:13] = 1
    assert int(loss.precompute(line[None])["tube"].sum()) == 11
    thick = torch.zeros(1, 15, 15, 15, dtype=torch.long)
    thick[:, 3:12, 3:12, :] = 1
    tube = loss.precompute(thick)["tube"][0, :, :, 7]
    assert int(tube.any(1).sum()) == planes
    assert int(tube.any(0).sum()) == 5
