"""Layers of two-parameter filtrations in slices: lines, levels, landscapes, and features of all of them."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.naive.multiparameter import bars_on_line, king_graph_cliques, lower_star
from tests.persistence.test_fibered import EDGES, bars_of, drawn
from topodl import Diagrams, InputError, cubical_persistence, fibered_persistence, level_persistence
from topodl.complexes import clique_complexes
from topodl.layers import (
    BettiCurve,
    FiberedPersistence,
    LevelPersistence,
    MultiparameterLandscape,
    PersistenceImage,
    PersLay,
    SliceFeatures,
)

GRAPHS = [(drawn((4, 2)), EDGES), (drawn((3, 2), 1), EDGES[:, :2])]
CLOUDS = [(drawn((6, 2), 2), drawn((6,), 3)), (drawn((4, 2), 4), drawn((4,), 5))]
IMAGES = [drawn((2, 4, 5), 6), drawn((2, 3, 3), 7)]
COMPLEXES = clique_complexes(EDGES).with_values(drawn((4, 2)))
KINDS = {
    "graphs": GRAPHS,
    "clouds": CLOUDS,
    "images": IMAGES,
    "image": drawn((3, 2, 4, 4)),
    "complexes": COMPLEXES,
}
LAYERS = [
    FiberedPersistence(n_lines=3),
    FiberedPersistence(n_lines=2, slopes="random", learnable=True),
    LevelPersistence(levels=3),
    MultiparameterLandscape(n_landscapes=2, resolution=4),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_module_and_transformer_agree_on_all_kinds(layer, kind):
    X = KINDS[kind]
    layer = clone(layer).fit(X)
    if isinstance(layer, LevelPersistence) or kind != "images":
        assert layer.homology_dims_ == ((0, 1, 2)[: max(COMPLEXES.dim, 1)] if kind == "complexes" else (0, 1))
    found, expected = layer.transform(X), layer(X)
    if isinstance(expected, Diagrams):
        assert bars_of(found, 5) == bars_of(expected.detach(), 5)
        assert len(found) % len(X) == 0
    else:
        np.testing.assert_allclose(found, expected.flatten(1), atol=1e-6)
        assert found.shape == (len(X), len(layer.get_feature_names_out()))
        assert len(set(layer.get_feature_names_out())) == found.shape[1]
    pieces = clone(layer).set_params(chunk_size=1).fit(X).transform(X)
    if isinstance(found, Diagrams):
        assert bars_of(pieces) == bars_of(found)
    else:
        np.testing.assert_allclose(pieces, found)


def test_lines_of_even_slopes_run_through_the_middle_of_the_ranges():
    layer = FiberedPersistence(n_lines=3, value_ranges=((-1, 1), (0, 10)))
    base, direction = layer.lines()
    torch.testing.assert_close(base[1], torch.tensor([-1.0, 0.0], dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        direction[1], torch.tensor([2.0, 10.0], dtype=torch.float64), atol=1e-6, rtol=0
    )
    middle = base + direction / 2
    torch.testing.assert_close(middle, torch.tensor([[0.0, 5.0]] * 3, dtype=torch.float64), atol=1e-5, rtol=0)
    angles = torch.atan2(direction[:, 1] / 10, direction[:, 0] / 2).rad2deg()
    torch.testing.assert_close(angles, torch.tensor([15.0, 45.0, 75.0]).double(), atol=1e-4, rtol=0)


def test_bars_are_those_of_the_function_on_the_layers_lines():
    image = drawn((2, 2, 5, 5))
    layer = FiberedPersistence(n_lines=4, slopes="random", value_ranges=(0, 1))
    assert bars_of(layer(image)) == bars_of(fibered_persistence(image, layer.lines()))
    again = FiberedPersistence(n_lines=4, slopes="random", value_ranges=(0, 1))
    other = FiberedPersistence(n_lines=4, slopes="random", value_ranges=(0, 1), random_state=1)
    assert torch.equal(again.bases, layer.bases)
    assert not torch.equal(other.bases, layer.bases)


def test_lines_learn():
    layer = FiberedPersistence(n_lines=2, value_ranges=(0, 1), learnable=True)
    assert {name for name, _ in layer.named_parameters()} == {"bases", "log_slopes"}
    image = drawn((1, 2, 5, 5)).float()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        loss = layer(image).total_persistence().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    fresh = FiberedPersistence(n_lines=2, value_ranges=(0, 1), learnable=True)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh.bases, layer.bases)
    assert torch.equal(pickle.loads(pickle.dumps(layer)).log_slopes, layer.log_slopes)
    assert not torch.equal(clone(layer).bases, layer.bases)


def test_levels_are_quantiles_of_what_is_cut():
    layer = LevelPersistence(levels=4).fit(drawn((3, 2, 6, 6)))
    assert layer.levels_[-1] == drawn((3, 2, 6, 6))[:, 0].max()
    expected = np.quantile(drawn((3, 2, 6, 6))[:, 0].numpy(), [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(layer.levels_, expected)
    of_function = LevelPersistence(levels=2).fit(CLOUDS)
    assert of_function.levels_[-1] == max(float(f.max()) for _, f in CLOUDS)
    second = LevelPersistence(levels=2, parameter=1).fit(GRAPHS)
    assert second.levels_[-1] == max(float(v[:, 1].max()) for v, _ in GRAPHS)
    image = drawn((1, 2, 4, 4))
    given_levels = LevelPersistence(levels=[0.3, 0.6])(image)
    assert bars_of(given_levels) == bars_of(level_persistence(image, torch.tensor([0.3, 0.6])))


def slow_landscapes(image, n, resolution):
    """The landscapes of components and holes from the reduced boundary matrix of each diagonal."""
    height, width = image.shape[1:]
    cells = lower_star(image.flatten(1).T.tolist(), king_graph_cliques(height, width))
    grid = np.linspace(0, 1, resolution)
    table = np.zeros((2, n, resolution, resolution))
    for i, s in enumerate(grid):
        for j, t in enumerate(grid):
            bars = bars_on_line(cells, (s, t), (1.0, 1.0), top=1)
            for k in (0, 1):
                heights = sorted((min(-b, d) for dim, b, d in bars if dim == k), reverse=True)[:n]
                table[k, : len(heights), i, j] = np.maximum(heights, 0)
    return table


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))
def test_landscapes_equal_slow_ones_on_every_diagonal(height, width, seed):
    image = drawn((2, height, width), seed)
    layer = MultiparameterLandscape(3, resolution=4, value_ranges=(0, 1), construction="cell")
    np.testing.assert_allclose(layer(image[None])[0], slow_landscapes(image, 3, 4), atol=1e-12)


@given(st.integers(0, 999), st.floats(0.001, 0.5))
def test_landscapes_are_stable(seed, size):
    image, noise = drawn((1, 2, 5, 5), seed), 2 * drawn((1, 2, 5, 5), seed + 1) - 1
    layer = MultiparameterLandscape(4, resolution=6, value_ranges=(0, 1))
    apart = (layer(image + size * noise) - layer(image)).abs().max()
    assert apart <= size * noise.abs().max() + 1e-12


def test_ranges_are_units_of_landscapes():
    image = drawn((1, 2, 5, 5))
    scale = torch.tensor([2.0, 30.0]).view(1, 2, 1, 1)
    layer = MultiparameterLandscape(2, resolution=5, value_ranges=((0, 1), (0, 1)))
    wide = MultiparameterLandscape(2, resolution=5, value_ranges=((3, 5), (0, 30)))
    shifted = image * scale + torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(wide(shifted), layer(image))


def test_landscapes_have_gradients():
    layer = MultiparameterLandscape(2, resolution=3, value_ranges=(0, 1.2))
    image = drawn((1, 2, 3, 3)).requires_grad_()
    torch.autograd.gradcheck(layer, image)
    torch.autograd.gradgradcheck(layer, image)


def test_a_pipeline_has_one_row_a_sample():
    images, labels = drawn((12, 2, 6, 6)).numpy(), np.arange(12) % 2
    for slices, n in ((FiberedPersistence(n_lines=3), 3), (LevelPersistence(levels=4), 4)):
        pipeline = make_pipeline(slices, SliceFeatures(BettiCurve(resolution=5), n), LogisticRegression())
        assert pipeline.fit(images, labels).predict(images).shape == (12,)
        features = pipeline[:2].transform(images)
        assert features.shape == (12, n * 2 * 5)
        assert len(set(pipeline[1].get_feature_names_out())) == n * 2 * 5
        module = pipeline[1](pipeline[0](torch.from_numpy(images))).flatten(1)
        np.testing.assert_allclose(features, module, atol=1e-6)


def test_vectorisers_of_slices_learn_and_may_be_set():
    features = SliceFeatures(PersLay(n_features=3), 2)
    d = FiberedPersistence(n_lines=2, value_ranges=(0, 1))(drawn((4, 2, 5, 5)).float())
    out = features(d)
    assert out.shape[:2] == (4, 2)
    out.sum().backward()
    assert all(p.grad is not None for p in features.vectoriser.parameters())
    nested = clone(SliceFeatures(PersistenceImage(resolution=4), 2)).set_params(vectoriser__resolution=3)
    assert nested.fit_transform(d.detach()).shape == (4, 2 * 2 * 9)


@pytest.mark.parametrize("chunk_size", [1, 2, 7])
def test_chunks_of_slices_are_those_of_samples(chunk_size):
    d = FiberedPersistence(n_lines=3, value_ranges=(0, 1))(drawn((5, 2, 4, 4)))
    whole = SliceFeatures(PersistenceImage(resolution=3), 3).fit_transform(d)
    parts = SliceFeatures(PersistenceImage(resolution=3), 3, chunk_size=chunk_size, n_jobs=1).fit_transform(d)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    with pytest.raises(InputError, match="SliceFeatures: chunk_size is 0"):
        SliceFeatures(PersistenceImage(resolution=3), 3, chunk_size=0).fit_transform(d)


def test_unfitted_layers_say_what_is_missing():
    image = drawn((1, 2, 3, 3))
    for layer, missing in (
        (FiberedPersistence(), "value_ranges"),
        (MultiparameterLandscape(), "value_ranges"),
        (LevelPersistence(), "levels"),
    ):
        with pytest.raises(NotFittedError, match=missing):
            layer(image)
    with pytest.raises(NotFittedError):
        SliceFeatures(BettiCurve(), 1).transform(FiberedPersistence(1, value_ranges=(0, 1))(image))


def test_values_that_do_not_vary_have_ranges_of_length_one():
    layer = MultiparameterLandscape(1, resolution=3).fit(np.full((2, 2, 3, 3), 4.0))
    assert torch.isfinite(layer(torch.full((2, 2, 3, 3), 4.0))).all()


IMAGE = torch.zeros(1, 2, 3, 3)
BARS = Diagrams.from_padded(torch.zeros(3, 0, 2))
BOX = {"value_ranges": (0, 1)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: FiberedPersistence(n_lines=0, **BOX)(IMAGE), "n_lines is 0"),
        (lambda: FiberedPersistence(slopes="steep", **BOX)(IMAGE), "slopes is 'steep'"),
        (lambda: FiberedPersistence(learnable="no", **BOX)(IMAGE), "learnable is 'no'"),
        (lambda: FiberedPersistence(value_ranges=(1, 0))(IMAGE), r"value_ranges is \(1, 0\)"),
        (lambda: FiberedPersistence(metric="cosine", **BOX)(IMAGE), "metric is 'cosine'"),
        (lambda: FiberedPersistence(**BOX)([]), "x is an empty list"),
        (
            lambda: FiberedPersistence(**BOX)([GRAPHS[0], (*GRAPHS[1], GRAPHS[1][0])]),
            r"items of \[2, 3\] parts",
        ),
        (lambda: LevelPersistence(levels=0).fit(IMAGE), "levels is 0"),
        (lambda: LevelPersistence(levels=[math.nan])(IMAGE), "none NaN"),
        (lambda: LevelPersistence(parameter=2).fit(IMAGE), "parameter is 2"),
        (lambda: MultiparameterLandscape(n_landscapes=0, **BOX)(IMAGE), "n_landscapes is 0"),
        (lambda: MultiparameterLandscape(resolution=1, **BOX)(IMAGE), "resolution is 1"),
        (lambda: SliceFeatures(BettiCurve(), 0)(BARS), "n_slices is 0"),
        (
            lambda: SliceFeatures(BettiCurve(), 2)(BARS),
            "has 3 diagrams",
        ),
    ],
)
def test_bad_settings_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("superlevel", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("kind", ["image", "graphs", "complexes"])
def test_parameters_that_fall_are_negated_ones_that_rise(kind, superlevel):
    signs = torch.tensor([-1.0 if down else 1.0 for down in superlevel], dtype=torch.float64)
    if kind == "image":
        x, negated = KINDS[kind], KINDS[kind] * signs.view(2, 1, 1)
    elif kind == "graphs":
        x, negated = GRAPHS, [(values * signs, edges) for values, edges in GRAPHS]
    else:
        tables = [COMPLEXES.values(k) for k in range(COMPLEXES.dim + 1)]
        least = [torch.where(signs > 0, 1.0, 0.0) * table for table in tables]  # no face after its cofaces
        x, negated = COMPLEXES.with_values(least), COMPLEXES.with_values([part * signs for part in least])
    ranges = [(0.0, 0.75), (0.25, 1.0)]
    turned = [
        (-high, -low) if down else (low, high) for (low, high), down in zip(ranges, superlevel, strict=True)
    ]
    for layer in (FiberedPersistence(n_lines=3), MultiparameterLandscape(n_landscapes=2, resolution=4)):
        falling = clone(layer).set_params(value_ranges=ranges, superlevel=superlevel)
        rising = clone(layer).set_params(value_ranges=turned)
        found, expected = falling(x), rising(negated)
        if isinstance(layer, FiberedPersistence):
            assert bars_of(found) == bars_of(expected)
            for mine, theirs in zip(falling.lines(), rising.lines(), strict=True):
                torch.testing.assert_close(mine, theirs * signs)
        else:
            axes = [axis for axis, down in zip((-2, -1), superlevel, strict=True) if down]
            torch.testing.assert_close(found, expected.flip(axes))


@pytest.mark.parametrize("parameter", [0, 1])
def test_levels_of_falling_parameters_cut_from_below(parameter):
    x, levels = KINDS["image"], [0.7, 0.3]
    found = LevelPersistence(levels, parameter, superlevel=True)(x)
    for b, level in np.ndindex(len(x), 2):
        above = torch.where(x[b, parameter] >= levels[level], x[b, 1 - parameter], -math.inf)
        expected = cubical_persistence(above[None], superlevel=True)
        expected = expected.select(expected.births > -math.inf)
        assert bars_of(found[2 * b + level]) == bars_of(expected)
    layer = LevelPersistence(2, superlevel=(True, False)).fit(x)
    expected = np.quantile(x[:, 0].numpy(), [0.5, 0.0])
    np.testing.assert_allclose(layer.levels_.numpy(), expected)


def test_distances_of_clouds_do_not_fall():
    for layer in (FiberedPersistence(value_ranges=(0, 1)), LevelPersistence([0.5])):
        with pytest.raises(InputError, match="superlevel is True for distances"):
            clone(layer).set_params(superlevel=True)(CLOUDS)
        rising = [(cloud, -function) for cloud, function in CLOUDS]
        falls = clone(layer).set_params(superlevel=(False, True))
        if isinstance(layer, LevelPersistence):
            assert bars_of(falls(CLOUDS)) == bars_of(LevelPersistence([-0.5])(rising))
        else:
            expected = FiberedPersistence(value_ranges=[(0, 1), (-1, 0)])(rising)
            assert bars_of(falls(CLOUDS)) == bars_of(expected)
