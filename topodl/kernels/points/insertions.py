"""What enters and leaves the minimum spanning tree of points that come one after the other.

Chin, Houck, "Algorithms for updating minimal spanning trees", 1978: one pass from the leaves to the root for
each point. Cost O(n² d), memory O(n).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.points._products import pair_distance, squares_fit
from topodl.kernels.points.rips_edges import row_distances
from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.growing import enlarged

__all__ = ["tree_changes", "warm_up"]

_WIDTH = 4  # integers of a change: both ends of the edge, 1 or -1, and the point that comes


def tree_changes(points: Any, order: Any, precomputed: bool) -> Any:
    """Return the edges that enter (1) and leave (-1) the tree: rows (m, 4) of i < j, the sign, and the point.

    Parameters
    ----------
    points : ndarray of shape (n, d), or (n, n)
        Points, or with `precomputed` their symmetric distances, of which some may be infinite. Distances are
        compared in float64.
    order : ndarray of shape (k,), int64
        The points that come, in their order.
    """
    own = points[order].astype(np.float64)  # in which those of float32 are exact
    columns = np.ascontiguousarray(own[:, order] if precomputed else own.T)
    changes = _changes(own, columns, precomputed).reshape(-1, _WIDTH)
    ends = np.sort(order[changes[:, :2]], axis=1)
    return np.concatenate((ends, changes[:, 2:3], order[changes[:, 3:]]), axis=1)


@kernel
def _changes(points: Any, columns: Any, precomputed: bool) -> Any:
    """Return the changes one by one, of points (k, d) in order and their coordinates (d, k), or distances."""
    k = len(points)
    changes, end, room, fit = np.empty(_WIDTH, np.int64), 0, np.empty(points.shape[1]), squares_fit(points)
    # The tree, from the root on: points with their parent and the length of the edge to it.
    sequence, parent, length = full(k, 0, np.int64), full(k, -1, np.int64), np.empty(k)
    # Of each point the best way from below it to the new one that is not in the new tree yet.
    tail, head, best = np.empty(k, np.int64), np.empty(k, np.int64), np.empty(k)
    kept = np.empty(k, np.int64), np.empty(k, np.int64), np.empty(k)
    starts, around = np.empty(k + 3, np.int64), np.empty(2 * k, np.int64)
    for new in range(1, k):
        if fit and not precomputed:
            row_distances(columns, 0, points[new], best, 0, new)
        for u in range(new):
            tail[u], head[u] = u, new
            if precomputed:
                best[u] = columns[new, u]
            elif not fit:
                best[u] = pair_distance(points, u, new, room)
        if end + 2 * _WIDTH * new > len(changes):
            changes = enlarged(changes, end + 2 * _WIDTH * new)
        before = end
        end = _renew(new, sequence, parent, length, tail, head, best, kept, changes, end)
        _hang(new, kept, starts, around, sequence, parent, length, end == before + _WIDTH)
    return changes[:end]


@borrowing_subroutine
def _renew(
    new: Any,
    sequence: Any,
    parent: Any,
    length: Any,
    tail: Any,
    head: Any,
    best: Any,
    kept: Any,
    changes: Any,
    end: Any,
) -> Any:
    """Write the edges of the new tree to `kept`, and what left and came to `changes`; return their new end.

    The edge above a point, the best way from below it to the new point, and the best way from its parent are
    on a cycle: the longest of the first two makes up for the third, or the third for it. Where lengths are
    equal, old edges stay.
    """
    tails, heads, lengths = kept
    for e in range(new):
        u = sequence[new - 1 - e]
        p = parent[u]
        a, b, way = tail[u], head[u], best[u]
        if p >= 0 and best[u] >= length[u]:
            tails[e], heads[e], lengths[e] = u, p, length[u]
        else:
            tails[e], heads[e], lengths[e] = a, b, way
            a, b, way = u, p, length[u]
        if p < 0:
            break
        if way < best[p] or (way == best[p] and head[p] == new):
            a, b, tail[p], head[p], best[p] = tail[p], head[p], a, b, way
        if b != new:
            end = _note(changes, end, a, b, -1, new)
    for e in range(new):
        if heads[e] == new:
            end = _note(changes, end, tails[e], new, 1, new)
    return end


@borrowing_subroutine
def _note(changes: Any, end: Any, a: Any, b: Any, sign: Any, new: Any) -> Any:
    changes[end], changes[end + 1], changes[end + 2], changes[end + 3] = a, b, sign, new
    return end + _WIDTH


@borrowing_subroutine
def _hang(
    new: Any, kept: Any, starts: Any, around: Any, sequence: Any, parent: Any, length: Any, is_leaf: bool
) -> None:
    """Root the tree of the edges `kept` at the new point; where that is a leaf, let all else be as it was."""
    tails, heads, lengths = kept
    for e in range(new if is_leaf else 0):
        if heads[e] == new:
            sequence[new], parent[new], length[new] = new, tails[e], lengths[e]
            return
    for u in range(new + 3):
        starts[u] = 0
    for e in range(new):
        starts[tails[e] + 2] += 1
        starts[heads[e] + 2] += 1
    for u in range(2, new + 2):
        starts[u + 1] += starts[u]
    for e in range(new):
        around[starts[tails[e] + 1]] = around[starts[heads[e] + 1]] = e
        starts[tails[e] + 1] += 1
        starts[heads[e] + 1] += 1
    sequence[0], parent[new], seen = new, -1, 1
    for k in range(new + 1):  # in breadth
        u = sequence[k]
        for at in range(starts[u], starts[u + 1]):
            e = around[at]
            v = tails[e] + heads[e] - u
            if v != parent[u]:
                parent[v], length[v], sequence[seen] = u, lengths[e], v
                seen += 1


def warm_up() -> None:
    """Compile every kernel of this module."""
    tree_changes(np.ones((3, 2)), np.arange(3), False)
