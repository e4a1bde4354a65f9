"""What enters and leaves the minimum spanning tree of points that come one after the other.

Sibson, "SLINK: an optimally efficient algorithm for the single-link cluster method", 1973, whose merging
clusters remember here by which edge they merge. Cost O(n² d), memory O(n).
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
_ROOT = np.int64(2**63 - 1)  # longer than any edge, and none


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
    return _rows(points, function, function.view(f"i{function.itemsize}"), precomputed, sample, start)


@kernel
def _rows(points: Any, function: Any, bits: Any, precomputed: bool, sample: Any, start: Any) -> Any:
    """Return the rows of points, and then of changes that are not infinitely long."""
    order, k, m = radix_argsort(ordered_keys(bits)), 0, 0
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
    """Return the changes one by one, of points (k, d) in order and their coordinates (d, k), or distances.

    Of each point u, `above[u]` is the last point of the cluster that u is the last point of no more from
    `length[u]` on, which is the length of the edge number `edge[u]` of the tree. The edge from u to a later
    point v has the number v k + u.
    """
    k = len(points)
    changes, end, room, fit = np.empty(_WIDTH, np.int64), 0, np.empty(points.shape[1]), squares_fit(points)
    above, length, edge = np.empty(k, np.int64), full(k, _ROOT, np.int64), full(k, k * k, np.int64)
    # The shortest way from the cluster of each point to the new one, by an edge outside the tree.
    direct, way, by = np.empty(k), np.empty(k, np.int64), np.empty(k, np.int64)
    bits = direct.view(np.int64)
    for new in range(k):
        if precomputed:
            direct[:new] = columns[new, :new]
        elif fit:
            row_distances(columns, 0, points[new], direct, 0, new)
        else:
            for u in range(new):
                direct[u] = pair_distance(points, u, new, room)
        for u in range(new):
            way[u], by[u] = bits[u], new * k + u
        if end + 2 * _WIDTH * new > len(changes):
            changes = enlarged(changes, end + 2 * _WIDTH * new)
        end = _insert(new, k, above, length, edge, way, by, changes, end)
    return changes[:end]


@borrowing_subroutine
def _insert(
    new: Any, k: Any, above: Any, length: Any, edge: Any, way: Any, by: Any, changes: Any, end: Any
) -> Any:
    """Let clusters merge by way of the new point; write which edges leave and enter; return their new end.

    Where the way to the new point is shorter than the edge to the next cluster, they change places, and
    the edge is a way from there. Of two ways from one cluster, the longer one closes a cycle. Lengths are
    the bits of floats, as integers; of edges of one length, those of lower numbers, older ones, are shorter.
    """
    above[new], first_new = new, new * k
    for u in range(new):
        over, a, e = above[u], way[u], by[u]
        if a < length[u] or (a == length[u] and e < edge[u]):
            if e >= first_new:
                end = _note(changes, end, e, k, 1, new)
            a, length[u], e, edge[u], above[u] = length[u], a, edge[u], e, new
        b, f = way[over], by[over]
        closer = (a < b) | ((a == b) & (e < f))  # no branch: which of them it is nobody foresees
        way[over], by[over] = (a if closer else b), (e if closer else f)
        e = f if closer else e
        if e < first_new:
            end = _note(changes, end, e, k, -1, new)
    for u in range(new):
        over = above[u]
        if length[over] < length[u] or (length[over] == length[u] and edge[over] < edge[u]):
            above[u] = new
    return end


@borrowing_subroutine
def _note(changes: Any, end: Any, edge: Any, k: Any, sign: Any, new: Any) -> Any:
    changes[end], changes[end + 1], changes[end + 2], changes[end + 3] = edge % k, edge // k, sign, new
    return end + _WIDTH


def warm_up() -> None:
    """Compile every kernel of this module."""
    for dtype in (np.float32, np.float64):
        component_rows(np.ones((3, 2), dtype), np.arange(3, dtype=dtype), False, 0, 0)
