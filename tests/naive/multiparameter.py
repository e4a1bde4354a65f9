"""Slow, obvious twins of two-parameter invariants: ranks over Z/2 of every single sublevel set."""

import itertools
import math

import numpy as np
from scipy.ndimage import label

from tests.naive.rips import reduce_boundaries


def rank(rows):
    """Return the rank over Z/2 of rows that are integers of bits."""
    pivots = {}
    for row in rows:
        while row and row.bit_length() in pivots:
            row ^= pivots[row.bit_length()]
        if row:
            pivots[row.bit_length()] = row
    return len(pivots)


def betti_number(simplices, k):
    """Return the dimension of H_k of a set of simplices, tuples of vertices, that has all of their faces."""
    by_dim = {d: sorted(s for s in simplices if len(s) == d + 1) for d in (k - 1, k, k + 1)}

    def boundary_rank(d):
        if d < 1:
            return 0
        place = {face: i for i, face in enumerate(by_dim[d - 1])}
        faces = (itertools.combinations(s, d) for s in by_dim[d])
        return rank([sum(1 << place[face] for face in each) for each in faces])

    return len(by_dim[k]) - boundary_rank(k) - boundary_rank(k + 1)


def euler_characteristic(simplices):
    return sum((-1) ** (len(s) - 1) for s in simplices)


def present(cells, s, t):
    """Return the simplices of `cells`, pairs of values by simplex, that are there at (s, t)."""
    return [simplex for simplex, (first, second) in cells.items() if first <= s and second <= t]


def surface(cells, grid0, grid1, k):
    """Return the Hilbert function of dimension k, or the Euler characteristic for −1, on a grid."""
    table = np.zeros((len(grid0), len(grid1)), np.int64)
    for (i, s), (j, t) in itertools.product(enumerate(grid0), enumerate(grid1)):
        there = present(cells, s, t)
        table[i, j] = euler_characteristic(there) if k < 0 else betti_number(there, k)
    return table


def lower_star(values, simplices):
    """Return the values of simplices, each the larger one of its vertices in both parameters."""
    return {s: tuple(max(values[v][c] for v in s) for c in (0, 1)) for s in simplices}


def grids_of(cells):
    """Return all values of each parameter, rising."""
    return [sorted({value[c] for value in cells.values() if value[c] < np.inf}) for c in (0, 1)]


def measure_of(table, grid0, grid1):
    """Return the points and weights whose sums up to each grid value are those of a table."""
    padded = np.pad(table, ((1, 0), (1, 0)))
    weights = padded[1:, 1:] - padded[:-1, 1:] - padded[1:, :-1] + padded[:-1, :-1]
    return [((grid0[i], grid1[j]), int(weights[i, j])) for i, j in np.argwhere(weights).tolist()]


def convolved(points, weights, grid0, grid1, sigma0, sigma1):
    """Return the sum of Gaussian densities around points with weights, on a grid."""
    table = np.zeros((len(grid0), len(grid1)))
    for (x, y), weight in zip(points, weights, strict=True):
        for (i, s), (j, t) in itertools.product(enumerate(grid0), enumerate(grid1)):
            square = ((s - x) / sigma0) ** 2 + ((t - y) / sigma1) ** 2
            table[i, j] += weight * math.exp(-square / 2) / (2 * np.pi * sigma0 * sigma1)
    return table


def image_betti_numbers(mask, by_cells):
    """Return the numbers of components and holes of a mask, by flooding it and its complement."""
    four, eight = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]), np.ones((3, 3))
    inside, outside = (eight, four) if by_cells else (four, eight)
    return label(mask, inside)[1], label(~np.pad(mask, 1), outside)[1] - 1


def image_surfaces(image, grid0, grid1, by_cells):
    """Return the Hilbert functions of components and holes of an image (2, H, W) on a grid."""
    tables = np.zeros((2, len(grid0), len(grid1)), np.int64)
    for (i, s), (j, t) in itertools.product(enumerate(grid0), enumerate(grid1)):
        tables[:, i, j] = image_betti_numbers((image[0] <= s) & (image[1] <= t), by_cells)
    return tables


def bars_on_line(cells, base, direction, top):
    """Return the bars (dimension, birth, death) up to dimension `top` of simplices along a line."""
    entry = {
        s: max((value[c] - base[c]) / direction[c] for c in (0, 1))
        for s, value in cells.items()
        if max(value) < math.inf
    }
    simplices = sorted(entry, key=lambda s: (entry[s], len(s), s))
    columns, pivots = reduce_boundaries(simplices)
    bars = []
    for k, simplex in enumerate(simplices):
        if not columns[k] and len(simplex) <= top + 1:
            birth = entry[simplex]
            death = entry[simplices[pivots[k]]] if k in pivots else math.inf
            if birth < death:
                bars.append((len(simplex) - 1, birth, death))
    return sorted(bars)


def king_graph_cliques(height, width):
    """Return the simplices of the nerve of closed pixels: cliques of the king's graph."""
    cliques = set()
    for i, j in itertools.product(range(height), range(width)):
        block = [(i + a) * width + j + b for a in (0, 1) for b in (0, 1) if i + a < height and j + b < width]
        for size in range(1, len(block) + 1):
            cliques |= set(itertools.combinations(block, size))
    return sorted(cliques)


def flag_filtration(distances, function):
    """Return the values of all simplices up to triangles: longest edge, largest function value."""
    n = len(function)
    return {
        s: (
            max((distances[e] for e in itertools.combinations(s, 2)), default=0.0),
            max(function[v] for v in s),
        )
        for size in (1, 2, 3)
        for s in itertools.combinations(range(n), size)
    }
