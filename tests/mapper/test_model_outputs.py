"""`PredictionMapper.explain`: any module, any loader, and the model left as it was."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from topodl import InputError, PredictionMapper

pytestmark = pytest.mark.filterwarnings("ignore:PredictionMapper. the map is empty")
SETTINGS = {"max_size": 8, "min_size": 3, "min_component": 3}
N, FEATURES, CLASSES = 50, 4, 3


def data(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, FEATURES, generator=generator)
    return x, torch.randint(0, CLASSES, (N,), generator=generator)


def network(n_out=CLASSES):
    torch.manual_seed(0)
    layers = OrderedDict(first=nn.Linear(FEATURES, 6), act=nn.ReLU(), drop=nn.Dropout(0.5))
    return nn.Sequential(layers | OrderedDict(head=nn.Linear(6, n_out)))


class Keyed(nn.Module):
    """A model of keyword arguments whose output holds more than its logits."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, pixels, scale=None):
        return namedtuple("Output", "loss logits")(torch.tensor(0.0), self.inner(pixels) * scale[:, None])


def expected_outputs(model, x):
    model = model.eval()
    with torch.no_grad():
        hidden = torch.relu(model.first(x))
        return hidden.numpy(), model.head(hidden).double().softmax(1).numpy()


def test_embeddings_probabilities_and_labels_are_those_of_the_model():
    x, y = data()
    model = network()
    mapper = PredictionMapper(**SETTINGS).explain(
        model, DataLoader(TensorDataset(x, y), batch_size=16), layer="act"
    )
    hidden, probabilities = expected_outputs(model, x)
    np.testing.assert_allclose(mapper.embeddings_, hidden, atol=1e-6)
    np.testing.assert_allclose(mapper.predictions_, probabilities, atol=1e-6)
    np.testing.assert_array_equal(mapper.sample_labels_, y.numpy())
    assert mapper.known_.all()
    fitted = PredictionMapper(**SETTINGS).fit(mapper.embeddings_, mapper.predictions_, y)
    np.testing.assert_array_equal(fitted.error_estimate_, mapper.error_estimate_)
    assert [s.tolist() for s in fitted.graph_] == [s.tolist() for s in mapper.graph_]


def test_the_model_is_left_as_it_was():
    x, y = data()
    model = network()
    model.train()
    model.first.eval()
    model.head.weight.requires_grad_(False)
    model(x).sum().backward()
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes = [part.training for part in model.modules()]
    hooks = [len(part._forward_hooks) for part in model.modules()]
    PredictionMapper(**SETTINGS).explain(model, [(x, y)], layer="act")
    assert [part.training for part in model.modules()] == modes
    assert [len(part._forward_hooks) for part in model.modules()] == hooks
    for before, parameter in zip(gradients, model.parameters(), strict=True):
        assert (before is None) == (parameter.grad is None)
        assert before is None or torch.equal(before, parameter.grad)
    assert not model.head.weight.requires_grad
    assert torch.is_grad_enabled()


def test_it_is_left_as_it_was_after_an_error():
    x, y = data()
    model = network().train()
    with pytest.raises(InputError, match="gives 3 things"):
        PredictionMapper(**SETTINGS).explain(model, [(x, y), (x, y, y)], layer="act")
    assert model.training
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize(
    "batches",
    [
        lambda x, y: [(x[:30], y[:30]), (x[30:], y[30:])],
        lambda x, y: [[x, y]],
        lambda x, y: [(x.numpy(), y.numpy())],
        lambda x, y: [(x.double(), y.tolist())],
        lambda x, y: iter([{"input": x, "label": y}]),
    ],
    ids=["tuples", "lists", "arrays", "doubles", "dicts"],
)
def test_loaders_of_every_form_are_the_same(batches):
    x, y = data()
    model = network()
    expected = PredictionMapper(**SETTINGS).explain(model, [(x, y)], layer="act")
    mapper = PredictionMapper(**SETTINGS).explain(model, batches(x, y), layer="act")
    np.testing.assert_allclose(mapper.predictions_, expected.predictions_, atol=1e-6)
    np.testing.assert_array_equal(mapper.sample_labels_, y.numpy())


@pytest.mark.parametrize("batch", [lambda x: x, lambda x: (x,), lambda x: {"input": x}])
def test_loaders_without_labels(batch):
    x, y = data()
    model = network()
    mapper = PredictionMapper(**SETTINGS).explain(model, [batch(x)], layer="act")
    assert (mapper.sample_labels_ == -1).all()
    mapper.explain(model, [batch(x)], layer="act", labels=y, known=range(5))
    np.testing.assert_array_equal(mapper.sample_labels_, y.numpy())
    assert mapper.known_.sum() == 5


def test_keyword_arguments_and_logits_by_name():
    x, y = data()
    model = Keyed()
    scale = torch.linspace(1, 2, N)
    batch = {"pixels": x, "scale": scale, "labels": y}
    mapper = PredictionMapper(**SETTINGS).explain(model, [batch], layer="inner.first")
    with torch.no_grad():
        expected = (model.inner.eval()(x) * scale[:, None]).double().softmax(1)
    np.testing.assert_allclose(mapper.predictions_, expected.numpy(), atol=1e-6)
    np.testing.assert_array_equal(mapper.sample_labels_, y.numpy())


def test_single_scores_are_those_of_the_second_class():
    x, _ = data()
    model = network(1)
    for flat in (model, nn.Sequential(model, nn.Flatten(0))):
        mapper = PredictionMapper(**SETTINGS).explain(flat, [x], layer="act" if flat is model else "0.act")
        with torch.no_grad():
            right = model.eval()(x)[:, 0].double().sigmoid().numpy()
        np.testing.assert_allclose(mapper.predictions_, np.stack([1 - right, right], 1), atol=1e-6)


