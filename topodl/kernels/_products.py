"""Squared distances in many dimensions from one matrix product, as bounds: they filter, and decide nothing.

Where bounds leave a question open, the exact distance of that pair answers it, so that results depend neither
on the product's order of summation nor on its precision. Cost O(n² d), most of it in BLAS.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from topodl.kernels._compile import kernel, subroutine

__all__ = ["centred_products", "pair_distance", "power_of_two"]


def centred_products(points: Any, dtype: Any) -> Any:
    """Return products G (n, n) and norms N (n,) of points (n, d) float64, a relative error e, and a scale.

    The squared distance of points i and j, times the square of the scale, a power of two, lies within
    e (N_i + N_j) + 2e-30 of N_i + N_j - 2 G_ij, also if that is evaluated in `dtype`.
    """
    centred, norms = np.empty(points.shape, dtype), np.empty(len(points), dtype)
    scale = _centre(points, centred, norms)
    # A scalar product of d terms is wrong by at most d eps / 2 of the norms' product, whatever the order; the
    # rest is for the rounding of all else. What is too small to be rounded relatively is below 1e-30.
    relative = (points.shape[1] + 32) * float(np.finfo(dtype).eps)
    return centred @ centred.T.copy(), norms, relative, scale  # copied: NumPy is slower on A Aᵀ


@kernel
def _centre(points: Any, centred: Any, norms: Any) -> float:
    n, n_dims = points.shape
    mean = np.zeros(n_dims)
    for i in range(n):
        for c in range(n_dims):
            mean[c] += points[i, c]
    for c in range(n_dims):
        mean[c] /= n
    scale = power_of_two(points) / 2
    for i in range(n):
        for c in range(n_dims):
            centred[i, c] = (points[i, c] - mean[c]) * scale
        norms[i] = _squared_norm(centred[i])
    return scale


@subroutine
def _squared_norm(point: Any) -> Any:
    """Return the squared norm of a point in float64, by four sums that do not wait for each other."""
    first, second, third, fourth, c = 0.0, 0.0, 0.0, 0.0, 0
    while c + 4 <= len(point):
        first += np.float64(point[c]) ** 2
        second += np.float64(point[c + 1]) ** 2
        third += np.float64(point[c + 2]) ** 2
        fourth += np.float64(point[c + 3]) ** 2
        c += 4
    while c < len(point):
        first += np.float64(point[c]) ** 2
        c += 1
    return (first + second) + (third + fourth)


@subroutine
def power_of_two(points: Any) -> float:
    """Return a power of two that scales the largest coordinate of `points` (n, d) float64 to within 1."""
    # Floats are ordered as their bits are but for the sign, and the largest integer is found on vectors.
    bits, largest = points.view(np.int64), np.int64(0)
    for i in range(len(bits)):
        for c in range(bits.shape[1]):
            largest = max(largest, bits[i, c] & 0x7FFFFFFFFFFFFFFF)
    exponent = int(largest >> 52) - 1022
    return math.ldexp(1.0, -exponent) if exponent > -960 else 1.0


@subroutine
def pair_distance(points: Any, i: Any, j: Any, single: bool) -> Any:
    """Return the distance of two points in float64, bit for bit the one that `row_distances` gives."""
    # Points of float32 become double one by one.
    total, n_dims, c, one = 0.0, points.shape[1], 0, np.float64(1)
    while c + 4 <= n_dims:
        a, b = one * points[i, c] - points[j, c], one * points[i, c + 1] - points[j, c + 1]
        e, f = one * points[i, c + 2] - points[j, c + 2], one * points[i, c + 3] - points[j, c + 3]
        total += (a * a + b * b) + (e * e + f * f)
        c += 4
    while c < n_dims:
        a = one * points[i, c] - points[j, c]
        total += a * a
        c += 1
    return np.float64(np.float32(np.sqrt(total))) if single else np.sqrt(total)
