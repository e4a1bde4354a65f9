"""Warping of one mask towards another by flips of simple pixels, one after the other (Hu, NeurIPS 2022).

Cost: one table lookup a visited pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.masks.simple_points import is_simple, neighbour_offsets, neighbourhood_code
from topodl.kernels.shared.compile import kernel

__all__ = ["warm_up", "warp"]


def warp(
    mask: NDArray[np.bool_],
    pixels: NDArray[np.int64],
    tables: NDArray[np.bool_],
    corner: bool,
    skip_border: bool = False,
) -> NDArray[np.bool_]:
    """Return `mask` (H, W) or (D, H, W) after flipping, in order, those of `pixels` that are simple then.

    Parameters
    ----------
    mask : array of booleans
    pixels : array of flat indices
    tables : array (2, 256)
        Which neighbourhoods let a pixel of the background and of the foreground flip, in the plane.
    corner : bool
        Whether voxels that share only a corner are neighbours.
    skip_border : bool
        Leave the pixels at the border of the image alone; else the background lies beyond it.
    """
    flat = mask.ndim == 2
    box = mask[None] if flat else mask
    padded = np.pad(box, ((0, 0) if flat else (1, 1), (1, 1), (1, 1)))
    padded = padded.astype(np.uint8, order="C")  # np.pad keeps another order, and ravel would copy
    if skip_border:
        at_border = [
            (i == 0) | (i == n - 1)
            for i, n in zip(np.unravel_index(pixels, mask.shape), mask.shape, strict=True)
        ]
        pixels = pixels[~np.logical_or.reduce(at_border)]
    z, y, x = np.unravel_index(pixels, box.shape)
    moved = np.ravel_multi_index((z + (not flat), y + 1, x + 1), padded.shape)
    _flip(padded.ravel(), moved, neighbour_offsets(padded.shape), tables, corner, not flat)
    inside = (slice(None) if flat else slice(1, -1), slice(1, -1), slice(1, -1))
    return padded[inside].reshape(mask.shape).astype(bool)


@kernel
def _flip(image: Any, pixels: Any, offsets: Any, tables: Any, corner: bool, space: bool) -> None:
    for pixel in pixels:
        code = neighbourhood_code(image, pixel, offsets)
        if is_simple(code, tables[image[pixel]], corner, space):
            image[pixel] = 1 - image[pixel]


def warm_up() -> None:
    """Compile the kernel."""
    warp(np.eye(3, dtype=bool), np.arange(9), np.ones((2, 256), bool), True)
