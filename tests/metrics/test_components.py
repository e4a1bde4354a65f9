import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.naive import mask_metrics as naive
from topodl.errors import InputError
from topodl.metrics import ComponentScores, component_matches, component_scores


@given(arrays(np.bool_, (2, 5, 7)) | arrays(np.bool_, (2, 3, 3, 4)), st.booleans())
def test_components_are_matched_as_sets_are(pair, corners):
    steps = naive.neighbours(pair.ndim - 1, corners)
    p, t = (naive.components({*zip(*mask.nonzero(), strict=True)}, steps) for mask in pair)
    preds, target = torch.from_numpy(pair)[:, None, None]
    (found,) = component_matches(preds, target, connectivity=8 if corners else 4)
    expected = []
    for component in t:
        meeting = set().union(*(other for other in p if other & component))
        shared = len(component & meeting)
        dice = 2 * shared / (len(component) + len(meeting))
        expected.append((len(component), shared / len(component), dice))
    rows = sorted(zip(found.sizes.tolist(), found.recall.tolist(), found.dice.tolist(), strict=True))
    assert len(rows) == len(expected)
    assert np.ravel(rows).tolist() == pytest.approx(np.ravel(sorted(expected)).tolist())
    false = sorted(len(other) for other in p if not any(other & component for component in t))
    assert sorted(found.false_sizes.tolist()) == false
    mean = sum(dice for *_, dice in expected) / (len(t) + len(false)) if t or false else 1
    values = component_scores(preds, target, connectivity=8 if corners else 4)[0].tolist()
    missed = sum(recall == 0 for _, recall, _ in expected)
    assert values == pytest.approx([mean, missed, len(false)])


def test_a_prediction_that_joins_two_components_counts_for_both():
    target = torch.tensor([[[1, 1, 0, 1, 1, 1]]])
    preds = torch.ones_like(target)
    (found,) = component_matches(preds, target)
    assert found.sizes.tolist() == [2, 3]
    assert found.recall.tolist() == [1, 1]
    assert found.dice.tolist() == pytest.approx([2 * 2 / 8, 2 * 3 / 9])
    assert component_scores(preds, target)[0].tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, 0, 0])


def test_empty_masks():
    empty, full = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    assert component_scores(empty, empty).tolist() == [[1, 0, 0]]
    assert component_scores(empty, full).tolist() == [[0, 1, 0]]
    assert component_scores(full, empty).tolist() == [[0, 0, 1]]


def test_classes_and_images_come_one_after_the_other():
    target = torch.tensor([[[1, 0, 2, 2, 2]], [[2, 2, 0, 0, 1]]])
    found = component_matches(target, target, num_classes=3)
    assert [m.sizes.tolist() for m in found] == [[1], [3], [1], [2]]
    metric = ComponentScores(num_classes=3, reduction="per_class")
    metric.update(target, target.where(target == 1, 0))
    assert metric.as_dict()["ComponentScores_false_class_2"] == 1
    assert metric.as_dict()["ComponentScores_dice_class_1"] == 1


def test_unusable_options_are_named():
    mask = torch.ones(1, 4, 4)
    with pytest.raises(InputError, match="component_matches: connectivity is 5"):
        component_matches(mask, mask, connectivity=5)
    with pytest.raises(TypeError, match="component_matches has no option 'ignore_empty'"):
        component_matches(mask, mask, ignore_empty="both")
