"""The soft skeleton of Shit et al. (CVPR 2021): what repeated soft openings take away from an image.

Cost: one erosion and one dilation an iteration, on images that are read from the cache of the CPU.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["cross_radius", "soft_skeleton"]


def soft_skeleton(x: torch.Tensor, iterations: torch.Tensor | int) -> torch.Tensor:
    """Return the soft skeleton of images `x` (N, *S) after `iterations`, one number or one an image, (N,)."""
    longest = int(iterations.max()) if isinstance(iterations, torch.Tensor) else iterations
    eroded = _erode(x)
    skeleton = F.relu(x - _dilate(eroded))
    for step in range(1, longest + 1):
        x, eroded = eroded, _erode(eroded)
        delta = F.relu(x - _dilate(eroded))
        grown = skeleton + F.relu(delta - skeleton * delta)
        if isinstance(iterations, torch.Tensor):
            going_on = torch.ge(iterations, step).view(-1, *[1] * (x.ndim - 1))
            grown = torch.where(going_on, grown, skeleton)
        skeleton = grown
    return skeleton


def cross_radius(mask: NDArray[np.bool_]) -> int:
    """Return how many erosions by a cross empty `mask`: its largest taxicab distance to the outside.

    0 for an empty mask and for one without an outside, which no erosion changes.
    """
    if not mask.any() or mask.all():
        return 0
    return int(ndimage.distance_transform_cdt(mask, metric="taxicab").max())


def _erode(x: torch.Tensor) -> torch.Tensor:
    return -_pool(-x, cross=True)


def _dilate(x: torch.Tensor) -> torch.Tensor:
    return _pool(x, cross=False)


def _pool(x: torch.Tensor, cross: bool) -> torch.Tensor:
    """Return the maximum over each pixel's cross (itself and its sides), or over its full neighbourhood."""
    dims = x.ndim - 1
    pool = F.max_pool2d if dims == 2 else F.max_pool3d
    x = x[:, None]
    if not cross:
        return pool(x, 3, 1, 1)[:, 0]
    sides = []
    for axis in range(dims):
        window = [3 if a == axis else 1 for a in range(dims)]
        sides.append(pool(x, window, 1, [w // 2 for w in window]))
    out = sides[0]
    for side in sides[1:]:
        out = torch.maximum(out, side)
    return out[:, 0]
