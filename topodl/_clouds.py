"""What the functions of point clouds share: batches and lists of clouds as one tensor, and their checks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import as_real, fail, sizes_of_clouds
from topodl._pyg import with_points
from topodl.kernels.points.rips_edges import all_within

__all__ = ["as_clouds", "checked_clouds"]


def as_clouds(
    function: str, x: Any, expected: str, square: bool = False, batch: Any = None
) -> tuple[torch.Tensor, Sequence[int]]:
    """Return all clouds or `square` matrices as one tensor, and their numbers of points N.

    That is `x` itself, (B, N, d) or (B, N, N), or what a list holds: points (ΣN, d), or entries (ΣN²,). With
    `batch`, these are the points of `x` (N, d), those of each cloud together and in their order.
    """
    x = x if isinstance(x, torch.Tensor) else with_points(x)
    if batch is not None:
        if square:
            raise fail(function, "batch", "is given", "none beside metric='precomputed'")
        return _gathered(function, x, batch)
    if isinstance(x, torch.Tensor):
        x = as_real(function, "x", x)
        if x.ndim != 3 or 0 in x.shape[1:] or (square and x.shape[1] != x.shape[2]):
            raise fail(function, "x", f"has shape {tuple(x.shape)}", expected)
        return x, [x.shape[1]] * x.shape[0]
    if not isinstance(x, Sequence):
        raise TypeError(
            f"{function}: x is a {type(x).__name__}; expected a torch.Tensor or a sequence of them"
        )
    if not x:
        return torch.empty(0 if square else (0, 2), device="cpu"), []
    clouds = [as_real(function, f"x[{k}]", cloud) for k, cloud in enumerate(x)]
    for k, cloud in enumerate(clouds):
        alike = cloud.ndim == 2 and 0 not in cloud.shape and cloud.dtype == clouds[0].dtype
        if not alike or cloud.shape[1] != (cloud.shape[0] if square else clouds[0].shape[1]):
            came = f"has shape {tuple(cloud.shape)} and dtype {cloud.dtype}"
            raise fail(function, f"x[{k}]", came, f"{expected}, all of one dtype, none empty")
    joined = torch.cat([cloud.reshape(-1) if square else cloud for cloud in clouds])
    return joined, [cloud.shape[0] for cloud in clouds]


def _gathered(function: str, x: Any, batch: Any) -> tuple[torch.Tensor, list[int]]:
    """Return points (N, d) sorted by the cloud that `batch` says they are of, and the size of each cloud."""
    points = as_real(function, "x", x)
    if points.ndim != 2 or points.shape[1] == 0:
        raise fail(function, "x", f"has shape {tuple(points.shape)}", "points of shape (N, d) beside batch")
    batch, sizes = sizes_of_clouds(function, "batch", batch, len(points))
    order = None if bool((batch.diff() >= 0).all()) else torch.argsort(batch, stable=True)
    return points if order is None else points.index_select(0, order), sizes


def checked_clouds(
    function: str, host: Any, sizes: Sequence[int], dtype: torch.dtype, expected: str
) -> list[Any]:
    """Return each cloud, or raise the error that names the first one with a point or distance not finite.

    Distances are results, of the `dtype` that the points came in.
    """
    points = host.reshape(-1, host.shape[-1])
    starts = list(itertools.accumulate(sizes, initial=0))
    clouds = [points[a:b] for a, b in itertools.pairwise(starts)]
    largest = torch.finfo(dtype).max
    if all_within(points.reshape(-1), largest / (2 * math.sqrt(points.shape[1]))):
        return clouds
    if not all_within(points.reshape(-1), largest):
        row, column = np.argwhere(~np.isfinite(points))[0]
        sample = int(np.searchsorted(starts, row, side="right")) - 1
        came = f"has {points[row, column]} at ({row - starts[sample]}, {column})".replace("nan", "NaN")
        raise fail(function, f"x[{sample}]", came, expected)
    for sample, cloud in enumerate(clouds):
        # halved, for the difference of two coordinates may overflow where half of it does not
        half = [float(b) / 2 - float(a) / 2 for a, b in zip(cloud.min(0), cloud.max(0), strict=True)]
        if math.hypot(*half) > largest / 2:
            came = f"has a bounding box whose diagonal overflows {dtype}"
            raise fail(function, f"x[{sample}]", came, expected)
    return clouds
