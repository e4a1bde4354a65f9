"""CKA against its definition by centring matrices and the estimator's sums, and its invariances."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl.errors import InputError
from topodl.losses import CKALoss, MinibatchCKA, cka, cka_loss


def pair(n=12, p=5, q=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, size, generator=generator, dtype=torch.float64) for size in (p, q))


def naive_kernel(x, kernel):
    if kernel == "linear":
        return x @ x.T
    squares = ((x[:, None] - x[None]) ** 2).sum(-1)
    return np.exp(-squares / (2 * np.median(squares[np.triu_indices(len(x), 1)])))


def naive_hsic(k, m, unbiased):
    n = len(k)
    if not unbiased:
        h = np.eye(n) - 1 / n
        return np.trace(k @ h @ m @ h) / (n - 1) ** 2
    k, m, one = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), np.ones(n)
    middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + middle - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))


@given(
    n=st.integers(4, 15),
    p=st.integers(1, 20),
    q=st.integers(1, 20),
    kernel=st.sampled_from(["linear", "rbf"]),
    unbiased=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_the_definition(n, p, q, kernel, unbiased, seed):
    x, y = pair(n, p, q, seed)
    k, m = (naive_kernel(t.numpy(), kernel) for t in (x, y))
    cross, own, other = (naive_hsic(a, b, unbiased) for a, b in ((k, m), (k, k), (m, m)))
    expected = cross / np.sqrt(own * other)
    assert cka(x, y, kernel=kernel, unbiased=unbiased).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("unbiased", [False, True])
def test_invariances_and_gradients(kernel, unbiased):
    x, y = pair()
    options = {"kernel": kernel, "unbiased": unbiased}
    rotation = torch.linalg.qr(
        torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ).Q
    turned = 3.0 * x @ rotation + 100.0
    torch.testing.assert_close(cka(turned, y, **options), cka(x, y, **options))
    torch.testing.assert_close(cka(x, turned, **options), torch.ones((), dtype=torch.float64))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(cka(x[order], y[order], **options), cka(x, y, **options))
    x.requires_grad_()
    y.requires_grad_()
    if kernel == "linear":
        assert torch.autograd.gradcheck(lambda x, y: cka(x, y, **options), (x, y))
        assert torch.autograd.gradgradcheck(lambda x, y: cka(x, y, **options), (x, y))
    assert CKALoss(**options)(x, y).item() == cka_loss(x, y, **options).item()


def test_independent_representations_are_unalike_without_bias():
    generator = torch.Generator().manual_seed(3)
    values = []
    for _ in range(50):
        x, y = torch.randn(20, 100, generator=generator), torch.randn(20, 100, generator=generator)
        values.append((cka(x, y).item(), cka(x, y, unbiased=True).item()))
    biased, unbiased = np.mean(values, axis=0)
    assert biased > 0.7  # what the unbiased estimate is for
    assert abs(unbiased) < 0.03


def test_minibatches_approach_the_whole():
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2000, 8, generator=generator, dtype=torch.float64)
    y = x[:, :4] + torch.randn(2000, 4, generator=generator, dtype=torch.float64)
    running = MinibatchCKA()
    for k in range(0, 2000, 100):
        running.update(x[k : k + 100], y[k : k + 100])
    assert running.compute().item() == pytest.approx(cka(x, y, unbiased=True).item(), abs=0.02)
    one = MinibatchCKA("rbf")
    one.update(x[:50], y[:50])
    torch.testing.assert_close(one.compute(), cka(x[:50], y[:50], kernel="rbf", unbiased=True))
    with pytest.raises(InputError, match="update was never called"):
        MinibatchCKA().compute()


def test_large_and_tiny_features_neither_overflow_nor_vanish():
    x, y = (t.float() for t in pair())
    for scale in (1e-7, 1e7):
        torch.testing.assert_close(cka(scale * x, scale * y), cka(x, y), rtol=1e-4, atol=0.0)


def test_a_constant_representation_has_similarity_zero():
    x = torch.ones(6, 3, requires_grad=True)
    value = cka(x, torch.arange(12.0).view(6, 2))
    value.backward()
    assert value.item() == 0.0
    assert torch.isfinite(x.grad).all()


def test_unusable_input_is_named():
    x = torch.zeros(5, 2)
    with pytest.raises(InputError, match="cka: y has 4 samples; expected 5"):
        cka(x, x[:4])
    with pytest.raises(InputError, match=r"x has shape \(3, 2\); expected \(n, …\) with n of at least 4"):
        cka(x[:3], x[:3], unbiased=True)
    with pytest.raises(InputError, match="kernel is 'cubic'"):
        CKALoss(kernel="cubic")
    for unusable in (lambda: CKALoss(bandwidth=0.0), lambda: cka(x, x, kernel="rbf", bandwidth=0.0)):
        with pytest.raises(InputError, match=r"bandwidth is 0\.0"):
            unusable()
    with pytest.raises(InputError, match=r"y\[0\] has NaN"):
        cka(x, torch.full((5, 2), torch.nan))
    with pytest.raises(InputError, match=r"y\[0\] has an infinite value"):
        cka(x, torch.full((5, 2), torch.inf))
    features = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"MinibatchCKA\.update: x or y overflows float64"):
        MinibatchCKA().update(1e200 * features, features)


def tokens(seed=0, n=9, d=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, n, d, generator=generator, dtype=torch.float64)


MASK = torch.tensor([[1] * 9, [1, 0, 1, 1, 0, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0, 0, 0, 0]])


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("width", [2, 20])
def test_tokens_are_aligned_sample_by_sample(kernel, unbiased, width):
    x, y = tokens(), tokens(1, d=width)
    options = {"kernel": kernel, "unbiased": unbiased}
    whole = [cka(a, b, **options) for a, b in zip(x, y, strict=True)]
    torch.testing.assert_close(cka(x, y, tokens=True, **options), torch.stack(whole).mean())
    real = MASK.bool()
    some = [cka(a[m], b[m], **options) for a, b, m in zip(x, y, real, strict=True)]
    spoiled = [t.masked_fill(~real[..., None], torch.nan).requires_grad_() for t in (x, y)]
    value = cka(*spoiled, tokens=True, mask=MASK, **options)
    torch.testing.assert_close(value, torch.stack(some).mean())
    value.backward()
    for t in spoiled:
        assert (t.grad[~real] == 0).all()
        assert torch.isfinite(t.grad).all()
        assert float(t.grad.abs().sum()) > 0
    loss = CKALoss(tokens=True, **options)
    torch.testing.assert_close(loss(x, y, MASK), 1 - value.detach())


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("unbiased", [False, True])
def test_gradients_of_tokens(kernel, unbiased):
    x, y = tokens().requires_grad_(), tokens(1)
    options = {"kernel": kernel, "unbiased": unbiased, "tokens": True, "mask": MASK}
    if kernel == "rbf":  # the bandwidth takes no part
        options["bandwidth"] = 1.0
        (value,) = torch.autograd.grad(cka(x, y, **options), x)
        assert torch.isfinite(value).all()
    else:
        assert torch.autograd.gradcheck(lambda t: cka(t, y, **options), x)


def test_what_three_axes_stand_for_has_to_be_said():
    x, y = tokens(), tokens(1)
    with pytest.raises(InputError, match=r"cka: x has shape \(3, 9, 4\); expected tokens=True"):
        cka(x, y)
    torch.testing.assert_close(cka(x, y, tokens=False), cka(x.flatten(1), y.flatten(1)))
    with pytest.raises(InputError, match="mask is given; expected it with tokens=True alone"):
        cka(x, y, tokens=False, mask=MASK)
    with pytest.raises(InputError, match=r"mask has shape \(3, 8\); expected \(3, 9\), as x"):
        cka(x, y, tokens=True, mask=MASK[:, :8])
    with pytest.raises(InputError, match="mask has floats other than 0 and 1; expected nonzero where tokens"):
        cka(x, y, tokens=True, mask=0.5 * torch.ones(3, 9))
    with pytest.raises(InputError, match=r"mask\[2\] has 1 tokens; expected at least 2"):
        cka(x, y, tokens=True, mask=torch.tensor([[1] * 9, [1] * 9, [1] + [0] * 8]))
    with pytest.raises(InputError, match=r"y has shape .*expected .*tokens of x"):
        cka(x, y[:, :5], tokens=True)
    with pytest.raises(InputError, match="finite"):
        cka(x, torch.full_like(y, torch.nan), tokens=True)
