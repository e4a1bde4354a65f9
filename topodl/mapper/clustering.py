"""Clusters of preimages: single linkage with given and with automatic cuts, DBSCAN, any clusterer.

G. Singh, F. Mémoli, G. Carlsson, "Topological methods for the analysis of high dimensional data sets and 3D
object recognition", SPBG 2007 (the cut at a gap). Cost: one tree over near pairs, or one spanning tree a
preimage.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import DBSCAN

from topodl._checks import check_number, fail
from topodl._segments import stable_order
from topodl.kernels.mapper.gaps import histogram_cuts, relative_cuts
from topodl.kernels.mapper.incidences import density_clusters
from topodl.mapper._near import Array, Samples, Trees, spanning_trees, united
from topodl.mapper.covers import Preimages

__all__ = ["HistogramGap", "PreimageClusterer", "RelativeGap", "SingleLinkage", "read_clusterer"]


class PreimageClusterer(BaseEstimator):
    """What all clusterers of preimages are: they label the samples of all elements in one call."""

    def cluster(self, samples: Samples, preimages: Preimages) -> Array:
        """Return a label (M,) of each sample of each element, −1 for noise."""
        raise NotImplementedError

    def joining_pairs(self, samples: Samples) -> Array:
        """Return the pairs (P, 2) of samples that are near, or the error if it has no reach."""
        name = type(self).__name__
        expected = "a distance, SingleLinkage or DBSCAN, whose reach joins bins"
        raise fail("Mapper", "clusterer", f"is {name} with a cover of bins", expected)


class SingleLinkage(PreimageClusterer):
    """Single linkage, cut at a distance: samples that are joined by near ones are in one cluster.

    Parameters
    ----------
    distance : float, optional
        Samples no further apart are near. None: `factor` times the distance at which all samples together
        become connected.
    factor : float
        See `distance`.

    References
    ----------
    J. Curry, W. Mio, T. Needham, O. B. Okutan, F. Russold. Topologically attributed graphs for shape
    discrimination. TAG-ML at ICML 2023, arXiv:2306.17805 (the factor).

    Examples
    --------
    >>> import torch
    >>> from topodl.mapper import SingleLinkage, mapper_graph
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 5.0], [2.0, 0.0]])
    >>> graph = mapper_graph(x, x[:, 0], n_intervals=2, clusterer=SingleLinkage(1.5))
    >>> [node.tolist() for node in graph]
    [[0, 1], [2], [1, 3], [2]]
    """

    def __init__(self, distance: float | None = None, factor: float = 2.0) -> None:
        self.distance = distance
        self.factor = factor

    def cluster(self, samples: Samples, preimages: Preimages) -> Array:
        """Return a label (M,) of each sample of each element."""
        reach = self.reach(samples)
        if samples.has_few_near_pairs(reach):
            return _density_labels(samples.near_pairs(reach), preimages, len(samples.table), 1)
        trees = spanning_trees(samples, preimages)
        return united(len(preimages.samples), trees.edges[trees.lengths <= reach])

    def joining_pairs(self, samples: Samples) -> Array:
        """Return the pairs (P, 2) of samples that are near."""
        return samples.near_pairs(self.reach(samples))

    def reach(self, samples: Samples) -> float:
        """Return the distance up to which samples are near."""
        name = type(self).__name__
        if self.distance is not None:
            check_number(name, "distance", self.distance, low=0)
            return float(self.distance)
        check_number(name, "factor", self.factor, low=0)
        _, lengths = samples.spanning_tree(np.arange(len(samples.table)))
        return float(self.factor * lengths.max(initial=0.0))


class _TreeCut(PreimageClusterer):
    """Single linkage of each preimage, cut where its merge heights say."""

    max_fraction: float

    def cluster(self, samples: Samples, preimages: Preimages) -> Array:
        """Return a label (M,) of each sample of each element."""
        check_number(type(self).__name__, "max_fraction", self.max_fraction, low=0, high=1)
        trees = spanning_trees(samples, preimages)
        most = np.maximum(np.floor(self.max_fraction * preimages.sizes), 1).astype(np.int64)
        kept = np.maximum(self._kept(trees), preimages.sizes - most)
        return united(len(preimages.samples), trees.kept(np.minimum(kept, np.diff(trees.starts))))

    def _kept(self, trees: Trees) -> Array:
        """Return how many merges of each preimage are done."""
        raise NotImplementedError


class HistogramGap(_TreeCut):
    """Single linkage, cut at the first empty bin of a histogram of merge heights.

    All merges up to the left end of that bin are done. Heights that are all equal, and so two samples, make
    one cluster.

    Parameters
    ----------
    n_bins : int
        Equal bins from the smallest to the largest height.
    grows : bool
        Whether, where no bin is empty, there is one more, and so on, as giotto-tda does. Else nothing is cut
        then, as in the rule of Singh, Mémoli and Carlsson.
    max_fraction : float
        Clusters of a preimage at most, as a share of its samples.

    References
    ----------
    G. Singh, F. Mémoli, G. Carlsson. Topological methods for the analysis of high dimensional data sets and
    3D object recognition. Eurographics Symposium on Point-Based Graphics, 2007.

    Examples
    --------
    >>> import torch
    >>> from topodl.mapper import HistogramGap, mapper_graph
    >>> x = torch.tensor([[0.0], [1.0], [2.1], [9.0], [10.0]])
    >>> [node.tolist() for node in mapper_graph(x, x[:, 0], n_intervals=1, clusterer=HistogramGap(5))]
    [[0, 1, 2], [3, 4]]
    """

    def __init__(self, n_bins: int = 5, grows: bool = True, max_fraction: float = 1.0) -> None:
        self.n_bins = n_bins
        self.grows = grows
        self.max_fraction = max_fraction

    def _kept(self, trees: Trees) -> Array:
        check_number("HistogramGap", "n_bins", self.n_bins, low=1, integer=True)
        kept: Array = histogram_cuts(trees.starts, trees.lengths, int(self.n_bins), bool(self.grows))
        return kept


class RelativeGap(_TreeCut):
    """Single linkage, cut at the first step of merge heights that is large beside the last height.

    The first step begins at 0, so that a preimage whose samples are about equally far apart falls into single
    samples.

    Parameters
    ----------
    share : float
        What a step is at least, as a share of the last height; where none is, there is one cluster.
    max_fraction : float
        Clusters of a preimage at most, as a share of its samples.

    References
    ----------
    G. Tauzin et al. giotto-tda: a topological data analysis toolkit for machine learning and data
    exploration. JMLR 22, 2021 (its FirstSimpleGap).

    Examples
    --------
    >>> import torch
    >>> from topodl.mapper import RelativeGap, mapper_graph
    >>> x = torch.tensor([[0.0], [1.0], [2.1], [9.0], [10.0]])
    >>> [node.tolist() for node in mapper_graph(x, x[:, 0], n_intervals=1, clusterer=RelativeGap(0.3))]
    [[0, 1, 2], [3, 4]]
    """

    def __init__(self, share: float = 0.3, max_fraction: float = 1.0) -> None:
        self.share = share
        self.max_fraction = max_fraction

    def _kept(self, trees: Trees) -> Array:
        check_number("RelativeGap", "share", self.share, low=0, high=1)
        kept: Array = relative_cuts(trees.starts, trees.lengths, float(self.share))
        return kept


class _Whole(PreimageClusterer):
    """Every element is one cluster."""

    def cluster(self, samples: Samples, preimages: Preimages) -> Array:
        return np.zeros(len(preimages.samples), np.int64)


class _Density(PreimageClusterer):
    """DBSCAN in all elements at once."""

    def __init__(self, eps: float, min_samples: int) -> None:
        self.eps = eps
        self.min_samples = min_samples

    def cluster(self, samples: Samples, preimages: Preimages) -> Array:
        check_number("DBSCAN", "eps", self.eps, low=0)
        check_number("DBSCAN", "min_samples", self.min_samples, low=1, integer=True)
        if samples.are_dense(self.eps):
            each = _Foreign(DBSCAN(eps=self.eps, min_samples=self.min_samples), n_jobs=None)
            return each.cluster(samples, preimages)
        pairs = samples.near_pairs(self.eps)
        return _density_labels(pairs, preimages, len(samples.table), self.min_samples)

    def joining_pairs(self, samples: Samples) -> Array:
        return samples.near_pairs(self.eps)


def _density_labels(pairs: Array, preimages: Preimages, n_samples: int, min_samples: int) -> Array:
    """Return the clusters (M,) of near pairs (P, 2) within each element."""
    order = stable_order(torch.from_numpy(preimages.samples), n_samples).numpy()  # elements rise in each
    starts = np.concatenate([[0], np.cumsum(np.bincount(preimages.samples, minlength=n_samples))])
    labels = np.empty(len(order), np.int64)
    labels[order] = density_clusters(pairs, starts, preimages.elements[order], int(min_samples))
    return labels


class _Foreign(PreimageClusterer):
    """A clusterer of scikit-learn's kind, run on each preimage by itself."""

    def __init__(self, clusterer: Any, n_jobs: int | None) -> None:
        self.clusterer = clusterer
        self.n_jobs = n_jobs

    def cluster(self, samples: Samples, preimages: Preimages) -> Array:
        if samples.are_distances and getattr(self.clusterer, "metric", None) != "precomputed":
            came = f"is {self.clusterer!r} with metric='precomputed'"
            raise fail("Mapper", "clusterer", came, "one with metric='precomputed', too")
        jobs = (
            delayed(_labels_of)(self.clusterer, samples.cloud(which), k)
            for k, which in enumerate(preimages.sets())
        )
        return np.concatenate([np.empty(0, np.int64), *Parallel(n_jobs=self.n_jobs)(jobs)])


