"""Maximum spanning trees and edge counts of a batch of dense weighted graphs, for attention maps.

Weights come as integers of the same order (the bit patterns of non-negative floats), so that every inner loop
vectorises; Prim's algorithm costs n² steps a graph, a count n² steps a threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._compile import kernel

__all__ = ["count_at_least", "spanning_trees", "symmetric_maximum", "warm_up"]


@kernel
def symmetric_maximum(bits: Any) -> Any:
    """Return max(A, Aᵀ) of every matrix in `bits` (M, n, n), the negative pattern of -0.0 as that of 0."""
    m, n = bits.shape[0], bits.shape[1]
    out = np.empty_like(bits)
    zero = bits.dtype.type(0)
    tile = 16  # a tile of both triangles stays in the first cache
    for a in range(m):
        for first in range(0, n, tile):
            for second in range(first, n, tile):
                for i in range(first, min(first + tile, n)):
                    for j in range(max(second, i), min(second + tile, n)):
                        largest = max(zero, bits[a, i, j], bits[a, j, i])
                        out[a, i, j] = largest
                        out[a, j, i] = largest
    return out


@kernel
def count_at_least(bits: Any, thresholds: Any) -> Any:
    """Count the entries of every matrix (M, n, n) at or above every threshold (T,).

    Returns (M, T, 2) int64: all entries, and those on the diagonal.
    """
    m, n = bits.shape[0], bits.shape[1]
    counts = np.zeros((m, thresholds.shape[0], 2), np.int64)
    for a in range(m):
        entries = bits[a].reshape(-1)
        for t in range(thresholds.shape[0]):
            threshold = thresholds[t]
            total = 0
            for i in range(entries.shape[0]):
                total += entries[i] >= threshold
            loops = 0
            for i in range(n):
                loops += entries[i * (n + 1)] >= threshold
            counts[a, t, 0] = total
            counts[a, t, 1] = loops
    return counts


@kernel
def spanning_trees(weights: Any) -> Any:
    """Return a maximum spanning tree of every symmetric matrix (M, n, n): (M, n - 1, 2) int64 pairs i < j.

    Prim's algorithm from vertex 0; of equal weights the smallest vertex joins, from its earliest parent.
    """
    m, n = weights.shape[0], weights.shape[1]
    trees = np.empty((m, max(n - 1, 0), 2), np.int64)
    key = np.empty(n, weights.dtype)
    parent = np.empty(n, np.int64)
    outside = weights.dtype.type(-1)
    for a in range(m):
        for j in range(n):
            key[j] = weights[a, 0, j]
            parent[j] = 0
        key[0] = outside
        for step in range(n - 1):
            best = key[0]
            for j in range(n):
                best = max(best, key[j])
            joined = 0
            while key[joined] != best:
                joined += 1
            trees[a, step, 0] = min(joined, parent[joined])
            trees[a, step, 1] = max(joined, parent[joined])
            key[joined] = outside
            row = weights[a, joined]
            for j in range(n):
                better = (key[j] >= 0) & (row[j] > key[j])
                key[j] = row[j] if better else key[j]
                parent[j] = joined if better else parent[j]
    return trees


def warm_up() -> None:
    """Compile the kernels for float32 and float64 bit patterns."""
    for dtype in (np.int32, np.int64):
        bits = np.arange(18, dtype=dtype).reshape(2, 3, 3)
        spanning_trees(symmetric_maximum(bits))
        count_at_least(bits, bits[0, 0])
