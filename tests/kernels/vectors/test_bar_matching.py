import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive.distances import moves_of, wasserstein_by_assignment
from topodl.kernels.vectors.bar_matching import match_bars, matching_distances

NORMS = [(1.0, np.inf), (2.0, 2.0), (1.0, 2.0), (2.0, 1.0), (3.0, 1.5)]
bar = st.tuples(st.integers(0, 9), st.integers(1, 7)).map(lambda b: (b[0], b[0] + b[1]))
fine_bar = st.tuples(st.floats(0, 1), st.floats(1e-3, 1)).map(lambda b: (b[0], b[0] + b[1]))
many_bars = st.lists(bar, max_size=10) | st.lists(fine_bar, max_size=10)


def as_bars(bars):
    return np.array(sorted(bars), dtype=np.float64).reshape(-1, 2)


def distance(x, y, order, norm, unit=1.0):
    offsets = np.array([0, len(x), len(x) + len(y)])
    pair = np.array([0]), np.array([1])
    return matching_distances(np.concatenate([x, y]), offsets, np.full(2, unit), *pair, order, norm)[0]


@given(many_bars, many_bars, st.sampled_from(NORMS))
@settings(max_examples=200)
def test_the_sum_is_least(first, second, norms):
    x, y = as_bars(first), as_bars(second)
    expected = wasserstein_by_assignment(x, y, *norms)
    for unit in (1.0, 4.0):
        np.testing.assert_allclose(distance(x, y, *norms, unit), expected, rtol=1e-9, atol=1e-9)


@given(many_bars, many_bars, st.sampled_from(NORMS))
@settings(max_examples=100)
def test_partners_are_different_and_make_up_the_sum(first, second, norms):
    x, y = as_bars(first), as_bars(second)
    partner = match_bars(x, y, *norms)
    matched = partner[partner >= 0]
    assert len({*matched.tolist()}) == len(matched)
    moves = moves_of(x, y, *norms)
    total = moves[np.arange(len(x)), np.where(partner >= 0, partner, len(y))].sum() if len(x) + len(y) else 0
    total += sum(moves[len(x), j] for j in range(len(y)) if j not in matched and len(x) + len(y))
    np.testing.assert_allclose(
        total ** (1 / norms[0]), wasserstein_by_assignment(x, y, *norms), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("norms", NORMS)
def test_large_diagrams_with_and_without_ties(norms):
    rng = np.random.default_rng(0)
    for births in (rng.random((2, 90)), rng.integers(0, 12, (2, 90)).astype(float)):
        sides = [as_bars(np.stack([b, b + 1 + rng.integers(0, 9, 90)], 1).tolist()) for b in births]
        np.testing.assert_allclose(
            distance(*sides, *norms), wasserstein_by_assignment(*sides, *norms), rtol=1e-9
        )


def test_a_case_by_hand():
    # Both bars of one side want the long bar of the other. Sorted, the short one comes first.
    x, y = as_bars([(0, 10), (0, 7)]), as_bars([(0, 11)])
    assert match_bars(x, y, 1.0, np.inf).tolist() == [-1, 0]
    assert distance(x, y, 1.0, np.inf) == 1 + 3.5
    assert match_bars(as_bars([(0, 1)]), as_bars([(5, 6)]), 1.0, np.inf).tolist() == [-1]
