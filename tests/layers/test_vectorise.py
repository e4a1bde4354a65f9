"""Values against GUDHI's representations and persim, by definition, and gradients."""

import gudhi.representations as gr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from persim import PersistenceImager
from sklearn.base import clone

from tests.strategies import diagrams, make_diagrams
from topodl import Diagrams, InputError
from topodl.kernels.vectors.landscape import highest_tents
from topodl.layers import (
    Atol,
    BettiCurve,
    EulerCurve,
    PersistenceEntropy,
    PersistenceImage,
    PersistenceLandscape,
    PersistenceStatistics,
    PersLay,
    Silhouette,
)

RANGE = [0.1, 1.7]


@pytest.fixture(scope="module")
def finite():
    return make_diagrams(0, [[30, 0], [2, 0], [200, 0], [7, 0]], essential=0.0).dim(0)


PEERS = [
    (
        PersistenceImage((6, 9), (0, 1), (0, 1.5), 0.1),
        gr.PersistenceImage(0.1, lambda p: p[1], [6, 9], [0, 1, 0, 1.5]),
    ),
    (
        PersistenceImage(8, (0, 1), (0, 1.5), 0.2, power=0.0),
        gr.PersistenceImage(0.2, resolution=[8, 8], im_range=[0, 1, 0, 1.5]),
    ),
    (PersistenceLandscape(3, 50, RANGE), gr.Landscape(3, 50, RANGE)),
    (PersistenceLandscape(3, 50), gr.Landscape(3, 50)),
    (Silhouette(50, RANGE, power=0.0), gr.Silhouette(resolution=50, sample_range=RANGE)),
    (Silhouette(50, power=2.0), gr.Silhouette(lambda p: (p[1] - p[0]) ** 2, 50)),
    (BettiCurve(50, RANGE), gr.BettiCurve(50, RANGE)),
    (BettiCurve(50), gr.BettiCurve(50)),
    (PersistenceEntropy(), gr.Entropy()),
    (PersistenceEntropy("vector", True, 50, RANGE), gr.Entropy("vector", True, 50, RANGE)),
    (PersistenceEntropy("vector", False, 50, RANGE), gr.Entropy("vector", False, 50, RANGE)),
]


@pytest.mark.parametrize(("layer", "peer"), PEERS, ids=lambda x: type(x).__name__)
def test_agreement_with_gudhi(finite, layer, peer):
    expected = peer.fit_transform(finite.to_gudhi(0))
    np.testing.assert_allclose(layer.fit_transform(finite), expected, atol=1e-9)
    low = layer.fit(finite.to(torch.float32)).transform(finite.to(torch.float32))
    np.testing.assert_allclose(low, expected, atol=2e-4 * max(1.0, np.abs(expected).max()))


def test_agreement_with_persim(finite):
    imager = PersistenceImager(
        (0, 1), (0, 1.5), 0.25, weight="persistence", kernel_params={"sigma": [[0.01, 0.0], [0.0, 0.01]]}
    )
    expected = np.stack(imager.transform(finite.to_gudhi(0)))
    layer = PersistenceImage((4, 6), (0, 1), (0, 1.5), bandwidth=0.1, pixels="integral")
    images = layer(finite)[:, 0].numpy()
    np.testing.assert_allclose(images.transpose(0, 2, 1), expected, atol=1e-9)


def tents_one_by_one(births, deaths, t):
    return sorted((max(0.0, min(t - b, d - t)) for b, d in zip(births, deaths, strict=True)), reverse=True)


@given(diagrams())
@settings(max_examples=20)
def test_landscapes_by_definition(d):
    layer = PersistenceLandscape(3, 7, (-1.5, 1.5), scale=1.0, dims=0)
    out = layer(d) if len(d) else np.empty((0, 1, 3, 7))
    for i, one in enumerate(d):
        bars = one.dim(0).finite()
        low = torch.minimum(bars.births, bars.deaths).tolist()
        high = torch.maximum(bars.births, bars.deaths).tolist()
        for j, t in enumerate(torch.linspace(-1.5, 1.5, 7, dtype=torch.float64).tolist()):
            expected = (tents_one_by_one(low, high, t) + [0.0] * 3)[:3]
            np.testing.assert_allclose(out[i, 0, :, j], expected, atol=1e-12)


