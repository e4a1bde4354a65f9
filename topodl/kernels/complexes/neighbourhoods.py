"""What lies around vertices: those within some steps, and sets of vertices with a common neighbour.

A set of vertices grows by a later sibling of its last one, where both still have a common neighbour: their
lists of them are merged. Cost: O(degree) for each candidate; the vertices within some steps cost their
number and edges. L. Lovász, "Kneser's conjecture, chromatic number, and homotopy", 1978 (the neighbourhood
complex).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.complexes.tables import transpose
from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.growing import enlarged

__all__ = ["common_neighbours", "count_larger_sets", "larger_sets", "vertices_within", "warm_up"]


@kernel
def vertices_within(starts: Any, neighbours: Any, radius: int) -> Any:
    """Return for each vertex those at most `radius` steps away, rising, as (offsets, vertices, distances).

    The neighbours of a vertex lie between `starts`.
    """
    n = starts.size - 1
    seen, offsets = full(n, -1, np.int64), zeros(n + 1, np.int64)
    found, distances = np.empty(1024, np.int64), np.empty(1024, np.int64)
    for source in range(n):
        first = end = offsets[source]
        if end + n + 1 > found.size:
            found, distances = enlarged(found, end + n + 1), enlarged(distances, end + n + 1)
        found[end], distances[end], seen[source] = source, 0, source
        end += 1
        while first < end and distances[first] < radius:
            for i in range(starts[found[first]], starts[found[first] + 1]):
                vertex = neighbours[i]
                if seen[vertex] != source:
                    seen[vertex] = source
                    found[end], distances[end] = vertex, distances[first] + 1
                    end += 1
            first += 1
        offsets[source + 1] = end
    # The relation is symmetric: its transpose is itself, in rising order.
    starts, sources, places = transpose(found[: offsets[n]], offsets, n)
    in_order = np.empty(places.size, np.int64)
    for i in range(places.size):
        in_order[i] = distances[places[i]]
    return starts, sources, in_order


@borrowing_subroutine
def _n_common(one: Any, i: Any, end_i: Any, other: Any, j: Any, end_j: Any, out: Any, at: Any) -> Any:
    """Write what two rising lists have in common from `at` on, where there is room; return how much it is."""
    n = 0
    while i < end_i and j < end_j:
        if one[i] == other[j]:
            if at + n < out.size:
                out[at + n] = one[i]
            n, i, j = n + 1, i + 1, j + 1
        elif one[i] < other[j]:
            i += 1
        else:
            j += 1
    return n


@kernel
def common_neighbours(pairs: Any, starts: Any, neighbours: Any) -> Any:
    """Return the common neighbours of each of the `pairs` (m, 2), rising, as (offsets, vertices)."""
    offsets, none = zeros(len(pairs) + 1, np.int64), np.empty(0, np.int64)
    for which in range(2):
        out = np.empty(offsets[-1], np.int64) if which else none
        for p in range(len(pairs)):
            u, v = pairs[p, 0], pairs[p, 1]
            first, second = starts[u], starts[v]
            at = offsets[p] if which else 0
            n = _n_common(neighbours, first, starts[u + 1], neighbours, second, starts[v + 1], out, at)
            if not which:
                offsets[p + 1] = offsets[p] + n
    return offsets, out


@kernel
def count_larger_sets(parents: Any, siblings: Any, offsets: Any, shared: Any) -> Any:
    """Return where the sets that are one vertex larger will begin (S + 1,), and the size of their lists.

    The common neighbours of a set are `shared` between `offsets`; `siblings` says where the rows of each of
    the `parents` begin.
    """
    begins, none = zeros(parents.size + 1, np.int64), np.empty(0, np.int64)
    size = 0
    for s in range(parents.size):
        begins[s + 1] = begins[s]
        for t in range(s + 1, siblings[parents[s] + 1]):
            n = _n_common(shared, offsets[s], offsets[s + 1], shared, offsets[t], offsets[t + 1], none, 0)
            begins[s + 1] += n > 0
            size += n
    return begins, size


@kernel
def larger_sets(
    last: Any, parents: Any, siblings: Any, offsets: Any, shared: Any, begins: Any, size: int
) -> Any:
    """Return the vertices (T,) that the sets grow by, and the common neighbours of what they become."""
    vertices, new_offsets = np.empty(begins[-1], np.int64), zeros(begins[-1] + 1, np.int64)
    new_shared, row = np.empty(size, np.int64), 0
    for s in range(parents.size):
        for t in range(s + 1, siblings[parents[s] + 1]):
            at = new_offsets[row]
            n = _n_common(
                shared, offsets[s], offsets[s + 1], shared, offsets[t], offsets[t + 1], new_shared, at
            )
            if n > 0:
                vertices[row], new_offsets[row + 1] = last[t], at + n
                row += 1
    return vertices, new_offsets, new_shared


def warm_up() -> None:
    """Compile every kernel of this module."""
    starts, neighbours = np.array([0, 2, 4, 6]), np.array([1, 2, 0, 2, 0, 1])
    vertices_within(starts, neighbours, 2)
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    offsets, shared = common_neighbours(pairs, starts, neighbours)
    parents, last, siblings = np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0, 2, 3, 3])
    begins, size = count_larger_sets(parents, siblings, offsets, shared)
    larger_sets(last, parents, siblings, offsets, shared, begins, size)
