"""For each pixel, the least or greatest of its neighbours of the same kind, as an index.

Cost: one vectorised pass over the image a pixel of the window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["OUTSIDE", "UNCOUNTED", "least_neighbour", "warm_up"]

OUTSIDE, UNCOUNTED = 0, 2  # any other kind is inside


def least_neighbour(image: NDArray[Any], kinds: NDArray[np.uint8], reach: int) -> NDArray[np.int32]:
    """Return the flat index of the worst pixel of the same kind within `reach` along every axis.

    Parameters
    ----------
    image : array of floats (D, H, W)
    kinds : array of uint8 (D, H, W)
        Worst is the highest of the pixels outside and the lowest of the others. A pixel that does not
        count is nobody's neighbour; its own index is returned for it.
    reach : int
        Half the side of the window, without its centre.
    """
    cost = np.where(kinds == OUTSIDE, -image, image)
    source = np.arange(image.size, dtype=np.int32)
    _search_windows(cost.ravel(), kinds.ravel(), source, image.shape, reach)
    return source.reshape(image.shape)


@kernel
def _search_windows(cost: Any, kinds: Any, source: Any, shape: tuple[int, int, int], reach: int) -> None:
    depth, height, width = shape
    low = np.empty(width, cost.dtype)
    side = min(reach, width - 1)
    for line in range(depth * height):
        z, y, start = line // height, line % height, line * width
        for x in range(width):
            low[x] = cost[start + x]
        for dz in range(-min(reach, z), min(reach, depth - 1 - z) + 1):
            for dy in range(-min(reach, y), min(reach, height - 1 - y) + 1):
                for dx in range(-side, side + 1):
                    first, last = max(-dx, 0), width - max(dx, 0)
                    shift = (dz * height + dy) * width + dx
                    _take_lower(cost, kinds, low, source, start, shift, first, last)


@borrowing_subroutine
def _take_lower(
    cost: Any, kinds: Any, low: Any, source: Any, start: int, shift: int, first: int, last: int
) -> None:
    own, there = np.uintp(start), np.uintp(start + shift)
    for x in range(np.uintp(first), np.uintp(last)):
        kind = kinds[own + x]
        lower = (cost[there + x] < low[x]) & (kinds[there + x] == kind) & (kind != UNCOUNTED)
        low[x] = cost[there + x] if lower else low[x]
        source[own + x] = np.int32(there + x) if lower else source[own + x]


def warm_up() -> None:
    """Compile the kernel for float32 and float64."""
    for dtype in (np.float32, np.float64):
        least_neighbour(np.zeros((1, 2, 2), dtype), np.ones((1, 2, 2), np.uint8), 1)
