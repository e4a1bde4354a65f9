"""Dimension 1 of the Rips filtrations of a batch of small dense distance matrices, in one call.

Edges up to the enclosing radius are sorted once and paired by `rips.rips_pairs`; beyond it the complex is a
cone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._compile import kernel
from topodl.kernels._radix import radix_argsort
from topodl.kernels.rips import rips_pairs

__all__ = ["loop_edges", "warm_up"]

_Array = np.ndarray[Any, Any]


@kernel
def loop_edges(bits: _Array) -> _Array:
    """Return the loops of positive length of symmetric distances `bits` (M, n, n), as order-preserving int64.

    The result is (P, 3) int64: the edges of birth and of death as i * n + j with i < j, and the matrix.
    """
    m, n = bits.shape[0], bits.shape[1]
    out = np.empty((64, 3), np.int64)
    found = 0
    keys = np.empty(n * (n - 1) // 2, np.int64)
    ends = np.empty((len(keys), 2), np.int32)
    for a in range(m):
        radius = _enclosing_radius(bits[a])
        count = 0
        for i in range(n):
            for j in range(i + 1, n):
                if bits[a, i, j] <= radius:
                    keys[count] = bits[a, i, j]
                    ends[count, 0], ends[count, 1] = i, j
                    count += 1
        order = radix_argsort(keys[:count])
        edges = np.empty((count, 2), np.int32)
        for rank in range(count):
            edges[rank] = ends[order[rank]]
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
    return out[:found].copy()


@kernel
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
    """Compile the kernel."""
    loop_edges(np.arange(18).reshape(2, 3, 3))
