"""Dimension 1 of the Rips filtrations of a batch of small dense distance matrices, in one call.

Edges up to the enclosing radius are sorted once and paired by `rips.rips_pairs`; beyond it the complex is a
cone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.attention.trees import symmetrize
from topodl.kernels.points.rips import rips_pairs
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.radix import radix_argsort

__all__ = ["loop_edges", "map_loop_edges", "warm_up"]

_Array = np.ndarray[Any, Any]


@kernel
def loop_edges(bits: _Array) -> _Array:
    """Return the loops of positive length of symmetric distances `bits` (M, n, n), as order-preserving int64.

    The result is (P, 3) int64: the edges of birth and of death as i * n + j with i < j, and the matrix.
    """
    m, n = bits.shape[0], bits.shape[1]
    out, found = np.empty((64, 3), np.int64), 0
    keys = np.empty(n * (n - 1) // 2, np.int64)
    ends = np.empty((len(keys), 2), np.int32)
    for a in range(m):
        count = _edges_of(bits[a], keys, ends)
        out, found = _add_loops(keys[:count], ends, n, a, out, found)
    return out[:found].copy()


@kernel
def map_loop_edges(maps: _Array, sums: _Array, lower_bound: float, room: _Array, bits: _Array) -> _Array:
    """Return `loop_edges` of the distances 1 - max(A, Aᵀ) of maps A (M, n, n), their rows divided by `sums`.

    Weights at or below `lower_bound` are 0. `room` (n, n) has the dtype of `maps`, and `bits` is the same
    memory as integers of the same size.
    """
    m, n = maps.shape[0], maps.shape[1]
    out, found = np.empty((64, 3), np.int64), 0
    keys = np.empty(n * (n - 1) // 2, np.int64)
    ends = np.empty((len(keys), 2), np.int32)
    own = np.empty((n, n), maps.dtype)
    bound, one, zero = maps.dtype.type(lower_bound), maps.dtype.type(1), maps.dtype.type(0)
    for a in range(m):
        symmetrize(maps[a], sums[a], own, room)
        for i in range(n):
            for j in range(n):
                weight = room[i, j] if room[i, j] > bound else zero
                room[i, j] = one - weight if weight < one else zero
        count = _edges_of(bits, keys, ends)
        out, found = _add_loops(keys[:count], ends, n, a, out, found)
    return out[:found].copy()


@borrowing_subroutine
def _edges_of(matrix: _Array, keys: _Array, ends: _Array) -> int:
    """Fill `keys` and `ends` with the entries (i < j) up to the enclosing radius, and return their number."""
    n = len(matrix)
    radius = _enclosing_radius(matrix)
    count = 0
    for i in range(n):
        for j in range(i + 1, n):
            if matrix[i, j] <= radius:
                keys[count] = matrix[i, j]
                ends[count, 0], ends[count, 1] = i, j
                count += 1
    return count


@subroutine
def _add_loops(keys: _Array, ends: _Array, n: int, a: int, out: _Array, found: int) -> Any:
    """Append the loops of matrix `a` to `out` after the first `found` rows; return both anew."""
    order = radix_argsort(keys)
    edges = np.empty((len(keys), 2), np.int32)
    for rank in range(len(keys)):
        edges[rank, 0], edges[rank, 1] = ends[order[rank], 0], ends[order[rank], 1]
    _, births, deaths = rips_pairs(edges, n)
    if found + len(births) > len(out):
        larger = np.empty((2 * (found + len(births)), 3), np.int64)
        larger[:found] = out[:found]
        out = larger
    for k in range(len(births)):
        if deaths[k] >= 0 and keys[order[births[k]]] < keys[order[deaths[k]]]:
            birth, death = edges[births[k]], edges[deaths[k]]
            out[found, 0] = np.int64(birth[0]) * n + birth[1]
            out[found, 1] = np.int64(death[0]) * n + death[1]
            out[found, 2] = a
            found += 1
    return out, found


@borrowing_subroutine
def _enclosing_radius(matrix: _Array) -> int:
    """Return the smallest of the rows' largest entries, the diagonal left out."""
    n = len(matrix)
    smallest = matrix[0, 0]
    for i in range(n):
        largest = matrix[i, 1 if i == 0 and n > 1 else 0]
        for j in range(n):
            if j != i:
                largest = max(largest, matrix[i, j])
        smallest = largest if i == 0 else min(smallest, largest)
    return smallest


def warm_up() -> None:
    """Compile the kernels, those of maps for float32 and float64."""
    loop_edges(np.arange(18).reshape(2, 3, 3))
    for dtype, integers in ((np.float32, np.int32), (np.float64, np.int64)):
        maps, room = np.full((2, 3, 3), 1 / 3, dtype), np.empty((3, 3), dtype)
        map_loop_edges(maps, np.ones((2, 3), dtype), 0.0, room, room.view(integers))