@given(diagrams())
@settings(max_examples=20)
def test_euler_curve_is_the_alternating_sum_of_betti_curves(d):
    if len(d) == 0:
        return
    betti = BettiCurve(9, (-2, 2))(d)
    torch.testing.assert_close(EulerCurve(9, (-2, 2))(d), betti[:, 0] - betti[:, 1])
    smooth = BettiCurve(9, (-2, 2), width=0.1, essential="drop")(d)
    torch.testing.assert_close(EulerCurve(9, (-2, 2), width=0.1)(d.finite()), smooth[:, 0] - smooth[:, 1])


def test_betti_curve_counts_closed_births_and_open_deaths():
    d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [1.0, torch.inf]]]))
    assert BettiCurve(3, (0, 2))(d).tolist() == [[[1.0, 1.0, 1.0]]]
    mirror = d._with(births=-d.births, deaths=-d.deaths)
    assert BettiCurve(3, (-2, 0))(mirror).tolist() == [[[1.0, 1.0, 1.0]]]
    assert BettiCurve(3, (0, 2), essential="drop")(d).tolist() == [[[1.0, 0.0, 0.0]]]


def test_smooth_betti_curve_becomes_the_exact_one():
    d = make_diagrams(1, [[20, 10]])
    exact, smooth = BettiCurve(6, (0.03, 1.9))(d), BettiCurve(6, (0.03, 1.9), width=1e-6)(d)
    torch.testing.assert_close(smooth, exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize("interpolation", ["linear", "midpoint"])
def test_statistics_by_numpy(interpolation):
    d = make_diagrams(5, [[9, 0], [1, 4]], essential=0.0)
    layer = PersistenceStatistics(interpolation=interpolation).fit(d)
    table = layer(d)
    names = [n.split("_", 2)[2] for n in layer.get_feature_names_out()[:46]]
    births, deaths = (x.numpy() for x in (d[0].dim(0).births, d[0].dim(0).deaths))
    columns = {"birth": births, "death": deaths, "midpoint": (births + deaths) / 2, "length": deaths - births}
    functions = {
        "mean": np.mean, "std": np.std, "min": np.min, "max": np.max, "sum": np.sum, "median": np.median,
        "iqr": lambda v: np.subtract(*np.quantile(v, [0.75, 0.25], method=interpolation)),
        **{f"q{q}": (lambda v, q=q: np.quantile(v, q / 100, method=interpolation)) for q in (10, 25, 75, 90)},
    }  # fmt: skip
    for quantity, values in columns.items():
        for name, function in functions.items():
            np.testing.assert_allclose(table[0, 0, names.index(f"{quantity}_{name}")], function(values))
    assert table[:, :, names.index("count")].tolist() == [[9.0, 0.0], [1.0, 4.0]]
    assert (table[0, 1] == 0).all()


def test_an_unknown_interpolation_is_named():
    with pytest.raises(InputError, match="interpolation is 'lower'; expected one of 'linear', 'midpoint'"):
        PersistenceStatistics(interpolation="lower").fit(make_diagrams(5, [[9, 0]]))


SMOOTH = [
    BettiCurve(5, (0, 2), width=0.3),
    PersistenceImage(4, (0, 1), (0, 1), 0.3),
    PersistenceImage(4, (0, 1), (0, 1), 0.3, pixels="integral", power=0.5),
    PersistenceLandscape(2, 5, (0.03, 1.9)),
    Silhouette(5, (0.03, 1.9), power=1.5),
    PersistenceEntropy(),
    PersistenceEntropy("vector", resolution=5, value_range=(0.03, 1.9)),
    PersistenceStatistics(),
    PersLay("gaussian", 3),
    PersLay("triangle", 3, "gaussian_mixture", "mean"),
    PersLay("line", 3, "constant", "max"),
    PersLay("rational_hat", 3, "grid", "top_k", k=2),
]


@pytest.mark.parametrize("layer", SMOOTH, ids=repr)
def test_gradients(layer):
    d = make_diagrams(7, [[4, 2], [0, 3], [1, 0]], essential=0.0)
    layer = layer.double()

    def features(births, deaths):
        return layer(d._with(births=births, deaths=deaths))

    ends = [d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_()]
    assert torch.autograd.gradcheck(features, ends)
    if not isinstance(layer, PersistenceStatistics):
        assert torch.autograd.gradgradcheck(features, ends, atol=1e-4)


def test_bars_without_length_have_a_finite_gradient():
    births = torch.tensor([0.5, 0.5, 0.2], requires_grad=True)
    zeros = torch.zeros(3, dtype=torch.int64)
    d = Diagrams(births, torch.tensor([0.5, 0.5, 0.9]), zeros, zeros, n_samples=1, homology_dims=(0,))
    for layer in SMOOTH:
        if isinstance(layer, PersLay):
            layer = PersLay(**layer.get_params() | {"dims": 0})
        out = layer.float()(d)
        (grad,) = torch.autograd.grad(out.sum(), births, allow_unused=True)
        assert torch.isfinite(out).all()
        assert grad is None or torch.isfinite(grad).all()


@pytest.mark.parametrize("size", [1e12, 1e37, 1e200, 1e305])
@pytest.mark.parametrize(
    "layer",
    [
        *(PersistenceImage(5, (0, 1), (0, 1), power=power) for power in (0.0, 1.0, 2.0)),
        PersistenceImage(5, (0, 1), (0, 1), pixels="integral"),
        PersLay("gaussian", 3, dims=0),
        PersLay("gaussian", 3, "gaussian_mixture", dims=0),
        Atol(contrast="gaussian", centres=[[0.0, 0.5], [0.2, 0.9]]),
        Atol(contrast="laplacian", centres=[[0.0, 0.5], [0.2, 0.9]]),
    ],
    ids=repr,
)
def test_bars_far_from_all_gaussians_count_nothing(layer, size):
    near = [[0.1, 0.5], [0.2, 0.9]]
    far = [[size / 2, size], [0.3, size], [-size, 0.4], [-size, size]]
    dtype = torch.float64 if size > 1e38 else torch.float32
    results = []
    for bars in (near, near + far):
        ends = torch.tensor([bars], dtype=dtype, requires_grad=True)
        out = layer.to(dtype)(Diagrams.from_padded(ends))
        leaves = [ends, *(p for name, p in layer.named_parameters() if name in ("sigma", "spread"))]
        ends_grad, *grads = torch.autograd.grad(out.sum(), leaves)
        assert (ends_grad[0, 2:].abs() < 1e-5).all()
        results.append([out, ends_grad[:, :2], *grads])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("start", [0.0, 1e4])
def test_gradients_of_an_image_do_not_depend_on_where_its_range_begins(start):
    bars = torch.tensor([[[0.25, 0.75], [0.5, 0.625]]])  # with `start` exact in float32
    ends = (bars + start).requires_grad_()
    layer = PersistenceImage(5, (start, start + 1), (0, 1))
    (grad,) = torch.autograd.grad(layer(Diagrams.from_padded(ends))[0, 0, 2, 1], ends)
    exact = bars.double().requires_grad_()
    image = PersistenceImage(5, (0, 1), (0, 1))(Diagrams.from_padded(exact))
    (expected,) = torch.autograd.grad(image[0, 0, 2, 1], exact)
    torch.testing.assert_close(grad, expected.float(), rtol=1e-5, atol=1e-5)


def test_perslay_contains_landscapes_and_images():
    d = make_diagrams(7, [[9, 2], [3, 3]], essential=0.0)
    tents = PersLay("triangle", 5, "constant", "top_k", k=2).double()
    grid = torch.linspace(0, 2, 5, dtype=torch.float64)
    tents.ticks.data[:] = grid
    landscape = PersistenceLandscape(2, 5, (0, 2), scale=1.0)(d)
    torch.testing.assert_close(tents(d).view(2, 2, 5, 2).transpose(2, 3).detach(), landscape)
    bumps = PersLay("gaussian", 9, "power", "sum").double()
    centres = torch.cartesian_prod(torch.linspace(0, 1, 3), torch.linspace(0, 1, 3)).double().flip(1)
    bumps.centres.data[:] = centres
    bumps.sigma.data[:] = 0.2
    image = PersistenceImage(3, (0, 1), (0, 1), 0.2)(d) * (2 * np.pi * 0.2**2)
    torch.testing.assert_close(bumps(d).view(2, 2, 3, 3).detach(), image)


def test_perslay_learns_its_parameters():
    d = make_diagrams(7, [[9, 2], [3, 3]])
    for transform in ("triangle", "gaussian", "line", "rational_hat"):
        layer = PersLay(transform, 3).double()
        layer(d).square().sum().backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())
        assert any(p.grad.abs().sum() > 0 for p in layer.parameters())


