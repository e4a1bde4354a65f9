"""PersistentMessagePassing: what each part adds, symmetry, batches, and complexes that it refuses."""

import pytest
import torch
from hypothesis import given, settings

from topodl import InputError, datasets
from topodl.complexes import CellComplexes, clique_complexes
from topodl.layers import PersistentMessagePassing

from ..complexes.graphs import graphs
from .cells import build, features_of, places_of, relabelled_graphs, square_with_rings

both = pytest.mark.parametrize("descriptor", ["togl", "rephine"])
BOWTIE = torch.tensor([[0, 0, 1, 2, 2, 3, 3], [1, 2, 2, 3, 4, 4, 5]])


@both
def test_it_is_message_passing_then_the_graph_layer(descriptor):
    complexes = clique_complexes(BOWTIE)
    layer, features = build(PersistentMessagePassing, 3, 4, 2, descriptor), features_of(complexes, 3)
    cells, embeddings = layer(features, complexes)
    passed = layer.messages(features, complexes)
    nodes, of_graphs = layer.descriptor(passed[0], BOWTIE)
    for found, expected in zip((*cells, embeddings), (nodes, *passed[1:], of_graphs), strict=True):
        torch.testing.assert_close(found, expected)


@both
@given(drawn_graphs=relabelled_graphs())
@settings(max_examples=20)
def test_the_numbering_of_vertices_changes_nothing(descriptor, drawn_graphs):
    (edges, batch, n_graphs), new = drawn_graphs
    complexes = clique_complexes(edges, batch, n_graphs)
    moved = clique_complexes(new[edges], batch[torch.argsort(new)], n_graphs)
    layer, features = build(PersistentMessagePassing, 3, 4, 2, descriptor), features_of(complexes, 3)
    places = [places_of(moved, complexes, new, k) for k in range(3)]
    turned = [torch.empty_like(x).index_copy(0, at, x) for x, at in zip(features, places, strict=True)]
    cells, embeddings = layer(features, complexes)
    other_cells, other_embeddings = layer(turned, moved)
    for x, y, at in zip(cells, other_cells, places, strict=True):
        torch.testing.assert_close(y[at], x)
    torch.testing.assert_close(other_embeddings, embeddings)


@given(graphs())
@settings(max_examples=15)
def test_a_batch_gives_what_its_graphs_give(drawn_graphs):
    complexes = clique_complexes(*drawn_graphs)
    layer, features = build(PersistentMessagePassing, 3, 4), features_of(complexes, 3)
    cells, embeddings = layer(features, complexes)
    for i in range(complexes.n_samples):
        own = [complexes.samples(k) == i for k in range(3)]
        alone, embedding = layer([x[at] for x, at in zip(features, own, strict=True)], complexes[i])
        for x, y, at in zip(alone, cells, own, strict=True):
            torch.testing.assert_close(x, y[at])
        torch.testing.assert_close(embedding[0], embeddings[i])


@both
def test_gradients_are_right_and_reach_all_parameters(descriptor):
    complexes = clique_complexes(BOWTIE)
    layer = build(PersistentMessagePassing, 2, 3, 2, descriptor, n_filtrations=2)
    features = [x.requires_grad_() for x in features_of(complexes, 2)]
    assert torch.autograd.gradcheck(lambda *x: layer(x, complexes)[1], features)
    cells, embeddings = layer(features, complexes)
    (sum(x.sum() for x in cells) + embeddings.sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_bars_see_what_messages_do_not():
    pair = datasets.make_cycle_pair(8)
    n = pair[0].n_nodes
    edges = torch.cat([torch.from_numpy(graph.edge_index) + k * n for k, graph in enumerate(pair)], 1)
    complexes = clique_complexes(edges, torch.arange(2).repeat_interleave(n))
    layer = build(PersistentMessagePassing, 1, 16)
    ones = [torch.ones(complexes.n_cells(k), 1).double() for k in range(3)]
    passed = layer.messages(ones, complexes)[0].view(2, n, -1).sum(1)
    torch.testing.assert_close(passed[0], passed[1])
    embeddings = layer(ones, complexes)[1]
    assert (embeddings[0] - embeddings[1]).abs().max() > 1e-3


def test_half_precision_and_odd_graphs():
    layer = build(PersistentMessagePassing, 3, 4)
    short = build(PersistentMessagePassing, 3, 4).bfloat16()
    nothing = torch.empty(2, 0, dtype=torch.int64)
    for complexes in (
        clique_complexes(BOWTIE),
        clique_complexes(nothing),
        clique_complexes(nothing, n_vertices=3),
        clique_complexes(nothing, torch.empty(0, dtype=torch.int64), 2),
    ):
        features = features_of(complexes, 3)
        cells, embeddings = layer(features, complexes)
        assert embeddings.shape == (complexes.n_samples, 4)
        rough_cells, rough = short([x.bfloat16() for x in features], complexes)
        assert rough.dtype == torch.bfloat16
        for k, (x, y) in enumerate(zip(cells, rough_cells, strict=True)):
            assert x.shape == y.shape == (complexes.n_cells(k), 4)
            assert x.isfinite().all()
            assert y.isfinite().all()


def test_unusable_complexes_are_named():
    layer = build(PersistentMessagePassing, 3, 4)
    rings = square_with_rings()
    with pytest.raises(
        InputError, match="complexes have rings as cells of dimension 2; expected all triangles"
    ):
        layer(features_of(rings, 3), rings)
    hollow = CellComplexes([6], [BOWTIE.T, torch.tensor([[0, 1, 2]])])
    with pytest.raises(InputError, match="complexes have 1 of the 2 triangles of their edges"):
        layer(features_of(hollow, 3), hollow)
    with pytest.raises(InputError, match="descriptor is 'ph'"):
        PersistentMessagePassing(3, 4, descriptor="ph")
    with pytest.raises(InputError, match="max_dim is 0"):
        PersistentMessagePassing(3, 4, 0)
