"""No loss hangs on the unit of its data: it scales with them or does not change, or an error says why not."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl.errors import InputError
from topodl.losses import (
    BettiTargetLoss,
    FeatureCountLoss,
    MinibatchCKA,
    MosinLoss,
    TopologicalAutoencoderLoss,
    TotalPersistenceLoss,
    cka,
    topological_autoencoder_loss,
)

factors = st.floats(-30, 30).map(lambda k: 10.0**k)


def clouds(seed, n=9, d=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator), torch.randn(n, 2, generator=generator)


def value_and_gradient(function, x):
    x = x.clone().requires_grad_()
    value = function(x)
    (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient


@given(factors, factors, st.integers(0, 99), st.sampled_from(["linear", "rbf"]), st.booleans())
def test_alignment_of_representations_in_any_unit(a, b, seed, kernel, unbiased):
    x, y = clouds(seed)
    options = {"kernel": kernel, "unbiased": unbiased}
    expected, slope = value_and_gradient(lambda t: cka(t, y, **options), x)
    found, scaled = value_and_gradient(lambda t: cka(t, b * y, **options), a * x)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(scaled * a, slope, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1e30])
def test_bandwidth_where_most_points_coincide(factor):
    x, y = torch.zeros(7, 2), clouds(1, 7)[0]
    x[5:] = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    expected = cka(x, y, kernel="rbf")
    torch.testing.assert_close(cka(factor * x, y, kernel="rbf"), expected)
    assert expected > 0.01


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_minibatches_count_in_one_unit(kernel, factor):
    running, scaled = MinibatchCKA(kernel), MinibatchCKA(kernel)
    for seed in range(3):
        x, y = clouds(seed)
        x = x * (1 + 5 * seed)  # with a unit of its own each minibatch would weigh the same
        running.update(x, y)
        scaled.update(factor * x, y / factor)
    torch.testing.assert_close(scaled.compute(), running.compute(), rtol=1e-4, atol=0)


def test_minibatches_weigh_by_their_size():
    small, large = MinibatchCKA(), MinibatchCKA()
    x, y = clouds(0)
    other, third = clouds(1)
    small.update(x, y)
    small.update(1e-9 * other, 1e-9 * third)
    large.update(x, y)
    torch.testing.assert_close(small.compute(), large.compute())


@given(factors, factors, st.integers(0, 99), st.sampled_from([0, 1]), st.sampled_from([3, 40]))
def test_topological_autoencoder_in_any_unit(a, b, seed, dims, d):
    x, z = clouds(seed, d=d)
    expected, slope = value_and_gradient(lambda t: topological_autoencoder_loss(x, t, dims=dims), z)
    found, scaled = value_and_gradient(
        lambda t: topological_autoencoder_loss(a * x, t, dims=dims, latent_norm=b), b * z
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scaled * b, slope, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("factor", [1e25, 1e30])
def test_latent_distances_out_of_reach_are_named(factor):
    x, z = clouds(0)
    with pytest.raises(InputError, match=r"z has distances that are wrong by up to .*, whose squares"):
        TopologicalAutoencoderLoss()(x, factor * z)


@given(factors, st.integers(0, 99))
def test_penalties_on_clouds_in_any_unit(factor, seed):
    x, _ = clouds(seed)
    total, slope = value_and_gradient(TotalPersistenceLoss(0), x)
    found, scaled = value_and_gradient(TotalPersistenceLoss(0), factor * x)
    torch.testing.assert_close(found / factor, total, rtol=1e-4, atol=0)
    torch.testing.assert_close(scaled, slope, rtol=1e-3, atol=1e-4)
    count = FeatureCountLoss(0.7 * factor, 0)(factor * x)
    torch.testing.assert_close(count, FeatureCountLoss(0.7, 0)(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [TotalPersistenceLoss(0, power=2), BettiTargetLoss({0: 1})])
def test_penalties_out_of_reach_are_named(loss):
    x, _ = clouds(0)
    with pytest.raises(InputError, match=r"Loss: x has values up to .*too large for torch.float32"):
        loss(1e30 * x)
    assert loss(1e15 * x).isfinite()


def test_features_of_half_precision_are_compared_in_single():
    labels = torch.ones(1, 8, 8, dtype=torch.long)
    logits = torch.full((1, 1, 8, 8), -20.0)
    loss = MosinLoss(features=lambda x: (1000 * x).half(), base_weight=0.0, topology_weight=1.0)
    assert loss(logits, labels).item() == pytest.approx(1e6, rel=1e-3)
