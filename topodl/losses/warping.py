"""The warping loss: cross-entropy on the errors that change the topology (Hu, NeurIPS 2022).

Cost: one table lookup for each wrong pixel and direction, on the CPU, and the cross-entropy of the few left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_choice, check_connectivity, check_spacing
from topodl._host import host_array
from topodl.kernels.masks.distance import distance_to_other
from topodl.kernels.masks.simple_points import one_piece_table, simple_point_table
from topodl.kernels.masks.warping import warp
from topodl.kernels.shared.pool import map_batch
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import dice_score
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function

__all__ = ["WarpingLoss", "critical_pixels", "warping_loss"]

Mask = NDArray[np.bool_]


@loss_function
def warping_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    base_weight: float = 1.0,
    topology_weight: float = 0.1,
    include_background: bool = False,
    connectivity: int = 8,
    spacing: float | Sequence[float] | None = None,
    variant: Literal["paper", "topomortar"] = "paper",
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return ``base_weight`` times the Dice loss plus ``topology_weight`` times the warping loss.

    .. math:: L_{warp} = \frac1C \sum_c \frac1{|M_c|} \sum_{i \in M_c} -\log p_{y_i, i}


    The label is warped towards the prediction, and the prediction towards the label, by flips of simple
    pixels, the ones nearest to a border first; a flip of a simple pixel changes no topology. The critical
    pixels M are the errors that remain in one direction or the other. They are constants: the gradient
    flows through the probabilities alone.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    base_weight : float, default=1
        Weight of the Dice term.
    topology_weight : float, default=0.1
        Weight of the warping term.
    include_background : bool, default=False
        Whether class 0 counts in the Dice score and is warped too.
    connectivity : {8, 4}, default=8
        Which pixels of a class are neighbours, the background has the other; 26 and 6 in a volume.
    spacing : float or sequence of float, optional
        Size of a pixel along each axis, for the order of the flips; 1 by default.
    variant : {"paper", "topomortar"}, default="paper"
        "topomortar" reproduces the code of that study, in which the background is warped towards the
        predicted foreground: its critical pixels are mostly correct ones. It leaves ties to NumPy's unstable
        sort, so that its pixels depend on the processor. See the guide to the losses.
    **common
        `activation`, `class_weights`, `reduction`, `ignore_index`, `mask`: see `CommonOptions`. With
        `pixel_weights` the means over critical pixels are means by these; an error for "topomortar".

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
    Hu, "Structure-Aware Image Segmentation with Homotopy Warping", NeurIPS 2022, arXiv:2112.07812.

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> target[:, 3:6] = 1
    >>> broken = torch.where(target == 1, 4.0, -4.0)[:, None]
    >>> broken[..., 4] = -4.0  # a gap counts ...
    >>> thin = torch.where(target == 1, 4.0, -4.0)[:, None]
    >>> thin[:, :, 3] = -4.0  # ... a line that is too thin does not
    >>> [warping_loss(z, target, base_weight=0.0).item() > 0 for z in (broken, thin)]
    [True, False]
    """
    name = "warping_loss"
    check_choice(name, "variant", variant, ("paper", "topomortar"))
    corner = check_connectivity(name, connectivity)
    batch = SegmentationBatch.read(name, logits, target, **common)
    study = variant == "topomortar"
    if study:
        total = -base_weight * dice_score(batch, include_background=True)
    else:
        total = base_weight * (1 - dice_score(batch, include_background))
    weights = None if study else batch.counted_weights()
    if topology_weight == 0:
        return batch.reduce(total)
    channels = batch.channels(include_background and not study)[: 1 if study else None]
    size = None if spacing is None else check_spacing(name, spacing, batch.labels.ndim - 1)
    masks = critical_pixels(batch, channels, corner, size, study)
    if study:
        return batch.reduce(total + topology_weight * _study_cross_entropy(batch, masks[:, 0]))
    return batch.reduce(total + topology_weight * _critical_cross_entropy(batch, masks, channels, weights))


def critical_pixels(
    batch: SegmentationBatch,
    channels: range,
    corner: bool,
    spacing: Sequence[float] | None = None,
    study: bool = False,
) -> torch.Tensor:
    """Return which pixels are critical for each of `channels`, booleans (B, len(channels), *S).

    With `study`, as the code of TopoMortar finds them.
    """
    winners = host_array(batch.function, batch.winners)
    labels = host_array(batch.function, batch.labels.to(torch.int16))

    def critical(job: tuple[int, int]) -> Mask:
        sample, channel = job
        label = batch.label_of(channel)
        truth = labels[sample] == (0 if study else label)
        predicted = np.where(labels[sample] < 0, truth, winners[sample] == label)
        if study:
            return _study_critical(predicted, truth)
        return _critical(predicted, truth, corner, spacing)

    jobs = [(b, c) for b in range(len(labels)) for c in channels]
    found = np.stack(map_batch(critical, jobs)).reshape(len(labels), len(channels), *labels.shape[1:])
    return torch.from_numpy(found).to(batch.logits.device)


