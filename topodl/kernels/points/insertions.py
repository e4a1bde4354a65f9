"""What enters and leaves the minimum spanning tree of points that come one after the other.

Chin, Houck, "Algorithms for updating minimal spanning trees", 1978: one pass from the leaves to the root for
each point. Cost O(n² d), memory O(n).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.points._products import pair_distance, squares_fit
from topodl.kernels.points.rips_edges import row_distances
from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.growing import enlarged
from topodl.kernels.shared.radix import ordered_keys, radix_argsort

__all__ = ["component_rows", "warm_up"]

_WIDTH = 4  # integers of a change: both ends of the edge, 1 or -1, and the point that comes


def component_rows(points: Any, function: Any, precomputed: bool, sample: int, start: int) -> Any:
    """Return the signed points of the components of points that come by their values, as rows (P, 7).

    A row holds the sample, the dimension 0, the weight, the cell (i, -1) of a point, 1, or (i, j), i < j, of
    an edge that enters the tree, -1, or leaves it, 1; the point that comes, and its place from `start` on.

    Parameters
    ----------
    points : ndarray of shape (n, d), or (n, n)
        Points, or with `precomputed` their symmetric distances, of which infinite ones are no edges.
        Distances are compared in float64.
    function : ndarray of shape (n,)
        Values, without NaN; at +inf a point never comes.
    """
    return _rows(
        points, function, ordered_keys(function.view(f"i{function.itemsize}")), precomputed, sample, start
    )


@kernel
def _rows(points: Any, function: Any, keys: Any, precomputed: bool, sample: Any, start: Any) -> Any:
    """Return the rows of points, and then of changes that are not infinitely long."""
    order, k, m = radix_argsort(keys), 0, 0
    while k < len(order) and function[order[k]] < np.inf:
        k += 1
    own, columns = _in_order(points, order[:k], precomputed)
    changes = _changes(own, columns, precomputed)
    rows = zeros((k + len(changes) // _WIDTH) * 7, np.int64).reshape(-1, 7)
    for i in range(k):
        rows[i, 2], rows[i, 3], rows[i, 4], rows[i, 5] = 1, order[i], -1, order[i]
    for at in range(0, len(changes), _WIDTH):
        if not precomputed or columns[changes[at], changes[at + 1]] < np.inf:
            u, v = order[changes[at]], order[changes[at + 1]]
            rows[k + m, 2], rows[k + m, 3], rows[k + m, 4] = -changes[at + 2], min(u, v), max(u, v)
            rows[k + m, 5] = order[changes[at + 3]]
            m += 1
    for r in range(k + m):
        rows[r, 0], rows[r, 6] = sample, start + rows[r, 5]
    return rows[: k + m]


@subroutine
def _in_order(points: Any, order: Any, precomputed: bool) -> Any:
    """Return points (k, d) or distances (k, k) in order, in float64, and their transpose."""
    k = len(order)
    width = k if precomputed else points.shape[1]
    own, columns = np.empty((k, width)), np.empty((width, k))
    for i in range(k):
        for c in range(width):
            own[i, c] = columns[c, i] = points[order[i], order[c] if precomputed else c]
    return own, columns


@kernel
def _changes(points: Any, columns: Any, precomputed: bool) -> Any:
    """Return the changes one by one, of points (k, d) in order and their coordinates (d, k), or distances."""
    k = len(points)
    changes, end, room, fit = np.empty(_WIDTH, np.int64), 0, np.empty(points.shape[1]), squares_fit(points)
    # The tree, whose root is the first point: of each point its parent, the length of the edge there, ….
    parent, length, n_children = full(k, -1, np.int64), np.empty(k), full(k, 0, np.int64)
    # Of each point the best way from below it to the new one that is not in the new tree yet.
    tail, head, best = np.empty(k, np.int64), np.empty(k, np.int64), np.empty(k)
    direct, waiting = np.empty(k), np.empty(k, np.int64)
    for new in range(1, k):
        if fit and not precomputed:
            row_distances(columns, 0, points[new], direct, 0, new)
        for u in range(new):
            if precomputed:
                direct[u] = columns[new, u]
            elif not fit:
                direct[u] = pair_distance(points, u, new, room)
            tail[u], head[u], best[u], waiting[u] = u, new, direct[u], n_children[u]
        if end + 2 * _WIDTH * new > len(changes):
            changes = enlarged(changes, end + 2 * _WIDTH * new)
        before = end
        end = _renew(new, parent, length, waiting, tail, head, best, changes, end)
        _graft(new, direct, changes[before:end], parent, length, n_children)
    return changes[:end]


@borrowing_subroutine
def _renew(
    new: Any,
    parent: Any,
    length: Any,
    waiting: Any,
    tail: Any,
    head: Any,
    best: Any,
    changes: Any,
    end: Any,
) -> Any:
    """Write to `changes` which edges leave the tree and which ones enter it; return their new end.

    The edge above a point, the best way from below it to the new point, and the best way from its parent are
    on a cycle: the longest of the first two makes up for the third, or the third for it. Where lengths are
    equal, old edges stay. A point's turn comes when it is `waiting` for no child.
    """
    for first in range(new):
        u = first
        while waiting[u] == 0 and parent[u] >= 0:
            p, a, b, way = parent[u], tail[u], head[u], best[u]
            if way < length[u]:
                if b == new:
                    end = _note(changes, end, a, b, 1, new)
                a, b, way = u, p, length[u]
            if way < best[p] or (way == best[p] and head[p] == new):
                a, b, tail[p], head[p], best[p] = tail[p], head[p], a, b, way
            if b != new:
                end = _note(changes, end, a, b, -1, new)
            waiting[u], waiting[p] = -1, waiting[p] - 1
            if p > first:
                break
            u = p
    return _note(changes, end, tail[0], new, 1, new) if head[0] == new else end


@borrowing_subroutine
def _note(changes: Any, end: Any, a: Any, b: Any, sign: Any, new: Any) -> Any:
    changes[end], changes[end + 1], changes[end + 2], changes[end + 3] = a, b, sign, new
    return end + _WIDTH


@borrowing_subroutine
def _graft(new: Any, direct: Any, changes: Any, parent: Any, length: Any, n_children: Any) -> None:
    """Let the tree change: what is cut off hangs from the new point, and that from what holds the root."""
    for at in range(0, len(changes), _WIDTH):
        if changes[at + 2] < 0:
            parent[changes[at]] = -1
            n_children[changes[at + 1]] -= 1
    for at in range(0, len(changes), _WIDTH):
        if changes[at + 2] > 0:
            u, way = changes[at], direct[changes[at]]
            root = u
            while parent[root] >= 0:
                root = parent[root]
            below, above = (new, u) if root == 0 else (u, new)
            while below >= 0:  # all the way up, parents become children
                n_children[above] += 1
                next_up, next_way = parent[below], length[below]
                parent[below], length[below] = above, way
                if next_up >= 0:
                    n_children[next_up] -= 1
                below, above, way = next_up, below, next_way


def warm_up() -> None:
    """Compile every kernel of this module."""
    for dtype in (np.float32, np.float64):
        component_rows(np.ones((3, 2), dtype), np.arange(3, dtype=dtype), False, 0, 0)
