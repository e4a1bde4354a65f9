"""Grow a 2D mask by simple pixels: as far as it can go within a region without a change of its topology.

A pixel is simple if adding it keeps components and holes: its Yokoi number is 1. Cost: linear in the region.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["grow_by_simple_pixels", "warm_up"]


def grow_by_simple_pixels(
    mask: NDArray[np.bool_], region: NDArray[np.bool_], corners: bool
) -> NDArray[np.bool_]:
    """Return `mask` (H, W) grown within `region` in layers; `corners` makes diagonal pixels neighbours."""
    grown, free = _bordered(mask), _bordered(region & ~mask)
    layers = np.empty((2, np.count_nonzero(free)), np.int64)
    queued = np.zeros(grown.size, np.int64)
    _grow(grown.reshape(-1), free.reshape(-1), grown.shape[1], corners, queued, layers)
    return grown[1:-1, 1:-1].copy()


def _bordered(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    bordered = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.bool_)  # np.pad takes ten times as long
    bordered[1:-1, 1:-1] = mask
    return bordered


@kernel
def _grow(grown: Any, free: Any, stride: int, corners: bool, queued: Any, layers: Any) -> None:
    """Move pixels from `free` to `grown`, both flat and with a border.

    `queued` holds the last layer that a pixel was put on; every pixel is on a layer at most once.
    """
    layer, following = layers[0], layers[1]
    size = 0
    for p in range(stride, free.size - stride):
        if free[p] and _touches(grown, p, stride):
            layer[size] = p
            size += 1
    step = 0
    while size > 0:
        step += 1
        n_following = 0
        for i in range(size):
            p = layer[i]
            if not _is_simple(grown, p, stride, corners):
                continue
            grown[p] = True
            free[p] = False
            for row in range(p - stride, p + stride + 1, stride):
                for q in range(row - 1, row + 2):
                    if free[q] and queued[q] != step:
                        queued[q] = step
                        following[n_following] = q
                        n_following += 1
        # A pixel of this layer that was queued again and then grew itself is not free any more.
        size = 0
        for i in range(n_following):
            if free[following[i]]:
                layer[size] = following[i]
                size += 1


@borrowing_subroutine
def _touches(mask: Any, p: int, stride: int) -> bool:
    for row in range(p - stride, p + stride + 1, stride):
        if mask[row - 1] or mask[row] or mask[row + 1]:
            return True
    return False


@borrowing_subroutine
def _is_simple(mask: Any, p: int, stride: int, corners: bool) -> bool:
    """Return whether adding pixel p changes neither components nor holes (Yokoi et al. 1975)."""
    steps = (1, 1 - stride, -stride, -1 - stride, -1, stride - 1, stride, stride + 1)
    number = 0
    for k in range(0, 8, 2):
        # With 8-neighbours it counts the arcs of background, with 4-neighbours those of foreground.
        a = mask[p + steps[k]] != corners
        b = mask[p + steps[k + 1]] != corners
        c = mask[p + steps[(k + 2) % 8]] != corners
        number += a and not (b and c)
    return number == 1


def warm_up(*_: Any) -> None:
    """Compile the kernel."""
    mask = np.zeros((3, 3), dtype=np.bool_)
    grow_by_simple_pixels(mask, mask, True)
