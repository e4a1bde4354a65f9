"""Tells all losses inside a module how far the training is: what the callbacks have in common."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from topodl._checks import fail
from topodl.losses import SegmentationLoss

__all__ = ["losses_within", "tell_progress"]


def losses_within(function: str, argument: str, modules: Iterable[nn.Module]) -> list[SegmentationLoss]:
    """Return every `SegmentationLoss` in `modules`; that there is none is an error that names `argument`."""
    found = [m for module in modules for m in module.modules() if isinstance(m, SegmentationLoss)]
    if not found:
        raise fail(function, argument, "has no loss of topodl", "a loss, or a module that holds one")
    return found


def tell_progress(losses: Iterable[SegmentationLoss], done: int, total: float) -> None:
    """Say that `done` steps of `total` are done; of an endless training no share is known."""
    if 0 < total < float("inf"):
        for loss in losses:
            loss.set_progress(min(1.0, max(0.0, done / total)))
