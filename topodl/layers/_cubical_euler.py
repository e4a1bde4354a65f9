"""Euler characteristic transforms of images: the cells of all images of a shape lie at the same heights.

So the transform is a product of matrices: values of cells times which of them are below a threshold. Cost:
cells × directions × thresholds × images, by that product; "hard" sums into the thresholds' bins instead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch

from topodl._segments import places_among

__all__ = ["cubical_cells", "image_transform"]

_MOST_ENTRIES = 2**24  # of what is below which threshold, that one step looks at

Cells = list[tuple[tuple[int, ...], torch.Tensor]]


def cubical_cells(values: torch.Tensor, weights: torch.Tensor | None) -> Cells:
    """Return for each set of axes the signed weights (B, *spatial) of the cells that extend along them.

    A cell stands at its first pixel, and is one shorter along its axes.
    """
    out = []
    axes = range(values.ndim - 1)
    for chosen in itertools.chain.from_iterable(itertools.combinations(axes, k) for k in range(values.ndim)):
        cell, heaviest = values, weights
        for axis in chosen:
            first, second = _neighbours(cell, axis + 1)
            cell = torch.minimum(first, second)
            if heaviest is not None:
                heaviest = torch.maximum(*_neighbours(heaviest, axis + 1))
        cell = cell if heaviest is None else cell * heaviest
        out.append((chosen, cell * (-1) ** len(chosen)))
    return out


def image_transform(
    shape: Sequence[int],
    cells: Cells,
    directions: torch.Tensor,
    thresholds: torch.Tensor,
    scale: float | torch.Tensor | None,
) -> torch.Tensor:
    """Return (B, J, T) weights of the cells up to each threshold in each direction, those of `directions`.

    With a `scale` a cell enters along a sigmoid, without one all at once.
    """
    step = max(1, _MOST_ENTRIES // (math.prod(shape) * len(thresholds)))
    parts = [
        sum(_of_cells(shape, *each, vectors, thresholds, scale) for each in cells)
        for vectors in directions.split(step, 1)
    ]
    return torch.cat(parts, 1)  # type: ignore[arg-type]


def _of_cells(
    shape: Sequence[int],
    chosen: tuple[int, ...],
    weights: torch.Tensor,
    directions: torch.Tensor,
    thresholds: torch.Tensor,
    scale: float | torch.Tensor | None,
) -> torch.Tensor:
    """Return what the cells along the `chosen` axes add to the transform."""
    flat = weights.flatten(1)
    if not flat.numel():
        return thresholds.new_zeros(len(weights), directions.shape[1], len(thresholds))
    heights = _heights(shape, chosen, directions)
    if scale is None:
        return _sums_of_bins(flat, heights, thresholds)
    below = torch.sigmoid(scale * (thresholds - heights[..., None]))
    return (flat @ below.flatten(1)).view(len(flat), -1, len(thresholds))


def _neighbours(values: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    size = values.shape[axis] - 1
    return values.narrow(axis, 0, size), values.narrow(axis, 1, size)


def _heights(shape: Sequence[int], chosen: tuple[int, ...], directions: torch.Tensor) -> torch.Tensor:
    """Return the heights (cells, J) of cells along the `chosen` axes: those of their highest pixels."""
    heights = directions.new_zeros(())
    for axis, n in enumerate(shape):
        size = n - (axis in chosen)
        place = torch.arange(size, dtype=directions.dtype, device=directions.device) - (n - 1) / 2
        place = place.view([-1 if a == axis else 1 for a in range(len(shape))])[..., None]
        ahead = directions[axis].clamp(min=0.0) if axis in chosen else 0.0
        heights = heights + (place * directions[axis] + ahead)
    return heights.flatten(0, -2)


def _sums_of_bins(weights: torch.Tensor, heights: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Return (B, J, T) sums of the weights (B, cells) of cells of heights (cells, J) up to each threshold."""
    n_bins = len(thresholds) + 1
    bins = places_among(thresholds, heights.detach())
    columns = []
    for column in bins.unbind(1):  # all at once would hold B × cells × J
        sums = weights.new_zeros(n_bins, len(weights)).index_add(0, column, weights.T)
        columns.append(sums[:-1].cumsum(0))
    return torch.stack(columns).permute(2, 0, 1)
