"""Labels of self-distillation: probabilities (B, K, *S) of the foreground's classes, negative if ignored."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from topodl.evaluation.case_types import IGNORE
from topodl.losses import topomortar_head_weights

__all__ = ["hardened", "soft_cross_entropy", "with_background"]


def with_background(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the probabilities of all classes, (B, K + 1, *S): the background has what is left."""
    return torch.cat([1 - probabilities.sum(1, keepdim=True), probabilities], 1)


def hardened(probabilities: torch.Tensor, regions: bool) -> torch.Tensor:
    """Return labels (B, 1, *S) of the likeliest classes, or (B, K, *S) of regions."""
    likeliest = with_background(probabilities).argmax(1, keepdim=True)
    hard = (probabilities > 0.5).long() if regions else likeliest
    return hard.masked_fill(probabilities[:, : hard.shape[1]] < 0, IGNORE)


def soft_cross_entropy(
    heads: Sequence[torch.Tensor], probabilities: torch.Tensor, *, regions: bool, ignores: bool
) -> torch.Tensor:
    """Return the cross-entropy of the logits of all heads (B, C, *S) with soft labels, weighted by head."""
    total = torch.zeros((), device=probabilities.device)
    weights = topomortar_head_weights(len(heads))
    for weight, head in zip(weights, heads, strict=True):
        target = probabilities
        if head.shape[2:] != target.shape[2:]:
            target = F.interpolate(target, head.shape[2:], mode="nearest")
        total = total + weight * _of_head(head.float(), target, regions, ignores)
    return total


def _of_head(logits: torch.Tensor, probabilities: torch.Tensor, regions: bool, ignores: bool) -> torch.Tensor:
    counted = probabilities[:, :1] >= 0 if not regions else probabilities >= 0
    target = probabilities.clamp_min(0) if ignores else probabilities
    if regions:
        values = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    elif ignores:
        values = F.cross_entropy(logits, with_background(target), reduction="none")[:, None]
    else:
        return F.cross_entropy(logits, with_background(target))
    return (values * counted).sum() / counted.sum().clamp_min(1)
