"""What comes into a map of predictions, checked: probabilities, labels, which are known, more lenses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from topodl._checks import as_real, as_tensor, fail, reject_non_finite
from topodl._precision import to_numpy

__all__ = ["Predictions", "read_extra_lens", "read_known", "read_labels", "read_predictions"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "PredictionMapper"
_LARGEST = 1e150  # differences and means of what is smaller are finite


@dataclass(frozen=True)
class Predictions:
    """Probabilities (n, C) in double precision, and the unit of rounding of those that came."""

    probabilities: Array
    resolution: float


def _table(argument: str, value: Any) -> torch.Tensor:
    value = value.to_numpy() if hasattr(value, "to_numpy") else value
    table = as_real(_NAME, argument, as_tensor(value))
    reject_non_finite(_NAME, argument, table)
    return table


def read_predictions(predictions: Any) -> Predictions:
    """Return checked probabilities of classes."""
    table = _table("predictions", predictions)
    if table.ndim != 2 or len(table) == 0 or table.shape[1] < 2:
        expected = "probabilities (n, C) of at least one sample and two classes"
        raise fail(_NAME, "predictions", f"has shape {tuple(table.shape)}", expected)
    values, resolution = to_numpy(table).astype(np.float64), torch.finfo(table.dtype).eps
    outside = (values < -resolution) | (values > 1 + 4 * resolution)
    if outside.any():
        row, column = np.argwhere(outside)[0]
        came, expected = f"is {values[row, column]:g}", "a probability: logits go through softmax first"
        raise fail(_NAME, f"predictions[{row}, {column}]", came, expected)
    return Predictions(values, resolution)


def read_extra_lens(extra_lens: Any, n: int) -> Array:
    """Return checked columns (n, L) that stand beside those of the classes; one column may be (n,)."""
    if extra_lens is None:
        return np.empty((n, 0))
    table = _table("extra_lens", extra_lens)
    if table.ndim not in (1, 2) or len(table) != n:
        raise fail(_NAME, "extra_lens", f"has shape {tuple(table.shape)}", f"shape ({n}, L)")
    values = to_numpy(table).astype(np.float64).reshape(n, -1)
    if np.abs(values).max(initial=0.0) > _LARGEST:
        raise fail(_NAME, "extra_lens", f"has {np.abs(values).max():g}", f"values of at most {_LARGEST:g}")
    return values


def _integers(argument: str, value: Any) -> Array:
    values = to_numpy(as_tensor(value.to_numpy() if hasattr(value, "to_numpy") else value))
    if values.dtype.kind not in "iu":
        raise TypeError(f"{_NAME}: {argument} has dtype {values.dtype}; expected integers")
    return values.astype(np.int64)


def read_labels(labels: Any, n: int, n_classes: int) -> Array:
    """Return the class (n,) of each sample, -1 where it has none."""
    if labels is None:
        return np.full(n, -1)
    values = _integers("labels", labels)
    if values.shape != (n,):
        raise fail(_NAME, "labels", f"has shape {values.shape}", f"shape ({n},), as there are predictions")
    wrong = np.flatnonzero((values < -1) | (values >= n_classes))
    if wrong.size:
        expected = f"a class from 0 to {n_classes - 1}, or -1 for none"
        raise fail(_NAME, f"labels[{wrong[0]}]", f"is {values[wrong[0]]}", expected)
    return values


def read_known(known: Any, labels: Array) -> Array:
    """Return which samples vote (n,): those that have a label, or `known` ones, by a mask or by indices."""
    n = labels.size
    if known is None:
        return labels >= 0
    mask = to_numpy(as_tensor(known.to_numpy() if hasattr(known, "to_numpy") else known))
    if mask.dtype != np.bool_:
        indices = _integers("known", known) if mask.size else np.empty(0, np.int64)
        expected = f"samples from 0 to {n - 1}, or a mask of shape ({n},)"
        if indices.ndim != 1:
            raise fail(_NAME, "known", f"has shape {indices.shape}", expected)
        if indices.size and not 0 <= indices.min() <= indices.max() < n:
            raise fail(_NAME, "known", f"has samples from {indices.min()} to {indices.max()}", expected)
        mask = np.zeros(n, dtype=bool)
        mask[indices] = True
    if mask.shape != (n,):
        raise fail(_NAME, "known", f"is a mask of shape {mask.shape}", f"shape ({n},)")
    silent = np.flatnonzero(mask & (labels < 0))
    if silent.size:
        raise fail(_NAME, "known", f"has sample {silent[0]}, which has no label", "samples with labels")
    return mask
