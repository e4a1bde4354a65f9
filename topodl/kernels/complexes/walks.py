"""Walks on the cells of one dimension, over common faces and cofaces, and the windows that are seen of them.

Draws are SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) of a key for each walk and a counter: no state is
shared, so a walk is the same in any order and on any number of threads. Neighbours are never listed.
Lists are pairs (offsets, members). Cost: of a step the connections of a cell, of a window those of two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import inlined_subroutine, kernel, subroutine

__all__ = ["walk_cells", "walk_keys", "warm_up", "windows_of"]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_DRAWS_A_STEP = 1 << 20  # more than a step ever takes


@inlined_subroutine
def _mixed(word: Any) -> Any:
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    return word ^ (word >> np.uint64(31))


@inlined_subroutine
def _drawn(key: Any, counter: int, n: int) -> Any:
    """Return an integer from 0 to `n` − 1, n < 2³², by the upper half of a word."""
    word = _mixed(key + np.uint64(counter + 1) * _GAMMA)
    return np.int64(((word >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


def walk_keys(seed: int, names: Any) -> Any:
    """Return a key for each walk from a seed and the walk's name, an integer of at least 0."""
    start = _mixed(np.array([seed], np.uint64) + _GAMMA)
    return _mixed(start + (names + 1).astype(np.uint64) * _GAMMA)


@inlined_subroutine
def _other(cells: Any, connection: int, cell: int, which: int) -> Any:
    """Return the cell of a connection at `which` among those that are not `cell`."""
    offsets, members = cells
    at = offsets[connection]
    for i in range(at, at + which + 1):
        if members[i] == cell:
            return members[at + which + 1]
    return members[at + which]


@inlined_subroutine
def _n_common(lists: Any, a: int, b: int) -> Any:
    """Return how many members two lists have in common."""
    offsets, members = lists
    n = 0
    for i in range(offsets[a], offsets[a + 1]):
        for j in range(offsets[b], offsets[b + 1]):
            n += members[i] == members[j]
    return n


@inlined_subroutine
def _n_common_rising(lists: Any, a: int, b: int) -> Any:
    """Return how many members two rising lists have in common, by search in the longer one."""
    offsets, members = lists
    if offsets[a + 1] - offsets[a] > offsets[b + 1] - offsets[b]:
        a, b = b, a
    n, low = 0, offsets[b]
    for i in range(offsets[a], offsets[a + 1]):
        high = offsets[b + 1]
        while low < high:
            middle = (low + high) // 2
            if members[middle] < members[i]:
                low = middle + 1
            else:
                high = middle
        n += low < offsets[b + 1] and members[low] == members[i]
    return n


@inlined_subroutine
def _weight(sizes: Any, connection: int, evenly_neighbours: bool) -> Any:
    """Return with how many ways on a connection counts: each of its other cells, or one if there is any."""
    others = sizes[connection + 1] - sizes[connection] - 1
    return others if evenly_neighbours else min(others, 1)


@inlined_subroutine
def _n_ways(cell: int, connected: Any, evenly_neighbours: bool) -> Any:
    (offsets, members), cells = connected
    total = 0
    for i in range(offsets[cell], offsets[cell + 1]):
        total += _weight(cells[0], members[i], evenly_neighbours)
    return total


@inlined_subroutine
def _connection_at(cell: int, connected: Any, evenly_neighbours: bool, rest: int) -> Any:
    """Return the connection that way number `rest` goes over, and what is left of the number."""
    (offsets, members), cells = connected
    for i in range(offsets[cell], offsets[cell + 1]):
        weight = _weight(cells[0], members[i], evenly_neighbours)
        if rest < weight:
            return members[i], rest
        rest -= weight
    return np.int64(-1), rest


