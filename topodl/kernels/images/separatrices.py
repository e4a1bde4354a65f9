"""Ridges of an image or volume: the separatrices of its discrete gradient, after cancellation by persistence.

The gradient is a forest: each pixel points to its highest neighbour, and a maximum that is cancelled points
down over its saddle (Dey, Wang, Wang, SoCG 2018). Cost: one sort, and union-find over the borders of basins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.merge_tree import find_root, singletons
from topodl.kernels.shared.radix import ordered_keys, radix_argsort

__all__ = ["mark_separatrices", "warm_up"]


@kernel
def mark_separatrices(values: Any, bits: Any, loops: Any, places: Any, steps: Any, threshold: float) -> Any:
    """Return which pixels lie on a separatrix, booleans like `values`.

    `values` are the negated pixels, flat, `bits` the same memory as signed integers, `places` their places
    in an array with a border one pixel thick. `steps` (n, dimensions + 1) lists the neighbours: the distance
    in that array, then the offset along each axis. `loops` is nonzero where a loop closes that persists.
    Maxima whose persistence is at most `threshold` are cancelled.
    """
    order = radix_argsort(ordered_keys(bits))
    size = 2 * places[0] + places[values.size - 1] + 1
    rank = full(size, values.size, np.int32)
    for i in range(order.size):
        rank[places[order[i]]] = i
    ascent, edges = _simplified_gradient(values, order, rank, loops, places, steps, threshold)
    marked = zeros(values.size, np.bool_)
    for e in range(edges.shape[0]):
        for side in range(2):
            at = edges[e, side]
            while not marked[order[at]]:
                marked[order[at]] = True
                at = ascent[at]
    return marked


@subroutine
def _simplified_gradient(
    values: Any, order: Any, rank: Any, loops: Any, places: Any, steps: Any, threshold: float
) -> Any:
    """Return where each pixel points (a maximum that is left: to itself), and the critical edges; by rank."""
    ascent, basin = np.empty(order.size, np.int32), np.empty(order.size, np.int32)
    peaks, n_peaks = np.empty(order.size, np.int32), 0
    parent = singletons(order.size)
    near = np.empty(steps.shape[0], np.int64)
    edges, n_edges = np.empty((16, 2), np.int64), 0
    for i in range(order.size):
        place = places[order[i]]
        n_near = _earlier_neighbours(rank, place, i, steps, near)
        if n_near == 0:
            ascent[i], basin[i], peaks[n_peaks] = i, n_peaks, i
            n_peaks += 1
            continue
        best = near[0]
        for k in range(n_near):
            best = min(best, near[k])
        ascent[i], basin[i] = best, basin[best]
        if edges.shape[0] < n_edges + near.size:
            longer = np.empty((2 * (n_edges + near.size), 2), np.int64)
            longer[:n_edges] = edges[:n_edges]
            edges = longer
        looped = loops[order[i]]
        if not looped and _one_basin(basin, near, n_near, basin[i]):
            continue
        near[:n_near].sort()
        for k in range(n_near):
            a, b = find_root(parent, basin[i]), find_root(parent, basin[near[k]])
            if a == b:
                if k and looped and _first_of_link(rank, place, near, k, steps):
                    edges[n_edges] = i, near[k]
                    n_edges += 1
                continue
            dying = max(a, b)
            parent[dying] = min(a, b)
            if np.float64(values[order[i]]) - np.float64(values[order[peaks[dying]]]) > threshold:
                edges[n_edges] = i, near[k]
                n_edges += 1
            elif dying == a:
                _redirect(ascent, i, near[k])
            else:
                _redirect(ascent, near[k], i)
    return ascent, edges[:n_edges]


@borrowing_subroutine
def _earlier_neighbours(rank: Any, place: int, own: int, steps: Any, near: Any) -> int:
    """Write the ranks of the neighbours that come before rank `own` into `near`; return their number."""
    n = 0
    for j in range(steps.shape[0]):
        other = rank[place + steps[j, 0]]
        near[n] = other  # kept only where the counter moves on
        n += other < own
    return n


@borrowing_subroutine
def _one_basin(basin: Any, near: Any, n_near: int, own: int) -> bool:
    n = 0
    for k in range(n_near):
        n += basin[near[k]] != own
    return n == 0


@borrowing_subroutine
def _redirect(ascent: Any, start: int, target: int) -> None:
    """Reverse the path from `start` to its maximum, and let `start` point to `target`."""
    at, before = start, target
    while True:
        after = ascent[at]
        ascent[at] = before
        if after == at:
            return
        at, before = after, at


@subroutine
def _first_of_link(rank: Any, place: int, near: Any, k: int, steps: Any) -> bool:
    """Return whether no neighbour before `near[k]` is in its component of the upper link of the pixel.

    Along corners (8, 26 neighbours) two of the link are joined if they are neighbours of each other; else
    (4, 6 neighbours) if the corner between them comes before the pixel, too.
    """
    n = steps.shape[0]
    corners = n > 2 * (steps.shape[1] - 1)
    own = rank[place]
    todo, n_todo = np.empty(n, np.int64), 0
    seen = zeros(n, np.bool_)
    for j in range(n):
        if rank[place + steps[j, 0]] == near[k]:
            todo[0], n_todo, seen[j] = j, 1, True
    while n_todo:
        n_todo -= 1
        a = todo[n_todo]
        for b in range(n):
            if seen[b] or rank[place + steps[b, 0]] >= own:
                continue
            if corners:
                joined = True
                for axis in range(1, steps.shape[1]):
                    joined &= abs(steps[a, axis] - steps[b, axis]) <= 1
            else:
                joined = steps[a, 0] != -steps[b, 0] and rank[place + steps[a, 0] + steps[b, 0]] < own
            if joined:
                if rank[place + steps[b, 0]] < near[k]:
                    return False
                seen[b] = True
                todo[n_todo] = b
                n_todo += 1
    return True


def warm_up() -> None:
    """Compile every kernel of this module."""
    steps = np.array([[1, 0, 1], [-1, 0, -1]])
    for real, integer in ((np.float32, np.int32), (np.float64, np.int64)):
        values = np.zeros(2, real)
        places = np.array([4, 5])
        mark_separatrices(values, values.view(integer), np.zeros(2, np.bool_), places, steps, 0.0)
