"""Minimum spanning trees of complete graphs by a dense Prim: the dimension 0 of Rips persistence.

The order of edges is (length, i, j), so the tree is unique; cost O(n² d), no sort. Of points, bounds of
squared distances in float32 decide nearly every comparison, on vectors, and exact lengths the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._compile import inlined_subroutine, kernel, subroutine
from topodl.kernels._products import centred_products, pair_distance, power_of_two

__all__ = ["spanning_tree_of_matrix", "spanning_tree_of_points", "warm_up"]

_LEAST_DIMS, _MOST_POINTS = 24, 8192  # where products pay, and where their matrix takes 256 MiB
_LANES = 32  # a power of two; what is not a multiple of it is not done on vectors
_TINY = 4e-30  # for squares too small to be rounded relatively, where coordinates are at most 1
_MOST_DOUBTS = 8  # offers in doubt for each vertex, after which products decide too little to pay


def spanning_tree_of_points(points: Any, single: bool) -> Any:
    """Return the edges (n - 1, 2), i < j, of the tree over `points` (n, d) float64, and their lengths.

    Where the data are of `single` precision, distances are rounded to it before they are compared.
    """
    n, n_dims = points.shape
    if n_dims >= _LEAST_DIMS and 1 < n <= _MOST_POINTS:
        products, norms, relative, _ = centred_products(points, np.float32)
        edges, lengths, complete = _tree_of_products(points, single, products, norms, relative)
        if complete:
            return edges, lengths
    room = np.empty((n_dims, _full_lanes(n)), np.float32 if single else np.float64)
    return _tree_of_differences(points, single, room)


@kernel
def _tree_of_products(points: Any, single: bool, products: Any, norms: Any, relative: float) -> Any:
    """Take squares from `products`; give up where they leave much in doubt, as they do beside outliers."""
    n, doubts = len(points), 0
    edges, lengths = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
    vertex, other, best, bits, known, exact, squares, margin = _start(n)
    largest = 0.0
    for k in range(n):
        largest = max(largest, norms[k])
    for k in range(n):
        margin[k] += 2 * relative * (norms[k] + largest)
    newest = 0
    for step in range(n - 1):
        own, row = norms[newest], products[newest]
        norms[newest] = best[newest] = np.inf  # too far for any comparison
        for k in range(n):
            square = (own + norms[k]) - (row[k] + row[k])
            squares[k] = square if square > 0 else np.float32(0)
        if _offer(newest, squares, n, 0.0, margin, other, best) > 0:
            doubts += _settle(
                points, single, newest, squares, n, 0.0, margin, vertex, other, best, known, exact
            )
            if doubts > _MOST_DOUBTS * n:
                return edges, lengths, False
        newest = _closest(points, single, n, 0.0, margin, vertex, other, best, bits, known, exact)
        _record(newest, np.int64(other[newest]), exact[newest], edges, lengths, step)
    return edges, lengths, True


@kernel
def _tree_of_differences(points: Any, single: bool, columns: Any) -> Any:
    """Take squares from differences of coordinates, for which `columns` (d, all lanes of n) is the room."""
    n, n_dims = points.shape
    edges, lengths = np.empty((max(n - 1, 0), 2), np.int64), np.empty(max(n - 1, 0))
    vertex, other, best, bits, known, exact, squares, margin = _start(columns.shape[1])
    relative, scale = (n_dims + 16) * 2.4e-7, power_of_two(points)
    point = np.empty(n_dims, columns.dtype)
    for c in range(n_dims):
        for k in range(n):
            columns[c, k] = points[k, c] * scale
        columns[c, n:] = np.inf
        point[c] = columns[c, 0]
    newest, place = 0, 0
    for step in range(n - 1):
        last = n - 1 - step  # the vertex of this place moves to that of the newest
        vertex[place], other[place], best[place] = vertex[last], other[last], best[last]
        known[place], exact[place] = known[last], exact[last]
        for c in range(n_dims):
            columns[c, place] = columns[c, last]
        columns[0, last] = best[last] = np.inf  # too far for any comparison
        count = _full_lanes(last)  # or what is left over would take longer than the rest
        _squared_distances(columns, point, squares, count)
        if _offer(newest, squares, count, relative, margin, other, best) > 0:
            _settle(
                points, single, newest, squares, last, relative, margin, vertex, other, best, known, exact
            )
        place = _closest(points, single, count, relative, margin, vertex, other, best, bits, known, exact)
        newest = vertex[place]
        _record(newest, np.int64(other[place]), exact[place], edges, lengths, step)
        for c in range(n_dims):
            point[c] = columns[c, place]
    return edges, lengths


@inlined_subroutine
def _full_lanes(n: Any) -> Any:
    return (n + _LANES - 1) & -_LANES


@subroutine
def _start(n: Any) -> Any:
    """Return the vertices outside the tree, of each the edge that joins it to the tree, and room for offers.

    Of an edge: its end in the tree, its squared length, also as bits; the end of which the exact length is
    known, and that length. Of an offer: its squared length, and by how much two at a vertex must differ.
    """
    vertex, other, known = np.empty(n, np.int64), np.empty(n, np.int32), np.empty(n, np.int32)
    bits, exact = np.empty(n, np.int32), np.empty(n, np.float64)
    best, squares, margin = bits.view(np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    for k in range(n):
        vertex[k], other[k], known[k], best[k], margin[k] = k, -1, -1, np.inf, 2 * _TINY
    return vertex, other, best, bits, known, exact, squares, margin


@inlined_subroutine
def _offer(newest: Any, squares: Any, n: Any, relative: float, margin: Any, other: Any, best: Any) -> Any:
    """Let the `newest` vertex of the tree offer edges; return how many are left in doubt."""
    name, doubts = np.int32(newest), np.int32(0)
    up, down = np.float32(1 + relative), np.float32(1 - relative)
    for k in range(n):  # without branches, so that it runs on vectors
        square, least, link = squares[k], best[k], other[k]
        better, possible = square < least * down - margin[k], square < least * up + margin[k]
        doubts = np.int32(doubts + np.int32(possible & (not better)))
        best[k] = square if better else least
        other[k] = name if better else link
    return doubts


@subroutine
def _settle(
    points: Any,
    single: bool,
    newest: Any,
    squares: Any,
    n: Any,
    relative: float,
    margin: Any,
    vertex: Any,
    other: Any,
    best: Any,
    known: Any,
    exact: Any,
) -> Any:
    """Compare the offers that are left in doubt by their exact lengths, and return how many there were."""
    doubts, up = 0, np.float32(1 + relative)
    for k in range(n):
        if squares[k] < best[k] * up + margin[k] and other[k] != newest:
            length = pair_distance(points, newest, vertex[k], single)
            least = _exact_length(points, single, k, vertex, other, known, exact)
            if length < least or (length == least and newest < other[k]):
                other[k], best[k], known[k], exact[k] = newest, squares[k], newest, length
            doubts += 1
    return doubts


@inlined_subroutine
def _exact_length(points: Any, single: bool, k: Any, vertex: Any, other: Any, known: Any, exact: Any) -> Any:
    """Return the length of the edge at place `k`, evaluated at most once."""
    if known[k] != other[k]:
        exact[k] = pair_distance(points, np.int64(other[k]), vertex[k], single)
        known[k] = other[k]
    return exact[k]


@inlined_subroutine
def _closest(
    points: Any,
    single: bool,
    n: Any,
    relative: float,
    margin: Any,
    vertex: Any,
    other: Any,
    best: Any,
    bits: Any,
    known: Any,
    exact: Any,
) -> Any:
    """Return the place of the first edge in the order of (length, i, j), whose length is then exact."""
    # Floats that are not negative are ordered as their bits are, and the least integer is found on vectors.
    least, found, rivals = bits[0], np.int32(0), np.int32(0)
    for k in range(n):
        least = min(least, bits[k])
    for k in range(n):
        found = max(found, np.int32(k) if bits[k] == least else np.int32(0))
    first, down = np.int64(found), np.float32(1 - relative)
    limit = best[found] * np.float32(1 + relative) + margin[found]
    for k in range(n):
        rivals = np.int32(rivals + np.int32(best[k] * down - margin[k] < limit))
    length = _exact_length(points, single, first, vertex, other, known, exact)
    if rivals > 1:
        for k in range(n):
            if best[k] * down - margin[k] < limit and k != found:
                rival = _exact_length(points, single, k, vertex, other, known, exact)
                if rival < length or (
                    rival == length and _comes_first(vertex[k], other[k], vertex[first], other[first])
                ):
                    first, length = np.int64(k), rival
    return first


@inlined_subroutine
def _record(a: Any, b: Any, length: Any, edges: Any, lengths: Any, step: Any) -> None:
    edges[step, 0], edges[step, 1], lengths[step] = min(a, b), max(a, b), length


@inlined_subroutine
def _squared_distances(columns: Any, point: Any, out: Any, n: Any) -> None:
    """Write the squared distances of `point` to the first `n` columns to `out`."""
    odd, first = len(point) % 2, point[0]
    for k in range(n):
        a = columns[0, k] - first
        out[k] = a * a if odd else 0
    for c in range(odd, len(point), 2):
        p, q = point[c], point[c + 1]
        for k in range(n):
            a, b = columns[c, k] - p, columns[c + 1, k] - q
            out[k] += a * a + b * b


@kernel
def spanning_tree_of_matrix(matrix: Any) -> Any:
    """Return the edges (n - 1, 2), i < j, of the tree over the symmetric `matrix`, and their lengths.

    Where the matrix is not connected by finite entries, edges of infinite length complete the tree.
    """
    n = len(matrix)
    edges, lengths = np.empty((max(n - 1, 0), 2), np.int64), np.empty(max(n - 1, 0))
    rest, best, other, row = _start_of_matrix(n)
    newest = 0
    for step in range(n - 1):
        last = n - 2 - step
        source = matrix[newest]
        for k in range(last + 1):
            row[k] = source[rest[k]] + 0.0  # -0.0 and 0.0 are equal, but their bits are not
        place = _nearest(row, newest, rest, last + 1, best, other)
        newest = _take(place, last, rest, best, other, edges[step], lengths[step : step + 1])
    return edges, lengths


@subroutine
def _nearest(row: Any, newest: Any, rest: Any, n_rest: Any, best: Any, other: Any) -> Any:
    """Let the `newest` vertex of the tree offer its distances `row`; return the nearest's place in `rest`."""
    rows, bests, others = row[:n_rest], best[:n_rest], other[:n_rest]
    for k in range(n_rest):  # without branches, so that it runs on vectors
        # Of two edges of equal length at one vertex, the first has the smaller other end.
        nearer = (rows[k] < bests[k]) | ((rows[k] == bests[k]) & (newest < others[k]))
        bests[k] = rows[k] if nearer else bests[k]
        others[k] = newest if nearer else others[k]
    # Floats that are not negative are ordered as their bits are, and the least integer is found on vectors.
    bits = bests.view(np.int64)
    least, place, ties = bits[0], 0, 0
    for k in range(n_rest):
        least = min(least, bits[k])
    for k in range(n_rest):
        ties += bits[k] == least
        place = k if bits[k] == least else place
    if ties > 1:
        for k in range(n_rest):
            if bits[k] == least and _comes_first(rest[k], others[k], rest[place], others[place]):
                place = k
    return place


