"""Nearest neighbours among products: a running list for each row, fed by blocks of one half of the table.

A product enters the lists of both of its ends. Most are too small for either, which is seen for many at a
time: cost O(n²) comparisons, and O(n k² log n) for those that enter a list where the order is random.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["keep_largest", "warm_up"]

_WIDTH = 32  # products that are looked at together


@borrowing_subroutine
def _enter(values: Any, indices: Any, value: Any, index: Any) -> Any:
    """Put a value above the last into the falling list `values`; the last one leaves it."""
    at = len(values) - 1
    while at > 0 and values[at - 1] < value:
        values[at] = values[at - 1]
        indices[at] = indices[at - 1]
        at -= 1
    values[at] = value
    indices[at] = index


@borrowing_subroutine
def _one_is_above(products: Any, bound: Any) -> Any:
    """Say whether one of `_WIDTH` products is above a bound, without branches, so that it runs on vectors."""
    n_above = 0
    for c in range(_WIDTH):
        n_above += int(products[c] > bound)
    return n_above > 0


@borrowing_subroutine
def _smallest(values: Any) -> Any:
    smallest = values[0]
    for k in range(1, len(values)):
        smallest = min(smallest, values[k])
    return smallest


@kernel
def keep_largest(products: Any, row: int, column: int, values: Any, indices: Any, least: Any) -> None:
    """Let the products of rows from `row` on and columns from `column` on enter the lists of both.

    Only pairs whose row comes before their column count. `values` (n, k) and `indices` (n, k) fall in value;
    `least` (n,) repeats the last values, side by side.
    """
    n_rows, n_columns = products.shape
    last = values.shape[1] - 1
    bounds = np.empty((n_columns + _WIDTH - 1) // _WIDTH, least.dtype)  # of the lists of columns together
    for block in range(len(bounds)):
        start = column + block * _WIDTH
        bounds[block] = _smallest(least[start : min(start + _WIDTH, column + n_columns)])
    for i in range(n_rows):
        a = row + i
        first = max(0, a + 1 - column)
        for block in range(first // _WIDTH, len(bounds)):
            start, end = block * _WIDTH, min((block + 1) * _WIDTH, n_columns)
            bound = min(least[a], bounds[block])
            if end - start == _WIDTH and not _one_is_above(products[i, start:end], bound):
                continue
            for j in range(max(start, first), end):
                b = column + j
                if products[i, j] > least[a]:
                    _enter(values[a], indices[a], products[i, j], b)
                    least[a] = values[a, last]
                if products[i, j] > least[b]:
                    _enter(values[b], indices[b], products[i, j], a)
                    least[b] = values[b, last]
            bounds[block] = _smallest(least[column + start : column + end])


def warm_up() -> None:
    """Compile every kernel of this module."""
    values, indices = np.full((2, 1), -np.inf, np.float32), np.zeros((2, 1), np.int64)
    keep_largest(np.zeros((2, 2), np.float32), 0, 0, values, indices, values[:, 0].copy())
