import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.naive import attention as naive
from topodl.kernels.attention_graphs import (
    directed_statistics,
    greedy_matchings,
    neighbour_sets,
    undirected_statistics,
)
from topodl.kernels.attention_trees import count_at_least, spanning_trees, symmetric_maximum

LEVELS = np.array([1, 2, 3])


def matrices(largest: int) -> st.SearchStrategy[np.ndarray]:
    """Small integer weights, so that there are many ties."""
    return st.integers(1, largest).flatmap(lambda n: arrays(np.int64, (n, n), elements=st.integers(0, 3)))


def random_adjacency(n: int, density: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, n)) < density).astype(np.int64)


@given(matrices(6))
def test_directed_statistics_equal_exhaustive_search(weights):
    successors, predecessors = neighbour_sets(weights[None], LEVELS, True)
    found = directed_statistics(successors, predecessors, True, True, 10**6)[0]
    for level, (strong, cycles) in zip(LEVELS, found, strict=True):
        assert strong == naive.strong_components(weights >= level)
        assert cycles == naive.count_cycles(weights >= level)


@given(matrices(9))
def test_undirected_statistics_equal_the_slow_twins(weights):
    either = np.maximum(weights, weights.T)
    neighbours, mirrored = neighbour_sets(either[None], LEVELS, False)
    np.testing.assert_array_equal(neighbours, mirrored)
    for level, (chordal, matching) in zip(
        LEVELS, undirected_statistics(neighbours, True, True)[0], strict=True
    ):
        assert chordal == naive.is_chordal(either >= level)
        assert matching == naive.maximum_matching(either >= level)


@given(matrices(9))
def test_greedy_matching_prefers_successors(weights):
    found = greedy_matchings(*neighbour_sets(weights[None], LEVELS, True))[0]
    assert found.tolist() == [naive.greedy_matching(weights >= level) for level in LEVELS]


@pytest.mark.parametrize("n", [63, 64, 65, 130])
def test_graphs_wider_than_a_word_equal_networkx(n):
    adjacency = random_adjacency(n, 1.5 / n, n)
    graph = nx.from_numpy_array(adjacency, create_using=nx.DiGraph)
    successors, predecessors = neighbour_sets(adjacency[None], LEVELS[:1], True)
    strong, cycles = directed_statistics(successors, predecessors, True, True, 10**6)[0, 0]
    assert strong == nx.number_strongly_connected_components(graph)
    assert cycles == sum(1 for _ in nx.simple_cycles(graph))
    either = adjacency | adjacency.T
    simple = nx.from_numpy_array(either)
    simple.remove_edges_from(list(nx.selfloop_edges(simple)))
    chordal, matching = undirected_statistics(neighbour_sets(either[None], LEVELS[:1], False)[0], True, True)[
        0, 0
    ]
    assert chordal == nx.is_chordal(simple)
    assert matching == len(nx.max_weight_matching(simple, maxcardinality=True))


@pytest.mark.parametrize("cap", [1, 2, 7, 50])
def test_cycle_count_stops_at_the_cap(cap):
    complete = np.ones((1, 7, 7), np.int64)
    successors, predecessors = neighbour_sets(complete, LEVELS[:1], True)
    assert directed_statistics(successors, predecessors, False, True, cap)[0, 0, 1] == cap


def test_long_single_cycle_is_one_cycle():
    ring = np.roll(np.eye(100, dtype=np.int64), 1, axis=1)[None]
    successors, predecessors = neighbour_sets(ring, LEVELS[:1], True)
    assert directed_statistics(successors, predecessors, True, True, 50)[0, 0].tolist() == [1, 1]
    either = np.maximum(ring, ring.transpose(0, 2, 1))
    chordal, matching = undirected_statistics(neighbour_sets(either, LEVELS[:1], False)[0], True, True)[0, 0]
    assert (chordal, matching) == (0, 50)


@given(matrices(9))
def test_spanning_tree_and_counts(weights):
    bits = weights.astype(np.int32)[None]
    symmetric = symmetric_maximum(bits)
    np.testing.assert_array_equal(symmetric[0], np.maximum(weights, weights.T))
    tree = spanning_trees(symmetric)[0]
    assert (tree[:, 0] < tree[:, 1]).all()
    assert sorted(symmetric[0][tree[:, 0], tree[:, 1]].tolist()) == naive.tree_weights(symmetric[0])
    assert nx.number_connected_components(nx.Graph(tree.tolist() or [(0, 0)])) == 1
    counts = count_at_least(bits, LEVELS.astype(np.int32))[0]
    for level, (every, diagonal) in zip(LEVELS, counts, strict=True):
        assert every == (weights >= level).sum()
        assert diagonal == (np.diag(weights) >= level).sum()
