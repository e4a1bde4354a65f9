"""Betti matching: bars of prediction and label are matched through the image that contains both.

Stucki et al., ICML 2023, arXiv:2211.15272; per class as in Berger et al., arXiv:2403.11001. Cost: three
pairings an image and class, on the CPU (see `topodl.kernels.images.betti_matching2d` and `betti_matching3d`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import check_choice, check_connectivity
from topodl._host import host_array
from topodl._segments import segment_sum
from topodl.kernels.shared.pool import map_batch
from topodl.losses._bars import (
    BORDERS,
    Border,
    Essential,
    foreground_maps,
    read_dimension_weights,
    surround,
)
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.persistence.matching import match_images

__all__ = ["BettiMatchingLoss", "betti_matching_loss"]

Filtration = Literal["superlevel", "sublevel", "both"]


@loss_function
def betti_matching_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    base_weight: float = 1.0,
    topology_weight: float = 0.001,
    dimension_weights: Sequence[float] | None = None,
    filtration: Filtration = "superlevel",
    push: bool = False,
    essential: Essential = "clamp",
    border: Border = "open",
    connectivity: int = 8,
    include_background: bool = False,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return CE + Dice plus the weighted Betti matching error of the probabilities.

    A bar of the prediction is matched with a bar of the label if both become the same feature of the image
    that contains both: unlike a matching of diagrams by length, this sees where a feature lies.

    .. math:: L = w_b (CE - Dice) + w_t \frac1C \sum_c w_c
              \Bigl[ 2 \sum_{\text{matched}} (b - b')^2 + (d - d')^2
              + \sum_{\text{unmatched}} (b - d)^2 + \sum_{\text{unmatched}'} (b' - d')^2 \Bigr]

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    base_weight : float, default=1
        Of CE + Dice, whose Dice leaves the background out.
    topology_weight : float, default=0.001
        Of the matching error, a sum over bars.
    dimension_weights : sequence of float, optional
        Weights of components and holes, in volumes of components, tunnels and cavities, of the foreground; by
        default 1 for all.
    filtration : {"superlevel", "sublevel", "both"}, default="superlevel"
        Whether bars are born from the foreground, from the background, or the mean of both errors.
    push : bool, default=False
        Replaces :math:`(b - d)^2` of an unmatched bar by :math:`2 (b^2 + (d - 1)^2)`: for superlevel sets,
        the peak is pulled to 0 and the saddle to 1, harder than the bar's own length would.
    essential : {"clamp", "drop"}, default="clamp"
        Whether the component that never dies counts as a matched bar that ends with the filtration (the
        paper), or not at all (its later C++ implementation).
    border : {"open", "background", "foreground"}, default="open"
        Frames the images with background or foreground; with "foreground", holes cut by the edge count.
    connectivity : {8, 4} or {26, 6}, default=8
        Of a class against the rest, which has the other one; 8 stands for 26 in volumes. The original has 4.
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
    Ignored pixels are background in both images.

    References
    ----------
    Stucki et al., "Topologically Faithful Image Segmentation via Induced Matching of Persistence Barcodes",
    ICML 2023, arXiv:2211.15272. Berger et al., "Topologically Faithful Multi-class Segmentation in Medical
    Images", MICCAI 2024, arXiv:2403.11001.

    Examples
    --------
    A spurious blob of height 0.6 is an unmatched bar of that length:

    >>> import torch
    >>> p, target = torch.zeros(1, 1, 5, 9), torch.zeros(1, 5, 9, dtype=torch.long)
    >>> target[:, 2, :4] = p[:, :, 2, :4] = 1
    >>> p[..., 2, 7] = 0.6
    >>> error = betti_matching_loss(p, target, activation="none", base_weight=0, topology_weight=1)
    >>> round(float(error), 4)
    0.36
    """
    name = "betti_matching_loss"
    check_choice(name, "filtration", filtration, ("superlevel", "sublevel", "both"))
    check_choice(name, "essential", essential, ("clamp", "drop"))
    check_choice(name, "border", border, BORDERS)
    eight = check_connectivity(name, connectivity)
    batch = SegmentationBatch.read(name, logits, target, **common)
    loss = base_weight * ce_dice(batch, 1.0, 1.0, include_background=False) if base_weight else batch.zeros()
    weights = read_dimension_weights(name, dimension_weights, batch.labels.ndim - 1)
    if topology_weight == 0:
        return batch.reduce(loss)
    channels = batch.channels(include_background)
    p, y = foreground_maps(batch, channels), batch.one_hot(channels).flatten(0, 1)
    p, y = surround(p, border), surround(y, border)
    levels = ("superlevel", "sublevel") if filtration == "both" else (filtration,)
    options: dict[str, Any] = {
        "eight": eight,
        "essential": essential == "clamp",
        "push": push,
        "weights": weights,
    }
    errors = [_errors(p, y, superlevel=level == "superlevel", **options) for level in levels]
    error = torch.stack(errors).mean(0).view(-1, len(channels))
    return batch.reduce(loss + topology_weight * batch.weigh_classes(error, channels))


