"""How much heat is left at each vertex of graphs: the diagonal of exp(−t L), without eigenvectors.

With S = 1 − L, whose spectrum lies in [−1, 1], exp(−t L) is a sum of Chebyshev's polynomials T_k(S). As
2 T_j T_j = T_2j + 1 and 2 T_j T_{j+1} = T_{2j+1} + S, columns T_j(S) e_v up to half of the degree give the
diagonals of all. Cost of each graph: vertices · edges · degree.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["heat_diagonals", "warm_up"]

Array = np.ndarray[Any, np.dtype[Any]]
# Columns that are multiplied at once, by the same instructions.
_WIDTH = 8


@kernel
def heat_diagonals(
    sizes: Array, starts: Array, neighbours: Array, entries: Array, coefficients: Array
) -> Array:
    """Return (N, T) the diagonals Σ_k coefficients[k] T_k(S) at vertices that stand graph by graph.

    A vertex without neighbours keeps its heat, 1.

    Parameters
    ----------
    sizes : ndarray of shape (G,)
        Vertices of each graph.
    starts : ndarray of shape (N + 1,)
        The neighbours of vertex v are those from starts[v] to starts[v + 1].
    neighbours : ndarray of shape (2 E,)
    entries : ndarray of shape (2 E,)
        The entry of S for each of them; its diagonal is 0.
    coefficients : ndarray of shape (K, T)
        K is even.
    """
    heat = np.ones((len(starts) - 1, coefficients.shape[1]))
    even, odd, total = np.empty(_WIDTH), np.empty(_WIDTH), np.empty(_WIDTH)
    first = 0
    for size in sizes:
        before, now, after = (
            np.empty((size, _WIDTH)),
            np.empty((size, _WIDTH)),
            np.empty((size, _WIDTH)),
        )
        for left in range(0, size, _WIDTH):
            n = min(_WIDTH, size - left)
            before[:] = 0.0
            for c in range(n):
                before[left + c, c] = 1.0
                if starts[first + left + c] < starts[first + left + c + 1]:
                    heat[first + left + c] = 0.0
            _multiply(before, before, 0.0, first, starts, neighbours, entries, total, now)
            for k in range(0, len(coefficients), 2):
                _products(before, now, even, odd)
                for c in range(n):
                    v = first + left + c
                    if starts[v] < starts[v + 1]:
                        for t in range(coefficients.shape[1]):
                            heat[v, t] += coefficients[k, t] * (2 * even[c] - 1)
                            heat[v, t] += coefficients[k + 1, t] * 2 * odd[c]
                _multiply(now, before, 1.0, first, starts, neighbours, entries, total, after)
                before, now, after = now, after, before
        first += size
    return heat


@borrowing_subroutine
def _products(before: Any, now: Any, even: Any, odd: Any) -> None:
    """Write what columns give with themselves, and with the columns after them."""
    even[:], odd[:] = 0.0, 0.0
    for u in range(len(now)):
        for c in range(_WIDTH):
            even[c] += before[u, c] * before[u, c]
            odd[c] += before[u, c] * now[u, c]


@borrowing_subroutine
def _multiply(
    now: Any,
    before: Any,
    share: Any,
    first: Any,
    starts: Any,
    neighbours: Any,
    entries: Any,
    total: Any,
    after: Any,
) -> None:
    """Write (1 + share) S now − share · before to `after`: S now, or Chebyshev's recurrence."""
    for u in range(len(now)):
        for c in range(_WIDTH):
            total[c] = -share * before[u, c]
        for at in range(starts[first + u], starts[first + u + 1]):
            entry, row = (1.0 + share) * entries[at], neighbours[at] - first
            for c in range(_WIDTH):
                total[c] += entry * now[row, c]
        for c in range(_WIDTH):
            after[u, c] = total[c]


def warm_up() -> None:
    """Compile for float64."""
    pair, ends = np.array([0, 1, 2]), np.array([1, 0])
    heat_diagonals(np.array([2]), pair, ends, np.ones(2), np.ones((2, 1)))
