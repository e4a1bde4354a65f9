"""Tables of cells: who has whom as a face, read from either side, and where a cell stands.

Lists of unequal length are `members` (M,) and `offsets` (n + 1,). Transposing costs O(M + n), looking up
O(log n), an extreme O(M).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["extreme_members", "find_rows", "ring_signs", "transpose", "warm_up"]


@kernel
def transpose(members: Any, offsets: Any, n: int) -> Any:
    """Return for each of `n` members the lists that it is in, rising, as (offsets, lists, places).

    `places` are the positions in `members` that they are read from.
    """
    starts = zeros(n + 1, np.int64)
    for place in range(members.size):
        starts[members[place] + 1] += 1
    for member in range(n):
        starts[member + 1] += starts[member]
    free = starts.copy()
    lists, places = np.empty(members.size, np.int64), np.empty(members.size, np.int64)
    for row in range(offsets.size - 1):
        for place in range(offsets[row], offsets[row + 1]):
            at = free[members[place]]
            lists[at], places[at] = row, place
            free[members[place]] = at + 1
    return starts, lists, places


@kernel
def extreme_members(values: Any, members: Any, offsets: Any, largest: bool) -> Any:
    """Return of each list, none empty, the first member of the largest or smallest value; NaN is both."""
    found = np.empty(offsets.size - 1, np.int64)
    for row in range(found.size):
        best = members[offsets[row]]
        for place in range(offsets[row] + 1, offsets[row + 1]):
            value, most = values[members[place]], values[best]
            if (value > most if largest else value < most) or (value != value and most == most):
                best = members[place]
        found[row] = best
    return found


@borrowing_subroutine
def _is_below(table: Any, row: Any, wanted: Any, column: Any) -> Any:
    """Return -1, 0 or 1, as `row` of the table stands before, at or behind the wanted one."""
    for i in range(table.shape[1]):
        if table[row, i] != wanted[column, i]:
            return -1 if table[row, i] < wanted[column, i] else 1
    return 0


@kernel
def find_rows(table: Any, wanted: Any) -> Any:
    """Return where the `wanted` rows stand in `table`, which is sorted lexicographically; -1 for nowhere."""
    found = np.empty(len(wanted), np.int64)
    for row in range(len(wanted)):
        low, high = 0, len(table)
        while low < high:
            middle = (low + high) // 2
            if _is_below(table, middle, wanted, row) < 0:
                low = middle + 1
            else:
                high = middle
        found[row] = low if low < len(table) and _is_below(table, low, wanted, row) == 0 else -1
    return found


@kernel
def ring_signs(vertices: Any, offsets: Any) -> Any:
    """Return for each vertex of a ring 1 if it is less than the next one, else -1: (M,), int8."""
    signs = np.empty(vertices.size, np.int8)
    for ring in range(offsets.size - 1):
        for i in range(offsets[ring], offsets[ring + 1]):
            following = i + 1 if i + 1 < offsets[ring + 1] else offsets[ring]
            signs[i] = 1 if vertices[i] < vertices[following] else -1
    return signs


def warm_up() -> None:
    """Compile every kernel of this module."""
    edges = np.array([[0, 1], [0, 2], [1, 2]])
    transpose(edges.ravel(), np.array([0, 2, 4, 6]), 3)
    find_rows(edges, edges)
    for values in (np.ones(3, np.float32), np.ones(3)):
        extreme_members(values, edges.ravel(), np.array([0, 2, 4, 6]), True)
    ring_signs(np.arange(3), np.array([0, 3]))