def _errors(
    p: torch.Tensor,
    y: torch.Tensor,
    *,
    superlevel: bool,
    eight: bool,
    essential: bool,
    push: bool,
    weights: Sequence[float],
) -> torch.Tensor:
    """Return the matching error of each image, (N,), for probabilities and masks (N, *S)."""
    # A hole of the foreground is a component of the background, and the other way round.
    of_dims = p.new_tensor(weights if superlevel else weights[::-1])
    sign = -1 if superlevel else 1
    images = host_array("betti_matching_loss", sign * torch.stack([p.detach(), y], 1))
    matchings = map_batch(
        lambda pair: match_images(pair[0], pair[1], by_cells=eight == superlevel), list(images)
    )
    ours = _Gather(p.flatten(1))
    theirs = _Gather(y.flatten(1))
    birth, death = ours([m.matched for m in matchings])
    other_birth, other_death = theirs([m.other_matched for m in matchings])
    cost = 2 * ((birth - other_birth).square() + (death - other_death).square())
    error = ours.sums(cost * _take(of_dims, [m.matched_dims for m in matchings]))
    far = (0.0, 1.0) if superlevel else (1.0, 0.0)
    for gather, bars, dims in (
        (ours, [m.unmatched for m in matchings], [m.unmatched_dims for m in matchings]),
        (theirs, [m.other_unmatched for m in matchings], [m.other_unmatched_dims for m in matchings]),
    ):
        birth, death = gather(bars)
        if push:
            cost = 2 * ((birth - far[0]).square() + (death - far[1]).square())
        else:
            cost = (birth - death).square()
        error = error + gather.sums(cost * _take(of_dims, dims))
    if essential:
        birth, _ = ours([m.essential[[[0, 0]]] for m in matchings])
        other_birth, _ = theirs([m.essential[[[1, 1]]] for m in matchings])
        error = error + ours.sums(2 * of_dims[0] * (birth - other_birth).square())
    return error


def _take(of_dims: torch.Tensor, dims: list[NDArray[np.int64]]) -> torch.Tensor:
    """Return the weight of each bar, whose dimensions are listed image by image."""
    return of_dims[torch.from_numpy(np.concatenate(dims)).to(of_dims.device)]


class _Gather:
    """Gathers values of flat images (N, P) at pixels listed image by image, and sums image by image."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.image = torch.empty(0, device="cpu")

    def __call__(self, pixels: list[NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
        counts = torch.tensor([len(p) for p in pixels], device="cpu")
        image = torch.repeat_interleave(torch.arange(len(pixels), device="cpu"), counts)
        self.image = image.to(self.values.device)
        where = torch.from_numpy(np.concatenate(pixels)).to(self.values.device)
        flat = (self.image * self.values.shape[1])[:, None] + where
        # the gradient of index_select is a sum without a sort
        values = self.values.flatten().index_select(0, flat.flatten()).view(-1, 2)
        return values[:, 0], values[:, 1]

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        return segment_sum(values, self.image, len(self.values))


class BettiMatchingLoss(SegmentationLoss, name="betti_matching", function=betti_matching_loss):
    """Betti matching as a module; the options are those of `betti_matching_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = BettiMatchingLoss(filtration="both", push=True)
    >>> loss(torch.randn(2, 3, 16, 16), torch.randint(3, (2, 16, 16))).shape
    torch.Size([])
    """
