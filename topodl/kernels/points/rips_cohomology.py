"""Rips persistence of any dimension by implicit cohomology (Bauer 2021: Ripser), over Z/2.

Columns are never stored, only which simplices were added; with clearing and apparent pairs. The
diameter of a simplex is the rank of its longest edge. A simplex is one integer, its key, and keys ascend in
the filtration's order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.bits import add, lowest_bit
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["binomial_table", "cohomology_pairs", "warm_up"]

_NO_EDGE = np.iinfo(np.int32).max


class _Complex(NamedTuple):
    edges: Any  # (E, 2) int32, in order
    ranks: Any  # (n, n) int32: the rank of each edge, _NO_EDGE where there is none and on the diagonal
    binomials: Any  # (n + 1, top dimension + 3) int64
    vertices: Any  # (n + 1,) int64, room for those of one simplex
    diameters: Any  # (2, n) int32, room for those of its cofacets, and of other ones


@kernel
def binomial_table(n: int, size: int) -> Any:
    """Return C(v, k) for v = 0 … n and k = 0 … size."""
    table = np.zeros((n + 1, size + 1), np.int64)
    for v in range(n + 1):
        table[v, 0] = 1
        for k in range(1, min(v, size) + 1):
            table[v, k] = table[v - 1, k - 1] + table[v - 1, k]
    return table


def cohomology_pairs(edges: Any, n: int, top: int) -> Any:
    """Pair the flag complex of sorted `edges` (E, 2) in dimensions 1 … `top`, edges named by their rank.

    Returns
    -------
    pairs : (m, 3) int64
        Dimension, longest edge at birth, longest edge at death (-1: never), of all pairs where these differ.
    """
    ranks = np.full((n, n), _NO_EDGE, np.int32)
    ranks[edges[:, 0], edges[:, 1]] = ranks[edges[:, 1], edges[:, 0]] = np.arange(len(edges))
    cx = _Complex(
        edges, ranks, binomial_table(n, top + 2), np.empty(n + 1, np.int64), np.empty((2, n), np.int32)
    )
    columns, simplices = _edges_to_columns(cx, edges), np.empty(0, np.int64)
    pairs = []
    for dim in range(1, top + 1):
        columns[::-1].sort()  # the latest comes first
        table, found = _reduce(cx, dim, columns)
        pairs.append(found)
        if dim == 1 < top:
            simplices, columns = _triangle_columns(cx, table, top > 2)
        elif dim < top:
            simplices, columns = _next_columns(cx, dim, simplices, table)
    return np.concatenate(pairs)


# Keys: diameter * C(n, dim + 1) + (C(n, dim + 1) - 1 - index), so that of equal diameters the largest index
# is first.


@borrowing_subroutine
def _key(cx: _Complex, dim: int, diameter: int, index: int) -> int:
    count = cx.binomials[len(cx.ranks), dim + 1]
    return diameter * count + (count - 1 - index)


@borrowing_subroutine
def _diameter(cx: _Complex, dim: int, key: int) -> int:
    return key // cx.binomials[len(cx.ranks), dim + 1]


@borrowing_subroutine
def _decode(cx: _Complex, dim: int, key: int) -> int:
    """Write the vertices of a simplex, descending, to cx.vertices; return its index."""
    count = cx.binomials[len(cx.ranks), dim + 1]
    index = rest = count - 1 - key % count
    v = len(cx.ranks)
    for k in range(dim + 1, 0, -1):
        low = k - 1  # the largest vertex v with C(v, k) <= rest lies from `low` to below v
        while v - low > 1:
            middle = (low + v) >> 1
            if cx.binomials[middle, k] > rest:
                v = middle
            else:
                low = middle
        v = low
        cx.vertices[dim + 1 - k] = v
        rest -= cx.binomials[v, k]
    return index


@borrowing_subroutine
def _cofacets(cx: _Complex, dim: int, key: int, above_only: bool, out: Any, start: int) -> int:
    """Write the keys of the cofacets of a simplex to `out[start:]`; return where they end.

    `above_only` leaves those whose new vertex is not the largest, so that every simplex is a cofacet once.
    """
    rest = _decode(cx, dim, key)
    diameter, n = _diameter(cx, dim, key), len(cx.ranks)
    vertices, diameters = cx.vertices, cx.diameters[0]
    for j in range(n):
        diameters[j] = diameter
    for k in range(dim + 1):
        row = cx.ranks[vertices[k]]
        for j in range(n):
            diameters[j] = max(diameters[j], row[j])
    above, last = 0, n - 1
    for k in range(dim + 2):  # the new vertex lies before vertex k, in descending order
        first = vertices[k] + 1 if k <= dim else 0
        for j in range(last, first - 1, -1):
            if diameters[j] < _NO_EDGE:
                index = above + cx.binomials[j, dim + 2 - k] + rest
                out[start] = _key(cx, dim + 1, diameters[j], index)
                start += 1
        if k > dim or above_only:
            break
        rest -= cx.binomials[vertices[k], dim + 1 - k]
        above += cx.binomials[vertices[k], dim + 2 - k]
        last = vertices[k] - 1
    return start


@borrowing_subroutine
def _first_cofacet(cx: _Complex, dim: int, key: int) -> int:
    """Return the key of the first cofacet of a simplex if it has the simplex's diameter, -1 else."""
    below, above, k = _decode(cx, dim, key), 0, 0
    diameter, vertices, diameters = _diameter(cx, dim, key), cx.vertices, cx.diameters[1]
    j = _last_within(cx.ranks, vertices, dim, -1, diameter, diameters)
    if j < 0:
        return -1
    while k <= dim and vertices[k] > j:
        below -= cx.binomials[vertices[k], dim + 1 - k]
        above += cx.binomials[vertices[k], dim + 2 - k]
        k += 1
    return _key(cx, dim + 1, diameter, above + cx.binomials[j, dim + 2 - k] + below)


