"""Walks on simplices by published windows and in any batch, and the convolution along them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import topodl
from topodl import InputError
from topodl.complexes import clique_complexes
from topodl.kernels.complexes.walks import windows_of
from topodl.layers import SimplicialWalkConv, SimplicialWalks, simplicial_walks
from topodl.layers.random_walks import connections

from ..complexes.graphs import GOLDEN, graphs
from .cells import build, features_of, places_of, relabelled_graphs, square_with_rings

BOWTIE = torch.tensor([[0, 0, 1, 2, 2, 3], [1, 2, 2, 3, 4, 4]])


@pytest.mark.parametrize("name", GOLDEN)
def test_windows_are_the_published_ones(shared, name):
    golden = np.load(shared / "golden" / "complexes" / f"{name}.npz")
    edges = torch.from_numpy(golden["edges"].T.astype(np.int64))
    complexes = clique_complexes(edges, n_vertices=len(golden["x_0"]), max_dim=3)
    for k in range(3):
        walks = golden.get(f"walk_{k}", np.zeros(0)).astype(np.int64)
        if not walks.size:
            continue
        found = np.zeros((len(walks), 10, walks.shape[1]), np.uint8)
        windows_of(walks, *connections(complexes, k)[1], found)
        if k == 0:  # of CRaWl, whose adjacency is that of the graph
            expected = golden["walk_0_features"]
            assert np.array_equal(found[:, :4], expected[:, :4])
            assert np.array_equal(found[:, 7:], expected[:, 4:])
            assert not found[:, 4:7].any()
        else:
            parts = [golden[f"walk_{k}_{part}"] for part in ("identity", "lower", "upper")]
            assert np.array_equal(found, np.concatenate(parts, 1))


@pytest.mark.parametrize("sampling", ["connection", "neighbour"])
@given(drawn_graphs=graphs())
@settings(max_examples=20)
def test_the_batch_changes_no_walk(sampling, drawn_graphs):
    complexes = clique_complexes(*drawn_graphs)
    for k in range(3):
        options = {"length": 6, "window": 3, "sampling": sampling, "walks_per_cell": 2, "seed": 5}
        together = simplicial_walks(complexes, k, **options)
        for i in range(complexes.n_samples):
            own = complexes.samples(k).repeat_interleave(2) == i
            alone = simplicial_walks(complexes[i], k, **options)
            first = complexes.offsets(k)[i]
            assert torch.equal(alone.cells + first, together.cells[own])
            assert torch.equal(alone.moves, together.moves[own])
            assert torch.equal(alone.windows, together.windows[own])


def test_threads_change_no_walk_and_seeds_do():
    complexes = clique_complexes(BOWTIE)
    before = topodl.get_num_threads()
    found = []
    for n in (1, 3):
        topodl.set_num_threads(n)
        found.append(simplicial_walks(complexes, 1, 20, walks_per_cell=3, seed=1))
    topodl.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(simplicial_walks(complexes, 1, 20, walks_per_cell=3, seed=2).cells, found[0].cells)
    more = simplicial_walks(complexes, 1, 20, walks_per_cell=5, seed=1).cells.view(6, 5, 21)
    assert torch.equal(more[:, :3].flatten(0, 1), found[0].cells)


def test_ways_join_what_they_lead_to_and_lonely_cells_stay():
    complexes = clique_complexes(torch.cat((BOWTIE, torch.tensor([[5], [6]])), 1), n_vertices=8)
    walks = simplicial_walks(complexes, 1, 12, seed=2)
    faces = [set(f.tolist()) for f in complexes.faces(1).numpy()]
    cofaces = [set(c.tolist()) for c in complexes.cofaces(1).numpy()]
    for w, row in enumerate(walks.cells.tolist()):
        for t in range(12):
            f, c = int(walks.faces[w, t]), int(walks.cofaces[w, t])
            if not walks.moves[w]:
                assert (f, c) == (-1, -1)
                assert row[t + 1] == row[t]
            else:
                assert (f < 0) != (c < 0)
                sets, way = (faces, f) if f >= 0 else (cofaces, c)
                assert way in sets[row[t]] & sets[row[t + 1]]
                assert row[t + 1] != row[t]
    assert walks.moves.tolist() == [True] * 6 + [False]  # the edge 56 shares nothing with another
    assert simplicial_walks(complexes, 0, 3).moves.tolist() == [True] * 7 + [False]


def test_walks_on_rings():
    walks = simplicial_walks(square_with_rings(), 2, 10)
    assert walks.moves.tolist() == [True, True, True, False]
    assert (walks.cofaces == -1).all()


WALKS = {"length": 9, "window": 3, "walks_per_cell": 2}


def walks_on(complexes, **options):
    return [simplicial_walks(complexes, k, **(WALKS | options)) for k in range(3)]


def conv_by_hand(block, x, below, above, walks):
    """Compute a block window by window."""
    n_walks, n_positions = walks.cells.shape
    size, sums = block.along.kernel_size[0], [[] for _ in range(len(x))]
    for w in range(n_walks):
        rows = []
        for t in range(n_positions):
            row = block.of_cells(x[walks.cells[w, t]]) + block.of_windows(walks.windows[w, :, t].to(x.dtype))
            if t and walks.faces[w, t - 1] >= 0 and below is not None:
                row = row + block.of_faces(below[walks.faces[w, t - 1]])
            if t and walks.cofaces[w, t - 1] >= 0 and above is not None:
                row = row + block.of_cofaces(above[walks.cofaces[w, t - 1]])
            rows.append(row)
        for start in range(n_positions - size + 1):
            value = sum(rows[start + i] * block.along.weight[:, 0, i] for i in range(size))
            value = torch.relu(block.across(torch.relu(block.norm(value[None]))))
            sums[int(walks.cells[w, start + size // 2])].append(value[0])
    means = torch.stack([torch.stack(s).mean(0) if s else torch.zeros_like(value[0]) for s in sums])
    return x + block.narrow(torch.relu(block.wide_norm(block.widen(means))))


def test_the_convolution_is_what_it_says_window_by_window():
    complexes = clique_complexes(BOWTIE)
    layer, features, walks = (
        build(SimplicialWalkConv, 3, window=3, hidden=4),
        features_of(complexes, 3),
        walks_on(complexes),
    )
    found = layer(features, complexes, walks)
    for k, block in enumerate(layer.blocks):
        below = features[k - 1] if k else None
        above = features[k + 1] if k < 2 else None
        torch.testing.assert_close(found[k], conv_by_hand(block, features[k], below, above, walks[k]))


@given(relabelled_graphs())
@settings(max_examples=20)
def test_the_numbering_of_vertices_changes_nothing_along_the_same_walks(drawn_graphs):
    (edges, batch, n_graphs), new = drawn_graphs
    complexes = clique_complexes(edges, batch, n_graphs)
    moved = clique_complexes(new[edges], batch[torch.argsort(new)], n_graphs)
    layer, features, walks = (
        build(SimplicialWalkConv, 3, window=3),
        features_of(complexes, 3),
        walks_on(complexes),
    )
    places = [places_of(moved, complexes, new, k) for k in range(3)]
    turned = [torch.empty_like(x).index_copy(0, at, x) for x, at in zip(features, places, strict=True)]

    def renamed(k, ways):
        return (
            torch.where(ways < 0, -1, places[k][ways.clamp(min=0)]) if 0 <= k < 3 and len(places[k]) else ways
        )

    their_walks = [
        SimplicialWalks(
            places[k][w.cells], renamed(k - 1, w.faces), renamed(k + 1, w.cofaces), w.moves, w.windows
        )
        for k, w in enumerate(walks)
    ]
    for k, (x, y) in enumerate(
        zip(layer(features, complexes, walks), layer(turned, moved, their_walks), strict=True)
    ):
        torch.testing.assert_close(y[places[k]], x)


@given(graphs())
@settings(max_examples=20)
def test_a_batch_gives_what_its_graphs_give(drawn_graphs):
    complexes = clique_complexes(*drawn_graphs)
    layer, features = build(SimplicialWalkConv, 3, window=3), features_of(complexes, 3)
    together = layer(features, complexes, walks_on(complexes))
    for i in range(complexes.n_samples):
        own = [complexes.samples(k) == i for k in range(3)]
        part = complexes[i]
        alone = layer([x[at] for x, at in zip(features, own, strict=True)], part, walks_on(part))
        for x, y, at in zip(alone, together, own, strict=True):
            torch.testing.assert_close(x, y[at])


def test_gradients_are_right_and_reach_all_parameters():
    complexes = clique_complexes(BOWTIE)
    layer, walks = build(SimplicialWalkConv, 2, window=3), walks_on(complexes)
    features = [x.requires_grad_() for x in features_of(complexes, 2)]
    assert torch.autograd.gradcheck(lambda *x: tuple(layer(x, complexes, walks)), features)
    sum(x.sum() for x in layer(features, complexes, walks)).backward()
    # no walk on triangles goes over a coface: there are none
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("training", [False, True])
def test_odd_graphs_and_half_precision(training):
    layer, nothing = (
        build(SimplicialWalkConv, 3, window=3).train(training),
        torch.empty(2, 0, dtype=torch.int64),
    )
    for complexes in (
        clique_complexes(BOWTIE),
        clique_complexes(nothing),
        clique_complexes(nothing, n_vertices=3),
        clique_complexes(nothing, torch.empty(0, dtype=torch.int64), 2),
    ):
        features = features_of(complexes, 3)
        for k, x in enumerate(layer(features, complexes, walks_on(complexes))):
            assert x.shape == (complexes.n_cells(k), 3)
            assert x.isfinite().all()
    complexes = clique_complexes(BOWTIE)
    features, walks = features_of(complexes, 3), walks_on(complexes)
    exact = layer.eval()(features, complexes, walks)
    short = layer.bfloat16()([x.bfloat16() for x in features], complexes, walks)
    for x, y in zip(short, exact, strict=True):
        assert x.dtype == torch.bfloat16
        torch.testing.assert_close(x.double(), y, rtol=0.05, atol=0.05)


def test_unusable_input_is_named():
    complexes = clique_complexes(BOWTIE)
    layer, features, walks = (
        build(SimplicialWalkConv, 3, window=3),
        features_of(complexes, 3),
        walks_on(complexes),
    )
    with pytest.raises(InputError, match="walks are of 2 dimensions; expected walks of 3"):
        layer(features, complexes, walks[:2])
    with pytest.raises(InputError, match=r"walks\[0\] has 10 rows of windows; expected 7, of window=3"):
        layer(features, complexes, walks_on(complexes, window=4))
    with pytest.raises(InputError, match=r"walks\[0\] has 2 steps; expected at least window=3"):
        layer(features, complexes, walks_on(complexes, length=2))
    with pytest.raises(InputError, match=r"walks\[2\] is on cell 5; expected walks on the 2 cells"):
        layer(features, complexes, [*walks[:2], walks[1]])
    for options, message in (
        ({"k": 3}, "complexes have dimensions up to 2; expected them up to 3"),
        ({"k": 0, "length": 0}, "length is 0"),
        ({"k": 0, "window": 0}, "window is 0"),
        ({"k": 0, "seed": -1}, "seed is -1"),
        ({"k": 0, "walks_per_cell": 0}, "walks_per_cell is 0"),
        ({"k": 0, "sampling": "edge"}, "sampling is 'edge'"),
    ):
        with pytest.raises(InputError, match=message):
            simplicial_walks(complexes, **options)
    with pytest.raises(InputError, match="hidden is 0"):
        SimplicialWalkConv(3, hidden=0)
