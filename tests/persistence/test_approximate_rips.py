"""Sparse filtrations: the edges, and bars beside the exact ones."""

import math

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse as matrices
from scipy.spatial.distance import pdist, squareform

import topodl
from tests.naive.rips import sparse_edges
from topodl._distance_matrices import distances_between
from topodl.distances import bottleneck_distance
from topodl.errors import InputError, MemoryLimitError
from topodl.kernels.points.greedy_edges import greedy_edges
from topodl.persistence import _approximate_rips

seeds = st.integers(0, 2**32 - 1)
shares = st.sampled_from([0.05, 0.25, 0.5, 0.8, 0.95])


def cloud(seed, n, n_dims=2, ties=False):
    """Return points of a thin box, or of a small grid, so that distances are of many sizes or equal."""
    rng = np.random.default_rng(seed)
    if ties:
        return rng.integers(0, 4, (n, n_dims)).astype(float)
    return rng.random((n, n_dims)) ** 3 * [1, *[0.2] * (n_dims - 1)]


def found_edges(points, sparse, precomputed=False, longest=math.inf):
    edges, values, *_, fits = greedy_edges(points, precomputed, False, sparse, longest, 10**9)
    assert fits
    return dict(zip(map(tuple, edges.tolist()), values.tolist(), strict=True))


@given(seeds, st.integers(1, 25), shares)
def test_edges_are_those_of_growing_balls(seed, n, sparse):
    points = cloud(seed, n)
    expected = sparse_edges(squareform(pdist(points)), sparse)
    found = found_edges(points, sparse)
    assert found.keys() == expected.keys()
    assert [found[e] for e in expected] == pytest.approx(list(expected.values()), rel=1e-9)


