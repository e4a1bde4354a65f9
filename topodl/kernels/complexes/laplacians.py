"""Products of a boundary matrix with its transpose, without zeros: Hodge Laplacians and adjacencies.

Lists are `members`, `offsets` and `signs`, followed by those of their transpose. The products are symmetric:
one counting pass sorts the columns of all rows. Cost: the number of terms of the products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import kernel
from topodl.kernels.shared.growing import enlarged

__all__ = ["sum_of_products", "warm_up"]


@kernel
def sum_of_products(one: Any, other: Any, n: int, skips_diagonal: bool) -> Any:
    """Return the rows of A·Aᵀ + B·Bᵀ (n, n) as (offsets, columns, values), A and B given by their lists."""
    total, seen, touched = zeros(n, np.int64), full(n, -1, np.int64), np.empty(n, np.int64)
    begins = zeros(n + 1, np.int64)
    columns, values = np.empty(1024, np.int64), np.empty(1024, np.int64)
    for row in range(n):
        n_touched = _add_row(row, one, total, seen, touched, 0)
        n_touched = _add_row(row, other, total, seen, touched, n_touched)
        at = begins[row]
        if at + n_touched > columns.size:
            columns, values = enlarged(columns, at + n_touched), enlarged(values, at + n_touched)
        for i in range(n_touched):
            column = touched[i]
            if total[column] != 0 and not (skips_diagonal and column == row):
                columns[at], values[at] = column, total[column]
                at += 1
        begins[row + 1] = at
    return _sorted_rows(begins, columns, values)


@kernel
def _add_row(row: Any, lists: Any, total: Any, seen: Any, touched: Any, n_touched: Any) -> Any:
    """Add one row of a product to `total`, and its columns to those `touched`; return how many these are."""
    members, offsets, signs, back, back_offsets, back_signs = lists
    for i in range(offsets[row], offsets[row + 1]):
        for j in range(back_offsets[members[i]], back_offsets[members[i] + 1]):
            column = back[j]
            if seen[column] != row:
                seen[column], total[column], touched[n_touched] = row, 0, column
                n_touched += 1
            total[column] += signs[i] * back_signs[j]
    return n_touched


@kernel
def _sorted_rows(begins: Any, columns: Any, values: Any) -> Any:
    """Return a symmetric matrix with rising columns: the rows of its transpose, filled in order."""
    n, size = begins.size - 1, begins[begins.size - 1]
    free = begins.copy()
    in_order, their_values = np.empty(size, np.int64), np.empty(size, np.int64)
    for row in range(n):
        for i in range(begins[row], begins[row + 1]):
            at = free[columns[i]]
            in_order[at], their_values[at] = row, values[i]
            free[columns[i]] = at + 1
    return begins, in_order, their_values


def warm_up() -> None:
    """Compile every kernel of this module."""
    members, offsets, signs = np.array([0, 1]), np.array([0, 1, 2]), np.array([1, -1], np.int8)
    lists = (members, offsets, signs, members, offsets, signs)
    sum_of_products(lists, lists, 2, False)
