import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import graph as naive
from topodl.kernels.graphs.graph import cycle_deaths


@given(st.integers(2, 9), st.integers(0, 30), st.integers(0, 10**6))
def test_the_edge_that_leaves_is_that_of_lowest_priority_on_the_cycle(n, n_edges, seed):
    random = np.random.default_rng(seed)
    edges = random.integers(0, n, (n_edges, 2))
    edges = edges[edges[:, 0] != edges[:, 1]]
    priority = random.permutation(len(edges))
    expected = naive.cycle_deaths([tuple(e) for e in edges.tolist()], priority.tolist())
    assert cycle_deaths(n, edges, priority).tolist() == expected


def test_a_triangle_by_hand():
    triangle = np.array([[0, 1], [1, 2], [0, 2]])
    assert cycle_deaths(3, triangle, np.array([2, 1, 0])).tolist() == [-1, -1, 2]
    assert cycle_deaths(3, triangle, np.array([2, 0, 1])).tolist() == [-1, -1, 1]
    assert cycle_deaths(3, triangle[:0], np.array([], np.int64)).tolist() == []


@pytest.mark.parametrize("rising", [True, False])
@pytest.mark.parametrize("from_the_far_end", [True, False])
def test_long_cycles_end_where_they_are_weakest(rising, from_the_far_end):
    n = 20_000
    ends = np.arange(n)
    cycle = np.stack([ends, (ends + 1) % n], 1)
    cycle = np.ascontiguousarray(cycle[::-1] if from_the_far_end else cycle)
    priority = ends.copy() if rising else n - 1 - ends
    ended = cycle_deaths(n, cycle, priority)
    assert (ended[:-1] == -1).all()
    assert ended[-1] == (0 if rising else n - 1)
