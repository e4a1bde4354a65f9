"""Dimension 1 of the Rips filtrations of a batch of small dense distance matrices, in one call.

Edges up to the enclosing radius are sorted once and paired by `rips.rips_pairs`; beyond it the complex is a
cone. In long texts most weights are below a bound: all of their edges enter together, last, and kill what is
alive, so that time and memory follow the other edges, beside a few numbers for each entry of the map.
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
_LAST = 2**63 - 1  # above the keys of all edges


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
        count = _edges_of(bits[a], _LAST, keys, ends)
        out, found = _add_loops(keys[:count], ends, n, a, -1, out, found)
    return out[:found].copy()


@kernel
def map_loop_edges(maps: _Array, sums: _Array, lower_bound: float, room: _Array, bits: _Array) -> _Array:
    """Return `loop_edges` of the distances 1 - max(A, Aᵀ) of maps A (M, n, n), their rows divided by `sums`.

    Weights up to `lower_bound` are 0. Where that is above the rounding error of 1, the edges of length 1
    are theirs alone, and the first of them stands for all as a death. `room` (n, n) has the dtype of `maps`,
    and `bits` is the same memory as integers of the same size.
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
        room[0, 0] = one  # the diagonal plays no part
        far = np.int64(bits[0, 0])
        count = _edges_of(bits, far if one - bound < one else _LAST, keys, ends)
        last = _first_at(bits, far) if count > 0 and one - bound < one else -1
        out, found = _add_loops(keys[:count], ends, n, a, last, out, found)
    return out[:found].copy()


@borrowing_subroutine
def _edges_of(matrix: _Array, far: Any, keys: _Array, ends: _Array) -> int:
    """Write the entries (i < j) up to the enclosing radius and below `far`, and their ends; count them."""
    n = len(matrix)
    radius = _enclosing_radius(matrix)
    count = 0
    for i in range(n):
        for j in range(i + 1, n):
            if matrix[i, j] <= radius and matrix[i, j] < far:
                keys[count] = matrix[i, j]
                ends[count, 0], ends[count, 1] = i, j
                count += 1
    return count


@borrowing_subroutine
def _first_at(matrix: _Array, far: Any) -> int:
    """Return the first edge i * n + j, i < j, that is as long as `far`, -1 if none is."""
    n = len(matrix)
    for i in range(n):
        for j in range(i + 1, n):
            if matrix[i, j] == far:
                return i * n + j
    return -1


@subroutine
def _add_loops(keys: _Array, ends: _Array, n: int, a: int, last: int, out: _Array, found: int) -> Any:
    """Append the loops of matrix `a` to `out` after the first `found` rows; return both anew.

    What is alive after the `keys` dies at the edge `last`, or is left out if that is -1.
    """
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
        birth, rank = births[k], deaths[k]
        if (rank < 0 and last < 0) or (rank >= 0 and keys[order[birth]] == keys[order[rank]]):
            continue
        out[found, 0] = np.int64(edges[birth, 0]) * n + edges[birth, 1]
        out[found, 1] = np.int64(edges[rank, 0]) * n + edges[rank, 1] if rank >= 0 else last
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
