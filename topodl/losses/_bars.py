"""Bars of the probabilities of a batch, ranked, and the Betti numbers of its labels, window by window."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from topodl._checks import check_number, fail
from topodl._segments import offsets_of, position_in_segment, segment_sum
from topodl.losses._input import SegmentationBatch
from topodl.losses._targets import TargetParts
from topodl.persistence.cubical import cubical_persistence

__all__ = [
    "BORDERS",
    "Bars",
    "Border",
    "Essential",
    "foreground_maps",
    "label_betti",
    "probability_bars",
    "read_dimension_weights",
    "split_windows",
    "surround",
    "take_betti",
]

Essential = Literal["clamp", "drop"]
Border = Literal["open", "background", "foreground"]
BORDERS: tuple[Border, ...] = ("open", "background", "foreground")


@dataclass
class Bars:
    """Superlevel bars (P,), sorted by diagram and rank; a diagram is one image and homology dimension.

    `rank` counts from 0 within a diagram; diagram k of image n of D dimensions has the number ``n * D + k``.
    """

    births: torch.Tensor
    deaths: torch.Tensor
    diagram: torch.Tensor
    rank: torch.Tensor
    n_diagrams: int

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of `values` (P,) over each diagram, (n_diagrams,)."""
        return segment_sum(values, self.diagram, self.n_diagrams)


def foreground_maps(batch: SegmentationBatch, channels: range) -> torch.Tensor:
    """Return the probabilities of `channels` as images (B * C, *S), 0 where pixels are ignored."""
    p = batch.probabilities[:, channels.start : channels.stop]
    if batch.valid is not None:
        p = p * batch.valid[:, None]
    return p.flatten(0, 1)


def read_dimension_weights(function: str, weights: Sequence[float] | None, n_dims: int) -> list[float]:
    """Return the weight of each homology dimension of images of `n_dims` axes; 1 by default."""
    if weights is None:
        return [1.0] * n_dims
    if len(weights) != n_dims:
        came = f"has {len(weights)} for images of {n_dims} axes"
        raise fail(function, "dimension_weights", came, f"{n_dims} weights")
    for k, weight in enumerate(weights):
        check_number(function, f"dimension_weights[{k}]", weight, low=0.0)
    return [float(weight) for weight in weights]


def surround(images: torch.Tensor, border: Border) -> torch.Tensor:
    """Return `images` (N, *S) in a frame of zeros (background) or ones (foreground), or as they are."""
    if border == "open":
        return images
    return F.pad(images, (1, 1) * (images.ndim - 1), value=float(border == "foreground"))


def split_windows(images: torch.Tensor, window: int | None) -> list[torch.Tensor]:
    """Cut `images` (N, *S) into windows (N, W, *size): one tensor for each size, the rests at the end."""
    if window is None:
        return [images[:, None]]
    size = images.shape[1:]
    cuts = [[(0, s - s % window, window), (s - s % window, s, s % window)] for s in size]
    groups = []
    for parts in itertools.product(*cuts):
        if any(start == stop for start, stop, _ in parts):
            continue
        crop = images[(slice(None), *(slice(start, stop) for start, stop, _ in parts))]
        for axis, (_, _, side) in enumerate(parts):
            crop = crop.unflatten(1 + 2 * axis, (-1, side))
        outer, inner = range(1, 2 * len(size), 2), range(2, 2 * len(size) + 1, 2)
        groups.append(crop.permute(0, *outer, *inner).flatten(1, len(size)))
    return groups


def probability_bars(
    maps: torch.Tensor,
    eight: bool,
    essential: Essential,
    merit: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.sub,
) -> Bars:
    """Return the bars of `maps` (N, *S), whose superlevel sets connect along corners if `eight`.

    The component that never dies ends with the filtration, at 0 ("clamp"), or is left out ("drop"). Bars are
    ranked by falling ``merit(births, deaths)``, their length by default.
    """
    diagrams = cubical_persistence(maps, superlevel=True, construction="cell" if eight else "vertex")
    diagrams = diagrams.with_essential(essential, 0.0)
    n_diagrams = len(maps) * (maps.ndim - 1)
    diagram = diagrams.samples * (maps.ndim - 1) + diagrams.dims
    order = torch.argsort(merit(diagrams.births, diagrams.deaths).detach(), descending=True, stable=True)
    order = order[torch.argsort(diagram[order], stable=True)]
    diagram = diagram[order]
    rank = position_in_segment(diagram, offsets_of(diagram, n_diagrams))
    return Bars(diagrams.births[order], diagrams.deaths[order], diagram, rank, n_diagrams)


def label_betti(
    label: NDArray[np.int16], *, connectivity: int, window: int | None = None, border: Border = "open"
) -> dict[str, NDArray[Any]]:
    """Return the Betti numbers of each class of a label (*S), (classes, windows, dimensions)."""
    classes = torch.arange(max(int(label.max()), 1) + 1, dtype=torch.int16, device="cpu")
    masks = torch.from_numpy(label)[None] == classes.view(-1, *[1] * label.ndim)
    counts = []
    for windows in split_windows(masks.float(), window):
        flat = surround(windows.flatten(0, 1), border)
        bars = probability_bars(flat, connectivity in (8, 26), "clamp")
        counts.append(bars.sums((bars.births > bars.deaths).long()).view(*windows.shape[:2], label.ndim))
    return {"betti": torch.cat(counts, 1).numpy()}


def take_betti(batch: SegmentationBatch, parts: TargetParts, channels: range) -> torch.Tensor:
    """Return the Betti numbers of `channels` in the labels, (B, C, windows, dimensions)."""
    n_dims = batch.labels.ndim - 1
    if "betti" not in parts or parts["betti"].shape[0::3] != (len(batch.labels), n_dims):
        came = {name: tuple(part.shape) for name, part in parts.items()}
        expected = (
            f"'betti' of shape ({len(batch.labels)}, classes, windows, {n_dims}) (the loss's own precompute)"
        )
        raise fail(batch.function, "precomputed", f"has {came}", expected)
    betti = parts["betti"].clamp_min(0)
    wanted = batch.label_of(channels.stop - 1) + 1
    missing = max(wanted - betti.shape[1], 0)
    betti = F.pad(betti, (0, 0, 0, 0, 0, missing))
    first = batch.label_of(channels.start)
    return betti[:, first:wanted].to(batch.logits.device)
