"""Euler characteristic transforms: signed counts of simplices below each threshold, in each direction.

Turner, Mukherjee, Boyer 2014. Cost: simplices · directions, plus the thresholds; the sigmoids of the soft
transform are evaluated only where they are neither 0 nor 1 to the last digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["hard_transform", "soft_gradient", "soft_transform", "warm_up"]

Array = np.ndarray[Any, np.dtype[Any]]


@kernel
def hard_transform(
    x: Array,
    directions: Array,
    vertex_offsets: Array,
    simplices: Array,
    offsets: Array,
    weights: Array,
    thresholds: Array,
    samples: Array,
    out: Array,
) -> None:
    """Add to `out` (B, J, T) the weights of the simplices that are no higher than each threshold.

    Parameters
    ----------
    x : ndarray of shape (N, d)
        Vertices, sample after sample.
    directions : ndarray of shape (d, J)
    vertex_offsets : ndarray of shape (B + 1,)
        Where the vertices of each sample begin.
    simplices : ndarray of shape (S, k + 1), int64
        Vertices of each simplex, sample after sample.
    offsets : ndarray of shape (B + 1,)
        Where the simplices of each sample begin.
    weights : ndarray of shape (S,)
        Weight of each simplex, its sign included.
    thresholds : ndarray of shape (T,)
        Increasing, evenly spaced.
    samples : ndarray
        The samples to work on.
    """
    n_directions, n_thresholds = directions.shape[1], len(thresholds)
    kind = x.dtype.type
    origin = thresholds[0]
    span = thresholds[-1] - origin
    per_step = kind((n_thresholds - 1) / span) if span > 0 else kind(0)
    none, all_of_them = kind(0), kind(n_thresholds)
    fences = np.empty(n_thresholds + 2, dtype=x.dtype)
    fences[0], fences[n_thresholds + 1] = -np.inf, np.inf
    for k in range(n_thresholds):
        fences[k + 1] = thresholds[k]
    largest = 0
    for sample in samples:
        largest = max(largest, vertex_offsets[sample + 1] - vertex_offsets[sample])
    heights = np.empty((largest, n_directions), dtype=x.dtype)
    highest = np.empty(n_directions, dtype=x.dtype)
    places = np.empty(n_directions, dtype=np.int32)
    length = n_thresholds + 1
    counts = np.empty(n_directions * length, dtype=x.dtype)
    for sample in samples:
        start = vertex_offsets[sample]
        _write_heights(x, directions, start, vertex_offsets[sample + 1], heights)
        counts[:] = 0
        for s in range(offsets[sample], offsets[sample + 1]):
            vertex = simplices[s, 0] - start
            for j in range(n_directions):
                highest[j] = heights[vertex, j]
            for k in range(1, simplices.shape[1]):
                vertex = simplices[s, k] - start
                for j in range(n_directions):
                    highest[j] = max(highest[j], heights[vertex, j])
            for j in range(n_directions):
                guess = (highest[j] - origin) * per_step + kind(1)
                guess = guess if guess > none else none
                guess = guess if guess < all_of_them else all_of_them
                places[j] = np.int32(guess)
            weight = weights[s]
            for j in range(n_directions):
                place = np.int64(places[j])
                # The guess is one off where rounding made it so: the fences decide.
                place += np.int64(highest[j] > fences[place + 1]) - np.int64(highest[j] <= fences[place])
                counts[j * length + place] += weight
        for j in range(n_directions):
            total = none
            for k in range(n_thresholds):
                total += counts[j * length + k]
                out[sample, j, k] += total


@borrowing_subroutine
def _write_heights(x: Array, directions: Array, first: int, last: int, heights: Array) -> None:
    """Write the heights of the vertices `first` to `last` in each direction."""
    for i in range(last - first):
        value = x[first + i, 0]
        for j in range(directions.shape[1]):
            heights[i, j] = value * directions[0, j]
        for axis in range(1, x.shape[1]):
            value = x[first + i, axis]
            for j in range(directions.shape[1]):
                heights[i, j] += value * directions[axis, j]


@kernel
def soft_transform(
    heights: Array,
    places: Array,
    tails: Array,
    ratios: Array,
    simplices: Array,
    offsets: Array,
    weights: Array,
    samples: Array,
    out: Array,
) -> None:
    """Add to `out` (B, J, T) the weighted sigmoids of the simplices, each over a window of thresholds.

    Parameters
    ----------
    heights : ndarray of shape (N, J)
        Heights of the vertices; a simplex is where its highest vertex is.
    places : ndarray of shape (N, J), int32
        First threshold of the window of each vertex, moved by the window's width: in [0, T + width].
    tails : ndarray of shape (N, J)
        exp of minus the argument of the sigmoid there.
    ratios : ndarray of shape (width,)
        What the exponential is multiplied with along the window. Behind it, the sigmoid is 1.
    simplices, offsets, weights, samples
        As in `hard_transform`.
    """
    n_directions, n_thresholds = out.shape[1], out.shape[2]
    one, none = ratios.dtype.type(1), ratios.dtype.type(0)
    width = len(ratios)
    length = n_thresholds + 2 * width + 1
    sums = np.empty(n_directions * length, dtype=heights.dtype)
    steps = np.empty(n_directions * length, dtype=heights.dtype)
    highest = np.empty(n_directions, dtype=np.int64)
    for sample in samples:
        sums[:] = 0
        steps[:] = 0
        for s in range(offsets[sample], offsets[sample + 1]):
            _find_highest(heights, simplices, s, highest)
            weight = weights[s]
            for j in range(n_directions):
                vertex = highest[j]
                base = j * length + places[vertex, j]
                tail = tails[vertex, j]
                for k in range(width):
                    sums[base + k] += np.true_divide(weight, one + tail * ratios[k])
                steps[base + width] += weight
        for j in range(n_directions):
            above = none
            for k in range(width):
                above += steps[j * length + k]
            for k in range(n_thresholds):
                above += steps[j * length + width + k]
                out[sample, j, k] += above + sums[j * length + width + k]


@kernel
def soft_gradient(
    heights: Array,
    places: Array,
    tails: Array,
    ratios: Array,
    simplices: Array,
    offsets: Array,
    weights: Array,
    samples: Array,
    grad: Array,
    out: Array,
) -> None:
    """Add to `out` (N, J) the gradient of the sigmoids' arguments, given that of their sums, (B, J, T)."""
    n_directions, n_thresholds = grad.shape[1], grad.shape[2]
    one, none = ratios.dtype.type(1), ratios.dtype.type(0)
    width = len(ratios)
    length = n_thresholds + 2 * width + 1
    padded = np.zeros(n_directions * length, dtype=heights.dtype)
    flow = np.empty(width, dtype=heights.dtype)
    highest = np.empty(n_directions, dtype=np.int64)
    for sample in samples:
        for j in range(n_directions):
            for k in range(n_thresholds):
                padded[j * length + width + k] = grad[sample, j, k]
        for s in range(offsets[sample], offsets[sample + 1]):
            _find_highest(heights, simplices, s, highest)
            weight = weights[s]
            for j in range(n_directions):
                vertex = highest[j]
                base = j * length + places[vertex, j]
                tail = tails[vertex, j]
                for k in range(width):
                    power = tail * ratios[k]
                    flow[k] = padded[base + k] * np.true_divide(power, (one + power) * (one + power))
                a, b, c, d = none, none, none, none
                for k in range(0, width, 4):  # four sums at once: a single one waits for its last addition
                    a += flow[k]
                    b += flow[k + 1]
                    c += flow[k + 2]
                    d += flow[k + 3]
                out[vertex, j] += weight * ((a + b) + (c + d))


@borrowing_subroutine
def _find_highest(heights: Array, simplices: Array, s: int, highest: Array) -> None:
    """Write the highest vertex of the simplex `s` in each direction, the first of several."""
    for j in range(len(highest)):
        highest[j] = simplices[s, 0]
    for k in range(1, simplices.shape[1]):
        vertex = simplices[s, k]
        for j in range(len(highest)):
            if heights[vertex, j] > heights[highest[j], j]:
                highest[j] = vertex


def warm_up() -> None:
    """Compile for float32 and float64."""
    offsets, samples = np.array([0, 1]), np.zeros(1, dtype=np.int64)
    simplices = np.zeros((1, 1), dtype=np.int64)
    for kind in (np.float32, np.float64):
        x, ends, weights = np.zeros((1, 1), kind), np.zeros(2, kind), np.ones(1, kind)
        out, ratios, places = np.zeros((1, 1, 2), kind), np.ones(8, kind), np.zeros((1, 1), np.int32)
        hard_transform(x, x, offsets, simplices, offsets, weights, ends, samples, out)
        soft_transform(x, places, x, ratios, simplices, offsets, weights, samples, out)
        soft_gradient(x, places, x, ratios, simplices, offsets, weights, samples, out, x.copy())
