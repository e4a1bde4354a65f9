"""Rips persistence in dimensions 0 and 1 of few edges, without any matrix or list of triangles.

Cohomology (Bauer 2021: Ripser) over Z/2 by lists of neighbours. An edge that closes triangles as it enters is
an apparent pair with the first of them. The columns of the others, which open a loop, are reduced, the latest
first. Cost O(Σ degree) over the edges, plus work per loop; memory O(edges), plus reduced columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.union_find import find_root

__all__ = ["sparse_rips_pairs", "warm_up"]


class _Complex(NamedTuple):
    edges: Any  # (E, 2), in order
    starts: Any  # (n + 1,): between which the neighbours of a vertex stand
    neighbours: Any  # (2E,) int32, rising
    ranks: Any  # (2E,) int32: of the edges to them
    partner: Any  # (E,) int32: the first vertex of a triangle whose last edge this is, -1: none
    pivots: Any  # (E,) int32: the last column whose pivot has this edge as its last, -1: none


class _Columns(NamedTuple):
    """Reduced columns: their triangles, rising, of which the first is the pivot."""

    starts: Any  # (columns + 1,)
    triangles: Any
    before: Any  # (columns,): the column before with a pivot of the same last edge, -1: none


# A triangle is one integer: the rank of its last edge times the number of vertices, plus the vertex opposite.


@kernel
def sparse_rips_pairs(edges: Any, n: int) -> Any:
    """Pair the flag complex of sorted `edges` (E, 2) on n vertices, as `rips_pairs` does.

    Returns
    -------
    dying : (E,) int64
        The vertex whose component dies at the edge (the larger index of two), -1 where nothing is joined.
    births : (m,) int64
        Edges that give birth to a class of dimension 1 that does not die at an edge's own entry.
    deaths : (m,) int64
        Edges at which those classes die, -1: never.
    """
    dying = _joined_components(edges, n)
    starts, neighbours, ranks = _neighbour_lists(edges, n)
    partner, pivots = np.full(len(edges), -1, np.int32), np.full(len(edges), -1, np.int32)
    cx = _Complex(edges, starts, neighbours, ranks, partner, pivots)
    n_born = 0
    for rank in range(len(edges)):
        if dying[rank] < 0:
            partner[rank] = _first_triangle(cx, rank)
            n_born += partner[rank] < 0
    births, deaths = np.empty(n_born, np.int64), np.empty(n_born, np.int64)
    columns = _Columns(np.zeros(n_born + 1, np.int64), np.empty(64, np.int64), np.empty(n_born, np.int32))
    heap = np.empty(256, np.int64)
    at = n_born
    for rank in range(len(edges) - 1, -1, -1):
        if dying[rank] < 0 and partner[rank] < 0:
            at -= 1
            births[at] = rank
            deaths[at], columns, heap = _reduce(cx, columns, n_born - 1 - at, rank, heap)
    return dying, births, deaths


@subroutine
def _joined_components(edges: Any, n: Any) -> Any:
    dying, parent = np.empty(len(edges), np.int64), np.arange(n)
    for rank in range(len(edges)):
        a, b = find_root(parent, np.int64(edges[rank, 0])), find_root(parent, np.int64(edges[rank, 1]))
        dying[rank] = max(a, b) if a != b else -1
        parent[max(a, b)] = min(a, b)
    return dying


@subroutine
def _neighbour_lists(edges: Any, n: Any) -> Any:
    """Return where the neighbours of each vertex stand, these, rising, and the ranks of the edges to them."""
    starts = np.zeros(n + 1, np.int64)
    for rank in range(len(edges)):
        starts[edges[rank, 0] + 1] += 1
        starts[edges[rank, 1] + 1] += 1
    for v in range(n):
        starts[v + 1] += starts[v]
    place = starts[:-1].copy()
    around, first_ranks = np.empty(starts[n], np.int32), np.empty(starts[n], np.int32)
    for rank in range(len(edges)):
        for end in range(2):
            v = edges[rank, end]
            around[place[v]], first_ranks[place[v]] = edges[rank, 1 - end], rank
            place[v] += 1
    # Lists of lists that are walked through in order of their vertices are in this order.
    neighbours, ranks = np.empty(starts[n], np.int32), np.empty(starts[n], np.int32)
    place[:] = starts[:-1]
    for v in range(n):
        for k in range(starts[v], starts[v + 1]):
            w = around[k]
            neighbours[place[w]], ranks[place[w]] = v, first_ranks[k]
            place[w] += 1
    return starts, neighbours, ranks


@borrowing_subroutine
def _first_triangle(cx: Any, rank: Any) -> Any:
    """Return the smallest vertex that forms a triangle with an edge and two earlier ones, -1 if none does."""
    p, q = cx.starts[cx.edges[rank, 0]], cx.starts[cx.edges[rank, 1]]
    p_end, q_end = cx.starts[cx.edges[rank, 0] + 1], cx.starts[cx.edges[rank, 1] + 1]
    while p < p_end and q < q_end:
        a, b = cx.neighbours[p], cx.neighbours[q]
        if a == b and cx.ranks[p] < rank and cx.ranks[q] < rank:
            return a
        p += a <= b
        q += b <= a
    return -1


@subroutine
def _with_coboundary(cx: _Complex, rank: Any, heap: Any, size: Any) -> Any:
    """Push the triangles over an edge; return the heap, grown where they need it, and its size."""
    i, j = cx.edges[rank, 0], cx.edges[rank, 1]
    degree = min(cx.starts[i + 1] - cx.starts[i], cx.starts[j + 1] - cx.starts[j])
    heap = _with_room(heap, size, size + degree)
    return heap, _push_coboundary(cx, rank, heap, size)


@borrowing_subroutine
def _push_coboundary(cx: Any, rank: Any, heap: Any, size: Any) -> Any:
    i, j = cx.edges[rank, 0], cx.edges[rank, 1]
    p, q, p_end, q_end = cx.starts[i], cx.starts[j], cx.starts[i + 1], cx.starts[j + 1]
    while p < p_end and q < q_end:
        a, b = cx.neighbours[p], cx.neighbours[q]
        if a == b:
            last, opposite = np.int64(rank), np.int64(a)
            if cx.ranks[p] > last:
                last, opposite = np.int64(cx.ranks[p]), np.int64(j)
            if cx.ranks[q] > last:
                last, opposite = np.int64(cx.ranks[q]), np.int64(i)
            _push(heap, size, last * (len(cx.starts) - 1) + opposite)
            size += 1
        p += a <= b
        q += b <= a
    return size


@subroutine
def _with_room(array: Any, length: Any, needed: Any) -> Any:
    """Return an array with the same first `length` entries and room for as many as are `needed`."""
    if needed <= len(array):
        return array
    grown = np.empty(2 * needed, array.dtype)
    grown[:length] = array[:length]
    return grown


@borrowing_subroutine
def _push(heap: Any, size: Any, key: Any) -> None:
    at = size
    while at > 0 and heap[(at - 1) >> 1] > key:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key


@borrowing_subroutine
def _pop(heap: Any, size: Any) -> Any:
    """Take out the least of `size` keys."""
    least, key, at = heap[0], heap[size - 1], 0
    while True:
        child = 2 * at + 1
        if child >= size - 1:
            break
        if child + 1 < size - 1 and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key
    return least


@borrowing_subroutine
def _pivot(heap: Any, size: Any) -> Any:
    """Return the least key that is there an odd number of times, -1 if none is, and the size that is left."""
    while size > 0:
        key = _pop(heap, size)
        size -= 1
        if size == 0 or heap[0] != key:
            return key, size
        _pop(heap, size)
        size -= 1
    return np.int64(-1), size


@borrowing_subroutine
def _owner(cx: Any, columns: Any, pivot: Any) -> Any:
    """Return the column with a pivot, -1 if none has it."""
    owner = np.int64(cx.pivots[pivot // (len(cx.starts) - 1)])
    while owner >= 0 and columns.triangles[columns.starts[owner]] != pivot:
        owner = np.int64(columns.before[owner])
    return owner


@subroutine
def _without_pairs(keys: Any) -> Any:
    """Leave, rising, the `keys` that are there an odd number of times; return how many these are."""
    keys.sort()
    kept = 0
    for k in range(len(keys)):
        if kept > 0 and keys[kept - 1] == keys[k]:
            kept -= 1
        else:
            keys[kept] = keys[k]
            kept += 1
    return kept


@subroutine
def _reduce(cx: _Complex, columns: _Columns, place: Any, rank: Any, heap: Any) -> Any:
    """Reduce the column of an edge, the `place`-th; return where its class dies, and what may have grown."""
    n, start = len(cx.starts) - 1, columns.starts[place]
    columns.starts[place + 1] = start
    heap, size = _with_coboundary(cx, rank, heap, 0)
    while True:
        pivot, size = _pivot(heap, size)
        if pivot < 0:
            return np.int64(-1), columns, heap
        last = pivot // n
        _push(heap, size, pivot)  # it goes with that of the column that is added
        size += 1
        if cx.partner[last] == pivot % n:
            heap, size = _with_coboundary(cx, last, heap, size)
            continue
        owner = _owner(cx, columns, pivot)
        if owner < 0:
            break
        first, end = columns.starts[owner], columns.starts[owner + 1]
        heap = _with_room(heap, size, size + end - first)
        for k in range(first, end):
            _push(heap, size, columns.triangles[k])
            size += 1
    size = _without_pairs(heap[:size])
    triangles = _with_room(columns.triangles, start, start + size)
    triangles[start : start + size] = heap[:size]
    columns.starts[place + 1], columns.before[place], cx.pivots[last] = start + size, cx.pivots[last], place
    return last, _Columns(columns.starts, triangles, columns.before), heap


def warm_up() -> None:
    """Compile every kernel of this module."""
    sparse_rips_pairs(np.array([[0, 1], [1, 2], [2, 3], [0, 3], [0, 2]], np.int32), 4)
