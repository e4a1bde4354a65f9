"""Covers: overlapping sets of samples by their lens values, and in which of them new samples lie.

G. Singh, F. Mémoli, G. Carlsson, "Topological methods for the analysis of high dimensional data sets and
object recognition", SPBG 2007.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator

from topodl._checks import check_choice, check_number, fail
from topodl._segments import stable_order
from topodl.kernels.mapper.incidences import cells_of_ranges
from topodl.mapper._intervals import Axis, Split, for_each_axis, margin_limits, tight_limits

__all__ = ["Cover", "IntervalCover", "Preimages"]

Array = npt.NDArray[Any]
_MOST_CELLS = 2**62


class Preimages(NamedTuple):
    """The samples (M,) of each element of a cover, rising, between `starts` (K + 1,), and its index."""

    starts: Array
    samples: Array
    cover_index: Array

    @property
    def sizes(self) -> Array:
        """(K,) numbers of samples."""
        return np.diff(self.starts)

    @property
    def elements(self) -> Array:
        """(M,) the element of each sample."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def sets(self) -> list[Array]:
        """Return the samples of each element."""
        return np.split(self.samples, self.starts[1:-1]) if len(self.sizes) else []


class Cover(BaseEstimator):
    """What all covers are: they learn elements from lens values, and say in which of them others lie.

    A subclass writes `_fit`, which returns the elements of the values it learns from and their index, and
    `_locate`, which does so for other values with the same numbers of elements.

    References
    ----------
    G. Singh, F. Mémoli, G. Carlsson, "Topological methods for the analysis of high dimensional data sets and
    3D object recognition", Eurographics Symposium on Point-Based Graphics 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.mapper import Cover, IntervalCover
    >>> cover = IntervalCover(n_intervals=2)
    >>> isinstance(cover, Cover)
    True
    >>> preimages = cover.fit(np.array([[0.0], [0.5], [1.0]]))  # the middle lies in both
    """

    index_: Array

    def fit(self, lens: Array, precomputed: bool = False) -> Preimages:
        """Learn the elements of lens values (n, q), or of a matrix of distances (n, n), and return them."""
        samples, elements = self._fit(lens, precomputed)
        return _by_element(samples, elements, self.index_)

    def locate(self, lens: Array) -> tuple[Array, Array]:
        """Return the pairs of samples (M,) and elements (M,) of other values (n, q), or distances."""
        return self._locate(lens)

    def _fit(self, lens: Array, precomputed: bool) -> tuple[Array, Array]:
        raise NotImplementedError

    def _locate(self, lens: Array) -> tuple[Array, Array]:
        raise NotImplementedError


def _by_element(samples: Array, elements: Array, index: Array) -> Preimages:
    """Return the samples of each element, where those of equal elements come in rising order."""
    order = stable_order(torch.from_numpy(elements), len(index)).numpy()
    sizes = np.bincount(elements, minlength=len(index))
    return Preimages(np.concatenate([[0], np.cumsum(sizes)]), samples[order], index)


def _distinct(cells: Array, n_cells: int) -> tuple[Array, Array]:
    """Return which of all cells there are, rising, and the place of each of the `cells` (M,) among them."""
    if n_cells > 4 * len(cells):
        known, places = np.unique(cells, return_inverse=True)
        return known, places
    is_there = np.zeros(n_cells, bool)
    is_there[cells] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[cells]


