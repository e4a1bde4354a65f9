"""Topograph: the wrong class's probability in regions whose flip would change the topology.

Lux, Berger et al., "Topograph", ICLR 2025, arXiv:2411.03228. Cost: linear in the pixels, on the CPU, of one
byte a pixel; 2D.
"""

from __future__ import annotations

from typing import Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import check_choice, check_connectivity
from topodl._host import host_array
from topodl._segments import segment_amax, segment_amin, segment_mean, segment_sum
from topodl.kernels.masks.topograph import critical_regions
from topodl.kernels.shared.pool import map_batch
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function

__all__ = ["TopographLoss", "topograph_loss", "topograph_pixels"]

Aggregation = Literal["mean", "sum", "max", "min", "rms"]


@loss_function
def topograph_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    base_weight: float = 1.0,
    topology_weight: float = 0.02,
    aggregation: Aggregation = "mean",
    connectivity: int = 8,
    include_background: bool = False,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return CE + Dice plus the weighted sum, over critical regions, of the wrong class's probability.

    Prediction and label together cut the image into regions that are right or wrong as a whole. A wrong
    region is critical unless it touches exactly one region of correct background and exactly one component of
    the foreground that it would join; flipping any other leaves both topologies as they are.

    .. math:: L = w_b (CE - Dice) + w_t \frac1C \sum_c w_c \sum_{r\ \text{critical}}
              \operatorname{agg}_{i \in r} p_{\hat y_i, i}

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, H, W) or (B, H, W), integers
        Labels in [0, C), in {0, 1} for one channel.
    base_weight : float, default=1
        Of CE + Dice, whose Dice leaves the background out.
    topology_weight : float, default=0.02
        Of the critical regions.
    aggregation : {"mean", "sum", "max", "min", "rms"}, default="mean"
        How the pixels of a region become one value.
    connectivity : {8, 4}, default=8
        Of a class against the rest, which has the other one.
    include_background : bool, default=False
        Whether class 0 counts, as a foreground of its own.
    **common
        `activation`, `class_weights`, `reduction`, `ignore_index`, `mask`: see `CommonOptions`.

    Returns
    -------
    Tensor
        A scalar, or (B,) with reduction="none".

    Raises
    ------
    InputError
        If shapes do not fit, a logit is not finite, or a label is out of range.

    Notes
    -----
    Ignored pixels count as correct background. Background that connects along a diagonal is one region,
    under ``connectivity=4``; the published code counts two.

    References
    ----------
    Lux, Berger et al., "Topograph: An Efficient Graph-Based Framework for Strictly Topology Preserving Image
    Segmentation", ICLR 2025, arXiv:2411.03228.

    Examples
    --------
    A broken line has one critical region, its gap:

    >>> import torch
    >>> target = torch.zeros(1, 1, 5, 9, dtype=torch.long)
    >>> target[..., 2, :] = 1
    >>> logits = 4.0 * (2 * target.float() - 1)
    >>> float(topograph_loss(logits, target, base_weight=0))
    0.0
    >>> logits[..., 2, 4] = -4.0
    >>> round(float(topograph_loss(logits, target, base_weight=0, topology_weight=1)), 3)
    0.982
    """
    check_choice("topograph_loss", "aggregation", aggregation, ("mean", "sum", "max", "min", "rms"))
    eight = check_connectivity("topograph_loss", connectivity)
    batch = SegmentationBatch.read("topograph_loss", logits, target, dims=(2,), **common)
    loss = base_weight * ce_dice(batch, 1.0, 1.0, include_background=False) if base_weight else batch.zeros()
    if topology_weight:
        loss = loss + topology_weight * _critical_sum(batch, aggregation, eight, include_background)
    return batch.reduce(loss)


def _critical_sum(
    batch: SegmentationBatch, aggregation: Aggregation, eight: bool, include_background: bool
) -> torch.Tensor:
    """Return the aggregated probabilities of the critical regions, summed for each sample, (B,)."""
    channels = batch.channels(include_background)
    pixels, region, n_regions = _critical_pixels(batch, channels, eight)
    values = _confidence(batch, pixels)
    per_region = _aggregate(values, region, int(n_regions.sum()), aggregation)
    instance = torch.repeat_interleave(torch.arange(len(n_regions), device="cpu"), n_regions).to(
        values.device
    )
    sums = segment_sum(per_region, instance, len(n_regions))
    return batch.weigh_classes(sums.view(-1, len(channels)), channels)


def _confidence(batch: SegmentationBatch, pixels: torch.Tensor) -> torch.Tensor:
    """Return the probabilities of the predicted labels at flat `pixels` (P,) of the batch."""
    p, predicted = batch.probabilities, batch.winners
    labels = predicted.flatten()[pixels].long()
    if p.shape[1] == 1:
        foreground = p.flatten().index_select(0, pixels)
        return torch.where(labels == 1, foreground, 1 - foreground)
    size = predicted[0].numel()
    sample, place = pixels // size, pixels % size
    return p.flatten().index_select(0, (sample * p.shape[1] + labels) * size + place)


def _critical_pixels(
    batch: SegmentationBatch, channels: range, eight: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the critical pixels (P,) of the batch, the region of each, and the regions of each instance."""
    predicted, labels = batch.winners, batch.labels
    if batch.valid is not None:
        predicted, labels = predicted.where(batch.valid, -1), labels.where(batch.valid, -1)
    both = host_array(batch.function, torch.stack([predicted, labels]).to(torch.int16))
    instances = [(b, batch.label_of(c)) for b in range(predicted.shape[0]) for c in channels]
    found = map_batch(
        lambda i: critical_regions(both[0, i[0]] == i[1], both[1, i[0]] == i[1], eight), instances
    )
    size = predicted[0].numel()
    counts = np.array([regions.max(initial=-1) + 1 for _, regions in found])
    first = np.cumsum(counts) - counts
    pixels = np.concatenate([p + b * size for (p, _), (b, _) in zip(found, instances, strict=True)])
    region = np.concatenate([r + f for (_, r), f in zip(found, first, strict=True)])
    return _to(pixels, predicted), _to(region, predicted), torch.from_numpy(counts)


def topograph_pixels(batch: SegmentationBatch, channels: range, eight: bool) -> torch.Tensor:
    """Return which pixels lie in critical regions of each of `channels`, bool (B, len(channels), H, W)."""
    shape, by_channel = tuple(batch.labels.shape), []
    for channel in channels:
        pixels, _, _ = _critical_pixels(batch, range(channel, channel + 1), eight)
        flat = torch.zeros(batch.labels.numel(), dtype=torch.bool, device=pixels.device)
        by_channel.append(flat.index_fill(0, pixels, True).view(shape))
    return torch.stack(by_channel, 1)


def _to(array: NDArray[np.int64], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(array).to(like.device)


def _aggregate(
    values: torch.Tensor, region: torch.Tensor, n_regions: int, aggregation: Aggregation
) -> torch.Tensor:
    """Aggregate the values of each region, (n_regions,)."""
    if aggregation == "rms":
        return segment_mean(values.square(), region, n_regions).sqrt()
    reduce = {"mean": segment_mean, "sum": segment_sum, "max": segment_amax, "min": segment_amin}
    return reduce[aggregation](values, region, n_regions)


class TopographLoss(SegmentationLoss, name="topograph", function=topograph_loss):
    """Topograph as a module; the options are those of `topograph_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = TopographLoss(aggregation="rms")
    >>> loss(torch.randn(2, 3, 16, 16), torch.randint(3, (2, 16, 16))).shape
    torch.Size([])
    """

    spatial_dims = (2,)
