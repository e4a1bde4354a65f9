"""Euler characteristic surfaces of images of two channels: every cell into one bin of a grid, then sums.

Cost: the pixels plus the grid. The place of a value on an even grid is a multiplication away.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["count_cells", "warm_up"]


@kernel
def count_cells(image: Any, grid0: Any, grid1: Any, by_cells: bool, out: Any) -> None:
    """Write the Euler characteristic at each pair of values of two grids to `out` (R0, R1), int64.

    Parameters
    ----------
    image : ndarray of shape (2, H, W)
    grid0, grid1 : ndarray of shape (R0,) and (R1,)
        Rising values of each channel, best evenly spaced.
    by_cells : bool
        Whether pixels are closed squares, of which the union is present: counted by the cliques of neighbours
        (the nerve theorem), and not vertices.
    """
    height, width = image.shape[1], image.shape[2]
    n0, n1 = len(grid0), len(grid1)
    counts = np.empty((n0 + 1, n1 + 1), np.int64)
    for i in range(n0 + 1):
        for j in range(n1 + 1):
            counts[i, j] = 0
    places = np.empty((2, 2, width), np.int64)  # channel, this row or the one before, column
    for y in range(height):
        now, old = y % 2, 1 - y % 2
        _write_places(image[0, y], grid0, places[0, now])
        _write_places(image[1, y], grid1, places[1, now])
        for x in range(width):
            d0, d1 = places[0, now, x], places[1, now, x]
            counts[d0, d1] += 1
            if x > 0:
                c0, c1 = places[0, now, x - 1], places[1, now, x - 1]
                counts[max(c0, d0), max(c1, d1)] -= 1
            if y > 0:
                b0, b1 = places[0, old, x], places[1, old, x]
                counts[max(b0, d0), max(b1, d1)] -= 1
            if x > 0 and y > 0:
                a0, a1 = places[0, old, x - 1], places[1, old, x - 1]
                ab0, ab1, cd0, cd1 = max(a0, b0), max(a1, b1), max(c0, d0), max(c1, d1)
                if by_cells:
                    counts[max(a0, d0), max(a1, d1)] -= 1
                    counts[max(b0, c0), max(b1, c1)] -= 1
                    counts[max(ab0, c0), max(ab1, c1)] += 1
                    counts[max(ab0, d0), max(ab1, d1)] += 1
                    counts[max(a0, cd0), max(a1, cd1)] += 1
                    counts[max(b0, cd0), max(b1, cd1)] += 1
                    counts[max(ab0, cd0), max(ab1, cd1)] -= 1
                else:
                    counts[max(ab0, cd0), max(ab1, cd1)] += 1
    for i in range(n0):
        total = 0
        for j in range(n1):
            total += counts[i, j]
            out[i, j] = total + (out[i - 1, j] if i > 0 else 0)


@borrowing_subroutine
def _write_places(values: Any, grid: Any, places: Any) -> None:
    """Write how many grid values are below each value, from a guess that the grid itself corrects."""
    n = len(grid)
    span = grid[n - 1] - grid[0]
    per_step = (n - 1) / span if span > 0 else 0.0
    for x in range(len(values)):
        value = values[x]
        if value > grid[n - 1]:
            places[x] = n
            continue
        place = 0
        if value > grid[0]:
            place = min(int((value - grid[0]) * per_step) + 1, n - 1)
            while grid[place] < value:
                place += 1
            while place > 0 and grid[place - 1] >= value:
                place -= 1
        places[x] = place


def warm_up() -> None:
    """Compile for float32 and float64."""
    for dtype in (np.float32, np.float64):
        grid, out = np.arange(2).astype(dtype), np.empty((2, 2), np.int64)
        count_cells(np.zeros((2, 2, 2), dtype), grid, grid, False, out)
