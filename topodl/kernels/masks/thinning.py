"""Thinning that keeps the topology: simple points go, eight (in the plane four) interleaved grids in turn.

Menten et al., ICCV 2023. Only the neighbours of what went are looked at again, so that the cost is linear
in the number of foreground pixels, whatever the number of iterations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.masks.simple_points import (
    face_offsets,
    is_simple,
    neighbour_offsets,
    neighbourhood_code,
    simple_point_table,
    space_masks,
)
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["thin", "warm_up"]


def thin(mask: NDArray[np.bool_], iterations: int | None = None, corner: bool = True) -> NDArray[np.bool_]:
    """Return the skeleton of `mask` (H, W) or (D, H, W) after `iterations`, by default when nothing changes.

    A pixel with at most one neighbour when an iteration begins is an end and stays. `corner` says whether
    pixels that share only a corner are neighbours, of which components and ends are made.
    """
    box = mask[None] if mask.ndim == 2 else mask
    padded = np.pad(box, ((0, 0) if mask.ndim == 2 else (1, 1), (1, 1), (1, 1)))
    padded = padded.astype(np.uint8, order="C")  # np.pad keeps another order, and ravel would copy
    offsets = neighbour_offsets(padded.shape)
    rounds = padded.size if iterations is None else iterations
    table, masks = simple_point_table(corner), space_masks()
    touching = offsets if corner else face_offsets(padded.shape)
    _thin(padded.ravel(), padded.shape, offsets, touching, table, masks, rounds, corner)
    inside = (slice(None) if mask.ndim == 2 else slice(1, -1), slice(1, -1), slice(1, -1))
    return padded[inside].reshape(mask.shape).astype(bool)


@kernel
def _thin(
    image: Any, shape: Any, offsets: Any, touching: Any, table: Any, masks: Any, rounds: int, corner: bool
) -> None:
    space = shape[0] > 1
    active = np.empty(len(image), np.int64)  # what may go in this iteration, and what in the next
    following = np.empty(len(image), np.int64)
    is_active, is_following = np.zeros(len(image), np.uint8), np.zeros(len(image), np.uint8)
    is_end = np.zeros(len(image), np.uint8)
    n_active = 0
    pixel: Any
    for pixel in np.flatnonzero(image):
        n_active = _append(active, n_active, is_active, pixel)
    for _ in range(rounds):
        if n_active == 0:
            return
        for i in range(n_active):
            n_neighbours = 0
            for offset in touching:
                n_neighbours += image[active[i] + offset]
            is_end[active[i]] = n_neighbours <= 1
        n_following = 0
        for grid in range(8 if space else 4):
            i = 0
            while i < n_active:
                pixel = active[i]
                i += 1
                if image[pixel] == 0 or is_end[pixel] or _grid_of(pixel, shape, space) != grid:
                    continue
                code = neighbourhood_code(image, pixel, offsets)
                if not is_simple(code, table, masks, corner, space):
                    continue
                image[pixel] = 0
                for offset in offsets:
                    other = pixel + offset
                    if image[
                        other
                    ]:  # its grid may still come in this iteration; ends are those from its start
                        n_active = _append(active, n_active, is_active, other)
                        n_following = _append(following, n_following, is_following, other)
        for i in range(n_active):
            is_active[active[i]] = 0
        active, following = following, active
        is_active, is_following = is_following, is_active
        n_active = n_following


@borrowing_subroutine
def _append(pixels: Any, n_pixels: int, contained: Any, pixel: int) -> int:
    """Add `pixel` unless it is there, and return how many there are now."""
    if contained[pixel]:
        return n_pixels
    contained[pixel] = 1
    pixels[n_pixels] = pixel
    return n_pixels + 1


@borrowing_subroutine
def _grid_of(pixel: int, shape: Any, space: bool) -> int:
    """Return which of the interleaved grids a pixel of the padded image lies on."""
    x, rest = pixel % shape[2], pixel // shape[2]
    y, z = rest % shape[1], rest // shape[1]
    if space:
        return (z & 1) + 2 * (y & 1) + 4 * (x & 1)
    return (y & 1) + 2 * (x & 1)


def warm_up() -> None:
    """Compile the kernel."""
    thin(np.ones((3, 3), bool))