@given(seeds, st.integers(1, 25), st.sampled_from([0.25, 0.5]))
def test_equal_distances_are_ordered_by_index(seed, n, sparse):  # all numbers are exact
    rng = np.random.default_rng(seed)
    distances = squareform(rng.integers(1, 5, n * (n - 1) // 2).astype(float)) if n > 1 else np.zeros((1, 1))
    found = found_edges(distances, sparse, precomputed=True)
    assert found == sparse_edges(distances, sparse)
    limited = found_edges(distances, sparse, precomputed=True, longest=3.0)
    assert limited == {edge: value for edge, value in found.items() if value <= 3}


@pytest.mark.parametrize("sparse", [0.1, 0.4, 0.9])
def test_edges_are_those_of_gudhi(sparse):
    points = cloud(0, 24, 3)
    tree = gudhi.RipsComplex(points=points, sparse=sparse).create_simplex_tree(max_dimension=1)
    theirs = {tuple(s): value for s, value in tree.get_skeleton(1) if len(s) == 2}
    agreed = []
    for first in range(len(points)):  # theirs is drawn
        order = np.r_[first, np.delete(np.arange(len(points)), first)]
        own = {tuple(sorted(order[[*e]])): value for e, value in found_edges(points[order], sparse).items()}
        same = own.keys() == theirs.keys()
        agreed.append(same and all(own[e] == pytest.approx(theirs[e], rel=1e-9) for e in own))
    assert any(agreed)


def test_bars_are_those_of_gudhi_on_the_same_edges():
    points = cloud(1, 30, 3)
    tree = gudhi.SimplexTree()
    for v in range(len(points)):
        tree.insert([v], 0.0)
    for edge, value in found_edges(points, 0.4).items():
        tree.insert(list(edge), value)
    tree.expansion(3)
    tree.compute_persistence(homology_coeff_field=2)
    own = topodl.rips_persistence(torch.from_numpy(points)[None], (0, 1, 2), sparse=0.4)
    for dim in range(3):
        bars = sorted(map(tuple, tree.persistence_intervals_in_dimension(dim).tolist()))
        found = sorted(zip(own.dim(dim).births.tolist(), own.dim(dim).deaths.tolist(), strict=True))
        np.testing.assert_allclose(np.array(found).reshape(-1), np.array(bars).reshape(-1), rtol=1e-9)


@given(seeds, st.integers(1, 40), shares, st.booleans())
def test_bars_are_late_by_a_bounded_factor(seed, n, sparse, ties):
    x = torch.from_numpy(cloud(seed, n, ties=ties))[None]
    exact, near = topodl.rips_persistence(x), topodl.rips_persistence(x, sparse=sparse)
    factor = 1 / (1 - sparse)
    sooner, later = (d.dim(0).deaths.sort().values for d in (exact, near))
    assert len(sooner) == len(later)
    assert bool((later >= sooner * (1 - 1e-9)).all())
    assert bool((later <= sooner * factor * (1 + 1e-9)).all())
    assert bool(near.dim(1).deaths.isfinite().all())
    halfway = math.log(factor) / 2  # the middle of what is allowed: from there on, it is a distance
    logs = [
        topodl.Diagrams(
            d.births.log() - shift, d.deaths.log() - shift, d.dims, d.samples, n_samples=1, homology_dims=(1,)
        )
        for d, shift in ((exact.dim(1), 0.0), (near.dim(1), halfway))
    ]
    assert float(bottleneck_distance(*logs)) <= halfway + 1e-9


def test_an_edge_whose_ball_has_stopped_by_hand():
    # After 0 come 5.5, and 1 at λ = 1: its ball stops at 2, the one at 5.5 grows on: 2 (4.5 - 2) = 5.
    x = torch.tensor([[[0.0], [5.5], [1.0]]], requires_grad=True)
    d = topodl.rips_persistence(x, 0, sparse=0.5)
    assert d.deaths.tolist() == [1, 5, math.inf]
    assert d.death_cells.tolist() == [[0, 2], [1, 2], [-1, -1]]
    d.deaths[1].backward()
    assert x.grad.flatten().tolist() == [4, 2, -6]  # 2 (x1 - x2) - 4 (x2 - x0)


def test_edges_that_never_enter_by_hand():
    x = torch.tensor([[[0.0], [1.0], [10.0], [11.0]]])
    d = topodl.rips_persistence(
        x, 0, sparse=0.5
    )  # 1 and 10 have left when they would meet 11, 0 and each other
    assert d.deaths.tolist() == [1, 1, 11, math.inf]
    cut = topodl.rips_persistence(x, 0, max_edge_length=10.5, sparse=0.5)
    assert cut.deaths.tolist() == [1, 1, math.inf, math.inf]


@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
def test_gradients(metric):
    x = torch.from_numpy(np.stack([cloud(seed, 14) for seed in (3, 4)])).requires_grad_()

    def ends(points):
        filtered = distances_between(points) if metric == "precomputed" else points
        d = topodl.rips_persistence(filtered, (0, 1), metric, sparse=0.6).finite()
        return torch.cat((d.births, d.deaths))

    assert torch.autograd.gradcheck(ends, x)
    assert torch.autograd.gradgradcheck(ends, x)


@settings(max_examples=25)
@given(seeds, st.lists(st.integers(1, 12), min_size=1, max_size=4), shares)
def test_batches_matrices_and_layers_agree(seed, sizes, sparse):
    clouds = [torch.from_numpy(cloud(seed + k, n)) for k, n in enumerate(sizes)]
    together = topodl.rips_persistence(clouds, (0, 1, 2), sparse=sparse)
    distances = [
        torch.from_numpy(np.atleast_2d(squareform(pdist(c)))) if len(c) > 1 else c[:, :1] for c in clouds
    ]
    by_matrix = topodl.rips_persistence(distances, (0, 1, 2), "precomputed", sparse=sparse)
    layer = topodl.layers.RipsPersistence((0, 1, 2), sparse=sparse)
    assert torch.equal(layer(clouds).deaths, together.deaths)
    for k, points in enumerate(clouds):
        alone = topodl.rips_persistence([points], (0, 1, 2), sparse=sparse)
        assert torch.equal(together[k].deaths, alone.deaths)
        assert torch.equal(together[k].birth_cells, alone.birth_cells)
        torch.testing.assert_close(by_matrix[k].deaths.sort().values, alone.deaths.sort().values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_small_types(dtype):
    x = torch.from_numpy(cloud(5, 30, 3))[None]
    d = topodl.rips_persistence(x.to(dtype), sparse=0.5)
    wide = topodl.rips_persistence(x.to(dtype).double(), sparse=0.5)
    assert d.deaths.dtype == dtype
    assert bool((d.births <= d.deaths).all())
    close = {"rtol": 4 * torch.finfo(dtype).eps, "atol": 0}
    torch.testing.assert_close(
        d.dim(0).deaths.double().sort().values, wide.dim(0).deaths.sort().values, **close
    )


def test_parts_that_are_infinitely_far_apart():
    distances = torch.tensor([[0.0, 1, math.inf], [1, 0, math.inf], [math.inf, math.inf, 0]])
    d = topodl.rips_persistence(distances[None], 0, "precomputed", sparse=0.5)
    assert d.deaths.tolist() == [1, math.inf, math.inf]


@pytest.mark.parametrize("sparse", [0, 1, 1.5, -0.1, math.nan, math.inf, True, "0.1"])
def test_sparse_is_a_share(sparse):
    with pytest.raises(InputError, match=r"rips_persistence: sparse is .*; expected"):
        topodl.rips_persistence(torch.rand(1, 4, 2), sparse=sparse)


def test_what_does_not_go_together():
    x = torch.rand(1, 4, 2)
    with pytest.raises(
        InputError, match="sparse is given beside weights; expected points or dense distances"
    ):
        topodl.rips_persistence(x, weights=torch.zeros(1, 4), sparse=0.5)
    entries = matrices.coo_array(([1.0], ([0], [1])), shape=(3, 3))
    with pytest.raises(InputError, match="sparse is given beside sparse distances"):
        topodl.rips_persistence(entries, metric="precomputed", sparse=0.5)


def test_too_many_edges_are_named(monkeypatch):
    monkeypatch.setattr(_approximate_rips, "free_memory", lambda: 10 * 120)
    monkeypatch.setattr("topodl.persistence._rips_pairing.free_memory", lambda: 10 * 120)
    with pytest.raises(MemoryLimitError, match=r"more than 10 edges.*a larger sparse, or a max_edge_length"):
        topodl.rips_persistence(torch.rand(1, 8, 2), sparse=0.1)
    assert len(topodl.rips_persistence(torch.rand(1, 4, 2), 0, sparse=0.1).deaths) == 4
