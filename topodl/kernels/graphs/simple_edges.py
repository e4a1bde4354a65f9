"""The edges of a graph once each: loops left out, copies brought together by counting. Cost O(N + E)."""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import kernel, subroutine

__all__ = ["counted_order", "simple_edges", "warm_up"]


@kernel
def simple_edges(n_nodes: int, pairs: Any) -> Any:
    """Return the edges (m, 2), u < v, sorted, their columns in `pairs` (2, E), and where those of each begin.

    The columns of one edge rise, and those of the next follow; the last entry of the beginnings is the end.
    """
    n_columns = 0
    columns = np.empty(pairs.shape[1], np.int64)
    low, high = np.empty(pairs.shape[1], np.int64), np.empty(pairs.shape[1], np.int64)
    for column in range(pairs.shape[1]):
        u, v = pairs[0, column], pairs[1, column]
        low[column], high[column] = min(u, v), max(u, v)
        if u != v:
            columns[n_columns] = column
            n_columns += 1
    columns = counted_order(counted_order(columns[:n_columns], high, n_nodes), low, n_nodes)
    ends, starts = np.empty((n_columns, 2), np.int64), np.empty(n_columns + 1, np.int64)
    n_edges = 0
    for i in range(n_columns):
        u, v = low[columns[i]], high[columns[i]]
        if n_edges == 0 or ends[n_edges - 1, 0] != u or ends[n_edges - 1, 1] != v:
            ends[n_edges, 0], ends[n_edges, 1] = u, v
            starts[n_edges] = i
            n_edges += 1
    starts[n_edges] = n_columns
    return ends[:n_edges], columns, starts[: n_edges + 1]


@subroutine
def counted_order(members: Any, bins: Any, n_bins: Any) -> Any:
    """Return the members sorted by the bin of each; those of one bin keep their order."""
    starts = zeros(n_bins + 1, np.int64)
    for i in range(len(members)):
        starts[bins[members[i]] + 1] += 1
    for b in range(n_bins):
        starts[b + 1] += starts[b]
    ordered = np.empty(len(members), np.int64)
    for i in range(len(members)):
        b = bins[members[i]]
        ordered[starts[b]] = members[i]
        starts[b] += 1
    return ordered


def warm_up() -> None:
    """Compile every kernel of this module."""
    simple_edges(3, np.array([[0, 1, 2], [1, 0, 2]]))
