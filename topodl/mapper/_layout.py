"""Where the nodes of a graph stand in a drawing: each component by itself, then all packed side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from topodl.kernels.mapper.layout import spread, steps_from

__all__ = ["graph_positions"]

Array = npt.NDArray[Any]
_GAP = 1.0  # between components, in lengths of an edge
_ASPECT = 1.5
_MOST_PAIRS = 600_000


def graph_positions(edges: Array, component: Array) -> Array:
    """Return places (V, 2), in lengths of an edge, for `edges` (2, 2E) in both directions, sorted."""
    n = len(component)
    starts = np.searchsorted(edges[0], np.arange(n + 1))
    local, places, boxes = np.empty(n, np.int64), np.zeros((n, 2)), []
    members = np.split(np.argsort(component, kind="stable"), np.cumsum(np.bincount(component))[:-1])
    for nodes in members if n else []:
        local[nodes] = np.arange(len(nodes))
        degrees = starts[nodes + 1] - starts[nodes]
        own = np.concatenate([edges[1, starts[v] : starts[v + 1]] for v in nodes])
        places[nodes] = _drawn(np.concatenate([[0], np.cumsum(degrees)]), local[own])
        boxes.append(places[nodes].max(0) + _GAP)
    for nodes, corner in zip(members, _packed(np.array(boxes).reshape(-1, 2)), strict=False):
        places[nodes] += corner
    return places


def _drawn(starts: Array, neighbours: Array) -> Array:
    """Return places (n, 2) of a connected graph, from 0 on along both axes, the longer axis first."""
    n = len(starts) - 1
    if n == 1:
        return np.zeros((1, 2))
    n_pivots = min(n, max(32, _MOST_PAIRS // n))
    pivots = np.unique(np.linspace(0, n - 1, n_pivots).astype(np.int64))
    places = np.random.default_rng(0).random((n, 2)) * math.sqrt(n)
    spread(places, pivots, steps_from(pivots, starts, neighbours), starts, neighbours)
    places -= places.mean(0)
    _, axes = np.linalg.eigh(places.T @ places)
    turned = places @ axes[:, ::-1]
    return turned - turned.min(0)


def _packed(boxes: Array) -> Array:
    """Return the corners (C, 2) at which boxes (C, 2) stand on shelves, higher ones first."""
    width = max(math.sqrt(_ASPECT * float(boxes.prod(1).sum())), float(boxes[:, 0].max(initial=0.0)))
    corners, x, y, height = np.zeros_like(boxes), 0.0, 0.0, 0.0
    for k in np.lexsort((np.arange(len(boxes)), -boxes[:, 0], -boxes[:, 1])):
        if x > 0 and x + boxes[k, 0] > width * (1 + 1e-9):
            x, y, height = 0.0, y + height, 0.0
        corners[k] = x, y
        x, height = x + boxes[k, 0], max(height, boxes[k, 1])
    return corners
