"""Pairs of the Rips filtration of one cloud: NumPy arrays in, end points of critical edges out.

Dimension 0 alone is a minimum spanning tree; dimensions 0 and 1 are `kernels.rips`, others
`kernels.rips_cohomology`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from topodl.errors import MemoryLimitError
from topodl.kernels.rips import rips_pairs
from topodl.kernels.rips_cohomology import cohomology_pairs
from topodl.kernels.rips_edges import (
    condensed_distances,
    condensed_upper_triangle,
    enclosing_radius,
    sorted_edges,
)
from topodl.kernels.spanning_tree import spanning_tree_of_matrix, spanning_tree_of_points
from topodl.kernels.union_find import elder_deaths
from topodl.persistence._batch import BarCells

__all__ = ["pair_cloud"]

_Array = npt.NDArray[Any]
_NAME = "rips_persistence"
_MOST_POINTS = 65536  # the edges' sort packs an index into 16 bits


def pair_cloud(
    cloud: _Array, dims: Sequence[int], precomputed: bool, single: bool, longest: float
) -> BarCells:
    """Return the bars of positive length of one cloud (n, d) in float64, or of a symmetric matrix (n, n)."""
    if max(dims) == 0:
        return [(0, *_components(*_spanning_forest(cloud, precomputed, single, longest), len(cloud)))]
    n = len(cloud)
    _guard(n, 30 * n * n + 10**6, "points have a matrix of distances", "fewer points, or dims=(0,)")
    if n > _MOST_POINTS:
        raise MemoryLimitError(
            f"{_NAME}: x has a sample of {n} points; expected at most {_MOST_POINTS} if dims > 0"
        )
    condensed = condensed_upper_triangle(cloud) if precomputed else condensed_distances(cloud, single)
    radius = min(longest, enclosing_radius(condensed, n))
    lengths, edges = sorted_edges(condensed, n, radius)
    dying, births, deaths = rips_pairs(edges, n)
    bars: list[tuple[int, _Array, _Array]] = []
    if 0 in dims:
        tree = np.flatnonzero(dying >= 0)
        bars.append((0, *_components(edges[tree], lengths[tree], dying[tree], n)))
    if 1 in dims:
        bars.append((1, *_long_bars(edges, lengths, births, deaths)))
    if max(dims) > 1:
        _guard_simplices(edges, n, max(dims))
        pairs = cohomology_pairs(edges, n, max(dims))
        for dim in sorted(set(dims) - {0, 1}):
            births, deaths = pairs[pairs[:, 0] == dim, 1:].T
            bars.append((dim, *_long_bars(edges, lengths, births, deaths)))
    return bars


def _spanning_forest(
    cloud: _Array, precomputed: bool, single: bool, longest: float
) -> tuple[_Array, _Array, _Array]:
    """Return the edges of the minimum spanning forest in order, their lengths, and who dies at each."""
    edges, lengths = spanning_tree_of_matrix(cloud) if precomputed else spanning_tree_of_points(cloud, single)
    kept = np.flatnonzero((lengths <= longest) & (lengths < np.inf))
    order = kept[np.lexsort((edges[kept, 1], edges[kept, 0], lengths[kept]))]
    edges, lengths = edges[order], lengths[order]
    return edges, lengths, elder_deaths(len(cloud), edges)[0]


def _components(edges: _Array, lengths: _Array, dying: _Array, n: int) -> tuple[_Array, _Array]:
    """Return birth vertices (v, -1) and death edges of the bars of dimension 0, the essential ones last."""
    survives = np.ones(n, bool)
    survives[dying] = False
    forever = np.flatnonzero(survives)
    long = lengths > 0
    births = np.full((np.count_nonzero(long) + len(forever), 2), -1, np.int64)
    deaths = np.full_like(births, -1)
    births[:, 0] = np.concatenate((dying[long], forever))
    deaths[: len(births) - len(forever)] = edges[long]
    return births, deaths


def _long_bars(edges: _Array, lengths: _Array, births: _Array, deaths: _Array) -> tuple[_Array, _Array]:
    """Return birth and death edges of the bars of positive length, (-1, -1) for a death that never comes."""
    long = (deaths < 0) | (lengths[births] < lengths[deaths])
    births, deaths = births[long], deaths[long]
    return edges[births], np.where(deaths[:, None] < 0, -1, edges[deaths])


def _guard_simplices(edges: _Array, n: int, top: int) -> None:
    """Raise the error that says what to change if simplices of dimension `top` would not fit into memory."""
    # A vertex of degree d lies in at most C(d, top) simplices, and each of them is counted top + 1 times.
    degrees, counts = np.unique(np.bincount(edges.ravel(), minlength=n), return_counts=True)
    each = (math.comb(int(d), top) * int(c) for d, c in zip(degrees, counts, strict=True))
    simplices = sum(each) // (top + 1)
    remedy = f"a max_edge_length, fewer points, or dims below {top}"
    _guard(n, 30 * simplices, f"up to {simplices:.2g} simplices of dimension {top}", remedy)
    if len(edges) * math.comb(n, top + 2) >= 2**62:
        raise MemoryLimitError(
            f"{_NAME}: x has a sample of {n} points with too many simplices to number; expected {remedy}"
        )


def _guard(n: int, estimate: int, reason: str, remedy: str) -> None:
    """Raise the error that says what to change if `estimate` bytes are more than the machine has free."""
    free = _free_memory()
    if estimate > free:
        raise MemoryLimitError(
            f"{_NAME}: x has a sample of {n} points, which needs {estimate / 2**30:.1f} GiB ({reason}); "
            f"expected at most {free / 2**30:.1f} GiB: {remedy}"
        )


def _free_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows and macOS do not say
        return 2**34
