"""What every function to `SignedMeasures` shares: signed rows of integers, their order, and the gather."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from topodl.kernels.shared.radix import radix_argsort
from topodl.persistence._batch import to_device
from topodl.signed_measures import SignedMeasures

__all__ = ["EULER", "assemble_measures", "fake_measures", "on_device", "ordered_table", "reached"]

Array = npt.NDArray[Any]
EULER = -1  # the dimension that stands for the Euler characteristic
_HEAD = 3  # rows of a table before those of the cells: sample, dimension, weight


def reached(values: Array) -> Array:
    """Return which of the values (2, n) of both parameters are ever reached: +inf is never."""
    present: Array = np.logical_and(values[0] < np.inf, values[1] < np.inf)
    return present


def ordered_table(
    samples: Array, dims: Array, weights: Array, cells: Array, sources: Array, tables: Sequence[Array]
) -> tuple[Array, Array]:
    """Return signed points in order as one table of integers, and where their coordinates stand.

    Parameters
    ----------
    samples, dims, weights : ndarray of shape (P,)
    cells : ndarray of shape (2, P)
        Numbers of the two cells of each point, columns of `tables`: of the points of a dimension that share
        the first cell, at most one has a smaller second cell, one the same, and one a larger.
    sources : ndarray of shape (2, P)
        Where the coordinates of each point stand.
    tables : sequence of ndarray of shape (k, C)
        What the two cells are called, of each parameter.

    Returns
    -------
    table : ndarray of shape (3 + 2 k, P)
        Samples, dimensions, weights, and the cells of both parameters, by (sample, dimension, cells).
    sources : ndarray of shape (2 P,)
    """
    order, width = _order(samples, dims, cells), len(tables[0])
    table, places = np.empty((_HEAD + 2 * width, len(order)), np.int64), np.empty((len(order), 2), np.int64)
    for row, values in enumerate((samples, dims, weights)):
        table[row] = values[order]
    for i, names in enumerate(tables):
        places[:, i] = sources[i][order]
        chosen = cells[i][order]
        for j in range(width):
            table[_HEAD + i * width + j] = names[j][chosen]
    return table, places.reshape(-1)


def _order(samples: Array, dims: Array, cells: Array) -> Array:
    if len(samples) == 0:
        return np.empty(0, np.int64)
    n_cells, first = int(cells.max()) + 1, int(dims.min())
    n_dims = int(dims.max()) + 1 - first
    later = np.sign(cells[1] - cells[0]) + 1
    keys = ((samples * n_dims + (dims - first)) * n_cells + cells[0]) * 3 + later
    order: Array = radix_argsort(keys)
    return order


def fake_measures(like: torch.Tensor, cell_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `ordered_table` does, with an unknown number of points: what a compiler traces with."""
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
    """Return what `ordered_table` made as tensors on `device`."""
    return to_device(table, device), to_device(sources, device)
