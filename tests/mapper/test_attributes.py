"""Features of nodes by layers, pipelines and functions: one call for all, and gradients."""

import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from topodl import InputError, Mapper, mapper_graph, rips_persistence
from topodl.layers import PersistenceImage, PersistenceStatistics, PersLay, RipsPersistence
from topodl.representations import GIN


def ring(n, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, generator=g, dtype=dtype) * 2 * torch.pi
    return torch.stack([t.cos(), t.sin()], 1) + torch.randn(n, 2, generator=g, dtype=dtype) * 0.05


def means(clouds):
    return torch.stack([cloud.mean(0) for cloud in clouds])


def test_a_function_gets_the_preimages_of_all_nodes_at_once():
    x, calls = ring(60), []

    def both(clouds):
        calls.append([len(cloud) for cloud in clouds])
        return means(clouds)

    graph = mapper_graph(x, x[:, 1], 4, clusterer=0.5, attributes=both)
    assert calls == [graph.sizes.tolist()]
    torch.testing.assert_close(graph.x, graph.aggregate(x))


def test_layers_of_nodes_are_layers_of_their_points():
    x = ring(80)
    pipeline = make_pipeline(RipsPersistence(dims=(0, 1)), PersistenceStatistics())
    graph = Mapper(lens=1, n_intervals=4, clusterer=0.5, attributes=pipeline).fit(x.numpy()).graph_
    for node, features in zip(graph, graph.x, strict=True):
        expected = PersistenceStatistics()(rips_persistence([x[node]], dims=(0, 1))).flatten()
        torch.testing.assert_close(features, expected)


def test_sequential_modules_and_pipelines_are_alike():
    x, layers = ring(50), (RipsPersistence(dims=0), PersistenceStatistics())
    found = [
        mapper_graph(x, 1, 3, clusterer=0.5, attributes=each).x
        for each in (make_pipeline(*layers), torch.nn.Sequential(*layers))
    ]
    assert torch.equal(*found)


def test_gradients_reach_the_samples():
    x = ring(14).requires_grad_()
    statistics = torch.nn.Sequential(RipsPersistence(dims=0), PersistenceStatistics())
    columns = [k for k, name in enumerate(PersistenceStatistics()._columns()) if name.endswith("mean")]

    def features(points):
        graph = mapper_graph(points, points[:, 1], 2, clusterer=3.0, attributes=statistics)
        return graph.x[:, columns]

    assert torch.autograd.gradcheck(features, x)


def test_copies_learn_what_a_layer_has_not_learnt():
    x, image = ring(60), PersistenceImage(resolution=3)
    mapper = Mapper(
        lens=1, n_intervals=4, clusterer=0.5, attributes=make_pipeline(RipsPersistence(dims=0), image)
    )
    graph = mapper.fit(x.numpy()).graph_
    assert graph.x.shape == (len(graph), 9)
    with pytest.raises(Exception, match="not known"):
        image(rips_persistence([x], dims=0))
    fitted = PersistenceImage(resolution=3).fit(rips_persistence([3 * x], dims=0))
    other = mapper.set_params(attributes=make_pipeline(RipsPersistence(dims=0), fitted)).fit(x.numpy()).graph_
    assert not torch.equal(graph.x, other.x)


def test_weights_of_layers_learn_in_a_training_loop():
    torch.manual_seed(0)
    x = ring(40, dtype=torch.float32).requires_grad_()
    vectorise = PersLay(n_features=4, dims=0)
    attributes = torch.nn.Sequential(RipsPersistence(dims=0), vectorise)
    graph = mapper_graph(x, 1, 3, clusterer=0.5, attributes=attributes)
    graph.x.square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(weight.grad is not None for weight in vectorise.parameters())


def test_transformers_of_scikit_learn_end_a_pipeline():
    x = ring(60)
    pipeline = make_pipeline(RipsPersistence(dims=0), PersistenceStatistics(), PCA(2))
    graph = Mapper(lens=1, n_intervals=4, clusterer=0.5, attributes=pipeline).fit(x.numpy()).graph_
    assert graph.x.shape == (len(graph), 2)


def test_distances_have_attributes_too():
    x = ring(50)
    distances = torch.cdist(x, x)
    one = mapper_graph(
        x,
        "density",
        4,
        clusterer=0.5,
        attributes=torch.nn.Sequential(RipsPersistence(dims=0), PersistenceStatistics()),
    )
    layers = torch.nn.Sequential(RipsPersistence(dims=0, metric="precomputed"), PersistenceStatistics())
    other = mapper_graph(distances, "density", 4, clusterer=0.5, metric="precomputed", attributes=layers)
    torch.testing.assert_close(one.x, other.x)
    fitted = Mapper("density", n_intervals=4, clusterer=0.5, metric="precomputed", attributes=layers).fit(
        distances.numpy()
    )
    torch.testing.assert_close(fitted.graph_.x, other.x)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (RipsPersistence(), "attributes gives diagrams; expected features, as of a pipeline"),
        (lambda clouds: torch.zeros(3), r"attributes gives shape \(3,\); expected a row for each of the"),
        (7, "attributes have 7; expected a layer, a pipeline of layers, or a function"),
    ],
)
def test_attributes_that_are_none_are_named(attributes, message):
    with pytest.raises(InputError, match=message):
        mapper_graph(ring(20), 1, 3, clusterer=0.5, attributes=attributes)


def test_one_number_a_node_is_a_column():
    graph = mapper_graph(
        ring(20), 1, 3, clusterer=0.5, attributes=lambda clouds: [len(cloud) for cloud in clouds]
    )
    assert graph.x[:, 0].tolist() == graph.sizes.tolist()


def test_graph_networks_train_on_attributed_graphs():
    torch.manual_seed(0)
    graphs, labels = [], torch.tensor([0, 1] * 8)
    for i, label in enumerate(labels.tolist()):
        x = ring(60, seed=i, dtype=torch.float32)
        x = x if label else x.clamp(min=-0.2)
        graphs.append(mapper_graph(x, 1, 5, clusterer=0.4, attributes=means).to_pyg())
    from torch_geometric.data import Batch

    batch = Batch.from_data_list(graphs)
    model = GIN(2, 2, dropout=0.0)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(batch.x, batch.edge_index, batch.batch), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
