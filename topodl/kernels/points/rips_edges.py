"""The edges of a Rips complex: distances in double precision, the enclosing radius, and their order.

The order of edges (i, j), i < j, is (length, i, j). Cost O(n² d), and one sort of integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.points._products import centred_products, pair_distance, squares_fit
from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.pool import map_batch, split

__all__ = [
    "all_within",
    "cell_points",
    "condensed_distances",
    "condensed_upper_triangle",
    "enclosing_radius",
    "inspect_matrix",
    "row_distances",
    "sorted_edges",
    "warm_up",
]

_LEAST_DIMS = 24  # where a matrix product pays
_LEAST, _MOST = 1e-140, 1e150  # lengths outside are taken from squares in another unit
_LEAST_SORTED = 1 << 17  # edges that are worth a thread
_MARGIN = 3e-10  # relative; between the precision of products and that of float32


@kernel
def all_within(values: Any, largest: float) -> bool:
    """Return whether all of the `values` (n,) are numbers of size up to `largest`."""
    usable = True
    for k in range(len(values)):
        usable &= abs(values[k]) <= largest
    return usable


@kernel
def cell_points(points: Any, starts: Any, samples: Any, cells: Any, values: Any, places: Any) -> Any:
    """Return (m, 2) the lengths of edges `cells` (m, 2), 0 of (i, -1), beside the values at `places` (m,).

    Ends are numbered from the starts of their samples. Lengths are rounded to the precision of the `points`
    (n, d), which are finite.
    """
    found, room = np.zeros((len(cells), 2), points.dtype), np.empty(points.shape[1])
    for e in range(len(cells)):
        found[e, 1] = values[places[e]]
        if cells[e, 1] >= 0:
            first = starts[samples[e]]
            found[e, 0] = pair_distance(points, first + cells[e, 0], first + cells[e, 1], room)
    return found


@borrowing_subroutine
def row_distances(coordinates: Any, start: Any, point: Any, out: Any, place: Any, m: Any) -> None:
    """Write the distances of `point` (d,) to m columns of `coordinates` (d, n), from `start`, to `out`.

    Sums run in float64; distances are rounded to the precision of the point.
    """
    sums = out[place : place + m]
    for k in range(m):
        sums[k] = 0.0
    c = 0
    while c + 4 <= len(point):  # four coordinates a pass: the sums are loaded and stored a quarter as often
        p0, p1, p2, p3 = point[c], point[c + 1], point[c + 2], point[c + 3]
        x0, x1 = coordinates[c][start : start + m], coordinates[c + 1][start : start + m]
        x2, x3 = coordinates[c + 2][start : start + m], coordinates[c + 3][start : start + m]
        for k in range(m):
            a, b, e, f = x0[k] - p0, x1[k] - p1, x2[k] - p2, x3[k] - p3
            sums[k] += (a * a + b * b) + (e * e + f * f)
        c += 4
    while c < len(point):
        p, x = point[c], coordinates[c][start : start + m]
        for k in range(m):
            a = x[k] - p
            sums[k] += a * a
        c += 1
    for k in range(m):
        sums[k] = point.dtype.type(np.sqrt(sums[k]))


def condensed_distances(points: Any) -> Any:
    """Return the distances of all pairs i < j of `points` (n, d) in lexicographic order, as float64.

    Sums run in float64; distances are rounded to the precision of the points.
    """
    if points.dtype != np.float32 or points.shape[1] < _LEAST_DIMS or len(points) < 2:
        return _distances_of_rows(points)
    return _distances_of_products(points, *centred_products(points, np.float64))


@kernel
def _distances_of_products(points: Any, products: Any, norms: Any, relative: float, scale: float) -> Any:
    """Round approximations; where the true distance might be rounded differently, evaluate it."""
    n, position, unit = len(points), 0, 1 / scale
    out, highest, room = np.empty(n * (n - 1) // 2), np.empty(n), np.empty(points.shape[1])
    for i in range(n - 1):
        row, norm, other_norms = products[i, i + 1 :], norms[i], norms[i + 1 :]
        values, high = out[position : position + n - 1 - i], highest[i + 1 :]
        in_doubt = False
        for k in range(len(values)):
            both = norm + other_norms[k]
            square = both - (row[k] + row[k])
            length = np.sqrt(square) * unit
            values[k], high[k] = np.float32(length * (1 - _MARGIN)), np.float32(length * (1 + _MARGIN))
            if both * relative + 2e-30 > square * _MARGIN:
                high[k] = -1.0
            if values[k] != high[k]:
                in_doubt = True
        if in_doubt:
            for k in range(len(values)):
                if values[k] != high[k]:
                    values[k] = pair_distance(points, i, i + 1 + k, room)
        position += len(values)
    return out


@kernel
def _distances_of_rows(points: Any) -> Any:
    n, n_dims = points.shape
    out = np.empty(n * (n - 1) // 2)
    tile = max(64, 4096 // max(n_dims, 1))  # one tile of columns stays in the fastest cache
    columns, room, fit = np.empty((n_dims, tile)), np.empty(n_dims), squares_fit(points)
    for first in range(0, n, tile):
        last = min(first + tile, n)
        for k in range(first, last):
            for c in range(n_dims):
                columns[c, k - first] = points[k, c]
        for i in range(last - 1):
            start = max(i + 1, first)
            place = i * n - i * (i + 1) // 2 - i - 1 + start
            row_distances(columns, start - first, points[i], out, place, last - start)
            for k in range(0 if fit else last - start):
                if not _LEAST <= out[place + k] <= _MOST:
                    out[place + k] = pair_distance(points, i, start + k, room)
    return out


@kernel
def condensed_upper_triangle(matrix: Any) -> Any:
    """Return the pairs i < j of the square `matrix` in lexicographic order, as float64."""
    n = len(matrix)
    out = np.empty(n * (n - 1) // 2)
    position = 0
    for i in range(n - 1):
        for j in range(i + 1, n):
            out[position] = matrix[i, j]
            position += 1
    return out


@kernel
def inspect_matrix(matrix: Any) -> Any:
    """Return the first unusable entry of `matrix`, (-1, -1) if there is none, and whether it is symmetric.

    Unusable are NaN and negative values; the diagonal is not read.
    """
    n = len(matrix)
    symmetric = True
    tile = 32  # both triangles are read in tiles, or each mirrored read would miss the cache
    for first in range(0, n, tile):
        for second in range(first, n, tile):
            for i in range(first, min(first + tile, n)):
                for j in range(max(second, i + 1), min(second + tile, n)):
                    a, b = matrix[i, j], matrix[j, i]
                    if not (a >= 0 and b >= 0):
                        return i, j, symmetric
                    if a != b:
                        symmetric = False
    return -1, -1, symmetric


@kernel
def enclosing_radius(condensed: Any, n: Any) -> Any:
    """Return the smallest r such that one point is within r of all; from r on the complex is a cone."""
    farthest = np.zeros(n)
    position = 0
    for i in range(n - 1):
        largest = farthest[i]
        for j in range(i + 1, n):
            value = condensed[position + j - i - 1]
            if value > farthest[j]:
                farthest[j] = value
            largest = max(largest, value)
        farthest[i] = largest
        position += n - 1 - i
    radius = farthest[0]
    for i in range(1, n):
        radius = min(radius, farthest[i])
    return radius


@kernel
def _pack_edges(condensed: Any, n: Any, radius: float) -> Any:
    """Return the edges of finite length at most `radius`, as 32 bits of length and 16 each of i and j.

    Also whether float32 holds all lengths exactly.
    """
    packed = np.empty(len(condensed), np.uint64)
    rounded = np.empty(max(n, 1), np.float32)
    bits = rounded.view(np.uint32)
    count, position, exact = 0, 0, True
    for i in range(n - 1):
        row = condensed[position : position + n - 1 - i]
        for k in range(len(row)):
            rounded[k] = row[k] + 0.0  # which turns -0.0 into 0.0
            if rounded[k] != row[k]:
                exact = False
        tail = np.uint64((i << 16) + i + 1)
        for k in range(len(row)):
            packed[count] = (np.uint64(bits[k]) << np.uint64(32)) | (tail + np.uint64(k))
            if row[k] <= radius and row[k] < np.inf:
                count += 1
        position += len(row)
    return packed[:count], exact


@kernel
def _unpack_edges(packed: Any, condensed: Any, n: Any, exact: bool) -> Any:
    """Return lengths and end points (i, j) of `packed` edges, and whether the lengths are in order."""
    lengths, edges = np.empty(len(packed), np.float64), np.empty((len(packed), 2), np.int32)
    bits = np.empty(len(packed), np.uint32)
    rounded = bits.view(np.float32)
    for k in range(len(packed)):
        edges[k, 0] = np.int64(packed[k] >> np.uint64(16)) & 0xFFFF
        edges[k, 1] = np.int64(packed[k]) & 0xFFFF
        bits[k] = packed[k] >> np.uint64(32)
    if exact:
        for k in range(len(packed)):
            lengths[k] = rounded[k]
        return lengths, edges, True
    in_order = True
    for k in range(len(packed)):
        i, j = np.int64(edges[k, 0]), np.int64(edges[k, 1])
        lengths[k] = condensed[i * n - i * (i + 1) // 2 + j - i - 1]
        in_order &= k == 0 or lengths[k] >= lengths[k - 1]
    return lengths, edges, in_order


def sorted_edges(condensed: Any, n: Any, radius: float) -> Any:
    """Return lengths (E,) and end points (E, 2) of the edges up to length `radius`, in order; n <= 65536."""
    # The bits of non-negative floats are ordered as the floats are, so that one sort of integers does it;
    # what rounding to float32 has made equal is put right afterwards.
    packed, exact = _pack_edges(condensed, n, radius)
    packed = _in_order(packed)
    lengths, edges, in_order = _unpack_edges(packed, condensed, n, exact)
    if not in_order:
        order = np.argsort(
            lengths, kind="stable"
        )  # within equal rounded lengths, the order is (i, j) already
        lengths, edges = lengths[order], edges[order]
    return lengths, edges


def _in_order(packed: Any) -> Any:
    """Return distinct integers in ascending order; threads sort those between two bounds each."""
    parts = split(len(packed), _LEAST_SORTED)
    if len(parts) == 1:
        packed.sort()
        return packed
    sample = np.sort(packed[:: max(1, len(packed) >> 10)])
    inner = sample[np.arange(1, len(parts)) * len(sample) // len(parts)]
    bounds = [None, *inner, None]

    def sort_between(k: int) -> Any:
        low, high = bounds[k], bounds[k + 1]
        inside = packed < high if low is None else packed >= low
        if low is not None and high is not None:
            inside &= packed < high
        own = packed[inside]
        own.sort()
        return own

    return np.concatenate(map_batch(sort_between, range(len(parts))))


def warm_up() -> None:
    """Compile every kernel of this module."""
    for n_dims in (2, _LEAST_DIMS):
        condensed_distances(np.ones((3, n_dims), np.float32))
    condensed = condensed_distances(np.arange(6.0).reshape(3, 2))
    sorted_edges(condensed, 3, float(enclosing_radius(condensed, 3)))
    for dtype in (np.float32, np.float64):
        all_within(np.zeros(3, dtype), 1.0)
        none = np.zeros(1, np.int64)
        points, cells = np.zeros((2, 1), dtype), np.zeros((2, 1), np.int64).T
        cell_points(points, none, none, cells, points[:, 0], none)
        condensed_upper_triangle(np.zeros((3, 3), dtype))
        inspect_matrix(np.zeros((3, 3), dtype))