def test_kept_essential_bars_rise_in_landscapes():
    d = Diagrams.from_padded(torch.tensor([[[0.0, torch.inf]]]))
    out = PersistenceLandscape(1, 3, (0, 2), scale=1.0, essential="keep")(d)
    assert out.flatten().tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(InputError, match="essential is 'keep'; expected one of 'drop', 'clamp'"):
        Silhouette(3, (0, 2), essential="keep")(d)


def test_the_kernel_without_the_compiler():
    low, high, grid = np.array([0.0, 1.0]), np.array([4.0, 3.0]), np.linspace(0, 4, 5)
    chosen = highest_tents.py_func(low, high, grid, np.array([0, 2]), 3)
    assert chosen[0].tolist() == [[2, 0, 0, 0, 2], [2, 2, 1, 2, 2], [2, 2, 2, 2, 2]]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (BettiCurve(0, (0, 1)), "resolution is 0"),
        (BettiCurve(3, (1, 0)), r"value_range is \(1, 0\); expected \(low, high\)"),
        (BettiCurve(3, ((0, 1),) * 3), "value_range"),
        (BettiCurve(3, (0, 1), width=-1.0), "width is -1.0"),
        (PersistenceLandscape(0, 3, (0, 1)), "n_layers is 0"),
        (PersistenceImage((3, 3, 3), (0, 1), (0, 1)), "resolution"),
        (PersistenceImage(3, (0, 1), (0, 1), pixels="other"), "pixels is 'other'"),
        (PersistenceImage(3, (0, 1), (0, 1), bandwidth=0.0), "bandwidth is 0.0"),
        (Silhouette(3, (0, 1), power=-1.0), "power is -1.0"),
        (Silhouette(3, (0, 1), scale=np.nan), "scale is nan"),
        (PersistenceLandscape(1, 3, (0, 1), scale=np.inf), "scale is inf"),
        (PersistenceEntropy("other"), "mode is 'other'"),
    ],
)  # fmt: skip
def test_bad_settings_are_named_when_they_are_used(layer, message):
    with pytest.raises(InputError, match=message):
        layer(make_diagrams(0, [[2, 2]]))


