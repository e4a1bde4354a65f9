"""Persistence curves by definition, against their special cases, and gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import diagrams, make_diagrams
from topodl import Diagrams, InputError
from topodl.layers import BettiCurve, PersistenceCurve, PersistenceEntropy

QUANTITIES = {
    "life": lambda b, d: d - b,
    "midlife": lambda b, d: (b + d) / 2,
    "ratio": lambda b, d: d / b,
    "count": lambda b, d: 1.0,
}
FORMS = {
    "plain": lambda v, total: v,
    "share": lambda v, total: v / total,
    "entropy": lambda v, total: -v / total * math.log(v / total) if v else 0.0,
}


@given(diagrams(), st.sampled_from(sorted(QUANTITIES)), st.sampled_from(sorted(FORMS)))
@settings(max_examples=40, deadline=None)
def test_curves_by_definition(d, quantity, form):
    d = d._with(births=d.births.abs() + 0.1, deaths=d.deaths.abs() + 0.1)
    grid = torch.linspace(0, 2.5, 7, dtype=torch.float64).tolist()
    out = PersistenceCurve(quantity, form, 7, (0, 2.5), dims=0)(d)
    for i, one in enumerate(d):
        bars = one.dim(0).finite()
        pairs = list(zip(bars.births.tolist(), bars.deaths.tolist(), strict=True))
        values = [QUANTITIES[quantity](b, e) for b, e in pairs]
        terms = [FORMS[form](v, sum(values)) for v in values]
        expected = [sum(x for x, (b, e) in zip(terms, pairs, strict=True) if b <= t < e) for t in grid]
        np.testing.assert_allclose(out[i, 0], expected, rtol=1e-9, atol=1e-12)


def test_special_cases():
    d = make_diagrams(1, [[20, 10], [0, 3]], essential=0.0)
    settings = {"resolution": 9, "value_range": (0.0, 2.0)}
    torch.testing.assert_close(PersistenceCurve("count", **settings)(d), BettiCurve(**settings)(d))
    torch.testing.assert_close(
        PersistenceCurve("life", "entropy", **settings)(d), PersistenceEntropy("vector", **settings)(d)
    )


def test_superlevel_bars_are_turned_round():
    d = Diagrams.from_padded(torch.tensor([[[4.0, 2.0]]]))
    grid = {"resolution": 5, "value_range": (0.0, 4.0)}
    assert PersistenceCurve("ratio", **grid)(d).tolist() == [[[0.0, 0.0, 0.0, 2.0, 2.0]]]
    assert PersistenceCurve("midlife", **grid)(d).tolist() == [[[0.0, 0.0, 0.0, 3.0, 3.0]]]


@pytest.mark.parametrize("quantity", ["life", "midlife", "ratio"])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_gradients(quantity, form):
    d = make_diagrams(3, [[4, 3], [0, 1]], essential=0.0)

    def features(births, deaths):
        return PersistenceCurve(quantity, form, 4, (0.013, 1.7))(d._with(births=births, deaths=deaths))

    ends = d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_()
    assert torch.autograd.gradcheck(features, ends)


def test_what_has_no_share_is_refused():
    d = Diagrams.from_gudhi([np.array([[1.0, 2.0]]), np.array([[-3.0, 1.0]])])
    with pytest.raises(InputError, match=r"d has a value of -3 in sample 1; expected values above 0 with"):
        PersistenceCurve("ratio", resolution=3, value_range=(0, 1))(d)
    with pytest.raises(InputError, match=r"d has a quantity of -1 in sample 1; expected quantities of at"):
        PersistenceCurve("midlife", "share", resolution=3, value_range=(0, 1))(d)
    with pytest.raises(InputError, match="quantity is 'death'; expected one of 'life'"):
        PersistenceCurve("death", resolution=3, value_range=(0, 1))(d)
    with pytest.raises(InputError, match="form is 'log'; expected one of 'plain'"):
        PersistenceCurve(form="log", resolution=3, value_range=(0, 1))(d)
