"""Clusters of preimages, against single linkage by joining the nearest, and what clusterers cannot take."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN, HDBSCAN, OPTICS, AgglomerativeClustering, KMeans
from sklearn.mixture import GaussianMixture

from tests.naive import mapper as naive
from topodl import InputError, Mapper
from topodl.mapper import HistogramGap, PrecomputedCover, RelativeGap, SingleLinkage, _near

CLOUD = st.integers(0, 199).map(
    lambda s: np.random.default_rng(s).integers(0, 8, (s % 12 + 2, 2)).astype(float)
)


def nodes_of(points, clusterer, **settings):
    mapper = Mapper(lens=0, n_intervals=3, overlap=0.4, clusterer=clusterer, **settings)
    return sorted(node.tolist() for node in mapper.fit(points).graph_)


def expected_nodes(points, threshold_of):
    """Return the clusters of each element, cut at a threshold that its points decide."""
    nodes = []
    for own in naive.boxes(points[:, :1], 3, 0.4, "margin").values():
        clusters = naive.linked(points[own], threshold_of(points[own]))
        nodes += [[own[i] for i in cluster] for cluster in clusters]
    return sorted(nodes)


@given(CLOUD, st.sampled_from([0.0, 1.0, 1.5, 3.0]))
def test_a_distance_is_single_linkage(points, distance):
    expected = expected_nodes(points, lambda _: distance)
    assert nodes_of(points, distance) == expected
    assert nodes_of(points, SingleLinkage(distance)) == expected


@pytest.mark.parametrize("name", ["_MOST_DIMS", "_MOST_PAIRS"])
@given(CLOUD, st.sampled_from([1.0, 2.0]))
def test_single_linkage_by_spanning_trees_is_the_same(name, points, distance):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_near, name, 0)
        patch.setattr(_near, "_COUNTED_FROM", 0)
        assert nodes_of(points, distance) == expected_nodes(points, lambda _: distance)
        assert nodes_of(points, DBSCAN(distance, min_samples=1)) == nodes_of(points, distance)


def kept_threshold(points, cut):
    """Return a threshold that keeps as many of the merges as `cut` says, whatever ties there are."""
    heights = naive.merge_heights(points)
    kept = cut(heights)
    return heights[kept - 1] if kept else -1.0


@settings(max_examples=30)
@given(CLOUD, st.booleans())
def test_histogram_gaps_cut_single_linkage_of_each_preimage(points, grows):
    points = points + np.random.default_rng(0).random(points.shape)  # no ties
    found = nodes_of(points, HistogramGap(4, grows))
    cut = lambda heights: naive.histogram_cut(heights, 4, grows)  # noqa: E731
    assert found == expected_nodes(points, lambda own: kept_threshold(own, cut))


@settings(max_examples=30)
@given(CLOUD)
def test_relative_gaps_cut_single_linkage_of_each_preimage(points):
    points = points + np.random.default_rng(0).random(points.shape)
    found = nodes_of(points, RelativeGap(0.3))
    cut = lambda heights: naive.relative_cut(heights, 0.3)  # noqa: E731
    assert found == expected_nodes(points, lambda own: kept_threshold(own, cut))
    assert nodes_of(points, "simple_gap") == found


def test_the_share_of_clusters_has_a_limit():
    points = np.stack([np.zeros(8), 2.0 ** np.arange(8)], 1)
    assert len(nodes_of(points, RelativeGap(0.0))) == 8
    assert len(nodes_of(points, RelativeGap(0.0, max_fraction=0.5))) == 4
    assert len(nodes_of(points, RelativeGap(0.0, max_fraction=0.0))) == 1


def test_the_factor_is_of_the_distance_that_connects_all():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 4.0]])
    assert nodes_of(points, SingleLinkage(factor=1.0)) == [[0, 1, 2]]
    assert nodes_of(points, SingleLinkage(factor=0.5)) == [[0, 1], [2]]


@pytest.mark.parametrize("min_samples", [1, 2, 4])
@given(CLOUD)
def test_dbscan_at_once_is_dbscan_of_each_preimage(min_samples, points):
    class Other(DBSCAN):
        """A class of its own is run on each preimage by itself."""

    at_once, each = DBSCAN(1.5, min_samples=min_samples), Other(eps=1.5, min_samples=min_samples)
    for noise in ("drop", "singletons", "node"):
        assert nodes_of(points, at_once, noise=noise) == nodes_of(points, each, noise=noise)


@settings(max_examples=20)
@given(CLOUD)
def test_dbscan_of_dense_samples_is_the_same(points):
    clusterer = DBSCAN(1.5, min_samples=3)
    expected = nodes_of(points, clusterer, noise="node")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_near, "_MOST_PAIRS", 0)
        patch.setattr(_near, "_COUNTED_FROM", 0)
        assert nodes_of(points, clusterer, noise="node") == expected


def test_noise_is_dropped_or_makes_nodes():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 9.0], [0.0, 19.0]])
    clusterer = DBSCAN(1.0, min_samples=2)
    assert nodes_of(points, clusterer) == [[0, 1]]
    assert nodes_of(points, clusterer, noise="singletons") == [[0, 1], [2], [3]]
    assert nodes_of(points, clusterer, noise="node") == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("clusterer", "expected"),
    [
        (KMeans(2, n_init=1, random_state=0), [[0], [1], [2], [3, 4], [5]]),
        (GaussianMixture(2, random_state=0, reg_covar=1e-3), [[0], [1], [2], [3, 4], [5]]),
        (AgglomerativeClustering(None, distance_threshold=2.0), [[0], [1], [2], [3, 4], [5]]),
        (OPTICS(min_samples=3), [[3, 4, 5]]),
        (HDBSCAN(min_cluster_size=4, copy=True), []),
        (DBSCAN(1.0, min_samples=2), [[3, 4]]),
    ],
)
def test_small_preimages_are_left_to_no_clusterer_that_cannot_take_them(clusterer, expected):
    points = np.array([[0.0, 0.0], [0.0, 9.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [0.0, 9.0]])
    cover = PrecomputedCover([[0], [1, 2], [3, 4, 5]])
    nodes = sorted(
        node.tolist() for node in Mapper(lens=0, cover=cover, clusterer=clusterer).fit(points).graph_
    )
    assert nodes == expected


def test_jobs_change_nothing():
    points = np.random.default_rng(0).random((30, 2))
    clusterer = KMeans(2, n_init=1, random_state=0)
    assert nodes_of(points, clusterer) == nodes_of(points, clusterer, n_jobs=2)


class _Wrong:
    """A clusterer that gives one label, or fails."""

    def __init__(self, fails=False):
        self.fails = fails

    def get_params(self, deep=False):
        return {"fails": self.fails}

    def fit_predict(self, X):
        if self.fails:
            raise ValueError("k must be small")
        return np.zeros(1)


@pytest.mark.parametrize(
    ("clusterer", "message"),
    [
        ("ward", "clusterer is 'ward'; expected 'gap', 'simple_gap', a distance, None, or a clusterer"),
        (DBSCAN, "expected 'gap', 'simple_gap', a distance"),
        (True, "clusterer is True"),
        (-1.0, "clusterer is -1.0; expected a number of at least 0"),
        (np.inf, "clusterer is inf"),
        (SingleLinkage(-1.0), "SingleLinkage: distance is -1.0"),
        (SingleLinkage(factor=-1.0), "SingleLinkage: factor is -1.0"),
        (HistogramGap(0), "HistogramGap: n_bins is 0"),
        (HistogramGap(max_fraction=2.0), "HistogramGap: max_fraction is 2.0"),
        (RelativeGap(-1.0), "RelativeGap: share is -1.0"),
        (DBSCAN(-1.0), "DBSCAN: eps is -1.0"),
        (DBSCAN(1.0, min_samples=0), "DBSCAN: min_samples is 0"),
        (_Wrong(), r"gives labels of shape \(1,\); expected one label for each of"),
        (_Wrong(fails=True), "fails on the . samples of element 0; expected .*k must be small"),
    ],
)
def test_clusterers_that_are_none_are_named(clusterer, message):
    with pytest.raises(InputError, match=message):
        nodes_of(np.random.default_rng(0).random((20, 2)), clusterer)
