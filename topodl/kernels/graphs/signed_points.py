"""Signed points of graphs filtered by two parameters: spanning forests, graph after graph, and their events.

A graph's few edges are sorted where they stand. Cost O(N + E log E) in expectation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.graphs.graph import cycle_deaths
from topodl.kernels.graphs.simple_edges import counted_order, simple_edges
from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["EULER", "is_sound", "signed_points", "warm_up"]

EULER = -1  # the dimension that stands for the Euler characteristic
_ABSENT = -2
_RUN = 12  # edges that insertion sorts faster than merging does


@kernel
def is_sound(
    vertex_keys: Any, edge_keys: Any, pairs: Any, graph_of: Any, n_graphs: Any, own_values: bool, never: Any
) -> Any:
    """Return whether `signed_points` may trust its arguments: no NaN, no index out of its range, …."""
    n = len(vertex_keys)
    for v in range(n):
        if not 0 <= graph_of[v] < n_graphs or max(abs(vertex_keys[v, 0]), abs(vertex_keys[v, 1])) > never:
            return False
    for e in range(pairs.shape[1]):
        u, v = pairs[0, e], pairs[1, e]
        if min(u, v) < 0 or max(u, v) >= n or graph_of[u] != graph_of[v]:
            return False
        if own_values:
            for i in range(2):
                key, last = edge_keys[e, i], max(vertex_keys[u, i], vertex_keys[v, i])
                if abs(key) > never or (key < last and u != v):
                    return False
    return True


def signed_points(
    vertex_keys: Any,
    edge_keys: Any,
    pairs: Any,
    graph_of: Any,
    n_graphs: Any,
    dims: Any,
    own_values: bool,
    never: Any,
) -> Any:
    """Return the table of signed points of all graphs, in order, and where their coordinates stand.

    Parameters
    ----------
    vertex_keys, edge_keys : ndarray of shape (N, 2) and (E, 2), int64
        Integers in the order of the values of vertices and edges.
    pairs : ndarray of shape (2, E), int64
        Edges, in any order, with loops and copies.
    graph_of : ndarray of shape (N,), int64
    n_graphs : int
    dims : ndarray of int64
        Rising; `EULER` is the Euler characteristic.
    own_values : bool
        Whether edges have values; else an edge comes with the later one of its ends, in each parameter.
    never : int
        The key of +inf.

    Returns
    -------
    table : ndarray of shape (7, P)
        Samples, dimensions, weights, and both cells: (v, −1) or (u, v).
    places : ndarray of shape (2 P,)
        2 · row + parameter, among the rows of vertices and, after them, of columns of `pairs`.
    conflict : tuple of two int
        Columns of copies of one edge of which neither has the least values in both parameters, or −1.
    """
    n, read = len(vertex_keys), (graph_of, n_graphs, own_values, never)
    ends, keys, rows, cells, graph_of_cell, conflict = _read_cells(vertex_keys, edge_keys, pairs, *read)
    left = _exchanges(n, ends, keys, cells, graph_of_cell)
    return *_points(n, ends, rows, cells, graph_of_cell, dims, left), conflict


@kernel
def _read_cells(
    vertex_keys: Any, edge_keys: Any, pairs: Any, graph_of: Any, n_graphs: Any, own_values: bool, never: Any
) -> Any:
    """Return edges, keys and rows of all cells, those that are reached, graphs of all, and what conflicts."""
    ends, columns, starts = simple_edges(len(vertex_keys), pairs)
    if own_values:
        keys, rows, conflict = _cells_of_own_values(vertex_keys, edge_keys, columns, starts)
    else:
        keys, rows = _lower_stars(vertex_keys, ends)
        conflict = (-1, -1)
    cells, graph_of_cell = _present_cells(keys, ends, graph_of, n_graphs, never)
    return ends, keys, rows, cells, graph_of_cell, conflict


@subroutine
def _cells_of_own_values(vertex_keys: Any, edge_keys: Any, columns: Any, starts: Any) -> Any:
    """Return keys and rows (2, N + m) of all cells, and the last copies that are in conflict, or −1."""
    n, m, conflict = len(vertex_keys), len(starts) - 1, (-1, -1)
    keys, rows = np.empty((2, n + m), np.int64), np.empty((2, n + m), np.int64)
    for i in range(2):
        for v in range(n):
            keys[i, v], rows[i, v] = vertex_keys[v, i], v
        for e in range(m):
            least, rival = _least_copy(edge_keys, columns, starts[e], starts[e + 1])
            keys[i, n + e], rows[i, n + e] = edge_keys[least, i], n + least
            if rival >= 0:
                conflict = (least, rival)
    return keys, rows, conflict


@borrowing_subroutine
def _least_copy(keys: Any, columns: Any, start: Any, end: Any) -> Any:
    """Return the first column of least keys, and one that has a smaller one, −1 where none has."""
    least = columns[start]
    for i in range(start + 1, end):
        if _is_before(keys[:, 0], keys[:, 1], columns[i], least):
            least = columns[i]
    for i in range(start, end):
        if keys[columns[i], 1] < keys[least, 1]:
            return least, columns[i]
    return least, -1


@subroutine
def _lower_stars(vertex_keys: Any, ends: Any) -> Any:
    """Return keys and rows (2, N + m) of all cells where edges come with their ends."""
    n, m = len(vertex_keys), len(ends)
    keys, rows = np.empty((2, n + m), np.int64), np.empty((2, n + m), np.int64)
    for i in range(2):
        for v in range(n):
            keys[i, v], rows[i, v] = vertex_keys[v, i], v
        for e in range(m):
            u, v = ends[e, 0], ends[e, 1]
            last = u if vertex_keys[u, i] > vertex_keys[v, i] else v
            keys[i, n + e], rows[i, n + e] = vertex_keys[last, i], last
    return keys, rows


@subroutine
def _present_cells(keys: Any, ends: Any, graph_of: Any, n_graphs: Any, never: Any) -> Any:
    """Return the cells that are ever reached, graph after graph, vertices before edges; the graph of each."""
    n, m, n_present = len(graph_of), len(ends), 0
    graph_of_cell, present = np.empty(n + m, np.int64), np.empty(n + m, np.int64)
    for cell in range(n + m):
        graph_of_cell[cell] = graph_of[cell if cell < n else ends[cell - n, 0]]
        if keys[0, cell] < never and keys[1, cell] < never:
            present[n_present] = cell
            n_present += 1
    return counted_order(present[:n_present], graph_of_cell, n_graphs), graph_of_cell


@kernel
def _exchanges(n: Any, ends: Any, keys: Any, cells: Any, graph_of: Any) -> Any:
    """Return of each edge the edge (as a cell) that leaves when it enters; −1 if none does, −2 if absent.

    Edges enter by the first value, those of equal ones by the second. The edges that have not left are a
    spanning forest of least second values, at every level of the first.
    """
    entering, spare = np.empty(len(cells), np.int64), np.empty(len(cells), np.int64)
    n_edges = 0
    for cell in cells:
        if cell >= n:
            entering[n_edges] = cell
            n_edges += 1
    fall = np.empty(n_edges, np.int64)
    second, falling = np.empty(n_edges, np.int64), np.empty(n_edges, np.int64)
    start = 0
    while start < n_edges:
        end = start
        while end < n_edges and graph_of[entering[end]] == graph_of[entering[start]]:
            end += 1
        _sort(entering, spare, start, end, keys[0], keys[1])
        for place in range(start, end):
            second[place], falling[place] = keys[1, entering[place]], place
        _sort(falling, spare, start, end, second, second)
        for place in range(start, end):
            fall[falling[place]] = -place
        start = end
    pairs = np.empty((n_edges, 2), np.int64)
    for place in range(n_edges):
        pairs[place, 0], pairs[place, 1] = ends[entering[place] - n, 0], ends[entering[place] - n, 1]
    ended = cycle_deaths(n, pairs, fall)
    left = full(len(ends), _ABSENT, np.int64)
    for place in range(n_edges):
        left[entering[place] - n] = entering[ended[place]] if ended[place] >= 0 else -1
    return left


@borrowing_subroutine
def _is_before(major: Any, minor: Any, one: Any, other: Any) -> Any:
    return major[one] < major[other] or (major[one] == major[other] and minor[one] < minor[other])


@borrowing_subroutine
def _sort(members: Any, spare: Any, start: Any, end: Any, major: Any, minor: Any) -> None:
    """Sort members[start:end] by `major`, then by `minor`; ties keep their order. `spare` is as long."""
    for first in range(start, end, _RUN):
        for i in range(first + 1, min(first + _RUN, end)):
            member, j = members[i], i
            while j > first and _is_before(major, minor, member, members[j - 1]):
                members[j] = members[j - 1]
                j -= 1
            members[j] = member
    width = _RUN
    while width < end - start:
        for first in range(start, end, 2 * width):
            middle, last = min(first + width, end), min(first + 2 * width, end)
            for i in range(first, middle):
                spare[i] = members[i]
            i, j, at = first, middle, first
            while i < middle:
                if j < last and _is_before(major, minor, members[j], spare[i]):
                    members[at] = members[j]
                    j += 1
                else:
                    members[at] = spare[i]
                    i += 1
                at += 1
        width *= 2


@kernel
def _points(n: Any, ends: Any, rows: Any, cells: Any, graph_of: Any, dims: Any, left: Any) -> Any:
    """Return the points of all graphs and dimensions as `signed_points` does, by their cells in order."""
    n_points = 0
    for dim in dims:
        for cell in cells:
            own, other = _weights(n, cell, dim, left)
            n_points += (own != 0) + (other != 0)
    table, places = np.empty((7, n_points), np.int64), np.empty(2 * n_points, np.int64)
    at = start = 0
    while start < len(cells):
        end = start
        while end < len(cells) and graph_of[cells[end]] == graph_of[cells[start]]:
            end += 1
        for dim in dims:
            for place in range(start, end):
                cell = cells[place]
                own, other = _weights(n, cell, dim, left)
                at_own = at
                if other != 0:
                    gone = left[cell - n]
                    at_own = at + 1 if gone < cell else at
                    at_other = at if gone < cell or own == 0 else at + 1
                    _name_cells(table, places, at_other, n, ends, rows, cell, gone)
                    table[0, at_other], table[1, at_other], table[2, at_other] = graph_of[cell], dim, other
                if own != 0:
                    _name_cells(table, places, at_own, n, ends, rows, cell, cell)
                    table[0, at_own], table[1, at_own], table[2, at_own] = graph_of[cell], dim, own
                at += (own != 0) + (other != 0)
        start = end
    return table, places


@borrowing_subroutine
def _weights(n: Any, cell: Any, dim: Any, left: Any) -> Any:
    """Return the weights of a cell with itself, and with the edge that left when it came."""
    if cell < n:
        return (1 if dim <= 0 else 0), 0
    if dim == EULER:
        return -1, 0
    gone = left[cell - n]
    if dim > 1 or (dim == 1 and gone < 0):
        return 0, 0
    if gone == cell:
        return (1 if dim == 1 else 0), 0
    return (-1 if dim == 0 else 0), (1 if gone >= 0 else 0)


@borrowing_subroutine
def _name_cells(
    table: Any, places: Any, at: Any, n: Any, ends: Any, rows: Any, first: Any, second: Any
) -> None:
    for i in range(2):
        cell = second if i else first
        places[2 * at + i] = 2 * rows[i, cell] + i
        table[3 + 2 * i, at] = cell if cell < n else ends[cell - n, 0]
        table[4 + 2 * i, at] = -1 if cell < n else ends[cell - n, 1]


def warm_up() -> None:
    """Compile every kernel of this module."""
    keys, pairs, graph_of = np.zeros((2, 2), np.int64), np.array([[0, 1], [1, 0]]), np.zeros(2, np.int64)
    for own_values in (False, True):
        is_sound(keys, keys, pairs, graph_of, 1, own_values, 9)
        signed_points(keys, keys, pairs, graph_of, 1, np.array([EULER, 0, 1]), own_values, 9)
