import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import graph as naive
from topodl.kernels.graphs.simple_edges import simple_edges


@given(st.integers(1, 7), st.integers(0, 30), st.integers(0, 10**6))
def test_edges_come_once_with_all_of_their_columns(n, n_columns, seed):
    pairs = np.random.default_rng(seed).integers(0, n, (2, n_columns))
    ends, columns, starts = simple_edges(n, pairs)
    copies = [part.tolist() for part in np.split(columns, starts[1:-1])] if len(ends) else []
    found = dict(zip(map(tuple, ends.tolist()), copies, strict=True))
    assert list(found.items()) == naive.simple_edges(pairs.T.tolist())
    assert (starts[0], starts[-1]) == (0, len(columns))


def test_a_loop_and_two_copies_by_hand():
    ends, columns, starts = simple_edges(4, np.array([[2, 3, 1, 0, 1], [2, 1, 0, 1, 3]]))
    assert ends.tolist() == [[0, 1], [1, 3]]
    assert columns.tolist() == [2, 3, 1, 4]
    assert starts.tolist() == [0, 2, 4]
