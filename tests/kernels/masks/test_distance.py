"""Distances to the nearest pixel of the other kind, against SciPy's transform and all pairs of pixels."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from topodl.kernels.masks.distance import distance_to_other

SHAPES = st.one_of(
    st.tuples(st.integers(1, 17), st.integers(1, 17)),
    st.tuples(st.integers(1, 8), st.integers(1, 9), st.integers(1, 10)),
)
SIDES = st.lists(st.sampled_from([0.5, 1.0, 2.5]), min_size=3, max_size=3)


@given(SHAPES, st.integers(0, 10**6), st.floats(0.02, 0.98), st.none() | SIDES)
def test_equals_scipys_at_any_pixels(shape, seed, share, sides):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    spacing = None if sides is None else sides[: len(shape)]
    pixels = rng.integers(mask.size, size=rng.integers(2 * mask.size))  # in any order, more than once
    found = distance_to_other(mask, pixels, spacing)
    if mask.all() or not mask.any():
        assert np.isinf(found).all()
        return
    both = ndimage.distance_transform_edt(mask, sampling=spacing)
    both += ndimage.distance_transform_edt(~mask, sampling=spacing)
    np.testing.assert_allclose(found, both.ravel()[pixels], rtol=1e-12)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_a_single_voxel_is_as_far_as_a_diagonal_along_any_axes(order):
    mask = np.zeros((2, 3, 4), bool)
    mask[0, 0, 0] = True
    sides = np.array([1.0, 10.0, 100.0])
    turned = np.ascontiguousarray(mask.transpose(order))
    found = distance_to_other(turned, np.array([mask.size - 1]), sides[list(order)])
    np.testing.assert_allclose(found, np.sqrt(1 * 1 + 20**2 + 300**2))
    assert distance_to_other(turned, np.array([0]), sides[list(order)]) == 1


def test_the_nearest_may_lie_further_along_the_first_axis_than_along_the_others():
    mask = np.ones((9, 7, 7), bool)
    mask[0, 3, 3] = mask[4, 0, 0] = False
    assert distance_to_other(mask, np.array([np.ravel_multi_index((4, 3, 3), mask.shape)])) == 4
    mask[5, 5, 4] = False
    found = distance_to_other(mask, np.array([np.ravel_multi_index((4, 3, 3), mask.shape)]))
    assert found == np.sqrt(6)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (1, 1, 1)])
@pytest.mark.parametrize("kind", [False, True])
def test_infinite_where_all_pixels_are_of_one_kind(shape, kind):
    mask = np.full(shape, kind)
    assert np.isinf(distance_to_other(mask, np.arange(mask.size))).all()


def test_of_no_pixels_there_is_nothing():
    assert distance_to_other(np.eye(3, dtype=bool), np.empty(0, np.int64)).shape == (0,)
