"""Squared distances in many dimensions from one matrix product, as bounds: they filter, and decide nothing.

Where bounds leave a question open, the exact distance of that pair answers it, so that results depend neither
on the product's order of summation nor on its precision. Cost O(n² d), most of it in BLAS.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["centred_products", "pair_distance", "power_of_two", "squares_fit"]

_SMALLEST, _LARGEST = 1e-130, 1e150  # differences of such coordinates have squares without loss
_LEAST, _MOST = 1e-290, 1e300  # sums of squares outside are not trusted


def centred_products(points: Any, dtype: Any) -> Any:
    """Return products G (n, n) and norms N (n,) of points (n, d), a relative error e, and a scale.

    The squared distance of points i and j, times the square of the scale, a power of two, lies within
    e (N_i + N_j) + 2e-30 of N_i + N_j - 2 G_ij, also if that is evaluated in `dtype`.
    """
    centred = np.empty(points.shape, dtype)
    scale = _centre(points, centred)
    products = centred @ centred.copy().T  # copied: NumPy is slower on A Aᵀ
    # A scalar product of d terms is wrong by at most d eps / 2 of the norms' product, whatever the order, and
    # so is a norm: together by d eps (N_i + N_j). Beside that the rounding of the centred points counts for 2
    # eps and that of the sum for 1.5. What is too small to be rounded relatively is below 1e-30.
    relative = (1.1 * points.shape[1] + 8) * float(np.finfo(dtype).eps)
    return products, products.diagonal().copy(), relative, scale


@kernel
def _centre(points: Any, centred: Any) -> float:
    n, n_dims = points.shape
    mean, scale = np.zeros(n_dims), power_of_two(points) / 2
    for i in range(n):
        for c in range(n_dims):
            mean[c] += points[i, c] * scale
    for c in range(n_dims):
        mean[c] /= n
    for i in range(n):
        for c in range(n_dims):
            centred[i, c] = points[i, c] * scale - mean[c]
    return scale


@subroutine
def power_of_two(points: Any) -> float:
    """Return a power of two that scales the largest coordinate of `points` (n, d) to within 1."""
    largest, overall = np.zeros(points.shape[1]), 0.0
    for i in range(len(points)):
        for c in range(len(largest)):  # without branches, so that it runs on vectors
            size = np.float64(abs(points[i, c]))
            largest[c] = size if size > largest[c] else largest[c]
    for c in range(len(largest)):
        overall = max(overall, largest[c])
    return math.ldexp(1.0, min(-math.frexp(overall)[1], 1023))


@subroutine
def squares_fit(points: Any) -> bool:
    """Return whether squared differences of all coordinates (n, d) are normal numbers or 0.

    A difference is a multiple of the last bit of the smaller of two numbers.
    """
    fit = True
    for i in range(points.shape[0]):
        for c in range(points.shape[1]):
            size = np.float64(abs(points[i, c]))
            fit &= (size <= _LARGEST) & ((size >= _SMALLEST) | (size == 0.0))
    return fit


@borrowing_subroutine
def pair_distance(points: Any, i: Any, j: Any, room: Any) -> Any:
    """Return the distance of two points as float64, rounded to their precision, as `row_distances` does.

    There must be `room` for as many float64 as points have coordinates.
    """
    own, other, n_dims = points[i], points[j], points.shape[1]
    for k in range(n_dims):  # apart from the sum, whose order is not that of vectors
        a = np.float64(own[k]) - np.float64(other[k])
        room[k] = a * a
    total = _sum_by_fours(room, n_dims)
    length = np.sqrt(total)
    if not _LEAST <= total <= _MOST:
        length = _scaled_distance(own, other, room, n_dims)
    return np.float64(points.dtype.type(length))


@borrowing_subroutine
def _sum_by_fours(values: Any, n: Any) -> Any:
    total, c = 0.0, 0
    while c + 4 <= n:
        total += (values[c] + values[c + 1]) + (values[c + 2] + values[c + 3])
        c += 4
    while c < n:
        total += values[c]
        c += 1
    return total


@borrowing_subroutine
def _scaled_distance(own: Any, other: Any, room: Any, n_dims: Any) -> Any:
    """Return the distance from squares in a unit, a power of two, where they neither vanish nor overflow."""
    largest = 0.0
    for k in range(n_dims):
        room[k] = np.float64(own[k]) - np.float64(other[k])
        largest = max(largest, abs(room[k]))
    if largest == 0.0:
        return 0.0
    exponent = math.frexp(largest)[1] - 1
    for k in range(n_dims):
        a = math.ldexp(room[k], -exponent)
        room[k] = a * a
    return math.ldexp(np.sqrt(_sum_by_fours(room, n_dims)), exponent)
