"""Images and labels of another size, and what that does to the labels' topology."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.data import Sample
from topodl.metrics import betti_numbers

__all__ = ["describe_change", "resized"]


def resized(sample: Sample, size: int) -> Sample:
    """Return the sample with every side of length `size`; bytes become float32.

    A label's pixel is of the class that most of its area had, of the later one of two with the same area, and
    in a region if at least half of its area was: of the ways to shrink thin structures, the one that changes
    their Betti numbers least.
    """
    before = tuple(sample.image.shape[1:])
    goal = (size,) * len(before)
    if before == goal:
        return sample
    image = sample.image.to(torch.float32)[None]
    if len(goal) == 2:
        image = F.interpolate(image, goal, mode="bilinear", antialias=True, align_corners=False)[0]
    else:  # interpolation of volumes has no antialiasing: the long axes are averaged first
        short = tuple(min(s, size) for s in before)
        image = F.interpolate(F.interpolate(image, short, mode="area"), goal, mode="trilinear")[0]
    spacing = tuple(space * old / new for space, old, new in zip(sample.spacing, before, goal, strict=True))
    return Sample(image, _resized_label(sample.label, goal), sample.id, sample.group, spacing)


def _resized_label(label: torch.Tensor, goal: tuple[int, ...]) -> torch.Tensor:
    def shares(mask: torch.Tensor) -> torch.Tensor:
        return F.interpolate(mask.to(torch.float32)[None], goal, mode="area")[0]

    nowhere = shares(label == IGNORE) if bool((label == IGNORE).any()) else None
    if len(label) > 1:
        small = (shares(label == 1) >= 0.5).to(torch.uint8)
    else:
        values = [int(v) for v in label.unique() if int(v) != IGNORE]
        small = torch.zeros((1, *goal), dtype=torch.uint8, device=label.device)
        most = torch.zeros((1, *goal), device=label.device)
        for value in values:
            share = shares(label == value)
            small = torch.where(share >= most, torch.full_like(small, value), small)
            most = torch.maximum(most, share)
    return small if nowhere is None else torch.where(nowhere >= 0.5, torch.full_like(small, IGNORE), small)


def describe_change(
    before: Sequence[torch.Tensor], after: Sequence[torch.Tensor], classes: Sequence[str], regions: bool
) -> str:
    """Return a line that tells whether resizing changed the labels' Betti numbers, and their means.

    Examples
    --------
    >>> two = torch.tensor([[[1, 0, 1, 0]]], dtype=torch.uint8)
    >>> one = torch.tensor([[[1, 1]]], dtype=torch.uint8)
    >>> describe_change([two], [one], ["background", "vessel"], regions=False)
    'resized labels have other Betti numbers, on average vessel 2.0, 0.0 -> 1.0, 0.0'
    """
    changes, same = [], True
    for k, name in enumerate(classes[1:]):
        was, now = (
            torch.stack([_betti_of(label[k] == 1 if regions else label[0] == k + 1) for label in labels])
            for labels in (before, after)
        )
        same = same and torch.equal(was, now)
        text = " -> ".join(", ".join(f"{x:.1f}" for x in m.double().mean(0).tolist()) for m in (was, now))
        changes.append(f"{name} {text}")
    kind = "the same Betti numbers" if same else "other Betti numbers"
    return f"resized labels have {kind}, on average {'; '.join(changes)}"


def _betti_of(mask: torch.Tensor) -> torch.Tensor:
    return betti_numbers(mask[None, None])[0]
