"""Arrays of integers that grow while a kernel fills them: each time to at least twice the size."""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import subroutine

__all__ = ["enlarged"]


@subroutine
def enlarged(array: Any, needed: Any) -> Any:
    """Return a copy (at least `needed`,) that begins with the integers of `array`."""
    larger = np.empty(max(needed, 2 * array.size), np.int64)
    for i in range(array.size):
        larger[i] = array[i]
    return larger
