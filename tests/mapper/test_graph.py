"""Mapper graphs: nerves, statistics of nodes, parts, drawings, and what other libraries make of them."""

import json
import pickle

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive import mapper as naive
from topodl import InputError
from topodl.errors import MemoryLimitError
from topodl.mapper import MapperGraph

N = 9
NODES = st.lists(st.sets(st.integers(0, N - 1), min_size=1), max_size=7)
FOUR = [[0, 1], [1, 2, 3], [3, 4], [5]]


def four(**options):
    return MapperGraph.from_nodes(FOUR, 7, **options)


@given(NODES, st.integers(1, 3))
def test_edges_are_symmetric_sorted_and_weigh_common_samples(nodes, min_shared):
    graph = MapperGraph.from_nodes(nodes, N, min_shared=min_shared)
    pairs = {pair: size for pair, size in naive.shared_sizes(nodes).items() if size >= min_shared}
    both = sorted([*pairs.items(), *(((v, u), size) for (u, v), size in pairs.items())])
    assert [tuple(pair) for pair in graph.edge_index.T.tolist()] == [pair for pair, _ in both]
    assert graph.edge_weight.tolist() == [size for _, size in both]
    assert [node.tolist() for node in graph] == [sorted(node) for node in nodes]
    assert graph.edge_index.dtype == graph.edge_weight.dtype == torch.int64


@given(NODES, st.integers(1, 2), st.integers(0, 3))
def test_simplices_are_sets_of_nodes_with_common_samples(nodes, min_shared, dim):
    graph = MapperGraph.from_nodes(nodes, N, min_shared=min_shared, max_dim=3)
    expected = naive.simplices(nodes, dim, min_shared if dim else 1)
    assert graph.simplices(dim).tolist() == expected
    assert graph.simplices(dim).shape[1] == dim + 1


@given(NODES, st.integers(1, 3))
def test_betti_numbers_are_those_of_the_complex(nodes, max_dim):
    graph = MapperGraph.from_nodes(nodes, N, max_dim=max_dim)
    found = graph.betti()
    assert len(found) == max_dim + 1
    numbers = [len(naive.simplices(nodes, k)) for k in range(max_dim + 1)]
    assert sum((-1) ** k * b for k, b in enumerate(found)) == sum(
        (-1) ** k * n for k, n in enumerate(numbers)
    )
    plain = nx.Graph()
    plain.add_nodes_from(range(len(nodes)))
    plain.add_edges_from(naive.shared_sizes(nodes))
    assert found[0] == nx.number_connected_components(plain) == graph.n_components


def test_a_triangle_that_is_filled_has_no_cycle():
    three = [[0, 1, 9], [1, 2, 9], [0, 2, 9]]
    assert MapperGraph.from_nodes(three, 10).betti() == (1, 1)
    assert MapperGraph.from_nodes(three, 10, max_dim=2).betti() == (1, 0, 0)
    hollow = [[0, 1], [1, 2], [0, 2]]
    assert MapperGraph.from_nodes(hollow, 3, max_dim=2).betti() == (1, 1, 0)


def test_components_are_numbered_by_their_first_nodes():
    graph = MapperGraph.from_nodes([[0], [1, 2], [0, 3], [2], [4]], 5)
    assert graph.component.tolist() == [0, 1, 0, 1, 2]
    assert MapperGraph.from_nodes([], 3).component.tolist() == []
    assert MapperGraph.from_nodes([], 3).betti() == (0, 0)


# Statistics


@settings(deadline=None)
@given(
    NODES.filter(len),
    st.sampled_from(list(naive.STATISTICS)),
    st.sampled_from([(), (1,), (2, 3)]),
    st.integers(0, 99),
    st.sampled_from([np.float64, np.float32, np.int64]),
)
def test_aggregate_is_a_loop_over_nodes(nodes, statistic, shape, seed, dtype):
    values = np.random.default_rng(seed).integers(-2, 3, (N, *shape)).astype(dtype)
    found = MapperGraph.from_nodes(nodes, N).aggregate(values, statistic)
    expected = naive.aggregate(nodes, values, statistic)
    assert found.shape == (len(nodes), *shape)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    if statistic in ("min", "max", "mode"):
        assert found.dtype == torch.from_numpy(values).dtype
    assert (found.dtype == torch.int64) == (statistic == "count" or not found.is_floating_point())


