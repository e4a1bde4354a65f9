"""Euler characteristic transforms as differentiable functions: kernels on the CPU, tensors elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from topodl._host import has_gradient, is_traced, on_host, twin_gradient
from topodl._segments import places_among
from topodl.kernels.shared.pool import get_num_threads, map_batch
from topodl.kernels.vectors import euler

__all__ = ["Cells", "hard_transform", "soft_transform"]


@dataclass
class Cells:
    """The simplices of one dimension of a batch, sample after sample.

    `vertices` (S, k + 1) int64, `offsets` (B + 1,) int64, `weights` (S,) with the sign (−1)^k included.
    """

    vertices: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor

    @property
    def samples(self) -> torch.Tensor:
        """(S,) sample of each simplex."""
        n = self.vertices.shape[0]
        if torch.compiler.is_exporting():  # ONNX cannot repeat by numbers that are not constant
            number = torch.arange(n, device=self.offsets.device)
            return places_among(self.offsets[1:], number, right=True)
        return torch.repeat_interleave(self.offsets.diff(), output_size=n)


def hard_transform(
    x: torch.Tensor,
    directions: torch.Tensor,
    vertex_offsets: torch.Tensor,
    cells: Sequence[Cells],
    thresholds: torch.Tensor,
) -> torch.Tensor:
    """Return (B, J, T) weights of the cells up to each threshold; no gradient but to the weights."""
    n = vertex_offsets.shape[0] - 1
    shape = (n, directions.shape[1], thresholds.shape[0])
    if not on_host(x) or any(has_gradient(c.weights) for c in cells):
        return _hard_by_tensors(x.detach() @ directions.detach(), cells, thresholds, shape)
    out = np.zeros(shape, dtype=_numpy(x).dtype)
    kernel: Any = euler.hard_transform
    fixed = [_numpy(x), _numpy(directions), _numpy(vertex_offsets)]
    for c in cells:
        rest = [_numpy(c.vertices), _numpy(c.offsets), _numpy(c.weights), _numpy(thresholds)]
        _over_samples(n, lambda some, rest=rest: kernel(*fixed, *rest, some, out))
    return torch.from_numpy(out)


def _hard_by_tensors(
    heights: torch.Tensor, cells: Sequence[Cells], thresholds: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor:
    length = shape[2] + 1
    counts = heights.new_zeros(shape[0] * shape[1] * length)
    row = torch.arange(shape[1], device=heights.device)
    for c in cells:
        top = _highest(heights, c.vertices)
        at = (c.samples[:, None] * shape[1] + row) * length + places_among(thresholds, top)
        counts = counts.index_add(0, at.flatten(), c.weights[:, None].expand_as(top).flatten())
    return counts.view(shape[0], shape[1], length)[..., :-1].cumsum(-1)


def soft_transform(
    heights: torch.Tensor, cells: Sequence[Cells], thresholds: torch.Tensor, scale: Any, n_samples: int
) -> torch.Tensor:
    """Return (B, J, T) sums of weight · sigmoid(scale · (threshold − height)), for heights (N, J).

    Differentiable in heights and weights; by plain tensor operations where weights or a second derivative ask
    for it.
    """
    if not on_host(heights) or any(has_gradient(c.weights) for c in cells):
        return _soft_by_tensors(heights, cells, thresholds, scale, n_samples)
    out: torch.Tensor = _Soft.apply(heights, cells, thresholds, scale, n_samples)  # type: ignore[no-untyped-call]
    return out


def _soft_by_tensors(
    heights: torch.Tensor, cells: Sequence[Cells], thresholds: torch.Tensor, scale: Any, n_samples: int
) -> torch.Tensor:
    out = heights.new_zeros(n_samples, heights.shape[1], thresholds.shape[0])
    for c in cells:
        top = _highest(heights, c.vertices)
        terms = torch.sigmoid(scale * (thresholds - top[..., None])) * c.weights[:, None, None]
        out = out.index_add(0, c.samples, terms)
    return out


def _highest(heights: torch.Tensor, vertices: torch.Tensor) -> torch.Tensor:
    top = heights[vertices[:, 0]]
    for k in range(1, vertices.shape[1]):
        top = torch.maximum(top, heights[vertices[:, k]])
    return top


class _Soft(torch.autograd.Function):
    """The soft transform by the kernels, which look at each sigmoid only where it rises."""

    @staticmethod
    def forward(
        ctx: Any,
        heights: torch.Tensor,
        cells: Sequence[Cells],
        thresholds: torch.Tensor,
        scale: float,
        n_samples: int,
    ) -> torch.Tensor:
        windows = _windows(heights, thresholds, scale)
        kernel: Any = euler.soft_transform
        out = np.zeros((n_samples, heights.shape[1], len(thresholds)), dtype=windows[0].dtype)
        for c in cells:
            rest = [_numpy(c.vertices), _numpy(c.offsets), _numpy(c.weights)]
            _over_samples(n_samples, lambda some, rest=rest: kernel(*windows, *rest, some, out))
        ctx.save_for_backward(heights)
        ctx.rest = (cells, thresholds, scale, n_samples)
        ctx.windows = windows
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (heights,) = ctx.saved_tensors
        cells, _, scale, n_samples = ctx.rest
        if torch.is_grad_enabled() or is_traced(grads[0]):
            gradient = twin_gradient(lambda x: _soft_by_tensors(x, *ctx.rest), heights, grads[0])
            return gradient, None, None, None, None
        out = np.zeros(heights.shape, dtype=ctx.windows[0].dtype)
        upstream = _numpy(grads[0])
        kernel: Any = euler.soft_gradient
        for c in cells:
            rest = [_numpy(c.vertices), _numpy(c.offsets), _numpy(c.weights)]
            _over_samples(
                n_samples,
                lambda some, rest=rest: kernel(*ctx.windows, *rest, some, upstream, out),
            )
        return torch.from_numpy(out).mul_(-scale), None, None, None, None


def _windows(heights: torch.Tensor, thresholds: torch.Tensor, scale: float) -> list[Any]:
    """Return for each height where its sigmoid begins to rise, and what the kernels go on from."""
    heights = heights.detach()
    reach = 17.0 if heights.dtype == torch.float32 else 37.0  # exp(-reach) is lost beside 1
    n = len(thresholds)
    first, last = float(thresholds[0]), float(thresholds[-1])
    step = (last - first) / max(n - 1, 1)
    whole = step * n * scale <= 2 * reach
    rising = n if whole else int(2 * reach / (scale * step)) + 2
    width = math.ceil(rising / 8) * 8
    # Beyond 4 · reach the sigmoid is 1; smaller powers would be denormal numbers, which are slow.
    ratios = np.exp(-np.minimum(scale * step * np.arange(width), 4 * reach))
    if whole:
        places = torch.full_like(heights, width)
        tails = heights.sub(first).mul_(scale).clamp_(-2 * reach, 4 * reach).exp_()
    else:
        places = heights.sub(first + reach / scale).mul_(1 / step).ceil_().clamp_(-width, n)
        tails = places.mul(step).add_(first).sub_(heights).mul_(-scale).clamp_(-3 * reach, reach).exp_()
        places.add_(width)
    return [
        _numpy(heights),
        _numpy(places.to(torch.int32)),
        _numpy(tails),
        ratios.astype(_numpy(heights).dtype),
    ]


def _over_samples(n: int, run: Any) -> None:
    """Run on as many parts of the samples as there are threads; the parts write to different places."""
    parts = np.array_split(np.arange(n), max(1, min(get_num_threads(), n)))
    map_batch(run, [part for part in parts if len(part)])


def _numpy(value: torch.Tensor) -> Any:
    return value.detach().contiguous().numpy()
