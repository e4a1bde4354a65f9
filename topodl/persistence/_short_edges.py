"""The edges of points up to a length, where these are few: memory follows the edges, not N²."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from topodl.kernels.points._products import squares_fit
from topodl.kernels.points.rips_bars import edge_values
from topodl.kernels.shared.radix import argsort_floats, radix_argsort

__all__ = ["LEAST_POINTS", "edges_in_order", "short_edges"]

_Array = npt.NDArray[Any]

LEAST_POINTS = 2048  # below, all distances take less time
_FEW = 256  # edges are few if they are at most N² over this
_MOST_TREE_DIMS = 12  # beyond, a k-d tree looks at nearly all pairs
_MARGIN = 1e-6  # relative: distances are rounded to single precision before they are compared
_BLOCK = 2_000_000  # entries of products at a time


def short_edges(points: _Array, longest: float) -> tuple[_Array, _Array] | None:
    """Return the edges (E, 2) of `points` (n, d) up to a length, in order, and their lengths.

    None where there are too few points or too many edges for this to pay.
    """
    n, n_dims = points.shape
    if n < LEAST_POINTS or longest == np.inf:
        return None
    near = _by_tree if n_dims <= _MOST_TREE_DIMS and squares_fit(points) else _by_products
    pairs = near(points, longest * (1 + _MARGIN), n * n // _FEW)
    if pairs is None:
        return None
    lengths = edge_values(points, np.ascontiguousarray(pairs.T))[2:].astype(np.float64)
    short = lengths <= longest
    return edges_in_order(pairs[short], lengths[short], n)


def edges_in_order(edges: _Array, lengths: _Array, n: int) -> tuple[_Array, _Array]:
    """Return the `edges` (E, 2), i < j, of n vertices, and their `lengths`, in the order (length, i, j)."""
    keys = edges[:, 0].astype(np.int64) * n + edges[:, 1]
    order = radix_argsort(keys)
    order = order[argsort_floats(lengths[order])]
    return edges[order].astype(np.int32), lengths[order]


def _by_tree(points: _Array, radius: float, most: int) -> _Array | None:
    tree = cKDTree(points)
    if (tree.count_neighbors(tree, radius) - len(points)) // 2 > most:
        return None
    return np.asarray(tree.query_pairs(radius, output_type="ndarray"))


def _by_products(points: _Array, radius: float, most: int) -> _Array | None:
    """Find the pairs by products of the points, in a unit in which these stay in range."""
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    unit = np.abs(centred).max(initial=0.0) or 1.0
    centred, radius = centred / unit, radius / unit
    found, count = [np.empty((0, 2), np.int64)], 0
    for pairs in _pairs_of_blocks(centred, radius):
        found.append(pairs)
        count += len(pairs)
        if count > most:
            return None
    return np.concatenate(found)


def _pairs_of_blocks(points: _Array, radius: float) -> Iterator[_Array]:
    n, n_dims = points.shape
    norms = np.square(points).sum(axis=1)
    limit = radius**2 + 8 * (n_dims + 4) * np.finfo(np.float64).eps * norms.max()  # what cancels
    for start in range(0, n, max(1, _BLOCK // n)):
        rows = slice(start, min(start + max(1, _BLOCK // n), n))
        squares = norms[rows, None] + norms[start:] - 2 * (points[rows] @ points[start:].T)
        i, j = np.nonzero(squares <= limit)
        yield np.stack([i, j], 1)[i < j] + start
