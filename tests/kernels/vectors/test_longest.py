"""The longest bars of each segment: by hand, and beside a stable sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topodl.kernels.vectors.longest import longest_bars


def test_by_hand():
    lengths = np.array([2.0, 5.0, 5.0, 1.0, np.inf, 0.0])
    found = longest_bars(lengths, np.array([0, 4, 4, 6]), 3)
    assert found.tolist() == [[1, 2, 0], [6, 6, 6], [4, 5, 6]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    sizes=st.lists(st.integers(0, 12), max_size=5),
    k=st.integers(1, 15),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_are_those_of_a_stable_sort(dtype, sizes, k, seed):
    lengths = np.random.default_rng(seed).integers(0, 6, sum(sizes)).astype(dtype)
    offsets = np.cumsum([0, *sizes])
    found = longest_bars(lengths, offsets, k)
    for row, start, stop in zip(found, offsets[:-1], offsets[1:], strict=True):
        order = start + np.argsort(-lengths[start:stop], kind="stable")[:k]
        assert row.tolist() == order.tolist() + [len(lengths)] * (k - len(order))
