"""What the functions of point clouds share: batches and lists of clouds as one tensor, and their checks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import fail
from topodl.kernels.points.rips_edges import all_within
from topodl.persistence._batch import as_real

__all__ = ["as_clouds", "checked_clouds"]

_LARGEST = 1e150  # squares of differences below this are finite


def as_clouds(
    function: str, x: Any, expected: str, square: bool = False
) -> tuple[torch.Tensor, Sequence[int]]:
    """Return all clouds or `square` matrices as one tensor, and their numbers of points N.

    That is `x` itself, (B, N, d) or (B, N, N), or what a list holds: points (ΣN, d), or entries (ΣN²,).
    """
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


def checked_clouds(function: str, host: Any, sizes: Sequence[int], expected: str) -> list[Any]:
    """Return each cloud, or raise the error that names the first one that has no finite points."""
    points = host.reshape(-1, host.shape[-1])
    starts = list(itertools.accumulate(sizes, initial=0))
    if not all_within(points.reshape(-1), _LARGEST):
        row, column = np.argwhere(~(np.abs(points.astype(np.float64)) <= _LARGEST))[0]
        sample = int(np.searchsorted(starts, row, side="right")) - 1
        came = f"has {points[row, column]} at ({row - starts[sample]}, {column})".replace(
            "has nan", "has NaN"
        )
        raise fail(function, f"x[{sample}]", came, f"{expected}, of size up to {_LARGEST:g}")
    return [points[a:b] for a, b in itertools.pairwise(starts)]