@pytest.mark.parametrize("statistic", ["mean", "median", "std", "min", "max", "mode"])
def test_aggregate_has_gradients_of_two_orders(statistic):
    values = torch.rand(7, 2, 2, dtype=torch.float64, requires_grad=True)
    graph = four()
    assert torch.autograd.gradcheck(lambda v: graph.aggregate(v, statistic), values)
    if statistic in ("mean", "median", "std", "mode"):
        assert torch.autograd.gradgradcheck(lambda v: graph.aggregate(v, statistic), values)


def test_the_deviation_of_equal_values_has_no_gradient_rather_than_nan():
    values = torch.ones(7, requires_grad=True)
    four().aggregate(values, "std").sum().backward()
    assert values.grad.tolist() == [0.0] * 7


def test_masks_are_aggregated_as_what_they_are():
    mask = torch.tensor([1, 1, 0, 1, 0, 0, 1]).bool()
    assert four().aggregate(mask, "count").tolist() == [2, 2, 1, 0]
    assert four().aggregate(mask, "max").tolist() == [True, True, True, False]
    assert four().aggregate(mask).tolist() == pytest.approx([1, 2 / 3, 0.5, 0])


@pytest.mark.parametrize(
    ("values", "statistic", "message"),
    [
        (torch.zeros(6), "mean", r"values has shape \(6,\); expected a row for each of 7 samples"),
        (torch.full((7,), torch.nan), "mean", r"values\[0\] has NaN"),
        (torch.full((7,), torch.inf), "min", r"values\[0\] has an infinite value"),
        (torch.zeros(7), "sum", "statistic is 'sum'; expected one of 'mean'"),
    ],
)
def test_values_that_cannot_be_aggregated_are_named(values, statistic, message):
    with pytest.raises(InputError, match=message):
        four().aggregate(values, statistic)


def test_membership_and_aggregate_agree():
    values = torch.rand(7, 3)
    sums = torch.sparse.mm(four().membership(), values)
    torch.testing.assert_close(sums / four().sizes[:, None], four().aggregate(values))


def test_clouds_carry_gradients():
    points = torch.rand(7, 2, requires_grad=True)
    clouds = four().clouds(points)
    assert [cloud.tolist() for cloud in clouds] == [points[node].tolist() for node in FOUR]
    clouds[1].sum().backward()
    assert points.grad[:, 0].tolist() == [0, 1, 1, 1, 0, 0, 0]


# Parts


def test_nodes_are_sequences():
    graph = four()
    assert len(graph) == graph.n_nodes == 4
    assert graph[1].tolist() == [1, 2, 3]
    assert graph[-1].tolist() == [5]
    assert graph.sizes.tolist() == [2, 3, 2, 1]
    assert graph.select([0, 2]).tolist() == [0, 1, 3, 4]
    assert graph.select(1).tolist() == [1, 2, 3]
    with pytest.raises(IndexError, match="node 4 is out of range; there are 4 nodes"):
        graph[4]
    with pytest.raises(TypeError, match="an index is a str"):
        graph["a"]


def test_a_subgraph_keeps_edges_features_and_samples():
    x = torch.arange(8.0).view(4, 2).requires_grad_()
    graph = four(x=x, cover_index=torch.tensor([[3], [4], [5], [6]]))
    part = graph.subgraph([1, 3, 2], min_size=2)
    assert [node.tolist() for node in part] == FOUR[1:3]
    assert part.edge_index.tolist() == [[0, 1], [1, 0]]
    assert part.cover_index.tolist() == [[4], [5]]
    assert part.n_samples == 7
    part.x.sum().backward()
    assert x.grad[:, 0].tolist() == [0, 1, 1, 0]
    assert graph.subgraph(min_size=4).betti() == (0, 0)


def test_it_never_changes():
    with pytest.raises(AttributeError, match="never changes; n_samples cannot be set"):
        four().n_samples = 8


