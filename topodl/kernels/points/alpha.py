"""Alpha filtration and pairs of a Delaunay triangulation in two or three dimensions.

Dimension 0 by union-find, the top dimension by union-find over the dual, with the outside as one more cell;
in three dimensions, dimension 1 by reducing the triangles that are left. Cost: two sorts, and the reduction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.points import _double_double as precise
from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.union_find import elder_deaths, find_root

__all__ = ["alpha_values", "elder_deaths", "read_simplices", "reduce_triangles", "top_deaths", "warm_up"]

_FLAT = 1e-10  # share of squared volumes below which rounding might show
_DOUBT = 1e-6  # share by which squared distances from a centre may be off


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


@borrowing_subroutine
def _word(stream: Any, place: Any) -> Any:
    word = np.int64(stream[place]) | np.int64(stream[place + 1]) << 8 | np.int64(stream[place + 2]) << 16
    return word | np.int64(stream[place + 3]) << 24


@borrowing_subroutine
def _cross(a: Any, b: Any) -> Any:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@borrowing_subroutine
def _dot(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@borrowing_subroutine
def _edge(points: Any, tail: Any, head: Any) -> Any:
    """Return the vector from one point to another, in three dimensions."""
    z = points[head, 2] - points[tail, 2] if points.shape[1] == 3 else 0.0
    return points[head, 0] - points[tail, 0], points[head, 1] - points[tail, 1], z


# With the edges a, b, c from the first vertex, the centre is |a|² b × c + |b|² c × a + |c|² a × b, the "arm",
# over 2 a · (b × c), the "volume", away from it. For a triangle, c is a × b, and |c|² is 0.


@borrowing_subroutine
def _circumsphere(points: Any, simplex: Any, size: Any, centre: Any) -> Any:
    """Write the centre of the smallest sphere through the `size` vertices; return its squared radius."""
    a, b, c, square = _edge(points, simplex[0], simplex[1]), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0
    arm, volume = a, 1.0
    if size > 2:
        b = _edge(points, simplex[0], simplex[2])
        normal = _cross(a, b)
        c = normal
        if size > 3:
            c = _edge(points, simplex[0], simplex[3])
            square = _dot(c, c)
        first, second, volume = _dot(a, a), _dot(b, b), _dot(normal, c)
        left, right = _cross(b, c), _cross(c, a)
        arm = (
            first * left[0] + second * right[0] + square * normal[0],
            first * left[1] + second * right[1] + square * normal[1],
            first * left[2] + second * right[2] + square * normal[2],
        )
        flat = volume <= _FLAT * first * second
        if size > 3:
            flat = volume * volume <= _FLAT * first * second * square
        if flat:
            arm, volume = _rounded(_precise_sphere(points, simplex, size))
            if volume == 0.0:
                return np.inf
    squared = 0.0
    for k in range(points.shape[1]):
        offset = arm[k] / (2.0 * volume)
        centre[k] = points[simplex[0], k] + offset
        squared += offset * offset
    return squared


@borrowing_subroutine
def _rounded(sphere: Any) -> Any:
    arm, volume = sphere
    return (arm[0][0], arm[1][0], arm[2][0]), volume[0]


@borrowing_subroutine
def _precise_edge(points: Any, tail: Any, head: Any) -> Any:
    z = precise.difference(points[head, 2], points[tail, 2]) if points.shape[1] == 3 else (0.0, 0.0)
    x = precise.difference(points[head, 0], points[tail, 0])
    return x, precise.difference(points[head, 1], points[tail, 1]), z


@borrowing_subroutine
def _precise_sphere(points: Any, simplex: Any, size: Any) -> Any:
    """Return arm and volume of a simplex of two to four vertices in double-double precision."""
    a = _precise_edge(points, simplex[0], simplex[1])
    if size == 2:
        return a, (1.0, 0.0)
    b = _precise_edge(points, simplex[0], simplex[2])
    normal = precise.cross(a, b)
    c, square = normal, (0.0, 0.0)
    if size > 3:
        c = _precise_edge(points, simplex[0], simplex[3])
        square = precise.dot(c, c)
    first, second = precise.dot(a, a), precise.dot(b, b)
    left, right = precise.cross(b, c), precise.cross(c, a)
    weights = (first, second, square)
    x = precise.dot(weights, (left[0], right[0], normal[0]))
    y = precise.dot(weights, (left[1], right[1], normal[1]))
    z = precise.dot(weights, (left[2], right[2], normal[2]))
    return (x, y, z), precise.dot(normal, c)


@borrowing_subroutine
def _is_inside(points: Any, simplex: Any, size: Any, vertex: Any, squared: Any, distance: Any) -> Any:
    """Return whether a vertex lies in the sphere of an edge or triangle, of which two squares say how far."""
    if abs(distance - squared) > _DOUBT * max(distance, squared):
        return distance < squared
    arm, volume = _precise_sphere(points, simplex, size)
    d = _precise_edge(points, simplex[0], vertex)
    side = precise.dot(d, arm)
    return precise.add(precise.multiply(precise.dot(d, d), volume), (-side[0], -side[1]))[0] < 0.0


@kernel
def alpha_values(points: Any, simplices: Any, cofaces_of: Any, coface_values: Any, size: Any) -> Any:
    """Return the squared alpha values of the simplices of `size` vertices, and the coface of each.

    A simplex whose smallest circumsphere holds a vertex of a coface enters with its first coface, any other
    with its own sphere, and then its coface is -1. `cofaces_of` (m, size + 1) are the simplices that each
    coface has as its faces, in the order of the vertex that is left out; the left-out vertices follow in
    columns of their own.
    """
    n_dims = points.shape[1]
    values, attached = np.empty(len(simplices)), np.zeros(len(simplices), np.bool_)
    least, first = np.empty(len(simplices)), np.empty(len(simplices), np.int64)
    centres = np.empty((len(simplices), n_dims))
    for s in range(len(simplices)):
        values[s] = _circumsphere(points, simplices[s], size, centres[s])
        least[s], first[s] = np.inf, -1
    for t in range(len(coface_values)):
        for c in range(size + 1):
            s, opposite = cofaces_of[t, c], cofaces_of[t, size + 1 + c]
            if first[s] < 0 or coface_values[t] < least[s]:
                least[s], first[s] = coface_values[t], t
            squared = 0.0
            for k in range(n_dims):
                squared += (points[opposite, k] - centres[s, k]) ** 2
            if not attached[s]:
                attached[s] = _is_inside(points, simplices[s], size, opposite, values[s], squared)
    for s in range(len(simplices)):
        if attached[s] or values[s] > least[s]:
            values[s] = least[s]
        else:
            first[s] = -1
    return values, first


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


@borrowing_subroutine
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
