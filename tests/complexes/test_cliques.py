import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError, MemoryLimitError
from topodl.complexes import CellComplexes, clique_complexes

from ..naive.complexes import cliques
from .graphs import graphs


@given(graphs(), st.integers(0, 4))
def test_every_set_of_pairwise_neighbours_is_a_simplex(batch, max_dim):
    complexes = clique_complexes(*batch, max_dim=max_dim)
    assert complexes.dim == max_dim
    for k in range(max_dim + 1):
        expected = [cliques(*batch.edges_of(g), k + 1) for g in range(batch.n_graphs)]
        assert complexes.vertices(k).table().tolist() == [list(s) for each in expected for s in each]
        assert complexes.counts[:, k].tolist() == list(map(len, expected))


@given(graphs(), st.integers(1, 4))
def test_tables_are_those_that_the_constructor_finds(batch, max_dim):
    complexes = clique_complexes(*batch, max_dim=max_dim)
    again = CellComplexes(
        complexes.counts[:, 0], [complexes.vertices(k).table() for k in range(1, max_dim + 1)]
    )
    for k in range(1, max_dim + 1):
        assert torch.equal(complexes.faces(k).table(), again.faces(k).table())
        assert torch.equal(complexes.offsets(k), again.offsets(k))


@given(graphs(), st.integers(1, 3))
def test_a_batch_is_its_graphs_one_by_one(batch, max_dim):
    complexes = clique_complexes(*batch, max_dim=max_dim)
    for g, each in enumerate(complexes):
        edge_index, n = batch.alone(g)
        single = clique_complexes(edge_index, n_vertices=n, max_dim=max_dim)
        for k in range(max_dim + 1):
            assert torch.equal(each.vertices(k).table(), single.vertices(k).table())
            if k:
                assert torch.equal(each.faces(k).table(), single.faces(k).table())


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_relabelling_permutes_the_cells_and_does_nothing_else(seed, n):
    graph = nx.gnp_random_graph(n, 0.6, seed=seed)
    edge_index = torch.tensor([*graph.edges], dtype=torch.int64).reshape(-1, 2).T
    places = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    plain, moved = (clique_complexes(e, n_vertices=n, max_dim=3) for e in (edge_index, places[edge_index]))
    for k in range(4):
        simplices = places[plain.vertices(k).table()].sort(1).values
        assert sorted(simplices.tolist()) == moved.vertices(k).table().tolist()


def test_golden_simplices_and_boundaries(golden, golden_edges):
    complexes = clique_complexes(golden_edges, n_vertices=int(golden["n_vertices"]), max_dim=3)
    for k in (1, 2, 3):
        assert np.array_equal(complexes.vertices(k).table(), golden[f"simplices_{k}"])
        if f"boundary_{k}" in golden:
            faces = complexes.faces(k)
            table = torch.stack([faces.members, faces.owners, complexes.signs(k)]).numpy()
            in_order = table[:, np.lexsort((table[0], table[1]))]
            assert np.array_equal(in_order, golden[f"boundary_{k}"])


def test_given_edges_know_their_cells():
    edge_index = torch.tensor([[3, 0, 1, 2, 1, 0], [2, 3, 0, 1, 1, 1]])
    complexes = clique_complexes(edge_index)
    cells = complexes.index_of(edge_index)
    assert cells.tolist() == [3, 1, 0, 2, -1, 0]
    known = cells >= 0
    ends = complexes.vertices(1).table()[cells[known]]
    assert torch.equal(ends, edge_index.T[known].sort(1).values)


def test_too_many_cells_are_refused_before_they_are_made():
    complete = torch.combinations(torch.arange(60)).T
    edge_index = torch.cat((torch.tensor([[0], [1]]), complete + 2), 1)
    batch = torch.tensor([0, 0] + [1] * 60)
    message = "has 36053 cells up to its triangles, of which sample 1 has 34220 triangles; expected at most"
    with pytest.raises(MemoryLimitError, match=message):
        clique_complexes(edge_index, batch, max_dim=8, max_cells=30_000)
    assert clique_complexes(edge_index, batch, max_cells=36_053).n_cells(2) == 34_220
    with pytest.raises(MemoryLimitError, match="sample 1 has 1770 edges"):
        clique_complexes(edge_index, batch, max_cells=100)


def test_without_dimensions_there_are_vertices():
    complexes = clique_complexes(torch.tensor([[0], [1]]), max_dim=0, max_cells=2)
    assert (complexes.dim, complexes.n_cells(0)) == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"edge_index": torch.zeros(3, 2, dtype=torch.int64)}, "edge_index has shape .*expected shape"),
        ({"batch": torch.tensor([0, 1, 0])}, "batch has graph 1 before graph 0 at vertex 2"),
        ({"batch": torch.tensor([0, 1, 1])}, r"edge \(0, 1\) from graph 0 to graph 1; expected edges within"),
        ({"batch": torch.tensor([0, 0])}, r"edge \(1, 2\); expected vertices from 0 to 1"),
        ({"batch": torch.tensor([[0, 0, 0]])}, r"batch has shape \(1, 3\)"),
        ({"batch": torch.tensor([-1, 0, 0])}, r"batch has -1 … 0; expected graphs from 0 to 0"),
        ({"batch": torch.tensor([0, 0, 2]), "n_graphs": 2}, "batch has 0 … 2; expected graphs from 0 to 1"),
        ({"n_graphs": 2}, "n_graphs is 2 without batch"),
        ({"n_vertices": 2}, r"edge \(1, 2\); expected vertices from 0 to 1"),
        ({"n_vertices": -1}, "n_vertices is -1"),
        ({"batch": torch.tensor([0, 0, 0]), "n_vertices": 4}, "n_vertices is 4; expected the 3 vertices"),
        ({"max_dim": -1}, "max_dim is -1"),
        ({"max_cells": 1.5}, "max_cells is 1.5"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(InputError, match=f"clique_complexes: .*{message}"):
        clique_complexes(**{"edge_index": torch.tensor([[0, 1], [1, 2]]), **arguments})


def test_what_is_not_made_of_integers_is_no_index():
    with pytest.raises(TypeError, match=r"edge_index has dtype torch\.float32; expected integers"):
        clique_complexes(torch.zeros(2, 1))
    with pytest.raises(TypeError, match=r"batch has dtype torch\.bool"):
        clique_complexes(torch.zeros(2, 1, dtype=torch.int64), torch.tensor([False]))
    with pytest.raises(TypeError, match="edge_index is a list"):
        clique_complexes([[0], [1]])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_integers_of_any_type_number_vertices_and_graphs(dtype):
    edges, batch = torch.tensor([[0, 1, 3], [1, 2, 4]]), torch.tensor([0, 0, 0, 1, 1])
    expected, found = (
        clique_complexes(edges.to(kind), batch=batch.to(kind)) for kind in (torch.int64, dtype)
    )
    assert found.n_samples == expected.n_samples == 2
    assert [found.n_cells(k) for k in range(2)] == [expected.n_cells(k) for k in range(2)] == [5, 3]
