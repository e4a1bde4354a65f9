"""Periodic images against GUDHI's periodic complexes, by hand, and as other images are used."""

import math

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import topodl
from topodl import InputError, cubical_persistence
from topodl.layers import BettiCurve, CubicalPersistence


def drawn(seed, shape, levels):
    g = torch.Generator().manual_seed(seed)
    if levels:
        return torch.randint(0, levels, shape, generator=g).double()
    return torch.rand(shape, generator=g, dtype=torch.float64)


def bars_of(d, dim):
    part = d.dim(dim)
    return sorted(zip(part.births.tolist(), part.deaths.tolist(), strict=True))


@given(
    st.integers(0, 10_000),
    st.sampled_from([(4, 5), (2, 3), (3, 2, 4)]),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 3]),
)
@settings(max_examples=60)
def test_bars_equal_those_of_gudhi(seed, shape, periodic, by_cells, superlevel, levels):
    around = periodic[: len(shape)]
    images = drawn(seed, (2, *shape), levels)
    construction = "cell" if by_cells else "vertex"
    d = cubical_persistence(images, None, superlevel, construction, periodic=around)
    assert d.homology_dims == tuple(range(len(shape) + all(around)))
    sign = -1.0 if superlevel else 1.0
    for sample, image in zip(d, images.numpy(), strict=True):
        cells = {"top_dimensional_cells" if by_cells else "vertices": sign * image}
        theirs = gudhi.PeriodicCubicalComplex(periodic_dimensions=around, **cells)
        theirs.compute_persistence(2, 0.0)
        for dim in d.homology_dims:
            expected = theirs.persistence_intervals_in_dimension(dim)
            expected = sorted((b, e) for b, e in expected.reshape(-1, 2).tolist() if e > b)
            ours = sorted((sign * b, sign * e) for b, e in bars_of(sample, dim))
            np.testing.assert_allclose(np.reshape(ours, (-1, 2)), np.reshape(expected, (-1, 2)))


def test_without_periods_nothing_changes():
    images = drawn(0, (3, 5, 6), 0)
    for construction in ("vertex", "cell"):
        plain = cubical_persistence(images, construction=construction)
        none = cubical_persistence(images, construction=construction, periodic=(False, False))
        assert torch.equal(plain.births, none.births)
    signals = drawn(1, (2, 9), 0)
    assert cubical_persistence(signals).homology_dims == (0, 1)


def test_a_band_around_a_torus():
    image = torch.ones(1, 6, 6)
    image[0, 2] = 0.0  # a row, which closes on itself
    d = cubical_persistence(image, periodic=True)
    assert bars_of(d, 0) == [(0.0, math.inf)]
    assert bars_of(d, 1) == [(0.0, math.inf), (1.0, math.inf)]
    assert bars_of(d, 2) == [(1.0, math.inf)]
    cylinder = cubical_persistence(image, periodic=(True, False))
    assert bars_of(cylinder, 1) == [(1.0, math.inf)]
    circle = cubical_persistence(torch.tensor([[0.0, 2.0, 1.0, 3.0]]), periodic=True)
    assert bars_of(circle, 0) == [(0.0, math.inf), (1.0, 2.0)]
    assert bars_of(circle, 1) == [(3.0, math.inf)]
    row = cubical_persistence(torch.tensor([[[0.0, 2.0, 1.0, 3.0]]]), periodic=True)
    assert bars_of(row, 1) == bars_of(circle, 1)


@given(st.integers(0, 1000), st.integers(0, 4), st.integers(0, 5))
@settings(max_examples=15)
def test_shifted_tori_have_the_same_bars(seed, down, across):
    image = drawn(seed, (1, 5, 6), 0)
    shifted = image.roll((down, across), (1, 2))
    ours, theirs = (cubical_persistence(x, periodic=True) for x in (image, shifted))
    for dim in range(3):
        assert bars_of(ours, dim) == bars_of(theirs, dim)


def test_cells_gradients_and_short_bars():
    images = drawn(0, (2, 4, 5), 0).requires_grad_()
    d = cubical_persistence(images, periodic=True)
    flat = images.flatten(1)
    assert torch.equal(flat[d.samples, d.birth_cells[:, 0]], d.births)
    dies = d.death_cells[:, 0] >= 0
    assert torch.equal(flat[d.samples[dies], d.death_cells[dies, 0]], d.deaths[dies])
    assert torch.equal(dies, torch.isfinite(d.deaths))

    def ends(x):
        finite = cubical_persistence(x, periodic=True).finite()
        return torch.cat((finite.births, finite.deaths))

    assert torch.autograd.gradcheck(ends, (images,))
    long = cubical_persistence(images, periodic=True, min_persistence=0.4)
    assert long.n_bars == int((d.persistence() > 0.4).sum())
    channels = cubical_persistence(images[None], channels=True, periodic=True)
    assert torch.equal(channels.births, d.births)
    infinite = torch.tensor([[[0.0, math.inf], [math.inf, 1.0]]])
    assert bars_of(cubical_persistence(infinite, 0, periodic=True), 0) == [(0.0, math.inf), (1.0, math.inf)]
    assert cubical_persistence(images[:0], periodic=True).n_samples == 0


def test_layers_learn_their_dimensions():
    images = drawn(0, (3, 4, 5), 0).numpy()
    layer = CubicalPersistence(periodic=True)
    d = layer.fit_transform(images)
    assert d.homology_dims == (0, 1, 2)
    assert list(layer.get_feature_names_out()) == [f"cubicalpersistence_h{k}" for k in range(3)]
    assert BettiCurve(resolution=3).fit_transform(d).shape == (3, 9)
    assert CubicalPersistence(periodic=True).fit(images[:, 0]).homology_dims_ == (0, 1)
    assert CubicalPersistence(channels=True, periodic=(True, False)).fit(images[None]).homology_dims_ == (
        0,
        1,
    )


@pytest.mark.parametrize(
    ("x", "periodic", "message"),
    [
        (
            torch.zeros(1, 3, 3),
            (True,),
            r"periodic is \(True,\); expected a boolean, or one for each of 2 axes",
        ),
        (torch.zeros(1, 3, 3), "yes", "periodic is 'yes'"),
        (
            torch.zeros(1, 3, 1),
            (True, True),
            r"x has images of shape \(3, 1\); expected 2 pixels or more along",
        ),
        (torch.zeros(1, 3, 3) / 0, True, r"x\[0\] has NaN at \(0, 0\)"),
    ],
)
def test_unusable_input_is_named(x, periodic, message):
    with pytest.raises(InputError, match=message):
        topodl.cubical_persistence(x, periodic=periodic)
