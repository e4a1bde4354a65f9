import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
        (
            lambda: rtd(torch.full((4, 2), torch.nan), torch.randn(4, 2), non_finite="raise"),
            r"a\[0\] has NaN at \(0, 0\)",
        ),
        (
            lambda: rtd(torch.full((4, 2), torch.inf), torch.randn(4, 2), non_finite="raise"),
            "infinite",
        ),
        (lambda: rtd(torch.tensor([[3e38], [-3e38]]), torch.randn(2, 2)), "distances that overflow"),
        (lambda: rtd(torch.rand(3, 3), torch.zeros(3, 3), metric="precomputed"), "expected symmetric"),
        (lambda: rtd(-torch.ones(3, 3), torch.zeros(3, 3), metric="precomputed"), "at least 0"),
        (lambda: rtd(torch.ones(3, 3), torch.zeros(3, 3), metric="precomputed"), "a zero diagonal"),
        (lambda: rtd(torch.randn(4, 2), torch.randn(4, 2), variant="mean"), "variant is 'mean'"),
        (lambda: rtd(torch.randn(4, 2), torch.randn(4, 2), quantile=2.0), "quantile is 2"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError, match=message):
        call()


def nearly_distances(dtype):
    x = torch.randn(60, 64, generator=torch.Generator().manual_seed(0), dtype=dtype)
    similar = torch.cat([x, x[:3] * 2])  # three pairs of parallel vectors
    u = torch.nn.functional.normalize(similar, dim=1)
    return [
        torch.cdist(x, x),
        1 - torch.cosine_similarity(similar[:, None], similar[None], dim=2),
        1 - u @ u.T,
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("which", range(3))
def test_distances_that_rounding_left_inexact_are_distances(dtype, which):
    inexact = nearly_distances(dtype)[which].requires_grad_()
    exact = inexact.detach().triu(1).clamp(min=0)
    exact = (exact + exact.T).requires_grad_()
    other = torch.cdist(*[clouds(len(exact), 2).to(dtype)] * 2, compute_mode="donot_use_mm_for_euclid_dist")
    found, expected = (rtd(matrix, other, metric="precomputed") for matrix in (inexact, exact))
    torch.testing.assert_close(found, expected)
    assert rtd(inexact, inexact, metric="precomputed").detach().item() == pytest.approx(0, abs=1e-6)
    for matrix, value in ((inexact, found), (exact, expected)):
        value.backward()
        assert matrix.grad.isfinite().all()
    torch.testing.assert_close(inexact.grad + inexact.grad.T, exact.grad + exact.grad.T, rtol=1e-3, atol=1e-6)
    bars, as_exact = (topodl.rips_persistence(m[None], metric="precomputed") for m in (inexact, exact))
    torch.testing.assert_close(bars.births, as_exact.births)
    torch.testing.assert_close(bars.deaths, as_exact.deaths)
    assert (bars.births >= 0).all()
    topodl.losses.topological_autoencoder_loss(inexact, clouds(len(exact), 2).to(dtype), metric="precomputed")


def test_two_points_that_rounding_put_below_zero():
    d = topodl.rips_persistence(torch.tensor([[[0.0, -1e-8], [-1e-8, 0.0]]]), metric="precomputed")
    assert (d.births.tolist(), d.deaths.tolist()) == ([0.0], [torch.inf])


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_what_is_no_rounding_is_refused_in_any_unit(unit):
    distances = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 1.5], [2.0, 1.5, 0.0]]) * unit
    crooked = distances.clone()
    crooked[0, 1] *= 1.01
    with pytest.raises(InputError, match=r"at \(0, 1\) and .* expected symmetric"):
        rtd(crooked, distances, metric="precomputed")
    with pytest.raises(InputError, match=r"x\[0\] has .* at \(0, 1\)"):
        topodl.rips_persistence(crooked[None], metric="precomputed")
    if unit >= 1:
        with pytest.raises(InputError, match="at least 0"):
            rtd(-distances, distances, metric="precomputed")
        with pytest.raises(InputError, match="a zero diagonal"):
            rtd(distances + 0.1 * unit * torch.eye(3), distances, metric="precomputed")


@given(st.integers(-120, 122), st.integers(0, 10**6), st.sampled_from(["min", "max"]))
def test_divergence_scales_with_the_unit_of_the_points(exponent, seed, variant):
    g = torch.Generator().manual_seed(seed)
    a, b = (torch.rand(8, 3, generator=g) for _ in range(2))
    value, factor = rtd(a, b, variant=variant), 2.0**exponent
    torch.testing.assert_close(
        rtd(factor * a, factor * b, variant=variant), factor * value, rtol=1e-5, atol=0
    )


def test_distances_that_are_read_as_points_are_hinted_at():
    points = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    matrix = torch.cdist(points, points)
    with pytest.warns(UserWarning, match=r"a\[0\] .* 30 points in 30 dimensions; metric='precomputed'"):
        rtd(matrix, points)
    rtd(matrix, matrix, metric="precomputed")  # warnings are errors in tests
