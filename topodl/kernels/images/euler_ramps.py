"""Euler characteristic surfaces of images of two channels with ramps for steps, and their gradient.

Each cell has a place among the values of either grid, fractions included, and spreads over the bins around
both. Cost: the cells times the square of the bins that a ramp goes over, plus the grid.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["add_ramps", "last_pixels", "ramp_gradient", "ramps", "warm_up"]

_MOST_CELLS = 10  # that a pixel closes with those before it


@kernel
def last_pixels(image: Any, by_cells: bool) -> Any:
    """Return the cells of an image (2, H, W) by their last pixels: first channel, second, and sign (n, 3).

    Of equal values the pixel of larger flat index is the last. Cells that share both are one, with the sum of
    their signs, those that cancel none. With `by_cells` pixels are closed squares, as `count_cells` has them.
    """
    height, width = image.shape[1], image.shape[2]
    values = image.reshape(2, height * width)
    closed, n_cells = np.empty((_MOST_CELLS, 3), np.int64), 0
    cells = np.empty(((_MOST_CELLS if by_cells else 4) * height * width, 3), np.int32)
    for y in range(height):
        for x in range(width):
            for c in range(_close_cells(values, width, y, x, by_cells, closed)):
                if closed[c, 2] != 0:
                    for i in range(3):
                        cells[n_cells, i] = closed[c, i]
                    n_cells += 1
    return cells[:n_cells]


@borrowing_subroutine
def _close_cells(values: Any, width: Any, y: Any, x: Any, by_cells: Any, closed: Any) -> Any:
    """Write the cells that a pixel closes with those above and left of it, and return their number."""
    at = y * width + x
    d = (at, at)
    n = _add(closed, 0, 1, d)
    if x > 0:
        cd = _last(values, (at - 1, at - 1), d)
        n = _add(closed, n, -1, cd)
    if y > 0:
        bd = _last(values, (at - width, at - width), d)
        n = _add(closed, n, -1, bd)
    if x > 0 and y > 0:
        a, c = (at - width - 1, at - width - 1), (at - 1, at - 1)
        abd = _last(values, a, bd)
        if by_cells:
            b = (at - width, at - width)
            bc = _last(values, b, c)
            n = _add(closed, n, -1, _last(values, a, d))
            n = _add(closed, n, -1, bc)
            n = _add(closed, n, 1, _last(values, a, bc))
            n = _add(closed, n, 1, abd)
            n = _add(closed, n, 1, _last(values, a, cd))
            n = _add(closed, n, 1, _last(values, b, cd))
        n = _add(closed, n, -1 if by_cells else 1, _last(values, abd, cd))
    return n


@borrowing_subroutine
def _last(values: Any, cell: Any, other: Any) -> Any:
    """Return the last pixels of the union of two cells, of each channel."""
    (i, j), (k, m) = cell, other
    first = i if values[0, i] > values[0, k] or (values[0, i] == values[0, k] and i > k) else k
    second = j if values[1, j] > values[1, m] or (values[1, j] == values[1, m] and j > m) else m
    return first, second


@borrowing_subroutine
def _add(closed: Any, n: Any, sign: Any, last: Any) -> Any:
    """Add the cell of these last pixels to the `n` that are there, and return how many it makes."""
    first, second = last
    for k in range(n):
        if closed[k, 0] == first and closed[k, 1] == second:
            closed[k, 2] += sign
            return n
    closed[n, 0], closed[n, 1], closed[n, 2] = first, second, sign
    return n + 1


@kernel
def ramps(values: Any, grid: Any, width: Any) -> Any:
    """Return the first bin that the ramp around each value rises in, its rises from there on, and slopes.

    The place of a value (N,) among those of the grid (R,), two or more and rising, is counted in bins; beyond
    the ends, bins are those at the ends. The first of R + 1 bins is before the first value of the grid, and
    the last one behind its last. A ramp goes over `width` bins, centred. Slopes are derivatives of the rises
    by the value; both are (N, K), float64.
    """
    n = len(grid)
    n_bins = min(math.ceil(width) + 1, n + 1)
    per_step = np.empty(n - 1)
    for at in range(n - 1):
        per_step[at] = 1 / (grid[at + 1] - grid[at])
    starts, per_bin = np.empty(values.size, np.int32), 1 / width
    rises, slopes = np.empty((values.size, n_bins)), np.empty((values.size, n_bins))
    for p in range(values.size):
        at = _bin_of(values[p], grid)
        place = at + (values[p] - grid[at]) * per_step[at]
        place = min(max(place, -width - 1.0), n + width)  # no more changes beyond
        start = min(max(math.floor(place - width / 2) + 1, 0), n + 1 - n_bins)
        starts[p], slope = start, per_step[at] * per_bin
        before, falls_before = _ramp((start - 1 - place) * per_bin + 0.5) if start > 0 else (0.0, False)
        for k in range(n_bins):
            here, falls = _ramp((start + k - place) * per_bin + 0.5) if start + k < n else (1.0, False)
            rises[p, k] = here - before
            slopes[p, k] = slope * (int(falls_before) - int(falls))
            before, falls_before = here, falls
    return starts, rises, slopes


@borrowing_subroutine
def _ramp(height: Any) -> Any:
    """Return the height of a ramp, cut off at 0 and 1, and whether it falls when its value grows."""
    return min(max(height, 0.0), 1.0), 0.0 <= height <= 1.0


@borrowing_subroutine
def _bin_of(value: Any, grid: Any) -> Any:
    """Return the bin between values of the grid that a value is in, from a guess that the grid corrects."""
    n = len(grid)
    if value < grid[1]:
        return 0
    if value >= grid[n - 2]:
        return n - 2
    at = min(int((value - grid[0]) * ((n - 1) / (grid[n - 1] - grid[0]))), n - 2)
    while grid[at] > value:
        at -= 1
    while grid[at + 1] <= value:
        at += 1
    return at


@kernel
def add_ramps(cells: Any, starts0: Any, rises0: Any, starts1: Any, rises1: Any, out: Any) -> None:
    """Write the sum over all `cells` of sign · ramp · ramp at each pair of grid values to `out` (R0, R1)."""
    n0, n1 = out.shape
    bins = zeros((n0 + 1) * (n1 + 1), np.float64).reshape(n0 + 1, n1 + 1)
    for c in range(len(cells)):
        i, j, sign = cells[c, 0], cells[c, 1], cells[c, 2]
        start0, start1 = starts0[i], starts1[j]
        for k in range(rises0.shape[1]):
            mass = sign * rises0[i, k]
            for m in range(rises1.shape[1]):
                bins[start0 + k, start1 + m] += mass * rises1[j, m]
    for k in range(n0):
        total = 0.0
        for m in range(n1):
            total += bins[k, m]
            out[k, m] = total + (out[k - 1, m] if k > 0 else 0.0)


@kernel
def ramp_gradient(
    cells: Any,
    starts0: Any,
    rises0: Any,
    slopes0: Any,
    starts1: Any,
    rises1: Any,
    slopes1: Any,
    upstream: Any,
    out: Any,
) -> None:
    """Add to `out` (2, N), float64, what `add_ramps` passes on of the gradient `upstream` (R0, R1)."""
    n0, n1 = upstream.shape
    behind = zeros((n0 + 1) * (n1 + 1), np.float64).reshape(n0 + 1, n1 + 1)  # all that a bin adds mass to
    for k in range(n0 - 1, -1, -1):
        total = 0.0
        for m in range(n1 - 1, -1, -1):
            total += upstream[k, m]
            behind[k, m] = total + behind[k + 1, m]
    for c in range(len(cells)):
        i, j, sign = cells[c, 0], cells[c, 1], cells[c, 2]
        start0, start1 = starts0[i], starts1[j]
        by_first = by_second = 0.0
        for k in range(rises0.shape[1]):
            here = there = 0.0
            for m in range(rises1.shape[1]):
                here += behind[start0 + k, start1 + m] * rises1[j, m]
                there += behind[start0 + k, start1 + m] * slopes1[j, m]
            by_first += slopes0[i, k] * here
            by_second += rises0[i, k] * there
        out[0, i] += sign * by_first
        out[1, j] += sign * by_second


def warm_up() -> None:
    """Compile for float32 and float64."""
    grid, surface = np.arange(2.0), np.zeros((2, 2))
    for dtype in (np.float32, np.float64):
        image = np.zeros((2, 2, 2), dtype)
        cells = last_pixels(image, False)
        starts, rises, slopes = ramps(image[0].reshape(-1), grid, 1.0)
    add_ramps(cells, starts, rises, starts, rises, surface)
    ramp_gradient(cells, *(starts, rises, slopes) * 2, surface, np.zeros((2, 4)))
