"""Vectors of bars: against GUDHI's representations and NumPy's polynomials, and gradients."""

import itertools

import gudhi.representations as gr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import diagrams, make_diagrams
from topodl import Diagrams, InputError
from topodl.layers import Amplitude, ComplexPolynomial, LongestBars, NumberOfBars, TopologicalVector


@pytest.fixture(scope="module")
def finite():
    return make_diagrams(0, [[30, 0], [2, 0], [70, 0], [7, 0], [1, 0], [0, 0]], essential=0.0).dim(0)


def by_falling_length(d):
    return [bars[np.argsort(bars[:, 0] - bars[:, 1])] for bars in d.to_gudhi(0)]


def test_longest_bars_are_those_of_gudhi(finite):
    expected = gr.PersistenceLengths(num_lengths=5).fit_transform(finite.to_gudhi(0))
    np.testing.assert_allclose(LongestBars(5).fit_transform(finite), expected, rtol=1e-12)


@given(diagrams(), st.integers(1, 8))
@settings(max_examples=20, deadline=None)
def test_longest_bars_are_those_of_the_sorted_diagrams(d, k):
    layer, finite = LongestBars(k), d.finite()
    births, deaths = (x.clone().requires_grad_() for x in (finite.births, finite.deaths))
    bars = finite._with(births=births, deaths=deaths)
    found, expected = layer(bars), bars.longest(k)
    assert found.tolist() == expected.tolist()
    weights = torch.arange(1.0, found.numel() + 1, dtype=found.dtype).view(found.shape)
    slopes = [torch.autograd.grad((x * weights).sum(), (births, deaths)) for x in (found, expected)]
    torch.testing.assert_close(*slopes)
    followed, _ = torch.func.jvp(lambda b: layer(bars._with(births=b)), (births,), (torch.ones_like(births),))
    assert followed.tolist() == expected.tolist()


def test_topological_vectors_are_those_of_gudhi_where_bars_come_by_falling_length(finite):
    expected = gr.TopologicalVector(threshold=12).fit_transform(by_falling_length(finite))
    np.testing.assert_allclose(TopologicalVector(12).fit_transform(finite), expected, rtol=1e-12)


def gaps_one_by_one(bars, n):
    found = [
        min(max(abs(p[0] - q[0]), abs(p[1] - q[1])), abs(p[1] - p[0]) / 2, abs(q[1] - q[0]) / 2)
        for p, q in itertools.combinations(bars, 2)
    ]
    return (sorted(found, reverse=True) + [0.0] * n)[:n]