def test_pickles_keep_all_but_the_gradient():
    x = torch.rand(4, 2, requires_grad=True)
    graph = four(x=x * 2, max_dim=2)
    again = pickle.loads(pickle.dumps(graph))
    assert repr(again) == repr(graph)
    assert not again.x.requires_grad
    assert again.simplices(2).tolist() == graph.simplices(2).tolist()
    torch.testing.assert_close(again.x, graph.x.detach())
    assert again.to("cpu").edge_index.tolist() == graph.edge_index.tolist()


def test_repr_counts():
    assert repr(four(x=torch.ones(4, 3))) == (
        "MapperGraph(4 nodes, 2 edges, 2 components, 3 features; 6 of 7 samples; cpu)"
    )
    assert (
        repr(MapperGraph.from_nodes([[0]], 1))
        == "MapperGraph(1 node, 0 edges, 1 component; 1 of 1 samples; cpu)"
    )


# Given edges


def test_given_edges_may_join_nodes_without_common_samples():
    graph = four(edge_index=torch.tensor([[3, 0, 1], [2, 1, 0]]))
    assert graph.edge_index.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    assert graph.edge_weight.tolist() == [1, 1, 0, 0]
    assert graph.betti() == (2, 0)


def test_given_weights_follow_their_edges():
    edges, weights = torch.tensor([[3, 1, 0], [2, 0, 1]]), torch.tensor([0.5, 2.0, 2.0])
    graph = four(edge_index=edges, edge_weight=weights)
    assert graph.edge_index.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    assert graph.edge_weight.tolist() == [2.0, 2.0, 0.5, 0.5]


def test_a_triangle_without_one_of_its_edges_is_none():
    three = [[0, 1], [0, 1], [0, 2]]
    edges = torch.tensor([[0, 1], [1, 2]])
    assert MapperGraph.from_nodes(three, 3, max_dim=2).simplices(2).tolist() == [[0, 1, 2]]
    assert MapperGraph.from_nodes(three, 3, edge_index=edges, max_dim=2).simplices(2).tolist() == []


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        ([[0], []], {}, "node_ptr has no sample of node 1"),
        ([[0, 0]], {}, "node_index has samples of node 0 twice or out of order"),
        ([[0], [7]], {}, r"node_index has 0 … 7; expected samples from 0 to 4"),
        ([[0]], {"min_shared": 0}, "min_shared is 0; expected an integer of at least 1"),
        ([[0]], {"max_dim": 0}, "max_dim is 0"),
        ([[0]], {"x": torch.zeros(2, 1)}, r"x has shape \(2, 1\); expected a row for each of 1 nodes"),
        ([[0]], {"cover_index": torch.zeros(1, dtype=torch.int64)}, r"cover_index has shape \(1,\)"),
        ([[0]], {"edge_index": torch.tensor([0])}, r"edge_index has shape \(1,\); expected shape \(2, E\)"),
        ([[0]], {"edge_index": torch.tensor([[0], [1]])}, "edge_index has 0 … 1; expected nodes from 0 to 0"),
        ([[0]], {"edge_index": torch.tensor([[0], [0]])}, "has an edge from node 0 to itself"),
        ([[0]], {"edge_weight": torch.ones(0)}, "edge_weight is given without edge_index"),
        (
            [[0], [1]],
            {"edge_index": torch.tensor([[0], [1]]), "edge_weight": torch.ones(2)},
            r"edge_weight has shape \(2,\); expected one weight for each of 1 edges",
        ),
        (
            [[0], [1]],
            {"edge_index": torch.tensor([[0, 1], [1, 0]]), "edge_weight": torch.tensor([1.0, 2.0])},
            r"edge_weight has two weights of the edge \(0, 1\)",
        ),
    ],
)
def test_what_is_no_graph_is_named(nodes, options, message):
    with pytest.raises(InputError, match=message):
        MapperGraph.from_nodes(nodes, 5, **options)


def test_offsets_that_do_not_fit_are_named():
    with pytest.raises(InputError, match=r"node_ptr has shape \(2,\) beside node_index of shape \(3,\)"):
        MapperGraph(torch.tensor([0, 2]), torch.tensor([0, 1, 2]), 3)
    with pytest.raises(TypeError, match=r"node_index has dtype torch\.float32; expected integers"):
        MapperGraph(torch.tensor([0, 2]), torch.rand(2), 3)


