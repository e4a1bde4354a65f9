"""Covers by what is near some samples, which are chosen in their order; and covers that are given.

P. Dłotko, "Ball Mapper: a shape summary for topological data analysis", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from topodl._checks import check_number, fail
from topodl.mapper.covers import Array, Cover

__all__ = ["BallCover", "KNNCover", "PrecomputedCover"]


class _LandmarkCover(Cover):
    """A cover by what is near some samples, chosen in their order: the first that no element holds yet."""

    def _near(self, sample: int) -> Array:
        """Return what the element of a sample holds."""
        raise NotImplementedError

    def _fit(self, lens: Array, precomputed: bool) -> tuple[Array, Array]:
        self._precomputed = precomputed
        self._values, self._tree = lens, None if precomputed else cKDTree(lens)
        covered = np.zeros(len(lens), bool)
        landmarks, members = [], []
        for sample in range(len(lens)):
            if not covered[sample]:
                near = np.sort(self._near(sample))
                covered[near] = True
                landmarks.append(sample)
                members.append(near)
        self.landmarks_ = np.array(landmarks, np.int64)
        self.index_ = np.arange(len(landmarks))[:, None]
        self._centres = None if precomputed else lens[self.landmarks_]
        self._reach = self._reaches(members)
        del self._values, self._tree
        return np.concatenate(members), np.repeat(np.arange(len(members)), [len(near) for near in members])

    def _reaches(self, members: Sequence[Array]) -> Array:
        """Return how far a sample may be from each landmark to lie in its element, (K,)."""
        raise NotImplementedError

    def _locate(self, lens: Array) -> tuple[Array, Array]:
        samples, elements = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        tree = None if self._precomputed else cKDTree(lens)
        for k, (landmark, reach) in enumerate(zip(self.landmarks_, self._reach, strict=True)):
            if tree is None:
                near = np.flatnonzero(lens[:, landmark] <= reach)
            else:
                assert self._centres is not None
                near = np.array(tree.query_ball_point(self._centres[k], reach), np.int64)
            samples.append(np.sort(near))
            elements.append(np.full(len(near), k))
        return np.concatenate(samples), np.concatenate(elements)


class BallCover(_LandmarkCover):
    """Balls around samples: the first sample that no ball holds yet becomes the centre of the next.

    With ``lens=None`` and ``clusterer=None`` of `Mapper` the balls are the nodes: Ball Mapper.

    Parameters
    ----------
    radius : float
        Distance up to which samples belong to a ball, itself counted, in units of the lens.

    Attributes
    ----------
    landmarks_ : ndarray of shape (K,)
        The samples in the centres.

    References
    ----------
    P. Dłotko. Ball Mapper: a shape summary for topological data analysis. arXiv:1901.07410, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.mapper import BallCover
    >>> cover = BallCover(radius=1.0)
    >>> [each.tolist() for each in cover.fit(np.array([[0.0], [1.0], [2.0], [5.0]])).sets()]
    [[0, 1], [1, 2], [3]]
    >>> cover.landmarks_
    array([0, 2, 3])
    """

    def __init__(self, radius: float) -> None:
        self.radius = radius

    def _fit(self, lens: Array, precomputed: bool) -> tuple[Array, Array]:
        check_number("BallCover", "radius", self.radius, low=0)
        return super()._fit(lens, precomputed)

    def _near(self, sample: int) -> Array:
        if self._tree is None:
            return np.flatnonzero(self._values[sample] <= self.radius)
        return np.array(self._tree.query_ball_point(self._values[sample], self.radius), np.int64)

    def _reaches(self, members: Sequence[Array]) -> Array:
        return np.full(len(members), float(self.radius))


class KNNCover(_LandmarkCover):
    """Samples with their nearest neighbours: the first that no element holds yet is the next to choose.

    Parameters
    ----------
    n_neighbors : int
        Samples of an element beside the chosen one, fewer where there are not as many.

    Attributes
    ----------
    landmarks_ : ndarray of shape (K,)
        The samples that were chosen.

    References
    ----------
    L. Simi. tda-mapper: a library for the Mapper algorithm. Journal of Open Source Software, 2024 (its
    KNNCover).

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.mapper import KNNCover
    >>> [each.tolist() for each in KNNCover(1).fit(np.array([[0.0], [1.0], [3.0], [5.5]])).sets()]
    [[0, 1], [1, 2], [2, 3]]
    """

    def __init__(self, n_neighbors: int = 5) -> None:
        self.n_neighbors = n_neighbors

    def _fit(self, lens: Array, precomputed: bool) -> tuple[Array, Array]:
        check_number("KNNCover", "n_neighbors", self.n_neighbors, low=1, integer=True)
        self._distances: list[float] = []
        return super()._fit(lens, precomputed)

    def _near(self, sample: int) -> Array:
        n = min(self.n_neighbors + 1, len(self._values))
        if self._tree is None:
            row = self._values[sample]
            near = np.argsort(row, kind="stable")[:n]
            distances = row[near]
        else:
            distances, near = self._tree.query(self._values[sample], k=range(1, n + 1))
        # the root of a sum of squares may be rounded to below it
        self._distances.append(float(np.nextafter(distances[-1], np.inf)))
        # of several equal samples the tree may find others
        return near if sample in near else np.append(near[:-1], sample)

    def _reaches(self, members: Sequence[Array]) -> Array:
        return np.array(self._distances)


class PrecomputedCover(Cover):
    """Given sets of samples. New samples cannot be placed.

    Parameters
    ----------
    sets : sequence of sets or sequences of int
        The samples of each element; an empty one makes no node.

    References
    ----------
    G. Singh, F. Mémoli, G. Carlsson. Topological methods for the analysis of high dimensional data sets and
    3D object recognition. Eurographics Symposium on Point-Based Graphics, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.mapper import PrecomputedCover
    >>> cover = PrecomputedCover([{0, 1}, [2, 1]])
    >>> [each.tolist() for each in cover.fit(np.zeros((3, 1))).sets()]
    [[0, 1], [1, 2]]
    """

    def __init__(self, sets: Sequence[Any]) -> None:
        self.sets = sets

    def _fit(self, lens: Array, precomputed: bool) -> tuple[Array, Array]:
        members = [np.unique(np.array(list(each), np.int64)) for each in self.sets]
        for k, each in enumerate(members):
            if len(each) and not 0 <= each[0] <= each[-1] < len(lens):
                came = f"has {each[0]} … {each[-1]}"
                raise fail("PrecomputedCover", f"sets[{k}]", came, f"samples from 0 to {len(lens) - 1}")
        self.index_ = np.arange(len(members))[:, None]
        elements = np.repeat(np.arange(len(members)), [len(each) for each in members])
        return np.concatenate([np.empty(0, np.int64), *members]), elements

    def _locate(self, lens: Array) -> tuple[Array, Array]:
        raise fail("PrecomputedCover", "X", "has new samples", "a cover that is learnt from the lens")
