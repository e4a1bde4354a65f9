"""Simple voxels by bits of their neighbourhood, against components that are counted cell by cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.mask_metrics import is_simple_voxel
from topodl.kernels.masks.simple_points import (
    is_simple,
    neighbour_offsets,
    neighbourhood_code,
    simple_point_table,
)

CENTRE = 13


def found(around, corner):
    code = neighbourhood_code(around.ravel().astype(np.uint8), CENTRE, neighbour_offsets((3, 3, 3)))
    return bool(is_simple(code, simple_point_table(corner), corner, True))


def cube(cells):
    around = np.zeros(27, bool)
    around[list(cells)] = True
    return around.reshape(3, 3, 3)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.booleans())
def test_equals_the_count_of_pieces(seed, share, corner):
    rng = np.random.default_rng(seed)
    for around in rng.random((8, 3, 3, 3)) < share:
        assert found(around, corner) == is_simple_voxel(around, corner)


@pytest.mark.parametrize("corner", [True, False])
@pytest.mark.parametrize("kind", [True, False])
def test_equals_the_count_of_pieces_where_two_cells_differ_from_all_others(kind, corner):
    cells = [i for i in range(27) if i != CENTRE]
    for i in cells:
        for j in cells:
            around = cube({i, j}) == kind
            assert found(around, corner) == is_simple_voxel(around, corner)


def test_a_voxel_of_a_wall_is_simple_and_one_that_joins_or_encloses_is_not():
    half, whole, layer = np.arange(27) < 9, np.ones(27, bool), np.arange(27) // 9 == 1
    assert found(half.reshape(3, 3, 3), True)
    assert not found(whole.reshape(3, 3, 3), True)  # its loss opens a cavity
    assert not found(layer.reshape(3, 3, 3), True)  # … a hole through a sheet
    assert not found(cube({4, 22}), True)  # … a gap in a line
    assert not found(cube({}), True)  # … nothing
    assert found(cube({0}), True)
    assert not found(cube({0}), False)  # a corner alone is no neighbour
