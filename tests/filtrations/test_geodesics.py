"""Paths, closeness, eccentricity and walks of graphs against NetworkX; those of clouds against Isomap."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import Isomap
from sklearn.neighbors import kneighbors_graph

import topodl
from tests.filtrations.test_graphs import graphs, index_of
from tests.naive.filtrations import graph_of
from topodl import InputError
from topodl.filtrations import (
    closeness,
    eccentricity,
    geodesic_distances,
    graph_geodesics,
    neighbour_graph,
    return_probabilities,
)


def drawn(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(graphs(), st.booleans())
@settings(max_examples=50)
def test_values_equal_networkx(graph, weighted):
    n, edges, weights = graph
    theirs = graph_of(n, edges, weights if weighted else None)
    ours = torch.tensor(weights, dtype=torch.float64) if weighted else torch.ones(len(edges)).double()
    index, options = index_of(edges), {"n_vertices": n}
    paths = dict(nx.shortest_path_length(theirs, weight="weight"))
    matrix = [[paths[u].get(v, np.inf) for v in range(n)] for u in range(n)]
    np.testing.assert_allclose(graph_geodesics(index, ours, **options)[0], matrix)
    near = nx.closeness_centrality(theirs, distance="weight")
    np.testing.assert_allclose(closeness(index, ours, **options), [near[v] for v in range(n)])
    far = [max(paths[v].values()) for v in range(n)]
    np.testing.assert_allclose(eccentricity(index, ours, **options), far)
    adjacency = nx.to_numpy_array(theirs, nodelist=range(n))
    alone = adjacency.sum(1) == 0
    moves = np.where(alone[:, None], np.eye(n), adjacency / np.where(alone, 1.0, adjacency.sum(1))[:, None])
    back = [np.diag(np.linalg.matrix_power(moves, k)) for k in (0, 1, 2, 5)]
    np.testing.assert_allclose(return_probabilities(index, (0, 1, 2, 5), ours, **options), np.stack(back, 1))
    np.testing.assert_allclose(return_probabilities(index, 5, ours, **options), back[-1])


def test_graphs_of_a_batch_are_those_alone():
    first, second = torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.tensor([[0, 1], [1, 2]])
    lengths = drawn(0, 5) + 0.1
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    batch = torch.tensor([0] * 4 + [1] * 3)
    place = torch.argsort(order)
    joined = place[torch.cat((first, second + 4), 1)]
    for function in (closeness, eccentricity, lambda e, w, **o: return_probabilities(e, [1, 2], w, **o)):
        alone = torch.cat([function(first, lengths[:3]), function(second, lengths[3:])])
        torch.testing.assert_close(function(joined, lengths, batch=batch[order]), alone[order])
    found = graph_geodesics(joined, lengths, batch=batch[order])
    which = order[batch[order] == 0]
    torch.testing.assert_close(found[0], graph_geodesics(first, lengths[:3])[0][which][:, which])
    assert closeness(torch.zeros(2, 0, dtype=torch.int64)).shape == (0,)
    assert return_probabilities(torch.zeros(2, 0, dtype=torch.int64), [1, 2]).shape == (0, 2)
    assert graph_geodesics(torch.zeros(2, 0, dtype=torch.int64)) == []


def test_gradients_of_lengths_and_weights():
    edges = torch.tensor([[0, 1, 2, 3, 0, 4, 1], [1, 2, 3, 4, 4, 5, 5]])
    lengths = (drawn(1, 7) + 0.5).requires_grad_()
    for function in (
        closeness,
        eccentricity,
        lambda e, w: return_probabilities(e, [2, 3], w),
        lambda e, w: graph_geodesics(e, w)[0],
    ):
        assert torch.autograd.gradcheck(lambda w, f=function: f(edges, w), (lengths,))
    assert torch.autograd.gradgradcheck(lambda w: closeness(edges, w), (lengths,))


@given(st.integers(0, 1000), st.integers(1, 4), st.booleans())
@settings(max_examples=20)
def test_paths_along_neighbours(seed, k, coinciding):
    points = drawn(seed, 2, 9, 2)
    if coinciding:
        points[:, 4] = points[:, 2]
    found = geodesic_distances(points, k)
    for cloud, paths in zip(points.numpy(), found, strict=True):
        apart = np.linalg.norm(cloud[:, None] - cloud, axis=2)
        graph = nx.Graph()
        graph.add_nodes_from(range(9))
        near = kneighbors_graph(cloud, k).toarray() if not coinciding else None
        edges = neighbour_graph(torch.from_numpy(cloud)[None], k)
        for (u, v), length in zip(edges.edge_index.T.tolist(), edges.edge_lengths.tolist(), strict=True):
            assert near is None or near[u, v] or near[v, u]
            assert length == pytest.approx(apart[u, v], abs=1e-12)
            graph.add_edge(u, v, weight=length)
        assert near is None or graph.number_of_edges() == np.triu(near + near.T).astype(bool).sum()
        lengths = dict(nx.shortest_path_length(graph, weight="weight"))
        expected = [[lengths[u].get(v, np.inf) for v in range(9)] for u in range(9)]
        np.testing.assert_allclose(paths, expected, atol=1e-12)
    apart = torch.cdist(points, points)
    torch.testing.assert_close(geodesic_distances(apart, k, "precomputed"), found)
    listed = geodesic_distances([points[0, :7], points[1]], k)
    torch.testing.assert_close(listed[1], found[1])


def test_isomap_measures_alike():
    points = drawn(0, 1, 60, 3)
    theirs = Isomap(n_neighbors=8).fit(points[0].numpy()).dist_matrix_
    np.testing.assert_allclose(geodesic_distances(points, 8)[0], theirs)


def test_a_spiral_has_no_loop_along_itself():
    angle = torch.linspace(0.5, 3.2, 60, dtype=torch.float64) * torch.pi
    spiral = torch.stack((angle * angle.cos(), angle * angle.sin()), 1)[None].requires_grad_()
    along = geodesic_distances(spiral, 2)
    d = topodl.rips_persistence(along, 1, metric="precomputed")
    assert len(d) == 1
    assert d.n_bars == 0
    along[0, 0, -1].backward()
    assert (spiral.grad[0, [0, -1]].norm(dim=1) > 0.9).all()
    steps = (spiral[0, 1:] - spiral[0, :-1]).norm(dim=1).sum()
    ends = along.detach()[0, 0, -1]  # which are joined to two points each
    assert float(ends) == pytest.approx(float(steps.detach()), rel=1e-3)


def test_neighbour_graphs_feed_graph_persistence():
    clouds = [drawn(0, 6, 2).requires_grad_(), drawn(1, 8, 2)]
    graph = neighbour_graph(clouds, 2)
    assert graph.batch.tolist() == [0] * 6 + [1] * 8
    d = topodl.graph_persistence(torch.zeros(14).double(), graph.edge_index, graph.edge_lengths, graph.batch)
    assert d.n_samples == 2
    d.finite().deaths.sum().backward()
    assert clouds[0].grad.abs().sum() > 0
    assert neighbour_graph([], 2).edge_index.shape == (2, 0)


EDGES = torch.tensor([[0, 1], [1, 2]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: closeness(EDGES, torch.tensor([1.0, 0.0])), "closeness: edge_lengths has 0.0 at edge 1"),
        (lambda: eccentricity(EDGES, torch.ones(3)), r"edge_lengths has shape \(3,\)"),
        (lambda: graph_geodesics(EDGES, n_vertices=2), "edge_index has 0 … 2"),
        (lambda: return_probabilities(EDGES, -1), "steps is -1"),
        (lambda: return_probabilities(EDGES, []), "steps is empty"),
        (lambda: return_probabilities(EDGES, 1, -torch.ones(2)), "edge_weights has -1.0 at edge 0"),
        (lambda: geodesic_distances(torch.zeros(1, 3, 2), 3), "k is 3; expected less than 3"),
        (lambda: neighbour_graph(torch.zeros(1, 3, 2), 0), "k is 0"),
        (lambda: neighbour_graph(torch.zeros(1, 3, 2) / 0, 1), r"x\[0\] has NaN"),
    ],
)
def test_unusable_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("scale", [1e-170, 1e200])
def test_neighbours_and_paths_do_not_depend_on_the_unit(scale):
    x = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(neighbour_graph(x * scale, 3).edge_index, neighbour_graph(x, 3).edge_index)
    torch.testing.assert_close(
        geodesic_distances(x * scale, 3), geodesic_distances(x, 3) * scale, atol=0, rtol=1e-9
    )
