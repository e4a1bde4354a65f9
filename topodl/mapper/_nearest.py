"""Nearest neighbours by direction: found in single precision, and verified in double where it could matter.

Products of unit vectors of single precision are off by at most (d + 4) 2⁻²⁴. Rows whose products differ by
more are in order. In others the candidates are compared in double precision; where a sample that is none of
them may be nearer, the whole row is. Cost O(n² d).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from topodl.kernels.mapper.neighbours import keep_largest

__all__ = ["nearest_by_direction"]

Array = np.ndarray[Any, np.dtype[Any]]
_SPARE = 3  # candidates beyond those that are asked for
_ROWS, _COLUMNS = 256, 2048  # products at a time: what the cache of a processor holds


def nearest_by_direction(directions: Array, k: int) -> Array:
    """Return the nearest `k` of the other rows of `directions` (n, d), unit vectors, for each (n, k)."""
    n, n_candidates = len(directions), min(k + _SPARE, len(directions) - 1)
    error = (directions.shape[1] + 4) * 2.0**-24
    products, candidates = _candidates(directions, n_candidates)
    steps = -np.diff(products[:, : k + 1].astype(np.float64), axis=1)
    unclear = np.flatnonzero((steps <= 2 * error).any(axis=1))
    found = candidates[:, :k].copy()
    for start in range(0, len(unclear), _COLUMNS):
        rows = unclear[start : start + _COLUMNS]
        squares = _squares(directions, rows, candidates[rows])
        order = np.lexsort((candidates[rows], squares))[:, :k]
        found[rows] = np.take_along_axis(candidates[rows], order, axis=1)
        furthest = np.take_along_axis(squares, order[:, -1:], axis=1)[:, 0]
        # |x − y|² = 2 − 2 ⟨x, y⟩: what no candidate is, may be as near as this.
        others = 2.0 - 2.0 * (products[rows, -1] + error)
        doubtful = (furthest > np.maximum(others, 0.0)) & (n_candidates < n - 1)
        for i in rows[doubtful]:
            found[i] = _nearest_of_all(directions, i, k)
    return found


def _candidates(directions: Array, k: int) -> tuple[Array, Array]:
    """Return the largest `k` rounded products of each row with others, falling, and these others (n, k)."""
    single = torch.from_numpy(directions.astype(np.float32))
    n = len(single)
    values, indices = np.full((n, k), -np.inf, np.float32), np.zeros((n, k), np.int64)
    least = np.full(n, -np.inf, np.float32)
    for row in range(0, n, _ROWS):
        for column in range(row, n, _COLUMNS):
            products = single[row : row + _ROWS] @ single[column : column + _COLUMNS].T
            keep_largest(products.numpy(), row, column, values, indices, least)
    return values, indices


def _squares(directions: Array, rows: Array, candidates: Array) -> Array:
    """Return the squared distances of each row to its candidates."""
    return np.square(directions[rows, None] - directions[candidates]).sum(axis=2)


def _nearest_of_all(directions: Array, i: int, k: int) -> Array:
    squares = np.square(directions - directions[i]).sum(axis=1)
    squares[i] = np.inf
    return np.argsort(squares, kind="stable")[:k]
