"""Whether a set of points can all be matched to others within a reach.

Hopcroft and Karp, SIAM Journal on Computing 2, 1973. Cost: at most √n passes over the table of distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["all_matched", "warm_up"]


@kernel
def all_matched(moves: Any, alone: Any, births: Any, others: Any, reach: Any) -> Any:
    """Return whether all rows of `moves` (n, m) have different columns with entries of at most `reach`.

    Rows that need not are those of which `alone` (n,) is at most `reach`. `births` (n,) and `others` (m,) are
    ascending numbers of rows and columns, which differ by no more than the entries of `moves` do.
    """
    windows = _windows(births, others, reach)
    rows = np.flatnonzero(alone > reach)
    n, m = len(rows), moves.shape[1]
    column_of, row_of = full(n, -1, np.int64), full(m, -1, np.int64)
    n_free = n - _match_greedily(moves, rows, windows, reach, column_of, row_of)
    level, tried, stack = full(n, -1, np.int64), zeros(n, np.int64), zeros(n + 1, np.int64)
    while n_free > 0:
        if not _find_levels(moves, rows, windows, reach, column_of, row_of, level, stack):
            return False
        for i in range(n):
            tried[i] = windows[rows[i], 0]
        for i in range(n):
            if column_of[i] < 0:
                n_free -= _augment(moves, rows, windows, reach, column_of, row_of, level, tried, stack, i)
    return True


@subroutine
def _windows(births: Any, others: Any, reach: Any) -> Any:
    """Return (n, 2) between which columns those lie whose numbers are within `reach` of each row's."""
    n, m = len(births), len(others)
    windows = np.empty((n, 2), np.int64)
    largest = 0.0
    for numbers in (births, others):
        if len(numbers):
            largest = max(largest, abs(numbers[0]), abs(numbers[-1]))
    within = reach + 4 * np.finfo(np.float64).eps * (largest + reach)  # none is lost to rounding
    low, high = 0, 0
    for i in range(n):
        while low < m and others[low] < births[i] - within:
            low += 1
        while high < m and others[high] <= births[i] + within:
            high += 1
        windows[i, 0], windows[i, 1] = low, high
    return windows


@borrowing_subroutine
def _match_greedily(moves: Any, rows: Any, windows: Any, reach: Any, column_of: Any, row_of: Any) -> Any:
    n_matched = 0
    for i in range(len(rows)):
        for j in range(windows[rows[i], 0], windows[rows[i], 1]):
            if row_of[j] < 0 and moves[rows[i], j] <= reach:
                column_of[i], row_of[j] = j, i
                n_matched += 1
                break
    return n_matched


@borrowing_subroutine
def _find_levels(
    moves: Any, rows: Any, windows: Any, reach: Any, column_of: Any, row_of: Any, level: Any, queue: Any
) -> Any:
    """Write how many steps each row is from one without a column; say whether a free column is in reach."""
    end = 0
    for i in range(len(rows)):
        level[i] = -1
        if column_of[i] < 0:
            level[i] = 0
            queue[end] = i
            end += 1
    found, at = False, 0
    while at < end:
        i = queue[at]
        at += 1
        for j in range(windows[rows[i], 0], windows[rows[i], 1]):
            if moves[rows[i], j] <= reach:
                other = row_of[j]
                if other < 0:
                    found = True
                elif level[other] < 0:
                    level[other] = level[i] + 1
                    queue[end] = other
                    end += 1
    return found


@borrowing_subroutine
def _augment(
    moves: Any,
    rows: Any,
    windows: Any,
    reach: Any,
    column_of: Any,
    row_of: Any,
    level: Any,
    tried: Any,
    stack: Any,
    first: Any,
) -> Any:
    """Search a path through the levels to a free column, and shift the matching along it: 1, or 0."""
    depth = 0
    stack[0] = first
    while depth >= 0:
        i = stack[depth]
        depth -= 1
        while tried[i] < windows[rows[i], 1]:
            j = tried[i]
            tried[i] += 1
            if moves[rows[i], j] > reach:
                continue
            other = row_of[j]
            if other < 0:
                for step in range(depth + 1, -1, -1):
                    row = stack[step]
                    j, column_of[row] = column_of[row], j
                    row_of[column_of[row]] = row
                return 1
            if level[other] == level[i] + 1:
                depth += 2
                stack[depth] = other
                break
    return 0


def warm_up() -> None:
    """Compile the kernel."""
    all_matched(np.zeros((1, 1)), np.ones(1), np.zeros(1), np.zeros(1), 0.0)
