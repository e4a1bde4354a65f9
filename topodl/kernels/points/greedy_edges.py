"""The edges of a sparse approximation of the Rips filtration, from points that come farthest first.

Cavanna, Jahanseir, Sheehy, "A geometric perspective on sparse filtrations", CCCG 2015. Every point stands for
a ball that stops growing, and leaves, the earlier the closer the points before it are. The distances that
choose the next point are those that its edges need: cost O(n² d), memory O(n + edges).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.points._products import pair_distance, squares_fit
from topodl.kernels.points.rips_edges import row_distances
from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.growing import enlarged

__all__ = ["greedy_edges", "warm_up"]


class _Greedy(NamedTuple):
    """Points in the order in which each is the farthest from those before it."""

    order: Any  # (n,)
    radii: Any  # (n,): the distance to those before; inf of the first
    before: Any  # (n,): the nearest of those before, -1 of the first
    place: Any  # (n,): in the order, n while a point waits


@kernel
def greedy_edges(
    points: Any, precomputed: bool, single: bool, sparse: float, longest: float, most: int
) -> Any:
    """Return the edges of the approximation by `sparse` = ε, 0 < ε < 1, that enter by `longest`.

    The first point is the one of index 0; of equally far ones the one of the smallest index comes next.

    Parameters
    ----------
    points : ndarray of shape (n, d), or (n, n), float64
        Points, or with `precomputed` their distances, of which those above the diagonal are read.
    single : bool
        Whether they came in single precision, to which distances and values are rounded then.

    Returns
    -------
    edges : (E, 2) int32
        i < j, in no order. None are returned where there are more than `most`.
    values : (E,) float64
        When they enter.
    radii : (n,) float64
        The distance of each point to those before it.
    before : (n,) int64
        The nearest of those before it, -1 of the first.
    place : (n,) int64
        In the order of the points.
    fits : bool
        Whether there are at most as many edges as `most`.
    """
    n = len(points)
    greedy = _Greedy(
        np.empty(n, np.int64), full(n, np.inf, np.float64), full(n, -1, np.int64), full(n, n, np.int64)
    )
    fit = not precomputed and squares_fit(points)
    columns = points.T.copy() if fit else np.empty((1, 1))
    distances, room = np.empty(n), np.empty(points.shape[1])
    keys, count, new = np.empty(2, np.int64), 0, 0
    for k in range(n):
        greedy.order[k], greedy.place[new] = new, k
        if fit:
            row_distances(columns, 0, points[new], distances, 0, n)
        else:
            _distances_one_by_one(points, new, precomputed, room, distances)
        if single:
            _round_all(distances)
        if 2 * (count + k) > len(keys):
            keys = enlarged(keys, 2 * (count + k))
        count = _add_edges(greedy, k, distances, single, sparse, longest, keys, count)
        if count > most:
            return np.empty((0, 2), np.int32), np.empty(0), greedy.radii, greedy.before, greedy.place, False
        new = _farthest(greedy, new, distances)
    edges, values = np.empty((count, 2), np.int32), np.empty(count)
    reals = keys.view(np.float64)
    for e in range(count):
        edges[e, 0], edges[e, 1], values[e] = keys[2 * e] // n, keys[2 * e] % n, reals[2 * e + 1]
    return edges, values, greedy.radii, greedy.before, greedy.place, True


@borrowing_subroutine
def _distances_one_by_one(points: Any, new: Any, precomputed: bool, room: Any, out: Any) -> None:
    for i in range(len(points)):
        if precomputed:
            out[i] = points[min(i, new), max(i, new)]
        else:
            out[i] = pair_distance(points, i, new, room)


@borrowing_subroutine
def _round_all(distances: Any) -> None:
    for i in range(len(distances)):
        distances[i] = np.float64(np.float32(distances[i]))


@borrowing_subroutine
def _add_edges(
    greedy: Any,
    k: Any,
    distances: Any,
    single: Any,
    sparse: Any,
    longest: Any,
    keys: Any,
    count: Any,
) -> Any:
    """Write the edges of the k-th point to those before, i n + j and the bits of the value; count them.

    The ball of a point of radius λ grows until its diameter is 2λ / ε, and leaves at 1 / (1 - ε) of that: two
    balls meet at their distance d while the later one grows, at 2 (d - λ / ε) once it does not.
    """
    n, new = len(distances), greedy.order[k]
    radius, reals = greedy.radii[new], keys.view(np.float64)
    last = radius * (1 + 1 / (1 - sparse))
    for earlier in range(k):
        i = greedy.order[earlier]
        d = distances[i]
        scaled = d * sparse
        value = d
        if scaled > 2 * radius:
            if scaled > radius + greedy.radii[i] or scaled > last:
                continue
            value = 2 * (d - radius / sparse)
        if single:
            value = np.float64(np.float32(value))
        if value <= longest and value < np.inf:
            keys[2 * count], reals[2 * count + 1] = min(i, new) * n + max(i, new), value
            count += 1
    return count


@borrowing_subroutine
def _farthest(greedy: Any, new: Any, distances: Any) -> Any:
    """Let the waiting points know a new one; return the farthest of them."""
    n, best, farthest = len(distances), -1.0, new
    for i in range(n):
        if greedy.place[i] == n:
            if distances[i] < greedy.radii[i] or greedy.before[i] < 0:
                greedy.radii[i], greedy.before[i] = distances[i], new
            if greedy.radii[i] > best:
                best, farthest = greedy.radii[i], i
    return farthest


def warm_up() -> None:
    """Compile every kernel of this module."""
    greedy_edges(np.ones((3, 3)), False, False, 0.5, 1.0, 9)
