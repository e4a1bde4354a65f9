import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.shared.row_tables import row_table


@given(st.integers(0, 10**6), st.sampled_from([4, 2**40]))
def test_rows_are_in_order_whatever_their_numbers(seed, numbers):
    random = np.random.default_rng(seed)
    rows = random.integers(-1, 4, (20, 7))
    rows[:, 4:6] = random.integers(-1, numbers, (20, 2))
    compared = rows[:, [0, 1, 3, 4, 5]].tolist()
    expected = rows[sorted(range(20), key=lambda i: compared[i])]
    table, places = row_table(rows)
    assert table[:6].T.tolist() == expected[:, :6].tolist()
    assert (table[6] == -1).all()
    assert places.tolist() == expected[:, 6].tolist()


def test_no_rows_are_a_table_without_columns():
    table, places = row_table(np.empty((0, 7), np.int64))
    assert table.shape == (7, 0)
    assert len(places) == 0
