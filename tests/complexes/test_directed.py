"""Directed flag complexes against all ordered tuples and pyflagser's numbers, and used as others are."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError, MemoryLimitError, complex_persistence
from topodl.complexes import CellComplexes, clique_complexes, directed_flag_complexes


def index_of(edges):
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))
    )
)
def test_cells_are_all_tuples_along_edges(graph):
    n, edges = graph
    complexes = directed_flag_complexes(index_of(edges), n_vertices=n, max_dim=3)
    assert complexes.is_directed
    for k in range(4):
        expected = [
            cell
            for cell in itertools.permutations(range(n), k + 1)
            if all(pair in edges for pair in itertools.combinations(cell, 2))
        ]
        found = list(map(tuple, complexes.vertices(k).table().tolist()))
        assert found == expected
        if k:
            below = complexes.vertices(k - 1).table().tolist()
            for cell, faces in zip(found, complexes.faces(k).table().tolist(), strict=True):
                assert [below[face] for face in faces] == [
                    list(cell[:j] + cell[j + 1 :]) for j in range(k + 1)
                ]
    for k in (1, 2):
        product = complexes.boundary(k).to_dense() @ complexes.boundary(k + 1).to_dense()
        assert not product.any()


# Computed once with pyflagser 0.4.7 (directed=True, filtration="max") from the graphs of `weighted_graph`.
PEER = [
    ([8, 24, 28, 10], [1, 1, 3, 1], [[0.135, 0.594], [0.541, np.inf]]),
    ([8, 31, 59, 51], [1, 0, 2, 12], [[0.192, 0.274], [0.26, 0.472], [0.262, 0.623], [0.511, 0.516]]),
    ([8, 30, 45, 18], [1, 0, 5, 1], [[0.202, 0.592], [0.216, 0.523], [0.511, 0.593], [0.766, 0.849]]),
    ([8, 25, 27, 5], [1, 2, 6, 0], [[0.391, 0.649], [0.394, 0.649], [0.747, np.inf], [0.752, np.inf]]),
]
PEER_DEATHS = [0.003, 0.028, 0.041, 0.059, 0.15, 0.176, 0.392, np.inf]  # of components, of the first


def weighted_graph(seed):
    rng = np.random.default_rng(seed)
    weights = np.round(rng.random((8, 8)), 3)
    edges = rng.random((8, 8)) < 0.5
    np.fill_diagonal(edges, False)
    index = torch.from_numpy(np.argwhere(edges).T.copy())
    return index, torch.from_numpy(weights)[index[0], index[1]]


@pytest.mark.parametrize("seed", range(len(PEER)))
def test_homology_equals_pyflagser(seed):
    index, weights = weighted_graph(seed)
    counts, betti, loops = PEER[seed]
    complexes = directed_flag_complexes(index, n_vertices=8, max_dim=4)
    assert complexes.counts[0, :4].tolist() == counts
    assert complexes.betti_numbers()[0, :4].tolist() == betti
    filtered = complexes.with_values([torch.zeros(8).double(), weights])
    d = complex_persistence(filtered, (0, 1))
    ours = sorted(zip(d.dim(1).births.tolist(), d.dim(1).deaths.tolist(), strict=True))
    np.testing.assert_allclose(ours, loops)
    if seed == 0:
        np.testing.assert_allclose(sorted(d.dim(0).deaths.tolist()), PEER_DEATHS)


def test_edges_find_their_cells_and_weights_their_gradient():
    index, weights = weighted_graph(0)
    order = torch.randperm(index.shape[1], generator=torch.Generator().manual_seed(0))
    complexes = directed_flag_complexes(index[:, order], n_vertices=8)
    places = complexes.index_of(index)
    assert torch.equal(complexes.vertices(1).table()[places].T, index)
    assert complexes.index_of(torch.tensor([[0], [0]])).tolist() == [-1]
    weights.requires_grad_()
    values = torch.zeros(len(weights)).double().index_put((places,), weights)
    d = complex_persistence(complexes.with_values([torch.zeros(8).double(), values]))
    d.finite().deaths.sum().backward()
    assert weights.grad.sum() == len(d.finite().deaths)


def test_a_batch_is_its_graphs():
    index, _ = weighted_graph(1)
    other = torch.tensor([[0, 1, 1], [1, 0, 2]])
    both = directed_flag_complexes(torch.cat((index, other + 8), 1), torch.tensor([0] * 8 + [1] * 3))
    parts = directed_flag_complexes(index, n_vertices=8), directed_flag_complexes(other)
    for joined in (both, CellComplexes.cat(parts), pickle.loads(pickle.dumps(both)), both.to("cpu")):
        assert joined.is_directed
        for k in range(3):
            assert torch.equal(joined.vertices(k).members, both.vertices(k).members)
            assert torch.equal(joined.offsets(k), both.offsets(k))
    assert both[1].is_directed
    assert torch.equal(both[1].faces(1).table(), parts[1].faces(1).table())
    assert parts[1].vertices(1).table().tolist() == [[0, 1], [1, 0], [1, 2]]
    assert both.skeleton(1).is_directed
    assert not clique_complexes(index).is_directed


def test_numbers_upwards_give_the_clique_complex():
    index, _ = weighted_graph(2)
    upwards = index[:, index[0] < index[1]]
    ours, theirs = directed_flag_complexes(upwards, n_vertices=8), clique_complexes(upwards, n_vertices=8)
    for k in range(3):
        assert torch.equal(ours.vertices(k).members, theirs.vertices(k).members)


def test_what_has_no_directions_is_refused():
    complexes = directed_flag_complexes(torch.tensor([[0, 1], [1, 0]]))
    for name in ("to_gudhi", "to_toponetx"):
        with pytest.raises(
            InputError, match=f"{name}: the complexes have directions; expected simplices that are"
        ):
            getattr(complexes, name)()
    with pytest.raises(
        InputError, match=r"batches have .*directed False.*directed True.*; expected the same"
    ):
        CellComplexes.cat([complexes, clique_complexes(torch.tensor([[0], [1]]))])
    with pytest.raises(InputError, match="edge_index has an edge"):
        directed_flag_complexes(torch.tensor([[0], [3]]), n_vertices=2)
    with pytest.raises(MemoryLimitError, match="directed_flag_complexes: edge_index has 4 cells"):
        directed_flag_complexes(torch.tensor([[0, 1], [1, 0]]), max_cells=3)
