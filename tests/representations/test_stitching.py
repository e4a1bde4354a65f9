"""Stitching: identity on itself, closed forms against known maps, frozen models, every kind of output."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import topodl
from topodl.errors import InputError
from topodl.representations import StitchedModel, StitchingLayer, stitch


@pytest.fixture(autouse=True)
def fixed_seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def perceptron(width=6, activation=None):
    return nn.Sequential(nn.Linear(4, width), activation or nn.Tanh(), nn.Linear(width, 3))


class Convolutions(nn.Module):
    """Maps of `channels` channels, with what stitching must not disturb: batch norm and dropout."""

    def __init__(self, channels, stride=1):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, channels, 3, stride, 1), nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.5), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.out = nn.Linear(4 * channels, 2)

    def forward(self, x):
        return self.out(self.head(self.body(x)))


def snapshot(model):
    return (
        {name: value.clone() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in model.parameters()],
        [len(module._forward_hooks) for module in model.modules()],
    )


def same(first, second):
    assert first[1:] == second[1:]
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name])


def test_a_model_stitched_to_itself_by_the_identity_is_itself():
    model, x = Convolutions(5).eval(), torch.randn(3, 1, 8, 8)
    stitched = stitch(model, "body", model, "body", example=x)
    with torch.no_grad():
        stitched.stitching.weight.copy_(torch.eye(5))
        stitched.stitching.bias.zero_()
    torch.testing.assert_close(stitched(x), model(x))


@pytest.mark.parametrize("method", ["affine", "orthogonal"])
def test_the_closed_form_finds_a_hidden_map(method):
    a = perceptron()
    b = copy.deepcopy(a)
    rotation = torch.linalg.qr(torch.randn(6, 6)).Q
    # b says the same as a in another basis, and its head takes that back
    b = nn.Sequential(a[0], nn.Sequential(a[1], nn.Linear(6, 6)), nn.Linear(6, 3))
    with torch.no_grad():
        b[1][1].weight.copy_(rotation)
        b[1][1].bias.fill_(0.7)
        b[2].weight.copy_(a[2].weight @ rotation.T)
        b[2].bias.copy_(a[2].bias - a[2].weight @ rotation.T @ torch.full((6,), 0.7))
    x = torch.randn(50, 4)
    stitched = stitch(a, "1", b, "1").initialise(x, method=method)
    torch.testing.assert_close(stitched.stitching.weight.detach(), rotation, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(stitched(x), a(x), atol=1e-4, rtol=1e-4)


def test_least_squares_and_procrustes():
    x, y = torch.randn(40, 5).double(), torch.randn(40, 3).double()
    layer = StitchingLayer(5, 3).double().fit(x, y)
    residual = (layer(x) - y).detach()
    columns = torch.cat((x, torch.ones(40, 1).double()), 1)
    torch.testing.assert_close(columns.T @ residual, torch.zeros(6, 3).double(), atol=1e-9, rtol=0)
    layer.fit(x, y, "orthogonal")
    torch.testing.assert_close((layer.weight @ layer.weight.T).detach(), torch.eye(3).double())
    best = float((layer(x) - y).detach().square().sum())
    for _ in range(20):
        near = torch.linalg.qr(layer.weight.detach().T + 0.1 * torch.randn(5, 3).double()).Q.T
        shifted = x @ near.T
        other = (shifted - shifted.mean(0) + y.mean(0) - y).square().sum()
        assert float(other) >= best


def test_rank_deficient_features_have_a_closed_form():
    x = torch.randn(30, 2) @ torch.randn(2, 5)
    layer = StitchingLayer(5, 5).fit(x, x)
    torch.testing.assert_close(layer(x).detach(), x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((2, 3), None, (2, 4)),
        ((2, 7, 3), None, (2, 7, 4)),
        ((2, 3, 5, 6), None, (2, 4, 5, 6)),
        ((2, 3, 5, 6), (10, 3), (2, 4, 10, 3)),
        ((2, 3, 4, 4, 4), (2, 2, 2), (2, 4, 2, 2, 2)),
    ],
)
def test_shapes_of_the_layer(shape, size, expected):
    assert StitchingLayer(3, 4)(torch.randn(shape), size).shape == expected


def test_on_maps_it_is_a_convolution_and_knows_one_dimensional_ones_by_their_axis():
    layer, x = StitchingLayer(3, 4), torch.randn(2, 3, 5, 6)
    torch.testing.assert_close(layer(x), nn.functional.conv2d(x, layer.weight[:, :, None, None], layer.bias))
    signals = StitchingLayer(3, 4, channel_dim=1, bias=False)
    assert signals(torch.randn(2, 3, 10), (5,)).shape == (2, 4, 5)


@pytest.mark.parametrize("training", [False, True])
def test_training_moves_the_layer_alone_and_leaves_the_models_as_they_were(training):
    a, b = Convolutions(3, stride=2).train(training), Convolutions(5).train(training)
    b.out.weight.requires_grad_(False)
    a.out.bias.grad = torch.ones(2)
    before = snapshot(a), snapshot(b)
    x, y = torch.randn(16, 1, 8, 8), torch.randint(0, 2, (16,))
    stitched = stitch(a, "body.1", b, "body", example=x).train()
    assert [name for name, _ in stitched.named_parameters()] == ["stitching.weight", "stitching.bias"]
    assert all(p.requires_grad for p in stitched.parameters())
    optimizer = torch.optim.Adam(stitched.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(stitched(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    same(before[0], snapshot(a))
    same(before[1], snapshot(b))


def test_models_are_left_as_they_were_when_a_pass_fails():
    a, b = perceptron(), perceptron(9)
    before = snapshot(a), snapshot(b)
    stitched = stitch(a, "1", b, "1")
    with pytest.raises(RuntimeError):
        stitched(torch.randn(2, 5))
    same(before[0], snapshot(a))
    same(before[1], snapshot(b))


def test_state_copies_and_pickles():
    a, b, x = perceptron(), perceptron(9), torch.randn(5, 4)
    stitched = stitch(a, "1", b, "1", example=x)
    assert list(stitched.state_dict()) == ["stitching.weight", "stitching.bias"]
    fresh = stitch(a, "1", b, "1")
    assert fresh.stitching is None
    fresh.load_state_dict(stitched.state_dict())
    expected = stitched(x)
    torch.testing.assert_close(fresh(x), expected)
    buffer = io.BytesIO()
    torch.save(stitched.state_dict(), buffer)
    for twin in (copy.deepcopy(stitched), pickle.loads(pickle.dumps(stitched))):
        torch.testing.assert_close(twin(x), expected)
        with torch.no_grad():
            twin.stitching.weight.zero_()
        torch.testing.assert_close(stitched(x), expected)
    assert stitched.double()(x.double()).dtype == torch.float64
    assert a[0].weight.dtype == torch.float64


class Tuples(nn.Module):
    """A model whose middle layer gives a tuple, a dict or a named tuple."""

    def __init__(self, wrap):
        super().__init__()
        self.layer, self.head, self.wrap = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 2), wrap
        self.middle = nn.Identity()

    def forward(self, x):
        out = self.middle(self.wrap(*self.layer(x)))
        return self.head(out["x"] if isinstance(out, dict) else out[0])


@pytest.mark.parametrize("wrap", [lambda *a: a, lambda *a: list(a), lambda x, s: {"n": 1, "x": x, "s": s}])
def test_outputs_that_are_no_tensors(wrap):
    a, b, x = Tuples(wrap), Tuples(wrap), torch.randn(3, 7, 4)
    stitched = stitch(a, "middle", b, "middle").initialise(x)
    assert stitched(x).shape == (3, 7, 2)
    assert (stitched(x) - b(x)).abs().mean() < (a(x) - b(x)).abs().mean()


def test_outputs_of_hugging_face_models():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    a, b = (transformers.BertForSequenceClassification(config).eval() for _ in range(2))
    ids = torch.randint(0, 30, (3, 6))
    stitched = stitch(a, "bert.encoder", b, "bert.encoder")
    assert stitched(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.shape == (3, 2)
    stitched.stitching.fit(torch.eye(8), torch.eye(8))
    both = stitched.initialise(input_ids=ids)(input_ids=ids).logits
    assert both.shape == (3, 2)


def test_the_second_model_may_take_something_else():
    a, b = perceptron(), nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 3))
    stitched = stitch(a, "1", b, "0", transform_b=lambda x: x[:, :2])
    assert stitched.initialise(torch.randn(30, 4))(torch.randn(7, 4)).shape == (7, 3)


def test_a_compiled_model_is_stitched_uncompiled():
    a, b, x = perceptron(), perceptron(9), torch.randn(5, 4)
    compiled = torch.compile(a, backend="eager")
    stitched = stitch(compiled, "1", b, "1", example=x)
    assert stitched(x).shape == (5, 3)


def test_it_is_public():
    assert topodl.stitch is stitch
    assert topodl.StitchingLayer is StitchingLayer
    assert repr(stitch(perceptron(), "1", perceptron(), "1")).startswith("StitchedModel(Sequential up to '1'")
    assert StitchedModel.__doc__


def test_unusable_input_is_named():
    a, b, x = perceptron(), perceptron(9), torch.randn(5, 4)
    with pytest.raises(InputError, match="stitch: layer_a is '7'; expected a submodule of the model, as '0'"):
        stitch(a, "7", b, "1")
    with pytest.raises(InputError, match="stitch: layer_b is 'head'"):
        stitch(a, "1", b, "head")
    idle = Tuples(lambda *out: out)
    idle.unused = nn.Identity()
    with pytest.raises(InputError, match="layer_a is 'unused', which the model does not run"):
        stitch(idle, "unused", b, "1")(torch.randn(3, 7, 4))
    with pytest.raises(InputError, match="layer_b is 'unused', which the model does not run"):
        stitch(idle, "middle", idle, "unused")(torch.randn(3, 7, 4))
    with pytest.raises(
        InputError, match=r"layer is StitchingLayer\(2, 3.*; expected one from 6 to 9 features"
    ):
        stitch(a, "1", b, "1", layer=StitchingLayer(2, 3))(x)
    maps, image = Convolutions(3), torch.randn(2, 1, 8, 8)
    with pytest.raises(InputError, match=r"layer_a 'body' gives \(2, 3, 8, 8\) and layer_b 'out' \(2, 2\)"):
        stitch(maps, "body", maps, "out")(image)
    longer = Tuples(lambda out, state: (torch.cat((out, out), 1), state))
    with pytest.raises(InputError, match=r"layer_b 'middle' gives \(3, 14, 6\).*as many places"):
        stitch(Tuples(lambda *out: out), "middle", longer, "middle")(torch.randn(3, 7, 4))
    with pytest.raises(InputError, match=r"x has shape \(5, 4\); expected 3 features along axis 1"):
        StitchingLayer(3, 4)(x)
    with pytest.raises(InputError, match=r"method is 'ridge'; expected one of 'affine', 'orthogonal'"):
        StitchingLayer(4, 4).fit(x, x, "ridge")
    with pytest.raises(InputError, match=r"y has shape \(4, 4\); expected 4 features at the places of x"):
        StitchingLayer(4, 4).fit(x, x[:4])
    with pytest.raises(InputError, match=r"x\[2\] has NaN at \(1\)"):
        StitchingLayer(4, 4).fit(x.index_put((torch.tensor(2), torch.tensor(1)), torch.tensor(torch.nan)), x)
    with pytest.raises(InputError, match="in_features is 0"):
        StitchingLayer(0, 4)
    with pytest.raises(InputError, match=r"y\[0\] has an infinite value"):
        StitchingLayer(4, 4).fit(x, torch.full((5, 4), torch.inf))
    with pytest.raises(TypeError, match=r"x has dtype torch\.complex64; expected real values"):
        StitchingLayer(4, 4).fit(x.to(torch.complex64), x)
    with pytest.raises(TypeError, match=r"StitchingLayer: x is a str; expected a torch\.Tensor"):
        StitchingLayer(4, 4)("text")
