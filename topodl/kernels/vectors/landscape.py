"""Which bars make up a persistence landscape: the k highest tents over each grid value.

Cost: for each bar the grid values that it spans, times k; bars that are short cost little.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import kernel

__all__ = ["highest_tents", "warm_up"]

Array = np.ndarray[Any, np.dtype[Any]]


@kernel
def highest_tents(low: Array, high: Array, grid: Array, offsets: Array, k: int) -> Array:
    """Return (B, k, G) the bars with the k highest positive tents min(t − low, high − t); else P.

    Parameters
    ----------
    low, high : ndarray of shape (P,)
        Ends of the bars.
    grid : ndarray of shape (G,)
        Increasing values of t.
    offsets : ndarray of shape (B + 1,)
        The bars of sample b are those from offsets[b] to offsets[b + 1].
    k : int
    """
    n_samples = len(offsets) - 1
    chosen = np.full((n_samples, k, len(grid)), len(low), dtype=np.int64)
    heights = np.empty((k, len(grid)), dtype=low.dtype)
    for sample in range(n_samples):
        heights[:] = 0.0
        for bar in range(offsets[sample], offsets[sample + 1]):
            at = np.searchsorted(grid, low[bar])
            while at < len(grid) and grid[at] < high[bar]:
                height = min(grid[at] - low[bar], high[bar] - grid[at])
                place = k
                while place > 0 and heights[place - 1, at] < height:
                    if place < k:
                        heights[place, at] = heights[place - 1, at]
                        chosen[sample, place, at] = chosen[sample, place - 1, at]
                    place -= 1
                if place < k:
                    heights[place, at] = height
                    chosen[sample, place, at] = bar
                at += 1
    return chosen


def warm_up() -> None:
    """Compile for float32 and float64."""
    for dtype in (np.float32, np.float64):
        ends = np.array([0.0, 1.0], dtype=dtype)
        highest_tents(ends[:1], ends[1:], ends, np.array([0, 1]), 1)
