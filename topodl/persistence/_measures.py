"""What every function to `SignedMeasures` shares: tables of signed points, and the gather of coordinates.

Rows of a table are samples, dimensions and weights, then k rows of the first cells and k of the others.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from topodl.persistence._batch import to_device
from topodl.signed_measures import SignedMeasures

__all__ = ["assemble_measures", "fake_measures", "on_device", "reached"]

Array = npt.NDArray[Any]
_HEAD = 3  # rows of a table before those of the cells: sample, dimension, weight


def reached(values: Array) -> Array:
    """Return which of the values (2, n) of both parameters are ever reached: +inf is never."""
    present: Array = np.logical_and(values[0] < np.inf, values[1] < np.inf)
    return present


def fake_measures(like: torch.Tensor, cell_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a table of an unknown number of points, and where these stand: what a compiler traces with."""
    n = torch.library.get_ctx().new_dynamic_size()
    table = like.new_empty((_HEAD + 2 * cell_size, n), dtype=torch.int64)
    return table, like.new_empty((2 * n,), dtype=torch.int64)


def assemble_measures(
    table: torch.Tensor, points: torch.Tensor, n_samples: int, dims: Iterable[int]
) -> SignedMeasures:
    """Return the measures of an ordered `table`, whose points have been gathered."""
    return SignedMeasures._from((points,), n_samples, tuple(dims), functools.partial(_unpacked, table))


def _unpacked(table: torch.Tensor, name: str) -> torch.Tensor:
    """Return one of the tensors of integers of `SignedMeasures`."""
    if name == "cells":
        width = (table.shape[0] - _HEAD) // 2
        return table[_HEAD:].view(2, width, table.shape[1]).permute(2, 0, 1)
    return table[("samples", "dims", "weights").index(name)]


def on_device(table: Array, sources: Array, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a table of points and where their coordinates stand as tensors on `device`."""
    return to_device(table, device), to_device(sources, device)
