"""Alpha filtration and pairs of a Delaunay triangulation in two or three dimensions.

Dimension 0 by union-find, the top dimension by union-find over the dual, with the outside as one more cell;
in three dimensions, dimension 1 by reducing the triangles that are left. Cost: two sorts, and the reduction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._compile import kernel, subroutine
from topodl.kernels.union_find import elder_deaths, find_root

__all__ = ["alpha_values", "elder_deaths", "read_simplices", "reduce_triangles", "top_deaths", "warm_up"]


@kernel
def read_simplices(stream: Any, place: Any, counts: Any) -> Any:
    """Read simplices from GUDHI's serialised tree, int32 words of bytes from `place` on.

    Siblings are written as their number, their (vertex int32, value float64), and then the children of each.

    Returns
    -------
    simplices : (sum(counts), len(counts)) int64
        All simplices of dimension 0, of dimension 1 …, each in lexicographic order, padded by -1.
    end : int
        Where reading stopped; -1 where the stream is not such a tree.
    """
    n_dims = len(counts)
    next_row, last_row = np.empty(n_dims, np.int64), np.empty(n_dims, np.int64)
    total = 0
    for k in range(n_dims):
        next_row[k] = total
        total += counts[k]
        last_row[k] = total
    simplices = np.empty((total, n_dims), np.int64)
    pending, members = np.zeros(n_dims + 1, np.int64), np.zeros(n_dims + 1, np.int64)
    depth = 0
    path = np.empty(n_dims, np.int64)
    while True:
        if place + 4 > len(stream):
            return simplices, -1
        count = _word(stream, place)
        place += 4
        if count < 0 or (count > 0 and depth == n_dims) or place + 12 * count > len(stream):
            return simplices, -1
        if count > 0:
            if next_row[depth] + count > last_row[depth]:
                return simplices, -1
            members[depth], pending[depth] = next_row[depth], count
            for k in range(count):
                row = next_row[depth] + k
                for c in range(n_dims):
                    simplices[row, c] = path[c] if c < depth else -1
                simplices[row, depth] = _word(stream, place)
                place += 12
            next_row[depth] += count
            depth += 1
        while depth > 0 and pending[depth - 1] == 0:
            depth -= 1
        if depth == 0:
            return simplices, place
        path[depth - 1] = simplices[members[depth - 1], depth - 1]
        members[depth - 1] += 1
        pending[depth - 1] -= 1


@subroutine
def _word(stream: Any, place: Any) -> Any:
    word = np.int64(stream[place]) | np.int64(stream[place + 1]) << 8 | np.int64(stream[place + 2]) << 16
    return word | np.int64(stream[place + 3]) << 24


@subroutine
def _solve(gram: Any, right: Any, k: Any) -> Any:
    """Solve the k x k system in place, with pivots from the diagonal; return whether it is regular."""
    for a in range(k):
        best = a
        for b in range(a + 1, k):
            if gram[b, b] > gram[best, best]:
                best = b
        if not gram[best, best] > 0.0:
            return False
        if best != a:
            for c in range(k):
                gram[a, c], gram[best, c] = gram[best, c], gram[a, c]
            for c in range(k):
                gram[c, a], gram[c, best] = gram[c, best], gram[c, a]
            right[a], right[best] = right[best], right[a]
            right[3 + a], right[3 + best] = right[3 + best], right[3 + a]
        for b in range(a + 1, k):
            factor = gram[b, a] / gram[a, a]
            for c in range(a, k):
                gram[b, c] -= factor * gram[a, c]
            right[b] -= factor * right[a]
    for a in range(k - 1, -1, -1):
        for c in range(a + 1, k):
            right[a] -= gram[a, c] * right[c]
        right[a] /= gram[a, a]
    return True


@subroutine
def _circumsphere(points: Any, simplex: Any, size: Any, centre: Any, gram: Any, right: Any) -> Any:
    """Write the centre of the smallest sphere through the `size` vertices; return its squared radius."""
    n_dims, origin, k = points.shape[1], simplex[0], size - 1
    for a in range(k):
        for b in range(k):
            gram[a, b] = 0.0
            for c in range(n_dims):
                gram[a, b] += (points[simplex[a + 1], c] - points[origin, c]) * (
                    points[simplex[b + 1], c] - points[origin, c]
                )
        right[a] = gram[a, a] / 2
        right[3 + a] = simplex[a + 1]
    if not _solve(gram, right, k):
        return np.inf
    squared = 0.0
    for c in range(n_dims):
        offset = 0.0
        for a in range(k):
            offset += right[a] * (points[np.int64(right[3 + a]), c] - points[origin, c])
        centre[c] = points[origin, c] + offset
        squared += offset * offset
    return squared


@kernel
def alpha_values(points: Any, simplices: Any, cofaces_of: Any, coface_values: Any, size: Any) -> Any:
    """Return the squared alpha values of the simplices of `size` vertices.

    A simplex whose smallest circumsphere holds a vertex of a coface enters with its first coface, any other
    with its own sphere. `cofaces_of` (m, size + 1) are the simplices that each coface has as its faces, in
    the order of the vertex that is left out, -1 where there are no cofaces; the left-out vertices follow in
    columns of their own.
    """
    n_dims = points.shape[1]
    values, attached = np.empty(len(simplices)), np.zeros(len(simplices), np.bool_)
    least = np.empty(len(simplices))
    centres = np.empty((len(simplices), n_dims))
    gram, right = np.empty((3, 3)), np.empty(6)
    for s in range(len(simplices)):
        values[s] = _circumsphere(points, simplices[s], size, centres[s], gram, right)
        least[s] = np.inf
    for t in range(len(coface_values)):
        for c in range(size + 1):
            s, opposite = cofaces_of[t, c], cofaces_of[t, size + 1 + c]
            least[s] = min(least[s], coface_values[t])
            squared = 0.0
            for k in range(n_dims):
                squared += (points[opposite, k] - centres[s, k]) ** 2
            if squared < values[s]:
                attached[s] = True
    for s in range(len(simplices)):
        if attached[s] or values[s] > least[s]:
            values[s] = least[s]
    return values


@kernel
def top_deaths(cells: Any, n_facets: Any, order: Any, rank: Any) -> Any:
    """Return for each facet the cell that fills what it closes, -1 where it closes nothing.

    `cells` (m, top + 1) are the facets of each cell, `order` the facets from the latest to the earliest, and
    `rank` the cells' order of entry: of two regions that a facet parts, the one whose last cell is earlier
    was filled by it.
    """
    outside = len(cells)
    sides = np.empty((n_facets, 2), np.int64)
    for f in range(n_facets):
        sides[f, 0] = sides[f, 1] = outside
    for t in range(outside):
        for c in range(cells.shape[1]):
            f = cells[t, c]
            sides[f, 1 if sides[f, 0] < outside else 0] = t
    parent, filled = np.empty(outside + 1, np.int64), np.empty(n_facets, np.int64)
    for t in range(outside + 1):
        parent[t] = t
    for k in range(n_facets):
        f = order[k]
        a, b = find_root(parent, sides[f, 0]), find_root(parent, sides[f, 1])
        filled[f] = -1
        if a != b:
            younger = a if b == outside or (a != outside and rank[a] < rank[b]) else b
            filled[f] = younger
            parent[younger] = a + b - younger
    return filled


@kernel
def reduce_triangles(columns: Any, n_edges: Any) -> Any:
    """Return for each column (three edges by rank, descending), in order, the edge that it kills, by rank.

    The columns are boundaries of triangles none of which closes a cavity, so each of them kills an edge.
    """
    owner, killed = np.empty(n_edges, np.int64), np.empty(len(columns), np.int64)
    for e in range(n_edges):
        owner[e] = -1
    starts = np.zeros(len(columns) + 1, np.int64)
    store, work, other = (
        np.empty(4 * len(columns) + 64, np.int64),
        np.empty(64, np.int64),
        np.empty(64, np.int64),
    )
    for t in range(len(columns)):
        size = 3
        for c in range(3):
            work[c] = columns[t, c]
        while size > 0 and owner[work[0]] >= 0:
            first, last = starts[owner[work[0]]], starts[owner[work[0]] + 1]
            if size + last - first > len(other):
                other = np.empty(2 * (size + last - first), np.int64)
            size = _add(work, size, store, first, last, other)
            work, other = other, work
        if starts[t] + size > len(store):
            grown = np.empty(2 * (starts[t] + size), np.int64)
            for k in range(starts[t]):
                grown[k] = store[k]
            store = grown
        for k in range(size):
            store[starts[t] + k] = work[k]
        starts[t + 1] = starts[t] + size
        killed[t] = work[0] if size > 0 else -1
        if size > 0:
            owner[work[0]] = t
    return killed


@subroutine
def _add(column: Any, size: Any, store: Any, first: Any, last: Any, out: Any) -> Any:
    """Write the sum over Z/2 of two descending lists to `out`; return its length."""
    a, count = 0, 0
    while a < size or first < last:
        if first == last or (a < size and column[a] > store[first]):
            out[count] = column[a]
            a += 1
            count += 1
        elif a == size or store[first] > column[a]:
            out[count] = store[first]
            first += 1
            count += 1
        else:
            a += 1
            first += 1
    return count


def warm_up() -> None:
    """Compile every kernel of this module."""
    points, triangle = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([[0, 1, 2]])
    none = np.empty((0, 8), np.int64)
    alpha_values(points, triangle, none, np.empty(0), 3)
    top_deaths(np.array([[0, 1, 2]]), 3, np.array([2, 1, 0]), np.array([0]))
    reduce_triangles(np.array([[2, 1, 0]]), 3)
    elder_deaths(2, np.array([[0, 1]]))
    read_simplices(np.zeros(4, np.uint8), 0, np.array([1]))
