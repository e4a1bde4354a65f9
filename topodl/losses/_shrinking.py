"""Labels for the smaller heads of a network: the nearest pixels, or such that thin lines stay whole.

Cost: one pooling a head; for "skeleton" one thinning a label and class.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from topodl._host import host_array
from topodl.kernels.masks.thinning import thin
from topodl.kernels.shared.pool import map_batch
from topodl.losses._reading import read_labels

__all__ = ["SHRINKING", "Shrinking", "mean_pixels", "nearest_pixels", "shrink_labels"]

Shrinking = Literal["nearest", "max", "skeleton"]
SHRINKING: tuple[Shrinking, ...] = ("nearest", "max", "skeleton")


def shrink_labels(
    function: str,
    target: torch.Tensor,
    mask: torch.Tensor | None,
    size: torch.Size,
    how: Shrinking,
    ignore_index: int | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return `target` (B, K, *S) and `mask` (B, 1, *S) in the smaller `size`.

    "max" gives a pixel the greatest label in it that counts, and ignores it where none does. "skeleton" takes
    the nearest label, and on the skeletons of the classes the greatest of those.
    """
    if how == "nearest":
        return nearest_pixels(target, size), None if mask is None else nearest_pixels(mask, size)
    channels = [read_labels(function, part, ignore_index, mask) for part in target.split(1, 1)]
    labels = torch.stack(channels, 1)
    if how == "max":
        small = _greatest(labels, size)
    else:
        lines = _greatest(_skeletons(labels), size)
        small = torch.where(lines > 0, lines, nearest_pixels(labels, size))
    counted = small >= 0
    small = small.masked_fill(~counted, 0 if ignore_index is None else ignore_index)
    # a region is ignored by its own label, so that the mask is that of all
    return small, None if mask is None else counted.any(1, keepdim=True)


def nearest_pixels(values: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Return the pixels of `values` (B, K, *S) nearest to those of an image of the smaller `size`."""
    return F.interpolate(values.to(torch.float64), size=size, mode="nearest-exact").to(values.dtype)


def mean_pixels(values: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Return the means of `values` (B, K, *S) in the pixels of an image of the smaller `size`."""
    return F.interpolate(values, size=size, mode="area")


def _greatest(labels: torch.Tensor, size: torch.Size) -> torch.Tensor:
    pool = F.adaptive_max_pool2d if labels.ndim == 4 else F.adaptive_max_pool3d
    pooled: torch.Tensor = pool(labels.to(torch.float64), tuple(size))
    return pooled.to(labels.dtype)


def _skeletons(labels: torch.Tensor) -> torch.Tensor:
    """Return `labels` (B, K, *S) on the skeletons of the classes from 1 on, and 0 elsewhere."""

    def lines(label: NDArray[np.int64]) -> NDArray[np.int64]:
        drawn = np.zeros_like(label)
        for value in np.unique(label[label > 0]):
            drawn[thin(label == value)] = value
        return drawn

    drawn = np.stack(map_batch(lines, list(host_array("DeepSupervisionLoss", labels.flatten(0, 1)))))
    return torch.from_numpy(drawn).view_as(labels).to(labels.device)
