import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError, MemoryLimitError
from topodl.complexes import CellComplexes, hop_sets, neighbourhood_complexes

from ..naive.complexes import sets_with_common_neighbours
from .graphs import graphs


@given(graphs(max_vertices=7), st.integers(0, 4))
def test_every_set_with_a_common_neighbour_is_a_simplex(batch, max_dim):
    complexes = neighbourhood_complexes(*batch, max_dim=max_dim)
    assert complexes.dim == max_dim
    assert torch.equal(complexes.counts[:, 0], torch.bincount(batch.batch, minlength=batch.n_graphs))
    for k in range(1, max_dim + 1):
        expected = [sets_with_common_neighbours(*batch.edges_of(g), k + 1) for g in range(batch.n_graphs)]
        assert complexes.vertices(k).table().tolist() == [list(s) for each in expected for s in each]
        assert complexes.counts[:, k].tolist() == list(map(len, expected))


@given(graphs(max_vertices=7))
def test_tables_are_those_that_the_constructor_finds(batch):
    complexes = neighbourhood_complexes(*batch, max_dim=3)
    again = CellComplexes(complexes.counts[:, 0], [complexes.vertices(k).table() for k in (1, 2, 3)])
    for k in (1, 2, 3):
        assert torch.equal(complexes.faces(k).table(), again.faces(k).table())


def test_the_neighbourhood_complex_of_a_complete_graph_is_a_sphere():
    complete = torch.combinations(torch.arange(5)).T
    assert neighbourhood_complexes(complete, max_dim=4).betti_numbers().tolist() == [[1, 0, 0, 1, 0]]


def test_too_many_sets_are_refused():
    star = torch.tensor([[0] * 30, list(range(1, 31))])
    with pytest.raises(MemoryLimitError, match=r"neighbourhood_complexes: .* sample 0 has 4060 triangles"):
        neighbourhood_complexes(star, max_cells=1000)
    with pytest.raises(MemoryLimitError, match="sample 0 has 435 edges"):
        neighbourhood_complexes(star, max_cells=100)
    with pytest.raises(InputError, match="max_dim is -1"):
        neighbourhood_complexes(star, max_dim=-1)


@given(graphs(), st.integers(0, 4))
def test_hop_sets_are_what_a_search_finds(batch, n_hops):
    sets = hop_sets(*batch, n_hops=n_hops)
    graph = nx.Graph([tuple(edge) for edge in batch.edge_index.T.tolist()])
    graph.add_nodes_from(range(len(batch.batch)))
    expected = [sorted(nx.single_source_shortest_path_length(graph, v, n_hops)) for v in sorted(graph)]
    assert [each.tolist() for each in sets.numpy()] == expected


def test_golden_hops(golden, golden_edges):
    for k in (1, 2):
        sets = hop_sets(golden_edges, n_vertices=int(golden["n_vertices"]), n_hops=k)
        assert np.array_equal(sets.members, golden[f"hop_{k}"])
        assert np.array_equal(sets.offsets, golden[f"hop_{k}_offsets"])


def test_hops_may_be_more_than_there_are_vertices():
    assert hop_sets(torch.tensor([[0], [1]]), n_hops=10**12).lengths.tolist() == [2, 2]
