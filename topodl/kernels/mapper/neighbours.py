"""Nearest neighbours among products: a running list for each row, fed by blocks of one half of the table.

A product enters the lists of both of its ends. Most are too small for either, which is seen for many at a
time: cost O(n²) comparisons, and O(n k² log n) for those that enter a list where the order is random.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["keep_largest", "warm_up"]

_WIDTH = 64  # products that are looked at together


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
def _one_enters(products: Any, least_of_row: Any, least_of_columns: Any) -> Any:
    """Say whether one of `_WIDTH` products enters a list, without branches, so that it runs on vectors."""
    n_entering = 0
    for c in range(_WIDTH):
        n_entering += int(products[c] > min(least_of_row, least_of_columns[c]))
    return n_entering > 0


@kernel
def keep_largest(products: Any, row: int, column: int, values: Any, indices: Any, least: Any) -> None:
    """Let the products of rows from `row` on and columns from `column` on enter the lists of both.

    Only pairs whose row comes before their column count. `values` (n, k) and `indices` (n, k) fall in value;
    `least` (n,) repeats the last values, side by side.
    """
    n_rows, n_columns = products.shape
    last = values.shape[1] - 1
    for i in range(n_rows):
        a = row + i
        first = max(0, a + 1 - column)
        for start in range(first - first % _WIDTH, n_columns, _WIDTH):
            end = min(start + _WIDTH, n_columns)
            others = least[column + start : column + end]
            if end - start == _WIDTH and not _one_enters(products[i, start:end], least[a], others):
                continue
            for j in range(max(start, first), end):
                b = column + j
                if products[i, j] > least[a]:
                    _enter(values[a], indices[a], products[i, j], b)
                    least[a] = values[a, last]
                if products[i, j] > least[b]:
                    _enter(values[b], indices[b], products[i, j], a)
                    least[b] = values[b, last]


def warm_up() -> None:
    """Compile every kernel of this module."""
    values, indices = np.full((2, 1), -np.inf, np.float32), np.zeros((2, 1), np.int64)
    keep_largest(np.zeros((2, 2), np.float32), 0, 0, values, indices, values[:, 0].copy())
