"""Persistence of graphs: union-find over edges in order, and the deaths of cycles in extended persistence.

Disjoint graphs are one graph, so a batch is one call. Cost O(E α(N)); extended: O(E) times the depth of a
forest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.union_find import elder_deaths

__all__ = ["cycle_deaths", "elder_deaths", "warm_up"]


@kernel
def cycle_deaths(n_nodes: int, edges: Any, priority: Any) -> Any:
    """Return for each edge the edge that ends the cycle it closes, -1 where it closes none.

    The edges enter in order. A forest keeps the edges of highest `priority` (distinct integers): of the cycle
    that an edge closes, the one of lowest priority leaves, and this is the edge that completes the cycle last
    when edges enter by falling priority. Cycles of a graph are sets of edges, so both orders see the same
    cycles.
    """
    parent, link = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    mark, ended = np.empty(n_nodes, np.int64), np.empty(len(edges), np.int64)
    for v in range(n_nodes):
        parent[v] = link[v] = mark[v] = -1
    for e in range(len(edges)):
        u, v = edges[e, 0], edges[e, 1]
        below = _lowest_on_path(parent, link, mark, priority, u, v, e)
        ended[e] = -1
        if below >= 0:
            lowest = link[below]
            if priority[lowest] > priority[e]:
                ended[e] = e
                continue
            ended[e] = lowest
            parent[below] = link[below] = -1
            w = u  # whichever end hangs below the removed edge becomes the root of its part
            while parent[w] >= 0:
                w = parent[w]
            if w != below:
                u, v = v, u
        _make_root(parent, link, u)
        parent[u], link[u] = v, e
    return ended


@borrowing_subroutine
def _lowest_on_path(parent: Any, link: Any, mark: Any, priority: Any, u: Any, v: Any, stamp: int) -> Any:
    """Return the node below the edge of lowest priority on the path from u to v, -1 if there is no path."""
    node = u
    while node >= 0:
        mark[node] = stamp
        node = parent[node]
    meet = v
    while meet >= 0 and mark[meet] != stamp:
        meet = parent[meet]
    if meet < 0:
        return -1
    lowest = -1
    for side in range(2):
        node = u if side == 0 else v
        while node != meet:
            if lowest < 0 or priority[link[node]] < priority[link[lowest]]:
                lowest = node
            node = parent[node]
    return lowest


@borrowing_subroutine
def _make_root(parent: Any, link: Any, node: Any) -> None:
    above, edge = -1, -1
    while node >= 0:
        next_node, next_edge = parent[node], link[node]
        parent[node], link[node] = above, edge
        above, edge = node, next_edge
        node = next_node


def warm_up() -> None:
    """Compile every kernel of this module."""
    edges = np.array([[0, 1], [1, 2], [0, 2]])
    elder_deaths(3, edges)
    cycle_deaths(3, edges, np.arange(3))
