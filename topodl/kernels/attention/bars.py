"""Statistics of many small barcodes in one pass: one call a statistic would cost more than the bars.

Kushnareva et al. (2021) and Cherniavskii et al. (2022).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from topodl.kernels.shared.compile import kernel

__all__ = ["BAR_STATISTICS", "bar_statistics", "warm_up"]

# The columns of `bar_statistics`.
BAR_STATISTICS = (
    "count",
    "sum",
    "mean",
    "std",
    "entropy",
    "longest_birth",
    "longest_death",
    "count_death_ge_0.75",
    "count_death_ge_0.5",
    "count_death_le_0.25",
    "count_birth_ge_0.25",
    "count_birth_le_0.95",
    "count_birth_le_0.7",
)


@kernel
def bar_statistics(births: Any, deaths: Any, starts: Any) -> Any:
    """Return `BAR_STATISTICS` of every barcode, (M, 13) float64; one without bars has zeros.

    The bars of barcode a are `births` and `deaths` (P,) from starts[a] to starts[a + 1]; bars of length zero
    are none. Of several longest bars the earliest counts.
    """
    m = starts.shape[0] - 1
    out = np.zeros((m, 13), np.float64)
    of = births.dtype.type
    late, half, early, whole, most = of(0.75), of(0.5), of(0.25), of(0.95), of(0.7)
    for a in range(m):
        row = out[a]
        longest = of(0)
        for k in range(starts[a], starts[a + 1]):
            length = deaths[k] - births[k]
            if not length > 0:
                continue
            row[0] += 1
            row[1] += length
            if length > longest or (length == longest and births[k] < row[5]):
                longest = length
                row[5], row[6] = births[k], deaths[k]
            row[7] += deaths[k] >= late
            row[8] += deaths[k] >= half
            row[9] += deaths[k] <= early
            row[10] += births[k] >= early
            row[11] += births[k] <= whole
            row[12] += births[k] <= most
        if row[0] == 0:
            continue
        row[2] = row[1] / row[0]
        for k in range(starts[a], starts[a + 1]):
            length = np.float64(deaths[k] - births[k])
            if length > 0:
                row[3] += (length - row[2]) ** 2
                row[4] -= length / row[1] * math.log(length / row[1])
        row[3] = math.sqrt(row[3] / row[0])
    return out


def warm_up() -> None:
    """Compile the kernel for float32 and float64."""
    for dtype in (np.float32, np.float64):
        bar_statistics(np.zeros(2, dtype), np.ones(2, dtype), np.arange(3))
