"""Euler characteristic surfaces of images of two channels by kernels, without their measures.

Each function gives None for what it is not for, which the measures have the words for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import as_real, fail, reject_nan
from topodl._host import host_array, is_traced, twin_gradient
from topodl._precision import at_least_single
from topodl.kernels.images.euler_ramps import add_ramps, last_pixels, ramp_gradient, ramps
from topodl.kernels.images.euler_surface import count_cells
from topodl.kernels.shared.pool import map_batch
from topodl.persistence.euler_measures import euler_signed_measure

__all__ = ["image_surfaces"]

_NAME = "EulerSurface"
_WIDEST = 8.0  # bins of a ramp; of wider ones, each pixel would have too many


def image_surfaces(
    x: Any, grids: Sequence[torch.Tensor], width: float | None, construction: Any
) -> torch.Tensor | None:
    """Return the surfaces (B, 1, R0, R1) of images of two channels, exact or with ramps of a width."""
    x = as_real(_NAME, "x", x)
    if (
        is_traced(x)
        or x.ndim != 4
        or x.shape[1] != 2
        or 0 in x.shape
        or construction not in ("vertex", "cell")
    ):
        return None
    if width is None:
        reject_nan(_NAME, "x", x, "numbers")
        surfaces = _counts(host_array(_NAME, at_least_single(x)), grids, construction == "cell")
        surfaces = surfaces.to(x.device, x.dtype)
    elif 2.0**-20 <= width <= _WIDEST and all(_rises(grid.to(at_least_single(x).dtype)) for grid in grids):
        reject_nan(_NAME, "x", x, "numbers")
        surfaces = _Ramps.apply(x, tuple(grids), float(width), construction)  # type: ignore[no-untyped-call]
    else:
        return None
    if x.dtype == torch.float16 and not bool(torch.isfinite(surfaces).all()):
        raise fail(_NAME, "x", "has surfaces too large for torch.float16", "float32")
    return surfaces


def _rises(grid: torch.Tensor) -> bool:
    return len(grid) > 1 and bool((grid.diff() > 0).all())


def _host_grids(images: Any, grids: Sequence[torch.Tensor]) -> list[Any]:
    return [grid.cpu().numpy().astype(images.dtype, copy=False) for grid in grids]


def _counts(images: Any, grids: Sequence[torch.Tensor], by_cells: bool) -> torch.Tensor:
    grid0, grid1 = _host_grids(images, grids)
    out = np.empty((len(images), 1, len(grid0), len(grid1)), np.int64)
    map_batch(lambda i: count_cells(images[i], grid0, grid1, by_cells, out[i, 0]), range(len(images)))
    return torch.from_numpy(out)


class _Ramps(torch.autograd.Function):
    """Surfaces with ramps, and their gradient; that of the gradient by PyTorch's operations."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, grids: tuple[torch.Tensor, ...], width: float, construction: Any
    ) -> torch.Tensor:
        images = host_array(_NAME, at_least_single(x))
        grid0, grid1 = (grid.astype(np.float64) for grid in _host_grids(images, grids))
        out = np.empty((len(images), 1, len(grid0), len(grid1)))

        def surface(i: int) -> tuple[Any, ...]:
            cells = last_pixels(images[i], construction == "cell")
            spread = [
                ramps(channel.reshape(-1), grid, width)
                for channel, grid in zip(images[i], (grid0, grid1), strict=True)
            ]
            (starts0, rises0, _), (starts1, rises1, _) = spread
            add_ramps(cells, starts0, rises0, starts1, rises1, out[i, 0])
            return cells, *spread[0], *spread[1]

        ctx.spread = map_batch(surface, range(len(images)))
        ctx.save_for_backward(x)
        ctx.rest = (grids, width, construction)
        return torch.from_numpy(out).to(x.device, x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        grids, width, construction = ctx.rest
        if torch.is_grad_enabled() or is_traced(grads[0]):

            def twin(x: torch.Tensor) -> torch.Tensor:
                return euler_signed_measure(x, construction=construction).surface(grids[0], grids[1], width)

            return twin_gradient(twin, x, grads[0]), None, None, None
        upstream = host_array(_NAME, grads[0].double())
        out = np.zeros((len(upstream), 2, x[0, 0].numel()))
        kernel: Any = ramp_gradient
        map_batch(lambda i: kernel(*ctx.spread[i], upstream[i, 0], out[i]), range(len(upstream)))
        return torch.from_numpy(out).view(x.shape).to(x.device, x.dtype), None, None, None
