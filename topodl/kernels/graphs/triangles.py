"""Which triangle of a graph fills which cycle, as edges enter: dimension 1 of its clique complex, over Z/2.

Each edge carries the set of open cycles that it stands for; a triangle whose sets do not cancel fills one.
Triangles are found when their last edge enters, so memory is O(E) beside the sets. Cost: O(sum of degrees at
the ends of all edges), and O(live sets) for each cycle that is filled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.points._annotations import (
    contradiction,
    kill,
    make_pool,
    new_class,
    new_sum,
    with_room,
)
from topodl.kernels.shared.adjacency import adjacency
from topodl.kernels.shared.compile import kernel

__all__ = ["fill_cycles", "warm_up"]


@kernel
def fill_cycles(
    edges: Any, graph: Any, order: Any, closes: Any, starts: Any, neighbours: Any, links: Any
) -> Any:
    """Return for each edge the edge with which a triangle enters that fills its cycle, -1 if none does.

    Edges enter in `order`, one `graph` (m,) after the other; `closes` says for each position whether the edge
    closes a cycle.
    """
    m = len(order)
    rank, filler = np.empty(m, np.int64), np.full(m, -1, np.int64)
    for k in range(m):
        rank[order[k]] = k
    held, pool, n_open = np.zeros(m, np.int64), make_pool(16, 1), 0
    for k in range(m):
        e = order[k]
        if n_open and graph[order[k - 1]] != graph[e]:
            pool, n_open = make_pool(16, 1), 0
        if not closes[k]:
            continue
        pool = with_room(pool)
        i, j = starts[edges[e, 0]], starts[edges[e, 1]]
        end_i, end_j = starts[edges[e, 0] + 1], starts[edges[e, 1] + 1]
        while i < end_i and j < end_j:
            if neighbours[i] != neighbours[j]:
                step = neighbours[i] < neighbours[j]
                i += step
                j += not step
                continue
            a, b = links[i], links[j]
            i += 1
            j += 1
            if max(rank[a], rank[b]) > k:
                continue
            p, q = pool.current[held[a]], pool.current[held[b]]
            if filler[e] < 0:  # its first triangle fills the cycle that it closes
                filler[e] = e
                held[e] = p + q if p == 0 or q == 0 else new_sum(pool, p, q)
            else:
                own = pool.current[held[e]]
                slot = contradiction(pool, p, q, own)
                if slot >= 0:
                    filler[order[kill(pool, slot, p, q, own)]] = e
                    n_open -= 1
            if n_open == 0:
                break
        if filler[e] < 0:
            held[e] = new_class(pool, k)
            n_open += 1
    return filler


def warm_up() -> None:
    """Compile every kernel of this module."""
    edges = np.array([[0, 1], [0, 2], [1, 2]])
    closes = np.array([False, False, True])
    fill_cycles(edges, np.zeros(3, np.int64), np.arange(3), closes, *adjacency(3, edges))
