"""TOGL and RePHINE: what message passing cannot tell apart, symmetry, and graphs of every odd form."""

import pytest
import torch
from torch import nn

from topodl import datasets
from topodl.errors import InputError
from topodl.layers import TOGL, RePHINE

LAYERS = [TOGL, RePHINE]
both = pytest.mark.parametrize("Layer", LAYERS)


def build(Layer, features=4, seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Layer(features, **options).double()


def ring(n, start=0):
    nodes = torch.arange(n)
    return torch.stack((nodes, (nodes + 1) % n)) + start


def random_batch(seed, n=14, n_graphs=3, equal=False):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    if equal:
        x = torch.randint(0, 2, (n, 4), generator=generator).double()
    batch = torch.randint(0, n_graphs, (n,), generator=generator)
    edges = torch.randint(0, n, (2, 40), generator=generator)
    return x, edges[:, batch[edges[0]] == batch[edges[1]]], batch


class GIN(nn.Module):
    """Sum aggregation over neighbours, twice, with a topological layer between, and a sum over the nodes."""

    def __init__(self, layer, width):
        super().__init__()
        self.first, self.second = (
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(2)
        )
        self.layer = layer

    def forward(self, x, edge_index, batch):
        both_ways = torch.cat((edge_index, edge_index.flip(0)), 1)

        def passed(x):
            return x + torch.zeros_like(x).index_add(0, both_ways[0], x[both_ways[1]])

        x = self.first(passed(x))
        if self.layer is not None:
            x = self.layer(x, edge_index, batch)
        x = self.second(passed(x))
        return x.new_zeros(int(batch.max()) + 1, x.shape[1]).index_add(0, batch, x)


# With fewer features some draws of the weights leave all units of a ReLU off, and nothing can be seen.
WIDTH = 16


def gin(layer):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return GIN(layer, WIDTH).double().eval()


def embeddings(layer, pair):
    """What a GIN with that layer says of two graphs whose nodes are all equal."""
    n = pair[0].n_nodes
    edges = torch.cat([torch.from_numpy(graph.edge_index) + k * n for k, graph in enumerate(pair)], 1)
    return gin(layer)(torch.ones(2 * n, WIDTH).double(), edges, torch.arange(2).repeat_interleave(n))


def far_apart(pair):
    return float((pair[0] - pair[1]).detach().abs().max()) > 1e-3


PAIRS = {
    "hexagon, two triangles": datasets.make_cycle_pair(6),
    "ring of 8, two of 4": datasets.make_cycle_pair(8),
    "ring of 20, two of 10": datasets.make_cycle_pair(20),
    "rook's graph, Shrikhande's": datasets.make_strongly_regular_pair(),
}


@both
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_separates_graphs_that_message_passing_cannot(Layer, pair):
    plain = embeddings(None, pair)
    torch.testing.assert_close(plain[0], plain[1])
    for seed in range(3):
        assert far_apart(embeddings(build(Layer, WIDTH, seed=seed).eval(), pair))


@both
def test_separates_strongly_regular_graphs_by_their_triangles_alone(Layer):
    pair = datasets.make_strongly_regular_pair()
    blind = embeddings(build(Layer, WIDTH, triangles=False).eval(), pair)
    torch.testing.assert_close(blind[0], blind[1])


def test_edges_with_values_of_their_own_separate_decalin_and_bicyclopentyl():
    pair = datasets.make_bicyclic_pair()
    for blind in (embeddings(None, pair), embeddings(build(TOGL, WIDTH).eval(), pair)):
        torch.testing.assert_close(blind[0], blind[1])
    for seed in range(3):
        assert far_apart(embeddings(build(RePHINE, WIDTH, seed=seed).eval(), pair))


@both
def test_triangles_change_nothing_where_there_are_none(Layer):
    x, _, batch = random_batch(3)
    bipartite = torch.cartesian_prod(torch.arange(0, 14, 2), torch.arange(1, 14, 2)).T
    edges = bipartite[:, batch[bipartite[0]] == batch[bipartite[1]]]
    outputs = [build(Layer, triangles=t).eval()(x, edges, batch) for t in (False, True)]
    torch.testing.assert_close(*outputs)


@both
@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_numbering_of_nodes_changes_nothing(Layer, equal, seed):
    x, edges, batch = random_batch(seed, equal=equal)
    layer = build(Layer, readout="graph").eval()
    nodes, graphs = layer(x, edges, batch)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    new = torch.empty_like(order)
    new[order] = torch.arange(len(x))
    moved_nodes, moved_graphs = layer(x[order], new[edges], batch[order])
    torch.testing.assert_close(moved_nodes, nodes[order])
    torch.testing.assert_close(moved_graphs, graphs)


@both
def test_how_edges_are_given_changes_nothing(Layer):
    x, edges, batch = random_batch(7)
    layer = build(Layer).eval()
    expected = layer(x, edges, batch)
    shuffled = edges[:, torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(0))]
    loops = torch.arange(len(x)).expand(2, -1)
    for variant in (
        shuffled,
        edges.flip(0),
        torch.cat((edges, edges.flip(0), edges), 1),
        torch.cat((edges, loops), 1),
        edges.to(torch.uint8),  # which would select as a mask does
        edges.to(torch.int32),
    ):
        torch.testing.assert_close(layer(x, variant, batch), expected)


