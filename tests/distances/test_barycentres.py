"""Barycentres against GUDHI's from the same start, as a local minimum, by hand, and gradients."""

import numpy as np
import pytest
import torch
from gudhi.wasserstein.barycenter import lagrangian_barycenter
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import make_diagrams
from topodl import Diagrams, InputError
from topodl.distances import barycentre, wasserstein_distance


def sorted_bars(d):
    return np.array(sorted(map(tuple, d.to_gudhi(d.homology_dims[0])[0].tolist()))).reshape(-1, 2)


@pytest.mark.parametrize("seed", range(4))
def test_agreement_with_gudhi_from_the_same_start(seed):
    d = make_diagrams(seed, [[9, 0], [4, 0], [12, 0], [0, 0], [6, 0]], essential=0.0).dim(0)
    for start in (0, 2):
        expected = lagrangian_barycenter(d.to_gudhi(0), init=start)
        mean = barycentre(d, start=start)
        assert mean.converged
        np.testing.assert_allclose(
            sorted_bars(mean.diagrams), np.array(sorted(map(tuple, expected))), rtol=1e-9
        )
        squares = wasserstein_distance(Diagrams.cat([mean.diagrams] * 5), d).square()
        torch.testing.assert_close(mean.energy, squares.mean(0))


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=5),
    st.integers(0, 1000),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_no_sample_is_better_and_no_bar_has_a_slope(counts, seed, superlevel):
    d = make_diagrams(seed, counts, essential=0.0, superlevel=superlevel)
    mean = barycentre(d)
    assert mean.converged
    n = len(d)
    for i in range(n):
        energy = wasserstein_distance(Diagrams.cat([d[i]] * n), d).square().mean(0)
        assert (mean.energy <= energy * (1 + 1e-9) + 1e-12).all()
    ends = [values.clone().requires_grad_() for values in (mean.diagrams.births, mean.diagrams.deaths)]
    again = mean.diagrams._with(births=ends[0], deaths=ends[1])
    energy = wasserstein_distance(Diagrams.cat([again] * n), d).square().mean(0).sum()
    for slope in torch.autograd.grad(energy, ends):
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_by_hand():
    d = Diagrams.from_gudhi([np.array([[0.0, 4.0]]), np.array([[1.0, 7.0]]), np.zeros((0, 2))])
    mean = barycentre(d)
    # The middles are 2 and 4, the halves 2, 3 and 0.
    np.testing.assert_allclose(sorted_bars(mean.diagrams), [[3 - 5 / 3, 3 + 5 / 3]])
    weighted = barycentre(d, weights=[3.0, 1.0, 0.0])
    np.testing.assert_allclose(sorted_bars(weighted.diagrams), [[2.5 - 2.25, 2.5 + 2.25]])
    np.testing.assert_allclose(barycentre(d[:2]).energy, [1.0**2 * 2 + 0.5**2 * 2])
    alone = barycentre(d, weights=[0, 1, 0], start=0)
    np.testing.assert_allclose(sorted_bars(alone.diagrams), [[1.0, 7.0]])
    assert alone.energy.item() == 0


def test_essential_bars_go_to_each_other():
    d = Diagrams.from_padded(
        torch.tensor([[[0.0, torch.inf], [3.0, torch.inf]], [[5.0, torch.inf], [2.0, torch.inf]]])
    )
    mean = barycentre(d)
    assert mean.diagrams.births.tolist() == [1.0, 4.0]
    assert mean.diagrams.deaths.isinf().all()
    assert mean.energy.item() == pytest.approx(2.0)


def test_no_bars_and_several_dimensions():
    nothing = make_diagrams(0, [[0, 0], [0, 0]])
    assert barycentre(nothing).diagrams.n_bars == 0
    d = make_diagrams(0, [[3, 2], [4, 0]], essential=0.0)
    mean = barycentre(d)
    assert mean.diagrams.homology_dims == (0, 1)
    assert mean.energy.shape == (2,)
    only = barycentre(d, dims=1)
    torch.testing.assert_close(only.diagrams.births, mean.diagrams.dim(1).births)
    assert barycentre(d.to(torch.float16)).diagrams.dtype == torch.float16


def test_gradients():
    d = make_diagrams(3, [[4, 3], [0, 1], [3, 3]], essential=0.0)

    def mean(births, deaths):
        found = barycentre(d._with(births=births, deaths=deaths), start=0)
        return found.diagrams.births, found.diagrams.deaths, found.energy

    ends = d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_()
    assert torch.autograd.gradcheck(mean, ends)


def test_a_search_that_is_cut_short_says_so():
    d = make_diagrams(1, [[20, 0], [25, 0], [30, 0]], essential=0.0)
    assert not barycentre(d, max_rounds=1).converged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weights": [1.0]},
            r"barycentre: weights have shape \(1,\).*expected 2 finite numbers of at least 0",
        ),
        ({"weights": [1.0, -1.0]}, "values from -1; expected 2 finite numbers"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
        ({"start": 2}, r"start is 2; expected an integer in \[0, 1\]"),
        ({"max_rounds": 0}, "max_rounds is 0; expected an integer of at least 1"),
        ({"dims": 3}, "dims is 3"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(InputError, match=message):
        barycentre(make_diagrams(0, [[2, 2], [1, 1]], essential=0.0), **options)


def test_bad_diagrams_are_named():
    d = Diagrams.from_gudhi([np.array([[0.0, np.inf]]), np.array([[0.0, 1.0]])])
    with pytest.raises(InputError, match=r"d\[1\] has 0 essential bars in dimension 0.*expected the 1 of"):
        barycentre(d)
    with pytest.raises(InputError, match="d has no sample; expected at least one"):
        barycentre(make_diagrams(0, []))
    with pytest.raises(InputError, match=r"d\[0\] has an infinite birth in dimension 0"):
        barycentre(Diagrams.from_gudhi([np.array([[-np.inf, np.inf]])]))
    with pytest.raises(TypeError, match="d is a list; expected Diagrams"):
        barycentre([1])