def _labels_of(clusterer: Any, cloud: Array, element: int) -> Array:
    """Return the labels (m,) that a clusterer gives; samples too few for its density are noise."""
    own, n = clone(clusterer), len(cloud)
    settings = own.get_params(deep=False)
    for name in ("n_clusters", "n_components"):
        if isinstance(settings.get(name), numbers.Integral) and settings[name] > n:
            own.set_params(**{name: n})
    needed = (settings.get(name) for name in ("min_samples", "min_cluster_size"))
    if n < max((int(each) for each in needed if isinstance(each, numbers.Integral)), default=1):
        return np.full(n, -1)
    if n == 1:
        return np.zeros(1, np.int64)
    try:
        labels = np.asarray(own.fit_predict(cloud))
    except ValueError as error:
        came = f"is {clusterer!r}, which fails on the {n} samples of element {element}"
        raise fail("Mapper", "clusterer", came, f"one that takes so few or such samples: {error}") from error
    if labels.shape != (n,):
        came = f"is {clusterer!r}, which gives labels of shape {labels.shape}"
        raise fail("Mapper", "clusterer", came, f"one label for each of {n} samples")
    return labels.astype(np.int64)


_BY_NAME = {"gap": HistogramGap, "simple_gap": RelativeGap}


def read_clusterer(function: str, clusterer: Any, precomputed: bool, n_jobs: int | None) -> PreimageClusterer:
    """Return the clusterer of preimages that a setting means, or the error that says what it may be."""
    if clusterer is None:
        return _Whole()
    if isinstance(clusterer, PreimageClusterer):
        return clusterer
    if isinstance(clusterer, str) and clusterer in _BY_NAME:
        return _BY_NAME[clusterer]()
    if isinstance(clusterer, numbers.Real) and not isinstance(clusterer, bool):
        check_number(function, "clusterer", clusterer, low=0)
        return SingleLinkage(float(clusterer))
    metric = "precomputed" if precomputed else "euclidean"
    if type(clusterer) is DBSCAN and clusterer.metric == metric:
        return _Density(clusterer.eps, clusterer.min_samples)
    if not isinstance(clusterer, str | type) and hasattr(clusterer, "fit_predict"):
        return _Foreign(clusterer, n_jobs)
    expected = "'gap', 'simple_gap', a distance, None, or a clusterer with fit_predict"
    raise fail(function, "clusterer", f"is {clusterer!r}", expected)
