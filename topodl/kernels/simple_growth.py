"""Grow a 2D mask by simple pixels: as far as it can go within a region without a change of its topology.

A pixel is simple if adding it keeps components and holes: its Yokoi number is 1. Cost: linear in the region.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels._compile import kernel, subroutine

__all__ = ["grow_by_simple_pixels", "warm_up"]


@subroutine
def _is_simple(mask: NDArray[np.bool_], y: int, x: int, corners: bool) -> bool:
    """Return whether adding (y, x) changes neither components nor holes (Yokoi et al. 1975)."""
    around = (
        mask[y, x + 1],
        mask[y - 1, x + 1],
        mask[y - 1, x],
        mask[y - 1, x - 1],
        mask[y, x - 1],
        mask[y + 1, x - 1],
        mask[y + 1, x],
        mask[y + 1, x + 1],
    )
    number = 0
    for k in range(0, 8, 2):
        # With 8-neighbours it counts the arcs of background, with 4-neighbours those of foreground.
        a = around[k] != corners
        b = around[k + 1] != corners
        c = around[(k + 2) % 8] != corners
        number += int(a) - int(a and b and c)
    return number == 1


@kernel
def grow_by_simple_pixels(
    mask: NDArray[np.bool_], region: NDArray[np.bool_], corners: bool
) -> NDArray[np.bool_]:
    """Return `mask` (H, W) grown within `region` in layers; `corners` makes diagonal pixels neighbours."""
    height, width = mask.shape
    grown = np.zeros((height + 2, width + 2), dtype=np.bool_)
    grown[1:-1, 1:-1] = mask
    free = np.zeros((height + 2, width + 2), dtype=np.bool_)
    free[1:-1, 1:-1] = region & ~mask
    stride = width + 2
    # `queued` holds the last layer that a pixel was put on; every pixel is on a layer at most once.
    queued = np.zeros((height + 2) * stride, dtype=np.int64)
    layer = np.empty(free.sum(), dtype=np.int64)
    following = np.empty(layer.size, dtype=np.int64)
    size = 0
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            if free[y, x] and grown[y - 1 : y + 2, x - 1 : x + 2].any():
                layer[size] = y * stride + x
                size += 1
    step = 0
    while size > 0:
        step += 1
        n_following = 0
        for i in range(size):
            y, x = layer[i] // stride, layer[i] % stride
            if not _is_simple(grown, y, x, corners):
                continue
            grown[y, x] = True
            free[y, x] = False
            for ny in range(y - 1, y + 2):
                for nx in range(x - 1, x + 2):
                    if free[ny, nx] and queued[ny * stride + nx] != step:
                        queued[ny * stride + nx] = step
                        following[n_following] = ny * stride + nx
                        n_following += 1
        # A pixel of this layer that was queued again and then grew itself is not free any more.
        size = 0
        for i in range(n_following):
            if free[following[i] // stride, following[i] % stride]:
                layer[size] = following[i]
                size += 1
    return grown[1:-1, 1:-1].copy()


def warm_up(*_: Any) -> None:
    """Compile the kernel."""
    mask = np.zeros((3, 3), dtype=np.bool_)
    grow_by_simple_pixels(mask, mask, True)
