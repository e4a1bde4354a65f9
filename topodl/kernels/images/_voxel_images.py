"""Loops of one volume as sums of those of another: each edge of theirs flows to critical edges there.

Image persistence after Bauer and Schmahl, 2022, on the Morse complexes of `_voxel_flow`. Cost: the length of
the loops, and the reduction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.images._voxel_flow import JOIN, KNOWN, first_lists, forget, grown, settle
from topodl.kernels.images._voxel_links import lowest_bit
from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["Flow", "Loops", "ends_of_edges", "flows_of_joins", "images_of_loops", "joins_along", "root_tree"]

# Sets of integers are bits of a `tree`, under levels of words that say which words are not zero.


class Loops(NamedTuple):
    """The loops of one volume: bar i runs along the joins in ``words[starts[i, 0] : starts[i, 1]]``.

    It is closed along joins that merge, a tree of minima: each minimum has a `place`, later than that of the
    one above it, to which the join `way_up` leads. Between the two minima of a join, its `ends`, run the edge
    that it stands for, and what the `links` of both ends of this edge descend.
    """

    starts: Any
    words: Any
    joins: Any
    ends: Any
    place: Any
    above: Any
    way_up: Any
    links: Any


class Flow(NamedTuple):
    """Where the edges of a volume flow to (see `_voxel_flow`), and the loops that are reduced there.

    `place` is that of a join in the order, `owner` the bar that is born at the join of each place, −1 for
    none, and `dies` the level at which each bar dies; bars come in the order of deaths, with words as in
    `Loops`.
    """

    place: Any
    owner: Any
    dies: Any
    starts: Any
    words: Any
    joins: Any
    merged: Any
    join_words: Any
    heads: Any
    lists: Any
    n_lists: int
    links: Any
    goals: Any
    steps: Any


@subroutine
def _tree_levels(n: int) -> Any:
    """Return where each level of words over `n` bits starts, the leaves first, and the end of the last."""
    starts = zeros(8, np.int64)
    level = 0
    while True:
        n = (n + 63) // 64
        starts[level + 1] = starts[level] + n
        level += 1
        if n <= 1:
            return starts[: level + 1].copy()


@borrowing_subroutine
def _flip(tree: Any, levels: Any, bit: int) -> None:
    """Put a bit into a set, or take it out if it is there."""
    for level in range(levels.size - 1):
        at, flag = levels[level] + (bit >> 6), np.uint64(1) << np.uint64(bit & 63)
        before = tree[at]
        tree[at] = before ^ flag
        if before != 0 and before != flag:
            return
        bit >>= 6


@borrowing_subroutine
def _tree_first(tree: Any, levels: Any) -> Any:
    """Return the lowest set bit, −1 if there is none."""
    at = np.int64(0)
    for level in range(levels.size - 2, -1, -1):
        word = tree[levels[level] + at]
        if word == 0:
            return np.int64(-1)
        at = at * 64 + lowest_bit(word)
    return at


@kernel
def ends_of_edges(joins: Any, ends: Any, links: Any, label: Any, steps: Any) -> Any:
    """Return the minima below the two ends of the edge that each join stands for: its voxel and beyond."""
    below = np.empty((joins.shape[0], 2), np.int32)
    for j in range(joins.shape[0]):
        voxel = joins[j, 0]
        below[j, 0] = label[voxel + steps[lowest_bit(np.uint64(links[voxel] & 63))]] - 1
        below[j, 1] = ends[j, 1]
    return below


@kernel
def root_tree(ends: Any, merged: Any, n: int) -> Any:
    """Return `place`, `above` and `way_up` (see `Loops`) of `n` minima, connected by joins that merge."""
    starts = zeros(n + 2, np.int64)
    for j in range(merged.size):
        if merged[j]:
            starts[ends[j, 0] + 2] += 1
            starts[ends[j, 1] + 2] += 1
    for i in range(n):
        starts[i + 2] += starts[i + 1]
    beside = np.empty((2 * n, 2), np.int32)
    for j in range(merged.size):
        if merged[j]:
            for side in range(2):
                at = starts[ends[j, side] + 1]
                beside[at, 0], beside[at, 1] = ends[j, 1 - side], j
                starts[ends[j, side] + 1] += 1
    place, above, way_up = full(n, -1, np.int32), full(n, -1, np.int32), full(n, -1, np.int32)
    found, n_found = zeros(n, np.int32), 1
    place[0] = 0
    for at in range(n):
        for k in range(starts[found[at]], starts[found[at] + 1]):
            other = beside[k, 0]
            if place[other] < 0:
                place[other], above[n_found], way_up[n_found] = n_found, at, beside[k, 1]
                found[n_found] = other
                n_found += 1
    return place, above, way_up


@kernel
def joins_along(bars: Any, loops: Loops) -> Any:
    """Return the joins along each of the `bars` one after the other, and where those of each start."""
    last = loops.place.size - 1
    levels = _tree_levels(last + 1)
    odd = zeros(levels[-1], np.uint64)  # minima that a loop still ends at, the last place first
    starts, joins, n = zeros(bars.size + 1, np.int64), np.empty(1024, np.int32), 0
    for i in range(bars.size):
        bar = bars[i]
        for k in range(loops.starts[bar, 0], loops.starts[bar, 1]):
            join = loops.words[k] & JOIN
            joins = grown(joins, n + 1)
            joins[n] = join
            n += 1
            for side in range(2):
                _flip(odd, levels, last - loops.place[loops.ends[join, side]])
        while True:
            first = _tree_first(odd, levels)
            if first < 0:
                break
            place = last - first
            _flip(odd, levels, first)
            _flip(odd, levels, last - loops.above[place])
            joins = grown(joins, n + 1)
            joins[n] = loops.way_up[place]
            n += 1
        starts[i + 1] = n
    return starts, joins[:n]


@kernel
def flows_of_joins(wanted: Any, source: Loops, target: Flow, room: int) -> Any:
    """Return where the `wanted` joins of the source flow to in the target, as places, with where each starts.

    That is what the edge of a join flows to, and what descends from both ends of the edge. A place may come
    twice: it is then none. Flows are forgotten when they take `room` words. Lists may have moved: they are
    returned, with their end.
    """
    lists, n_lists, n_first = target.lists, target.n_lists, 2 * target.owner.size
    stack, starts = np.empty(1024, np.int64), zeros(wanted.size + 1, np.int64)
    places, n = np.empty(1024, np.int32), 0
    for j in range(wanted.size):
        if n_lists - n_first > room:
            forget(target.links)
            n_lists = first_lists(
                target.join_words, target.joins, target.merged, target.links, target.goals, lists,
                target.heads, target.steps,
            )  # fmt: skip
        for side in range(2 if wanted[j] else 0):
            p = np.int64(source.joins[j, 0])
            corner = np.int64(source.joins[j, 2])
            if side == 1:
                corner = lowest_bit(np.uint64(source.links[p] & 63))
            while True:
                base, axis = p + (target.steps[corner] if corner < 3 else 0), min(corner, 5 - corner)
                down = np.int64(target.links[p]) & 63
                if (down & -down) != 1 << corner:  # else the target descends it, too
                    if target.links[base] >> (KNOWN + axis) & 1 == 0:
                        stack[0] = base << 2 | axis
                        stack, lists, n_lists = settle(
                            stack, 1, lists, n_lists, target.heads, target.links, target.goals, target.steps
                        )
                    goal = np.int64(target.goals[3 * base + axis])
                    places = grown(places, n + lists[goal])
                    for k in range(goal + 1, goal + 1 + lists[goal]):
                        places[n] = target.place[lists[k] & JOIN]
                        n += 1
                p += target.steps[corner]
                down = np.int64(source.links[p]) & 63
                if down == 0:
                    break
                corner = lowest_bit(np.uint64(down))
        starts[j + 1] = n
    return starts, places[:n], lists, n_lists


@kernel
def images_of_loops(
    bars: Any, born: Any, along: Any, joins: Any, flows: Any, places: Any, target: Flow
) -> Any:
    """Return, for each of the `bars` of the source, that of the target with which its image dies, or −1.

    A loop of the source is a sum of loops of the target. Reduced by the loops that come before, the latest
    death among them is its own. `born` are levels; the other arguments are what `joins_along` and
    `flows_of_joins` return.
    """
    n, n_joins = target.dies.size, target.owner.size
    image = full(bars.size, -1, np.int64)
    if n == 0:
        return image
    levels, cycle_levels = _tree_levels(n), _tree_levels(n_joins)
    column = zeros(levels[-1], np.uint64)  # bars of the target, the latest death first
    cycle = zeros(cycle_levels[-1], np.uint64)  # joins of the target, the latest first
    columns, n_stored = np.empty(1024, np.int32), 0
    ends = np.zeros((n, 2), np.int64)
    for i in range(bars.size):
        for join in joins[along[i] : along[i + 1]]:
            for place in places[flows[join] : flows[join + 1]]:
                _flip(cycle, cycle_levels, n_joins - 1 - place)
        _decompose(cycle, cycle_levels, target, born[bars[i]], column, levels)
        latest = n - 1 - _tree_first(column, levels)
        while latest < n and ends[latest, 1] > 0:
            for k in range(ends[latest, 0], ends[latest, 1]):
                _flip(column, levels, n - 1 - columns[k])
            latest = n - 1 - _tree_first(column, levels)
        if latest == n:
            continue
        if target.dies[latest] <= born[bars[i]]:  # from loops before: all of the column is over by its birth
            _clear(column, levels, n - 1 - latest)
            continue
        image[i] = latest
        ends[latest, 0] = n_stored
        while latest < n:
            columns = grown(columns, n_stored + 1)
            columns[n_stored] = latest
            n_stored += 1
            _flip(column, levels, n - 1 - latest)
            latest = n - 1 - _tree_first(column, levels)
        ends[image[i], 1] = n_stored
    return image


@borrowing_subroutine
def _clear(tree: Any, levels: Any, first: int) -> None:
    """Take all bits out of a set, of which the lowest is `first`."""
    while first >= 0:
        _flip(tree, levels, first)
        first = _tree_first(tree, levels)


@borrowing_subroutine
def _decompose(cycle: Any, cycle_levels: Any, target: Any, born: int, column: Any, levels: Any) -> None:
    """Take a cycle apart into loops of the target; those that outlive `born` go into the column."""
    last, last_bar = target.owner.size - 1, target.dies.size - 1
    while True:
        first = _tree_first(cycle, cycle_levels)
        if first < 0:
            return
        bar = target.owner[last - first]
        for k in range(target.starts[bar, 0], target.starts[bar, 1]):
            _flip(cycle, cycle_levels, last - target.place[target.words[k] & JOIN])
        if target.dies[bar] > born:
            _flip(column, levels, last_bar - bar)
