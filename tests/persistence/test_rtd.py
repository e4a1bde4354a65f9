import gudhi
import numpy as np
import pytest
import torch

import topodl
from topodl import rtd
from topodl.errors import InputError


def reference(a: np.ndarray, b: np.ndarray, variant: str) -> list[float]:
    """Return the bars of dimension 1 of the doubled graph, by GUDHI."""
    mixed = a if variant == "min" else np.maximum(a, b)
    last = np.minimum(a, b) if variant == "min" else b
    matrix = np.block([[np.zeros_like(a), mixed], [mixed.T, last]])
    tree = gudhi.RipsComplex(distance_matrix=np.tril(matrix)).create_simplex_tree(2)
    tree.compute_persistence()
    return [d - b for b, d in tree.persistence_intervals_in_dimension(1) if d > b]


def clouds(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("variant", ["min", "max"])
def test_equals_gudhi(variant):
    x, y = clouds(3, 9, 3), clouds(3, 9, 2, seed=1)
    found = rtd(x, y, variant=variant, symmetric=False)
    means = rtd(x, y, variant=variant, symmetric=False, reduction="mean")
    for k in range(3):
        a, b = torch.cdist(x[k], x[k]).numpy(), torch.cdist(y[k], y[k]).numpy()
        bars = reference(a, b, variant)
        assert found[k].item() == pytest.approx(sum(bars), abs=1e-9)
        assert means[k].item() == pytest.approx(np.mean(bars) if bars else 0.0, abs=1e-9)


@pytest.mark.parametrize("variant", ["min", "max"])
@pytest.mark.parametrize("n", [1, 2, 8])
def test_equal_inputs_have_none(variant, n):
    x = clouds(2, n, 3).requires_grad_()
    value = rtd(x, x, variant=variant)
    assert (value == 0).all()
    value.sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "options", [{}, {"variant": "max"}, {"reduction": "mean"}, {"quantile": 0.9}, {"symmetric": False}]
)
def test_gradients(options):
    x, y = clouds(8, 3).requires_grad_(), clouds(8, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: rtd(a, b, **options), (x, y))


def test_symmetric_value_is_the_average_and_scale_free_with_a_quantile():
    x, y = clouds(10, 3), clouds(10, 2, seed=1)
    one, other = rtd(x, y, symmetric=False), rtd(y, x, symmetric=False)
    torch.testing.assert_close(rtd(x, y), (one + other) / 2)
    torch.testing.assert_close(rtd(5 * x, y, quantile=0.9), rtd(x, y, quantile=0.9))
    matrix = torch.cdist(x, x), torch.cdist(y, y)
    torch.testing.assert_close(rtd(*matrix, metric="precomputed"), rtd(x, y))


def test_gradient_by_torch_func():
    x, y = clouds(8, 3), clouds(8, 2, seed=1)
    expected = torch.autograd.functional.jacobian(lambda a: rtd(a, y), x)
    torch.testing.assert_close(torch.func.grad(lambda a: rtd(a, y))(x), expected)


def test_an_empty_batch_is_a_value():
    assert rtd(clouds(0, 4, 2), clouds(0, 4, 3), quantile=0.9).shape == (0,)


def test_threads_and_batches_change_nothing():
    x, y = clouds(7, 12, 3), clouds(7, 12, 2, seed=1)
    together = rtd(x, y)
    before = topodl.get_num_threads()
    try:
        for threads in (1, 8):
            topodl.set_num_threads(threads)
            assert torch.equal(rtd(x, y), together)
    finally:
        topodl.set_num_threads(before)
    torch.testing.assert_close(torch.stack([rtd(a, b) for a, b in zip(x, y, strict=True)]), together)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rtd(torch.randn(4, 2), torch.randn(5, 2)), r"as many as a, \(1, 4\)"),
        (lambda: rtd(torch.randn(4), torch.randn(4)), "a has shape"),
        (lambda: rtd(torch.ones(4, 2, dtype=torch.int64), torch.randn(4, 2)), "has dtype torch.int64"),
        (lambda: rtd(torch.full((4, 2), torch.nan), torch.randn(4, 2)), r"a\[0\] has NaN at \(0, 0\)"),
        (lambda: rtd(torch.full((4, 2), torch.inf), torch.randn(4, 2)), "infinite"),
        (lambda: rtd(1e30 * torch.randn(4, 2), torch.randn(4, 2)), "distances that overflow"),
        (lambda: rtd(torch.rand(3, 3), torch.zeros(3, 3), metric="precomputed"), "mirror image"),
        (lambda: rtd(-torch.ones(3, 3), torch.zeros(3, 3), metric="precomputed"), "negative"),
        (lambda: rtd(torch.ones(3, 3), torch.zeros(3, 3), metric="precomputed"), "a zero diagonal"),
        (lambda: rtd(torch.randn(4, 2), torch.randn(4, 2), variant="mean"), "variant is 'mean'"),
        (lambda: rtd(torch.randn(4, 2), torch.randn(4, 2), quantile=2.0), "quantile is 2"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError, match=message):
        call()
