"""The nerve of nodes by the node lists of samples: pairs with shared sizes, and larger sets of nodes.

Cost: a pair of nodes is looked at once for each sample that both hold, never where there is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["common_members", "node_subsets", "shared_pairs", "warm_up"]


@borrowing_subroutine
def _count_shared(
    u: Any, node_ptr: Any, members: Any, sample_ptr: Any, nodes: Any, counts: Any, met: Any
) -> Any:
    """Count the samples that `u` shares with each later node; list these in `met`, return their number."""
    n_met = 0
    for i in range(node_ptr[u], node_ptr[u + 1]):
        sample = members[i]
        for j in range(sample_ptr[sample + 1] - 1, sample_ptr[sample] - 1, -1):  # node lists rise
            v = nodes[j]
            if v <= u:
                break
            if counts[v] == 0:
                met[n_met] = v
                n_met += 1
            counts[v] += 1
    return n_met


@kernel
def shared_pairs(node_ptr: Any, members: Any, sample_ptr: Any, nodes: Any, least: int) -> Any:
    """Return the pairs of nodes u < v (2, E) with at least `least` common samples, and their numbers (E,).

    The members of node k lie between `node_ptr`, the nodes of each sample, rising, between `sample_ptr`.
    Pairs rise by u alone.
    """
    n = len(node_ptr) - 1
    counts, met = zeros(n, np.int64), np.empty(n, np.int64)
    size = 0
    for u in range(n):
        for k in range(_count_shared(u, node_ptr, members, sample_ptr, nodes, counts, met)):
            size += counts[met[k]] >= least
            counts[met[k]] = 0
    pairs, shared = np.empty((2, size), np.int64), np.empty(size, np.int64)
    at = 0
    for u in range(n):
        for k in range(_count_shared(u, node_ptr, members, sample_ptr, nodes, counts, met)):
            v = met[k]
            if counts[v] >= least:
                pairs[0, at], pairs[1, at], shared[at] = u, v, counts[v]
                at += 1
            counts[v] = 0
    return pairs, shared


@kernel
def common_members(pairs: Any, node_ptr: Any, members: Any) -> Any:
    """Return the number (E,) of common members of each pair of nodes (2, E); members rise."""
    shared = np.empty(pairs.shape[1], np.int64)
    for e in range(pairs.shape[1]):
        i, end_i = node_ptr[pairs[0, e]], node_ptr[pairs[0, e] + 1]
        j, end_j = node_ptr[pairs[1, e]], node_ptr[pairs[1, e] + 1]
        n = 0
        while i < end_i and j < end_j:
            a, b = members[i], members[j]
            n += a == b
            i += a <= b
            j += b <= a
        shared[e] = n
    return shared


@kernel
def node_subsets(sample_ptr: Any, nodes: Any, size: int, total: int) -> Any:
    """Return all sets (total, size) of `size` nodes that hold the same sample, for sample after sample."""
    subsets, places = np.empty((total, size), np.int64), np.empty(size, np.int64)
    row = 0
    for sample in range(len(sample_ptr) - 1):
        first, n = sample_ptr[sample], sample_ptr[sample + 1] - sample_ptr[sample]
        if n < size:
            continue
        for k in range(size):
            places[k] = k
        at = 0
        while at >= 0:
            for k in range(size):
                subsets[row, k] = nodes[first + places[k]]
            row += 1
            at = size - 1  # the last place that can move on, and all behind it start anew
            while at >= 0 and places[at] == n - size + at:
                at -= 1
            if at >= 0:
                places[at] += 1
                for k in range(at + 1, size):
                    places[k] = places[k - 1] + 1
    return subsets


def warm_up() -> None:
    """Compile every kernel of this module."""
    node_ptr, members = np.array([0, 1, 2]), np.array([0, 0])
    sample_ptr, nodes = np.array([0, 2]), np.array([0, 1])
    pairs, _ = shared_pairs(node_ptr, members, sample_ptr, nodes, 1)
    common_members(pairs, node_ptr, members)
    node_subsets(sample_ptr, nodes, 2, 1)
