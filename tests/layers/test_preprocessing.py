"""Diagrams to diagrams: against GUDHI's preprocessing, by definition, in pipelines, and gradients."""

import math
import pickle

import gudhi.representations as gr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from tests.strategies import diagrams, make_diagrams
from topodl import Diagrams, InputError
from topodl.layers import (
    Amplitude,
    BarClamper,
    BarSelector,
    BettiCurve,
    CubicalPersistence,
    DiagramScaler,
    LongestBars,
    PaddedBars,
)

MAPS = [
    BarSelector(2),
    BarSelector(1, "rest", kind="finite", dims=1),
    BarClamper(0.2, 1.1),
    DiagramScaler(),
    DiagramScaler("range", joint=False),
]


def some(seed=0, essential=0.2):
    return make_diagrams(seed, [[5, 3], [0, 0], [1, 6], [4, 0]], essential=essential)


def as_sets(d):
    """Return the bars of each sample and dimension, sorted."""
    return [[sorted(map(tuple, bars.tolist())) for bars in sample] for sample in d.to_persim()]


@pytest.mark.parametrize("layer", MAPS, ids=repr)
def test_module_and_transformer_agree_on_any_batch(layer):
    d = some()
    layer = clone(layer).fit(d)
    expected = as_sets(layer(d))
    assert as_sets(layer.transform(d)) == expected
    assert [as_sets(layer.transform(one))[0] for one in d] == expected
    assert as_sets(pickle.loads(pickle.dumps(layer)).transform(d)) == expected
    fresh = clone(layer)
    fresh.load_state_dict(layer.state_dict())
    assert as_sets(fresh(d)) == expected
    assert len(layer.get_feature_names_out()) == len(layer(d).homology_dims)
    assert layer.set_output(transform="pandas").transform(d).n_samples == 4


@pytest.mark.parametrize("layer", MAPS, ids=repr)
def test_empty_diagrams_and_missing_dimensions(layer):
    layer = clone(layer).fit(some())
    nothing = make_diagrams(0, [[0, 0], [0, 0]])
    assert layer(nothing).n_bars == 0
    assert layer(nothing).n_samples == 2
    without = some().dim(1)
    assert layer.transform(without).homology_dims == ((1,) if layer.dims == 1 else (0, 1))


def test_prominent_bars_are_those_of_gudhi():
    d = make_diagrams(0, [[30, 0], [2, 0], [7, 0]], essential=0.0).dim(0)
    for keep, location in (("longest", "upper"), ("rest", "lower")):
        peer = gr.ProminentPoints(use=True, num_pts=5, threshold=-1, location=location)
        expected = [[sorted(map(tuple, bars.tolist()))] for bars in peer.fit_transform(d.to_gudhi(0))]
        assert as_sets(BarSelector(5, keep)(d)) == expected
    peer = gr.ProminentPoints(use=True, num_pts=5, threshold=0.3)
    expected = [[sorted(map(tuple, bars.tolist()))] for bars in peer.fit_transform(d.to_gudhi(0))]
    assert as_sets(BarSelector(5, min_persistence=0.3)(d)) == expected


def test_finite_and_essential_bars_are_those_of_gudhi():
    d = some().dim(0)
    finite = gr.DiagramSelector(use=True, point_type="finite").fit_transform(d.to_gudhi(0))
    assert [sorted(map(tuple, bars.tolist())) for bars in finite] == [
        s[0] for s in as_sets(BarSelector(kind="finite")(d))
    ]
    births = gr.DiagramSelector(use=True, point_type="essential").fit_transform(d.to_gudhi(0))
    chosen = BarSelector(kind="essential")(d)
    assert chosen.deaths.isinf().all()
    assert [sorted(bars[:, 0].tolist()) for bars in births] == [sorted(one.births.tolist()) for one in chosen]


@given(diagrams(), st.integers(0, 4), st.floats(0.0, 0.5))
@settings(max_examples=30, deadline=None)
def test_selection_by_definition(d, n_bars, shortest):
    kept = BarSelector(n_bars, min_persistence=shortest, max_persistence=0.9)(d)
    rest = BarSelector(n_bars, "rest", min_persistence=shortest, max_persistence=0.9)(d)
    lengths = [
        sorted((abs(b - e) for b, e in bars if shortest < abs(b - e) <= 0.9), reverse=True)
        for sample in d.to_persim()
        for bars in sample
    ]
    for chosen, expected in ((kept, slice(n_bars)), (rest, slice(n_bars, None))):
        found = [
            sorted((abs(b - e) for b, e in bars), reverse=True) for s in chosen.to_persim() for bars in s
        ]
        assert found == [each[expected] for each in lengths]