class IntervalCover(Cover):
    """Equal intervals along each axis of the lens, which overlap; in several dimensions their products.

    Parameters
    ----------
    n_intervals : int or sequence of q int
        Number of intervals along each axis.
    overlap : float or sequence of q float
        Share of an interval that lies in the next one, at least 0 and below 1. Above 1/2, samples lie in more
        than two intervals of an axis.
    kind : {"uniform", "balanced", "bins"}
        "uniform" intervals are of equal length, "balanced" ones hold about as many distinct values each.
        "bins" are half-open and disjoint, whatever `overlap` says: nodes of neighbouring bins are joined
        where samples of both are near, and an edge weighs the pairs of near samples.
    ends : {"margin", "tight"}
        Where uniform intervals end. "margin": equal cells of the range of values, each widened on both
        sides, so that the outer ones stick out of the data, with their ends (KeplerMapper, GUDHI,
        tda-mapper). "tight": intervals from the least to the largest value, without their ends; of elements
        with equal samples the first counts (giotto-tda, zen-mapper). Balanced ones are always tight.
    max_points : int, optional
        An element with more samples is cut in two along the axis on which it is widest, with the same
        overlap, but at most 1/2, and so are its parts; they keep its index.

    Attributes
    ----------
    intervals_ : list of q ndarrays of shape (n, 2)
        Limits of the intervals along each axis. The outer ones are infinite: values beyond those that the
        cover has learnt from lie in the last interval.
    index_ : ndarray of shape (K, q)
        The intervals whose product each element is.

    References
    ----------
    G. Singh, F. Mémoli, G. Carlsson. Topological methods for the analysis of high dimensional data sets and
    3D object recognition. Eurographics Symposium on Point-Based Graphics, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.mapper import IntervalCover
    >>> lens = np.linspace(0, 1, 11)[:, None]
    >>> for ends in ("margin", "tight"):
    ...     cover = IntervalCover(n_intervals=2, overlap=0.3, ends=ends)
    ...     print([sorted(each.tolist()) for each in cover.fit(lens).sets()])
    [[0, 1, 2, 3, 4, 5, 6], [4, 5, 6, 7, 8, 9, 10]]
    [[0, 1, 2, 3, 4, 5], [5, 6, 7, 8, 9, 10]]
    """

    def __init__(
        self,
        n_intervals: int | Sequence[int] = 10,
        overlap: float | Sequence[float] = 0.3,
        kind: str = "uniform",
        ends: str = "margin",
        max_points: int | None = None,
    ) -> None:
        self.n_intervals = n_intervals
        self.overlap = overlap
        self.kind = kind
        self.ends = ends
        self.max_points = max_points

    def _fit(self, lens: Array, precomputed: bool) -> tuple[Array, Array]:
        if precomputed:
            came = "are distances, as lens is None and metric is 'precomputed'"
            raise fail("IntervalCover", "the lens values", came, "a lens; or a BallCover")
        numbers, overlaps = self._checked(lens.shape[1])
        settings = zip(lens.T, numbers, overlaps, strict=True)
        self.axes_ = [self._axis(values, n, overlap) for values, n, overlap in settings]
        self.intervals_ = [axis.limits() for axis in self.axes_]
        self._shape = tuple(len(axis.lows) for axis in self.axes_)
        if math.prod(self._shape) > _MOST_CELLS:
            came = f"is {self.n_intervals!r} along {lens.shape[1]} axes"
            raise fail("IntervalCover", "n_intervals", came, "fewer than 2**62 elements in all")
        starts, cells = self._cells(lens)
        samples = np.repeat(np.arange(len(lens)), np.diff(starts))
        self._known, number = _distinct(cells, math.prod(self._shape))
        whole = _by_element(samples, number, self._known)
        self._leaves = self._numbered(lens, whole, overlaps)
        return self._split(lens, whole)

    def _locate(self, lens: Array) -> tuple[Array, Array]:
        starts, cells = self._cells(lens)
        samples = np.repeat(np.arange(len(lens)), np.diff(starts))
        number = np.searchsorted(self._known, cells)
        known = self._known[np.minimum(number, len(self._known) - 1)] == cells
        return self._split(lens, _by_element(samples[known], number[known], self._known))

    def _checked(self, n_axes: int) -> tuple[list[int], list[float]]:
        """Return number and overlap of the intervals of each axis, or the error that names the setting."""
        name = "IntervalCover"
        check_choice(name, "kind", self.kind, ("uniform", "balanced", "bins"))
        check_choice(name, "ends", self.ends, ("margin", "tight"))
        numbers, overlaps = (
            for_each_axis(name, argument, getattr(self, argument), n_axes)
            for argument in ("n_intervals", "overlap")
        )
        for n, overlap in zip(numbers, overlaps, strict=True):
            check_number(name, "n_intervals", n, low=1, integer=True)
            check_number(name, "overlap", overlap, low=0)
            if overlap >= 1:
                raise fail(name, "overlap", f"is {overlap!r}", "a number below 1")
        if self.max_points is not None:
            check_number(name, "max_points", self.max_points, low=1, integer=True)
            if self.kind == "bins":
                came = f"is {self.max_points} with kind='bins'"
                raise fail(name, "max_points", came, "more bins, as parts of a bin would overlap")
        return numbers, [0.0] * n_axes if self.kind == "bins" else overlaps

    def _axis(self, values: Array, n: int, overlap: float) -> Axis:
        low, high = float(values.min()), float(values.max())
        if low == high:  # all intervals would hold all samples
            return Axis(np.array([low]), np.array([high]), "both", None)
        if self.kind == "balanced":
            knots = np.unique(values)
            return Axis(*tight_limits(-0.5, len(knots) - 0.5, n, overlap), "none", knots)
        if self.kind == "bins":
            edges = np.linspace(low, high, n + 1)
            return Axis(edges[:-1], np.append(edges[1:-1], np.inf), "left", None)
        if self.ends == "tight":
            return Axis(*tight_limits(low, high, n, overlap), "none", None)
        return Axis(*margin_limits(low, high, n, overlap), "both", None)

    def _cells(self, lens: Array) -> tuple[Array, Array]:
        """Return where the cells of each sample begin, and the cells, as flat numbers."""
        ranges = [axis.ranges(values) for axis, values in zip(self.axes_, lens.T, strict=True)]
        first, last = (np.ascontiguousarray(np.stack(ends, 1)) for ends in zip(*ranges, strict=True))
        strides = np.array([math.prod(self._shape[a + 1 :]) for a in range(len(self._shape))], np.int64)
        return cells_of_ranges(first, last, strides)

    def _numbered(self, lens: Array, whole: Preimages, overlaps: Sequence[float]) -> list[Split | int]:
        """Return the splits of each cell, with the numbers of their parts, and set the index of all parts.

        The number is -1 where the samples are those of an element before.
        """
        once = self.kind != "bins" and (self.ends == "tight" or self.kind == "balanced")
        scale = np.ptp(lens, axis=0)
        seen: set[bytes] = set()
        cells: list[int] = []

        def number(samples: Array, cell: int) -> Split | int:
            if self.max_points is not None and len(samples) > self.max_points:
                cut = self._cut(lens[samples], scale, overlaps)
                if cut is not None:
                    axis, high, low = cut
                    values = lens[samples, axis]
                    parts = (number(samples[values <= high], cell), number(samples[values >= low], cell))
                    return Split(axis, high, low, parts)
            key = samples.tobytes()
            if once and key in seen:
                return -1
            seen.add(key)
            cells.append(cell)
            return len(cells) - 1

        if self.max_points is None and not once:
            cells = self._known.tolist()
            leaves: list[Split | int] = list(range(len(cells)))
        else:
            leaves = [number(part, int(cell)) for part, cell in zip(whole.sets(), self._known, strict=True)]
        self.index_ = np.stack(np.unravel_index(np.array(cells, np.int64), self._shape), 1)
        return leaves

    def _cut(self, values: Array, scale: Array, overlaps: Sequence[float]) -> tuple[int, float, float] | None:
        """Return the axis along which an element is cut, the end of the one part, the begin of the other."""
        spread = np.ptp(values, axis=0) / np.where(scale > 0, scale, 1.0)
        axis = int(spread.argmax())
        own, share = values[:, axis], 1 / (2 - min(overlaps[axis], 0.5))
        if self.kind == "balanced":
            high, low = np.quantile(own, share), np.quantile(own, 1 - share)
        else:
            high = own.min() + share * (own.max() - own.min())
            low = own.max() - share * (own.max() - own.min())
        low = min(low, high)  # rounding leaves no gap between them
        shrinks = own.max() > high and own.min() < low
        return (axis, float(high), float(low)) if shrinks else None

    def _split(self, lens: Array, whole: Preimages) -> tuple[Array, Array]:
        """Return samples and elements, the cells' samples handed on to their parts."""
        if self.max_points is None:
            elements = np.array(self._leaves, np.int64)[whole.elements]
            return whole.samples[elements >= 0], elements[elements >= 0]
        found: list[tuple[int, Array]] = []

        def hand_on(samples: Array, leaf: Split | int) -> None:
            if isinstance(leaf, Split):
                values = lens[samples, leaf.axis]
                hand_on(samples[values <= leaf.high], leaf.parts[0])
                hand_on(samples[values >= leaf.low], leaf.parts[1])
            elif leaf >= 0:
                found.append((leaf, samples))

        for samples, leaf in zip(whole.sets(), self._leaves, strict=True):
            hand_on(samples, leaf)
        elements = np.repeat([leaf for leaf, _ in found], [len(samples) for _, samples in found])
        return np.concatenate([np.empty(0, np.int64), *(samples for _, samples in found)]), elements
