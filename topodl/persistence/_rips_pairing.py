"""Pairs of the Rips filtration of one cloud: NumPy arrays in, end points of critical edges out.

Dimension 0 alone is a minimum spanning tree; dimensions 0 and 1 are `kernels.rips`, of few edges
`kernels.sparse_rips`, others `kernels.rips_cohomology`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from topodl._memory import free_memory
from topodl.errors import MemoryLimitError
from topodl.kernels.points.rips import rips_pairs
from topodl.kernels.points.rips_bars import component_bars, loop_bars, tree_bars
from topodl.kernels.points.rips_cohomology import cohomology_pairs
from topodl.kernels.points.rips_edges import (
    condensed_distances,
    condensed_upper_triangle,
    enclosing_radius,
    sorted_edges,
)
from topodl.kernels.points.spanning_tree import spanning_tree_of_matrix, spanning_tree_of_points
from topodl.kernels.points.sparse_rips import sparse_rips_pairs
from topodl.kernels.shared.pool import map_batch
from topodl.persistence._batch import BarCells
from topodl.persistence._short_edges import short_edges

__all__ = ["pair_cloud", "pair_components", "pair_edges", "reject_too_large"]

_Array = npt.NDArray[Any]
_NAME = "rips_persistence"
_FIXED_BYTES = 10**6
_SMALL_BYTES = 2**22  # to read what is free takes as long as to pair a cloud that takes less
_MANY = 96  # edges are many if they are at least N² over this: rows of bits are then faster than lists
_MOST_POINTS = 65536  # the edges' sort packs an index into 16 bits


def pair_components(
    clouds: Sequence[_Array], sizes: _Array, precomputed: bool, longest: float
) -> tuple[_Array, _Array, _Array, _Array]:
    """Return `tree_bars` of all clouds (n, d) or matrices (n, n), the bars of dimension 0, and the values."""
    trees = map_batch(_tree_function(precomputed), clouds)
    edges, lengths = _joined([edges for edges, _ in trees]), _joined([lengths for _, lengths in trees])
    values = np.empty(len(lengths) + 2, clouds[0].dtype)
    order = _joined([own.argsort() for _, own in trees])
    bars, critical, places, tied = tree_bars(edges, lengths, order, sizes, longest, precomputed, values)
    if tied:
        order = _joined([np.lexsort((*own_edges.T[::-1], own)) for own_edges, own in trees])
        bars, critical, places, _ = tree_bars(edges, lengths, order, sizes, longest, precomputed, values)
    return bars, critical, places, values


def _tree_function(precomputed: bool) -> Callable[[_Array], tuple[_Array, _Array]]:
    return spanning_tree_of_matrix if precomputed else spanning_tree_of_points


def _joined(arrays: list[_Array]) -> _Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def pair_cloud(cloud: _Array, dims: Sequence[int], precomputed: bool, longest: float) -> BarCells:
    """Return the bars of positive length of one cloud (n, d) or matrix (n, n), of dimensions above 0, too."""
    n = len(cloud)
    dims = _possible_dims(dims, n)
    if not dims:
        return []
    short = None if precomputed else short_edges(cloud, longest)
    if short is not None:
        return pair_edges(*short, n, dims)
    if max(dims) == 0:
        edges, lengths = _tree_function(precomputed)(cloud)
        return [(0, *component_bars(edges, lengths, np.lexsort((*edges.T[::-1], lengths)), longest, n))]
    if n > _MOST_POINTS:
        raise MemoryLimitError(
            f"{_NAME}: x has a sample of {n} points with more than {n} / 256 edges each; expected at most "
            f"{_MOST_POINTS} points if dims > 0, or a shorter max_edge_length"
        )
    whole = _edge_bytes(n, n * (n - 1) // 2, cloud.dtype)
    scarce = whole > _SMALL_BYTES and whole > free_memory()  # asked once where all edges fit
    if scarce:
        needed = _edge_bytes(n, 0, cloud.dtype)
        reject_too_large(n, needed, "points have a matrix of distances", "fewer points, or dims=(0,)")
    condensed = condensed_upper_triangle(cloud) if precomputed else condensed_distances(cloud)
    radius = min(longest, enclosing_radius(condensed, n))
    if scarce:
        _guard_edges(condensed, n, radius, cloud.dtype)
    lengths, edges = sorted_edges(condensed, n, radius)
    return _bars_of_pairs(edges, lengths, n, dims, rips_pairs(edges, n))


def pair_edges(edges: _Array, lengths: _Array, n: int, dims: Sequence[int]) -> BarCells:
    """Return the bars of the flag complex of `edges` (E, 2) in order, of n vertices, in O(E) memory."""
    dims = _possible_dims(dims, n)
    if not dims:
        return []
    pairs = rips_pairs if _MANY * len(edges) >= n * n else sparse_rips_pairs
    return _bars_of_pairs(edges, lengths, n, dims, pairs(edges, n))


def _possible_dims(dims: Sequence[int], n: int) -> list[int]:
    # A cycle of dimension k that a flag complex does not fill has two vertices for each of k + 1 axes.
    return [k for k in dims if 2 * k + 2 <= max(n, 2)]


def _bars_of_pairs(
    edges: _Array, lengths: _Array, n: int, dims: Sequence[int], pairs: tuple[_Array, _Array, _Array]
) -> BarCells:
    """Return the bars of sorted edges, whose pairs in dimensions 0 and 1 are known."""
    dying, births, deaths = pairs
    bars: list[tuple[int, _Array, _Array]] = []
    if 0 in dims:
        tree = np.flatnonzero(dying >= 0)
        bars.append((0, *component_bars(edges, lengths, tree, math.inf, n)))
    if 1 in dims:
        bars.append((1, *loop_bars(edges, lengths, births, deaths)))
    if max(dims) > 1:
        _guard_simplices(edges, n, max(dims))
        higher = cohomology_pairs(edges, n, max(dims))
        for dim in sorted(set(dims) - {0, 1}):
            births, deaths = higher[higher[:, 0] == dim, 1:].T
            bars.append((dim, *loop_bars(edges, lengths, births, deaths)))
    return bars


def _guard_edges(condensed: _Array, n: int, radius: float, dtype: npt.DTypeLike) -> None:
    """Raise the error that says what to change if the edges up to `radius` would not fit in memory."""
    left = _edge_bytes(n, int(np.count_nonzero(condensed <= radius)), dtype) - condensed.nbytes
    remedy = "a max_edge_length, fewer points, or dims=(0,)"
    reject_too_large(n, left, "edges are sorted and paired", remedy)


def _edge_bytes(n: int, n_edges: int, dtype: npt.DTypeLike) -> int:
    """Return the memory that dimensions 0 and 1 of `n` points with `n_edges` in reach take at most.

    The sets of many loops that are alive at once, as those of a random matrix, come on top.
    """
    # To sort: all distances; edges packed, with lengths and end points, those in order as well if float32
    # cannot tell lengths apart. To pair: all distances, an annotation of each pair, bits, lengths, end points
    # and where an edge leads.
    per_edge = 48 if dtype == np.float64 else 28
    distances = 4 * n * n
    return max(distances + per_edge * n_edges, 2 * distances + n * n // 2 + 24 * n_edges) + _FIXED_BYTES


def _guard_simplices(edges: _Array, n: int, top: int) -> None:
    """Raise the error that says what to change if simplices up to dimension `top` would not fit in memory."""
    # A vertex of degree d lies in at most C(d, k) simplices of dimension k, and each is counted k + 1 times.
    degrees, counts = np.unique(np.bincount(edges.ravel(), minlength=n), return_counts=True)
    vertices = [(int(d), int(c)) for d, c in zip(degrees, counts, strict=True)]
    simplices, dim = max(
        (sum(math.comb(d, k) * c for d, c in vertices) // (k + 1), k) for k in range(2, top + 1)
    )
    remedy = f"a max_edge_length, fewer points, or dims below {dim}"
    reject_too_large(n, 4 * n * n, f"dimension {dim} has a matrix of edges", "fewer points, or dims up to 1")
    reject_too_large(n, 30 * simplices, f"up to {simplices:.2g} simplices of dimension {dim}", remedy)
    if len(edges) * math.comb(n, top + 2) >= 2**62:
        raise MemoryLimitError(
            f"{_NAME}: x has a sample of {n} points with too many simplices to number; expected {remedy}"
        )


def reject_too_large(n: int, estimate: int, reason: str, remedy: str) -> None:
    """Raise the error that says what to change if `estimate` bytes are more than the machine has free."""
    free = free_memory()
    if estimate > free:
        raise MemoryLimitError(
            f"{_NAME}: x has a sample of {n} points, which needs {estimate / 2**30:.1f} GiB ({reason}); "
            f"expected at most {free / 2**30:.1f} GiB: {remedy}"
        )