def test_perslay_needs_a_range():
    for value_range in ((1, 1), (1, 0), (0, np.nan), 3):
        with pytest.raises(InputError, match="value_range is"):
            PersLay(value_range=value_range)


@pytest.mark.parametrize("normalize", [False, True])
def test_entropy_of_one_bar_of_no_length_and_of_none(normalize):
    rows = [[[0.3, 0.3]], [[0.1, 0.8]], [[0.0, 0.5], [0.2, 0.2], [1.0, 1.5]], []]
    d = Diagrams.from_gudhi([np.array(row, dtype=float).reshape(-1, 2) for row in rows])
    d.deaths.requires_grad_()
    entropy = PersistenceEntropy(normalize=normalize)(d)[:, 0]
    expected = [0.0, 0.0, 1.0 if normalize else np.log(2), 0.0]
    np.testing.assert_allclose(entropy.detach(), expected, atol=1e-15)
    (gradient,) = torch.autograd.grad(entropy.sum(), d.deaths)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_entropy_has_a_second_derivative():
    births = torch.rand(6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = torch.tensor([0, 0, 0, 2, 2, 2])

    def entropy(lengths):
        d = Diagrams(
            births,
            births + lengths,
            torch.zeros(6, dtype=torch.int64),
            samples,
            n_samples=3,
            homology_dims=[0],
        )
        return PersistenceEntropy()(d)

    lengths = torch.linspace(0.2, 0.9, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(entropy, lengths)
    assert torch.autograd.gradgradcheck(entropy, lengths)


FREE_OF_UNITS = [
    (PersistenceLandscape(2, 9), 1),
    (PersistenceLandscape(2, 9, essential="clamp"), 1),
    (Silhouette(9), 1),
    (Silhouette(9, power=2.0), 1),
    (Silhouette(9, power=0.0), 1),
    (BettiCurve(9), 0),
    (PersistenceEntropy(), 0),
    (PersistenceEntropy(normalize=True), 0),
    (PersistenceEntropy("vector", resolution=9), 0),
    (PersistenceEntropy("vector", True, resolution=9), 0),
    (PersistenceImage(4), -1),
    (PersistenceImage(4, power=2.0), 0),
    (PersistenceImage(4, pixels="integral"), 1),
    (EulerCurve(9), 0),
]


@pytest.mark.parametrize(("layer", "degree"), FREE_OF_UNITS, ids=lambda x: repr(x).replace("\n", ""))
@given(diagrams(), st.integers(-98, 98), st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=30, deadline=None)
def test_features_scale_with_the_unit_of_the_data(layer, degree, d, exponent, dtype):
    d, unit = d.to(dtype), 2.0**exponent
    moved = d._with(births=d.births * unit, deaths=d.deaths * unit)
    expected = clone(layer).fit_transform(d)
    features = clone(layer).fit_transform(moved) if d.n_bars else expected
    assert np.isfinite(features).all()
    np.testing.assert_allclose(
        features.astype(np.float64) / unit**degree,
        expected,
        rtol=1e-4,
        atol=1e-5 * (1 + np.abs(expected).max(initial=0)),
    )


@given(diagrams(), st.integers(-98, 98))
@settings(max_examples=30, deadline=None)
def test_statistics_scale_with_the_unit_of_the_data(d, exponent):
    d, unit = d.to(torch.float32), 2.0**exponent
    moved = d._with(births=d.births * unit, deaths=d.deaths * unit)
    layer = PersistenceStatistics().fit(d)
    expected, features = layer.transform(d), layer.transform(moved).astype(np.float64)
    names = layer.get_feature_names_out()
    counted = np.array([name.endswith(("count", "entropy")) for name in names])
    np.testing.assert_allclose(features / np.where(counted, 1.0, unit), expected, rtol=1e-4, atol=1e-5)


HALVES = [layer for layer, _ in FREE_OF_UNITS] + [PersistenceStatistics(), PersLay(n_features=4)]


@pytest.mark.parametrize("layer", HALVES, ids=lambda x: repr(x).replace("\n", ""))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_up_in_float32(layer, dtype):
    d = make_diagrams(0, [[700, 900], [3, 0]], essential=0.0, dtype=torch.float32).to(dtype)
    layer = clone(layer).fit(d.to(torch.float32))
    expected, found = (
        layer(d.to(torch.float32)).detach(),
        (layer.to(dtype) if isinstance(layer, PersLay) else layer)(d).detach(),
    )
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def test_total_persistence_of_half_precision_counts_on():
    for dtype in (torch.float16, torch.bfloat16):
        d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0]] * 300]).to(dtype))
        assert d.total_persistence().item() == 300
        assert d.total_persistence(order=0).item() == 300
        assert d.total_persistence().dtype == dtype


