"""The neighbours of every vertex of a simple graph, and the edges to them, in rising order. Cost O(n + E)."""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import kernel

__all__ = ["adjacency", "warm_up"]


@kernel
def adjacency(n_nodes: int, edges: Any) -> Any:
    """Return where the neighbours of each node begin, the neighbours, rising, and the edges to them.

    The edges (m, 2) are simple, u < v, sorted.
    """
    starts = np.zeros(n_nodes + 1, np.int64)
    for e in range(len(edges)):
        starts[edges[e, 0] + 1] += 1
        starts[edges[e, 1] + 1] += 1
    for v in range(n_nodes):
        starts[v + 1] += starts[v]
    free = starts[:-1].copy()
    neighbours, links = np.empty(2 * len(edges), np.int64), np.empty(2 * len(edges), np.int64)
    # Two passes keep the lists sorted: all smaller neighbours of a node come before its larger ones.
    for larger in range(2):
        for e in range(len(edges)):
            node, other = edges[e, 1 - larger], edges[e, larger]
            neighbours[free[node]], links[free[node]] = other, e
            free[node] += 1
    return starts, neighbours, links


def warm_up() -> None:
    """Compile every kernel of this module."""
    adjacency(3, np.array([[0, 1], [0, 2], [1, 2]]))
