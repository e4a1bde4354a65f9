"""Weighted Rips filtrations against GUDHI's, its simplex trees, and gradients."""

import math

import gudhi
import numpy as np
import pytest
import torch
from gudhi.weighted_rips_complex import WeightedRipsComplex
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from topodl import InputError, rips_persistence
from topodl.filtrations import codensity
from topodl.layers import RipsPersistence

POWERS = [1, 2, math.inf]


def drawn(seed, n, grid):
    """Return a cloud and weights, with ties and coinciding points where they lie on a grid."""
    g = torch.Generator().manual_seed(seed)
    if grid:
        return torch.randint(0, 3, (n, 2), generator=g).double(), torch.randint(0, 3, (n,), generator=g) / 2
    return torch.rand(n, 2, generator=g, dtype=torch.float64), torch.rand(n, generator=g) / 3


def meet(distance, v, w, p):
    """Return twice the time at which two balls meet, by bisection."""
    low, high = max(v, w), v + w + distance
    if p == math.inf:
        return max(2 * low, distance)

    def reach(t):
        return (t**p - v**p) ** (1 / p) + (t**p - w**p) ** (1 / p)

    if reach(low) >= distance:
        return 2 * low
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if reach(middle) >= distance else (middle, high)
    return 2 * high


def bars_of(tree, dim):
    tree.compute_persistence(2, min_persistence=1e-7, persistence_dim_max=True)
    return sorted(map(tuple, tree.persistence_intervals_in_dimension(dim)))


def assert_same(d, tree, dims=(0, 1)):
    for dim in dims:
        part = d.dim(dim)
        ours = sorted(
            (b, e) for b, e in zip(part.births.tolist(), part.deaths.tolist(), strict=True) if e - b > 1e-6
        )
        theirs = [(b, e) for b, e in bars_of(tree, dim) if e - b > 1e-6]
        np.testing.assert_allclose(np.reshape(ours, (-1, 2)), np.reshape(theirs, (-1, 2)), atol=1e-6)


@given(
    st.integers(0, 10_000),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from(POWERS),
    st.sampled_from([math.inf, 1.2]),
)
@settings(max_examples=40)
def test_bars_of_the_filtered_simplex_tree(seed, n, grid, p, longest):
    points, weights = drawn(seed, n, grid)
    d = rips_persistence(points[None], (0, 1), max_edge_length=longest, weights=weights[None], p=p)
    apart, w = cdist(points, points), weights.tolist()
    tree = gudhi.SimplexTree()
    for i in range(n):
        if 2 * w[i] <= longest:
            tree.insert([i], 2 * w[i])
    for i in range(n):
        for j in range(i):
            value = meet(apart[i, j], w[i], w[j], p)
            if value <= longest:
                tree.insert([j, i], value)
    tree.expansion(2)
    assert_same(d, tree)
    for birth, (i, j) in zip(d.dim(0).births.tolist(), d.dim(0).birth_cells.tolist(), strict=True):
        assert j == -1
        assert birth == pytest.approx(2 * w[i])
    for death, (i, j) in zip(d.dim(0).deaths.tolist(), d.dim(0).death_cells.tolist(), strict=True):
        assert (i < 0) == math.isinf(death)
        assert i < 0 or death == pytest.approx(meet(apart[i, j], w[i], w[j], p))


@given(st.integers(0, 10_000), st.integers(2, 9))
@settings(max_examples=20)
def test_gudhi_weighs_alike(seed, n):
    points, weights = drawn(seed, n, False)
    apart = cdist(points, points)
    tree = WeightedRipsComplex(distance_matrix=apart, weights=weights.tolist()).create_simplex_tree(2)
    assert_same(rips_persistence(points[None], weights=weights[None]), tree)
    matrix = torch.from_numpy(apart)[None]
    assert_same(rips_persistence(matrix, metric="precomputed", weights=weights[None]), tree)


def sorted_bars(d):
    """Return births, deaths and cells, in the order of the cells."""
    rows = zip(
        d.births.tolist(),
        d.deaths.tolist(),
        d.samples.tolist(),
        d.birth_cells.tolist(),
        d.death_cells.tolist(),
        strict=True,
    )
    return sorted(rows, key=lambda row: row[2:])