def test_dimensions_that_are_not_there_are_named():
    with pytest.raises(InputError, match="dim is 2; expected a dimension from 0 to max_dim = 1"):
        four().simplices(2)
    with pytest.raises(MemoryLimitError, match="samples lie in up to 60 nodes"):
        MapperGraph.from_nodes([[0]] * 60, 1, max_dim=9).simplices(9)


# Drawings


def test_drawings_keep_distances_and_components_apart():
    ring = [[k, (k + 1) % 12] for k in range(12)]
    graph = MapperGraph.from_nodes([*ring, [12], [13, 14], [14, 15]], 16)
    places = graph.positions()
    u, v = graph.edge_index
    lengths = (places[u] - places[v]).norm(dim=1)
    assert float(lengths.min()) > 0.5
    assert float(lengths.max()) < 1.5
    apart = torch.cdist(places, places)[graph.component[:, None] != graph.component]
    assert float(apart.min()) > 0.9
    assert torch.equal(places, graph.positions())
    assert graph.positions().shape == (15, 2)
    assert MapperGraph.from_nodes([], 3).positions().shape == (0, 2)


# Other libraries


@given(NODES)
def test_networkx_and_back(nodes):
    graph = MapperGraph.from_nodes(nodes, N, cover_index=torch.arange(len(nodes))[:, None])
    again = MapperGraph.from_networkx(graph.to_networkx())
    assert again.edge_index.tolist() == graph.edge_index.tolist()
    assert again.edge_weight.tolist() == graph.edge_weight.tolist()
    assert [node.tolist() for node in again] == [node.tolist() for node in graph]
    assert again.n_samples == N


def test_networkx_has_what_the_nodes_have():
    graph = four(x=torch.ones(4, 2), cover_index=torch.zeros(4, 1, dtype=torch.int64)).to_networkx()
    assert graph.nodes[1] == {"members": [1, 2, 3], "cover": [0], "x": [1.0, 1.0], "size": 3}
    assert graph.edges[0, 1] == {"weight": 1}


def test_graphs_of_networkx_that_lack_something_are_named():
    plain = nx.Graph()
    plain.add_node("a", ids=[0, 1])
    with pytest.raises(InputError, match="n_samples is not given, and the graph does not tell it"):
        MapperGraph.from_networkx(plain)
    with pytest.raises(InputError, match="graph has a node 'a' without 'members'"):
        MapperGraph.from_networkx(plain, 3)
    assert MapperGraph.from_networkx(plain, 3, members="ids")[0].tolist() == [0, 1]
    with pytest.raises(TypeError, match=r"graph is a dict; expected a networkx\.Graph"):
        MapperGraph.from_networkx({}, 3)


def test_kepler_mappers_dict_is_read():
    nodes = {"cube0_cluster0": [0, 1], "cube2_cluster0": [1, 2], "cube2_cluster1": [3]}
    graph = MapperGraph.from_kmapper({"nodes": nodes, "links": {"cube0_cluster0": ["cube2_cluster0"]}}, 5)
    assert graph.cover_index.tolist() == [[0], [2], [2]]
    assert graph.edge_index.tolist() == [[0, 1], [1, 0]]
    assert graph.n_samples == 5
    with pytest.raises(InputError, match="graph has no nodes and links"):
        MapperGraph.from_kmapper({}, 5)


def test_igraph_has_the_same_nodes_and_edges():
    pytest.importorskip("igraph")
    written = four(x=torch.ones(4, 2)).to_igraph()
    assert written.vs["members"] == FOUR
    assert written.vs["size"] == [2, 3, 2, 1]
    assert written.get_edgelist() == [(0, 1), (1, 2)]
    assert written.es["weight"] == [1, 1]


def test_a_dict_is_json():
    written = json.loads(json.dumps(four(x=torch.zeros(4, 1)).to_dict()))
    assert written["nodes"][3] == {"members": [5], "x": [0.0]}
    assert written["edges"] == [
        {"source": 0, "target": 1, "weight": 1},
        {"source": 1, "target": 2, "weight": 1},
    ]


def test_pytorch_geometric_gets_tensors():
    pytest.importorskip("torch_geometric")
    data = four(x=torch.ones(4, 2)).to_pyg()
    assert data.is_undirected()
    assert data.num_nodes == 4
    assert data.sizes.tolist() == [2, 3, 2, 1]
