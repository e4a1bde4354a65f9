"""Size of a maximum matching of an undirected graph.

Edmonds' blossom algorithm (1965) by breadth-first searches with contracted bases; O(n³).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.bits import NONE, contains, lowest
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["maximum_matching", "warm_up"]


@kernel
def maximum_matching(neighbours: Any) -> int:
    """Return the size of a maximum matching of a graph without loops, given by neighbour sets (n, words)."""
    n = neighbours.shape[0]
    mate = np.full(n, NONE, np.int64)
    parent, base, queue = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    queued, inside = np.empty(n, np.bool_), np.empty(n, np.bool_)
    size = 0
    for u in range(n):
        if mate[u] == NONE:
            for v in range(n):
                if mate[v] == NONE and contains(neighbours[u], v):
                    mate[u], mate[v] = v, u
                    size += 1
                    break
    for root in range(n):
        if mate[root] != NONE or lowest(neighbours[root], neighbours[root]) == NONE:
            continue
        end = _augmenting_path(neighbours, root, mate, parent, base, queue, queued, inside)
        if end == NONE:
            continue
        size += 1
        while end != NONE:
            previous = parent[end]
            after = mate[previous]
            mate[end], mate[previous] = previous, end
            end = after
    return size


@borrowing_subroutine
def _augmenting_path(
    neighbours: Any, root: int, mate: Any, parent: Any, base: Any, queue: Any, queued: Any, inside: Any
) -> int:
    """Search from the free vertex `root`; return the free end of an augmenting path, or ``NONE``."""
    n = neighbours.shape[0]
    parent[:] = NONE
    queued[:] = False
    for v in range(n):
        base[v] = v
    queue[0] = root
    queued[root] = True
    head, tail = 0, 1
    while head < tail:
        v = queue[head]
        head += 1
        for to in range(n):
            if not contains(neighbours[v], to) or base[v] == base[to] or mate[v] == to:
                continue
            if to == root or (mate[to] != NONE and parent[mate[to]] != NONE):
                inside[:] = False
                shared = _common_base(v, to, mate, parent, base, inside)
                inside[:] = False
                _mark_blossom(v, shared, to, mate, parent, base, inside)
                _mark_blossom(to, shared, v, mate, parent, base, inside)
                for w in range(n):
                    if inside[base[w]]:
                        base[w] = shared
                        if not queued[w]:
                            queued[w] = True
                            queue[tail] = w
                            tail += 1
            elif parent[to] == NONE:
                parent[to] = v
                if mate[to] == NONE:
                    return to
                queued[mate[to]] = True
                queue[tail] = mate[to]
                tail += 1
    return NONE


@borrowing_subroutine
def _common_base(first: int, second: int, mate: Any, parent: Any, base: Any, seen: Any) -> int:
    a = base[first]
    seen[a] = True
    while mate[a] != NONE:
        a = base[parent[mate[a]]]
        seen[a] = True
    b = base[second]
    while not seen[b]:
        b = base[parent[mate[b]]]
    return b


@borrowing_subroutine
def _mark_blossom(v: int, shared: int, child: int, mate: Any, parent: Any, base: Any, inside: Any) -> None:
    while base[v] != shared:
        inside[base[v]] = True
        inside[base[mate[v]]] = True
        parent[v] = child
        child = mate[v]
        v = parent[mate[v]]


def warm_up() -> None:
    """Compile the kernel."""
    maximum_matching(np.array([[2], [1]], np.uint64))
