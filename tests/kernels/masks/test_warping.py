"""Warping of masks in the plane and in space, against flips one after the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import mask_metrics as naive
from topodl.kernels.masks.simple_points import simple_point_table
from topodl.kernels.masks.warping import warp

SHAPES = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5)),
)


def slowly_warped(mask, pixels, corner):
    mask = mask.copy()
    for pixel in pixels:
        at = np.unravel_index(pixel, mask.shape)
        around = np.pad(mask, 1)[tuple(slice(i, i + 3) for i in at)]
        if mask.ndim == 3:
            simple = naive.is_simple_voxel(around, corner)
        else:
            simple = naive.is_simple(around, 1, 1, corner)
        if simple:
            mask[at] = not mask[at]
    return mask


@given(SHAPES, st.integers(0, 10**6), st.floats(0.1, 0.9), st.booleans())
def test_equals_flips_one_after_the_other(shape, seed, share, corner):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    pixels = rng.integers(mask.size, size=2 * mask.size)
    before, tables = mask.copy(), np.stack([simple_point_table(corner)] * 2)
    warped = warp(mask, pixels, tables, corner)
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(warped, slowly_warped(mask, pixels, corner))


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
def test_the_border_stays_where_it_is_left_alone(shape):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(1, 3) for _ in shape)] = True
    tables = np.stack([simple_point_table(True)] * 2)
    warped = warp(mask, np.arange(mask.size), tables, True, skip_border=True)
    inside = np.zeros(shape, bool)
    inside[(slice(1, -1),) * len(shape)] = True
    np.testing.assert_array_equal(warped[~inside], mask[~inside])
    assert (warped != mask).any()
