"""Targets with a value for each channel of the logits: regions that overlap, one-hot labels, soft labels.

The activation says which: "softmax" makes the channels classes, of which a pixel has one or shares; "sigmoid"
and "none" make each of them a region by itself. The values do not: a crop of regions may look one-hot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from topodl._checks import as_tensor, fail, reject_nan
from topodl.errors import InputError

__all__ = [
    "are_regions",
    "check_shares",
    "class_of_each_pixel",
    "naming_region",
    "options_of_region",
    "refuse_class_shares",
]


def are_regions(logits: Any, target: Any, activation: str) -> bool:
    """Return whether `target` (B, C, *S) has a label for each of several channels by itself."""
    if not isinstance(logits, torch.Tensor) or not isinstance(target, torch.Tensor):
        return False
    several = logits.ndim > 2 and logits.shape[1] > 1 and logits.shape == target.shape and logits.numel() > 0
    return several and logits.is_floating_point() and activation in ("sigmoid", "none")


@contextmanager
def naming_region(region: int) -> Iterator[None]:
    """Add the region to what errors say."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error} (region {region})") from error


def refuse_class_shares(function: str, p: torch.Tensor) -> None:
    """Refuse probabilities (B, C, *S) of regions that sum to 1 in every pixel: they are those of classes."""
    if bool(((p.detach().sum(1) - 1).abs() <= 1e-3).all()):
        expected = 'regions by themselves; pass logits with activation="softmax" for classes'
        raise fail(function, "logits", "has channels that sum to 1 in every pixel", expected)


def options_of_region(
    function: str, options: Mapping[str, Any], region: int, n_regions: int
) -> dict[str, Any]:
    """Return the options of a loss for one of `n_regions`, whose weight is left to the mean over them."""
    own = dict(options) | {"class_weights": None}
    parts = own.get("precomputed")
    if isinstance(parts, Sequence | Mapping):
        if isinstance(parts, Mapping) or len(parts) != n_regions:
            expected = f"a list of {n_regions} of them: precompute of each region's labels"
            raise fail(function, "precomputed", "is one mapping or too few", expected)
        own["precomputed"] = parts[region]
    if own.get("betti_numbers") is not None:
        own["betti_numbers"] = _betti_numbers_of_region(function, own["betti_numbers"], region, n_regions)
    return own


def _betti_numbers_of_region(function: str, numbers: Any, region: int, n_regions: int) -> Any:
    """Return the numbers (D,) or (B, 1, D) of one region; what is no table is left to the loss to refuse."""
    try:
        table = as_tensor(numbers)
    except (TypeError, ValueError):
        return numbers
    if table.ndim < 2 or (table.ndim == 3 and table.shape[1] == 1):
        return table
    if table.shape[-2] != n_regions:
        expected = f"a row for each of {n_regions} regions, or one for all"
        raise fail(function, "betti_numbers", f"has shape {tuple(table.shape)}", expected)
    return table[region] if table.ndim == 2 else table[:, region : region + 1]


def class_of_each_pixel(target: torch.Tensor, ignore_index: int | None) -> torch.Tensor:
    """Return the class with the greatest share of `target` (B, C, *S), (B, *S); see `check_shares`.

    A pixel is ignored where all of its channels are `ignore_index`.
    """
    values = target if target.is_floating_point() else target.to(torch.int64)  # argmax takes no booleans
    labels = values.argmax(1)
    if ignore_index is None:
        return labels
    return labels.masked_fill((values == ignore_index).all(1), ignore_index)


def check_shares(function: str, target: torch.Tensor, labels: torch.Tensor, ignore_index: int | None) -> bool:
    """Check the shares (B, C, *S) of the classes where `labels` (B, *S) are not -1; say if they are soft.

    One channel is the share of the foreground.
    """
    n_classes = target.shape[1]
    counted = (labels >= 0)[:, None]
    kept = torch.where(counted, target.to(labels.device, torch.float64), 0.0)
    reject_nan(function, "target", kept, "shares in [0, 1]")
    for wrong, came in ((kept < 0) | (kept > 1), "has values outside [0, 1]"), _sums(kept, counted):
        if bool(wrong.any()):
            sample, _, *position = wrong.nonzero()[0].tolist()
            at = f"{came} at ({', '.join(map(str, position))})"
            expected = 'shares of classes, which sum to 1; or activation="sigmoid" for regions that overlap'
            raise fail(function, f"target[{sample}]", at, expected if n_classes > 1 else "shares in [0, 1]")
    soft = bool((kept != kept.round()).any())
    if soft and ignore_index is not None and 0 <= ignore_index < max(n_classes, 2):
        raise fail(function, "ignore_index", f"is {ignore_index}", "no class, as the labels are soft; a mask")
    return soft


def _sums(shares: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, str]:
    if shares.shape[1] == 1:
        return torch.zeros_like(counted), ""
    return ((shares.sum(1, keepdim=True) - 1).abs() > 1e-3) & counted, "has channels that do not sum to 1"
