"""Bottleneck distances: the least reach within which all bars can be matched, or go to the diagonal.

Hopcroft and Karp, SIAM Journal on Computing 2, 1973, in a search among the distances that can be the answer.
Bars are sorted by birth, so that those within reach lie in a window; no table of distances is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["bottleneck_distances", "warm_up"]

_CANDIDATES = 4  # by bar: more are cut down by bisection before they are written down


@kernel
def bottleneck_distances(bars: Any, offsets: Any, first: Any, second: Any) -> Any:
    """Return the bottleneck distances of pairs of diagrams.

    Parameters
    ----------
    bars : ndarray of shape (P, 2)
        Finite bars of all diagrams, each by ascending births.
    offsets : ndarray of shape (S + 1,)
        The bars of diagram s are those from offsets[s] to offsets[s + 1].
    first, second : ndarray of shape (M,)
        The diagrams of each pair.
    """
    distances = np.empty(len(first))
    for k in range(len(first)):
        i, j = first[k], second[k]
        distances[k] = _distance(bars[offsets[i] : offsets[i + 1]], bars[offsets[j] : offsets[j + 1]])
    return distances


@subroutine
def _distance(x: Any, y: Any) -> float:
    """Return the least reach that suffices.

    Bars that reach the diagonal may always go there. So it suffices that the others of one side can all be
    matched, and those of the other side, too: two such matchings join to one (Mendelsohn and Dulmage, 1958).
    """
    alone_x, alone_y = _to_diagonal(x), _to_diagonal(y)
    # No bar can stay closer than its nearest place, and none need go farther than to the diagonal.
    low = max(_farthest_nearest(x, y, alone_x), _farthest_nearest(y, x, alone_y))
    if _suffices(x, y, alone_x, alone_y, low):
        return low
    high = max(low, _largest(alone_x), _largest(alone_y))
    # `low` is too little, `high` suffices.
    reaches = np.empty(_CANDIDATES * (len(x) + len(y)))
    n = _candidates(x, y, alone_x, alone_y, low, high, reaches)
    while n > len(reaches):
        middle = low + (high - low) / 2
        if middle <= low or middle >= high:
            return high
        if _suffices(x, y, alone_x, alone_y, middle):
            high = middle
        else:
            low = middle
        n = _candidates(x, y, alone_x, alone_y, low, high, reaches)
    least = high
    while n > 0:
        pivot = _middle_one(reaches[0], reaches[n // 2], reaches[n - 1])
        enough = _suffices(x, y, alone_x, alone_y, pivot)
        if enough:
            least = pivot
        kept = 0
        for k in range(n):
            reach = reaches[k]
            reaches[kept] = reach
            kept += reach < pivot if enough else reach > pivot
        n = kept
    return least


@subroutine
def _to_diagonal(x: Any) -> Any:
    alone = np.empty(len(x))
    for i in range(len(x)):
        alone[i] = abs(x[i, 1] - x[i, 0]) / 2
    return alone


@borrowing_subroutine
def _largest(alone: Any) -> float:
    largest = 0.0
    for i in range(len(alone)):
        largest = max(largest, alone[i])
    return largest


@borrowing_subroutine
def _middle_one(a: float, b: float, c: float) -> float:
    return max(min(a, b), min(max(a, b), c))


@borrowing_subroutine
def _move(x: Any, i: int, y: Any, j: int) -> float:
    return max(abs(x[i, 0] - y[j, 0]), abs(x[i, 1] - y[j, 1]))


@borrowing_subroutine
def _farthest_nearest(x: Any, y: Any, alone: Any) -> float:
    """Return how far the bar of `x` has to go whose nearest place, in `y` or the diagonal, is farthest."""
    farthest, start = 0.0, 0
    for i in range(len(x)):
        while start < len(y) and y[start, 0] < x[i, 0]:
            start += 1
        near = alone[i]
        j = start
        while j < len(y) and y[j, 0] - x[i, 0] < near:
            near = min(near, _move(x, i, y, j))
            j += 1
        j = start - 1
        while j >= 0 and x[i, 0] - y[j, 0] < near:
            near = min(near, _move(x, i, y, j))
            j -= 1
        farthest = max(farthest, near)
    return farthest


@subroutine
def _candidates(x: Any, y: Any, alone_x: Any, alone_y: Any, low: float, high: float, reaches: Any) -> int:
    """Write the distances above `low` and up to `high`, and count them; stop where they are too many."""
    n = _lengths_between(alone_x, low, high, reaches, 0)
    n = _lengths_between(alone_y, low, high, reaches, n)  # there is room for four times as many
    windows = _windows(x, y, high)
    for i in range(len(x)):
        for j in range(windows[i, 0], windows[i, 1]):
            far = _move(x, i, y, j)
            if low < far <= high:
                if n == len(reaches):
                    return n + 1
                reaches[n] = far
                n += 1
    return n


@borrowing_subroutine
def _lengths_between(alone: Any, low: float, high: float, reaches: Any, n: int) -> int:
    for i in range(len(alone)):
        if low < alone[i] <= high:
            reaches[n] = alone[i]
            n += 1
    return n


@subroutine
def _suffices(x: Any, y: Any, alone_x: Any, alone_y: Any, reach: float) -> bool:
    return _all_matched(x, y, alone_x, reach) and _all_matched(y, x, alone_y, reach)


@subroutine
def _all_matched(x: Any, y: Any, alone: Any, reach: Any) -> Any:
    """Return whether the bars of `x` that are farther than `reach` from the diagonal fit to bars of `y`."""
    rows, n, m = np.empty(len(x), np.int64), 0, len(y)
    for i in range(len(x)):
        if alone[i] > reach:
            rows[n] = i
            n += 1
    if n > m:
        return False
    windows = _windows(x, y, reach)
    column_of, row_of = full(n, -1, np.int64), full(m, -1, np.int64)
    n_free = n - _match_greedily(x, y, rows, windows, reach, column_of, row_of)
    level, tried, stack = full(n, -1, np.int64), zeros(n, np.int64), zeros(n + 1, np.int64)
    while n_free > 0:
        if not _find_levels(x, y, rows, windows, reach, column_of, row_of, level, stack):
            return False
        for i in range(n):
            tried[i] = windows[rows[i], 0]
        for i in range(n):
            if column_of[i] < 0:
                n_free -= _augment(x, y, rows, windows, reach, column_of, row_of, level, tried, stack, i)
    return True


@subroutine
def _windows(x: Any, y: Any, reach: Any) -> Any:
    """Return (n, 2) between which bars of `y` those lie whose births are within `reach` of each of `x`."""
    n, m = len(x), len(y)
    windows = np.empty((n, 2), np.int64)
    largest = 0.0
    if n:
        largest = max(abs(x[0, 0]), abs(x[n - 1, 0]))
    if m:
        largest = max(largest, abs(y[0, 0]), abs(y[m - 1, 0]))
    within = reach + 4 * np.finfo(np.float64).eps * (largest + reach)  # none is lost to rounding
    low, high = 0, 0
    for i in range(n):
        while low < m and y[low, 0] < x[i, 0] - within:
            low += 1
        while high < m and y[high, 0] <= x[i, 0] + within:
            high += 1
        windows[i, 0], windows[i, 1] = low, high
    return windows


@borrowing_subroutine
def _match_greedily(x: Any, y: Any, rows: Any, windows: Any, reach: Any, column_of: Any, row_of: Any) -> Any:
    n_matched = 0
    for i in range(len(column_of)):
        for j in range(windows[rows[i], 0], windows[rows[i], 1]):
            if row_of[j] < 0 and _move(x, rows[i], y, j) <= reach:
                column_of[i], row_of[j] = j, i
                n_matched += 1
                break
    return n_matched


@borrowing_subroutine
def _find_levels(
    x: Any,
    y: Any,
    rows: Any,
    windows: Any,
    reach: Any,
    column_of: Any,
    row_of: Any,
    level: Any,
    queue: Any,
) -> Any:
    """Write how many steps each row is from one without a column; say whether a free column is in reach."""
    end = 0
    for i in range(len(column_of)):
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
            if _move(x, rows[i], y, j) <= reach:
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
    x: Any,
    y: Any,
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
            if _move(x, rows[i], y, j) > reach:
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
    pair = np.zeros(1, np.int64)
    bottleneck_distances(np.array([[0.0, 1.0]]), np.array([0, 1]), pair, pair)
