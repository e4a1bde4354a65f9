"""Rows of the page on other libraries that no other test compares: the values of the peer, to rounding."""

import gudhi
import gudhi.dtm_rips_complex
import gudhi.point_cloud.dtm
import gudhi.point_cloud.knn
import gudhi.point_cloud.timedelay
import gudhi.representations as gr
import numpy as np
import persim
import persim.landscapes
import pytest
import torch

import topodl
from tests.strategies import make_diagrams
from topodl import Diagrams
from topodl.distances import distance_matrix, kernel_matrix, optimal_matching
from topodl.filtrations import codensity, delay_embedding
from topodl.layers import (
    BarClamper,
    BarSelector,
    DelayEmbedding,
    DiagramDistances,
    DiagramKernel,
    PaddedBars,
    PersistenceLandscape,
    RipsPersistence,
)


@pytest.fixture(scope="module")
def finite():
    return make_diagrams(0, [[9, 0], [2, 0], [12, 0], [5, 0]], essential=0.0).dim(0)


@pytest.fixture
def cloud():
    return np.random.default_rng(1).random((18, 2))


def sorted_rows(bars):
    bars = np.asarray(bars).reshape(-1, 2)
    return bars[np.lexsort(bars.T)]


def test_rips_of_distances_to_the_measure(cloud):
    tree = gudhi.dtm_rips_complex.DTMRipsComplex(points=cloud, k=5).create_simplex_tree(max_dimension=2)
    tree.compute_persistence()
    d = RipsPersistence(mass=4 / len(cloud))(torch.from_numpy(cloud)[None])
    for k in (0, 1):
        theirs = tree.persistence_intervals_in_dimension(k)
        theirs = theirs[theirs[:, 1] > theirs[:, 0] + 1e-12]
        ours = d.dim(k).numpy()
        ours = np.stack([ours["birth"], ours["death"]], 1)
        np.testing.assert_allclose(sorted_rows(ours), sorted_rows(theirs), rtol=1e-9)


def test_distances_to_the_measure_and_to_neighbours(cloud):
    x = torch.from_numpy(cloud)[None]
    measure = gudhi.point_cloud.dtm.DistanceToMeasure(4, q=2).fit_transform(cloud)
    np.testing.assert_allclose(codensity(x, mass=3 / len(cloud))[0], measure, rtol=1e-12)
    knn = gudhi.point_cloud.knn.KNearestNeighbors(4, return_distance=True, return_index=False)
    np.testing.assert_allclose(codensity(x, k=4)[0], knn.fit_transform(cloud).mean(1), rtol=1e-12)


@pytest.mark.parametrize(("dimension", "delay", "stride"), [(3, 1, 1), (2, 3, 2)])
def test_delay_embeddings(dimension, delay, stride):
    series = np.random.default_rng(2).random((2, 25))
    peer = gudhi.point_cloud.timedelay.TimeDelayEmbedding(dim=dimension, delay=delay, skip=stride)
    theirs = np.stack(peer.transform(series))
    np.testing.assert_array_equal(
        DelayEmbedding(dimension, delay, stride=stride).fit_transform(series), theirs
    )
    np.testing.assert_array_equal(
        delay_embedding(torch.from_numpy(series), dimension, delay, stride=stride), theirs
    )


def test_the_cech_filtration_on_a_delaunay_complex(cloud):
    tree = gudhi.DelaunayCechComplex(points=cloud).create_simplex_tree()
    tree.compute_persistence(min_persistence=1e-12)
    d = topodl.alpha_persistence(torch.from_numpy(cloud)[None])
    for k in (0, 1):
        theirs = np.sqrt(tree.persistence_intervals_in_dimension(k))
        np.testing.assert_allclose(sorted_rows(d.to_gudhi(k)[0]), sorted_rows(theirs), rtol=1e-9, atol=1e-12)


def test_clamped_bars(finite):
    ours = BarClamper(0.3, 0.8)(finite).to_gudhi(0)
    for bars, kept in zip(finite.to_gudhi(0), ours, strict=True):
        theirs = gr.Clamping(minimum=0.3, maximum=0.8).fit_transform(bars)
        np.testing.assert_allclose(sorted_rows(kept), sorted_rows(theirs[theirs[:, 0] < theirs[:, 1]]))


def test_one_dimension_of_several():
    d = make_diagrams(3, [[4, 3], [1, 5]], essential=0.0)
    lists = [[one.to_gudhi(k)[0] for k in (0, 1)] for one in d]
    theirs = gr.DimensionSelector(index=1).fit_transform(lists)
    for ours, bars in zip(BarSelector(dims=1)(d).to_gudhi(1), theirs, strict=True):
        np.testing.assert_array_equal(ours, bars)


