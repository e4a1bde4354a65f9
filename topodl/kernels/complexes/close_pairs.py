"""Pairs of points that are close, in lexicographic order: counted, then written. Cost O(n² d)."""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["close_pairs", "warm_up"]


@borrowing_subroutine
def _are_close(points: Any, i: Any, j: Any, distance: Any, unit: Any) -> Any:
    """Return whether two points are no further apart; in a `unit` of the distance no square overflows."""
    squared = 0.0
    for c in range(points.shape[1]):
        difference = points[i, c] - points[j, c]
        if abs(difference) > distance:
            return False
        squared += (difference * unit) * (difference * unit)
    return squared <= (distance * unit) * (distance * unit)


@kernel
def close_pairs(points: Any, distance: float, unit: float) -> Any:
    """Return the pairs (m, 2), i < j, of `points` (n, d) that are no further apart than `distance`.

    `unit` is a power of two of the order of 1 / distance.
    """
    n, m = len(points), 0
    for i in range(n):
        for j in range(i + 1, n):
            m += _are_close(points, i, j, distance, unit)
    pairs = np.empty((m, 2), np.int64)
    m = 0
    for i in range(n):
        for j in range(i + 1, n):
            if _are_close(points, i, j, distance, unit):
                pairs[m, 0], pairs[m, 1] = i, j
                m += 1
    return pairs


def warm_up() -> None:
    """Compile every kernel of this module."""
    close_pairs(np.zeros((2, 2)), 1.0, 1.0)
