"""Chordless cycles of graphs up to a length, each once, in lexicographic order; and which are relevant.

From its least vertex on, a path without chords goes through larger vertices until it meets a neighbour of
the first. What has fewer than two neighbours left is on no cycle and goes first. Cost: the number of such
paths times the degree; exponential in the length. P. Vismara, "Union of all the minimum cycle bases of a
graph", Electronic Journal of Combinatorics 4, 1997 (relevant).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.adjacency import adjacency
from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.bits import add, lowest_bit
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.growing import enlarged
from topodl.kernels.shared.radix import radix_argsort

__all__ = [
    "chordless_cycles",
    "order_by_length",
    "relevant_cycles",
    "take_cycles",
    "warm_up",
]


@kernel
def chordless_cycles(starts: Any, neighbours: Any, links: Any, max_length: int, max_cycles: int) -> Any:
    """Return vertices (M,), edges (M,) and offsets (n + 1,) of all chordless cycles of at most `max_length`.

    The neighbours of a vertex rise between `starts`, with the edges to them. Edge i of a cycle joins its
    vertex i to the next. It stops one beyond `max_cycles`.
    """
    n = starts.size - 1
    beside_root, two_away = full(n, -1, np.int64), full(n, -1, np.int64)
    closing, near = np.empty(n, np.int64), zeros(n, np.int64)
    path, path_links = zeros(max_length + 1, np.int64), zeros(max_length + 1, np.int64)
    turns, ends = zeros(max_length + 1, np.int64), zeros(max_length + 1, np.int64)
    found = (np.empty(256, np.int64), np.empty(256, np.int64), zeros(64, np.int64))
    degree, stack = np.empty(n, np.int64), np.empty(n, np.int64)
    for v in range(n):
        degree[v] = starts[v + 1] - starts[v]
    for v in range(n):
        if 0 <= degree[v] < 2:
            _peel(starts, neighbours, v, degree, near, stack)
    n_cycles = 0
    for root in range(n):
        if degree[root] < 0:
            continue
        for i in range(starts[root], starts[root + 1]):
            beside_root[neighbours[i]], closing[neighbours[i]] = root, links[i]
            for j in range(starts[neighbours[i]], starts[neighbours[i] + 1]):
                two_away[neighbours[j]] = root
        path[0], turns[0], depth = root, starts[root], 0
        ends[0] = starts[root + 1] - 1  # each cycle in one direction, so that none begins with the largest
        while near[neighbours[ends[0]]] > 0:
            ends[0] -= 1
        while depth >= 0:
            at = turns[depth]
            if at == ends[depth]:  # back to the vertex before, which is an end again
                depth -= 1
                if depth >= 1:
                    _add_around(starts, neighbours, path[depth], near, -1)
                continue
            turns[depth] = at + 1
            vertex = neighbours[at]
            if vertex == root or near[vertex] > 0:
                continue
            path_links[depth] = links[at]
            if depth > 0 and beside_root[vertex] == root:
                if path[1] < vertex:
                    path[depth + 1], path_links[depth + 1] = vertex, closing[vertex]
                    found = _with_cycle(found, n_cycles, path, path_links, depth + 2)
                    n_cycles += 1
                    if n_cycles > max_cycles:
                        return _cut(found, n_cycles)
            elif depth + 3 < max_length or (depth + 3 == max_length and two_away[vertex] == root):
                if depth >= 1:  # what is inside the path has no other neighbour on it
                    _add_around(starts, neighbours, path[depth], near, 1)
                depth += 1
                path[depth], turns[depth], ends[depth] = vertex, starts[vertex], starts[vertex + 1]
        _peel(starts, neighbours, root, degree, near, stack)
    return _cut(found, n_cycles)


@subroutine
def _with_cycle(found: Any, n_cycles: Any, path: Any, path_links: Any, length: Any) -> Any:
    """Return the arrays with one more cycle, larger where there is no room."""
    vertices, edges, offsets = found
    if n_cycles + 1 == offsets.size:
        offsets = enlarged(offsets, 0)
    first = offsets[n_cycles]
    if first + length > vertices.size:
        vertices, edges = enlarged(vertices, first + length), enlarged(edges, first + length)
    for i in range(length):
        vertices[first + i], edges[first + i] = path[i], path_links[i]
    offsets[n_cycles + 1] = first + length
    return vertices, edges, offsets


@subroutine
def _cut(found: Any, n_cycles: Any) -> Any:
    vertices, edges, offsets = found
    end = offsets[n_cycles]
    return vertices[:end].copy(), edges[:end].copy(), offsets[: n_cycles + 1].copy()


@borrowing_subroutine
def _peel(starts: Any, neighbours: Any, vertex: Any, degree: Any, near: Any, stack: Any) -> None:
    """Block a vertex, and then all that have fewer than two neighbours left, which are on no further cycle.

    Those that are out have the degree -1.
    """
    stack[0], size, degree[vertex] = vertex, 1, -1
    while size > 0:
        size -= 1
        out = stack[size]
        near[out] += 1
        for i in range(starts[out], starts[out + 1]):
            other = neighbours[i]
            if degree[other] >= 0:
                degree[other] -= 1
                if degree[other] < 2:
                    degree[other], stack[size] = -1, other
                    size += 1


@borrowing_subroutine
def _add_around(starts: Any, neighbours: Any, vertex: Any, near: Any, step: Any) -> None:
    for i in range(starts[vertex], starts[vertex + 1]):
        near[neighbours[i]] += step


@kernel
def order_by_length(vertices: Any, offsets: Any, first_vertices: Any) -> Any:
    """Return the order of cycles (n,) by graph and length, and where those of a graph begin (n_graphs + 1,).

    The cycles come by their least vertex, and keep the order of those that are of one graph and length. Graph
    g has the vertices from ``first_vertices[g]`` on.
    """
    of_graphs, keys = np.empty(first_vertices.size, np.int64), np.empty(offsets.size - 1, np.int64)
    longest = 0
    for c in range(keys.size):
        longest = max(longest, offsets[c + 1] - offsets[c])
    c = 0
    for g in range(first_vertices.size):
        while c < keys.size and vertices[offsets[c]] < first_vertices[g]:
            keys[c] = g * (longest + 1) + offsets[c + 1] - offsets[c]
            c += 1
        of_graphs[g] = c
    return radix_argsort(keys), of_graphs


@kernel
def take_cycles(which: Any, vertices: Any, edges: Any, offsets: Any) -> Any:
    """Return vertices, edges and offsets of the cycles at `which` (m,), in that order."""
    taken = np.empty(which.size + 1, np.int64)
    taken[0] = 0
    for i in range(which.size):
        taken[i + 1] = taken[i] + offsets[which[i] + 1] - offsets[which[i]]
    their_vertices, their_edges = np.empty(taken[-1], np.int64), np.empty(taken[-1], np.int64)
    for i in range(which.size):
        first = offsets[which[i]]
        for j in range(taken[i + 1] - taken[i]):
            their_vertices[taken[i] + j], their_edges[taken[i] + j] = vertices[first + j], edges[first + j]
    return their_vertices, their_edges, taken


@kernel
def relevant_cycles(edges: Any, offsets: Any, of_graphs: Any, first_edges: Any) -> Any:
    """Return which cycles (n,) are no sum of shorter ones, and so are in some basis of least length.

    The cycles of graph g are rows ``of_graphs[g]`` to ``of_graphs[g + 1]``, shorter ones first, as sets of
    `edges`, which begin at ``first_edges[g]``.
    """
    relevant = np.empty(offsets.size - 1, np.bool_)
    for g in range(of_graphs.size - 1):
        row_of = full(first_edges[g + 1] - first_edges[g], -1, np.int64)
        n_words = (row_of.size + 63) >> 6
        basis, rank = np.empty((16, n_words), np.uint64), 0
        c = of_graphs[g]
        while c < of_graphs[g + 1]:
            length, first = offsets[c + 1] - offsets[c], c
            while c < of_graphs[g + 1] and offsets[c + 1] - offsets[c] == length:
                row = _as_bits(edges, offsets[c], offsets[c + 1], first_edges[g], n_words)
                relevant[c] = _reduced(row, basis, row_of) >= 0
                c += 1
            for other in range(first, c):  # only now: those of one length do not count against each other
                if relevant[other]:
                    row = _as_bits(edges, offsets[other], offsets[other + 1], first_edges[g], n_words)
                    pivot = _reduced(row, basis, row_of)
                    if pivot >= 0:
                        basis = _with_row(basis, rank, row)
                        row_of[pivot] = rank
                        rank += 1
    return relevant


@subroutine
def _as_bits(edges: Any, first: Any, last: Any, first_edge: Any, n_words: Any) -> Any:
    row = zeros(n_words, np.uint64)
    for i in range(first, last):
        add(row, edges[i] - first_edge)
    return row


@borrowing_subroutine
def _reduced(row: Any, basis: Any, row_of: Any) -> Any:
    """Add rows of the basis until the lowest bit is none of theirs; return that, -1 if nothing is left."""
    for w in range(row.size):
        while row[w] != np.uint64(0):
            bit = (w << 6) + lowest_bit(row[w])
            if row_of[bit] < 0:
                return bit
            for i in range(w, row.size):
                row[i] ^= basis[row_of[bit], i]
    return -1


@subroutine
def _with_row(basis: Any, rank: Any, row: Any) -> Any:
    """Return the basis with a row at `rank`, larger where there is no room."""
    larger = basis
    if rank == len(basis):
        larger = np.empty((2 * rank, row.size), np.uint64)
        for i in range(rank):
            for w in range(row.size):
                larger[i, w] = basis[i, w]
    for w in range(row.size):
        larger[rank, w] = row[w]
    return larger


def warm_up() -> None:
    """Compile every kernel of this module."""
    edges = np.array([[0, 1], [0, 2], [1, 2]])
    starts, neighbours, links = adjacency(3, edges)
    found = chordless_cycles(starts, neighbours, links, 4, 10)
    order, of_graphs = order_by_length(found[0], found[2], np.array([0, 3]))
    vertices, edges_of, offsets = take_cycles(order, *found)
    relevant = relevant_cycles(edges_of, offsets, of_graphs, np.array([0, 3]))
    take_cycles(np.flatnonzero(relevant), vertices, edges_of, offsets)