@borrowing_subroutine
def _last_within(ranks: Any, vertices: Any, dim: int, without: int, diameter: int, longest: Any) -> int:
    """Return the last vertex within the diameter of all vertices of a simplex but one, -1 if there is none.

    With `without` >= 0 the last one above the vertex at this place, and the simplex is without that one.
    """
    first = 0 if without < 0 else vertices[without] + 1
    for j in range(first, len(ranks)):  # whole rows take less time than a few branches that nobody foresees
        longest[j] = 0
    for m in range(dim + 1):
        if m != without:
            row = ranks[vertices[m]]
            for j in range(first, len(ranks)):
                longest[j] = max(longest[j], row[j])
    for j in range(len(ranks) - 1, first - 1, -1):
        if longest[j] <= diameter:
            return j
    return -1


# Facet and cofacet of one diameter are an apparent pair if the cofacet is the earliest one of the facet, with
# the largest new vertex, and the facet the latest one of the cofacet, without the largest vertex that does
# not end the longest edge. So a few vertices decide, and no index is needed.


@borrowing_subroutine
def _is_apparent_birth(cx: _Complex, dim: int, diameter: int) -> bool:
    """Return whether the simplex whose vertices are in cx.vertices is the facet of an apparent pair."""
    ranks, vertices = cx.ranks, cx.vertices
    a, b = np.int64(cx.edges[diameter, 0]), np.int64(cx.edges[diameter, 1])
    k = 0
    for j in range(len(ranks) - 1, -1, -1):
        if k <= dim and j == vertices[k]:
            if j not in (a, b):  # which every cofacet from here on would lack before its new vertex
                return False
            k += 1
            continue
        m = 0
        while m <= dim and ranks[j, vertices[m]] <= diameter:
            m += 1
        if m > dim:
            return True
    return False


@borrowing_subroutine
def _apparent_vertex(cx: _Complex, dim: int, diameter: int) -> int:
    """Return which of the vertices in cx.vertices the facet lacks that the simplex is apparently paired with.

    -1 if there is no such pair.
    """
    ranks, vertices = cx.ranks, cx.vertices
    a, b = np.int64(cx.edges[diameter, 0]), np.int64(cx.edges[diameter, 1])
    place = 0
    while vertices[place] in (a, b):
        place += 1
    return place if _last_within(ranks, vertices, dim, place, diameter, cx.diameters[1]) < 0 else -1


@borrowing_subroutine
def _apparent_facet(cx: _Complex, dim: int, key: int) -> int:
    """Return the facet that a simplex forms an apparent pair with, -1 if there is none."""
    index, diameter, vertices = _decode(cx, dim, key), _diameter(cx, dim, key), cx.vertices
    place = _apparent_vertex(cx, dim, diameter)
    if place < 0:
        return -1
    for k in range(place + 1):  # vertices before the missing one move down by one place
        index -= cx.binomials[vertices[k], dim + 1 - k]
        if k < place:
            index += cx.binomials[vertices[k], dim - k]
    return _key(cx, dim - 1, diameter, index)


