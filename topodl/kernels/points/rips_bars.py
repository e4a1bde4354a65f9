"""From pairs of sorted edges to bars, and from bars to their ends: lengths of edges, and their gradients.

The ends of a batch are named by places among values: 0, inf, and the lengths of the batch's critical edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.points._products import pair_distance
from topodl.kernels.shared.compile import kernel
from topodl.kernels.shared.union_find import find_root

__all__ = [
    "component_bars",
    "critical_edges",
    "edge_values",
    "loop_bars",
    "pull_on_points",
    "total_lengths",
    "tree_bars",
    "warm_up",
]

_NEVER = 1  # the place of inf


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
def tree_bars(
    edges: Any, lengths: Any, order: Any, sizes: Any, longest: float, square: bool, values: Any
) -> Any:
    """Return packed bars and `critical_edges` of a batch in dimension 0, and whether any order is by chance.

    The samples' spanning trees follow each other, as do their orders by length; `values` are written.
    """
    bars, tied, first, n_bars, n_values = np.empty((6, sizes.sum()), np.int64), False, 0, 0, 2
    values[0], values[1] = 0.0, np.inf
    for s in range(len(sizes)):
        last = first + sizes[s] - 1
        own, by_length = lengths[first:last], order[first:last]
        births, deaths = component_bars(edges[first:last], own, by_length, longest, sizes[s])
        for p in range(len(births)):
            bars[0, n_bars + p], bars[1, n_bars + p] = s, 0
            for end in range(2):
                bars[2 + end, n_bars + p], bars[4 + end, n_bars + p] = births[p, end], deaths[p, end]
        for k in range(len(own)):
            length = own[by_length[k]]
            tied |= k > 0 and length == own[by_length[k - 1]]
            if 0 < length <= longest and length < np.inf:
                values[n_values] = length
                n_values += 1
        first, n_bars = last, n_bars + len(births)
    bars = bars[:, :n_bars].copy()
    critical, places = critical_edges(bars, sizes, square)
    return bars, critical, places, tied


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
            if j < 0:
                places[end, p] = 0 if i >= 0 else _NEVER
                continue
            start, n = starts[bars[0, p]], sizes[bars[0, p]]
            edges[0, n_edges], edges[1, n_edges] = start + (i * n + j if square else i), start + j
            places[end, p] = 2 + n_edges
            n_edges += 1
    return edges[:, :n_edges].copy(), places


@kernel
def edge_values(points: Any, edges: Any) -> Any:
    """Return 0, inf, and the lengths of `edges` (2, E), in the precision of the points."""
    values, room = np.empty(2 + edges.shape[1], points.dtype), np.empty(points.shape[1])
    values[0], values[1] = 0.0, np.inf
    for k in range(edges.shape[1]):
        values[2 + k] = pair_distance(points, edges[0, k], edges[1, k], room)
    return values


@kernel
def total_lengths(bars: Any, dims: Any, places: Any, values: Any, totals: Any) -> Any:
    """Add the length of each finite bar to `totals` of its sample and dimension, and return which these are.

    `totals` (B D,) are ordered by sample, then as the `dims` (D,) are.
    """
    segments = np.empty(bars.shape[1], np.int64)
    for p in range(bars.shape[1]):
        segment = bars[0, p] * len(dims)
        while dims[segment - bars[0, p] * len(dims)] != bars[1, p]:
            segment += 1
        segments[p] = segment
        if places[1, p] != _NEVER:
            totals[segment] += np.float64(values[places[1, p]]) - np.float64(values[places[0, p]])
    return segments


@kernel
def pull_on_points(
    points: Any,
    edges: Any,
    places: Any,
    values: Any,
    segments: Any,
    on_births: Any,
    on_deaths: Any,
    on_totals: Any,
    out: Any,
) -> None:
    """Add to `out` (n, d) what gradients on ends and total lengths, empty where none, pull on the points.

    Edges of length 0 do not.
    """
    for end in range(2):
        gradient, sign = (on_deaths, 1.0) if end else (on_births, -1.0)
        for p in range(places.shape[1]):
            place, weight = places[end, p], 0.0
            if place <= _NEVER or values[place] == 0:
                continue
            if len(gradient) > 0:
                weight += gradient[p]
            if len(on_totals) > 0 and places[1, p] != _NEVER:
                weight += sign * on_totals[segments[p]]
            if weight == 0:
                continue
            i, j = edges[0, place - 2], edges[1, place - 2]
            length = np.float64(values[place])
            for c in range(points.shape[1]):
                # divided first: the quotient of two tiny numbers does not overflow
                pull = weight * ((np.float64(points[i, c]) - np.float64(points[j, c])) / length)
                out[i, c] += pull
                out[j, c] -= pull


def warm_up() -> None:
    """Compile every kernel of this module."""
    edges, lengths = np.array([[0, 1], [1, 2], [0, 2]]), np.arange(1.0, 4.0)
    for ends in (edges, edges.astype(np.int32)):
        component_bars(ends, lengths, np.arange(3), np.inf, 3)
    loop_bars(edges.astype(np.int32), lengths, edges[:, 0], edges[:, 1])
    sizes = np.array([3])
    for dtype in (np.float32, np.float64):
        points, values = np.ones((3, 2), dtype), np.empty(4, dtype)
        _, critical, places, _ = tree_bars(edges[:2], lengths[:2], edges[0], sizes, np.inf, False, values)
        values = edge_values(points, critical)
        bars, places = np.zeros((2, 3), np.int64), np.ascontiguousarray(places)
        segments = total_lengths(bars, np.array([0]), places, values, np.zeros(1))
        out, ends = np.zeros_like(points), values[:3]
        pull_on_points(points, critical, places, values, segments, ends, ends, ends[:0], out)