@subroutine
def _comes_first(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return whether the edge between a and b comes before the edge between c and d."""
    low, other_low = min(a, b), min(c, d)
    return low < other_low or (low == other_low and max(a, b) < max(c, d))


@subroutine
def _start_of_matrix(n: Any) -> Any:
    """Return the vertices outside the tree, their best distances and other ends, and room for distances."""
    rest, best = np.empty(n, np.int64), np.empty(n)
    other, row = np.empty(n, np.int64), np.empty(n)
    for k in range(n):
        rest[k], best[k], other[k] = k + 1, np.inf, n
    return rest, best, other, row


@subroutine
def _take(place: Any, last: Any, rest: Any, best: Any, other: Any, edge: Any, length: Any) -> Any:
    """Move the vertex at `place` of `rest` into the tree, fill its place with the `last`, and return it."""
    vertex = rest[place]
    edge[0], edge[1] = min(vertex, other[place]), max(vertex, other[place])
    length[0] = best[place]
    rest[place], best[place], other[place] = rest[last], best[last], other[last]
    return vertex


def warm_up() -> None:
    """Compile every kernel of this module."""
    for n_dims in (2, _LEAST_DIMS):
        spanning_tree_of_points(np.ones((3, n_dims)), False)
    for dtype in (np.float32, np.float64):
        spanning_tree_of_matrix(np.zeros((3, 3), dtype))
