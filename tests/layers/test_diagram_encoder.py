"""The encoder of diagrams: what it sees of a bar, what it must not depend on, gradients, tokens."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from torch import nn

from tests.strategies import diagrams, make_diagrams
from topodl import Diagrams, InputError
from topodl.layers import AlphaPersistence, CubicalPersistence, DiagramEncoder, RipsPersistence

KINDS = [{"n_blocks": n_blocks, "pool": pool} for n_blocks in (0, 1) for pool in ("attention", "mean", "sum")]


def encoder(**options):
    return DiagramEncoder(**({"width": 8, "n_heads": 2, "n_outputs": 2} | options)).double()


def shuffled(d, seed):
    """Return the same diagrams from bars in another order."""
    order = torch.randperm(d.n_bars, generator=torch.Generator().manual_seed(seed))
    return Diagrams(
        *(getattr(d, name)[order] for name in ("births", "deaths", "dims", "samples")),
        n_samples=d.n_samples,
        homology_dims=d.homology_dims,
    )


@pytest.mark.parametrize("options", KINDS, ids=str)
@settings(max_examples=20)
@given(d=diagrams(), seed=st.integers(0, 99))
def test_order_and_batch_mates_change_nothing(options, d, seed):
    layer = encoder(**options)
    out = layer(d)
    assert out.shape == (len(d), 16)
    assert torch.isfinite(out).all()
    close = {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(layer(shuffled(d, seed)), out, **close)
    for i in range(len(d)):
        torch.testing.assert_close(layer(d[i])[0], out[i], **close)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_padding_and_what_stands_in_it_change_nothing(options):
    layer = encoder(dims=0, **options)
    bars = make_diagrams(1, [[5], [2], [0]], homology_dims=(0,), essential=0.3)
    padded, _, mask = bars.padded(0, fill=torch.nan)
    wider = nn.functional.pad(padded, (0, 0, 0, 4), value=torch.nan).requires_grad_()
    out = layer(Diagrams.from_padded(wider, nn.functional.pad(mask, (0, 4))))
    torch.testing.assert_close(out, layer(bars), rtol=1e-9, atol=1e-12)
    out.square().sum().backward()
    assert torch.isfinite(wider.grad).all()
    assert (wider.grad[:, -4:] == 0).all()


def test_essential_bars_are_flagged_and_clamped_ones_still():
    zero = torch.zeros(1, dtype=torch.int64)

    def one(birth, death):
        ends = torch.tensor([birth], dtype=torch.float64), torch.tensor([death], dtype=torch.float64)
        return Diagrams(*ends, zero, zero, n_samples=1, homology_dims=(0, 1))

    layer = encoder()
    torch.testing.assert_close(
        layer._ends_and_dims(one(0.25, 1.0)), torch.tensor([[0.25, 1.0, 0.75, 0, 1, 0]], dtype=torch.float64)
    )
    never = torch.tensor([[0.25, 0.0, 0.0, 1, 1, 0]], dtype=torch.float64)
    torch.testing.assert_close(layer._ends_and_dims(one(0.25, torch.inf)), never)
    torch.testing.assert_close(layer._ends_and_dims(one(0.25, -torch.inf)), never)
    clamped = one(0.25, torch.inf).with_essential("clamp", 1.0)
    assert layer._ends_and_dims(clamped).tolist() == [[0.25, 1.0, 0.75, 1, 1, 0]]
    assert layer._bars(one(-torch.inf, 1.0)).n_bars == 0


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_gradients_reach_births_deaths_and_parameters(options):
    d = make_diagrams(7, [[4, 2], [0, 3], [1, 0], [0, 0]], essential=0.2)
    layer = encoder(**options)
    finite = torch.isfinite(d.deaths)

    def features(births, deaths):
        return layer(d._with(births=births, deaths=torch.where(finite, deaths, d.deaths)))

    ends = [d.births.clone().requires_grad_(), d.deaths.where(finite, 0.0).requires_grad_()]
    assert torch.autograd.gradcheck(features, ends)
    assert torch.autograd.gradgradcheck(features, ends, atol=1e-4)
    layer(d).square().sum().backward()
    weights = {name: p for name, p in layer.named_parameters() if name.endswith("weight")}
    assert all(float(p.grad.abs().sum()) > 0 for p in weights.values())


def test_diagrams_without_bars_keep_the_graph():
    nothing = make_diagrams(0, [[0, 0], [0, 0]])
    for options in KINDS:
        births = nothing.births.clone().requires_grad_()
        layer = encoder(**options)
        out = layer(nothing._with(births=births))
        assert torch.isfinite(out).all()
        (gradient,) = torch.autograd.grad(out.sum(), births)
        assert gradient.shape == (0,)


@given(diagrams())
@settings(max_examples=20)
def test_tokens_are_the_features_and_a_vector_for_each_bar(d):
    layer = encoder()
    tokens, mask = layer.tokens(d)
    longest = int(d.sample_offsets.diff().max()) if len(d) else 0
    assert tokens.shape == (len(d), 2 + longest, 8)
    torch.testing.assert_close(tokens[:, :2].flatten(1), layer(d))
    assert mask[:, :2].all()
    assert mask.sum(1).tolist() == [2 + int(n) for n in d.sample_offsets.diff()]
    assert (tokens[~mask] == 0).all()
    for i in range(len(d)):
        alone, _ = layer.tokens(d[i])
        torch.testing.assert_close(tokens[i][mask[i]], alone[0], rtol=1e-9, atol=1e-12)


def test_cross_attention_to_tokens_of_an_empty_diagram_is_finite():
    layer, attention = encoder(), nn.MultiheadAttention(8, 2, batch_first=True).double()
    tokens, mask = layer.tokens(make_diagrams(0, [[3, 2], [0, 0]]))
    query = torch.ones(2, 5, 8, dtype=torch.float64)
    out, _ = attention(query, tokens, tokens, key_padding_mask=~mask)
    assert torch.isfinite(out).all()


def test_a_deep_set_is_the_sum_over_bars():
    layer = encoder(n_blocks=0, pool="sum")
    d = make_diagrams(3, [[4, 2]], essential=0.0)
    total = torch.zeros(8, dtype=torch.float64)
    for birth, death, dim in zip(d.births, d.deaths, d.dims, strict=True):
        bar = torch.tensor([birth, death, death - birth, 0, dim == 0, dim == 1], dtype=torch.float64)
        total += torch.relu(layer.embed_weight @ bar + layer.embed_bias)
    torch.testing.assert_close(layer(d)[0], layer.out_weight @ total + layer.out_bias)


@pytest.mark.parametrize("persistence", [CubicalPersistence(), RipsPersistence(), AlphaPersistence()])
def test_stands_behind_any_persistence_layer(persistence):
    model = nn.Sequential(persistence, DiagramEncoder(width=8, n_heads=2))
    x = torch.rand(3, 6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    model(x).square().sum().backward()
    assert float(x.grad.abs().sum()) > 0


def test_state_and_clones():
    layer, d = DiagramEncoder(8, 2, random_state=1), make_diagrams(0, [[3, 2], [1, 1]])
    other = DiagramEncoder(8, 2, random_state=2)
    assert not torch.allclose(layer(d), other(d))
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(d), other(d))
    torch.testing.assert_close(clone(layer)(d), layer(d))
    torch.testing.assert_close(copy.deepcopy(layer)(d), layer(d))
    assert layer.fit_transform(d).shape == (2, 8)


def check_compiled(model, batches, *others):
    """Check that one graph of a model gives its values and gradients, for batches of several sizes."""
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for images in batches:
        given = [images.clone().requires_grad_() for _ in range(2)]
        outs = [function(each, *others) for function, each in zip((compiled, model), given, strict=True)]
        torch.testing.assert_close(*outs)
        found = [
            torch.autograd.grad(out.square().sum(), [each, *model.parameters()])
            for out, each in zip(outs, given, strict=True)
        ]
        torch.testing.assert_close(*found)
    torch.compiler.reset()


def test_compiles_to_one_graph_with_its_gradients():
    x = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(CubicalPersistence(), DiagramEncoder(8, 2))
    check_compiled(model, (x, x[:2] + x[1:], torch.zeros(2, 6, 6)))


class _Asked(nn.Module):
    """What a query sees of the tokens of images."""

    def __init__(self):
        super().__init__()
        self.persistence, self.encoder = CubicalPersistence(), DiagramEncoder(8, 2)

    def forward(self, images, query):
        tokens, mask = self.encoder.tokens(self.persistence(images))
        mask = mask[:, None, None]
        return nn.functional.scaled_dot_product_attention(query, tokens[:, None], tokens[:, None], mask)


def test_tokens_compile_to_one_graph_with_their_gradients():
    x = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    query = torch.linspace(-1, 1, 8).expand(3, 1, 1, 8)
    batches = (x, torch.cat((x[:2], torch.zeros(1, 6, 6))), x[:, :4, :4], torch.zeros(3, 6, 6))
    check_compiled(_Asked(), batches, query)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 6, "n_heads": 4}, "width is 6; expected a multiple of n_heads = 4"),
        ({"n_blocks": -1}, "n_blocks is -1; expected an integer of at least 0"),
        ({"n_outputs": 0}, "n_outputs is 0"),
        ({"pool": "max"}, "pool is 'max'; expected one of 'attention', 'mean', 'sum'"),
        ({"value_range": (1.0, 1.0)}, "value_range is"),
    ],
)
def test_unusable_options(options, message):
    with pytest.raises(InputError, match=f"DiagramEncoder: {message}"):
        DiagramEncoder(**options)


def test_unusable_input():
    with pytest.raises(TypeError, match="DiagramEncoder: d is a Tensor; expected Diagrams"):
        DiagramEncoder()(torch.rand(3, 2))
    with pytest.raises(InputError, match="DiagramEncoder: dims ask for 2; expected dimensions"):
        DiagramEncoder(dims=2)(make_diagrams(0, [[1, 1]]))
    huge = Diagrams.from_padded(torch.tensor([[[0.0, 3e38], [1.0, 2.0]]]))
    with pytest.raises(InputError, match=r"DiagramEncoder: d has values up to 3e\+38"):
        DiagramEncoder(8, 2, dims=0)(huge)
