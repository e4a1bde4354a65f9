"""Minimum spanning trees of complete graphs by a dense Prim: the dimension 0 of Rips persistence.

The order of edges is (length, i, j), so the tree is unique; cost O(n² d), no sort. Of points, bounds of
squared distances in float32 decide nearly every comparison, on vectors, and exact lengths the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.points._products import centred_products, pair_distance, power_of_two
from topodl.kernels.shared.compile import borrowing_subroutine, inlined_subroutine, kernel, subroutine

__all__ = ["spanning_tree_of_matrix", "spanning_tree_of_points", "warm_up"]

_LEAST_DIMS, _MOST_POINTS = 24, 8192  # where products pay, and where their matrix takes 256 MiB
_LANES = 32  # a power of two; what is not a multiple of it is not done on vectors
_TINY = 8e-30  # for squares too small to be rounded relatively, where coordinates are at most 1
_MOST_DOUBTS = 8  # offers in doubt for each vertex, after which products decide too little to pay


def spanning_tree_of_points(points: Any) -> Any:
    """Return the edges (n - 1, 2), i < j, of the tree over `points` (n, d), and their lengths.

    Distances are computed in float64, and rounded to the precision of the points before they are compared.
    """
    n, n_dims = points.shape
    if n_dims >= _LEAST_DIMS and 1 < n <= _MOST_POINTS:
        products, norms, relative, _ = centred_products(points, np.float32)
        edges, lengths, complete = _tree_of_products(points, products, norms, relative)
        if complete:
            return edges, lengths
    return _tree_of_differences(points, np.empty((n_dims, _full_lanes(n)), points.dtype))


@kernel
def _tree_of_products(points: Any, products: Any, norms: Any, relative: float) -> Any:
    """Take squares from `products`; give up where they leave much in doubt, as they do beside outliers."""
    n, all_doubts, largest, newest = len(points), 0, 0.0, 0
    edges, lengths = np.empty((n - 1, 2), np.int64), np.empty(n - 1)
    vertex, other, best, known, exact, squares = _start(n)
    for k in range(n):
        largest = max(largest, norms[k])
    # Squares are at most 4 times the largest norm; the second term is for lengths that rounding makes equal.
    margin, room = np.float32((4 * relative + 1e-6) * largest + _TINY), np.empty(points.shape[1])
    for step in range(n - 1):
        own, row = norms[newest], products[newest]
        norms[newest] = best[newest] = np.inf  # too far for any comparison
        for k in range(n):
            square = (own + norms[k]) - (row[k] + row[k])
            squares[k] = square if square > 0 else np.float32(0)
        least, doubts = _offer(newest, squares, n, 0.0, margin, other, best)
        if doubts > 0:
            all_doubts += doubts
            if all_doubts > _MOST_DOUBTS * n:
                return edges, lengths, False
            least = _settle(points, newest, squares, n, 0.0, margin, vertex, other, best, known, exact, room)
        newest = _closest(points, n, least, 0.0, margin, vertex, other, best, known, exact, room)
        _record(newest, newest, other, known, exact, edges, lengths, step)
    _complete(points, edges, lengths, room)
    return edges, lengths, True


@kernel
def _tree_of_differences(points: Any, columns: Any) -> Any:
    """Take squares from differences of coordinates, for which `columns` (d, all lanes of n) is the room."""
    n, n_dims = points.shape
    edges, lengths = np.empty((max(n - 1, 0), 2), np.int64), np.empty(max(n - 1, 0))
    vertex, other, best, known, exact, squares = _start(columns.shape[1])
    relative, margin, scale = (n_dims + 16) * 2.4e-7, np.float32(_TINY), power_of_two(points)
    point, room = np.empty(n_dims, columns.dtype), np.empty(n_dims)
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
        least, doubts = _offer(newest, squares, count, relative, margin, other, best)
        if doubts > 0:
            least = _settle(
                points, newest, squares, last, relative, margin, vertex, other, best, known, exact, room
            )
        place = _closest(points, count, least, relative, margin, vertex, other, best, known, exact, room)
        newest = vertex[place]
        _record(newest, place, other, known, exact, edges, lengths, step)
        for c in range(n_dims):
            point[c] = columns[c, place]
    _complete(points, edges, lengths, room)
    return edges, lengths


@inlined_subroutine
def _full_lanes(n: Any) -> Any:
    return (n + _LANES - 1) & -_LANES


@subroutine
def _start(n: Any) -> Any:
    """Return the vertices outside the tree, of each the edge that joins it to the tree, and room for offers.

    Of an edge: its end in the tree, its squared length, the end of which the exact length is known, and that
    length. Of an offer: its squared length.
    """
    vertex, other, known = np.empty(n, np.int64), np.empty(n, np.int32), np.empty(n, np.int32)
    best, exact, squares = np.empty(n, np.float32), np.empty(n, np.float64), np.empty(n, np.float32)
    for k in range(n):
        vertex[k], other[k], known[k], best[k] = k, -1, -1, np.inf
    return vertex, other, best, known, exact, squares


@inlined_subroutine
def _offer(newest: Any, squares: Any, n: Any, relative: float, margin: Any, other: Any, best: Any) -> Any:
    """Let the `newest` vertex of the tree offer edges; return the least square, and how many are in doubt.

    Of two squares the smaller is the one that is smaller by more than the `margin` and a `relative` error.
    """
    name, doubts, least = np.int32(newest), np.int32(0), _bits(np.float32(np.inf))
    up, down = np.float32(1 + relative), np.float32(1 - relative)
    for k in range(n):  # without branches, so that it runs on vectors
        square, old, link = squares[k], best[k], other[k]
        better, possible = square < old * down - margin, square < old * up + margin
        doubts = np.int32(doubts + np.int32(possible & (not better)))
        new = square if better else old
        best[k] = new
        other[k] = name if better else link
        # Floats that are not negative are ordered as their bits are: the least integer is found on vectors.
        least = np.int32(min(least, _bits(new)))
    return _float(least), doubts


@inlined_subroutine
def _bits(value: Any) -> Any:
    return np.float32(value).view(np.int32)


@inlined_subroutine
def _float(bits: Any) -> Any:
    return np.int32(bits).view(np.float32)


@borrowing_subroutine
def _settle(
    points: Any,
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
    room: Any,
) -> Any:
    """Compare the offers that are left in doubt by their exact lengths, and return the least square."""
    least, up = np.float32(np.inf), np.float32(1 + relative)
    for k in range(n):
        if squares[k] < best[k] * up + margin and other[k] != newest:
            length = pair_distance(points, newest, vertex[k], room)
            rival = _exact_length(points, k, vertex, other, known, exact, room)
            if length < rival or (length == rival and newest < other[k]):
                other[k], best[k], known[k], exact[k] = newest, squares[k], newest, length
        least = min(least, best[k])
    return least


@inlined_subroutine
def _exact_length(points: Any, k: Any, vertex: Any, other: Any, known: Any, exact: Any, room: Any) -> Any:
    """Return the length of the edge at place `k`, evaluated at most once."""
    if known[k] != other[k]:
        exact[k] = pair_distance(points, np.int64(other[k]), vertex[k], room)
        known[k] = other[k]
    return exact[k]


@inlined_subroutine
def _closest(
    points: Any,
    n: Any,
    least: Any,
    relative: float,
    margin: Any,
    vertex: Any,
    other: Any,
    best: Any,
    known: Any,
    exact: Any,
    room: Any,
) -> Any:
    """Return the place of the first edge in the order of (length, i, j)."""
    limit, found, rivals = np.float32((least + margin) / (1 - relative)), np.int32(0), np.int32(0)
    for k in range(n):
        near = best[k] <= limit
        found = max(found, np.int32(k) if near else np.int32(0))
        rivals = np.int32(rivals + np.int32(near))
    first = np.int64(found)
    if rivals > 1:
        first = _first_up_to(points, n, limit, vertex, other, best, known, exact, room)
    return first


@borrowing_subroutine
def _first_up_to(
    points: Any, n: Any, limit: Any, vertex: Any, other: Any, best: Any, known: Any, exact: Any, room: Any
) -> Any:
    """Return the place of the first edge among those whose square is at most `limit`."""
    first, least = -1, np.inf
    for k in range(n):
        if best[k] <= limit:
            length = _exact_length(points, k, vertex, other, known, exact, room)
            if length < least or (
                length == least and _comes_first(vertex[k], other[k], vertex[first], other[first])
            ):
                first, least = k, length
    return first


@inlined_subroutine
def _record(
    newest: Any, place: Any, other: Any, known: Any, exact: Any, edges: Any, lengths: Any, step: Any
) -> None:
    """Add the edge at `place`, which joins the `newest` vertex; its length is -1 where it is not known."""
    end = np.int64(other[place])
    edges[step, 0], edges[step, 1] = min(newest, end), max(newest, end)
    lengths[step] = exact[place] if known[place] == end else -1.0


@borrowing_subroutine
def _complete(points: Any, edges: Any, lengths: Any, room: Any) -> None:
    """Evaluate the lengths that no comparison has asked for: faster together, and most of them."""
    for step in range(len(edges)):
        if lengths[step] < 0:
            lengths[step] = pair_distance(points, edges[step, 0], edges[step, 1], room)


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


@borrowing_subroutine
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


@borrowing_subroutine
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


@borrowing_subroutine
def _take(place: Any, last: Any, rest: Any, best: Any, other: Any, edge: Any, length: Any) -> Any:
    """Move the vertex at `place` of `rest` into the tree, fill its place with the `last`, and return it."""
    vertex = rest[place]
    edge[0], edge[1] = min(vertex, other[place]), max(vertex, other[place])
    length[0] = best[place]
    rest[place], best[place], other[place] = rest[last], best[last], other[last]
    return vertex


def warm_up() -> None:
    """Compile every kernel of this module."""
    for dtype in (np.float32, np.float64):
        for n_dims in (2, _LEAST_DIMS):
            spanning_tree_of_points(np.ones((3, n_dims), dtype))
        spanning_tree_of_matrix(np.zeros((3, 3), dtype))
