"""RegionWise: probabilities times a map of how deep a pixel lies in its class (Valverde & Tohka, 2023).

Cost: one product with a map that depends on the label alone; the map takes one distance transform a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_spacing
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.losses._targets import TargetCache, TargetParts

__all__ = ["RegionWiseLoss", "region_wise_loss"]


@loss_function
def region_wise_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    base_weight: float = 1.0,
    topology_weight: float = 1.0,
    include_background: bool = True,
    spacing: float | Sequence[float] | None = None,
    precomputed: TargetParts | TargetCache | None = None,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return the mean of probability times region map, plus ``base_weight`` times (cross-entropy + Dice).

    .. math:: L = \frac1{CN} \sum_{c, i} p_{c, i} R_{c, i}, \quad
              R_{c, i} = -d_c(i) / \max_j d_c(j) \text{ inside class } c, \; 1 \text{ elsewhere}

    with the distance d to the nearest pixel of another class: the deeper inside, the greater the reward.
    The paper trains with this term alone, ``base_weight=0``. It is linear in the probabilities, so that its
    pull fades where a network is sure: alone it ends in background everywhere where little is labelled.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    base_weight : float, default=1
        Weight of cross-entropy plus Dice, the latter of the foreground classes.
    topology_weight : float, default=1
        Weight of the region-wise term.
    include_background : bool, default=True
        Whether class 0 counts in the region-wise term.
    spacing : float or sequence of float, optional
        Size of a pixel along each axis; 1 by default.
    precomputed : mapping of str to Tensor of shape (B, …), optional
        What ``RegionWiseLoss.precompute`` returned for `target`.
    **common
        `activation`, `class_weights`, `reduction`, `ignore_index`, `mask`: see `CommonOptions`.

    Returns
    -------
    Tensor
        A scalar, or (B,) with reduction="none".

    Raises
    ------
    InputError
        If shapes do not fit, a logit is not finite, a label is out of range, or an option is unusable.

    References
    ----------
    Valverde and Tohka, "Region-wise loss for biomedical image segmentation", Pattern Recognition 2023.

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> target[:, 3:6] = 1
    >>> whole = torch.where(target == 1, 4.0, -4.0)[:, None]
    >>> broken = whole.clone()
    >>> broken[..., 4] = -4.0
    >>> bool(region_wise_loss(broken, target) > region_wise_loss(whole, target))
    True
    """
    batch = SegmentationBatch.read("region_wise_loss", logits, target, **common)
    total = batch.zeros()
    if base_weight:
        total = total + base_weight * ce_dice(batch, 1.0, 1.0, include_background=False)
    if topology_weight:

        def prepare(labels: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
            return relative_depth(labels, spacing)

        depth = batch.take_map(batch.target_parts(precomputed, prepare), "depth")
        total = total + topology_weight * _region_term(batch, depth, batch.channels(include_background))
    return batch.reduce(total)


def _region_term(batch: SegmentationBatch, depth: torch.Tensor, channels: range) -> torch.Tensor:
    """Return the mean of p R over pixels and classes, one value a sample, (B,)."""
    region = 1 - (1 + depth)[:, None] * batch.one_hot(channels)
    n_counted = torch.tensor(float(batch.labels[0].numel()), device=depth.device)
    if batch.valid is not None:
        region = region * batch.valid[:, None]
        n_counted = batch.valid.flatten(1).sum(1, keepdim=True).clamp_min(1)
    p = batch.probabilities[:, channels.start : channels.stop]
    return batch.weigh_classes((p * region).flatten(2).sum(2) / n_counted, channels)


def relative_depth(
    labels: NDArray[np.int16], spacing: float | Sequence[float] | None = None
) -> dict[str, NDArray[Any]]:
    """Return, for each pixel of one label (*S), its depth in its own class over the class's greatest depth.

    A class that fills the image has depth 1 everywhere.
    """
    size = None if spacing is None else check_spacing("region_wise_loss", spacing, labels.ndim)
    depth = np.zeros(labels.shape, np.float32)
    for value in np.unique(labels[labels >= 0]):
        inside = labels == value
        if inside.all():
            return {"depth": np.ones_like(depth)}
        distance = ndimage.distance_transform_edt(inside, sampling=size)
        depth[inside] = distance[inside] / distance.max()
    return {"depth": depth}


class RegionWiseLoss(SegmentationLoss, name="region_wise", function=region_wise_loss, prepare=relative_depth):
    """The region-wise loss, as a module; the options are those of `region_wise_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = RegionWiseLoss()
    >>> loss(torch.randn(2, 3, 16, 16), torch.randint(3, (2, 16, 16))).shape
    torch.Size([])
    """
