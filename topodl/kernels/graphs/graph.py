"""Persistence of graphs: union-find over edges in order, and spanning forests that edges enter and leave.

Disjoint graphs are one graph, so a batch is one call. Cost O(E α(N)); of forests O(E log N) in expectation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.union_find import elder_deaths

__all__ = ["cycle_deaths", "elder_deaths", "warm_up"]

_PRIME = 2147483647  # products of two remainders fit into 64 bits


@kernel
def cycle_deaths(n_nodes: int, edges: Any, priority: Any) -> Any:
    """Return for each edge the edge that ends the cycle it closes, -1 where it closes none.

    The edges enter in order. A forest keeps the edges of highest `priority` (distinct integers): of the cycle
    that an edge closes, the one of lowest priority leaves, and this is the edge that completes the cycle last
    when edges enter by falling priority. Cycles of a graph are sets of edges, so both orders see the same
    cycles.

    Not the forest itself is kept, but who represents whom. By the edges of priority above p alone, a node is
    joined to others, and the one of highest rank represents them: the first, going up from the node, whose
    own edge has no priority above p. Ranks are scattered, so that nobody is far from the top, even on a path.
    """
    parent, link, rank = full(n_nodes, -1, np.int64), full(n_nodes, -1, np.int64), _scattered(n_nodes)
    ended = np.empty(len(edges), np.int64)
    for entering in range(len(edges)):
        u, v, edge = edges[entering, 0], edges[entering, 1], entering
        while edge >= 0:
            u = _representative(parent, link, priority, u, priority[edge])
            v = _representative(parent, link, priority, v, priority[edge])
            if u == v:
                break
            if rank[u] > rank[v] or (rank[u] == rank[v] and u > v):
                u, v = v, u
            # What joined u to those above it joins them to v now, later than the edge does.
            above, displaced = parent[u], link[u]
            parent[u], link[u] = v, edge
            u, edge = above, displaced
        ended[entering] = edge
    return ended


@borrowing_subroutine
def _representative(parent: Any, link: Any, priority: Any, node: Any, limit: Any) -> Any:
    """Return who represents `node` by the edges of priority above the `limit`, and shorten the way there."""
    while parent[node] >= 0 and priority[link[node]] > limit:
        above = parent[node]
        while parent[above] >= 0 and priority[link[above]] > priority[link[node]]:
            above = parent[above]
        parent[node] = above
        node = above
    return node


@subroutine
def _scattered(n: Any) -> Any:
    """Return integers in an order that has nothing to do with that of the nodes, and is always the same."""
    rank = np.empty(n, np.int64)
    for node in range(n):
        mixed = (node * 48271 + 11) % _PRIME
        rank[node] = (mixed * mixed + node) % _PRIME
    return rank


def warm_up() -> None:
    """Compile every kernel of this module."""
    edges = np.array([[0, 1], [1, 2], [0, 2]])
    elder_deaths(3, edges)
    cycle_deaths(3, edges, np.arange(3))