@given(diagrams())
@settings(max_examples=20, deadline=None)
def test_ranks_by_definition(d):
    lengths, segments = d.persistence().tolist(), d.segments.tolist()
    expected = [
        sum(
            t == s and (m > n or (m == n and j < i))
            for j, (m, t) in enumerate(zip(lengths, segments, strict=True))
        )
        for i, (n, s) in enumerate(zip(lengths, segments, strict=True))
    ]
    assert d.ranks().tolist() == expected


@given(diagrams())
@settings(max_examples=20, deadline=None)
def test_clamped_bars_have_the_same_betti_numbers_in_between(d):
    clamped = BarClamper(-0.8, 0.8)(d)
    for t in (-0.7, -0.2, 0.1, 0.6):
        assert torch.equal(clamped.betti(t), d.betti(t))
    ends = torch.cat([clamped.births, clamped.deaths])
    assert ((ends >= -0.8) & (ends <= 0.8)).all()
    assert (clamped.persistence() > 0).all()


def test_clamped_essential_bars_are_known():
    d = Diagrams.from_padded(torch.tensor([[[0.0, torch.inf], [0.0, 2.0]]]))
    clamped = BarClamper(high=3.0)(d)
    assert clamped.deaths.tolist() == [3.0, 2.0]
    assert clamped.was_essential.tolist() == [True, False]
    mirror = BarClamper(low=-3.0)(d._with(births=-d.births, deaths=-d.deaths))
    assert mirror.deaths.tolist() == [-3.0, -2.0]


@pytest.mark.parametrize("metric", ["bottleneck", "wasserstein", "heat", "landscape"])
def test_what_is_divided_by_is_the_size_of_the_largest_diagram(metric):
    d = some(essential=0.0)
    each = DiagramScaler(metric, joint=False).fit(d)
    sizes = Amplitude(metric).fit(d)(d)[..., 0]
    torch.testing.assert_close(each.scales_, sizes.amax(0))
    joint = DiagramScaler(metric).fit(d)
    torch.testing.assert_close(joint.scales_, sizes.amax().expand(2))
    torch.testing.assert_close(joint(d).deaths, d.deaths / sizes.amax())
    half = DiagramScaler(metric, quantile=0.5).fit(d)
    np.testing.assert_allclose(half.scales_, [np.quantile(sizes, 0.5, axis=0).max()] * 2)


def test_ranges_become_the_unit_interval_and_back():
    d = some()
    layer = DiagramScaler("range", joint=False).fit(d)
    scaled = layer.transform(d)
    for k in (0, 1):
        ends = torch.cat([scaled.dim(k).finite().births, scaled.dim(k).finite().deaths])
        assert ends.min() == 0
        assert ends.max() == 1
    assert scaled.essential().n_bars == d.essential().n_bars
    back = layer.inverse_transform(scaled)
    torch.testing.assert_close(back.births, d.births)
    torch.testing.assert_close(back.deaths, d.deaths)
    inner = DiagramScaler("range", quantile=0.75).fit(d)
    ends = torch.cat([d.finite().births, d.finite().deaths]).numpy()
    low, high = np.quantile(ends, [0.25, 0.75])
    np.testing.assert_allclose(inner(d).births, (d.births - low) / (high - low), rtol=1e-12)


def test_diagrams_without_size_stay_as_they_are():
    nothing = make_diagrams(0, [[0, 0], [0, 0]])
    for metric in ("bottleneck", "range"):
        layer = DiagramScaler(metric).fit(nothing)
        assert layer(some()).deaths.tolist() == some().deaths.tolist()


