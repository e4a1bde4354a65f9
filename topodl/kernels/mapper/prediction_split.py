"""Halving connected sets of samples along their widest column, and the shortest ways out of small sets.

M. Liu, T. K. Dey, D. F. Gleich, "Topological structure of complex predictions", Nature Machine Intelligence,
2023. Cost of one level: the members of its sets, times columns, and the neighbours of those members.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["halve", "shortest_exits", "warm_up"]

# Columns whose spreads differ by less are equally wide, and the first one is taken: rounding has no say.
_SAME_SPREAD = 1.0 - 1e-12
_OUTSIDE, _UNSEEN = -1, -2


@kernel
def halve(
    starts: Any,
    neighbours: Any,
    lens: Any,
    members: Any,
    offsets: Any,
    overlap: Any,
    by_deviation: bool,
    least_spread: float,
) -> Any:
    """Return the components of both halves of each set, as (members, offsets, which are sets left whole).

    The neighbours of each sample lie between `starts`; a set's `members` rise between `offsets`, and so do
    those of the result. A set is cut in the middle of the column of `lens` (n, columns) that spreads most
    over it, and stays whole where that is nothing, or below `least_spread`. Both halves reach over the cut
    by their part of its width in `overlap` (2,): the right one by the first, the left one by the second.
    """
    new_members, new_offsets = np.empty(2 * members.size, np.int64), np.empty(2 * members.size + 1, np.int64)
    whole = np.empty(2 * members.size, np.bool_)
    component, half = full(starts.size - 1, _OUTSIDE, np.int64), np.empty(members.size, np.int64)
    to_visit = np.empty(members.size, np.int64)
    lows, highs = np.empty(lens.shape[1], lens.dtype), np.empty(lens.shape[1], lens.dtype)
    new_offsets[0] = n_sets = 0
    for k in range(offsets.size - 1):
        first, last = offsets[k], offsets[k + 1]
        column, spread = _widest(lens, members, first, last, by_deviation, lows, highs)
        low, high = lows[column], highs[column]
        if low == high or spread < least_spread:
            begin = new_offsets[n_sets]
            for i in range(first, last):
                new_members[begin + i - first] = members[i]
            new_offsets[n_sets + 1], whole[n_sets] = begin + last - first, True
            n_sets += 1
            continue
        for side in range(2):
            size = _half(lens, column, members, first, last, low, high, overlap, side, half)
            n_found = _label_components(starts, neighbours, half, size, component, to_visit)
            _write_components(half, size, component, n_found, new_members, new_offsets, n_sets)
            for i in range(n_found):
                whole[n_sets + i] = False
            n_sets += n_found
            for i in range(size):
                component[half[i]] = _OUTSIDE
    return new_members[: new_offsets[n_sets]], new_offsets[: n_sets + 1], whole[:n_sets]


@borrowing_subroutine
def _deviation(lens: Any, column: Any, members: Any, first: Any, last: Any) -> Any:
    mean = squares = 0.0
    for i in range(first, last):
        mean += lens[members[i], column]
    mean /= last - first
    for i in range(first, last):
        squares += (lens[members[i], column] - mean) ** 2
    return np.sqrt(squares / (last - first))


@borrowing_subroutine
def _widest(lens: Any, members: Any, first: Any, last: Any, by_deviation: Any, low: Any, high: Any) -> Any:
    """Return the first column among those that spread most, and how much it does; write ranges of columns."""
    for column in range(lens.shape[1]):
        low[column] = high[column] = lens[members[first], column]
    for i in range(first + 1, last):
        values = lens[members[i]]
        for column in range(len(values)):
            low[column] = min(low[column], values[column])
            high[column] = max(high[column], values[column])
    widest, most = 0, -1.0
    for column in range(lens.shape[1]):
        spread = high[column] - low[column]
        if by_deviation:
            spread = _deviation(lens, column, members, first, last)
        if spread * _SAME_SPREAD > most:
            widest, most = column, spread
    return widest, most


@borrowing_subroutine
def _half(
    lens: Any,
    column: Any,
    members: Any,
    first: Any,
    last: Any,
    low: Any,
    high: Any,
    overlap: Any,
    side: Any,
    half: Any,
) -> Any:
    """Write the members of the left (0) or the right half; return how many they are.

    The largest value is never left and the smallest never right, so that halves are smaller than the whole
    even where the middle rounds to an end.
    """
    width, size = (high - low) / 2, 0
    for i in range(first, last):
        value = lens[members[i], column]
        is_right = value == high or value - low >= width
        if side == 0:
            taken = value < high and (not is_right or value <= low + width + overlap[1] * width)
        else:
            taken = value > low and (is_right or value >= low + width - overlap[0] * width)
        if taken:
            half[size] = members[i]
            size += 1
    return size


@borrowing_subroutine
def _label_components(
    starts: Any, neighbours: Any, half: Any, size: Any, component: Any, to_visit: Any
) -> Any:
    """Mark the first `size` samples of `half` with the numbers of their components; return how many.

    The `component` of all samples is _OUTSIDE before.
    """
    for i in range(size):
        component[half[i]] = _UNSEEN
    n_found = 0
    for i in range(size):
        if component[half[i]] != _UNSEEN:
            continue
        component[half[i]], to_visit[0], n_waiting = n_found, half[i], 1
        while n_waiting > 0:
            n_waiting -= 1
            vertex = to_visit[n_waiting]
            for e in range(starts[vertex], starts[vertex + 1]):
                other = neighbours[e]
                if component[other] == _UNSEEN:
                    component[other], to_visit[n_waiting] = n_found, other
                    n_waiting += 1
        n_found += 1
    return n_found


@borrowing_subroutine
def _write_components(
    half: Any, size: Any, component: Any, n_found: Any, members: Any, offsets: Any, first: Any
) -> None:
    """Write the components of a half after the `first` sets, one after the other, each rising.

    The offset of a set serves as the place of its next member, and is that of the set after it in the end.
    """
    begin = offsets[first]
    for k in range(n_found + 1):
        offsets[first + k] = 0
    for i in range(size):
        offsets[first + component[half[i]] + 1] += 1
    offsets[first] = begin
    for k in range(n_found):
        offsets[first + k + 1] += offsets[first + k]
    for i in range(size):
        place = first + component[half[i]]
        members[offsets[place]] = half[i]
        offsets[place] += 1
    for k in range(n_found, 0, -1):
        offsets[first + k] = offsets[first + k - 1]
    offsets[first] = begin


@kernel
def shortest_exits(starts: Any, neighbours: Any, lengths: Any, members: Any, offsets: Any) -> Any:
    """Return for each set the shortest edge out of it, (sets, 2): its sample and the other; -1 without one.

    The edges of a sample lie between `starts`, with rising `neighbours`; of equal lengths the first counts,
    by the sample inside and then by the one outside. A set's `members` rise between `offsets`.
    """
    n_sets = offsets.size - 1
    exits, owner = np.empty((n_sets, 2), np.int64), full(starts.size - 1, -1, np.int64)
    for k in range(n_sets):
        exits[k, 0] = exits[k, 1] = -1
        shortest = np.inf
        for i in range(offsets[k], offsets[k + 1]):
            owner[members[i]] = k
        for i in range(offsets[k], offsets[k + 1]):
            sample = members[i]
            for e in range(starts[sample], starts[sample + 1]):
                if lengths[e] < shortest and owner[neighbours[e]] != k:
                    exits[k, 0], exits[k, 1], shortest = sample, neighbours[e], lengths[e]
    return exits


def warm_up() -> None:
    """Compile every kernel of this module."""
    starts, neighbours = np.array([0, 1, 2]), np.array([1, 0])
    members, offsets = np.array([0, 1]), np.array([0, 2])
    halve(starts, neighbours, np.array([[0.0], [1.0]]), members, offsets, np.array([0.0, 0.1]), False, 0.0)
    shortest_exits(starts, neighbours, np.ones(2), members[:1], np.array([0, 1]))
