"""Clouds and graphs of PyTorch Geometric, one by one and in batches."""

from types import SimpleNamespace

import pytest
import torch

import topodl
from topodl.errors import InputError
from topodl.integrations.pyg import AddFeatures, clouds, degree_graph
from topodl.layers import GraphPersistence, PersistenceStatistics, RipsPersistence

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


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="without 'pos'"):
        clouds(SimpleNamespace())
    with pytest.raises(InputError, match="gave Diagrams for one sample"):
        AddFeatures(RipsPersistence(dims=0))(SimpleNamespace(pos=POINTS[0]))


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
