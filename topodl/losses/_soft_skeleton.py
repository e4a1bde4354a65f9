"""The soft skeleton of Shit et al. (CVPR 2021): what repeated soft openings take away from an image.

Cost: one erosion and one dilation an iteration; fused kernels on the CPU, max-pooling elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from topodl._host import is_traced, on_host, twin_gradient
from topodl.kernels.masks.soft_skeleton import skeleton_backward, skeleton_forward
from topodl.kernels.shared.pool import map_batch

__all__ = ["cross_radius", "soft_skeleton"]


def soft_skeleton(x: torch.Tensor, iterations: torch.Tensor) -> torch.Tensor:
    """Return the soft skeletons of images `x` (N, *S) in [0, 1], each after its own `iterations`, (N,)."""
    if on_host(x):
        skeletons: torch.Tensor = _FusedSkeleton.apply(x, iterations)  # type: ignore[no-untyped-call]
        return skeletons
    return _pooled_skeleton(x, iterations)


def cross_radius(mask: NDArray[np.bool_]) -> int:
    """Return how many erosions by a cross empty `mask`: its largest taxicab distance to the outside.

    0 for an empty mask and for one without an outside, which no erosion changes.
    """
    if not mask.any() or mask.all():
        return 0
    return int(ndimage.distance_transform_cdt(mask, metric="taxicab").max())


class _FusedSkeleton(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, iterations: torch.Tensor) -> torch.Tensor:
        images = x.detach().numpy()
        jobs = [(_pad(image), steps) for image, steps in zip(images, iterations.tolist(), strict=True)]
        ctx.steps = map_batch(lambda job: skeleton_forward(job[0].ravel(), job[0].shape, job[1]), jobs)
        ctx.save_for_backward(x, iterations)
        return _unpad([steps[0][-1] for steps in ctx.steps], x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        x, iterations = ctx.saved_tensors
        if torch.is_grad_enabled() or is_traced(grad):
            return twin_gradient(lambda x: _pooled_skeleton(x, iterations), x, grad), None
        jobs = list(zip((_pad(g) for g in grad.numpy()), ctx.steps, strict=True))
        by_image = map_batch(lambda job: skeleton_backward(job[0].ravel(), job[0].shape, *job[1]), jobs)
        return _unpad(by_image, grad), None


def _pad(image: NDArray[Any]) -> NDArray[Any]:
    """Return `image` as (D, H, W) with one pixel of 0 around it; a plane gets none before and behind."""
    if image.ndim == 2:
        return np.pad(image[None], ((0, 0), (1, 1), (1, 1)))
    return np.pad(image, 1)


def _unpad(flat: list[NDArray[Any]], like: torch.Tensor) -> torch.Tensor:
    size = tuple(s + 2 for s in like.shape[1:])
    inside = (slice(None), *(slice(1, -1) for _ in size))
    return torch.from_numpy(np.stack(flat).reshape(-1, *size)[inside].copy())


def _pooled_skeleton(x: torch.Tensor, iterations: torch.Tensor) -> torch.Tensor:
    """Return the same by max-pooling, on any device."""
    eroded = _erode(x)
    skeleton = F.relu(x - _pool(eroded, 3))
    for step in range(1, int(iterations.max()) + 1):
        x, eroded = eroded, _erode(eroded)
        delta = F.relu(x - _pool(eroded, 3))
        going_on = (iterations >= step).view(-1, *[1] * (x.ndim - 1))
        skeleton = torch.where(going_on, skeleton + F.relu(delta - skeleton * delta), skeleton)
    return skeleton


def _erode(x: torch.Tensor) -> torch.Tensor:
    """Return the minimum over each pixel and the pixels that share a side with it."""
    dims = x.ndim - 1
    windows = [[3 if a == axis else 1 for a in range(dims)] for axis in range(dims)]
    highest = _pool(-x, windows[0])
    for window in windows[1:]:
        highest = torch.maximum(highest, _pool(-x, window))
    return -highest


def _pool(x: torch.Tensor, window: int | list[int]) -> torch.Tensor:
    pool = F.max_pool2d if x.ndim == 3 else F.max_pool3d
    padding = window // 2 if isinstance(window, int) else [w // 2 for w in window]
    return pool(x[:, None], window, 1, padding)[:, 0]