def test_without_weight_nothing_changes():
    points = torch.rand(3, 12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = rips_persistence(points)
    for p in POWERS:
        d = rips_persistence(points, weights=torch.zeros(3, 12), p=p)
        for dim in (0, 1):
            ours, theirs = (sorted_bars(each.dim(dim)) for each in (d, plain))
            assert [bar[2:] for bar in ours] == [bar[2:] for bar in theirs]
            np.testing.assert_allclose([bar[:2] for bar in ours], [bar[:2] for bar in theirs])


def test_lists_and_batch_vectors_are_alike():
    sizes = [5, 3, 7]
    each = [drawn(k, n, False) for k, n in enumerate(sizes)]
    clouds, weights = [x for x, _ in each], [w for _, w in each]
    d = rips_persistence(clouds, weights=weights)
    batch = torch.repeat_interleave(torch.tensor(sizes))
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    mixed = rips_persistence(torch.cat(clouds)[order], batch=batch[order], weights=torch.cat(weights)[order])
    assert sorted(zip(d.births.tolist(), d.deaths.tolist(), d.samples.tolist(), strict=True)) == sorted(
        zip(mixed.births.tolist(), mixed.deaths.tolist(), mixed.samples.tolist(), strict=True)
    )
    alone = rips_persistence(clouds[2][None], weights=weights[2][None])
    torch.testing.assert_close(d[2].deaths, alone.deaths)
    assert torch.equal(d[2].death_cells, alone.death_cells)
    assert rips_persistence(torch.zeros(0, 4, 2), weights=torch.zeros(0, 4)).n_samples == 0


@pytest.mark.parametrize("p", POWERS)
def test_gradients_reach_points_and_weights(p):
    points, weights = drawn(3, 7, False)
    inputs = points[None].requires_grad_(), weights[None].double().requires_grad_()

    def finite_ends(x, w):
        d = rips_persistence(x, weights=w, p=p).finite()
        return torch.cat((d.births, d.deaths))

    assert torch.autograd.gradcheck(finite_ends, inputs)
    assert torch.autograd.gradgradcheck(finite_ends, inputs)


def test_layers_weigh_by_the_distance_to_the_measure():
    points = torch.rand(4, 15, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = rips_persistence(points, weights=codensity(points, mass=0.2), p=2)
    layer = RipsPersistence(mass=0.2, p=2)
    torch.testing.assert_close(layer(points).deaths, expected.deaths)
    torch.testing.assert_close(layer.fit_transform(points.numpy()).births, expected.births)
    weights = torch.rand(4, 15, generator=torch.Generator().manual_seed(1))
    given_weights = RipsPersistence()(points, weights=weights)
    torch.testing.assert_close(given_weights.births, rips_persistence(points, weights=weights).births)
    with pytest.raises(InputError, match="weights are given beside mass; expected one of them"):
        layer(points, weights=weights)


CLOUD = torch.zeros(1, 3, 2)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (torch.zeros(3), {}, r"weights has shape \(3,\); expected one weight for each point, \(1, 3\)"),
        ([torch.zeros(2)], {}, r"weights have shapes \[\(2,\)\]"),
        (
            torch.tensor([[0.0, -1.0, 0.0]]),
            {},
            r"weights\[0\] has -1.0 at 1; expected finite weights of at least 0",
        ),
        (torch.tensor([[0.0, torch.nan, 0.0]]), {}, r"weights\[0\] has NaN at 1"),
        (torch.zeros(1, 3), {"p": 3}, "p is 3; expected one of 1, 2, inf"),
    ],
)
def test_unusable_weights_are_named(weights, options, message):
    with pytest.raises(InputError, match=message):
        rips_persistence(CLOUD, weights=weights, **options)
    with pytest.raises(TypeError, match="weights is a float; expected"):
        rips_persistence(CLOUD, weights=0.5)
    with pytest.raises(InputError, match=r"x\[0\] has NaN"):
        rips_persistence(CLOUD / 0, weights=torch.zeros(1, 3))
