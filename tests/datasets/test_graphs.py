"""Graphs of known topology: the engine finds the components and cycles that they state."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topodl
from topodl import datasets
from topodl.errors import InputError


def betti(graph):
    d = topodl.graph_persistence(torch.zeros(graph.n_nodes), torch.from_numpy(graph.edge_index))
    return tuple(int((d.dims == k).sum()) for k in (0, 1))


@given(
    components=st.integers(1, 4),
    cycles=st.integers(0, 6),
    noise=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 1000),
)
def test_the_engine_finds_the_stated_betti_numbers(components, cycles, noise, seed):
    graph = datasets.make_graph(25, components, cycles, noise=noise, random_state=seed)
    assert graph.betti == (components, cycles) == betti(graph)
    assert graph.n_nodes == (25 if noise == 0 else 37)
    edges = {tuple(sorted(pair)) for pair in graph.edge_index.T.tolist()}
    assert len(edges) == graph.edge_index.shape[1]
    again = datasets.make_graph(25, components, cycles, noise=noise, random_state=seed)
    np.testing.assert_array_equal(again.edge_index, graph.edge_index)


@pytest.mark.parametrize("length", [6, 8, 20])
def test_cycle_pairs(length):
    one, two = datasets.make_cycle_pair(length)
    assert (one.betti, two.betti) == ((1, 1), (2, 2)) == (betti(one), betti(two))
    for graph in (one, two):
        assert np.bincount(graph.edge_index.ravel()).tolist() == [2] * length


def test_bicyclic_pair():
    networkx = pytest.importorskip("networkx")
    decalin, bicyclopentyl = datasets.make_bicyclic_pair()
    rings = []
    for graph in (decalin, bicyclopentyl):
        assert graph.betti == (1, 2) == betti(graph)
        assert sorted(np.bincount(graph.edge_index.ravel()).tolist()) == [2] * 8 + [3] * 2
        g = networkx.Graph(list(graph.edge_index.T.tolist()))
        rings.append(sorted(map(len, networkx.minimum_cycle_basis(g))))
    assert rings == [[6, 6], [5, 5]]


def test_strongly_regular_pair():
    import gudhi

    clique_betti = []
    for graph in datasets.make_strongly_regular_pair():
        assert graph.betti == (1, 33) == betti(graph)
        a = np.zeros((16, 16), int)
        a[tuple(graph.edge_index)] = 1
        a += a.T
        np.testing.assert_array_equal(a @ a, 6 * np.eye(16) + 2 * a + 2 * (1 - a - np.eye(16)))
        tree = gudhi.SimplexTree()
        for edge in graph.edge_index.T.tolist():
            tree.insert(edge, 0.0)
        tree.expansion(3)
        tree.compute_persistence(persistence_dim_max=True)
        clique_betti.append(tree.betti_numbers()[:3])
    assert clique_betti == [[1, 9, 0], [1, 2, 1]]


def test_unusable_arguments_are_named():
    with pytest.raises(InputError, match="n_cycles is 9; expected at most 1"):
        datasets.make_graph(3, 1, 9)
    with pytest.raises(InputError, match="n_components is 4"):
        datasets.make_graph(3, 4)
    with pytest.raises(InputError, match="length is 7; expected an even number"):
        datasets.make_cycle_pair(7)
    with pytest.raises(InputError, match="n_pairs is 0; expected an integer of at least 1"):
        datasets.collect_blind_pairs(0)
