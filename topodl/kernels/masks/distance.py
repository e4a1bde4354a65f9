"""Exact distances to the nearest pixel of the other kind, only at the pixels that are asked for.

Column distances first, then a search along the row that stops at the best distance so far: linear in the
pixels, plus twice the distance for each pixel asked for. In the plane; volumes go through SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from topodl.kernels.shared.compile import kernel

__all__ = ["distance_to_other", "warm_up"]


def distance_to_other(
    mask: NDArray[np.bool_], pixels: NDArray[np.int64], spacing: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Return the distance of each of the flat indices `pixels` to the nearest pixel that `mask` differs in.

    `mask` (H, W) or (D, H, W); infinite where all pixels are of one kind.
    """
    if mask.ndim == 2:
        mask = np.ascontiguousarray(mask)  # the kernels are compiled for one order
        dy, dx = (1.0, 1.0) if spacing is None else map(float, spacing)
        return _search_rows(mask, pixels, _column_distances(mask), dy, dx)
    if mask.all() or not mask.any():
        return np.full(len(pixels), np.inf)
    out = np.zeros(mask.size)
    kinds = mask.ravel()[pixels]
    for kind in np.unique(kinds):
        distance = ndimage.distance_transform_edt(mask == kind, sampling=spacing).ravel()
        out[pixels[kinds == kind]] = distance[pixels[kinds == kind]]
    return out[pixels]


@kernel
def _column_distances(mask: Any) -> Any:
    """Return the distance of each pixel to the nearest of the other kind in its column, in pixels."""
    height, width = mask.shape
    distance = np.empty((height, width), np.float32)
    for x in range(width):
        distance[0, x] = np.inf
    for y in range(1, height):
        for x in range(width):
            same = mask[y, x] == mask[y - 1, x]
            distance[y, x] = distance[y - 1, x] + 1 if same else 1
    for y in range(height - 2, -1, -1):
        for x in range(width):
            same = mask[y, x] == mask[y + 1, x]
            below = distance[y + 1, x] + 1 if same else np.float32(1)
            distance[y, x] = min(distance[y, x], below)
    return distance


@kernel
def _search_rows(mask: Any, pixels: Any, column: Any, dy: float, dx: float) -> Any:
    width = mask.shape[1]
    out = np.empty(len(pixels), np.float64)
    for i in range(len(pixels)):
        y, x = pixels[i] // width, pixels[i] % width
        own = mask[y, x]
        best: Any = (dy * column[y, x]) ** 2
        step = 1
        while step < width and (step * dx) ** 2 < best:
            across = (step * dx) ** 2
            for other in (x - step, x + step):
                if 0 <= other < width:
                    down = dy * column[y, other] if mask[y, other] == own else 0.0
                    best = min(best, across + down * down)
            step += 1
        out[i] = np.sqrt(best)
    return out


def warm_up() -> None:
    """Compile the kernels."""
    distance_to_other(np.eye(3, dtype=bool), np.arange(9))
