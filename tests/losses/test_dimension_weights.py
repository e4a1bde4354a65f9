"""Components and holes weighed apart in the losses of bars: by hand, linear, and refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topodl import InputError
from topodl.losses import BettiMatchingLoss, TopoGradLoss, TopoLoss

LOSSES = {
    "betti_matching": BettiMatchingLoss,
    "sublevel": lambda **o: BettiMatchingLoss(filtration="sublevel", **o),
    "both": lambda **o: BettiMatchingLoss(filtration="both", push=True, **o),
    "topo_loss": TopoLoss,
    "windows": lambda **o: TopoLoss(window=5, **o),
    "topo_grad": TopoGradLoss,
}
names = st.sampled_from(sorted(LOSSES))


def sample(seed, size=(8, 9)):
    generator = torch.Generator("cpu").manual_seed(seed)
    logits = torch.randn(2, 2, *size, generator=generator, dtype=torch.float64, device="cpu")
    return logits, torch.randint(2, (2, *size), generator=generator, device="cpu")


def term(name, weights, logits, labels, **options):
    loss = LOSSES[name](base_weight=0.0, topology_weight=1.0, dimension_weights=weights, **options)
    return loss(logits, labels)


@settings(deadline=None, max_examples=25)
@given(names, st.integers(0, 99), st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_the_terms_are_linear_in_the_weights(name, seed, first, second):
    data = sample(seed)
    components, holes = term(name, [1, 0], *data), term(name, [0, 1], *data)
    torch.testing.assert_close(term(name, [first, second], *data), first * components + second * holes)
    torch.testing.assert_close(term(name, None, *data), components + holes)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_gradient_is_right(name):
    logits, labels = sample(3, (5, 6))
    assert torch.autograd.gradcheck(lambda z: term(name, [0.5, 2.0], z, labels), logits.requires_grad_())


@pytest.mark.parametrize("name", ["betti_matching", "sublevel", "both"])
def test_volumes_have_three_weights(name):
    data = sample(0, (4, 5, 4))
    parts = [term(name, [float(k == j) for j in range(3)], *data) for k in range(3)]
    torch.testing.assert_close(sum(parts), term(name, None, *data))


def test_a_false_component_and_a_false_hole_by_hand():
    target = torch.zeros(1, 5, 9, dtype=torch.long, device="cpu")
    target[:, 1:4, 1:4] = 1
    p = target[:, None].double()
    p[..., 2, 7] = 0.6  # a false component, a bar from 0.6 to 0
    p[..., 2, 2] = 0.5  # a false hole, a bar from 1 to 0.5
    data = p, target
    options = {"activation": "none"}
    for name in ("betti_matching", "sublevel"):
        assert float(term(name, [1, 0], *data, **options)) == pytest.approx(0.36)
        assert float(term(name, [0, 1], *data, **options)) == pytest.approx(0.25)
    assert float(term("topo_loss", [1, 0], *data, **options)) == pytest.approx(0.18)
    assert float(term("topo_loss", [0, 3], *data, **options)) == pytest.approx(3 * 0.125)
    assert float(term("topo_grad", [2, 1], *data, **options)) == pytest.approx(2 * 0.36 + 0.25)


@pytest.mark.parametrize("name", ["betti_matching", "topo_loss", "topo_grad"])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "dimension_weights has 1 for images of 2 axes; expected 2 weights"),
        ([1.0, -1.0], r"dimension_weights\[1\] is -1.0"),
    ],
)
def test_weights_that_do_not_fit_are_named(name, weights, message):
    with pytest.raises(InputError, match=message):
        term(name, weights, *sample(0))


def test_the_published_variant_has_none():
    with pytest.raises(InputError, match=r"dimension_weights is .* with variant='topomortar'"):
        TopoLoss(variant="topomortar", dimension_weights=[1.0, 1.0])(*sample(0))
