"""Elder-rule pairing of the nodes of a graph by union-find over its sorted edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.radix import radix_argsort

__all__ = ["find_root", "merge_by_age", "singletons"]


@subroutine
def singletons(n: int) -> Any:
    """Return the forest of `n` roots."""
    parent = np.empty(n, np.int32)
    for i in range(n):  # compiles much faster than np.arange
        parent[i] = i
    return parent


@borrowing_subroutine
def find_root(parent: Any, node: int) -> Any:
    """Return the root of `node` in the forest `parent`, and shorten the path to it."""
    start = np.uint64(node)  # unsigned: Numba need not look for negative indices
    # Most paths are shorter than this; not to ask costs less than a branch that cannot be predicted.
    at = np.uint64(parent[np.uint64(parent[np.uint64(parent[start])])])
    up = np.uint64(parent[at])
    while up != at:
        top = np.uint64(parent[up])
        parent[at] = top
        at = top
        up = np.uint64(parent[at])
    parent[start] = at
    return at


@kernel
def merge_by_age(ends: Any, keys: Any, ages: Any) -> Any:
    """Return the edge at which each node dies when edges join trees in the order (key, index); −1 for never.

    `ends` is (n, 2) int32, `keys` (n,) and `ages` (nodes,) are int64. Where two trees join, the one whose
    oldest node is younger by (age, index) dies with that node.
    """
    dies_at = full(ages.size, -1, np.int32)
    parent = singletons(ages.size)
    order = radix_argsort(keys)
    in_order = np.empty((order.size, 2), np.int32)
    for i in range(order.size):  # apart from the merging, whose branches would make these loads wait
        e = np.uint64(order[i])
        in_order[i, 0] = ends[e, 0]
        in_order[i, 1] = ends[e, 1]
    n_left = ages.size - 1
    for i in range(order.size):
        a, b = find_root(parent, in_order[i, 0]), find_root(parent, in_order[i, 1])
        if a == b:
            continue
        if ages[b] < ages[a] or (ages[b] == ages[a] and b < a):
            a, b = b, a
        parent[b] = a
        dies_at[b] = order[i]
        n_left -= 1
        if n_left == 0:
            break
    return dies_at
