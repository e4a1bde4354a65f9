"""Amplitudes against the distances to an empty diagram, giotto-tda's values, and gradients."""

import math

import numpy as np
import pytest
import torch

from tests.strategies import make_diagrams
from topodl import Diagrams, InputError
from topodl.distances import distance_matrix
from topodl.layers import Amplitude, BettiCurve, PersistenceImage, PersistenceLandscape

METRICS = [
    Amplitude(),
    Amplitude("wasserstein", {"order": 1, "ground_norm": math.inf}),
    Amplitude("wasserstein", {"order": 3, "ground_norm": 1}),
    Amplitude("bottleneck"),
    Amplitude("heat", {"bandwidth": 0.4}),
]


@pytest.mark.parametrize("layer", METRICS, ids=repr)
def test_amplitudes_are_distances_to_an_empty_diagram(layer):
    d = make_diagrams(0, [[5, 3], [0, 0], [1, 6], [20, 0]], essential=0.0)
    nothing = make_diagrams(0, [[0, 0]])
    expected = distance_matrix(d, nothing, layer.metric, **(layer.metric_params or {}))
    torch.testing.assert_close(layer(d)[..., 0], expected[..., 0].T)


# Printed by giotto-tda 0.6.2 for `Amplitude(metric, metric_params=…, order=None)` on these diagrams.
BARS = [
    [[[0.0, 2.0], [1.0, 1.5]], [[0.0, 1.0], [0.5, 2.0]]],
    [[[0.0, 1.0], [0.3, 0.9]], [[0.0, 0.7]]],
]
GRID = {"resolution": 50, "value_range": (0.0, 2.0)}
GIOTTO = [
    ("wasserstein", {"ground_norm": math.inf}, [[1.0307764064, 0.9013878189], [0.5830951895, 0.35]]),
    ("wasserstein", {"order": 1, "ground_norm": math.inf}, [[1.25, 1.25], [0.8, 0.35]]),
    ("bottleneck", {}, [[1.0, 0.75], [0.5, 0.35]]),
    ("betti", GRID, [[1.8626292586, 1.8626292586], [1.6903085095, 0.8571428571]]),
    ("landscape", {"n_layers": 2} | GRID, [[0.8226483657, 0.6036393689], [0.3182068498, 0.1687948456]]),
    (
        "landscape",
        {"n_layers": 1, "order": 1} | GRID,
        [[0.9995835069, 0.7496876302], [0.2498958767, 0.1221990837]],
    ),
    ("silhouette", GRID, [[0.6647565333, 0.3528988030], [0.2251058751, 0.1687948456]]),
]


@pytest.mark.parametrize(("metric", "options", "expected"), GIOTTO)
def test_agreement_with_giotto(metric, options, expected):
    d = Diagrams.from_persim([[np.array(bars) for bars in sample] for sample in BARS])
    np.testing.assert_allclose(Amplitude(metric, options)(d)[..., 0], expected, rtol=1e-7)


def test_norms_of_what_layers_sample():
    d = make_diagrams(0, [[5, 3], [0, 0]], essential=0.0)
    grid = {"resolution": 11, "value_range": (0.0, 2.0)}
    curve = BettiCurve(**grid)(d)
    for order in (1.0, 2.0, 3.5):
        expected = (curve.abs().pow(order).sum(2) * 0.2).pow(1 / order)
        torch.testing.assert_close(Amplitude("betti", {"order": order} | grid)(d)[..., 0], expected)
    torch.testing.assert_close(Amplitude("betti", {"order": math.inf} | grid)(d)[..., 0], curve.amax(2))
    plane = {
        "resolution": (6, 3),
        "birth_range": (0.0, 1.0),
        "persistence_range": (0.0, 1.0),
        "bandwidth": 0.2,
    }
    image = PersistenceImage(**plane)(d)
    expected = (image.square().sum((2, 3)) * 0.2 * 0.5).sqrt()
    torch.testing.assert_close(Amplitude("persistence_image", plane)(d)[..., 0], expected)
    of_cells = Amplitude("persistence_image", plane | {"pixels": "integral", "order": 1})(d)[..., 0]
    image = PersistenceImage(**plane, pixels="integral")(d)
    torch.testing.assert_close(of_cells, image.abs().sum((2, 3)) / 18)


def test_norms_of_all_landscapes_are_those_of_all_tents():
    d = make_diagrams(0, [[5, 3], [1, 4]], essential=0.0)
    landscape = {"n_layers": 5, "resolution": 4001, "value_range": (0.0, 2.1)}
    tents = torch.zeros(2, 2, dtype=torch.float64)
    tents.index_put_((d.samples, d.dims), 2 * (d.persistence() / 2) ** 3 / 3, accumulate=True)
    torch.testing.assert_close(
        Amplitude("landscape", landscape)(d)[..., 0], tents.sqrt(), rtol=1e-5, atol=1e-6
    )
    assert PersistenceLandscape(**landscape, scale=1.0)(d).shape == (2, 2, 5, 4001)


def test_fit_finds_the_grid():
    d = make_diagrams(0, [[5, 3], [2, 4]])
    layer = Amplitude("silhouette", {"resolution": 20}).fit(d)
    assert layer.ranges_.shape == (2, 2)
    assert list(layer.get_feature_names_out()) == ["amplitude_h0_silhouette", "amplitude_h1_silhouette"]
    assert layer.transform(d).shape == (2, 2)


@pytest.mark.parametrize(
    "layer",
    [
        *METRICS,
        Amplitude("silhouette", {"resolution": 5, "value_range": (0.1, 1.5)}),
        Amplitude("landscape", {"resolution": 5, "value_range": (0.1, 1.5), "order": 1}),
    ],
    ids=repr,
)
def test_gradients(layer):
    d = make_diagrams(3, [[4, 3], [0, 1]], essential=0.0)

    def features(births, deaths):
        return layer(d._with(births=births, deaths=deaths))

    ends = d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_()
    assert torch.autograd.gradcheck(features, ends)


def test_scales_neither_vanish_nor_overflow():
    d = make_diagrams(3, [[4, 3]], essential=0.0, dtype=torch.float32)
    for unit in (1e-30, 1e30):
        scaled = d._with(births=d.births * unit, deaths=d.deaths * unit)
        torch.testing.assert_close(Amplitude()(scaled), Amplitude()(d) * unit)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Amplitude("energy"), "Amplitude: metric is 'energy'; expected one of 'wasserstein'"),
        (Amplitude("bottleneck", {"order": 1}), "metric_params has 'order'; expected options of .* are none"),
        (Amplitude("wasserstein", [1]), r"metric_params is \[1\]; expected a dictionary, or None"),
        (
            Amplitude("wasserstein", {"order": 0.5}),
            "Amplitude: order is 0.5; expected a number of at least 1",
        ),
        (Amplitude("heat", {"bandwidth": 0.0}), "Amplitude: bandwidth is 0.0"),
        (Amplitude("betti", {"order": 0.5}), "Amplitude: order is 0.5"),
        (Amplitude("betti", {"bins": 5}), r"metric_params is \{'bins': 5\}; expected settings of BettiCurve"),
        (Amplitude("betti", {"resolution": 0}), "BettiCurve: resolution is 0"),
    ],
)
def test_bad_settings_are_named(layer, message):
    with pytest.raises(InputError, match=message):
        layer(make_diagrams(0, [[2, 2]]))
