"""Union-find over 0 … n-1 whose root is always the smallest member, by path halving.

The elder rule asks for the smallest index as the root, so there is no union by rank; cost O(log n) amortised.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["elder_deaths", "find_root", "warm_up"]


@borrowing_subroutine
def find_root(parent: Any, node: Any) -> Any:
    """Return the root of `node`, halving the path to it."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel
def elder_deaths(n_nodes: Any, edges: Any) -> Any:
    """Return the node that dies at each edge (-1: the edge joins nothing), and the parents of all nodes.

    Of two components the one with the larger smallest node dies: all nodes are equally old, so the index
    decides.
    """
    parent, dying = np.empty(n_nodes, np.int64), np.empty(len(edges), np.int64)
    for node in range(n_nodes):
        parent[node] = node
    for k in range(len(edges)):
        a, b = find_root(parent, edges[k, 0]), find_root(parent, edges[k, 1])
        dying[k] = -1 if a == b else max(a, b)
        parent[max(a, b)] = min(a, b)
    return dying, parent


def warm_up() -> None:
    """Compile every kernel of this module."""
    elder_deaths(2, np.array([[0, 1]]))
