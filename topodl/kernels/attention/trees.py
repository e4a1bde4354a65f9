"""Spanning trees, edge counts and sums of a batch of attention maps, one map after the other in the cache.

Prim's algorithm on max(A, Aᵀ) costs n² steps a map, a count n² steps a threshold. Weights are compared as
integers of the same order (the bit patterns of non-negative floats), so that every inner loop vectorises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["moments", "row_sums", "spanning_trees", "symmetrize", "warm_up"]

_Array = np.ndarray[Any, Any]
# A tile of eight rows of eight numbers is transposed in registers.
_TILE = 8


@kernel
def row_sums(maps: Any) -> Any:
    """Return the sums (M, n) of the rows of `maps` (M, n, n), and how many entries are negative.

    Eight partial sums, added in pairs: as NumPy adds up to 128 numbers, and no slower than reading them.
    """
    m, n = maps.shape[0], maps.shape[1]
    sums = np.empty((m, n), maps.dtype)
    partial = np.empty(8, maps.dtype)
    negative = 0
    for a in range(m):
        for i in range(n):
            row = maps[a, i]
            partial[:] = 0
            whole = n - n % 8
            for first in range(0, whole, 8):
                for k in range(8):
                    partial[k] += row[first + k]
            total = (partial[0] + partial[1]) + (partial[2] + partial[3])
            total += (partial[4] + partial[5]) + (partial[6] + partial[7])
            for j in range(whole, n):
                total += row[j]
            sums[a, i] = total
            below: Any = np.int32(0)
            for j in range(n):
                below = np.int32(below + np.int32(row[j] < 0))
            negative += below
    return sums, negative


@kernel
def moments(maps: Any, sums: Any) -> Any:
    """Return float64 sums of every map (M, n, n), its rows divided by `sums` (M, n).

    These are the sums of its columns (M, n), and (M, 4): of its squares, its diagonal, the entries below it
    and those above it.
    """
    m, n = maps.shape[0], maps.shape[1]
    columns, scalars = np.zeros((m, n), np.float64), np.zeros((m, 4), np.float64)
    squares = np.empty(n, np.float64)
    for a in range(m):
        squares[:] = 0
        for i in range(n):
            total = sums[a, i]
            for j in range(n):
                value = np.float64(maps[a, i, j] / total)
                columns[a, j] += value
                squares[j] += value * value
            scalars[a, 1] += maps[a, i, i] / total
            if i > 0:
                scalars[a, 2] += maps[a, i, i - 1] / total
            if i < n - 1:
                scalars[a, 3] += maps[a, i, i + 1] / total
        for j in range(n):
            scalars[a, 0] += squares[j]
    return columns, scalars


@kernel
def spanning_trees(maps: Any, sums: Any, thresholds: Any, symmetric: Any, bits: Any) -> Any:
    """Return a maximum spanning tree of max(A, Aᵀ) of every map, its rows divided by `sums`, and edge counts.

    `symmetric` (n, n) is room of the maps' dtype, `bits` the same memory as integers of the same size. The
    result is the edges i * n + j (i < j), (M, n - 1) int64, in the order of Prim's algorithm from vertex 0
    (of equal weights the smallest vertex joins, by its earliest edge); their weights; and (M, T, 4) int64, at
    each threshold the entries that reach it, those on the diagonal, the pairs {i, j} with such an entry, and
    the components that these join.
    """
    m, n = maps.shape[0], maps.shape[1]
    counts = np.zeros((m, thresholds.shape[0], 4), np.int64)
    trees = np.empty((m, max(n - 1, 0)), np.int64)
    weights = np.empty(trees.shape, maps.dtype)
    own, key, parent = np.empty((n, n), maps.dtype), np.empty(n, bits.dtype), np.empty(n, bits.dtype)
    for a in range(m):
        symmetrize(maps[a], sums[a], own, symmetric)
        _count(own, symmetric, thresholds, counts[a])
        _grow_tree(bits, key, parent, trees[a])
        for k in range(n - 1):
            weights[a, k] = symmetric[trees[a, k] // n, trees[a, k] % n]
        for t in range(thresholds.shape[0]):
            counts[a, t, 3] = n - _count_at_least(weights[a], thresholds[t])
    return trees, weights, counts


@borrowing_subroutine
def symmetrize(matrix: Any, sums: Any, own: Any, symmetric: Any) -> None:
    """Divide the rows of `matrix` by `sums` into `own`, and put max(A, Aᵀ) into `symmetric`."""
    n = matrix.shape[0]
    for i in range(n):
        total = sums[i]
        for j in range(n):
            own[i, j] = matrix[i, j] / total
    for first in range(0, n, _TILE):
        for second in range(0, n, _TILE):
            if max(first, second) + _TILE <= n:
                for i in range(_TILE):
                    for j in range(_TILE):
                        symmetric[first + i, second + j] = own[second + j, first + i]
            else:
                for i in range(first, min(first + _TILE, n)):
                    for j in range(second, min(second + _TILE, n)):
                        symmetric[i, j] = own[j, i]
    for i in range(n):
        for j in range(n):
            largest = own[i, j] if own[i, j] >= symmetric[i, j] else symmetric[i, j]
            symmetric[i, j] = abs(largest)  # 0 instead of -0, whose bits are negative


@subroutine
def _count(own: Any, symmetric: Any, thresholds: Any, counts: Any) -> None:
    n = own.shape[0]
    directed, either = own.reshape(-1), symmetric.reshape(-1)
    for t in range(thresholds.shape[0]):
        entries = _count_at_least(directed, thresholds[t])
        if entries > 0:
            loops = 0
            for k in range(n):
                loops += directed[k * (n + 1)] >= thresholds[t]
            counts[t, 0], counts[t, 1] = entries, loops
            counts[t, 2] = (_count_at_least(either, thresholds[t]) - loops) // 2


@borrowing_subroutine
def _count_at_least(values: Any, threshold: Any) -> Any:
    count: Any = np.int32(0)  # twice as many lanes as 64 bits have
    for k in range(values.shape[0]):
        count = np.int32(count + np.int32(values[k] >= threshold))
    return count


@borrowing_subroutine
def _grow_tree(weights: Any, key: Any, parent: Any, tree: Any) -> None:
    n = weights.shape[0]
    for j in range(n):
        key[j] = weights[0, j]
        parent[j] = 0
    key[0] = -1
    for step in range(n - 1):
        best = key[0]
        for j in range(n):
            best = max(best, key[j])
        joined = 0
        while key[joined] != best:
            joined += 1
        other = np.int64(parent[joined])
        tree[step] = min(joined, other) * n + max(joined, other)
        key[joined] = -1
        row = weights[joined]
        for j in range(n):
            better = (key[j] >= 0) & (row[j] > key[j])
            key[j] = row[j] if better else key[j]
            parent[j] = joined if better else parent[j]


def warm_up() -> None:
    """Compile the kernels for float32 and float64."""
    for dtype, integers in ((np.float32, np.int32), (np.float64, np.int64)):
        maps = np.full((2, 3, 3), 1 / 3, dtype)
        sums, _ = row_sums(maps)
        room = np.empty((3, 3), dtype)
        spanning_trees(maps, sums, maps[0, 0, :1], room, room.view(integers))
        moments(maps, sums)