@kernel
def _edges_to_columns(cx: _Complex, edges: Any) -> Any:
    """Return the keys of the edges that neither end a component nor are apparent."""
    n = len(cx.ranks)
    columns, count = np.empty(len(edges), np.int64), 0
    component = np.empty(n, np.int64)
    for v in range(n):
        component[v] = v
    for rank in range(len(edges)):
        i, j = np.int64(edges[rank, 0]), np.int64(edges[rank, 1])
        a, b = component[i], component[j]
        if a != b:
            for v in range(n):
                if component[v] == b:
                    component[v] = a
        else:
            cx.vertices[0], cx.vertices[1] = max(i, j), min(i, j)
            if not _is_apparent_birth(cx, 1, rank):
                u, v = cx.vertices[0], cx.vertices[1]
                columns[count] = _key(cx, 1, rank, cx.binomials[u, 2] + cx.binomials[v, 1])
                count += 1
    return columns[:count]


@kernel
def _triangle_columns(cx: _Complex, table: Any, all_of_them: bool) -> Any:
    """Return all triangles, if asked for, and those that are neither deaths nor apparent.

    The third vertices of the triangles that an edge completes are a set of bits. The largest one is of a
    death; another one of a birth if a larger one is its neighbour, too.
    """
    n = len(cx.ranks)
    near = zeros(n * ((n + 63) // 64), np.uint64).reshape(n, -1)  # of each vertex, by edges up to now
    lune = np.empty(near.shape[1], np.uint64)
    keys, columns, count, n_columns = np.empty(n, np.int64), np.empty(n, np.int64), 0, 0
    for rank in range(len(cx.edges)):
        a, b = int(cx.edges[rank].max()), int(cx.edges[rank].min())
        for w in range(len(lune)):
            lune[w] = near[a, w] & near[b, w]
        if n_columns + n > len(columns):
            columns = _doubled(columns)
        if all_of_them and count + n > len(keys):
            keys = _doubled(keys)
        for w in range(len(lune)):
            word = lune[w]
            while word:
                c = 64 * w + lowest_bit(word)
                word &= word - np.uint64(1)
                bears = _meet_above(lune, near[c], c)
                if not bears or all_of_them:
                    key = _key(cx, 2, rank, _index_of_triangle(cx, a, b, c))
                    if all_of_them:
                        keys[count] = key
                        count += 1
                    if not bears and not _is_last(lune, c) and table[_place(table, key), 0] != key:
                        columns[n_columns] = key
                        n_columns += 1
        add(near[a], b)
        add(near[b], a)
    return keys[:count], columns[:n_columns]


@borrowing_subroutine
def _meet_above(some: Any, others: Any, c: int) -> bool:
    """Return whether two sets of bits share one above c."""
    w = c >> 6
    met = some[w] & others[w] & (~np.uint64(0) << np.uint64(c & 63) << np.uint64(1))
    for k in range(w + 1, len(some)):
        met |= some[k] & others[k]
    return met != 0


@borrowing_subroutine
def _is_last(members: Any, c: int) -> bool:
    return not _meet_above(members, members, c)


@borrowing_subroutine
def _index_of_triangle(cx: _Complex, a: int, b: int, c: int) -> int:
    """Return the index of a triangle, whose vertices a > b and c may stand in any order."""
    first, last = max(a, c), min(b, c)
    return cx.binomials[first, 3] + cx.binomials[a + b + c - first - last, 2] + cx.binomials[last, 1]


@kernel
def _next_columns(cx: _Complex, dim: int, simplices: Any, table: Any) -> Any:
    """Return all simplices of dimension `dim` + 1, and those that are neither deaths nor apparent."""
    n = len(cx.ranks)
    keys, columns = np.empty(2 * len(simplices) + n, np.int64), np.empty(len(simplices) + 1, np.int64)
    count, n_columns = 0, 0
    for k in range(len(simplices)):
        if count + n > len(keys):
            keys = _doubled(keys)
        _cofacets(cx, dim, simplices[k], True, keys, count)
        vertices, diameters = cx.vertices, cx.diameters[0]
        for place in range(dim, -1, -1):
            vertices[place + 1] = vertices[place]
        for j in range(n - 1, vertices[1], -1):
            diameter = diameters[j]
            if diameter >= _NO_EDGE:
                continue
            key, vertices[0] = keys[count], j
            count += 1
            if _is_apparent_birth(cx, dim + 1, diameter) or _apparent_vertex(cx, dim + 1, diameter) >= 0:
                continue
            if table[_place(table, key), 0] == key:
                continue
            if n_columns == len(columns):
                columns = _doubled(columns)
            columns[n_columns] = key
            n_columns += 1
    return keys[:count], columns[:n_columns]


@subroutine
def _doubled(values: Any) -> Any:
    grown = np.empty(2 * len(values) + 64, np.int64)
    for k in range(len(values)):
        grown[k] = values[k]
    return grown


# A hash table from pivots to columns: rows (key, column), key -1 where there is none.


@subroutine
def _empty_table(n_entries: int) -> Any:
    size = 16
    while size < 2 * n_entries + 2:
        size *= 2
    table = np.empty((size, 2), np.int64)
    for k in range(size):
        table[k, 0] = table[k, 1] = -1
    return table


@borrowing_subroutine
def _place(table: Any, key: int) -> int:
    """Return the row of `key`, or the empty row where it belongs."""
    mask = len(table) - 1
    place = (key ^ (key >> 17) ^ (key >> 31)) & mask
    while table[place, 0] != -1 and table[place, 0] != key:
        place = (place + 1) & mask
    return place


@kernel
def _reduce(cx: _Complex, dim: int, columns: Any) -> Any:
    """Reduce the coboundaries of `columns`, in order; return the table of their pivots, and the pairs."""
    n = len(cx.ranks)
    table, pairs, n_pairs = _empty_table(len(columns)), np.empty((64, 3), np.int64), 0
    out, heap = np.empty(n, np.int64), np.empty(4 * n + 64, np.int64)
    added, offsets = np.empty(64, np.int64), np.zeros(len(columns) + 1, np.int64)
    for c in range(len(columns)):
        size, n_added, addend, other = 0, offsets[c], columns[c], -1
        pivot = _first_cofacet(cx, dim, addend)
        place = _place(table, pivot)
        if pivot >= 0 and table[place, 0] != pivot and _apparent_facet(cx, dim + 1, pivot) < 0:
            if n_added == len(added):
                added = _doubled(added)
            added[n_added], offsets[c + 1] = addend, n_added + 1
            table[place, 0], table[place, 1] = pivot, c
            continue
        while True:
            # add the coboundary of one simplex, or those of all simplices that were added to column `other`
            first, last = (0, 1) if other < 0 else (offsets[other], offsets[other + 1])
            for k in range(first, last):
                simplex = addend if other < 0 else added[k]
                if n_added == len(added):
                    added = _doubled(added)
                added[n_added] = simplex
                n_added += 1
                if size + n + 1 > len(heap):
                    heap = _doubled(heap)
                end = _cofacets(cx, dim, simplex, False, out, 0)
                for m in range(end):
                    size = _push(heap, size, out[m])
            pivot, size = _pop_pivot(heap, size)
            if pivot < 0:
                break
            size = _push(heap, size, pivot)
            place = _place(table, pivot)
            other = table[place, 1]
            if table[place, 0] == pivot:
                continue
            addend, other = _apparent_facet(cx, dim + 1, pivot), -1
            if addend < 0:
                table[place, 0], table[place, 1] = pivot, c
                break
        if n_added - offsets[c] > len(heap):
            heap = np.empty(2 * (n_added - offsets[c]), np.int64)
        offsets[c + 1] = _cancel(added, offsets[c], n_added, heap)
        birth, death = _diameter(cx, dim, columns[c]), -1 if pivot < 0 else _diameter(cx, dim + 1, pivot)
        if birth != death:
            if n_pairs == len(pairs):
                pairs = _more_pairs(pairs)
            pairs[n_pairs, 0], pairs[n_pairs, 1], pairs[n_pairs, 2] = dim, birth, death
            n_pairs += 1
    return table, pairs[:n_pairs]


@subroutine
def _more_pairs(pairs: Any) -> Any:
    grown = np.empty((2 * len(pairs), 3), np.int64)
    for k in range(len(pairs)):
        for c in range(3):
            grown[k, c] = pairs[k, c]
    return grown


@borrowing_subroutine
def _cancel(added: Any, start: int, end: int, heap: Any) -> int:
    """Drop simplices that occur an even number of times in a column; return its new end. `heap` is room."""
    size = 0
    for k in range(start, end):
        size = _push(heap, size, added[k])
    while size > 0:
        key, size = _pop_pivot(heap, size)
        if key >= 0:
            added[start] = key
            start += 1
    return start


@borrowing_subroutine
def _push(heap: Any, size: int, key: int) -> int:
    place = size
    while place > 0 and heap[(place - 1) >> 1] > key:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = key
    return size + 1


@borrowing_subroutine
def _pop(heap: Any, size: int) -> int:
    """Remove the smallest key of the heap; return the new size."""
    size -= 1
    key, place = heap[size], 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = key
    return size


@borrowing_subroutine
def _pop_pivot(heap: Any, size: int) -> Any:
    """Remove the smallest key that occurs an odd number of times (-1: none); return it and the new size."""
    while size > 0:
        key = heap[0]
        size = _pop(heap, size)
        if size == 0 or heap[0] != key:
            return key, size
        size = _pop(heap, size)
    return -1, size


def warm_up() -> None:
    """Compile every kernel of this module."""
    cohomology_pairs(np.array([[0, 1], [1, 2], [2, 3], [0, 3], [0, 2]], np.int32), 4, 3)
