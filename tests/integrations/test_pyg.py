"""Clouds and graphs of PyTorch Geometric, one by one and in batches."""

from types import SimpleNamespace

import pytest
import torch

import topodl
from topodl.errors import InputError
from topodl.integrations.pyg import AddFeatures, clouds, degree_graph
from topodl.layers import (
    AlphaPersistence,
    EulerCharacteristicTransform,
    GraphPersistence,
    PersistenceStatistics,
    RipsPersistence,
)

POINTS = [torch.rand(n, 2, generator=torch.Generator().manual_seed(n)) for n in (5, 1, 7)]


def test_clouds_of_a_batch_are_those_of_its_graphs():
    batch = SimpleNamespace(pos=torch.cat(POINTS), ptr=torch.tensor([0, 5, 6, 13]))
    for got, expected in zip(clouds(batch), POINTS, strict=True):
        assert torch.equal(got, expected)
    vector = torch.repeat_interleave(torch.tensor([5, 1, 7]))
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    shuffled = SimpleNamespace(pos=torch.cat(POINTS)[order], batch=vector[order])
    ours = topodl.rips_persistence(clouds(shuffled), dims=0)
    expected = topodl.rips_persistence(POINTS, dims=0)
    torch.testing.assert_close(ours.total_persistence(), expected.total_persistence())
    listed = clouds([SimpleNamespace(pos=p) for p in POINTS])
    assert all(torch.equal(a, b) for a, b in zip(listed, POINTS, strict=True))


def test_gradients_reach_the_points():
    pos = torch.cat(POINTS).requires_grad_()
    batch = SimpleNamespace(pos=pos, ptr=torch.tensor([0, 5, 6, 13]))
    topodl.rips_persistence(clouds(batch), dims=0).total_persistence().sum().backward()
    assert pos.grad.abs().sum() > 0
    assert pos.grad[5].abs().sum() == 0  # alone in its cloud


def test_the_transform_adds_a_row_and_leaves_its_argument():
    layer = torch.nn.Sequential(RipsPersistence(dims=0), PersistenceStatistics())
    data = SimpleNamespace(pos=POINTS[0])
    changed = AddFeatures(layer)(data)
    torch.testing.assert_close(changed.topology, layer([POINTS[0]]).flatten(1))
    assert not hasattr(data, "topology")


