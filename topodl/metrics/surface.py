"""Surface Dice and the average symmetric surface distance: how far apart the borders of two masks run.

Nikolov et al., 2018; Heimann et al., 2009. Cost: that of `hausdorff_distance_95`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch

from topodl._checks import check_number, check_spacing
from topodl.metrics._base import ImageMetric
from topodl.metrics._input import MaskPair, MaskPairs
from topodl.metrics._options import CommonOptions, measures_masks
from topodl.metrics.hausdorff import border_distances, diagonal

__all__ = ["AverageSurfaceDistance", "SurfaceDice", "average_surface_distance", "surface_dice"]


@measures_masks
def surface_dice(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    tolerance: float = 1.0,
    spacing: float | Sequence[float] = 1.0,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    """Return the share of border pixels of either mask that lie near the border of the other.

    A border pixel is one of the mask with a 4-neighbour (6 in 3D) outside it or outside the image. The value
    is 1 where both masks are empty and 0 where one is.

    Parameters
    ----------
    tolerance : float
        Largest distance that counts as near, in the unit of `spacing`.
    spacing : float or sequence of floats
        Size of a pixel along each spatial axis.

    References
    ----------
    S. Nikolov et al. Deep learning to achieve clinically applicable segmentation of head and neck anatomy for
    radiotherapy. arXiv:1809.04430, 2018.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import surface_dice
    >>> preds, target = torch.zeros(2, 1, 16, 16)
    >>> preds[:, 2, 2], target[:, 2, 5] = 1, 1
    >>> surface_dice(preds, target).item(), surface_dice(preds, target, tolerance=3).item()
    (0.0, 1.0)
    """
    function = "surface_dice"
    check_number(function, "tolerance", tolerance, low=0)
    masks = MaskPairs.read(function, preds, target, **common)
    sampling = check_spacing(function, spacing, masks.ndim)

    def measure(pair: MaskPair) -> float:
        p, t, _ = pair
        if p.any() and t.any():
            return float(np.mean(border_distances(p, t, sampling) <= tolerance))
        return float(p.any() == t.any())

    return masks.measure(measure)


@measures_masks
def average_surface_distance(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    spacing: float | Sequence[float] = 1.0,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    """Return the mean distance of the border pixels of either mask to the border of the other (ASSD).

    A border pixel is one of the mask with a 4-neighbour (6 in 3D) outside it or outside the image. The value
    is 0 where both masks are empty, and the image's diagonal where one is.

    Parameters
    ----------
    spacing : float or sequence of floats
        Size of a pixel along each spatial axis; the distance has its unit.

    References
    ----------
    T. Heimann et al. Comparison and evaluation of methods for liver segmentation from CT datasets. IEEE TMI
    28, 2009.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import average_surface_distance
    >>> preds, target = torch.zeros(2, 1, 16, 16)
    >>> preds[:, 2, 2], target[:, 2, 5] = 1, 1
    >>> average_surface_distance(preds, target).item()
    3.0
    """
    function = "average_surface_distance"
    masks = MaskPairs.read(function, preds, target, **common)
    sampling = check_spacing(function, spacing, masks.ndim)

    def measure(pair: MaskPair) -> float:
        p, t, _ = pair
        if p.any() and t.any():
            return float(border_distances(p, t, sampling).mean())
        return diagonal(p, sampling) if p.any() or t.any() else 0.0

    return masks.measure(measure)


class SurfaceDice(ImageMetric, function=surface_dice):
    """Surface Dice of label maps, per image; see `surface_dice`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import SurfaceDice
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> SurfaceDice(tolerance=2)(mask, mask).round(decimals=4)
    tensor(1., dtype=torch.float64)
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0


class AverageSurfaceDistance(ImageMetric, function=average_surface_distance):
    """Average symmetric surface distance of label maps, per image; see `average_surface_distance`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import AverageSurfaceDistance
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> AverageSurfaceDistance()(mask, mask).round(decimals=4)
    tensor(0., dtype=torch.float64)
    """

    higher_is_better = False
    plot_lower_bound = 0.0
