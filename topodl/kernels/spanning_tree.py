"""Minimum spanning trees of complete graphs by a dense Prim: the dimension 0 of Rips persistence.

The order of edges is (length, i, j), so the tree is unique; cost O(n² d) from points with O(n d) memory, no
sort.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._compile import kernel
from topodl.kernels.rips_edges import row_distances

__all__ = ["spanning_tree_of_matrix", "spanning_tree_of_points", "warm_up"]


@kernel
def _nearest(row: Any, newest: Any, rest: Any, n_rest: Any, best: Any, link: Any, n: Any) -> Any:
    """Let the `newest` vertex of the tree offer its distances `row`; return the nearest's place in `rest`."""
    place = 0
    for k in range(n_rest):
        if row[k] <= best[k]:
            number = min(newest, rest[k]) * n + max(newest, rest[k])
            if row[k] < best[k] or number < link[k]:
                best[k] = row[k]
                link[k] = number
        if best[k] <= best[place] and (best[k] < best[place] or link[k] < link[place]):
            place = k
    return place


@kernel
def spanning_tree_of_points(points: Any, single: bool) -> Any:
    """Return the edges (n - 1, 2), i < j, of the tree over `points` (n, d) float64, and their lengths.

    Where the data are of `single` precision, distances are rounded to it before they are compared.
    """
    n, n_dims = points.shape
    edges, lengths = np.empty((max(n - 1, 0), 2), np.int64), np.empty(max(n - 1, 0))
    rest, best, link, row = _start(n)
    coordinates = np.empty((n_dims, n))
    for c in range(n_dims):
        for k in range(n - 1):
            coordinates[c, k] = points[k + 1, c]
    newest = 0
    for step in range(n - 1):
        last = n - 2 - step
        row_distances(coordinates, 0, points[newest], single, row, 0, last + 1)
        place = _nearest(row, newest, rest, last + 1, best, link, n)
        newest = _take(place, last, rest, best, link, n, edges[step], lengths[step : step + 1])
        for c in range(n_dims):
            coordinates[c, place] = coordinates[c, last]
    return edges, lengths


@kernel
def spanning_tree_of_matrix(matrix: Any) -> Any:
    """Return the edges (n - 1, 2), i < j, of the tree over the symmetric `matrix`, and their lengths.

    Where the matrix is not connected by finite entries, edges of infinite length complete the tree.
    """
    n = len(matrix)
    edges, lengths = np.empty((max(n - 1, 0), 2), np.int64), np.empty(max(n - 1, 0))
    rest, best, link, row = _start(n)
    newest = 0
    for step in range(n - 1):
        last = n - 2 - step
        source = matrix[newest]
        for k in range(last + 1):
            row[k] = source[rest[k]]
        place = _nearest(row, newest, rest, last + 1, best, link, n)
        newest = _take(place, last, rest, best, link, n, edges[step], lengths[step : step + 1])
    return edges, lengths


@kernel
def _start(n: Any) -> Any:
    """Return the vertices outside the tree, their best distances and links, and room for distances."""
    rest, best = np.empty(n, np.int64), np.empty(n)
    link, row = np.empty(n, np.int64), np.empty(n)
    for k in range(n):
        rest[k], best[k], link[k] = k + 1, np.inf, n * n
    return rest, best, link, row


@kernel
def _take(place: Any, last: Any, rest: Any, best: Any, link: Any, n: Any, edge: Any, length: Any) -> Any:
    """Move the vertex at `place` of `rest` into the tree, fill its place with the `last`, and return it."""
    vertex = rest[place]
    edge[0], edge[1], length[0] = link[place] // n, link[place] % n, best[place]
    rest[place], best[place], link[place] = rest[last], best[last], link[last]
    return vertex


def warm_up() -> None:
    """Compile every kernel of this module."""
    spanning_tree_of_points(np.arange(6.0).reshape(3, 2), False)
    for dtype in (np.float32, np.float64):
        spanning_tree_of_matrix(np.zeros((3, 3), dtype))
