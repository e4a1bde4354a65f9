import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from topodl.kernels.vectors.bottleneck import all_matched


def whole_rows(moves):
    return np.tile([0, moves.shape[1]], (len(moves), 1))


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(0, 9)), elements=st.integers(0, 5)),
    st.integers(0, 5),
    st.data(),
)
def test_all_rows_are_matched_where_scipy_matches_them(moves, reach, data):
    rows = np.flatnonzero(data.draw(hnp.arrays(bool, len(moves))))
    within = csr_matrix(moves[rows] <= reach)
    expected = (maximum_bipartite_matching(within, "column") >= 0).all() if len(rows) else True
    assert all_matched(moves, rows, whole_rows(moves), float(reach)) == expected


def test_a_long_path_has_to_be_shifted():
    """Row i may take columns i and i + 1; the last row only column 0, so that every other one moves on."""
    n = 200
    moves = np.ones((n, n))
    for i in range(n - 1):
        moves[i, i : i + 2] = 0
    moves[n - 1, 0] = 0
    assert all_matched(moves, np.arange(n), whole_rows(moves), 0.0)
    moves[n - 2, n - 1] = 1
    assert not all_matched(moves, np.arange(n), whole_rows(moves), 0.0)
