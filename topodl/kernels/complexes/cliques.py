"""Cliques of graphs, dimension by dimension, with their faces, in lexicographic order: no hash and no sort.

A clique grows by a later sibling of its last vertex that is also a neighbour of it; in a directed graph, with
vertices ordered by their edges, by any sibling. Disjoint graphs are one graph. Cost: O(degree) for each
clique. Zomorodian, "Fast construction of the Vietoris–Rips complex", 2010 (the incremental expansion).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = [
    "count_larger_cliques",
    "grow_simplices",
    "larger_vertices",
    "stray_edge",
    "upper_neighbours",
    "warm_up",
]


@kernel
def stray_edge(ends: Any, graph_of: Any) -> int:
    """Return the first edge (2, E) whose ends are not both vertices of one graph; -1 if there is none."""
    n = graph_of.size
    for e in range(ends.shape[1]):
        u, v = ends[0, e], ends[1, e]
        if not (0 <= u < n and 0 <= v < n) or graph_of[u] != graph_of[v]:
            return e
    return -1


@kernel
def upper_neighbours(ends: Any, n: int) -> Any:
    """Return where the larger neighbours of each vertex begin, and the edges (m, 2), u < v, sorted.

    Edges `ends` (2, E) come in any order and direction; loops and repetitions are left out.
    """
    by_high, by_low = zeros(n + 1, np.int64), zeros(n + 1, np.int64)
    for e in range(ends.shape[1]):
        u, v = ends[0, e], ends[1, e]
        if u != v:
            by_high[max(u, v) + 1] += 1
            by_low[min(u, v) + 1] += 1
    for v in range(n):
        by_high[v + 1] += by_high[v]
        by_low[v + 1] += by_low[v]
    lows, free = np.empty(by_high[n], np.int64), by_high.copy()
    for e in range(ends.shape[1]):
        u, v = ends[0, e], ends[1, e]
        if u != v:
            lows[free[max(u, v)]] = min(u, v)
            free[max(u, v)] += 1
    # From the smallest larger end on, so that each list rises and repetitions follow each other.
    highs, free = np.empty(by_low[n], np.int64), by_low.copy()
    for high in range(n):
        for i in range(by_high[high], by_high[high + 1]):
            low = lows[i]
            if free[low] == by_low[low] or highs[free[low] - 1] != high:
                highs[free[low]] = high
                free[low] += 1
    return _closed_up(highs, by_low, free)


@kernel
def _closed_up(highs: Any, first: Any, last: Any) -> Any:
    """Return the starts of the lists without the gaps that repetitions left, and the edges."""
    n = first.size - 1
    starts = zeros(n + 1, np.int64)
    for v in range(n):
        starts[v + 1] = starts[v] + last[v] - first[v]
    edges = np.empty((starts[n], 2), np.int64)
    for v in range(n):
        for i in range(last[v] - first[v]):
            edges[starts[v] + i, 0], edges[starts[v] + i, 1] = v, highs[first[v] + i]
    return starts, edges


@borrowing_subroutine
def _next_common(last: Any, i: Any, end_i: Any, highs: Any, j: Any, end_j: Any) -> Any:
    """Return the next places of two rising lists, from `i` and `j` on, at which the same vertex stands."""
    while i < end_i and j < end_j and last[i] != highs[j]:
        if last[i] < highs[j]:
            i += 1
        else:
            j += 1
    return i, j


@kernel
def count_larger_cliques(
    last: Any, parents: Any, siblings: Any, starts: Any, highs: Any, directed: bool
) -> Any:
    """Return where the cliques that are one vertex larger will begin, for each clique (S + 1,).

    A clique is a row of its dimension: `last` (S,) its last vertex, `parents` (S,) it without that, and
    `siblings` where the rows of each parent begin. The larger neighbours of a vertex, or those that it leads
    to if `directed`, are `highs` between `starts`.
    """
    begins = zeros(last.size + 1, np.int64)
    for s in range(last.size):
        i, end_i = siblings[parents[s]] if directed else s + 1, siblings[parents[s] + 1]
        j, end_j = starts[last[s]], starts[last[s] + 1]
        n = 0
        while True:
            i, j = _next_common(last, i, end_i, highs, j, end_j)
            if i >= end_i or j >= end_j:
                break
            n, i, j = n + 1, i + 1, j + 1
        begins[s + 1] = begins[s] + n
    return begins


@kernel
def larger_vertices(
    last: Any, parents: Any, siblings: Any, starts: Any, highs: Any, begins: Any, directed: bool
) -> Any:
    """Return the vertices (T,) that the cliques grow by, as `count_larger_cliques` has counted them."""
    vertices = np.empty(begins[-1], np.int64)
    for s in range(last.size):
        i, end_i = siblings[parents[s]] if directed else s + 1, siblings[parents[s] + 1]
        j, end_j = starts[last[s]], starts[last[s] + 1]
        for row in range(begins[s], begins[s + 1]):
            i, j = _next_common(last, i, end_i, highs, j, end_j)
            vertices[row] = last[i]
            i, j = i + 1, j + 1
    return vertices


@kernel
def grow_simplices(simplices: Any, faces: Any, last: Any, siblings: Any, begins: Any, vertices: Any) -> Any:
    """Return the simplices (T, k + 2) that are one vertex larger, and their faces: face j drops vertex j.

    `simplices` and `faces` (S, k + 1) are those of the dimension below, and `vertices` (T,) what they grow
    by, rising between `begins`. A face of a simplex grows by all that the simplex itself grows by.
    """
    size = simplices.shape[1]
    larger = np.empty((vertices.size, size + 1), np.int64)
    their_faces = np.empty((vertices.size, size + 1), np.int64)
    marching = np.empty(size, np.int64)
    for s in range(len(simplices)):
        for drop in range(size):
            marching[drop] = siblings[faces[s, drop]]
        for row in range(begins[s], begins[s + 1]):
            vertex = vertices[row]
            larger[row, size], their_faces[row, size] = vertex, s
            for drop in range(size):
                larger[row, drop] = simplices[s, drop]
                at = marching[drop]
                while last[at] != vertex:
                    at += 1
                marching[drop] = at
                their_faces[row, drop] = at
    return larger, their_faces


def warm_up() -> None:
    """Compile every kernel of this module."""
    ends = np.array([[0, 0, 1], [1, 2, 2]])
    stray_edge(ends, np.zeros(3, np.int64))
    starts, edges = upper_neighbours(ends, 3)
    highs, parents = np.ascontiguousarray(edges[:, 1]), np.ascontiguousarray(edges[:, 0])
    begins = count_larger_cliques(highs, parents, starts, starts, highs, False)
    vertices = larger_vertices(highs, parents, starts, starts, highs, begins, False)
    grow_simplices(edges, edges[:, ::-1].copy(), highs, starts, begins, vertices)
