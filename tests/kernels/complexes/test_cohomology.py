"""Cells enter by (sample, value, index), whether they are sorted by values or follow the levels of faces."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.complexes.cohomology import cells_by_level, cells_in_order, levels_of_faces


def in_order(values, offsets):
    return cells_in_order(values.view(f"i{values.itemsize}"), offsets)


@st.composite
def faces_of_cells(draw):
    """Values of faces in samples, and cells that have faces of one sample each."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    starts = np.cumsum([0, *sizes])
    pool = st.sampled_from([-0.0, 0.0, 1.0, 2.5, -3.0, np.inf])
    below = np.array(draw(st.lists(pool, min_size=sum(sizes), max_size=sum(sizes))))
    faces, counts = [], []
    for first, last in itertools.pairwise(starts.tolist()):
        of_sample = st.lists(st.integers(first, last - 1), min_size=1, max_size=4)
        lists = draw(st.lists(of_sample, max_size=4))
        faces.extend(lists)
        counts.append(len(lists))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return below.astype(dtype), starts, faces, np.cumsum([0, *counts])


@given(faces_of_cells())
def test_cells_are_in_order_and_levels_are_those_of_equal_values(given_cells):
    below, starts, _, _ = given_cells
    sample = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    expected = sorted(range(len(below)), key=lambda cell: (sample[cell], below[cell], cell))
    order, rank, levels = in_order(below, starts)
    assert order.tolist() == expected
    assert rank[order].tolist() == list(range(len(below)))
    firsts = {}
    for place, cell in enumerate(expected):
        assert levels[cell] == firsts.setdefault((sample[cell], below[cell] + 0.0), place)


@given(faces_of_cells())
def test_levels_of_faces_order_cells_as_their_values_do(given_cells):
    below, starts, faces, samples = given_cells
    members = np.array([f for each in faces for f in each], np.int64)
    offsets = np.cumsum([0, *map(len, faces)])
    values = np.array([max(below[f] for f in each) for each in faces], below.dtype)
    _, _, levels = in_order(below, starts)
    found = levels_of_faces(values, below, levels, members, offsets)
    assert len(found) == len(faces)
    order, rank = cells_by_level(found, len(below))
    expected, places, _ = in_order(values, samples)
    assert np.array_equal(order, expected)
    assert np.array_equal(rank, places)


def test_a_cell_with_a_value_of_its_own_has_no_level_of_a_face():
    below, starts = np.array([0.0, 1.0, 2.0]), np.array([0, 3])
    _, _, levels = in_order(below, starts)
    members, offsets = np.array([0, 1, 1, 2]), np.array([0, 2, 4])
    assert levels_of_faces(np.array([1.0, 2.0]), below, levels, members, offsets).tolist() == [1, 2]
    for own in (2.5, 1.0, np.nan):
        assert len(levels_of_faces(np.array([1.0, own]), below, levels, members, offsets)) == 0
