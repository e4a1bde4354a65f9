"""Grow a mask by simple pixels or voxels: as far as it can within a region without a change of its topology.

A pixel is simple if adding it keeps components and holes, tunnels and cavities. Cost: linear in the region.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.masks.simple_points import (
    is_simple,
    neighbour_offsets,
    neighbourhood_code,
    simple_point_table,
)
from topodl.kernels.shared.compile import kernel

__all__ = ["grow_by_simple_pixels", "warm_up"]


def grow_by_simple_pixels(
    mask: NDArray[np.bool_], region: NDArray[np.bool_], corners: bool
) -> NDArray[np.bool_]:
    """Return `mask` (H, W) or (D, H, W) grown within `region` in layers.

    `corners` makes pixels neighbours that share nothing but a corner.
    """
    grown, free = _bordered(mask), _bordered(region & ~mask)
    offsets = neighbour_offsets((1, 1, *grown.shape)[-3:])
    layers = np.empty((2, np.count_nonzero(free)), np.int64)
    queued = np.zeros(grown.size, np.int64)
    space, table = mask.ndim == 3, simple_point_table(corners)
    _grow(grown.ravel(), free.ravel(), offsets, table, corners, space, queued, layers)
    return grown[(slice(1, -1),) * mask.ndim].astype(bool)


def _bordered(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    bordered = np.zeros([n + 2 for n in mask.shape], np.uint8)  # np.pad takes ten times as long
    bordered[(slice(1, -1),) * mask.ndim] = mask
    return bordered


@kernel
def _grow(
    grown: Any,
    free: Any,
    offsets: Any,
    table: Any,
    corners: bool,
    space: bool,
    queued: Any,
    layers: Any,
) -> None:
    """Move pixels from `free` to `grown`, both flat and with a border.

    `queued` holds the last layer that a pixel was put on; every pixel is on a layer at most once.
    """
    layer, following = layers[0], layers[1]
    size = 0
    for p in range(free.size):
        if free[p] and neighbourhood_code(grown, p, offsets):
            layer[size] = p
            size += 1
    step = 0
    while size > 0:
        step += 1
        n_following = 0
        for i in range(size):
            p = layer[i]
            if not is_simple(neighbourhood_code(grown, p, offsets), table, corners, space):
                continue
            grown[p] = 1
            free[p] = 0
            for offset in offsets:
                q = p + offset
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


def warm_up(*_: Any) -> None:
    """Compile the kernel."""
    mask = np.zeros((3, 3), dtype=np.bool_)
    grow_by_simple_pixels(mask, mask, True)
