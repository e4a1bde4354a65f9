import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.complexes.tables import find_rows, ring_signs, transpose


@given(st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=6))
def test_transposed_lists_say_who_has_whom(lists):
    members = np.array([m for row in lists for m in row], np.int64)
    offsets = np.cumsum([0, *map(len, lists)])
    starts, owners, places = transpose(members, offsets, 6)
    for m in range(6):
        found = slice(starts[m], starts[m + 1])
        assert owners[found].tolist() == [i for i, row in enumerate(lists) for x in row if x == m]
        assert (members[places[found]] == m).all()


@given(st.integers(1, 3), st.data())
def test_rows_are_found_where_they_stand(width, data):
    row = st.tuples(*[st.integers(0, 4)] * width)
    rows = sorted(data.draw(st.sets(row, max_size=8)))
    wanted = data.draw(st.lists(row, max_size=8))
    found = find_rows(
        np.array(rows, np.int64).reshape(-1, width), np.array(wanted, np.int64).reshape(-1, width)
    )
    assert found.tolist() == [rows.index(each) if each in rows else -1 for each in wanted]


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_has_nobody(n):
    starts, owners, places = transpose(np.empty(0, np.int64), np.array([0]), n)
    assert starts.tolist() == [0] * (n + 1)
    assert owners.size == places.size == 0


def test_an_edge_runs_forwards_from_its_smaller_end():
    signs = ring_signs(np.array([0, 2, 1, 3, 4, 6, 5]), np.array([0, 4, 7]))
    assert signs.tolist() == [1, -1, 1, -1, 1, -1, -1]
