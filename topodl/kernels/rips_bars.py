"""From pairs of sorted edges to bars, and from bars to their ends: lengths of edges, and their gradients.

The ends of a batch are named by places among its critical edges; the two places behind stand for 0 and inf.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._compile import kernel
from topodl.kernels._products import pair_distance
from topodl.kernels.union_find import find_root

__all__ = [
    "component_bars",
    "critical_edges",
    "edge_ends",
    "has_ties",
    "loop_bars",
    "pull_on_points",
    "warm_up",
]


@kernel
def component_bars(edges: Any, lengths: Any, order: Any, longest: float, n: int) -> Any:
    """Return birth vertices (v, -1) and death edges of the components, the essential ones last.

    `edges`, in their `order`, join all that is ever joined; none enters that is longer than `longest` or
    infinite. Of two components the one with the larger smallest vertex dies.
    """
    births, deaths = np.full((n, 2), -1, np.int64), np.full((n, 2), -1, np.int64)
    parent, count = np.arange(n), 0
    for k in order:
        if not (lengths[k] <= longest and lengths[k] < np.inf):
            break
        a, b = find_root(parent, np.int64(edges[k, 0])), find_root(parent, np.int64(edges[k, 1]))
        parent[max(a, b)] = min(a, b)
        if a != b and lengths[k] > 0:
            births[count, 0] = max(a, b)
            deaths[count, 0], deaths[count, 1] = edges[k, 0], edges[k, 1]
            count += 1
    for v in range(n):
        if parent[v] == v:
            births[count, 0] = v
            count += 1
    return births[:count], deaths[:count]


@kernel
def has_ties(values: Any, order: Any) -> Any:
    """Return whether two of the `values`, which are in ascending `order`, are equal."""
    ties = False
    for k in range(1, len(order)):
        ties |= values[order[k]] == values[order[k - 1]]
    return ties


@kernel
def loop_bars(edges: Any, lengths: Any, births: Any, deaths: Any) -> Any:
    """Return birth and death edges of the pairs of positive length, (-1, -1) for a death that never comes."""
    born, dead = np.full((len(births), 2), -1, np.int64), np.full((len(births), 2), -1, np.int64)
    count = 0
    for k in range(len(births)):
        birth, death = births[k], deaths[k]
        if death >= 0 and not lengths[birth] < lengths[death]:
            continue
        born[count, 0], born[count, 1] = edges[birth, 0], edges[birth, 1]
        if death >= 0:
            dead[count, 0], dead[count, 1] = edges[death, 0], edges[death, 1]
        count += 1
    return born[:count], dead[:count]


@kernel
def critical_edges(bars: Any, sizes: Any, square: bool) -> Any:
    """Return the edges (2, E) of packed `bars`, in the points of the whole batch, and places (2, P).

    Where samples are `square` matrices, the first row holds positions among the entries of the batch.
    """
    n_bars, n_edges = bars.shape[1], 0
    starts = np.zeros(len(sizes), np.int64)
    for s in range(1, len(sizes)):
        starts[s] = starts[s - 1] + (sizes[s - 1] * sizes[s - 1] if square else sizes[s - 1])
    edges, places = np.empty((2, 2 * n_bars), np.int64), np.empty((2, n_bars), np.int64)
    for end in range(2):
        for p in range(n_bars):
            i, j = bars[2 + 2 * end, p], bars[3 + 2 * end, p]
            places[end, p] = n_edges
            if j < 0:
                places[end, p] = -2 if i >= 0 else -1
                continue
            start, n = starts[bars[0, p]], sizes[bars[0, p]]
            edges[0, n_edges], edges[1, n_edges] = start + (i * n + j if square else i), start + j
            n_edges += 1
    for end in range(2):
        for p in range(n_bars):
            if places[end, p] < 0:
                places[end, p] += n_edges + 2
    return edges[:, :n_edges].copy(), places


@kernel
def edge_ends(points: Any, edges: Any, places: Any, lengths: Any, births: Any, deaths: Any) -> None:
    """Write the lengths of `edges` (2, E), and births and deaths, which are at their `places` (2, P)."""
    n_edges = edges.shape[1]
    for k in range(n_edges):
        lengths[k] = pair_distance(points, edges[0, k], edges[1, k], False)
    for end in range(2):
        values = deaths if end else births
        for p in range(places.shape[1]):
            place = places[end, p]
            if place < n_edges:
                values[p] = lengths[place]
            else:
                values[p] = 0.0 if place == n_edges else np.inf


@kernel
def pull_on_points(
    points: Any, edges: Any, places: Any, lengths: Any, on_births: Any, on_deaths: Any, out: Any
) -> None:
    """Add to `out` (n, d) what gradients on the ends pull on the points; edges of length 0 do not."""
    for end in range(2):
        gradient = on_deaths if end else on_births
        for p in range(places.shape[1]):
            place, weight = places[end, p], np.float64(gradient[p])
            if place >= edges.shape[1] or weight == 0 or lengths[place] == 0:
                continue
            i, j = edges[0, place], edges[1, place]
            weight /= np.float64(lengths[place])
            for c in range(points.shape[1]):
                pull = weight * (np.float64(points[i, c]) - np.float64(points[j, c]))
                out[i, c] += pull
                out[j, c] -= pull


def warm_up() -> None:
    """Compile every kernel of this module."""
    edges, lengths = np.array([[0, 1], [1, 2], [0, 2]]), np.arange(1.0, 4.0)
    for ends in (edges, edges.astype(np.int32)):
        component_bars(ends, lengths, np.arange(3), np.inf, 3)
    has_ties(lengths, np.arange(3))
    births, deaths = loop_bars(edges.astype(np.int32), lengths, edges[:, 0], edges[:, 1])
    bars = np.concatenate((np.zeros((2, len(births)), np.int64), births.T, deaths.T))
    edges, places = critical_edges(bars, np.array([3]), False)
    for dtype in (np.float32, np.float64):
        points = np.ones((3, 2), dtype)
        values, births, deaths = np.zeros((3, places.size), dtype)
        edge_ends(points, edges, places, values, births, deaths)
        pull_on_points(points, edges, places, values, births, deaths, np.zeros_like(points))
