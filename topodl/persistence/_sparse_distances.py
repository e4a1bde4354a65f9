"""Sparse matrices of distances as lists of edges: no entry is no edge, an explicit zero is a distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from topodl._checks import as_real, as_tensor, check_tensor, fail
from topodl._distance_matrices import tolerances
from topodl.kernels.shared.radix import radix_argsort
from topodl.persistence._batch import to_host

__all__ = ["SparseDistances", "are_sparse", "joined", "read_sparse_distances"]

_EXPECTED = "a sparse matrix (N, N) of symmetric distances >= 0, or one triangle of it"


class SparseDistances(NamedTuple):
    """The edges of one sample, in the order (i, j), with i < j."""

    n: int
    edges: npt.NDArray[np.int64]
    """(E, 2)"""
    values: torch.Tensor
    """(E,), with gradient, on the device that they came on."""


def _is_sparse(x: Any) -> bool:
    return sparse.issparse(x) or (isinstance(x, torch.Tensor) and x.layout is not torch.strided)


def are_sparse(x: Any) -> bool:
    """Return whether `x` is a sparse matrix, or a sequence that has one."""
    return _is_sparse(x) or (isinstance(x, list | tuple) and any(map(_is_sparse, x)))


def read_sparse_distances(function: str, x: Any) -> list[SparseDistances]:
    """Return the edges of each sample of one matrix (N, N), a sequence of them, or a tensor (B, N, N)."""
    if not _is_sparse(x):
        return [_read(function, f"x[{k}]", matrix) for k, matrix in enumerate(x)]
    if isinstance(x, torch.Tensor) and x.ndim == 3:
        coordinates = check_tensor(function, "x", x).to_sparse_coo()
        return [_read(function, f"x[{k}]", coordinates[k]) for k in range(len(x))]
    return [_read(function, "x", x)]


def _read(function: str, argument: str, matrix: Any) -> SparseDistances:
    if not _is_sparse(matrix):
        matrix = as_real(function, argument, as_tensor(matrix) if isinstance(matrix, np.ndarray) else matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise fail(function, argument, f"has shape {tuple(matrix.shape)}", _EXPECTED)
    ends, values = _entries(function, argument, matrix)
    n, host = int(matrix.shape[0]), to_host(values).numpy().astype(np.float64)
    edges, places = _one_of_both(function, argument, ends, host, n, values.dtype)
    return SparseDistances(n, edges, values.index_select(0, torch.from_numpy(places).to(values.device)))


def _entries(function: str, argument: str, matrix: Any) -> tuple[npt.NDArray[np.int64], torch.Tensor]:
    """Return places (2, K) and values (K,) of the entries; entries of one place are summed, as is usual."""
    if isinstance(matrix, torch.Tensor) and matrix.layout is torch.strided:
        return np.indices(matrix.shape).reshape(2, -1), matrix.reshape(-1)
    if isinstance(matrix, torch.Tensor):
        matrix = check_tensor(function, argument, matrix).to_sparse_coo()
        if matrix.dense_dim():
            raise fail(function, argument, "has values that are tensors", _EXPECTED)
        matrix = matrix.coalesce()
        values = as_real(function, argument, matrix.values())
        return matrix.indices().cpu().numpy(), values
    rows = sparse.csr_array(matrix, copy=True)
    rows.sum_duplicates()
    entries = rows.tocoo()
    if entries.dtype not in (np.float32, np.float64):
        if entries.dtype.kind not in "biuf":
            raise TypeError(f"{function}: {argument} has dtype {entries.dtype}; expected real values")
        entries = entries.astype(np.float64)
    return np.stack(entries.coords).astype(np.int64), torch.from_numpy(entries.data)


def _one_of_both(
    function: str, argument: str, ends: npt.NDArray[np.int64], values: Any, n: int, dtype: torch.dtype
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the edges (E, 2), and where their entries are: above the diagonal, else the mirror images."""
    relative, rest = tolerances(dtype)
    off = np.flatnonzero(ends[0] != ends[1])
    largest = np.abs(values[off]).max(where=np.isfinite(values[off]), initial=0.0)
    wrong = off[~(values[off] >= -max(relative * largest, rest))]
    if len(wrong):
        i, j = ends[:, wrong[0]]
        came = f"has {values[wrong[0]]} at ({i}, {j})".replace("nan", "NaN")
        raise fail(function, argument, came, _EXPECTED)
    low, high = ends[:, off].min(axis=0), ends[:, off].max(axis=0)
    is_below = ends[0, off] > ends[1, off]
    keys = low * n + high
    order = radix_argsort(2 * keys + is_below)
    keys, edges, places = keys[order], np.stack([low[order], high[order]], 1), off[order]
    again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    first, second = values[places[again - 1]], values[places[again]]
    with np.errstate(invalid="ignore"):  # inf - inf
        apart = ~(np.abs(first - second) <= max(relative * largest, rest)) & (first != second)
    if apart.any():
        k = int(apart.argmax())
        i, j = edges[again[k]]
        came = f"has {first[k]} at ({i}, {j}) and {second[k]} at ({j}, {i})"
        raise fail(function, argument, came, _EXPECTED)
    is_first = np.ones(len(keys), np.bool_)
    is_first[again] = False
    return edges[is_first], places[is_first]


def joined(samples: Sequence[SparseDistances]) -> tuple[torch.Tensor, npt.NDArray[np.int64]]:
    """Return the values of all samples (E,), and their positions among the entries (ΣN²,) of all matrices."""
    keys, start = [np.empty(0, np.int64)], 0
    for n, edges, _ in samples:
        keys.append(start + edges[:, 0] * n + edges[:, 1])
        start += n * n
    values = [sample.values for sample in samples] or [torch.empty(0, device="cpu")]
    return torch.cat(values), np.concatenate(keys)
