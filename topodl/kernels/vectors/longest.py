"""Which bars of each diagram are the longest.

Cost: one comparison for a bar that is not among them; for one that is, as many as it overtakes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import kernel

__all__ = ["longest_bars", "warm_up"]

Array = np.ndarray[Any, np.dtype[Any]]


@kernel
def longest_bars(lengths: Array, offsets: Array, k: int) -> Array:
    """Return (S, k) the longest bars of each segment, the longest first, of equal ones the first; else P.

    Parameters
    ----------
    lengths : ndarray of shape (P,)
        At least 0, or inf.
    offsets : ndarray of shape (S + 1,)
        The bars of segment s are those from offsets[s] to offsets[s + 1].
    k : int
        At least 1.
    """
    n_segments = len(offsets) - 1
    chosen = np.full((n_segments, k), len(lengths), dtype=np.int64)
    longest = np.empty(k, dtype=lengths.dtype)
    for segment in range(n_segments):
        row = chosen[segment]
        longest[:] = -1.0
        least = longest[k - 1]
        for bar in range(offsets[segment], offsets[segment + 1]):
            length = lengths[bar]
            if length > least:
                place = k - 1
                while place > 0 and longest[place - 1] < length:
                    longest[place], row[place] = longest[place - 1], row[place - 1]
                    place -= 1
                longest[place], row[place] = length, bar
                least = longest[k - 1]
    return chosen


def warm_up() -> None:
    """Compile for float32 and float64."""
    for dtype in (np.float32, np.float64):
        longest_bars(np.ones(1, dtype=dtype), np.array([0, 1]), 1)
