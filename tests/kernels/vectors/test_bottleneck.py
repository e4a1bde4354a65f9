import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive.distances import bottleneck_by_matchings
from topodl.kernels.vectors.bottleneck import bottleneck_distances

# Few values, so that many distances are equal, and continuous ones.
bar = st.tuples(st.integers(0, 9), st.integers(1, 7)).map(lambda b: (b[0], b[0] + b[1]))
fine_bar = st.tuples(st.floats(0, 1), st.floats(1e-3, 1)).map(lambda b: (b[0], b[0] + b[1]))
many_bars = st.lists(bar, max_size=8) | st.lists(fine_bar, max_size=8)


def distance(first, second):
    sides = [np.array(sorted(bars), dtype=np.float64).reshape(-1, 2) for bars in (first, second)]
    offsets = np.cumsum([0, *map(len, sides)])
    return bottleneck_distances(np.concatenate(sides), offsets, np.array([0]), np.array([1]))[0]


@given(many_bars, many_bars)
@settings(max_examples=200)
def test_it_is_the_least_reach_of_a_matching(first, second):
    np.testing.assert_allclose(distance(first, second), bottleneck_by_matchings(first, second), rtol=1e-12)
    assert distance(first, second) == distance(second, first)
    assert distance(first, first) == 0.0


def test_many_equal_distances_and_a_search_by_bisection():
    rng = np.random.default_rng(0)
    for n in (40, 60):
        births = rng.integers(0, 30, (2, n))
        first, second = (np.stack([b, b + rng.integers(1, 30, n)], 1).tolist() for b in births)
        assert distance(first, second) == bottleneck_by_matchings(first, second)


def test_a_case_by_hand():
    assert distance([(0, 4), (1, 2)], [(1, 6)]) == 2.0
    assert distance([(0, 4)], []) == 2.0
    assert distance([], []) == 0.0


def test_a_greedy_matching_is_undone():
    # The first bar takes the only one that the second can go to.
    assert distance([(0, 20), (1, 21)], [(1, 20.5), (-1, 19)]) == 1.0
