import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError, MemoryLimitError
from topodl.complexes import CellComplexes, Lists, clique_complexes, ring_complexes

from ..naive.complexes import chordless_cycles, relevant_cycles
from .graphs import graphs

K4 = torch.combinations(torch.arange(4)).T


@given(graphs(max_vertices=7), st.integers(3, 7))
def test_every_cycle_without_chords_is_a_ring(batch, max_length):
    complexes = ring_complexes(*batch, max_length=max_length)
    expected = [chordless_cycles(*batch.edges_of(g), max_length) for g in range(batch.n_graphs)]
    assert [tuple(ring) for ring in complexes.vertices(2).numpy()] == [r for each in expected for r in each]
    assert complexes.counts[:, 2].tolist() == list(map(len, expected))


@given(graphs(max_vertices=7), st.integers(3, 7))
def test_relevant_rings_are_no_sum_of_shorter_ones(batch, max_length):
    complexes = ring_complexes(*batch, max_length=max_length, kind="relevant")
    expected = [relevant_cycles(*batch.edges_of(g), max_length) for g in range(batch.n_graphs)]
    assert [tuple(ring) for ring in complexes.vertices(2).numpy()] == [r for each in expected for r in each]


@given(graphs())
def test_tables_are_those_that_the_constructor_finds(batch):
    complexes = ring_complexes(*batch)
    again = CellComplexes(complexes.counts[:, 0], [complexes.vertices(1).table()], complexes.vertices(2))
    for one, other in [(complexes.faces(2), again.faces(2)), (complexes.vertices(2), again.vertices(2))]:
        assert torch.equal(one.members, other.members)
        assert torch.equal(one.offsets, other.offsets)
    assert torch.equal(complexes.signs(2), again.signs(2))
    assert torch.equal(complexes.offsets(2), again.offsets(2))


@given(graphs(max_vertices=7))
def test_a_batch_is_its_graphs_one_by_one(batch):
    for g, each in enumerate(ring_complexes(*batch)):
        edge_index, n = batch.alone(g)
        single = ring_complexes(edge_index, n_vertices=n)
        assert torch.equal(each.vertices(2).members, single.vertices(2).members)
        assert torch.equal(each.faces(2).members, single.faces(2).members)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["chordless", "relevant"]))
def test_relabelling_permutes_the_rings_and_does_nothing_else(seed, kind):
    graph = nx.gnp_random_graph(9, 0.35, seed=seed)
    edge_index = torch.tensor([*graph.edges], dtype=torch.int64).reshape(-1, 2).T
    places = torch.from_numpy(np.random.default_rng(seed).permutation(9))
    plain = ring_complexes(edge_index, n_vertices=9, kind=kind).vertices(2)
    moved = ring_complexes(places[edge_index], n_vertices=9, kind=kind).vertices(2)
    as_sets = sorted(sorted(places[ring].tolist()) for ring in map(plain.__getitem__, range(len(plain))))
    assert as_sets == sorted(sorted(ring.tolist()) for ring in moved.numpy())


def test_golden_rings(golden, golden_edges):
    complexes = ring_complexes(golden_edges, n_vertices=int(golden["n_vertices"]), max_length=8)
    assert np.array_equal(complexes.vertices(2).members, golden["rings"])
    assert np.array_equal(complexes.vertices(2).offsets, golden["ring_offsets"])
    faces = complexes.faces(2)
    table = torch.stack([faces.members, faces.owners, complexes.signs(2)]).numpy()
    assert np.array_equal(table[:, np.lexsort((table[0], table[1]))], golden["ring_boundary_2"])


def test_rings_of_length_3_are_the_triangles():
    complexes = ring_complexes(K4, max_length=3)
    cliques = clique_complexes(K4)
    assert torch.equal(complexes.vertices(2).table(), cliques.vertices(2).table())
    assert torch.equal(complexes.faces(2).table().sort(1).values, cliques.faces(2).table().sort(1).values)


def test_of_a_prism_the_squares_are_relevant_and_longer_cycles_are_sums():
    prism = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 1, 2], [1, 2, 0, 4, 5, 3, 3, 4, 5]])
    assert ring_complexes(prism, kind="relevant").vertices(2).lengths.tolist() == [3, 3, 4, 4, 4]
    cube = torch.tensor([*nx.convert_node_labels_to_integers(nx.hypercube_graph(3)).edges]).T
    assert ring_complexes(cube, kind="relevant").vertices(2).lengths.tolist() == [4] * 6
    assert ring_complexes(cube).vertices(2).lengths.tolist() == [4] * 6 + [6] * 4
    theta = torch.tensor(
        [[0, 1, 0, 2, 0, 3], [1, 4, 2, 4, 3, 4]]
    )  # three squares, of which any two make the third
    assert len(ring_complexes(theta, kind="relevant").vertices(2)) == 3


def test_too_many_rings_are_refused():
    crown = nx.convert_node_labels_to_integers(nx.complete_bipartite_graph(12, 12))
    edge_index = torch.tensor([*crown.edges]).T + 2
    batch = torch.tensor([0, 0] + [1] * 24)
    message = (
        "more than 830 rings beside its vertices and edges, the last of them in graph 1; expected at most"
    )
    with pytest.raises(MemoryLimitError, match=message):
        ring_complexes(edge_index, batch, max_cells=1000)
    with pytest.raises(MemoryLimitError, match="sample 1 has 144 edges"):
        ring_complexes(edge_index, batch, max_cells=100)
    assert ring_complexes(edge_index, batch).n_cells(2) == 66 * 66


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_length": 2}, "max_length is 2"),
        ({"kind": "basis"}, "kind is 'basis'; expected one of 'chordless'"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(InputError, match=f"ring_complexes: {message}"):
        ring_complexes(K4, **arguments)


def test_a_ring_may_be_as_long_as_the_graph():
    n = 40
    circle = torch.stack((torch.arange(n), torch.arange(n).roll(-1)))
    assert ring_complexes(circle, max_length=n - 1).n_cells(2) == 0
    complexes = ring_complexes(circle, max_length=10**9)
    assert isinstance(complexes.vertices(2), Lists)
    assert complexes.vertices(2).lengths.tolist() == [n]
