"""Exact distances to the nearest pixel of the other kind, only at the pixels that are asked for.

Steps along the first axis, from there over other rows to those that hold pixels asked for, and a search along
such a row that stops at the best distance so far: linear in the pixels, plus, for each row, its width times
the greatest distance asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["distance_to_other", "warm_up"]

# Steps along the first axis have the sign of their pixel, plus inside the mask. A pixel of the other kind is
# itself the nearest: multiplied by the sign of the one that asks, its own steps are negative, and cut off.


def distance_to_other(
    mask: NDArray[np.bool_], pixels: NDArray[np.int64], spacing: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Return the distance of each of the flat indices `pixels` to the nearest pixel that `mask` differs in.

    `mask` (H, W) or (D, H, W); infinite where all pixels are of one kind.
    """
    sides = np.ones(mask.ndim) if spacing is None else np.asarray(spacing, np.float64)
    box = np.ascontiguousarray(mask)  # the kernels are compiled for one order
    if mask.ndim == 2:
        box, sides = box[:, None], np.insert(sides, 1, 1.0)
    return _nearest(_steps_along_first_axis(box), pixels, sides)


@kernel
def _steps_along_first_axis(mask: Any) -> Any:
    """Return, signed, how many steps along the first axis the nearest pixel of the other kind is away."""
    depth, height, width = mask.shape
    steps = np.empty((depth, height, width), np.float32)
    factor = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            steps[0, y, x] = depth  # none of the other kind, unless the way back finds one
    for z in range(1, depth):
        for y in range(height):
            for x in range(width):
                same = np.float32(mask[z, y, x] == mask[z - 1, y, x])
                steps[z, y, x] = steps[z - 1, y, x] * same + np.float32(1)
    for y in range(height):
        for x in range(width):
            factor[y, x] = np.inf if steps[depth - 1, y, x] >= depth else 1
    for z in range(depth - 2, -1, -1):
        for y in range(height):
            for x in range(width):
                same = np.float32(mask[z, y, x] == mask[z + 1, y, x])
                steps[z, y, x] = min(steps[z, y, x], steps[z + 1, y, x] * same + np.float32(1))
            _sign(steps[z + 1, y], mask[z + 1, y], factor[y])
    for y in range(height):
        _sign(steps[0, y], mask[0, y], factor[y])
    return steps


@borrowing_subroutine
def _sign(steps: Any, mask: Any, factor: Any) -> None:
    for x in range(steps.size):
        steps[x] *= (np.float32(2) * np.float32(mask[x]) - np.float32(1)) * factor[x]


@kernel
def _nearest(steps: Any, pixels: Any, sides: Any) -> Any:
    """Return the distance of each of `pixels`, from the steps along the first axis."""
    depth, height, width = steps.shape
    ends, order = _by_row(pixels, depth * height, width)
    out = np.empty(len(pixels))
    best, sign = np.empty(width), np.empty(width)
    for row in range(depth * height):
        asking = order[ends[row] : ends[row + 1]]
        if asking.size == 0:
            continue
        z, y = row // height, row % height
        for x in range(width):
            sign[x] = np.copysign(1.0, steps[z, y, x])
            best[x] = (sides[0] * steps[z, y, x]) ** 2
        for step in range(1, height):
            across = (sides[1] * step) ** 2
            if across >= _furthest(best, asking, pixels, width):
                break
            if y >= step:
                _shorten(best, sign, steps[z, y - step], across, sides[0])
            if y + step < height:
                _shorten(best, sign, steps[z, y + step], across, sides[0])
        for i in asking:
            out[i] = np.sqrt(_search_row(best, sign, pixels[i] % width, sides[2]))
    return out


@subroutine
def _by_row(pixels: Any, n_rows: int, width: int) -> Any:
    """Return the positions of `pixels` row by row, and where those of each row start."""
    ends, order = zeros(n_rows + 2, np.int64), np.empty(len(pixels), np.int32)
    for pixel in pixels:
        ends[pixel // width + 2] += 1
    for row in range(n_rows):
        ends[row + 2] += ends[row + 1]
    for i in range(len(pixels)):
        row = pixels[i] // width
        order[ends[row + 1]] = i
        ends[row + 1] += 1
    return ends, order


@borrowing_subroutine
def _furthest(best: Any, asking: Any, pixels: Any, width: int) -> float:
    """Return the greatest square of those that ask in a row."""
    furthest = 0.0
    for i in asking:
        furthest = max(furthest, best[pixels[i] % width])
    return furthest


@borrowing_subroutine
def _shorten(best: Any, sign: Any, steps: Any, across: float, side: float) -> None:
    """Let the squares of one row take the way over another row where it is shorter."""
    for x in range(best.size):
        down = side * max(sign[x] * steps[x], 0.0)
        best[x] = min(best[x], across + down * down)


@borrowing_subroutine
def _search_row(best: Any, sign: Any, x: int, side: float) -> float:
    """Return the squared distance of one pixel, from the squares of its row without steps along it."""
    found = best[x]
    for step in range(1, best.size):
        across = (side * step) ** 2
        if across >= found:
            break
        if x >= step:
            found = min(found, across + (best[x - step] if sign[x] == sign[x - step] else 0.0))
        if x + step < best.size:
            found = min(found, across + (best[x + step] if sign[x] == sign[x + step] else 0.0))
    return found


def warm_up() -> None:
    """Compile the kernels."""
    distance_to_other(np.eye(3, dtype=bool), np.arange(9))
