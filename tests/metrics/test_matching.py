import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from topodl.metrics import (
    DIU,
    AdjustedRandIndex,
    BettiMatchingError,
    VariationOfInformation,
    adjusted_rand_index,
    betti_error,
    betti_matching_error,
    diu,
    variation_of_information,
)

METRICS = [BettiMatchingError, DIU, AdjustedRandIndex, VariationOfInformation]
pairs = arrays(np.bool_, (2, 3, 7, 8))


@given(pairs)
def test_betti_matching_error_bounds_the_betti_error(pair):
    preds, target = torch.from_numpy(pair)
    error = betti_matching_error(preds, target)
    plain = betti_error(preds, target)
    assert torch.all(error >= plain)
    assert torch.all((error - plain) % 2 == 0)
    assert torch.equal(error, betti_matching_error(target, preds))


@given(pairs)
def test_all_are_perfect_for_equal_masks(pair):
    masks = torch.from_numpy(pair[0])
    assert not betti_matching_error(masks, masks).any()
    assert not diu(masks, masks).any()
    assert torch.all(adjusted_rand_index(masks, masks) == 1)
    assert not variation_of_information(masks, masks).any()


@given(pairs)
def test_diu_is_the_rank_defect_of_the_matrix_of_the_inclusion(pair):
    preds, target = torch.from_numpy(pair)
    for p, t, value in zip(pair[0], pair[1], diu(preds, target).tolist(), strict=True):
        expected = 0
        for small, large, structure in (
            (p & t, p | t, np.ones((3, 3))),
            (~(p | t), ~(p & t), ndimage.generate_binary_structure(2, 1)),
        ):
            pieces, n = ndimage.label(small, structure)
            others, m = ndimage.label(large, structure)
            matrix = np.zeros((m, n))
            for k in range(1, n + 1):
                matrix[others[pieces == k][0] - 1, k - 1] = 1
            expected += n + m - 2 * (np.linalg.matrix_rank(matrix) if matrix.size else 0)
        assert value == expected


def test_connectivity_decides_whether_corners_join():
    target = torch.tensor([[[1, 0], [0, 1]]])
    preds = torch.tensor([[[1, 0], [1, 1]]])
    assert betti_matching_error(preds, target).tolist() == [[0, 0]]
    assert betti_matching_error(preds, target, connectivity=4).tolist() == [[1, 0]]
    assert (
        diu(preds, target).item() == 1
    )  # the background was one piece across the corner only if 8-connected
    assert adjusted_rand_index(preds, target, connectivity=4).item() < 1


def test_empty_masks():
    empty, full = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    assert betti_matching_error(empty, empty).tolist() == [[0, 0]]
    assert betti_matching_error(empty, full).tolist() == [[1, 0]]
    assert diu(empty, full).item() == 2
    assert adjusted_rand_index(empty, full).item() == 1  # one piece each
    assert variation_of_information(empty, full).tolist() == [[0, 0]]


def test_volumes():
    target = torch.zeros(1, 1, 5, 6, 7)
    target[..., 2, :, 3] = 1
    preds = target.clone()
    preds[..., 2, 3, 3] = 0
    assert 0 < adjusted_rand_index(preds, target).item() < 1
    assert variation_of_information(preds, target).shape == (1, 2)
    assert betti_matching_error(preds, target).tolist() == [[1, 0, 0]]
    with pytest.raises(ValueError, match="diu: preds is a batch of volumes; expected images"):
        diu(preds, target)


def test_a_cavity_at_another_place_is_not_matched():
    target, preds = torch.ones(2, 1, 1, 5, 5, 9)
    target[..., 2, 2, 2] = preds[..., 2, 2, 6] = 0
    assert betti_error(preds, target).tolist() == [[0, 0, 0]]
    assert betti_matching_error(preds, target).tolist() == [[0, 0, 2]]


@given(arrays(np.bool_, (2, 2, 4, 4, 3)))
def test_betti_matching_error_of_volumes_bounds_the_betti_error(pair):
    preds, target = torch.from_numpy(pair)[:, :, None]
    error = betti_matching_error(preds, target, connectivity=26)
    plain = betti_error(preds, target, connectivity=26)
    assert torch.all(error >= plain)
    assert torch.all((error - plain) % 2 == 0)
    assert not betti_matching_error(preds, preds).any()


@pytest.mark.parametrize("metric", METRICS)
def test_accumulates_over_batches(metric):
    generator = torch.Generator().manual_seed(0)
    preds, target = (torch.rand(2, 4, 9, 9, generator=generator) > 0.5).long()
    together = metric()
    together.update(preds, target)
    apart = metric()
    for p, t in zip(preds, target, strict=True):
        apart.update(p[None], t[None])
    torch.testing.assert_close(together.compute(), apart.compute())
    classes = metric(num_classes=3)
    classes.update(preds + target, target)
    assert torch.isfinite(classes.compute()).all()
    with pytest.raises(ValueError, match="connectivity is 5"):
        metric(connectivity=5)


def test_a_convention_that_a_metric_does_not_have_is_refused():
    for metric in METRICS:
        with pytest.raises(TypeError, match="has no option 'convention'"):
            metric(convention="topomortar")
