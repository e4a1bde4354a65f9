import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.metrics import variation_of_information as skimage_entropies
from sklearn.metrics import adjusted_rand_score

from topodl.errors import InputError
from topodl.metrics import (
    AdjustedRandIndex,
    Dice,
    VariationOfInformation,
    adjusted_rand_index,
    dice_score,
    variation_of_information,
)

ids = arrays(np.int64, (2, 5, 6), elements=st.integers(0, 4))
INSTANCES = {"input_format": "instances"}


def pieces(mask: np.ndarray) -> np.ndarray:
    inside, n = ndimage.label(mask, np.ones((3, 3)))
    return np.where(mask, inside, ndimage.label(~mask)[0] + n)


@given(arrays(np.bool_, (2, 5, 6)))
def test_pieces_are_compared_as_in_scikit_learn_and_scikit_image(pair):
    p, t = map(pieces, pair)
    preds, target = torch.from_numpy(pair)[:, None]
    assert adjusted_rand_index(preds, target).item() == pytest.approx(adjusted_rand_score(t.flat, p.flat))
    found = variation_of_information(preds, target)[0].tolist()
    assert found == pytest.approx(skimage_entropies(t, p).tolist(), abs=1e-9)


@given(ids)
def test_instances_are_compared_as_in_scikit_learn_and_scikit_image(pair):
    preds, target = torch.from_numpy(pair)[:, None]
    index = adjusted_rand_index(preds, target, **INSTANCES).item()
    assert index == pytest.approx(adjusted_rand_score(pair[1].flat, pair[0].flat))
    found = variation_of_information(preds, target, **INSTANCES)[0].tolist()
    assert found == pytest.approx(skimage_entropies(pair[1], pair[0]).tolist(), abs=1e-9)


@given(ids)
def test_the_targets_background_may_be_left_out_as_in_the_adapted_rand_error(pair):
    preds, target = torch.from_numpy(pair)[:, None]
    inside = pair[1] > 0
    options = INSTANCES | {"background": "excluded"}
    expected = adjusted_rand_score(pair[1][inside], pair[0][inside]) if inside.any() else 1
    assert adjusted_rand_index(preds, target, **options).item() == pytest.approx(expected)
    entropies = variation_of_information(preds, target, **options)[0].tolist()
    table = np.zeros((5, 5))
    np.add.at(table, (pair[1][inside], pair[0][inside]), 1)
    assert entropies == pytest.approx([conditional_entropy(table), conditional_entropy(table.T)], abs=1e-9)


def conditional_entropy(table: np.ndarray) -> float:
    bits = [n * np.log2(row.sum() / n) for row in table for n in row if n]
    return sum(bits) / table.sum() if table.any() else 0.0


@given(ids, st.permutations([0, 3, 17, 2**40, 8]))
def test_which_id_an_instance_has_makes_no_difference(pair, names):
    preds, target = torch.from_numpy(pair)[:, None]
    renamed = torch.tensor(names)[preds]
    for function in (adjusted_rand_index, variation_of_information):
        expected = function(preds, target, **INSTANCES)
        assert torch.allclose(function(renamed, target, **INSTANCES), expected, atol=1e-12)
    perfect = torch.tensor(names)[target]
    assert adjusted_rand_index(perfect, target, **INSTANCES).item() == 1
    assert variation_of_information(perfect, target, **INSTANCES).tolist() == [[0, 0]]


def test_splits_and_merges_by_hand():
    whole, halves = torch.tensor([[[4, 4, 4, 4]]]), torch.tensor([[[1, 1, 0, 0]]])
    assert variation_of_information(halves, whole, **INSTANCES).tolist() == [[1, 0]]
    assert variation_of_information(whole, halves, **INSTANCES).tolist() == [[0, 1]]
    assert variation_of_information(whole, halves, background="excluded", **INSTANCES).tolist() == [[0, 0]]
    assert adjusted_rand_index(halves, whole, **INSTANCES).item() == 0


def test_ignored_pixels_of_instances_count_nowhere():
    target = torch.tensor([[[1, 1, 2, 2, -1, -1]]])
    preds = torch.tensor([[[5, 5, 6, 6, 5, 6]]])
    for metric in (AdjustedRandIndex, VariationOfInformation):
        perfect = metric(**INSTANCES)(preds[..., :4], target[..., :4])
        assert torch.equal(metric(ignore_index=-1, **INSTANCES)(preds, target), perfect)


@pytest.mark.parametrize("metric", [AdjustedRandIndex, VariationOfInformation])
def test_labels_out_of_range_lead_to_instances_and_those_to_what_is_an_id(metric):
    cells = torch.tensor([[[0, 1, 7]]])
    with pytest.raises(InputError, match=r"value 7 .* ids of instances with input_format=\"instances\""):
        metric()(cells, cells)
    for wrong in (cells - 1, cells + 0.5, cells / 0):
        with pytest.raises(InputError, match="expected ids of instances: 0 for the background, and above"):
            metric(**INSTANCES)(wrong, wrong)
    with pytest.raises(InputError, match="num_classes is 8 with input_format='instances'; expected to be"):
        metric(num_classes=8, **INSTANCES)
    with pytest.raises(InputError, match="background is 'ignored'; expected one of 'included', 'excluded'"):
        metric(background="ignored")


def test_other_metrics_have_no_instances():
    with pytest.raises(InputError, match="Dice: input_format is 'instances'; expected one of 'index'"):
        Dice(**INSTANCES)
    with pytest.raises(InputError, match="dice_score: input_format is 'instances'"):
        dice_score(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), **INSTANCES)
