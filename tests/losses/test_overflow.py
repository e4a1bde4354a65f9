"""Values that overflowed in losses of any tensor: NaN with a warning, or an error where it is asked for."""

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topodl
from topodl.errors import InputError
from topodl.losses import (
    BettiTargetLoss,
    CKALoss,
    DiagramTargetLoss,
    FeatureCountLoss,
    RTDLoss,
    TopologicalAutoencoderLoss,
    TotalPersistenceLoss,
    cka,
    cka_loss,
    topological_autoencoder_loss,
)


def target():
    return topodl.rips_persistence(torch.tensor([[[0.0], [1.0], [2.0]]]), 0)


CLOUD, IMAGE, CODES = (2, 5, 3), (2, 1, 5, 6), (6, 3)
CASES = {
    "total of clouds": (lambda **o: TotalPersistenceLoss(0, **o), CLOUD, False),
    "total of images": (lambda **o: TotalPersistenceLoss(0, **o), IMAGE, False),
    "total of a batch": (lambda **o: TotalPersistenceLoss(0, **o), CODES, False),
    "count": (lambda **o: FeatureCountLoss(0.5, 0, **o), CLOUD, False),
    "Betti numbers": (lambda **o: BettiTargetLoss({0: 2}, **o), IMAGE, False),
    "diagram": (lambda **o: DiagramTargetLoss(target(), **o), CLOUD, False),
    "filtration of one's own": (
        lambda **o: TotalPersistenceLoss(0, filtration=lambda x: topodl.rips_persistence(x, 0), **o),
        CLOUD,
        False,
    ),
    "rtd": (RTDLoss, CODES, True),
    "cka": (CKALoss, CODES, True),
    "topological autoencoder": (TopologicalAutoencoderLoss, CODES, True),
    "rtd, a function": (lambda **o: functools.partial(topodl.rtd, **o), CODES, True),
    "cka, a function": (lambda **o: functools.partial(cka_loss, **o), CODES, True),
    "topological autoencoder, a function": (
        lambda **o: functools.partial(topological_autoencoder_loss, **o),
        CODES,
        True,
    ),
}


def values(shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def call(loss, x, pair):
    return loss(values(CODES), x) if pair else loss(x)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_what_overflowed_makes_the_loss_and_its_gradient_nan_and_is_named(case, dtype):
    make, shape, pair = CASES[case]
    x = values(shape, dtype)
    expected = call(make(), x, pair)
    assert expected.isfinite()
    torch.testing.assert_close(call(make(non_finite="raise"), x, pair), expected)
    x.view(len(x), -1)[1, 2] = torch.nan
    x.requires_grad_()
    with pytest.warns(
        RuntimeWarning, match=r"\[(1\] has NaN|0\] has NaN at \(1, 2).*; the loss is NaN"
    ) as said:
        value = call(make(), x, pair)
    assert len(said) == 1
    assert value.shape == ()
    assert value.dtype == expected.dtype
    assert value.isnan()
    (gradient,) = torch.autograd.grad(value, x)
    assert gradient.isnan().all()
    with pytest.raises(InputError, match="has NaN"):
        call(make(non_finite="raise"), x, pair)
    with pytest.raises(InputError, match="non_finite is 'skip'; expected one of 'nan', 'raise'"):
        call(make(non_finite="skip"), x, pair)


@given(
    st.sampled_from(sorted(CASES)), st.integers(0, 29), st.sampled_from([torch.nan, torch.inf, -torch.inf])
)
def test_no_place_of_an_overflow_is_silent(case, place, bad):
    make, shape, pair = CASES[case]
    x = values(shape)
    x.view(-1)[place % x.numel()] = bad
    if shape == IMAGE and not torch.isnan(torch.tensor(bad)):
        assert call(make(), x, pair).isfinite()  # an infinite pixel is a value of an image
        return
    with pytest.warns(RuntimeWarning, match="the loss is NaN"):
        assert call(make(), x, pair).isnan()


@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_other_samples_of_a_batch_keep_divergence_and_gradient(metric, bad):
    clouds = values((3, 6, 2))
    a, b = (torch.cdist(c, c) if metric == "precomputed" else c for c in (clouds, clouds.square()))
    expected = topodl.rtd(a, b, metric=metric)
    spoiled = a.clone()
    spoiled[1, 2, 1] = bad
    spoiled.requires_grad_()
    with pytest.warns(RuntimeWarning, match=r"rtd: a\[1\] has .*; the loss is NaN"):
        found = topodl.rtd(spoiled, b, metric=metric)
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]])
    assert found[1].isnan()
    (gradient,) = torch.autograd.grad(found.sum(), spoiled)
    assert gradient[1].isnan().all()
    assert gradient[[0, 2]].isfinite().all()


def test_the_measure_of_similarity_has_no_policy():
    with pytest.raises(InputError, match="has NaN"):
        cka(values(CODES), torch.full(CODES, torch.nan))


def test_other_errors_stay_errors():
    for wrong in (torch.zeros(3), torch.zeros(2, 0, 3), torch.zeros(2, 2, 2, 2, 2, 2)):
        with pytest.raises(InputError):
            TotalPersistenceLoss(0)(wrong)
    with pytest.raises(InputError, match="expected one latent code for each"):
        TopologicalAutoencoderLoss()(torch.zeros(3, 2), torch.zeros(2, 2))


def test_a_scaler_of_gradients_skips_the_step_and_training_goes_on():
    torch.manual_seed(0)
    network, penalty = torch.nn.Linear(3, 2), TotalPersistenceLoss(0)
    before = [p.detach().clone() for p in network.parameters()]
    optimizer, scaler = torch.optim.SGD(network.parameters(), lr=0.1), torch.amp.GradScaler("cpu")

    def step(factor):
        optimizer.zero_grad()
        scaler.scale(penalty(factor * network(values(CODES)))).backward()
        scaler.step(optimizer)
        scaler.update()

    with pytest.warns(RuntimeWarning, match="the loss is NaN"):
        step(torch.inf)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
    assert scaler.get_scale() == 2.0**15  # half of what it began with
    step(1.0)
    assert not torch.equal(network.weight, before[0])
    assert network.weight.isfinite().all()