def test_degrees_count_isolated_vertices():
    data = SimpleNamespace(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
    values, _ = degree_graph(data)[0]
    assert values.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("layer", [RipsPersistence(), AlphaPersistence()])
def test_lists_of_data_are_clouds(layer):
    listed = [SimpleNamespace(pos=points) for points in POINTS]
    together = SimpleNamespace(pos=torch.cat(POINTS), ptr=torch.tensor([0, 5, 6, 13]))
    expected = layer(POINTS)
    for diagrams in (layer(listed), layer(together), layer([together]), layer.fit_transform(listed)):
        torch.testing.assert_close(diagrams.deaths, expected.deaths)
        assert torch.equal(diagrams.samples, expected.samples)
    mixed = layer([listed[0], *POINTS[1:]])
    assert torch.equal(mixed.deaths, expected.deaths)


def test_lists_of_data_are_graphs():
    path, triangle = torch.tensor([[0, 1], [1, 2]]), torch.tensor([[0, 1, 2], [1, 2, 0]])
    values = [torch.tensor([0.0, 2.0, 1.0]), torch.tensor([1.0, 3.0, 2.0])]
    data = [SimpleNamespace(x=values[0][:, None], edge_index=path)]
    data.append(SimpleNamespace(x=values[1], edge_index=triangle))
    expected = GraphPersistence(extended=True)(list(zip(values, (path, triangle), strict=True)))
    for diagrams in (GraphPersistence(extended=True)(data), GraphPersistence(True).fit_transform(data)):
        assert torch.equal(diagrams.births, expected.births)
        assert torch.equal(diagrams.deaths, expected.deaths)


def test_lists_of_data_are_meshes_whose_triangles_have_their_sides():
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = torch.tensor([[0, 0, 0, 1], [1, 1, 2, 2], [2, 3, 3, 3]])
    edges = torch.tensor([[0, 0, 0, 1, 1, 2], [1, 2, 3, 2, 3, 3]])
    transform = EulerCharacteristicTransform(n_directions=3, n_thresholds=5, mode="hard", radius=2.0)
    expected = transform([(corners, edges, faces)])
    assert (expected[..., -1] == 2).all()  # a sphere
    for mesh in (
        SimpleNamespace(pos=corners, face=faces),
        SimpleNamespace(pos=corners, face=faces, edge_index=edges.flip(0)),
    ):
        assert torch.equal(transform([mesh]), expected)
        torch.testing.assert_close(transform.transform([mesh]), expected.flatten(1).numpy())
    graph = SimpleNamespace(pos=corners, edge_index=edges)
    assert torch.equal(transform([graph]), transform([(corners, edges)]))


@pytest.mark.parametrize("x", [None, torch.rand(3, 2)])
def test_graphs_without_one_value_a_vertex_are_named(x):
    graph = SimpleNamespace(x=x, edge_index=torch.tensor([[0, 1], [1, 2]]))
    with pytest.raises(InputError, match=r"GraphPersistence: x\[0\] has .*'x'.*expected one value a vertex"):
        GraphPersistence()([graph])


def test_degrees_of_batches_and_lists_are_those_of_their_graphs():
    path = SimpleNamespace(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
    pair = SimpleNamespace(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
    expected = [degree_graph(path)[0], degree_graph(pair)[0]]
    edges = torch.cat((pair.edge_index + 3, path.edge_index), 1)  # edges and vertices in any order
    order = torch.tensor([5, 0, 3, 1, 4, 2])  # of the vertices, those of each graph in theirs
    order = torch.cat((order[order < 3].sort().values, order[order >= 3].sort().values))[[0, 3, 1, 4, 2, 5]]
    place = torch.argsort(order)
    batch = SimpleNamespace(edge_index=place[edges], num_nodes=6, batch=(order >= 3).long())
    for graphs in (degree_graph([path, pair]), degree_graph(batch)):
        for (values, own), (wanted, theirs) in zip(graphs, expected, strict=True):
            assert torch.equal(values, wanted)
            assert torch.equal(own, theirs)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="without 'pos'"):
        clouds(SimpleNamespace())
    with pytest.raises(InputError, match="gave Diagrams for one sample"):
        AddFeatures(RipsPersistence(dims=0))(SimpleNamespace(pos=POINTS[0]))
    with pytest.raises(InputError, match=r"edge_index has shape \(0, 3\); expected shape \(2, E\)"):
        degree_graph(SimpleNamespace(edge_index=torch.zeros(0, 3, dtype=torch.long), num_nodes=3))
    with pytest.raises(InputError, match="edge_index has 0 … 9; expected vertices from 0 to 2"):
        degree_graph(SimpleNamespace(edge_index=torch.tensor([[0], [9]]), num_nodes=3))
    with pytest.raises(TypeError, match=r"data\.batch has layout torch\.strided on meta"):
        clouds(SimpleNamespace(pos=POINTS[0], batch=torch.zeros(5, dtype=torch.long, device="meta")))


@pytest.mark.filterwarnings("ignore")
def test_a_loader_of_pyg_stacks_the_rows():
    pytest.importorskip("torch_geometric")
    from torch_geometric.data import Batch, Data
    from torch_geometric.loader import DataLoader

    square = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0], [1, 0, 2, 1, 3, 2, 0, 3]])
    graphs = [Data(pos=torch.rand(4, 2), edge_index=square) for _ in range(3)]
    layer = torch.nn.Sequential(GraphPersistence(extended=True), PersistenceStatistics())
    transform = AddFeatures(layer, degree_graph, "graph_topology")
    batch = next(iter(DataLoader([transform(g) for g in graphs], batch_size=3)))
    assert batch.graph_topology.shape[0] == 3
    torch.testing.assert_close(batch.graph_topology[0], batch.graph_topology[1])
    got = clouds(Batch.from_data_list(graphs))
    assert all(torch.equal(a, g.pos) for a, g in zip(got, graphs, strict=True))
