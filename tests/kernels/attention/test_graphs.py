import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.naive import attention as naive
from topodl.kernels.attention.graphs import (
    directed_statistics,
    greedy_matchings,
    neighbour_sets,
    undirected_statistics,
)
from topodl.kernels.attention.trees import moments, row_sums, spanning_trees

LEVELS = np.array([1, 2, 3])


def matrices(largest: int) -> st.SearchStrategy[np.ndarray]:
    """Small integer weights, so that there are many ties."""
    return st.integers(1, largest).flatmap(lambda n: arrays(np.int64, (n, n), elements=st.integers(0, 3)))


def sets(weights: np.ndarray, levels: np.ndarray, loops: bool) -> tuple[np.ndarray, np.ndarray]:
    """Neighbour sets of matrices (M, n, n) whose rows are left as they are."""
    return neighbour_sets(weights.astype(float), np.ones(weights.shape[:2]), levels.astype(float), loops)


def random_adjacency(n: int, density: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, n)) < density).astype(np.int64)


@given(matrices(6))
def test_directed_statistics_equal_exhaustive_search(weights):
    successors, predecessors = sets(weights[None], LEVELS, True)
    found = directed_statistics(successors, predecessors, True, True, 10**6)[0]
    for level, (strong, cycles) in zip(LEVELS, found, strict=True):
        assert strong == naive.strong_components(weights >= level)
        assert cycles == naive.count_cycles(weights >= level)


@given(matrices(9))
def test_undirected_statistics_equal_the_slow_twins(weights):
    either = np.maximum(weights, weights.T)
    neighbours, mirrored = sets(either[None], LEVELS, False)
    np.testing.assert_array_equal(neighbours, mirrored)
    for level, (chordal, matching) in zip(
        LEVELS, undirected_statistics(neighbours, True, True)[0], strict=True
    ):
        assert chordal == naive.is_chordal(either >= level)
        assert matching == naive.maximum_matching(either >= level)


@given(matrices(9))
def test_greedy_matching_prefers_successors(weights):
    found = greedy_matchings(*sets(weights[None], LEVELS, True))[0]
    assert found.tolist() == [naive.greedy_matching(weights >= level) for level in LEVELS]


@pytest.mark.parametrize("n", [63, 64, 65, 130])
def test_graphs_wider_than_a_word_equal_networkx(n):
    adjacency = random_adjacency(n, 1.5 / n, n)
    graph = nx.from_numpy_array(adjacency, create_using=nx.DiGraph)
    successors, predecessors = sets(adjacency[None], LEVELS[:1], True)
    strong, cycles = directed_statistics(successors, predecessors, True, True, 10**6)[0, 0]
    assert strong == nx.number_strongly_connected_components(graph)
    assert cycles == sum(1 for _ in nx.simple_cycles(graph))
    either = adjacency | adjacency.T
    simple = nx.from_numpy_array(either)
    simple.remove_edges_from(list(nx.selfloop_edges(simple)))
    chordal, matching = undirected_statistics(sets(either[None], LEVELS[:1], False)[0], True, True)[0, 0]
    assert chordal == nx.is_chordal(simple)
    assert matching == len(nx.max_weight_matching(simple, maxcardinality=True))


@pytest.mark.parametrize("cap", [1, 2, 7, 50])
def test_cycle_count_stops_at_the_cap(cap):
    complete = np.ones((1, 7, 7), np.int64)
    successors, predecessors = sets(complete, LEVELS[:1], True)
    assert directed_statistics(successors, predecessors, False, True, cap)[0, 0, 1] == cap


def test_long_single_cycle_is_one_cycle():
    ring = np.roll(np.eye(100, dtype=np.int64), 1, axis=1)[None]
    successors, predecessors = sets(ring, LEVELS[:1], True)
    assert directed_statistics(successors, predecessors, True, True, 50)[0, 0].tolist() == [1, 1]
    either = np.maximum(ring, ring.transpose(0, 2, 1))
    chordal, matching = undirected_statistics(sets(either, LEVELS[:1], False)[0], True, True)[0, 0]
    assert (chordal, matching) == (0, 50)


@given(st.integers(1, 11), st.floats(0, 0.7), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 50, 500]))
def test_cycle_counts_up_to_a_cap_equal_networkx(n, density, seed, cap):
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 4, (1, n, n)) * (rng.random((1, n, n)) < density)
    found = directed_statistics(*sets(weights, LEVELS, True), True, True, cap)[0, :, 1]
    for level, cycles in zip(LEVELS, found, strict=True):
        graph = nx.from_numpy_array((weights[0] >= level).astype(int), create_using=nx.DiGraph)
        assert cycles == sum(1 for _ in itertools.islice(nx.simple_cycles(graph), cap))


@given(matrices(19), st.sampled_from([np.float32, np.float64]))
def test_spanning_tree_and_counts(weights, dtype):
    n = len(weights)
    maps, sums, room = weights.astype(dtype)[None], np.full((1, n), 2, dtype), np.empty((n, n), dtype)
    bits = room.view(np.int32 if dtype == np.float32 else np.int64)
    trees, found, counts = spanning_trees(maps, sums, LEVELS.astype(dtype) / 2, room, bits)
    either = np.maximum(weights, weights.T)
    i, j = np.divmod(trees[0], n)
    assert (i < j).all()
    assert (found[0] == either[i, j] / 2).all()
    assert sorted(either[i, j].tolist()) == naive.tree_weights(either)
    assert nx.number_connected_components(nx.Graph(list(zip(i, j, strict=True)) or [(0, 0)])) == 1
    for level, (entries, loops, pairs, components) in zip(LEVELS, counts[0], strict=True):
        assert entries == (weights >= level).sum()
        assert loops == (np.diag(weights) >= level).sum()
        assert pairs == np.triu(either >= level, 1).sum()
        assert components == n - sum(w >= level for w in naive.tree_weights(either))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 130])
def test_sums_of_a_map(n, dtype):
    maps = np.random.default_rng(n).random((3, n, n)).astype(dtype)
    sums, negative = row_sums(maps)
    np.testing.assert_allclose(sums, maps.sum(-1), rtol=1e-6)
    assert negative == 0
    assert row_sums(-maps)[1] == maps.size
    divided = maps.astype(float) / sums[..., None]
    columns, scalars = moments(maps, sums)
    np.testing.assert_allclose(columns, divided.sum(1), rtol=1e-6)
    expected = [(divided**2).sum((1, 2))]
    expected += [np.trace(divided, offset, 1, 2) for offset in (0, -1, 1)]
    np.testing.assert_allclose(scalars, np.stack(expected, 1), rtol=1e-6)
