"""HD95: the 95th percentile of the distances between two masks' borders.

Border pixels, pooling and percentile are those of medpy's ``hd95``. Cost: linear in the pixels, plus the
distances of the border pixels in the plane; two distance transforms a volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_choice, check_spacing
from topodl.kernels.masks.distance import distance_to_other
from topodl.metrics._base import ImageMetric
from topodl.metrics._input import CONVENTIONS, Mask, MaskPair, MaskPairs
from topodl.metrics._options import CommonOptions, measures_masks

__all__ = ["HausdorffDistance95", "border_distances", "diagonal", "hausdorff_distance_95"]


@measures_masks
def hausdorff_distance_95(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    spacing: float | Sequence[float] = 1.0,
    convention: str = "standard",
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    """Return the 95th percentile of the border distances of every image.

    The distances of all border pixels of each mask to the nearest border pixel of the other are pooled before
    the percentile is taken. A border pixel is one of the mask with a 4-neighbour (6 in 3D) outside it or
    outside the image.

    Parameters
    ----------
    spacing : float or sequence of floats
        Size of a pixel along each spatial axis; the distance has its unit.
    convention : {"standard", "topomortar"}
        Both give the image's diagonal (between the centres of opposite corner pixels) where one mask is
        empty. Where both are, ``"standard"`` gives 0, ``"topomortar"`` the diagonal, as for every empty
        prediction.

    References
    ----------
    D. P. Huttenlocher, G. A. Klanderman, W. J. Rucklidge. Comparing images using the Hausdorff distance. IEEE
    TPAMI 15, 1993.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import hausdorff_distance_95
    >>> preds, target = torch.zeros(2, 1, 16, 16)
    >>> preds[:, 2, 2], target[:, 2, 5] = 1, 1
    >>> hausdorff_distance_95(preds, target)
    tensor([3.], dtype=torch.float64)
    """
    function = "hausdorff_distance_95"
    check_choice(function, "convention", convention, CONVENTIONS)
    masks = MaskPairs.read(function, preds, target, **common)
    sampling = check_spacing(function, spacing, masks.ndim)

    def measure(pair: MaskPair) -> float:
        p, t, _ = pair
        if p.any() and t.any():
            return float(np.percentile(border_distances(p, t, sampling), 95))
        if convention == "standard" and not p.any() and not t.any():
            return 0.0
        return diagonal(p, sampling)

    return masks.measure(measure)


def diagonal(mask: Mask, sampling: tuple[float, ...]) -> float:
    """Return the distance between the centres of opposite corner pixels."""
    return math.sqrt(sum(((n - 1) * s) ** 2 for n, s in zip(mask.shape, sampling, strict=True)))


def border_distances(p: Mask, t: Mask, sampling: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the distances of all border pixels of each mask to the border of the other; none is empty."""
    (box,) = ndimage.find_objects((p | t).astype(np.int8))
    border_p, border_t = _border(p[box]), _border(t[box])
    # where both borders run the distance is 0
    away = [
        distance_to_other(goal, np.flatnonzero(start & ~goal), sampling)
        for start, goal in ((border_p, border_t), (border_t, border_p))
    ]
    shared = np.zeros(2 * np.count_nonzero(border_p & border_t))
    return np.concatenate([*away, shared])


def _border(mask: Mask) -> Mask:
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for shift in (-1, 1):
            inside &= np.roll(padded, shift, axis)[(slice(1, -1),) * mask.ndim]
    return mask & ~inside


class HausdorffDistance95(ImageMetric, function=hausdorff_distance_95):
    """HD95 of label maps, per image; see `hausdorff_distance_95`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import HausdorffDistance95
    >>> metric = HausdorffDistance95(spacing=(0.5, 0.5))
    >>> preds, target = torch.zeros(2, 1, 16, 16)
    >>> preds[:, 2, 2], target[:, 2, 5] = 1, 1
    >>> metric(preds, target)
    tensor(1.5000, dtype=torch.float64)
    """

    higher_is_better = False
    plot_lower_bound = 0.0