def test_probabilities_are_taken_as_they_are_on_demand():
    x, _ = data()
    model = network()
    ends_in_softmax = nn.Sequential(model, nn.Softmax(1))
    expected = PredictionMapper(**SETTINGS).explain(model, [x], layer="act").predictions_
    mapper = PredictionMapper(**SETTINGS).explain(ends_in_softmax, [x], layer="0.act", activation=None)
    np.testing.assert_allclose(mapper.predictions_, expected, atol=1e-6)
    with pytest.raises(InputError, match="model gives probabilities; expected scores before the softmax"):
        PredictionMapper(**SETTINGS).explain(ends_in_softmax, [x], layer="0.act")
    with pytest.raises(InputError, match="expected a probability"):
        PredictionMapper(**SETTINGS).explain(model, [x], layer="act", activation=None)
    with pytest.raises(InputError, match="activation is 'sigmoid'"):
        PredictionMapper(**SETTINGS).explain(model, [x], layer="act", activation="sigmoid")
    single = nn.Sequential(network(1), nn.Sigmoid(), nn.Flatten(0))
    mapper = PredictionMapper(**SETTINGS).explain(single, [x], layer="0.act", activation=None)
    with torch.no_grad():
        right = single.eval()(x).numpy()
    np.testing.assert_allclose(mapper.predictions_, np.stack([1 - right, right], 1), atol=1e-6)


def test_maps_are_flattened_or_pooled():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 3))
    x = torch.rand(12, 1, 8, 8)
    flat = PredictionMapper(**SETTINGS).explain(model, [x], layer="0")
    assert flat.embeddings_.shape == (12, 72)
    pooled = PredictionMapper(**SETTINGS).explain(
        model, [x], layer="0", transform=lambda maps: maps.mean((2, 3))
    )
    np.testing.assert_allclose(pooled.embeddings_, flat.embeddings_.reshape(12, 2, 36).mean(2), atol=1e-6)


def test_half_precision_runs():
    x, y = data()
    mapper = PredictionMapper(**SETTINGS).explain(network().bfloat16(), [(x, y)], layer="act")
    assert np.isfinite(mapper.error_estimate_).all()


def test_graphs_of_pytorch_geometric():
    geometric = pytest.importorskip("torch_geometric")

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, batch):
            return self.inner(geometric.nn.global_mean_pool(batch.x, batch.batch))

    x, y = data()
    graphs = [geometric.data.Data(x=x[i : i + 3], y=y[i]) for i in range(40)]
    model = Pooled()
    mapper = PredictionMapper(**SETTINGS).explain(
        model, geometric.loader.DataLoader(graphs, batch_size=8), layer="inner.act"
    )
    np.testing.assert_array_equal(mapper.sample_labels_, y[:40].numpy())


def test_a_loader_that_shuffles_has_its_own_order():
    x, y = data()
    loader = DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True)
    PredictionMapper(**SETTINGS).explain(network(), loader, layer="act")
    for arguments in ({"labels": y}, {"known": [1]}, {"extra_lens": torch.rand(N)}):
        with pytest.raises(InputError, match=f"loader shuffles .* where {next(iter(arguments))} is given"):
            PredictionMapper(**SETTINGS).explain(network(), loader, layer="act", **arguments)


def test_progress_is_shown_on_demand(capsys):
    x, y = data()
    PredictionMapper(**SETTINGS).explain(network(), [(x, y)], layer="act")
    assert capsys.readouterr().err == ""
    PredictionMapper(**SETTINGS, verbose=True).explain(network(), [(x, y)], layer="act")
    assert "samples" in capsys.readouterr().err


class Gives(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.body, self.make = nn.Identity(), make

    def forward(self, x):
        return self.make(self.body(x))


@pytest.mark.parametrize(
    ("model", "batches", "layer", "message"),
    [
        (network(), [], "act", "loader gives no batch"),
        (
            network(),
            [(torch.rand(5, FEATURES), torch.ones(5).long()), torch.rand(5, FEATURES)],
            "act",
            "loader gives no labels with 1 of 2 batches",
        ),
        (
            Gives(lambda x: x.mean(2) * 9),
            [torch.rand(5, 3, 4), torch.rand(5, 3, 7)],
            "body",
            "has 12 to 21 values",
        ),
        (network(), [torch.rand(5, FEATURES)], "act2", "name is 'act2'; expected a submodule"),
        (Gives(lambda x: x[:, None]), [torch.rand(5, 3)], "body", r"model gives shape \(5, 1, 3\)"),
        (Gives(lambda x: x / 0), [torch.rand(5, 3) + 1], "body", r"output\[0\] has an infinite value"),
        (Gives(lambda x: x[:2]), [torch.rand(5, 3)], "body", "'body' has shape .*a tensor of 2 samples"),
    ],
)
def test_what_cannot_be_explained_is_named(model, batches, layer, message):
    with pytest.raises(InputError, match=message):
        PredictionMapper(**SETTINGS).explain(model, batches, layer=layer)


def test_a_model_is_a_module():
    with pytest.raises(TypeError, match="model is a function"):
        PredictionMapper().explain(lambda x: x, [torch.rand(3, 2)], layer="")


def test_a_fit_forgets_the_embeddings_of_a_model():
    x, y = data()
    mapper = PredictionMapper(**SETTINGS).explain(network(), [(x, y)], layer="act")
    assert mapper.embeddings_.shape == (N, 6)
    mapper.fit(x, mapper.predictions_)
    assert not hasattr(mapper, "embeddings_")
