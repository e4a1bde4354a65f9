"""Tensors that lack most of PyTorch's operations are named, whatever is handed them."""

import pytest
import torch

import topodl
from tests.losses.test_contract import OPTIONS
from topodl import losses, metrics
from topodl.attention import AttentionTopology
from topodl.errors import InputError

from .public_calls import CALLS, Samples

KINDS = {
    "sparse": lambda x: x.to_sparse(),
    "meta": lambda x: x.to("meta"),
    "float8": lambda x: x.to(torch.float8_e4m3fn),
    "nested": lambda x: torch.nested.nested_tensor(list(x), layout=torch.jagged),
    "quantised": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8),
}
# Making them warns that they may change, or go.
pytestmark = pytest.mark.filterwarnings("ignore:.*nested:UserWarning", "ignore:.*quant:UserWarning")

REFUSED = (
    r": {} (is nested|is quantised .*|has layout .*|has dtype torch.float8_e4m3fn); "
    r"expected (a dense tensor with data|floats of at least 16 bits)"
)


OF_MODELS = {  # which take the tensors first
    *("attention.record", "representations.decision_regions"),
    *("representations.stitch", "representations.StitchedModel"),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def odd(request):
    return request.param


@pytest.mark.parametrize("name", sorted(losses.registry))
def test_losses_of_segmentation_name_them(name, odd):
    loss = losses.registry[name](**OPTIONS.get(name, {}))
    logits, target = torch.zeros(2, 2, 8, 8), torch.zeros(2, 8, 8)
    with pytest.raises(TypeError, match=REFUSED.format("logits")):
        loss(odd(logits), target.long())
    with pytest.raises(TypeError, match=REFUSED.format("target")):
        loss(logits, odd(target))


@pytest.mark.parametrize(
    "kind", [metrics.BettiError, metrics.Dice, metrics.ClDice, metrics.BettiMatchingError]
)
def test_metrics_name_them(kind, odd):
    masks = torch.zeros(2, 8, 8)
    with pytest.raises((TypeError, InputError), match=REFUSED.format("preds")):
        kind()(odd(masks), masks)
    with pytest.raises((TypeError, InputError), match=REFUSED.format("target")):
        kind()(masks, odd(masks))


@pytest.mark.parametrize(
    "function", [topodl.cubical_persistence, topodl.rips_persistence, topodl.alpha_persistence]
)
def test_persistence_names_them(function, odd):
    with pytest.raises(TypeError, match=REFUSED.format("x")):
        function(odd(torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0))))


def test_attention_names_them(odd):
    maps = torch.full((2, 1, 1, 4, 4), 0.25)
    with pytest.raises(TypeError, match=REFUSED.format("attention")):
        AttentionTopology("sink.max").forward(odd(maps))


@pytest.mark.parametrize("kind", ["meta", "sparse"])
@pytest.mark.parametrize("name", sorted(CALLS.keys() - OF_MODELS))
def test_everything_public_names_them(name, kind):
    with pytest.raises((TypeError, InputError), match=kind):
        CALLS[name](Samples(lambda value: KINDS[kind](value) if isinstance(value, torch.Tensor) else value))