def _critical(predicted: Mask, truth: Mask, corner: bool, spacing: Sequence[float] | None) -> Mask:
    """Return the errors that flips of simple pixels cannot remove in both directions."""
    missing, spurious = np.flatnonzero(truth & ~predicted), np.flatnonzero(predicted & ~truth)
    if len(missing) + len(spurious) == 0:
        return np.zeros_like(truth)
    tables = np.stack([simple_point_table(corner)] * 2)
    warped_truth = warp(truth, _inwards(truth, missing, spurious, spacing), tables, corner)
    warped_prediction = warp(predicted, _inwards(predicted, spurious, missing, spacing), tables, corner)
    return (predicted != warped_truth) | (truth != warped_prediction)


def _study_critical(predicted: Mask, truth: Mask) -> Mask:
    """Return the critical pixels with the test for simple points and the order of the study's code."""
    missing, spurious = truth & ~predicted, predicted & ~truth
    tables = np.stack([one_piece_table(False), one_piece_table(True)])

    def warped(mask: Mask, inside: Mask, outside: Mask) -> Mask:
        order = np.concatenate([_study_order(mask, inside), _study_order(~mask, outside)])
        return warp(mask, order, tables, True, skip_border=True)

    from_truth = warped(truth, missing, spurious)
    from_prediction = warped(predicted, spurious, missing)
    return (predicted != from_truth) | (truth != from_prediction)


def _study_order(mask: Mask, pixels: Mask) -> NDArray[np.int64]:
    """Return `pixels` by their depth in `mask`; NumPy's unstable sort orders ties, as in the study's code."""
    depth = ndimage.distance_transform_edt(mask) * pixels
    return np.argsort(-depth, axis=None)[: np.count_nonzero(depth)][::-1]


def _inwards(
    mask: Mask, inside: NDArray[np.int64], outside: NDArray[np.int64], spacing: Sequence[float] | None
) -> NDArray[np.int64]:
    """Return pixels inside, then those outside `mask`, by their distance to its border, ties by index."""
    distance = distance_to_other(mask, np.concatenate([inside, outside]), spacing)
    first = np.argsort(distance[: len(inside)], kind="stable")
    then = np.argsort(distance[len(inside) :], kind="stable")
    return np.concatenate([inside[first], outside[then]])


def _critical_cross_entropy(
    batch: SegmentationBatch, masks: torch.Tensor, channels: range, weights: torch.Tensor | None
) -> torch.Tensor:
    """Return the mean of -log p of the label over each class's critical pixels, weighted, (B,)."""
    sample, channel, pixel = masks.flatten(2).nonzero(as_tuple=True)
    labels = batch.labels.flatten(1)[sample, pixel]
    counts = masks.flatten(2).sum(2).clamp_min(1)
    if batch.logits.shape[1] > 1:
        log_p = batch.log_probabilities.flatten(2)[sample, labels, pixel]
    else:
        p = batch.probabilities.flatten(1)[sample, pixel]
        log_p = torch.where(labels == 1, p, 1 - p).clamp_min(1e-12).log()
    if weights is not None:
        weighted = weights.flatten(1)[sample, pixel]
        log_p = log_p * weighted
        totals = weighted.new_zeros(masks.shape[:2]).index_put((sample, channel), weighted, accumulate=True)
        counts = torch.where(totals > 0, totals, 1.0)
    sums = log_p.new_zeros(masks.shape[:2]).index_put((sample, channel), -log_p, accumulate=True)
    return batch.weigh_classes(sums / counts, channels)


def _study_cross_entropy(batch: SegmentationBatch, masks: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of masked probabilities with the masked label, as the study's code has it.

    Outside the mask it compares 0 with class 0, which adds a constant of 34.5 times the share outside.
    """
    p = batch.probabilities * masks[:, None]
    y = batch.one_hot(batch.channels(True)) * masks[:, None]
    first = torch.zeros_like(y)
    first[:, 0] = (~masks).to(y.dtype)
    return -((y + first) * (p + 1e-15).log()).flatten(2).mean(2).sum(1)


class WarpingLoss(SegmentationLoss, name="warping", function=warping_loss):
    """Dice plus the warping loss, as a module; the options are those of `warping_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = WarpingLoss(active_from=0.7)
    >>> loss.set_progress(0.8)
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """
