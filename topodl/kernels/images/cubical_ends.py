"""Values at the critical pixels of a batch, and the gradient back to them, in one pass each."""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import kernel

__all__ = ["gather_ends", "scatter_ends", "warm_up"]


@kernel
def gather_ends(values: Any, bars: Any, n_pixels: int, never: float, births: Any, deaths: Any) -> None:
    """Write `births` and `deaths` (P,): the `values` of all samples at the cells of `bars` (4, P).

    The rows of `bars` are sample, dimension, birth and death cell; where that is negative, `never` is the
    death.
    """
    for i in range(bars.shape[1]):
        start = bars[0, i] * n_pixels
        death = bars[3, i]
        births[i] = values[np.uint64(start + bars[2, i])]
        deaths[i] = values[np.uint64(start + max(death, 0))]
        if death < 0:
            deaths[i] = never


@kernel
def scatter_ends(bars: Any, n_pixels: int, on_births: Any, on_deaths: Any, gradient: Any) -> None:
    """Add to `gradient`, which is like the values, what arrives `on_births` and `on_deaths` (P,)."""
    for i in range(bars.shape[1]):
        start = bars[0, i] * n_pixels
        gradient[np.uint64(start + bars[2, i])] += on_births[i]
        if bars[3, i] >= 0:
            gradient[np.uint64(start + bars[3, i])] += on_deaths[i]


def warm_up() -> None:
    """Compile the kernels for float32 and float64."""
    bars = np.zeros((4, 1), np.int64)
    for dtype in (np.float32, np.float64):
        births, deaths = np.zeros(1, dtype), np.zeros(1, dtype)
        gather_ends(np.zeros(1, dtype), bars, 1, np.inf, births, deaths)
        scatter_ends(bars, 1, births, deaths, np.zeros(1, dtype))
