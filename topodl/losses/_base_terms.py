"""Cross-entropy and Dice of a batch, the terms that the topology losses are added to.

Cost: one log-softmax, one exponential and two dot products a class.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from topodl._checks import fail
from topodl.losses._input import SegmentationBatch

__all__ = ["ce_dice", "cross_entropy", "dice_score", "masked_sums", "reduce_over_batch"]


def ce_dice(
    batch: SegmentationBatch, ce_weight: float, dice_weight: float, include_background: bool
) -> torch.Tensor:
    """Return the weighted cross-entropy minus the weighted Dice score, one value a sample, (B,)."""
    return ce_weight * cross_entropy(batch) - dice_weight * dice_score(batch, include_background)


def cross_entropy(batch: SegmentationBatch) -> torch.Tensor:
    """Return the mean over counted pixels of the weighted cross-entropy, one value a sample, (B,)."""
    weights = batch.counted_weights()
    if batch.logits.shape[1] == 1:
        by_pixel = _binary_cross_entropy(batch)
        sums = (by_pixel if weights is None else by_pixel * weights).flatten(1).sum(1)
    else:
        # an ignored pixel is 0 in every class
        by_pixel = batch.log_probabilities * batch.smoothed_one_hot()
        by_class = (by_pixel if weights is None else by_pixel * weights[:, None]).flatten(2).sum(2)
        weighted = by_class if batch.class_weights is None else by_class * batch.class_weights
        sums = -weighted.sum(1)
    if weights is not None:
        total = weights.flatten(1).sum(1)
        return sums / torch.where(total > 0, total, 1.0)
    if batch.valid is None:
        return sums / batch.labels[0].numel()
    return sums / batch.valid.flatten(1).sum(1).clamp_min(1)


def dice_score(
    batch: SegmentationBatch, include_background: bool, *, smooth: float = 1e-5, over_batch: bool = False
) -> torch.Tensor:
    """Return the soft Dice score, weighted and averaged over classes, one value a sample, (B,).

    With `over_batch` the sums run over the samples too and the result is one value, (1,).
    """
    channels = batch.channels(include_background)
    overlap, predicted, labelled = masked_sums(batch, channels)
    if over_batch:
        overlap, predicted, labelled = (v.sum(0, keepdim=True) for v in (overlap, predicted, labelled))
    score = (2 * overlap + smooth) / (predicted + labelled + smooth).clamp_min(1e-8)
    return batch.weigh_classes(score, channels)


def masked_sums(batch: SegmentationBatch, channels: range) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the sums over pixels of p y, p and y for each of `channels`, (B, len(channels)) each."""
    one_hot = batch.one_hot(channels).flatten(2)
    p = batch.probabilities[:, channels.start : channels.stop].flatten(2)
    if batch.valid is not None:
        p = p * batch.valid.flatten(1)[:, None]
    return (p * one_hot).sum(2), p.sum(2), one_hot.sum(2)


def reduce_over_batch(batch: SegmentationBatch, value: torch.Tensor) -> torch.Tensor:
    """Return `value` (1,), whose sums ran over the whole batch, as a scalar; it has no value a sample."""
    if batch.reduction == "none":
        raise fail(
            batch.function, "reduction", "is 'none' while the sums run over the batch", "'mean' or 'sum'"
        )
    return value.sum()


def _binary_cross_entropy(batch: SegmentationBatch) -> torch.Tensor:
    if batch.shares is not None or batch.label_smoothing:
        return _soft_binary_cross_entropy(batch)
    positive = batch.class_mask(0)
    if batch.activation == "none":
        p = batch.logits[:, 0]
        loss = -torch.where(positive, p, 1 - p).clamp_min(1e-12).log()
    else:
        target = positive.to(batch.logits.dtype)
        loss = F.binary_cross_entropy_with_logits(batch.logits[:, 0], target, reduction="none")
    if batch.class_weights is not None:
        loss = torch.where(positive, loss * batch.class_weights[0], loss)
    return loss if batch.valid is None else loss * batch.valid


def _soft_binary_cross_entropy(batch: SegmentationBatch) -> torch.Tensor:
    z, y = batch.logits[:, 0], batch.smoothed_one_hot()[:, 0]
    if batch.activation == "none":
        inside, outside = -z.clamp_min(1e-12).log(), -(1 - z).clamp_min(1e-12).log()
    else:
        inside, outside = -F.logsigmoid(z), -F.logsigmoid(-z)
    if batch.class_weights is not None:
        inside = inside * batch.class_weights[0]
    loss = y * inside + (1 - y) * outside
    return loss if batch.valid is None else loss * batch.valid