def test_tables_of_bars():
    d = Diagrams.from_gudhi([np.array([[0.0, 1.0], [2.0, 5.0]]), np.array([[1.0, 2.0]])])
    root = math.sqrt(2)
    tables = {
        "birth_death": [[[2, 5], [0, 1]], [[1, 2], [9, 9]]],
        "birth_persistence": [[[2, 3], [0, 1]], [[1, 1], [9, 9]]],
        "rotated": [[[7 / root, 3 / root], [1 / root, 1 / root]], [[3 / root, 1 / root], [9, 9]]],
    }
    for coordinates, expected in tables.items():
        np.testing.assert_allclose(PaddedBars(2, coordinates, 9.0)(d)[:, 0], expected)
    birth_persistence = gr.BirthPersistenceTransform().fit_transform(d.to_gudhi(0))
    np.testing.assert_allclose(PaddedBars(2, "birth_persistence")(d)[0, 0], birth_persistence[0][::-1])
    learnt = PaddedBars().fit(d)
    assert learnt.transform(d).shape == (2, 4)
    longer = make_diagrams(0, [[9, 0]], essential=0.0).dim(0)
    lengths = torch.from_numpy(learnt.transform(longer)).view(2, 2).diff(dim=1)[:, 0]
    torch.testing.assert_close(lengths, longer.longest(2, dim=0)[0])
    assert list(learnt.get_feature_names_out())[:2] == ["paddedbars_h0_0_birth", "paddedbars_h0_0_death"]


@pytest.mark.parametrize("layer", [*MAPS, PaddedBars(3, "rotated")], ids=repr)
def test_gradients(layer):
    d = some(3, essential=0.0)
    layer = clone(layer).fit(d)

    def changed(births, deaths):
        out = layer(d._with(births=births, deaths=deaths))
        return torch.cat([out.births, out.deaths]) if isinstance(out, Diagrams) else out

    ends = d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_()
    assert torch.autograd.gradcheck(changed, ends)


def test_pipelines():
    X = np.random.default_rng(0).random((6, 7, 7))
    steps = CubicalPersistence(), BarSelector(min_persistence=0.1), DiagramScaler(), BettiCurve(5)
    assert make_pipeline(*steps).fit_transform(X).shape == (6, 10)
    alone = make_pipeline(CubicalPersistence(), BarSelector(dims=1), LongestBars(3)).fit(X)
    assert alone.get_feature_names_out()[0] == "longestbars_h1_0"
    network = torch.nn.Sequential(CubicalPersistence(), BarClamper(0.2, 0.8), LongestBars(2))
    x = torch.from_numpy(X).requires_grad_()
    network(x).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (BarSelector(-1), "BarSelector: n_bars is -1; expected an integer of at least 0"),
        (BarSelector(keep="short"), "keep is 'short'; expected one of 'longest', 'rest'"),
        (BarSelector(kind="long"), "kind is 'long'; expected one of 'all', 'finite', 'essential'"),
        (BarSelector(min_persistence=-1.0), "min_persistence is -1.0; expected a number of at least 0"),
        (
            BarSelector(min_persistence=1.0, max_persistence=0.5),
            "max_persistence is 0.5; expected .* least 1",
        ),
        (BarClamper(1.0, 1.0), "BarClamper: low is 1.0; expected a number below high = 1.0"),
        (BarClamper(math.nan), "BarClamper: low is nan; expected a number, or infinity"),
        (DiagramScaler(quantile=0.0), "DiagramScaler: quantile is 0.0; expected a number in"),
        (DiagramScaler("size"), "metric is 'size'; expected one of 'wasserstein'"),
        (DiagramScaler("range", {"order": 1}), 'expected None with metric="range", which has none'),
        (PaddedBars(0), "PaddedBars: n_bars is 0; expected an integer of at least 1"),
        (PaddedBars(1, "polar"), "PaddedBars: coordinates is 'polar'; expected one of 'birth_death'"),
        (PaddedBars(1, fill=math.inf), "PaddedBars: fill is inf; expected a number"),
        (BarSelector(dims=2), "BarSelector: dims ask for 2; expected dimensions of the diagrams"),
    ],
)
def test_bad_settings_are_named(layer, message):
    with pytest.raises(InputError, match=message):
        layer(some())


def test_a_scaler_has_to_be_fitted():
    with pytest.raises(NotFittedError, match="DiagramScaler: the scale is not known"):
        DiagramScaler()(some())
    layer = DiagramScaler().fit(some().dim(0))
    with pytest.raises(InputError, match=r"d has dimensions \(0, 1\); expected 1 dimensions, as in fit"):
        layer(some())