@inlined_subroutine
def _step(cell: int, key: Any, at: int, down: Any, over: Any, evenly_neighbours: bool) -> Any:
    """Return the next cell and the way: a face f as f, a coface c as −1 − c; the cell itself if it is alone.

    `down` are the faces of each cell and the cells of each face, `over` the same of cofaces.
    """
    n_down = _n_ways(cell, down, evenly_neighbours)
    total = n_down + _n_ways(cell, over, evenly_neighbours)
    if total == 0:
        return cell, np.int64(0)
    counter = at * _DRAWS_A_STEP
    while True:
        rest = _drawn(key, counter, total)
        below = rest < n_down
        connected = down if below else over
        connection, rest = _connection_at(
            cell, connected, evenly_neighbours, rest if below else rest - n_down
        )
        way = connection if below else -1 - connection
        sizes = connected[1][0]
        if not evenly_neighbours:
            rest = _drawn(key, counter + 1, sizes[connection + 1] - sizes[connection] - 1)
        following = _other(connected[1], connection, cell, rest)
        if not evenly_neighbours:
            return following, way
        # A neighbour over several connections is drawn as many times as often, and kept as much less often.
        n = _n_common(down[0], cell, following) + _n_common_rising(over[0], cell, following)
        if n == 1 or _drawn(key, counter + 1, n) == 0:
            return following, way
        counter += 2


@inlined_subroutine
def _meet(memory: Any, item: int, now: int) -> Any:
    """Return at which of the last 63 positions an item was met, bit j for the j-th before, and note this one.

    `memory` holds when each item was last met and its bits at that time.
    """
    age = now - memory[item, 0]
    met = memory[item, 1] << age if age < 64 else np.int64(0)
    memory[item, 0], memory[item, 1] = now, met | 1
    return met


@inlined_subroutine
def _meet_all(memory: Any, lists: Any, cell: int, now: int) -> Any:
    """Return at which of the last 63 positions any member of the list of `cell` was met."""
    offsets, members = lists
    met = np.int64(0)
    for i in range(offsets[cell], offsets[cell + 1]):
        met |= _meet(memory, members[i], now)
    return met


@subroutine
def _memory(lists: Any) -> Any:
    """Return what has met none of as many items as there are lists, at a time long before 0."""
    return full(2 * (lists[0].size - 1), -64, np.int64).reshape((-1, 2))


@inlined_subroutine
def _see(cells: Any, now: int, faces: Any, cofaces: Any, memories: Any, seen: Any, windows: Any) -> None:
    """Write what each position of a walk sees of those before it into `windows` (3 s − 2, L + 1).

    First identity with the s positions before, oldest first, then lower and upper adjacency to s − 1 of them.
    `seen` (3, L + 1) is room for their bits.
    """
    of_cells, of_faces, of_cofaces = memories
    for at in range(cells.size):
        same = _meet(of_cells, cells[at], now + at)
        seen[0, at] = same
        seen[1, at] = _meet_all(of_faces, faces, cells[at], now + at) & ~same
        seen[2, at] = _meet_all(of_cofaces, cofaces, cells[at], now + at) & ~same
    size = (len(windows) + 2) // 3
    for row in range(len(windows)):
        which = 0 if row < size else 1 if row < 2 * size - 1 else 2
        back = size * (which + 1) - max(which - 1, 0) - row
        for at in range(cells.size):
            windows[row, at] = (seen[which, at] >> back) & 1


@kernel
def walk_cells(keys: Any, down: Any, over: Any, evenly_neighbours: bool, walks: Any, ways: Any) -> None:
    """Fill walks (W, L + 1), whose first column is there, and their `ways` (W, L)."""
    for w in range(len(walks)):
        cells = walks[w]
        for at in range(1, cells.size):
            cells[at], ways[w, at - 1] = _step(cells[at - 1], keys[w], at, down, over, evenly_neighbours)


@kernel
def windows_of(walks: Any, down: Any, over: Any, windows: Any) -> None:
    """Fill the `windows` (W, 3 s − 2, L + 1), s < 64, of walks (W, L + 1)."""
    memories = _memory(down[0]), _memory(down[1]), _memory(over[1])
    length = walks.shape[1]
    seen = zeros(3 * length, np.int64).reshape((3, length))
    for w in range(len(walks)):
        _see(walks[w], w * (length + 64), down[0], over[0], memories, seen, windows[w])


def warm_up() -> None:
    """Compile every kernel of this module."""
    none, edges = (np.zeros(3, np.int64), np.zeros(0, np.int64)), (np.arange(3), np.zeros(2, np.int64))
    ends = (np.array([0, 2]), np.array([1, 0]))
    walks, windows = np.zeros((1, 3), np.int64), np.zeros((1, 4, 3), np.uint8)
    keys = walk_keys(0, np.zeros(1, np.int64))
    walk_cells(keys, (none, none), (edges, ends), False, walks, np.zeros((1, 2), np.int64))
    windows_of(walks, (none, none), (edges, ends), windows)