@both
def test_the_rest_of_the_batch_changes_nothing(Layer):
    x, edges, batch = random_batch(8)
    layer = build(Layer, readout="graph").eval()
    nodes, graphs = layer(x, edges, batch)
    for g in range(3):
        chosen = (batch == g).nonzero()[:, 0]
        new = torch.full((len(x),), -1)
        new[chosen] = torch.arange(len(chosen))
        part = new[edges[:, batch[edges[0]] == g]]
        alone_nodes, alone_graphs = layer(x[chosen], part, torch.zeros(len(chosen), dtype=torch.int64))
        torch.testing.assert_close(alone_nodes, nodes[chosen])
        torch.testing.assert_close(alone_graphs[0], graphs[g])


@both
@pytest.mark.parametrize("training", [False, True])
def test_odd_graphs(Layer, training):
    layer = build(Layer, readout="graph").train(training)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    none = torch.empty(2, 0, dtype=torch.int64)
    # graph 1 has no node, node 4 no edge
    nodes, graphs = layer(x, torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.tensor([0, 0, 0, 2, 2]))
    assert nodes.shape == (5, 4)
    assert graphs.shape == (3, 4)
    for features, edges in ((x, none), (x[:1], none), (x[:1], torch.tensor([[0], [0]]))):
        nodes, graphs = layer(features, edges)
        assert nodes.shape == features.shape
        assert torch.isfinite(nodes).all()
        assert torch.isfinite(graphs).all()
    nodes, graphs = layer(x[:0], none, torch.empty(0, dtype=torch.int64))
    assert nodes.shape == (0, 4)
    assert graphs.shape == (0, 4)


@both
def test_gradients_reach_all_parameters_and_are_right(Layer):
    layer = build(Layer, n_filtrations=2, readout="graph").eval()
    x, edges, batch = random_batch(9)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, edges, batch), x)
    nodes, graphs = layer(x, edges, batch)
    (nodes.sum() + graphs.sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())


def test_togl_has_the_bars_of_its_filtrations():
    import topodl
    from topodl._graph_input import simple_edges
    from topodl.layers._graph_pairing import pair_filtrations

    x, edges, batch = random_batch(10)
    simple = simple_edges(edges, len(x))
    values = torch.maximum(x[simple[0]], x[simple[1]])
    pairs = pair_filtrations(x, values, simple, batch)
    d = topodl.graph_persistence(x, edges, batch=batch)
    for f in range(4):
        killers = pairs.killers[:, f]
        births, deaths = x[killers >= 0, f], values[killers[killers >= 0], f]
        ours = sorted((b, e) for b, e in zip(births.tolist(), deaths.tolist(), strict=True) if e > b)
        column = (d.samples % 4 == f) & (d.dims == 0) & d.deaths.isfinite()
        assert ours == sorted(zip(d.births[column].tolist(), d.deaths[column].tolist(), strict=True))
        cycles = (d.samples % 4 == f) & (d.dims == 1)
        assert sorted(values[pairs.cycles[:, f], f].tolist()) == sorted(d.births[cycles].tolist())


@pytest.mark.parametrize("equal", [False, True])
def test_cycles_are_filled_as_in_the_clique_complex(equal):
    import gudhi

    from topodl._graph_input import simple_edges
    from topodl.layers._graph_pairing import pair_filtrations

    x, edges, batch = random_batch(11, equal=equal)
    simple = simple_edges(edges, len(x))
    values = torch.maximum(x[simple[0]], x[simple[1]])
    pairs = pair_filtrations(x, values, simple, batch)
    for f in range(4):
        tree = gudhi.SimplexTree()
        for v, value in enumerate(x[:, f].tolist()):
            tree.insert([v], value)
        for edge, value in zip(simple.T.tolist(), values[:, f].tolist(), strict=True):
            tree.insert(edge, value)
        tree.expansion(2)
        tree.compute_persistence(persistence_dim_max=True)
        expected = [bar for bar in tree.persistence_intervals_in_dimension(1).tolist() if bar[1] > bar[0]]
        fillers, births = pairs.fillers[:, f], values[:, f]
        deaths = torch.where(fillers < 0, torch.inf, births[fillers])
        bars = torch.stack((births, deaths), 1)[pairs.cycles[:, f] & (deaths > births)]
        assert sorted(bars.tolist()) == sorted(expected)


