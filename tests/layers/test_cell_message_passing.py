"""CellMessagePassing: messages by hand, symmetry, batches, and graphs of every odd form."""

import itertools

import pytest
import torch
from hypothesis import given, settings

from topodl import InputError
from topodl.complexes import clique_complexes
from topodl.layers import CellMessagePassing

from ..complexes.graphs import graphs
from .cells import build, drawn, features_of, places_of, relabelled_graphs, square_with_rings

WITH_ALL = {"upper": True, "boundary": True, "lower": True}


def neighbours(complexes, k, by):
    """Return (cell, neighbour, shared cell) for the cells of dimension `k` that share a coface or a face."""
    lists = complexes.faces(k + 1) if by == "upper" else complexes.cofaces(k - 1)
    found = []
    for shared, cells in enumerate(lists.numpy()):
        found += [(a, b, shared) for a, b in itertools.permutations(cells.tolist(), 2)]
    return found


def step_by_hand(layer, features, complexes):
    """Pass messages pair by pair."""
    out = []
    for k, cells in enumerate(layer.cells):
        x, parts = features[k], []
        if cells.of_boundary is not None:
            sums = torch.stack(
                [x[i] + features[k - 1][f].sum(0) for i, f in enumerate(complexes.faces(k).numpy())]
            )
            parts.append(cells.of_boundary(sums))
        for by, perceptron, messages, shift in (
            ("upper", cells.of_upper, cells.upper_messages, 1),
            ("lower", cells.of_lower, cells.lower_messages, -1),
        ):
            if perceptron is None:
                continue
            sums = x.clone()
            for a, b, shared in neighbours(complexes, k, by):
                message = x[b]
                if messages.own is not None:
                    message = torch.relu(messages.own(x[b]) + messages.between(features[k + shift][shared]))
                sums[a] += message
            parts.append(perceptron(sums))
        out.append(cells.join(torch.cat(parts, 1)))
    return out


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    "make", [square_with_rings, lambda: clique_complexes(drawn(2, 40).mul(3).long().abs())]
)
def test_messages_are_those_of_all_pairs(make, shared):
    complexes = make()
    layer = build(CellMessagePassing, 3, 4, shared=shared, **WITH_ALL)
    features = features_of(complexes, 3)
    for found, expected in zip(
        layer(features, complexes), step_by_hand(layer, features, complexes), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_sums_over_neighbours_that_a_hand_can_count():
    layer = build(CellMessagePassing, 1, 1, shared=False, norm=None, lower=True)
    complexes = square_with_rings()
    edges = torch.arange(1.0, 9.0).view(-1, 1)  # 01 02 03 12 23, 45 46 56
    upper = layer.cells[1].upper_messages(edges, None, complexes.faces(2).bags(8))
    # 01 lies in the rings 012 and 0123: 02 + 12, and 12 + 23 + 03
    assert upper[0].item() == (2 + 4) + (4 + 5 + 3)
    assert upper[1].item() == (1 + 4) + (3 + 5)  # 02 in 012 and 023
    assert upper[5:].flatten().tolist() == [7 + 8, 6 + 8, 6 + 7]
    lower = layer.cells[1].lower_messages(edges, None, complexes.faces(1).bags(7).transposed)
    # 01 shares 0 with 02, 03 and 1 with 12
    assert lower.flatten().tolist()[0] == 2 + 3 + 4
    assert lower.flatten().tolist()[5] == 7 + 8


@given(relabelled_graphs())
def test_the_numbering_of_vertices_changes_nothing(drawn_graphs):
    (edges, batch, n_graphs), new = drawn_graphs
    old_of = torch.argsort(new)
    complexes = clique_complexes(edges, batch, n_graphs)
    moved = clique_complexes(new[edges], batch[old_of], n_graphs)
    layer = build(CellMessagePassing, 3, 4, **WITH_ALL)
    features = features_of(complexes, 3)
    places = [places_of(moved, complexes, new, k) for k in range(3)]
    turned = [torch.empty_like(x).index_copy(0, at, x) for x, at in zip(features, places, strict=True)]
    for k, (x, y) in enumerate(zip(layer(features, complexes), layer(turned, moved), strict=True)):
        torch.testing.assert_close(y[places[k]], x)


@given(graphs())
@settings(max_examples=25)
def test_a_batch_gives_what_its_graphs_give(drawn_graphs):
    complexes = clique_complexes(*drawn_graphs)
    layer = build(CellMessagePassing, 3, 4, **WITH_ALL)
    features = features_of(complexes, 3)
    together = layer(features, complexes)
    for i in range(complexes.n_samples):
        own = [x[complexes.samples(k) == i] for k, x in enumerate(features)]
        for k, alone in enumerate(layer(own, complexes[i])):
            torch.testing.assert_close(alone, together[k][complexes.samples(k) == i])


@pytest.mark.parametrize("options", [{}, WITH_ALL, {"shared": False, "lower": True}, {"boundary": False}])
def test_gradients_are_right_and_reach_all_parameters(options):
    complexes = square_with_rings()
    layer = build(CellMessagePassing, 2, 3, **options)
    features = [x.requires_grad_() for x in features_of(complexes, 2)]
    assert torch.autograd.gradcheck(lambda *x: tuple(layer(x, complexes)), features)
    sum(x.sum() for x in layer(features, complexes)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", ["batch", "layer", None])
def test_odd_graphs(training, norm):
    layer = build(CellMessagePassing, 3, 4, norm=norm, lower=True).train(training)
    nothing = torch.empty(2, 0, dtype=torch.int64)
    for complexes in (
        clique_complexes(nothing),
        clique_complexes(nothing, n_vertices=3),
        clique_complexes(torch.tensor([[0], [1]])),
        clique_complexes(nothing, torch.empty(0, dtype=torch.int64), 0),
    ):
        for k, x in enumerate(layer(features_of(complexes, 3), complexes)):
            assert x.shape == (complexes.n_cells(k), 4)
            assert x.isfinite().all()


def test_half_precision_is_near():
    complexes = square_with_rings()
    layer = build(CellMessagePassing, 3, 4, **WITH_ALL)
    features = features_of(complexes, 3)
    exact = layer(features, complexes)
    short = layer.bfloat16()([x.bfloat16() for x in features], complexes)
    for x, y in zip(short, exact, strict=True):
        assert x.dtype == torch.bfloat16
        torch.testing.assert_close(x.double(), y, rtol=0.05, atol=0.05)


def test_boundary_alone_and_nothing_at_all():
    complexes = square_with_rings()
    features = features_of(complexes, 3)
    alone = build(CellMessagePassing, 3, 4, boundary=False, upper=False)
    moved = [x.clone() for x in features]
    moved[0][0] += 1.0
    assert torch.equal(alone(moved, complexes)[1], alone(features, complexes)[1])
    bounded = build(CellMessagePassing, 3, 4, upper=False)
    changed = (bounded(moved, complexes)[1] != bounded(features, complexes)[1]).any(1)
    assert not changed[3:].any()  # the edges at vertex 0 come first
    assert (bounded(moved, complexes)[2] == bounded(features, complexes)[2]).all()


def test_unusable_input_is_named():
    complexes = square_with_rings()
    layer, features = build(CellMessagePassing, 3, 4), features_of(complexes, 3)
    with pytest.raises(
        InputError, match=r"features has 2 tables; expected a table \(n_cells\(k\), F\) for each"
    ):
        layer(features[:2], complexes)
    with pytest.raises(InputError, match=r"features\[1\] has 7 rows; expected one for each of 8 cells"):
        layer([features[0], features[1][:7], features[2]], complexes)
    with pytest.raises(InputError, match=r"features\[0\] has 2 features; expected 3"):
        layer([features[0][:, :2], *features[1:]], complexes)
    with pytest.raises(InputError, match=r"features\[2\] has NaN at \(0, 0\)"):
        layer([*features[:2], torch.full_like(features[2], torch.nan)], complexes)
    with pytest.raises(InputError, match="complexes have dimensions up to 1; expected them up to 2"):
        layer(features, complexes.skeleton(1))
    with pytest.raises(TypeError, match="complexes is a Tensor; expected CellComplexes"):
        layer(features, features[0])
    with pytest.raises(InputError, match="channels is 0"):
        CellMessagePassing(3, 0)
    with pytest.raises(InputError, match="norm is 'none'"):
        CellMessagePassing(3, 4, norm="none")
