"""Distances in steps, and drawings that keep them."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topodl.kernels.mapper.layout import spread, steps_from


def as_arrays(graph):
    neighbours = [sorted(graph[v]) for v in range(len(graph))]
    return np.cumsum([0, *map(len, neighbours)]), np.array([w for each in neighbours for w in each], np.int64)


@given(st.integers(2, 12), st.floats(0.1, 0.9), st.integers(0, 99))
def test_steps_are_lengths_of_shortest_paths(n, p, seed):
    graph = nx.gnp_random_graph(n, p, seed=seed)
    steps = steps_from(np.arange(n), *as_arrays(graph))
    expected = np.full((n, n), -1)
    for v, lengths in nx.all_pairs_shortest_path_length(graph):
        expected[v, list(lengths)] = list(lengths.values())
    assert np.array_equal(steps, expected)


@pytest.mark.parametrize("n_pivots", [1, 5])
@settings(deadline=None)
@given(st.integers(0, 20))
def test_a_path_becomes_a_line(n_pivots, seed):
    starts, neighbours = as_arrays(nx.path_graph(5))
    places, pivots = np.random.default_rng(seed).random((5, 2)), np.arange(n_pivots)
    spread(places, pivots, steps_from(pivots, starts, neighbours), starts, neighbours)
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert np.allclose(steps, 1, atol=0.1)
