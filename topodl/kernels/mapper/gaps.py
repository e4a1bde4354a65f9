"""Where single linkage is cut: the first gap among the merge heights of each preimage.

Singh, Mémoli, Carlsson 2007 (first empty bin of a histogram). Cost: O(heights · bins) in the worst case.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["histogram_cuts", "relative_cuts", "warm_up"]


@borrowing_subroutine
def _below_first_empty_bin(heights: Any, first: Any, end: Any, n_bins: Any) -> Any:
    """Return the place of the first height behind the first empty one of `n_bins` bins, `end` if none is."""
    low, high = heights[first], heights[end - 1]
    step = (high - low) / n_bins
    at = first
    for k in range(1, n_bins + 1):
        edge = high if k == n_bins else low + k * step
        begin = at
        while at < end and (heights[at] < edge or k == n_bins):
            at += 1
        if at == begin:
            return at
    return end


@kernel
def histogram_cuts(starts: Any, heights: Any, n_bins: int, grows: bool) -> Any:
    """Return how many merges of each preimage (K,) lie below the first empty bin; all if there is none.

    The heights of preimage k rise between `starts`. Bins are equal, from the first height to the last; where
    none is empty, there is one more, if their number `grows`.
    """
    kept = np.empty(len(starts) - 1, np.int64)
    for k in range(len(kept)):
        first, end = starts[k], starts[k + 1]
        kept[k] = end - first
        if end - first < 2 or heights[first] == heights[end - 1]:
            continue
        for bins in range(n_bins, max(n_bins, end - first + 1) + 1 if grows else n_bins + 1):
            at = _below_first_empty_bin(heights, first, end, bins)
            if at < end:
                kept[k] = at - first
                break
    return kept


@kernel
def relative_cuts(starts: Any, heights: Any, share: float) -> Any:
    """Return how many merges of each preimage (K,) lie below the first step of `share` of the last height.

    The heights of preimage k rise between `starts`, from 0 on; all are kept where no step is as high.
    """
    kept = np.empty(len(starts) - 1, np.int64)
    for k in range(len(kept)):
        first, end = starts[k], starts[k + 1]
        kept[k] = end - first
        below = 0.0
        for at in range(first, end):
            if heights[end - 1] > 0 and heights[at] - below >= share * heights[end - 1]:
                kept[k] = at - first
                break
            below = heights[at]
    return kept


def warm_up() -> None:
    """Compile every kernel of this module."""
    histogram_cuts(np.array([0, 2]), np.array([0.0, 1.0]), 5, True)
    relative_cuts(np.array([0, 2]), np.array([0.0, 1.0]), 0.3)
