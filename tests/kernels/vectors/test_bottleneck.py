import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from topodl.kernels.vectors.bottleneck import all_matched


def matched(moves, reach, rows=None):
    """Ask of the `rows`, a mask; all columns are near."""
    n, m = moves.shape
    alone = np.full(n, np.inf) if rows is None else np.where(rows, np.inf, reach)
    return all_matched(moves, alone, np.zeros(n), np.zeros(m), float(reach))


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(0, 9)), elements=st.integers(0, 5)),
    st.integers(0, 5),
    st.data(),
)
def test_all_rows_are_matched_where_scipy_matches_them(moves, reach, data):
    rows = data.draw(hnp.arrays(bool, len(moves)))
    within = csr_matrix(moves[rows] <= reach)
    expected = (maximum_bipartite_matching(within, "column") >= 0).all() if rows.any() else True
    assert matched(moves, reach, rows) == expected


@given(
    hnp.arrays(np.float64, st.integers(1, 9), elements=st.integers(-5, 5)),
    hnp.arrays(np.float64, st.integers(0, 9), elements=st.integers(-5, 5)),
    st.integers(0, 5),
)
def test_what_is_out_of_reach_by_its_number_is_left_out_without_a_loss(births, others, reach):
    births, others = np.sort(births), np.sort(others)
    moves = np.abs(births[:, None] - others)
    near = all_matched(moves, np.full(len(births), np.inf), births, others, float(reach))
    assert near == matched(moves, reach)


def test_a_long_path_has_to_be_shifted():
    """Row i may take columns i and i + 1; the last row only column 0, so that every other one moves on."""
    n = 200
    moves = np.ones((n, n))
    for i in range(n - 1):
        moves[i, i : i + 2] = 0
    moves[n - 1, 0] = 0
    assert matched(moves, 0.0)
    moves[n - 2, n - 1] = 1
    assert not matched(moves, 0.0)
