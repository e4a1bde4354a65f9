"""The soft skeleton of Shit et al. (CVPR 2021): what repeated soft openings take away from an image.

Cost: one erosion and one dilation an iteration; fused kernels on the CPU, max-pooling elsewhere and for arms
of several pixels. It is no skeleton in the sense of topology: it may be wide, and break what is whole.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from topodl._host import is_traced, on_host, twin_gradient
from topodl.kernels.masks.soft_skeleton import skeleton_backward, skeleton_forward
from topodl.kernels.shared.pool import map_batch

__all__ = ["NO_OUTSIDE", "cross_depth", "cross_radius", "soft_skeleton"]

NO_OUTSIDE = np.iinfo(np.int32).max


def soft_skeleton(
    x: torch.Tensor, iterations: torch.Tensor, arms: tuple[int, ...] | None = None
) -> torch.Tensor:
    """Return the soft skeletons of images `x` (N, *S) in [0, 1], each after its own `iterations`, (N,).

    An erosion goes `arms` pixels along each axis, 1 by default, and a dilation takes the box around them.
    """
    arms = (1,) * (x.ndim - 1) if arms is None else arms
    if on_host(x) and max(arms) == 1:
        skeletons: torch.Tensor = _FusedSkeleton.apply(x, iterations)  # type: ignore[no-untyped-call]
        return skeletons
    return _pooled_skeleton(x, iterations, arms)


def cross_radius(mask: NDArray[np.bool_]) -> int:
    """Return how many erosions by a cross empty `mask`; 0 for one without an outside, which none changes."""
    depth = int(cross_depth(mask).max(initial=0))
    return 0 if depth == NO_OUTSIDE else depth


def cross_depth(
    mask: NDArray[np.bool_], arms: tuple[int, ...] | None = None, most: int | None = None
) -> NDArray[np.int32]:
    """Return which erosion by a cross with `arms` takes each pixel of `mask`, at `most` the one after that.

    Without longer arms that is the taxicab distance to the outside; `NO_OUTSIDE` where there is none.
    """
    if mask.all():
        return np.full(mask.shape, NO_OUTSIDE, np.int32)
    if arms is None or max(arms) == 1:
        depth: NDArray[np.int32] = ndimage.distance_transform_cdt(mask, metric="taxicab")
        return depth
    depth, left = np.zeros(mask.shape, np.int32), mask.astype(np.uint8)
    while left.any() and (most is None or depth.max() <= most):
        depth += left
        rows = [ndimage.minimum_filter1d(left, 2 * n + 1, axis) for axis, n in enumerate(arms)]
        left = functools.reduce(np.minimum, rows)
    return depth


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
            arms = (1,) * (x.ndim - 1)
            return twin_gradient(lambda x: _pooled_skeleton(x, iterations, arms), x, grad), None
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


def _pooled_skeleton(x: torch.Tensor, iterations: torch.Tensor, arms: tuple[int, ...]) -> torch.Tensor:
    """Return the same by max-pooling, on any device."""
    eroded = _erode(x, arms)
    skeleton = F.relu(x - _dilate(eroded, arms))
    for step in range(1, int(iterations.max()) + 1):
        x, eroded = eroded, _erode(eroded, arms)
        delta = F.relu(x - _dilate(eroded, arms))
        going_on = (iterations >= step).view(-1, *[1] * (x.ndim - 1))
        skeleton = torch.where(going_on, skeleton + F.relu(delta - skeleton * delta), skeleton)
    return skeleton


def _erode(x: torch.Tensor, arms: tuple[int, ...]) -> torch.Tensor:
    """Return the minimum over each pixel and those on the arms of the cross around it."""
    return -functools.reduce(torch.maximum, [_pool(-x, axis, arms) for axis in range(len(arms))])


def _dilate(x: torch.Tensor, arms: tuple[int, ...]) -> torch.Tensor:
    """Return the maximum over the box that the arms span."""
    for axis in reversed(range(len(arms))):
        x = _pool(x, axis, arms)
    return x


def _pool(x: torch.Tensor, axis: int, arms: tuple[int, ...]) -> torch.Tensor:
    """Return the maximum along one arm in both directions."""
    reach = [arm if a == axis else 0 for a, arm in enumerate(arms)]
    pool = F.max_pool2d if x.ndim == 3 else F.max_pool3d
    return pool(x[:, None], [2 * n + 1 for n in reach], 1, reach)[:, 0]