@pytest.mark.parametrize("given_range", [None, (0.0, 0.0)])
def test_an_integral_over_a_range_without_width_is_the_mass(given_range):
    d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [0.0, 3.0]], [[0.0, 2.0], [0.0, 2.5]]]))
    layer = PersistenceImage(6, given_range, pixels="integral", power=0.0)
    images = layer.fit_transform(d).reshape(2, 6, 6)
    assert (images.sum(axis=(1, 2)) > 0.9).all()
    np.testing.assert_allclose(images.sum(1), images.sum(1)[:, ::-1], rtol=1e-5)
    saturated = Diagrams.from_padded(torch.tensor([[[0.0, 1.0]] * 3]))
    np.testing.assert_allclose(layer.fit_transform(saturated).sum(), 3.0, rtol=0.01)


def test_a_vector_of_entropy_is_zero_where_no_bar_lives():
    d = Diagrams.from_padded(torch.tensor([[[0.0, 0.1], [0.05, 0.3], [0.2, 0.7]]]))
    layer = PersistenceEntropy("vector", True, 5, value_range=(2.0, 3.0))
    assert layer(d).tolist() == [[[0.0] * 5]]


def test_a_feature_out_of_reach_says_which_values_are():
    d = Diagrams.from_padded(torch.tensor([[[-1.5e38, 1.5e38], [0.0, 1e38], [-1.5e38, 1.5e38]]]))
    with pytest.raises(InputError, match=r"d has values up to 1\.5e\+38, .* too large"):
        PersistenceStatistics()(d)
    with pytest.raises(InputError, match=r"bandwidth is .*, whose power 2 is beyond torch\.float32"):
        PersistenceImage(4, (0, 1e30), (0, 1e30), power=4.0)(d)
