"""Matrices of distances as they come: exact up to rounding, for all that take them.

`torch.cdist` multiplies matrices, and 1 − cosine similarity cancels: what they give is not symmetric, below
0, or above it on the diagonal. Within one tolerance it counts as what it stands for.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from topodl._checks import fail
from topodl._host import host_array, is_traced, on_host
from topodl._precision import at_least_single, unit_of
from topodl.kernels.points.rips_edges import inspect_matrix

__all__ = [
    "as_distances",
    "distances_between",
    "edge_lengths",
    "entries_or_lengths",
    "lengths_of",
    "point_distances",
    "settled",
    "warn_of_distances",
]

_LEAST = 2.0**-450  # of lengths whose squares are numbers as exact as they are
_EXPECTED = "symmetric distances of at least 0, up to rounding"


def tolerances(dtype: torch.dtype) -> tuple[float, float]:
    """Return what rounding may do to distances: a share of the largest, and what is left of 1 − 1."""
    relative = 1e-6 if dtype == torch.float64 else max(1e-3, torch.finfo(dtype).eps)
    return relative, 8 * torch.finfo(dtype).eps


def point_distances(points: torch.Tensor) -> torch.Tensor:
    """Return the distances (…, N, N) of points (…, N, d); the gradient of a distance of 0 is 0."""
    if is_traced(
        points
    ):  # `cdist` has no forward mode, and gives gradients in batches the values of the first
        return torch.linalg.vector_norm(points[..., :, None, :] - points[..., None, :, :], dim=-1)
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")


def edge_lengths(points: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Return lengths of `edges` (2, m) in float64, rounded to the points' dtype; 0 has gradient 0."""
    ends = points.index_select(0, edges.reshape(-1)).double()
    tails, heads = ends.view(2, edges.shape[1], points.shape[1])
    return lengths_of(tails - heads, points.dtype)


def lengths_of(differences: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the lengths (…) of `differences` (…, d) in float64 between points of `dtype`, rounded to it."""
    lengths = torch.linalg.vector_norm(differences, dim=-1)
    if dtype != torch.float64:  # squares of whose differences fit
        return lengths.to(dtype)
    if on_host(differences):
        values = lengths.detach().numpy()
        if not values.size or (values.min() > _LEAST and values.max() < 1 / _LEAST):
            return lengths
    units = unit_of(differences.detach().abs().amax(-1))
    return torch.linalg.vector_norm(differences / units[..., None], dim=-1) * units


def entries_or_lengths(flat: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Return entries edges[0] of matrices (ΣN²,), or lengths of `edges` (2, m) of points (ΣN, d)."""
    # Rounding may leave a distance a little below 0.
    return flat.index_select(0, edges[0]).clamp(min=0.0) if flat.ndim == 1 else edge_lengths(flat, edges)


def distances_between(clouds: torch.Tensor) -> torch.Tensor:
    """Return `edge_lengths` of all pairs of points of clouds (b, n, d), in matrices (b, n, n)."""
    b, n, d = clouds.shape
    i, j = torch.triu_indices(n, n, 1, device=clouds.device)
    starts = n * torch.arange(b, device=clouds.device)[:, None]
    edges = torch.stack(((starts + i).reshape(-1), (starts + j).reshape(-1)))
    lengths = edge_lengths(clouds.reshape(b * n, d), edges).view(b, len(i))
    upper = clouds.new_zeros(b, n, n).index_put(
        (torch.arange(b, device=clouds.device)[:, None], i[None], j[None]), lengths
    )
    return upper + upper.mT


def warn_of_distances(function: str, argument: str, points: torch.Tensor, stacklevel: int = 2) -> None:
    """Warn if `points` (N, d) have the form of a matrix of distances, which points hardly ever have."""
    n = points.shape[-1]
    if n < 3 or points.shape != (n, n) or is_traced(points):
        return
    table = at_least_single(points.detach())
    off = tolerances(points.dtype)[0] * table.abs().max()
    alike = ((table - table.mT).abs() <= off) & (table >= -off)
    if bool(table.any()) and bool((table.diagonal().abs() <= off).all()) and bool(alike.all()):
        warnings.warn(
            f"{function}: {argument} is square, symmetric and 0 on its diagonal, and is read as {n} points "
            f"in {n} dimensions; metric='precomputed' reads it as distances",
            stacklevel=stacklevel + 1,
        )


def as_distances(function: str, argument: str, matrices: torch.Tensor, first: int = 0) -> torch.Tensor:
    """Return `matrices` (B, N, N), exactly symmetric, non-negative and 0 on the diagonal; gradients pass.

    What is exact already is returned as it is; else the upper triangle holds. Errors count them from `first`.
    """
    host = host_array(function, at_least_single(matrices))
    exact = True
    for k, matrix in enumerate(host):
        i, _, symmetric = inspect_matrix(matrix)
        diagonal = matrix.diagonal()
        if i >= 0 or not symmetric or diagonal.any():
            name = f"{argument}[{first + k}]"
            _reject_diagonal(function, name, diagonal, settled(function, name, matrix, matrices.dtype))
            exact = False
    if exact:
        return matrices
    upper = matrices.triu(1).clamp(min=0.0)
    return upper + upper.mT


def settled(function: str, argument: str, matrix: Any, dtype: torch.dtype, expected: str = _EXPECTED) -> Any:
    """Return the array (N, N), exactly symmetric and non-negative, with zeros on the diagonal.

    The upper triangle holds; the first entry beyond the tolerance of `dtype` is named by an error.
    """
    upper, lower = np.triu(matrix, 1), np.tril(matrix, -1).T
    largest = np.abs(upper).max(where=np.isfinite(upper), initial=0.0)
    relative, rest = tolerances(dtype)
    least = np.minimum(upper, lower)
    with np.errstate(invalid="ignore"):  # inf - inf
        negative = ~(least >= -max(relative * largest, rest))
        allowed = np.where(least < 0, max(relative * largest, rest), relative * largest)
        apart = ~(np.abs(upper - lower) <= allowed) & (upper != lower)
    if (negative | apart).any():
        i, j = np.argwhere(negative | apart)[0]
        came = f"has {matrix[i, j]} at ({i}, {j}) and {matrix[j, i]} at ({j}, {i})".replace("nan", "NaN")
        raise fail(function, argument, came, expected)
    upper = np.maximum(upper, 0)
    return upper + upper.T


def _reject_diagonal(function: str, argument: str, diagonal: Any, matrix: Any) -> None:
    relative, rest = tolerances(torch.from_numpy(matrix).dtype)
    wrong = np.flatnonzero(~(np.abs(diagonal) <= max(relative * matrix.max(initial=0.0), rest)))
    if len(wrong):
        i = wrong[0]
        raise fail(function, argument, f"has {diagonal[i]} at ({i}, {i})", "a zero diagonal, up to rounding")
