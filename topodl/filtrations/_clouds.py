"""What the filtrations of clouds share: one function of a batch of equal clouds, applied to whatever came."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from topodl._checks import check_choice
from topodl._clouds import as_clouds, checked_clouds
from topodl._distance_matrices import as_distances, warn_of_distances
from topodl._host import host_array
from topodl._precision import at_least_single

__all__ = ["Clouds", "Metric", "map_clouds"]

Metric = Literal["euclidean", "precomputed"]
Clouds = torch.Tensor | Sequence[torch.Tensor]

_POINTS = "finite points of shape (B, N, d), or a list of (N_i, d)"
_MATRICES = "symmetric distances >= 0 of shape (B, N, N), or a list of (N_i, N_i)"
_MOST_ENTRIES = 2**22  # of distances, or of their coordinates, that one step looks at


def map_clouds(
    name: str,
    function: Callable[[torch.Tensor], torch.Tensor],
    x: Any,
    metric: Metric,
    batch: torch.Tensor | None,
) -> Any:
    """Return `function` of clouds (b, n, d), or of matrices (b, n, n), for all clouds of `x`.

    It gives (b, …) in float32 or float64, and what comes back has the dtype of `x`: a tensor (B, …) for one,
    a list for a list, and beside `batch` one tensor in the order of the points.
    """
    check_choice(name, "metric", metric, ("euclidean", "precomputed"))
    clouds, sizes = _checked(name, x, metric, batch)
    if isinstance(x, torch.Tensor) and batch is None:
        n = clouds.shape[1]
        step = max(1, _MOST_ENTRIES // (n * n * (1 if metric == "precomputed" else clouds.shape[2])))
        parts = [function(part).to(clouds.dtype) for part in clouds.split(step)]
        return torch.cat(parts) if parts else function(clouds).to(clouds.dtype)
    lengths = [n * n for n in sizes] if metric == "precomputed" else list(sizes)
    parts = [
        function(part.view(1, n, n) if metric == "precomputed" else part[None])[0].to(part.dtype)
        for part, n in zip(clouds.split(lengths), sizes, strict=True)
    ]
    if batch is None:
        return parts
    values = torch.cat(parts) if parts else clouds.new_zeros(0)
    return values.index_select(0, torch.argsort(torch.argsort(batch, stable=True)))


def _checked(
    name: str, x: Any, metric: Metric, batch: torch.Tensor | None
) -> tuple[torch.Tensor, Sequence[int]]:
    """Return the clouds as `as_clouds` does, in at least single precision, finite; matrices exact."""
    if metric == "precomputed":
        matrices, sizes = as_clouds(name, x, _MATRICES, True, batch)
        if matrices.ndim == 3:
            return as_distances(name, "x", matrices) if len(matrices) else matrices, sizes
        starts = itertools.accumulate((n * n for n in sizes), initial=0)
        parts = [
            as_distances(name, "x", matrices[start : start + n * n].view(1, n, n), i).reshape(-1)
            for i, (start, n) in enumerate(zip(starts, sizes, strict=False))
        ]
        return torch.cat(parts) if parts else matrices, sizes
    clouds, sizes = as_clouds(name, x, _POINTS, batch=batch)
    if len(sizes) and sizes[0] == clouds.shape[-1]:
        warn_of_distances(name, "x[0]", clouds.reshape(-1, clouds.shape[-1])[: sizes[0]], 3)
    if np.prod(clouds.shape):
        checked_clouds(name, host_array(name, at_least_single(clouds)), sizes, clouds.dtype, _POINTS)
    return clouds, sizes