@both
def test_empty_graphs_get_their_place_wherever_they_are(Layer):
    layer = build(Layer, readout="graph").eval()
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    edges = torch.cat((ring(4), ring(3, 4)), 1)
    batch = torch.tensor([0] * 4 + [1] * 3)
    nodes, graphs = layer(x, edges, batch)
    spread_nodes, spread = layer(x, edges, 1 + 2 * batch, 6)
    torch.testing.assert_close(spread_nodes, nodes)
    torch.testing.assert_close(spread[[1, 3]], graphs)
    assert spread.shape == (6, 4)
    torch.testing.assert_close(spread[[0, 2, 4]], spread[5].expand(3, -1))
    assert layer(x, edges, None, 2)[1].shape == (2, 4)
    with pytest.raises(InputError, match="batch has graph 1; expected graphs from 0 to 0"):
        layer(x, edges, batch, 1)


@both
def test_isolated_nodes_and_loops_have_no_cycles(Layer):
    layer = build(Layer, readout="graph").eval()
    x = torch.ones(3, 4).double()
    none = torch.empty(2, 0, dtype=torch.int64)
    loops = torch.arange(3).expand(2, -1)
    torch.testing.assert_close(layer(x, loops), layer(x, none))
    triangle = layer(x, ring(3))[1]
    assert (triangle - layer(x, none)[1]).abs().max() > 1e-3


@both
def test_a_batch_of_one_is_the_graph(Layer):
    layer = build(Layer, readout="graph").eval()
    x, edges, _ = random_batch(4)
    alone = layer(x, edges)
    batched = layer(x, edges, torch.zeros(len(x), dtype=torch.int64))
    for one, other in zip(alone, batched, strict=True):
        torch.testing.assert_close(one, other)
    short = layer(x, edges.int(), torch.zeros(len(x), dtype=torch.int32))
    torch.testing.assert_close(short[0], alone[0])


@both
def test_takes_batches_of_pyg(Layer):
    data = pytest.importorskip("torch_geometric.data", exc_type=ImportError)
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for n, edges in (
        (3, ring(3)),
        (1, torch.empty(2, 0, dtype=torch.int64)),
        (0, torch.empty(2, 0, dtype=torch.int64)),
        (5, torch.cat((ring(5), ring(5).flip(0), torch.zeros(2, 1, dtype=torch.int64)), 1)),
        (4, torch.tensor([[0, 1], [1, 0]])),
        (0, torch.empty(2, 0, dtype=torch.int64)),
    ):
        x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
        graphs.append(data.Data(x=x, edge_index=edges, num_nodes=n))
    batch = data.Batch.from_data_list(graphs)
    layer = build(Layer, readout="graph").eval()
    nodes, embeddings = layer(batch.x, batch.edge_index, batch.batch, batch.num_graphs)
    assert embeddings.shape == (6, 4)
    for k, graph in enumerate(graphs):
        alone = layer(graph.x, graph.edge_index)
        torch.testing.assert_close(nodes[batch.batch == k], alone[0])
        torch.testing.assert_close(embeddings[k], alone[1][0])


@both
def test_unusable_input_is_named(Layer):
    layer, name = build(Layer), Layer.__name__
    x, edges = torch.zeros(3, 4).double(), torch.tensor([[0], [1]])
    with pytest.raises(InputError, match=f"{name}: x has 3 features; expected 4"):
        layer(x[:, :3], edges)
    with pytest.raises(InputError, match=f"{name}: x has NaN at \\(1, 0\\)"):
        layer(torch.tensor([[0.0] * 4, [torch.nan] * 4]).double(), edges)
    with pytest.raises(InputError, match=r"x has dtype torch\.float32; expected torch\.float64, that of the"):
        layer(x.float(), edges)
    with pytest.raises(InputError, match="edge_index has 0 … 3; expected vertices from 0 to 2"):
        layer(x, torch.tensor([[0], [3]]))
    with pytest.raises(InputError, match=r"edge \(0, 1\) between graphs"):
        layer(x, edges, torch.tensor([0, 1, 1]))
    with pytest.raises(TypeError, match=r"edge_index has dtype torch\.float32; expected integers"):
        layer(x, edges.float())
    with pytest.raises(InputError, match="n_filtrations is 0"):
        Layer(4, 0)
