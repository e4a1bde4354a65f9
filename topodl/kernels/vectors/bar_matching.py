"""Matchings of the bars of two diagrams, to each other and to the diagonal, of the least sum of moves.

Only pairs that save something against sending both bars to the diagonal are edges. Rows bid for columns, and
those that are left over find theirs by shortest augmenting paths: Jonker and Volgenant, Computing 38, 1987.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["match_bars", "matching_distances", "warm_up"]

_BIDS = 4  # by row: what has no column then is left to the search of paths, which comes to an end


@kernel
def match_bars(x: Any, y: Any, order: float, norm: float) -> Any:
    """Return the bar of `y` (m, 2) that each bar of `x` (n, 2) goes to; −1 is the diagonal.

    Parameters
    ----------
    x, y : ndarray of shape (n, 2) and (m, 2)
        Finite bars, by ascending births, of a unit in which powers neither vanish nor overflow.
    order : float
        Power of the moves whose sum is least.
    norm : float
        Norm of a move in the plane.
    """
    return _match(x, y, _to_diagonal(x, order, norm), _to_diagonal(y, order, norm), order, norm)


@kernel
def matching_distances(
    bars: Any, offsets: Any, units: Any, first: Any, second: Any, order: float, norm: float
) -> Any:
    """Return the least sums of powers of moves, to the power 1 / order, for pairs of diagrams.

    Parameters
    ----------
    bars : ndarray of shape (P, 2)
        Finite bars of all diagrams, each by ascending births.
    offsets : ndarray of shape (S + 1,)
        The bars of diagram s are those from offsets[s] to offsets[s + 1].
    units : ndarray of shape (S,)
        Powers of two, of the order of the largest |end| of each diagram.
    first, second : ndarray of shape (M,)
        The diagrams of each pair.
    """
    distances = np.empty(len(first))
    for k in range(len(first)):
        i, j = first[k], second[k]
        unit = max(units[i], units[j])
        x = _in_unit(bars, offsets[i], offsets[i + 1], unit)
        y = _in_unit(bars, offsets[j], offsets[j + 1], unit)
        alone_x, alone_y = _to_diagonal(x, order, norm), _to_diagonal(y, order, norm)
        partner = _match(x, y, alone_x, alone_y, order, norm)
        distances[k] = _sum_of_moves(x, y, alone_x, alone_y, partner, order, norm) ** (1 / order) * unit
    return distances


@subroutine
def _in_unit(bars: Any, start: int, end: int, unit: float) -> Any:
    scaled = np.empty((end - start, 2))
    for i in range(end - start):
        scaled[i, 0], scaled[i, 1] = bars[start + i, 0] / unit, bars[start + i, 1] / unit
    return scaled


@subroutine
def _to_diagonal(x: Any, order: float, norm: float) -> Any:
    """Return the power of the distance of each bar to the diagonal."""
    factor = 0.5 if norm == np.inf else 2.0 ** (1 / norm - 1)
    alone = np.empty(len(x))
    for i in range(len(x)):
        alone[i] = (abs(x[i, 1] - x[i, 0]) * factor) ** order
    return alone


@borrowing_subroutine
def _move(x: Any, i: int, y: Any, j: int, order: float, norm: float) -> Any:
    """Return the power of the distance between two bars."""
    a, b = abs(x[i, 0] - y[j, 0]), abs(x[i, 1] - y[j, 1])
    if norm == 2.0 and order == 2.0:
        return a * a + b * b
    if norm == np.inf:
        far = max(a, b)
    elif norm == 1.0:
        far = a + b
    elif norm == 2.0:
        far = np.sqrt(a * a + b * b)
    else:
        far = (a**norm + b**norm) ** (1 / norm)
    return far if order == 1.0 else far**order


@subroutine
def _sum_of_moves(
    x: Any, y: Any, alone_x: Any, alone_y: Any, partner: Any, order: float, norm: float
) -> float:
    total, alone = 0.0, full(len(y), True, np.bool_)
    for i in range(len(x)):
        j = partner[i]
        if j < 0:
            total += alone_x[i]
        else:
            total += _move(x, i, y, j, order, norm)
            alone[j] = False
    for j in range(len(y)):
        if alone[j]:
            total += alone_y[j]
    return total


@subroutine
def _match(x: Any, y: Any, alone_x: Any, alone_y: Any, order: float, norm: float) -> Any:
    """Return the partner of each bar of `x`, −1 for the diagonal."""
    starts, columns, gains = _useful_pairs(x, y, alone_x, alone_y, order, norm)
    n, m = len(x), len(y)
    edge_of, row_of, prices = full(n, -1, np.int64), full(m, -1, np.int64), zeros(m, np.float64)
    rest = np.empty(n, np.int64)
    n_rest = _bid(starts, columns, gains, edge_of, row_of, prices, rest)
    if n_rest:
        reach, done = full(m, np.inf, np.float64), zeros(m, np.bool_)
        edge_to, from_row = np.empty(m, np.int64), np.empty(m, np.int64)
        touched, scanned = np.empty(m, np.int64), np.empty(m, np.int64)
        keys, heap = np.empty(len(gains)), np.empty(len(gains), np.int64)
        for k in range(n_rest):
            _augment(
                starts, columns, gains, edge_of, row_of, prices, reach, done, edge_to, from_row, touched,
                scanned, keys, heap, rest[k],
            )  # fmt: skip
    partner = np.empty(n, np.int64)
    for i in range(n):
        partner[i] = -1 if edge_of[i] < 0 else columns[edge_of[i]]
    return partner


@subroutine
def _useful_pairs(x: Any, y: Any, alone_x: Any, alone_y: Any, order: float, norm: float) -> Any:
    """Return the pairs that save something, row after row: where rows start, their columns, minus savings."""
    n, m = len(x), len(y)
    starts = np.empty(n + 1, np.int64)
    columns, gains = np.empty(8 * (n + m), np.int64), np.empty(8 * (n + m))
    farthest = 0.0
    for j in range(m):
        farthest = max(farthest, alone_y[j])
    end = 0
    for i in range(n):
        starts[i] = end
        if end + m > len(columns):
            columns, gains = _grown(columns, end, 2 * end + m), _grown(gains, end, 2 * end + m)
        # No norm is less than the move of the birth; none is lost to rounding.
        within = (alone_x[i] + farthest) ** (1 / order) * (1 + 1e-12) + 1e-300
        j = _first_at_least(y, x[i, 0] - within)
        while j < m and y[j, 0] <= x[i, 0] + within:
            gain = _move(x, i, y, j, order, norm) - alone_x[i] - alone_y[j]
            columns[end], gains[end] = j, gain
            end += gain < 0
            j += 1
    starts[n] = end
    return starts, columns[:end], gains[:end]


@subroutine
def _grown(array: Any, end: int, size: int) -> Any:
    larger = np.empty(size, array.dtype)
    for k in range(end):
        larger[k] = array[k]
    return larger


@borrowing_subroutine
def _first_at_least(y: Any, birth: float) -> Any:
    low, high = 0, len(y)
    while low < high:
        middle = (low + high) // 2
        if y[middle, 0] < birth:
            low = middle + 1
        else:
            high = middle
    return low


@borrowing_subroutine
def _bid(starts: Any, columns: Any, gains: Any, edge_of: Any, row_of: Any, prices: Any, rest: Any) -> Any:
    """Let rows bid for columns, each as far as its second best place; write who is left over, and count them.

    The diagonal is a place of gain 0 for each row, and a row that goes there stays: prices only fall.
    """
    n, n_rest = len(edge_of), 0
    n_bids = 0
    for start in range(n):
        row = start
        while row >= 0:
            n_bids += 1
            best, edge, second = 0.0, -1, np.inf
            for e in range(starts[row], starts[row + 1]):
                left = gains[e] - prices[columns[e]]
                if left < best:
                    best, edge, second = left, e, best
                elif left < second:
                    second = left
            if edge < 0:
                break
            column = columns[edge]
            other = row_of[column]
            if other >= 0 and (best == second or n_bids > _BIDS * n):
                rest[n_rest] = row
                n_rest += 1
                break
            prices[column] -= second - best
            edge_of[row], row_of[column] = edge, row
            if other >= 0:
                edge_of[other] = -1
            row = other
    return n_rest


@borrowing_subroutine
def _augment(
    starts: Any,
    columns: Any,
    gains: Any,
    edge_of: Any,
    row_of: Any,
    prices: Any,
    reach: Any,
    done: Any,
    edge_to: Any,
    from_row: Any,
    touched: Any,
    scanned: Any,
    keys: Any,
    heap: Any,
    source: int,
) -> None:
    """Give `source` a place by the cheapest path of exchanges, to a free column or to the diagonal.

    Columns are reached in the order of their costs, by a heap that may hold outdated entries.
    """
    best, last_row, last_column = 0.0, source, -1  # the source goes to the diagonal itself
    row, base = source, 0.0
    size, n_touched, n_scanned = 0, 0, 0
    while True:
        for e in range(starts[row], starts[row + 1]):
            column = columns[e]
            cost = base + gains[e] - prices[column]
            if cost < best and cost < reach[column] and not done[column]:
                if reach[column] == np.inf:
                    touched[n_touched] = column
                    n_touched += 1
                reach[column], edge_to[column], from_row[column] = cost, e, row
                if row_of[column] < 0:
                    best, last_row, last_column = cost, -1, column
                else:
                    _push(keys, heap, size, cost, column)
                    size += 1
        column = -1
        while size > 0 and keys[0] < best:
            column = heap[0]
            current = keys[0] == reach[column] and not done[column]
            size -= 1
            _pop(keys, heap, size)
            if current:
                break
            column = -1
        if column < 0:
            break
        done[column] = True
        scanned[n_scanned] = column
        n_scanned += 1
        row = row_of[column]
        base = reach[column] - (gains[edge_of[row]] - prices[column])
        if base < best:  # this row leaves for the diagonal
            best, last_row, last_column = base, row, -1
    for k in range(n_scanned):
        prices[scanned[k]] += reach[scanned[k]] - best
    if last_column < 0 and last_row != source:
        last_column = columns[edge_of[last_row]]
        edge_of[last_row] = -1
    while last_column >= 0:
        row, edge = from_row[last_column], edge_to[last_column]
        row_of[last_column] = row
        last_column = -1 if row == source else columns[edge_of[row]]
        edge_of[row] = edge
    for k in range(n_touched):
        reach[touched[k]], done[touched[k]] = np.inf, False


@borrowing_subroutine
def _push(keys: Any, heap: Any, size: int, key: float, value: int) -> None:
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if keys[parent] <= key:
            break
        keys[at], heap[at] = keys[parent], heap[parent]
        at = parent
    keys[at], heap[at] = key, value


@borrowing_subroutine
def _pop(keys: Any, heap: Any, size: int) -> None:
    """Remove the least of `size` + 1 entries."""
    key, value = keys[size], heap[size]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[at], heap[at] = keys[child], heap[child]
        at = child
    keys[at], heap[at] = key, value


def warm_up() -> None:
    """Compile the kernels."""
    bar, pair = np.array([[0.0, 1.0]]), np.zeros(1, np.int64)
    match_bars(bar, bar, 1.0, 1.0)
    matching_distances(bar, np.array([0, 1]), np.ones(1), pair, pair, 1.0, 1.0)
