"""CavityLoss: cross-entropy where cavities leak (Minh et al., NeurIPS AI4Science 2022).

Cost: one labelling and one flood of the missing voxels, on the CPU, for each class.
"""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from topodl._checks import check_connectivity
from topodl._host import host_array
from topodl.kernels.shared.pool import map_batch
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function

__all__ = ["CavityLoss", "cavity_loss"]

Mask = NDArray[np.bool_]


@loss_function
def cavity_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    base_weight: float = 1.0,
    topology_weight: float = 0.1,
    include_background: bool = False,
    connectivity: int = 26,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return ``base_weight`` times (cross-entropy + Dice) plus ``topology_weight`` times the cavity term.

    .. math:: L_{cav} = \frac1C \sum_c \frac1{|M_c|} \sum_{i \in M_c} -\log p_{c, i}

    The regions that the label's surface separates, cavities and the outside, grow into the voxels that the
    prediction misses. Where two of them meet, M, the missing voxels are a leak: a membrane must be closed
    there. M is constant; the gradient flows through the probabilities.

    Volumes only: in an image the same leaks are gaps, which `windowed_topo_loss` and others close.

    Parameters
    ----------
    logits : Tensor of shape (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, D, H, W) or (B, D, H, W), integers
        Labels in [0, C), in {0, 1} for one channel.
    base_weight : float, default=1
        Weight of cross-entropy plus Dice.
    topology_weight : float, default=0.1
        Weight of the cavity term.
    include_background : bool, default=False
        Whether class 0 counts.
    connectivity : {26, 6}, default=26
        Which voxels of a class are neighbours; cavities are connected in the other way.
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
    Minh et al., "CavityLoss", NeurIPS AI for Science workshop, 2022.

    Examples
    --------
    >>> import torch
    >>> shell = torch.ones(1, 7, 7, 7, dtype=torch.long)
    >>> shell[:, 2:5, 2:5, 2:5] = 0
    >>> shell[:, 0] = 0
    >>> leaking = torch.where(shell == 1, 4.0, -4.0)[:, None]
    >>> leaking[:, :, 1, 3, 3] = -4.0
    >>> loss = cavity_loss(leaking, shell, base_weight=0.0, topology_weight=1.0)
    >>> round(loss.item(), 2)
    4.02
    """
    name = "cavity_loss"
    corner = check_connectivity(name, connectivity)
    batch = SegmentationBatch.read(name, logits, target, dims=(3,), **common)
    total = base_weight * ce_dice(batch, 1.0, 1.0, include_background)
    if topology_weight == 0:
        return batch.reduce(total)
    channels = batch.channels(include_background)
    leaks = _leaks(batch, channels, corner)
    surprise = -batch.log_probabilities[:, channels.start : channels.stop] * leaks
    term = surprise.flatten(2).sum(2) / leaks.flatten(2).sum(2).clamp_min(1)
    return batch.reduce(total + topology_weight * batch.weigh_classes(term, channels))


def _leaks(batch: SegmentationBatch, channels: range, corner: bool) -> torch.Tensor:
    """Return where missing voxels let regions meet, booleans (B, len(channels), D, H, W)."""
    labels, winners = (host_array(batch.function, x) for x in (batch.labels, batch.winners))

    def leaks(job: tuple[int, int]) -> Mask:
        sample, channel = job
        label = batch.label_of(channel)
        return find_leaks(winners[sample] == label, labels[sample] == label, corner)

    jobs = [(b, c) for b in range(len(labels)) for c in channels]
    found = np.stack(map_batch(leaks, jobs)).reshape(len(labels), len(channels), *labels.shape[1:])
    return torch.from_numpy(found).to(batch.logits.device)


def find_leaks(predicted: Mask, truth: Mask, corner: bool) -> Mask:
    """Return the missing voxels at which floods from two regions beside the label's surface meet."""
    missing = truth & ~predicted
    if not missing.any():
        return missing
    free = ndimage.generate_binary_structure(3, 1 if corner else 3)
    regions, n_regions = ndimage.label(~truth, free)
    if n_regions < 2:
        return np.zeros_like(truth)
    # floods advance by their distance from the regions, ties by index
    height = ndimage.distance_transform_edt(truth)
    flooded = watershed(height, regions, connectivity=free, mask=missing | ~truth)
    lowest = ndimage.grey_erosion(np.where(flooded == 0, n_regions + 1, flooded), footprint=free)
    highest = ndimage.grey_dilation(flooded, footprint=free)
    return missing & (flooded > 0) & (lowest <= n_regions) & (lowest != highest)


class CavityLoss(SegmentationLoss, name="cavity", function=cavity_loss):
    """Cross-entropy, Dice and the cavity term, as a module; the options are those of `cavity_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = CavityLoss()
    >>> loss(torch.randn(1, 2, 6, 7, 8), torch.randint(2, (1, 6, 7, 8))).shape
    torch.Size([])
    """

    spatial_dims = (3,)