@given(diagrams())
@settings(max_examples=20, deadline=None)
def test_topological_vectors_by_definition(d):
    out = TopologicalVector(4, dims=1)(d)
    for i, one in enumerate(d):
        bars = one.dim(1).finite()
        expected = gaps_one_by_one(list(zip(bars.births.tolist(), bars.deaths.tolist(), strict=True)), 4)
        np.testing.assert_allclose(out[i, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("spread", [0.0, 0.01, 10.0])
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_short_bars_count_where_long_ones_are_near_each_other(spread, seed, n):
    random = np.random.default_rng(seed)
    long = np.stack([spread * random.random(30), 100 + spread * random.random(30)], 1)
    short = 20 * np.arange(40)[:, None] + np.stack([np.zeros(40), random.random(40)], 1)
    bars = random.permutation(np.concatenate([long, short]))
    out = TopologicalVector(n)(Diagrams.from_gudhi([bars, short, long[:2]]))
    for found, each in zip(out[:, 0], (bars, short, long[:2]), strict=True):
        np.testing.assert_allclose(found, gaps_one_by_one(each.tolist(), n), rtol=1e-12)


def test_tables_of_distances_are_made_in_parts(finite, monkeypatch):
    expected = TopologicalVector(6)(finite)
    monkeypatch.setattr("topodl.layers.bar_vectors._AT_ONCE", 1)
    torch.testing.assert_close(TopologicalVector(6)(finite), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["R", "S", "T"])
def test_polynomials_are_those_of_gudhi(finite, kind):
    bars = finite.to_gudhi(0)[:5]  # GUDHI fails at an empty diagram
    expected = gr.ComplexPolynomial(kind, threshold=6).fit_transform(bars)
    out = ComplexPolynomial(kind, 6)(finite)[:, 0]
    np.testing.assert_allclose(torch.view_as_complex(out)[:5], expected, rtol=1e-9)
    assert (out[5] == 0).all()


@given(diagrams())
@settings(max_examples=20, deadline=None)
def test_polynomials_have_the_bars_as_roots(d):
    out = torch.view_as_complex(ComplexPolynomial(n_coefficients=5, dims=0)(d))
    for i, one in enumerate(d):
        bars = one.dim(0).finite()
        expected = np.zeros(5, complex)
        coefficients = np.atleast_1d(np.poly(bars.births.numpy() + 1j * bars.deaths.numpy()))[1:6]
        expected[: len(coefficients)] = coefficients
        np.testing.assert_allclose(out[i, 0], expected, rtol=1e-9, atol=1e-12)


def test_a_bar_at_the_origin_has_the_root_0():
    d = Diagrams.from_padded(torch.tensor([[[0.0, 0.0], [0.0, 2.0]]], dtype=torch.float64))
    for kind in "RST":
        births = d.births.clone().requires_grad_()
        out = ComplexPolynomial(kind, 2)(d._with(births=births))
        assert (out[0, 0, 1] == 0).all()
        out.sum().backward()
        assert births.grad.isfinite().all()


def test_bars_are_counted():
    d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [0.0, 1.5], [0.0, torch.inf], [2.0, 2.0]]]))
    assert NumberOfBars()(d).item() == 3
    assert NumberOfBars(1.0)(d).item() == 2
    assert NumberOfBars(essential="drop")(d).item() == 2


@pytest.mark.parametrize(
    "layer",
    [LongestBars(3), TopologicalVector(3), *(ComplexPolynomial(kind, 3) for kind in "RST")],
    ids=repr,
)
def test_gradients(layer):
    d = make_diagrams(3, [[4, 3], [0, 1]], essential=0.0)

    def features(births, deaths):
        return layer(d._with(births=births, deaths=deaths))

    ends = d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_()
    assert torch.autograd.gradcheck(features, ends)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LongestBars(0), "LongestBars: n_bars is 0; expected an integer of at least 1"),
        (TopologicalVector(1.5), "TopologicalVector: n_distances is 1.5; expected an integer"),
        (ComplexPolynomial("Q"), "ComplexPolynomial: roots is 'Q'; expected one of 'R', 'S', 'T'"),
        (ComplexPolynomial("R", 0), "ComplexPolynomial: n_coefficients is 0"),
        (NumberOfBars(-1.0), "NumberOfBars: min_persistence is -1.0; expected a number of at least 0"),
        (LongestBars(essential="keep"), "LongestBars: essential is 'keep'; expected one of 'drop', 'clamp'"),
    ],
)
def test_bad_settings_are_named(layer, message):
    with pytest.raises(InputError, match=message):
        layer(make_diagrams(0, [[2, 2]]))


def test_coefficients_that_are_too_large_are_refused():
    d = Diagrams.from_padded(torch.full((1, 20, 2), 1e30))
    with pytest.raises(InputError, match=r"ComplexPolynomial: d has values up to 1e\+30"):
        ComplexPolynomial(n_coefficients=3)(d)


@pytest.mark.parametrize(
    "layer",
    [TopologicalVector(3), ComplexPolynomial("R", 3), Amplitude("heat", {"bandwidth": 0.3})],
    ids=repr,
)
def test_what_looks_at_pairs_says_that_it_cannot_be_exported(layer):
    class OfPadded(torch.nn.Module):
        def forward(self, bars):
            return layer(Diagrams.from_padded(bars))

    message = f"{type(layer).__name__}: torch.export fixes how many pairs of bars there are"
    with pytest.raises(InputError, match=message):
        torch.export.export(OfPadded(), (torch.rand(3, 4, 2).cumsum(-1),), strict=False)
