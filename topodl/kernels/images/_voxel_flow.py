"""Dimension 1 of volumes on critical cells: loops flow to critical edges, and their columns are reduced.

The flow is that of the discrete gradient of Robins, Wood, Sheppard (2011), read off the links of the voxels.
Where an edge flows to is found once, when a loop first asks for it. Cost: the edges that loops reach, and the
reduction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.images._voxel_links import (
    EDGE_ENDS,
    OPPOSITE_ENDS,
    PATH_STARTS,
    TRIANGLE_EDGE_MASKS,
    TRIANGLE_LABELS,
    lowest_bit,
)
from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.radix import radix_argsort

__all__ = [
    "JOIN",
    "KNOWN",
    "first_lists",
    "forget",
    "grown",
    "keep_rivals",
    "pairs_of_loops",
    "reduce_loops",
    "settle",
]

# An edge is 4 times the voxel at its first end plus its axis. Where it flows to is a list in `lists`: its
# length, then critical edges as words, the latest first. A word is the place of the edge in the order, and,
# in its lower half, the number of the join. `goals` has the start of the list; bit 26 + axis of the word of
# links says that it is known. The empty list starts at 0, that of the i-th critical edge at 1 + 2 i.
KNOWN = 26
_HALF = 31
JOIN = (1 << _HALF) - 1


@borrowing_subroutine
def _advance(
    stack: Any, n_stack: int, lists: Any, n_lists: int, heads: Any, links: Any, goals: Any, steps: Any
) -> Any:
    """Find where the edges on the stack flow to; return what is left on it, and the end of the lists.

    Something is left if there is no room.
    """
    while n_stack > 0 and n_stack + 3 <= stack.size:
        base, axis = stack[n_stack - 1] >> 2, stack[n_stack - 1] & 3
        link = np.int64(links[base])
        if link >> (KNOWN + axis) & 1:
            n_stack -= 1
            continue
        corner, voxel = 5 - axis, base  # the direction from the later end to the other
        if link >> corner & 1 == 0:
            voxel, corner = base + steps[corner], axis
            link = np.int64(links[voxel])
        side = np.int64(PATH_STARTS[(link >> 6) & 4095, corner])
        goal = np.int64(0)
        if side < 12:  # a square leads on to its three other edges
            onward = np.int64(OPPOSITE_ENDS[side, corner])
            axis2 = min(onward, 5 - onward)
            first = voxel + (steps[onward] if onward < 3 else 0)
            second, third = first + steps[corner], base + steps[onward]
            waiting = n_stack
            if links[first] >> (KNOWN + axis2) & 1 == 0:
                stack[n_stack] = first << 2 | axis2
                n_stack += 1
            if links[second] >> (KNOWN + axis2) & 1 == 0:
                stack[n_stack] = second << 2 | axis2
                n_stack += 1
            if links[third] >> (KNOWN + axis) & 1 == 0:
                stack[n_stack] = third << 2 | axis
                n_stack += 1
            if n_stack > waiting:
                continue
            a, b, c = goals[3 * first + axis2], goals[3 * second + axis2], goals[3 * third + axis]
            if n_lists + 2 * (lists[a] + lists[b]) + lists[c] + 2 > lists.size:
                break
            goal, n_lists = _sum_of_three(a, b, c, lists, n_lists, heads)
        goals[3 * base + axis] = goal
        links[base] |= np.int32(1) << np.int32(KNOWN + axis)
        n_stack -= 1
    return n_stack, n_lists


@borrowing_subroutine
def _sum_of_three(a: int, b: int, c: int, lists: Any, n_lists: int, heads: Any) -> Any:
    """Return the list of what an odd number of three lists have, and the end of the lists."""
    if a == b:
        return np.int64(c), n_lists
    if a == c:
        return np.int64(b), n_lists
    if b == c:
        return np.int64(a), n_lists
    if (a == 0) + (b == 0) + (c == 0) == 2:
        return np.int64(a + b + c), n_lists
    if a == 0:
        a, c = c, a
    elif b == 0:
        b, c = c, b
    start, end = _add_lists(a, b, lists, n_lists, heads)
    if c == 0:
        return start, end
    if start == 0:
        return np.int64(c), end
    total, total_end = _add_lists(start, c, lists, end, heads)
    if total < n_lists:  # a list that was there before
        return total, n_lists
    for i in range(total_end - total):
        lists[n_lists + i] = lists[total + i]
    return n_lists, n_lists + total_end - total


@borrowing_subroutine
def _add_lists(a: int, b: int, lists: Any, n_lists: int, heads: Any) -> Any:
    first, second = lists[a + 1 : a + 1 + lists[a]], lists[b + 1 : b + 1 + lists[b]]
    size = _symmetric_difference(first, second, lists[n_lists + 1 :])
    if size == 0:
        return np.int64(0), n_lists
    if size == 1:
        return np.int64(heads[lists[n_lists + 1] & JOIN]), n_lists
    lists[n_lists] = size
    return np.int64(n_lists), n_lists + 1 + size


@borrowing_subroutine
def _symmetric_difference(a: Any, b: Any, out: Any) -> Any:
    """Write what only one of two descending lists has to `out`, descending; return how many there are."""
    i, j, n = np.uint64(0), np.uint64(0), np.uint64(0)
    n_a, n_b = np.uint64(a.size), np.uint64(b.size)
    while i < n_a and j < n_b:
        x, y = a[i], b[j]
        out[n] = max(x, y)
        i += np.uint64(x >= y)
        j += np.uint64(y >= x)
        n += np.uint64(x != y)
    while i < n_a:
        out[n] = a[i]
        i += np.uint64(1)
        n += np.uint64(1)
    while j < n_b:
        out[n] = b[j]
        j += np.uint64(1)
        n += np.uint64(1)
    return np.int64(n)


@borrowing_subroutine
def _push_sides(squares: Any, i: int, links: Any, steps: Any, edges: Any) -> int:
    """Write the edges of the loop around what square `i` closes off; return their number.

    That is one open component: as those of a voxel merge by ascending names, all before it are as one.
    """
    voxel = np.int64(squares[i, 0])
    labels = TRIANGLE_LABELS[(links[voxel] >> 6) & 4095]
    around = 0
    for t in range(8):
        if labels[t] == squares[i, 2] and links[voxel] >> (18 + t) & 1 == 0:
            around ^= TRIANGLE_EDGE_MASKS[t]
    n = 0
    while around:
        e = lowest_bit(np.uint64(around))
        around &= around - 1
        for side in range(2):
            corner, onward = EDGE_ENDS[e, side], EDGE_ENDS[e, 1 - side]
            first = voxel + steps[corner] + (steps[onward] if onward < 3 else 0)
            edges[n] = first << 2 | min(onward, 5 - onward)
            n += 1
    return n


@borrowing_subroutine
def _reduce(
    column: Any, n: int, spare: Any, square: int, keys: Any, owner: Any, ends: Any, stored: Any
) -> Any:
    """Add stored columns to that of a square until none that is earlier owns its latest edge.

    Returns whether the column is in `spare`, its size, the square that owns its latest edge, or −1, and
    whether there was no room.
    """
    swapped = False
    while True:
        other = np.int64(owner[column[0] & JOIN])
        if other < 0:
            return swapped, n, other, False
        start, end = ends[other, 0], ends[other, 1]
        if n + end - start > spare.size:
            return swapped, n, other, True
        if keys[square] < keys[other] or (keys[square] == keys[other] and square > other):
            return swapped, n, other, False
        n = _symmetric_difference(column[:n], stored[start:end], spare)
        column, spare = spare, column
        swapped = not swapped


@subroutine
def grown(array: Any, needed: int) -> Any:
    """Return `array`, or a larger copy that has place for `needed` elements."""
    if needed <= array.size:
        return array
    larger = np.empty(max(2 * array.size, needed), array.dtype)
    for i in range(array.size):
        larger[i] = array[i]
    return larger


@subroutine
def _tidied(stored: Any, owner: Any, ends: Any, needed: int) -> Any:
    """Return the columns that own an edge in an array with as much place again, and their end."""
    n = 0
    for j in range(owner.size):
        if owner[j] >= 0:
            n += ends[owner[j], 1] - ends[owner[j], 0]
    columns = np.empty(max(stored.size, 2 * (n + needed)), np.int64)
    n = 0
    for j in range(owner.size):
        if owner[j] >= 0:
            start, end = ends[owner[j], 0], ends[owner[j], 1]
            ends[owner[j], 0], ends[owner[j], 1] = n, n + end - start
            for k in range(start, end):
                columns[n] = stored[k]
                n += 1
    return columns, n


@borrowing_subroutine
def forget(links: Any) -> None:
    """Let no edge be known to flow anywhere."""
    for p in range(links.size):
        links[p] &= np.int32((1 << KNOWN) - 1)


@subroutine
def settle(
    stack: Any, n_stack: int, lists: Any, n_lists: int, heads: Any, links: Any, goals: Any, steps: Any
) -> Any:
    """Find where the edges on the stack flow to; return stack and lists, larger if need be, and their end."""
    while True:
        n_stack, n_lists = _advance(stack, n_stack, lists, n_lists, heads, links, goals, steps)
        if n_stack == 0:
            return stack, lists, n_lists
        if lists.size > 1 << 30:
            raise OverflowError("the flows of one loop of a volume have more than 2**30 entries")
        stack, lists = grown(stack, 2 * n_stack), grown(lists, 2 * lists.size)


@subroutine
def _keep(
    column: Any, n: int, spare: Any, square: Any, square_keys: Any, owner: Any, ends: Any, stored: Any,
    n_stored: int,
) -> Any:  # fmt: skip
    """Reduce the column of a square, and those that give up an edge for it; store each with what it owns.

    Returns the arrays, larger if need be, and the end of the stored columns.
    """
    while square >= 0:
        swapped, n, other, no_room = _reduce(column, n, spare, square, square_keys, owner, ends, stored)
        if swapped:
            column, spare = spare, column
        if no_room:
            needed = n + ends[other, 1] - ends[other, 0]
            column, spare = grown(column, needed), grown(spare, needed)
            continue
        if n_stored + n > stored.size:
            stored, n_stored = _tidied(stored, owner, ends, n)
        ends[square, 0], ends[square, 1] = n_stored, n_stored + n
        for k in range(n):
            stored[n_stored + k] = column[k]
        n_stored += n
        owner[column[0] & JOIN] = square
        if other >= 0:
            n = _symmetric_difference(column[:n], stored[ends[other, 0] : ends[other, 1]], spare)
            column, spare = spare, column
        square = other
    return column, spare, stored, n_stored


@kernel
def keep_rivals(rivals: Any, square_keys: Any, owner: Any, ends: Any, stored: Any) -> None:
    """Reduce the columns of `rivals`, squares whose latest edges others own; `stored` has all columns."""
    starts = np.empty(rivals.size + 1, np.int64)
    starts[0] = 0
    for r in range(rivals.size):
        starts[r + 1] = starts[r] + ends[rivals[r], 1] - ends[rivals[r], 0]
    columns = np.empty(starts[rivals.size], np.int64)  # apart: what owns no edge is not kept
    for r in range(rivals.size):
        for k in range(starts[r + 1] - starts[r]):
            columns[starts[r] + k] = stored[ends[rivals[r], 0] + k]
    column, spare, n_stored = np.empty(1024, np.int64), np.empty(1024, np.int64), stored.size
    for r in range(rivals.size):
        n = starts[r + 1] - starts[r]
        column, spare = grown(column, n), grown(spare, n)
        for k in range(n):
            column[k] = columns[starts[r] + k]
        column, spare, stored, n_stored = _keep(
            column, n, spare, np.int64(rivals[r]), square_keys, owner, ends, stored, n_stored
        )


@kernel
def reduce_loops(
    squares: Any, filled: Any, square_keys: Any, joins: Any, merged: Any, join_keys: Any, links: Any,
    goals: Any, steps: Any, room: int, first: int, last: int,
) -> Any:  # fmt: skip
    """Reduce the loops around squares from `first` to `last` that are not `filled`, which die in their order.

    That is by their keys, and of equal ones the last square first. Squares are taken as they lie in memory,
    in which most of what they meet is near. If a later one owns the latest edge of a column, it gives the
    edge up, and goes on with the sum of both. Flows are forgotten when they take `room` words.

    Returns the square that each join is owned by (−1: none), the place of each square's column among the
    stored words, these, the words of joins, where each has its own list, the lists, and their end.
    """
    words = _order_words(join_keys)
    heads = np.empty(joins.shape[0], np.int32)
    lists = np.empty(2 * joins.shape[0] + 1024, np.int64)
    n_lists = first_lists(words, joins, merged, links, goals, lists, heads, steps)
    owner = full(joins.shape[0], -1, np.int32)
    ends, stored = np.empty((squares.shape[0], 2), np.int64), np.empty(2 * joins.shape[0] + 1024, np.int64)
    n_stored = 0
    stack, sides = np.empty(1024, np.int64), np.empty(24, np.int64)
    column, spare = np.empty(1024, np.int64), np.empty(1024, np.int64)
    for i in range(first, last):
        if filled[i]:
            continue
        if n_lists - 2 * joins.shape[0] > room:
            forget(links)
            n_lists = first_lists(words, joins, merged, links, goals, lists, heads, steps)
        n_sides = _push_sides(squares, i, links, steps, sides)
        n_stack, n = n_sides, 0
        for k in range(n_sides):
            stack[k] = sides[k]
        stack, lists, n_lists = settle(stack, n_stack, lists, n_lists, heads, links, goals, steps)
        for k in range(n_sides):
            goal = goals[3 * (sides[k] >> 2) + (sides[k] & 3)]
            if goal > 0:
                column, spare = grown(column, n + lists[goal]), grown(spare, n + lists[goal])
                n = _symmetric_difference(column[:n], lists[goal + 1 : goal + 1 + lists[goal]], spare)
                column, spare = spare, column
        column, spare, stored, n_stored = _keep(
            column, n, spare, i, square_keys, owner, ends, stored, n_stored
        )
    return owner, ends, stored, words, heads, lists, n_lists


@subroutine
def _order_words(keys: Any) -> Any:
    """Return words, the place of each join in the order (key, index) and its number."""
    words = np.empty(keys.size, np.int64)
    low = high = np.int64(0)
    for i in range(keys.size):
        low = keys[i] if i == 0 or keys[i] < low else low
        high = keys[i] if i == 0 or keys[i] > high else high
    if (high >> 1) - (low >> 1) < 1 << 31:  # halves, whose difference does not overflow
        for i in range(keys.size):
            words[i] = (keys[i] - low) << _HALF | i
    else:
        order = radix_argsort(keys)
        for place in range(keys.size):
            words[order[place]] = np.int64(place) << _HALF | np.int64(order[place])
    return words


@subroutine
def first_lists(
    words: Any, joins: Any, merged: Any, links: Any, goals: Any, lists: Any, heads: Any, steps: Any
) -> int:
    """Write the lists of critical edges alone, and let those that merge components flow to nothing."""
    lists[0] = 0
    n = 1
    for j in range(joins.shape[0]):
        heads[j] = 0
        if not merged[j]:
            heads[j] = n
            lists[n], lists[n + 1] = 1, words[j]
            n += 2
        corner = np.int64(joins[j, 2])
        base, axis = np.int64(joins[j, 0]) + (steps[corner] if corner < 3 else 0), min(corner, 5 - corner)
        goals[3 * base + axis] = heads[j]
        links[base] |= np.int32(1) << np.int32(KNOWN + axis)
    return n


@kernel
def pairs_of_loops(owner: Any, joins: Any, join_keys: Any, squares: Any, square_keys: Any) -> Any:
    """Return (births, deaths), voxels of different keys, in the order of deaths."""
    born = full(squares.shape[0], -1, np.int32)
    for j in range(owner.size):
        if owner[j] >= 0 and join_keys[j] != square_keys[owner[j]]:
            born[owner[j]] = j
    dying, keys = np.empty(born.size, np.int32), np.empty(born.size, np.int64)
    n = 0
    for i in range(born.size - 1, -1, -1):
        if born[i] >= 0:
            dying[n], keys[n] = i, square_keys[i]
            n += 1
    births, deaths = np.empty(n, np.int64), np.empty(n, np.int64)
    order = radix_argsort(keys[:n])
    for k in range(n):
        i = dying[order[k]]
        births[k], deaths[k] = joins[born[i], 0], squares[i, 0]
    return births, deaths