def test_padded_bars(finite):
    theirs = gr.Padding(use=True).fit_transform(finite.to_gudhi(0))
    bars, _, mask = finite.padded()
    longest = PaddedBars(bars.shape[1])(finite)[:, 0]
    for i, table in enumerate(theirs):
        real = table[table[:, 2] == 1, :2]
        assert int(mask[i].sum()) == len(real)
        np.testing.assert_array_equal(bars[i][mask[i]], real)
        np.testing.assert_allclose(sorted_rows(longest[i][longest[i].abs().sum(1) > 0]), sorted_rows(real))


@pytest.mark.parametrize(
    ("metric", "options", "peer", "tolerance"),
    [
        ("bottleneck", {}, gr.BottleneckDistance(e=0.0), 1e-9),
        ("wasserstein", {"order": 1, "ground_norm": 1}, gr.WassersteinDistance(1, 1), 1e-9),
        ("wasserstein", {"order": 2, "ground_norm": 2}, gr.WassersteinDistance(2, 2), 1e-9),
    ],
)
def test_matrices_of_distances(finite, metric, options, peer, tolerance):
    theirs = peer.fit_transform(finite.to_gudhi(0))
    np.testing.assert_allclose(distance_matrix(finite, metric=metric, **options)[0], theirs, atol=tolerance)
    layer = DiagramDistances(metric, options)
    np.testing.assert_allclose(layer.fit_transform(finite), theirs, atol=tolerance)


def test_sliced_distances_and_their_kernel(finite):
    """Both sum over directions; ours are half a step from theirs, and many of them make both the integral."""
    bars, n = finite.to_gudhi(0), 2000
    theirs = gr.SlicedWassersteinDistance(num_directions=n).fit_transform(bars)
    ours = distance_matrix(finite, metric="sliced_wasserstein", n_directions=n)[0]
    np.testing.assert_allclose(ours, theirs, rtol=5e-3, atol=1e-3)
    kernel = gr.SlicedWassersteinKernel(num_directions=n, bandwidth=0.5).fit_transform(bars)
    own = kernel_matrix(finite, kernel="sliced_wasserstein", bandwidth=0.5, n_directions=n)[0]
    np.testing.assert_allclose(own, kernel, atol=5e-3)
    layer = DiagramKernel("sliced_wasserstein", 0.5, {"n_directions": n})
    np.testing.assert_allclose(layer.fit_transform(finite), kernel, atol=5e-3)


def test_landscapes_of_persim(finite):
    start, stop = float(finite.births.min()), float(finite.deaths.max())
    layer = PersistenceLandscape(2, 40, (start, stop), scale=1.0)
    for one, bars in zip(layer(finite)[:, 0], finite.to_gudhi(0), strict=True):
        exact = persim.landscapes.PersLandscapeExact(dgms=[bars], hom_deg=0)
        exact.compute_landscape()
        grid = np.linspace(start, stop, 40)
        for k in range(2):
            corners = np.array(exact.critical_pairs[k]) if k < len(exact.critical_pairs) else np.zeros((1, 2))
            np.testing.assert_allclose(one[k], np.interp(grid, *corners.T), atol=1e-9)


def squared_integral(corners):
    """Return ∫ f² of the piecewise linear function through points (n, 2): persim's `p_norm` errs across 0."""
    widths, y = np.diff([x for x, _ in corners]), np.array([y for _, y in corners])
    return (widths * (y[:-1] ** 2 + y[:-1] * y[1:] + y[1:] ** 2) / 3).sum()


def test_distances_of_exact_landscapes_of_persim():
    d = make_diagrams(5, [[4, 0], [3, 0]], essential=0.0).dim(0)
    x, y = (persim.landscapes.PersLandscapeExact(dgms=[bars], hom_deg=0) for bars in d.to_gudhi(0))
    theirs = np.sqrt(sum(map(squared_integral, (x - y).critical_pairs)))
    ours = distance_matrix(d, metric="landscape", n_layers=4)[0, 0, 1]
    np.testing.assert_allclose(float(ours), theirs, rtol=1e-9)


def test_matchings_of_persim(finite):
    x, y = finite.to_gudhi(0)[0], finite.to_gudhi(0)[3]
    _, theirs = persim.wasserstein(x, y, matching=True)
    found = optimal_matching(*(Diagrams.from_gudhi([bars]) for bars in (x, y)), order=1, ground_norm=2)
    ours = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert ours == {(int(a), int(b)) for a, b, _ in theirs}
