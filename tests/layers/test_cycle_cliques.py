"""TIGT's cliques of cycles, by published values and by hand, and messages along them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from topodl import InputError
from topodl.complexes import numbering_dependent_cycles, ring_complexes
from topodl.layers import CycleCliqueEncoding, cycle_cliques

from ..complexes.graphs import GOLDEN, graphs
from .cells import build, drawn, relabelled_graphs


@pytest.mark.parametrize("name", GOLDEN)
def test_cliques_are_the_published_ones(shared, name):
    golden = np.load(shared / "golden" / "complexes" / f"{name}.npz")
    edges = torch.from_numpy(golden["edges"].T.astype(np.int64))
    for complexes, key in (
        (ring_complexes(edges, max_length=8), "ring_clique_index"),
        (numbering_dependent_cycles(edges), "tigt_cycle_index"),
    ):
        pairs = golden[key]
        expected = sorted({tuple(sorted(pair)) for pair in pairs.T.tolist()})
        assert cycle_cliques(complexes).T.tolist() == [list(pair) for pair in expected]


def test_a_bridge_is_in_no_clique():
    two_squares = torch.tensor([[0, 1, 2, 0, 3, 4, 5, 6, 4], [1, 2, 3, 3, 4, 5, 6, 7, 7]])
    pairs = cycle_cliques(ring_complexes(two_squares)).T.tolist()
    square = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert pairs == square + [[u + 4, v + 4] for u, v in square]


def test_the_numbering_changes_a_basis_and_not_the_chordless_cycles():
    # a square with both diagonals through a middle vertex has four triangles and one square
    wheel = torch.tensor([[0, 1, 2, 0, 0, 1, 2, 3], [1, 2, 3, 3, 4, 4, 4, 4]])
    counts = {"basis": set(), "rings": set()}
    for seed in range(20):
        new = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
        basis = numbering_dependent_cycles(new[wheel])
        counts["basis"].add(tuple(sorted(basis.vertices(2).lengths.tolist())))
        rings = ring_complexes(new[wheel])
        counts["rings"].add(tuple(sorted(rings.vertices(2).lengths.tolist())))
    assert len(counts["basis"]) > 1
    assert counts["rings"] == {(3, 3, 3, 3, 4)}


@given(relabelled_graphs())
@settings(max_examples=25)
def test_the_numbering_of_vertices_changes_nothing(drawn_graphs):
    (edges, batch, n_graphs), new = drawn_graphs
    complexes = ring_complexes(edges, batch, n_graphs)
    moved = ring_complexes(new[edges], batch[torch.argsort(new)], n_graphs)
    layer, x = build(CycleCliqueEncoding, 3), drawn(len(batch), 3)
    turned = torch.empty_like(x).index_copy(0, new, x)
    torch.testing.assert_close(layer(turned, moved)[new], layer(x, complexes))


@given(graphs())
@settings(max_examples=25)
def test_a_batch_gives_what_its_graphs_give(drawn_graphs):
    complexes = ring_complexes(*drawn_graphs)
    layer, x = build(CycleCliqueEncoding, 3), drawn(complexes.n_cells(0), 3)
    together = layer(x, complexes)
    for i in range(complexes.n_samples):
        own = complexes.samples(0) == i
        torch.testing.assert_close(layer(x[own], complexes[i]), together[own])


def test_the_encoding_that_a_hand_can_compute():
    complexes = ring_complexes(torch.tensor([[0, 1, 2, 0, 3], [1, 2, 3, 3, 4]]))
    layer = build(CycleCliqueEncoding, 1)
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        for messages in (layer.along_edges, layer.along_cliques):
            messages.perceptron[0].weight.fill_(1.0)
            messages.perceptron[2].weight.fill_(1.0)
            messages.norm.weight.fill_(1.0)
        layer.alpha.fill_(0.01)
        layer.beta.fill_(0.001)
    layer.along_edges.norm.eps = layer.along_cliques.norm.eps = 0.0
    x = torch.tensor([[1.0], [2.0], [-3.0], [4.0], [5.0]]).double()
    # vertex 0: neighbours 1 and 3; its square has 1, 2, 3 too, and relu(−3) is nothing
    by_edges, by_cliques = 1 + (1 + 2 + 4), 1 + (1 + 2 + 0 + 4)
    expected = 1 + torch.tanh(torch.tensor(0.01 * by_edges + 0.001 * by_cliques).double())
    torch.testing.assert_close(layer(x, complexes)[0, 0], expected)
    # vertex 4 is in no cycle: its own features alone
    expected = 5 + torch.tanh(torch.tensor(0.01 * (5 + 5 + 4) + 0.001 * (5 + 5)).double())
    torch.testing.assert_close(layer(x, complexes)[4, 0], expected)


@pytest.mark.parametrize("same_weights", [False, True])
def test_gradients_are_right_and_reach_all_parameters(same_weights):
    complexes = ring_complexes(torch.tensor([[0, 1, 2, 0, 3], [1, 2, 3, 3, 4]]))
    layer = build(CycleCliqueEncoding, 3, same_weights=same_weights)
    x = drawn(5, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, complexes), x)
    layer(x, complexes).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    assert (layer.along_edges.perceptron is layer.along_cliques.perceptron) == same_weights


@pytest.mark.parametrize("training", [False, True])
def test_odd_graphs_and_half_precision(training):
    layer, nothing = build(CycleCliqueEncoding, 3).train(training), torch.empty(2, 0, dtype=torch.int64)
    for complexes in (
        ring_complexes(nothing),
        ring_complexes(nothing, n_vertices=1),
        ring_complexes(torch.tensor([[0], [1]]), n_vertices=4),
        ring_complexes(nothing, torch.empty(0, dtype=torch.int64), 0),
    ):
        out = layer(drawn(complexes.n_cells(0), 3), complexes)
        assert out.shape == (complexes.n_cells(0), 3)
        assert out.isfinite().all()
    x, square = drawn(4, 3), ring_complexes(torch.tensor([[0, 1, 2, 0], [1, 2, 3, 3]]))
    exact = layer.eval()(x, square)
    short = layer.bfloat16()(x.bfloat16(), square)
    assert short.dtype == torch.bfloat16
    torch.testing.assert_close(short.double(), exact, rtol=0.05, atol=0.05)


def test_layers_share_cliques():
    complexes = ring_complexes(torch.tensor([[0, 1, 2, 0, 3], [1, 2, 3, 3, 4]]))
    layer, x = build(CycleCliqueEncoding, 3), drawn(5, 3)
    assert torch.equal(layer(x, complexes, cycle_cliques(complexes)), layer(x, complexes))


def test_unusable_input_is_named():
    complexes = ring_complexes(torch.tensor([[0, 1, 2, 0, 3], [1, 2, 3, 3, 4]]))
    layer = build(CycleCliqueEncoding, 3)
    with pytest.raises(InputError, match="x has 4 rows; expected one for each of 5 vertices"):
        layer(drawn(4, 3), complexes)
    with pytest.raises(InputError, match="complexes have dimensions up to 1; expected them up to 2"):
        layer(drawn(5, 3), complexes.skeleton(1))
    with pytest.raises(TypeError, match="cycle_cliques: complexes is a list"):
        cycle_cliques([])
    with pytest.raises(InputError, match="in_features is 0"):
        CycleCliqueEncoding(0)
