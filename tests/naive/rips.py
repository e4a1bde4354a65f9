"""The slow twin of Rips persistence: every simplex, one boundary matrix, reduced column by column."""

import itertools
from collections.abc import Sequence

import numpy as np

Edge = tuple[int, int]


def edge_order(distances: np.ndarray) -> list[Edge]:
    """The finite edges in the order (length, i, j)."""
    n = len(distances)
    edges = [e for e in itertools.combinations(range(n), 2) if distances[e] < np.inf]
    return sorted(edges, key=lambda e: (distances[e], e))


def pairs(distances: np.ndarray, top: int, longest: float = np.inf) -> list[tuple[int, Edge, Edge | None]]:
    """All (dimension, birth edge, death edge or None) of positive length; a vertex v is born as (v, -1)."""
    n = len(distances)
    rank = {e: k for k, e in enumerate(edge_order(distances)) if distances[e] <= longest}

    def longest_edge(simplex: Sequence[int]) -> int:
        return max((rank.get(e, len(rank)) for e in itertools.combinations(simplex, 2)), default=-1)

    simplices = [s for k in range(1, top + 3) for s in itertools.combinations(range(n), k)]
    simplices = [s for s in simplices if longest_edge(s) < len(rank) or len(s) == 1]
    simplices.sort(key=lambda s: (longest_edge(s), len(s), s))
    columns, pivots = reduce_boundaries(simplices)
    names = list(rank)
    found = []
    for birth, simplex in enumerate(simplices):
        if columns[birth] or len(simplex) > top + 1:
            continue
        death = pivots.get(birth)
        born = (simplex[0], -1) if len(simplex) == 1 else names[longest_edge(simplex)]
        dies = None if death is None else names[longest_edge(simplices[death])]
        length = 0.0 if len(simplex) == 1 else distances[born]
        if dies is None or distances[dies] > length:
            found.append((len(simplex) - 1, born, dies))
    return sorted(found, key=str)


def reduce_boundaries(simplices: Sequence[tuple[int, ...]]) -> tuple[list[set[int]], dict[int, int]]:
    """The reduced boundary matrix over Z/2 as sets of rows, and its pivots: birth -> death."""
    place = {s: k for k, s in enumerate(simplices)}
    columns: list[set[int]] = []
    pivots: dict[int, int] = {}
    for k, simplex in enumerate(simplices):
        faces = itertools.combinations(simplex, len(simplex) - 1) if len(simplex) > 1 else ()
        column = {place[face] for face in faces}
        while column and max(column) in pivots:
            column ^= columns[pivots[max(column)]]
        if column:
            pivots[max(column)] = k
        columns.append(column)
    return columns, pivots


def sparse_edges(distances: np.ndarray, sparse: float) -> dict[Edge, float]:
    """When the edges of the sparse filtration enter: the smallest scale at which two balls meet, both there.

    At scale a the ball of a point of radius λ has the radius min(a / 2, λ / ε), until a = 2λ / (ε (1 - ε)).
    """
    n, radii, order = len(distances), [np.inf], [0]
    while len(order) < n:
        rest = [i for i in range(n) if i not in order]
        gaps = [min(distances[i, j] for j in order) for i in rest]
        order.append(rest[int(np.argmax(gaps))])
        radii.append(max(gaps))
    values = {}
    for (i, later), (j, sooner) in itertools.combinations(zip(order, radii, strict=True), 2):
        d, least = distances[i, j], min(later, sooner)
        value = d if d <= 2 * least / sparse else 2 * (d - least / sparse)
        meets = value / 2 <= max(later, sooner) / sparse and value <= 2 * least / (sparse * (1 - sparse))
        if meets or value == d:
            values[min(i, j), max(i, j)] = value
    return values
