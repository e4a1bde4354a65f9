"""The lens of a map of predictions: probabilities of classes, smoothed over a graph of the samples.

M. Liu, T. K. Dey, D. F. Gleich, "Topological structure of complex predictions", Nature Machine Intelligence,
2023. Cost: one sparse product a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["averaging", "distinct_columns", "smoothed", "unit_ranges"]

Array = np.ndarray[Any, np.dtype[Any]]
_MIRRORED = 1e-6  # the rounding of single precision


def averaging(adjacency: sparse.csr_array) -> sparse.csr_array:
    """Return the matrix that takes the mean over the neighbours of each sample; itself where it has none."""
    degrees = np.diff(adjacency.indptr)
    alone = sparse.dia_array(((degrees == 0).astype(np.float64)[None], [0]), shape=adjacency.shape)
    inverse = sparse.dia_array((1.0 / np.maximum(degrees, 1)[None], [0]), shape=adjacency.shape)
    return sparse.csr_array(inverse @ adjacency + alone)


def smoothed(mean: sparse.csr_array, values: Array, share: float, n_steps: int) -> Array:
    """Return `values` (n, columns) after steps to a `share` of the neighbours' mean and the rest of them."""
    result = values
    for _ in range(n_steps):
        result = (1.0 - share) * values + share * (mean @ result)
    return result


def unit_ranges(values: Array) -> Array:
    """Return `values` (n, columns) with the range of each column brought to [0, 1]; constant ones stay."""
    low, high = values.min(axis=0), values.max(axis=0)
    constant = low == high
    low, width = np.where(constant, 0.0, low), np.where(constant, 1.0, high - low)
    return (values - low) / width


def distinct_columns(predictions: Array, resolution: float) -> Array:
    """Return the columns of `predictions` (n, C) without those that are mirror images of others.

    Two columns that add up to 1 split the samples alike, but for an overlap that reaches to one side alone
    and for rounding, which would decide by which of them. The one with the larger mean stays: the order of
    the classes has no say. `resolution` is the unit of rounding of the numbers as they came.
    """
    tolerance = max(_MIRRORED, 4.0 * resolution)
    means = predictions.mean(axis=0)
    dropped: set[int] = set()
    for a in range(predictions.shape[1]):
        close = np.flatnonzero(np.abs(means[a] + means[a + 1 :] - 1.0) <= tolerance) + a + 1
        for b in close.tolist():
            if {a, b} & dropped or np.abs(predictions[:, a] + predictions[:, b] - 1.0).max() > tolerance:
                continue
            dropped.add(b if _leads(predictions[:, a], predictions[:, b], tolerance) else a)
    return np.array([column for column in range(predictions.shape[1]) if column not in dropped])


def _leads(one: Array, other: Array, tolerance: float) -> bool:
    """Return whether the mean of the first of two columns is larger, or else its first value."""
    if abs(one.mean() - other.mean()) > tolerance:
        return bool(one.mean() > other.mean())
    apart = np.flatnonzero(np.abs(one - other) > tolerance)
    return not apart.size or bool(one[apart[0]] > other[apart[0]])
