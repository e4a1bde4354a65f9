"""clDice: Dice of soft centrelines (Shit et al., CVPR 2021, arXiv 2003.07311).

Cost: one erosion and one dilation of the prediction an iteration; the label's skeleton is cached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import check_choice, check_number, check_spacing
from topodl._host import host_array
from topodl.kernels.shared.pool import map_batch
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import cross_entropy, dice_score, reduce_over_batch
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.losses._soft_skeleton import NO_OUTSIDE, cross_depth, soft_skeleton
from topodl.losses._targets import TargetCache, TargetParts, class_masks, take_part

__all__ = ["ClDiceLoss", "cldice_loss"]

_FEWEST, _MOST = 3, 32  # iterations for a prediction


@loss_function
def cldice_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    iterations: int | None = None,
    smooth: float = 1.0,
    spacing: float | Sequence[float] | None = None,
    base_weight: float = 0.5,
    ce_weight: float = 1.0,
    topology_weight: float = 0.5,
    include_background: bool = False,
    variant: Literal["paper", "topomortar"] = "paper",
    precomputed: TargetParts | TargetCache | None = None,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return ``base_weight`` times (CE + Dice loss) plus ``topology_weight`` times the clDice loss.

    .. math:: L_{cl} = 1 - \frac{2 T_p T_s}{T_p + T_s}, \quad
              T_p = \frac{\sum S(p)\, y + s}{\sum S(p) + s}, \quad
              T_s = \frac{\sum S(y)\, p + s}{\sum S(y) + s}

    with the soft skeleton S. Sums run over the pixels of one sample and class. S is what openings take away,
    step after step: it has not the homotopy type of its image, as it may break a line, and covers the whole
    width of one that is an even number of pixels wide. It is not empty where there is something: a region
    that fills the image, which no erosion changes, is its own skeleton, and so is what more erosions than are
    done by default would be needed for.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    iterations : int, optional
        Iterations of the soft skeleton. By default what each side needs, class by class: the largest radius
        in pixels, measured along the axes as the erosion goes, of the label, and of the region where the
        prediction has this class (3 at least, and 32 at most unless the label is wider); fewer leave wide
        structures without a skeleton, so that false blobs and lines that are run together cost nothing.
    smooth : float, default=1
        The s above; the Dice term uses it too.
    spacing : float or sequence of float, optional
        Size of a pixel along each axis; 1 by default. A step of the erosion is as long as the largest of
        them, h: along an axis with sides d it takes the nearest number of pixels to h / d, and sums count
        volumes in units of h to the number of axes. So an image whose pixels are cut into several along an
        axis keeps its value, and what is thinner than 2 h is its own skeleton; a definition of this library,
        as the paper knows cubes alone. Unequal sides are slower.
    base_weight, topology_weight : float, default=0.5
        Weights of the base loss and of the clDice term.
    ce_weight : float, default=1
        Weight of the cross-entropy beside the Dice term. 0 is the loss of the paper, which ends in
        foreground everywhere where structures are thin: both of its terms are content with that at first.
    include_background : bool, default=False
        Whether class 0 counts.
    variant : {"paper", "topomortar"}, default="paper"
        "topomortar" reproduces the code of that study: 3 iterations unless given, sums over the whole
        batch, clDice of class 1 alone, the negative Dice score of all classes with smoothing 1e-5, and
        no cross-entropy.
    precomputed : mapping of str to Tensor of shape (B, …), optional
        What ``ClDiceLoss.precompute`` returned for `target`.
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
    Shit et al., "clDice - a Novel Topology-Preserving Loss Function for Tubular Structure
    Segmentation", CVPR 2021.

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> target[:, 3:6] = 1
    >>> whole = torch.where(target == 1, 4.0, -4.0)[:, None]
    >>> broken = whole.clone()
    >>> broken[..., 4] = -4.0
    >>> bool(cldice_loss(broken, target) > cldice_loss(whole, target))
    True
    """
    name = "cldice_loss"
    check_choice(name, "variant", variant, ("paper", "topomortar"))
    check_number(name, "smooth", smooth, low=0.0)
    if iterations is not None:
        check_number(name, "iterations", iterations, low=0, integer=True)
    batch = SegmentationBatch.read(name, logits, target, **common)
    study = variant == "topomortar"
    if study:
        base = -dice_score(batch, include_background=True)
    else:
        base = 1 - dice_score(batch, include_background, smooth=smooth)
        if ce_weight:
            base = base + ce_weight * cross_entropy(batch)
    if topology_weight == 0:
        return batch.reduce(base_weight * base)
    channels = batch.channels(include_background and not study)[: 1 if study else None]
    sums = skeleton_sums(batch, channels, precomputed, iterations, include_background, spacing, variant)
    if study:
        sums = [s.sum(0, keepdim=True) for s in sums]
        cldice = 1 - batch.weigh_classes(_harmonic_mean(sums, smooth), channels)
        return base_weight * batch.reduce(base) + topology_weight * reduce_over_batch(batch, cldice)
    cldice = 1 - batch.weigh_classes(_harmonic_mean(sums, smooth), channels)
    return batch.reduce(base_weight * base + topology_weight * cldice)


def skeleton_sums(
    batch: SegmentationBatch,
    channels: range,
    precomputed: TargetParts | TargetCache | None,
    iterations: int | None,
    include_background: bool,
    spacing: float | Sequence[float] | None,
    variant: str,
) -> list[torch.Tensor]:
    """Return the sums of S(p) y, S(p), S(y) p and S(y) over pixels, (B, len(channels)) each."""
    arms, volume = _arms(spacing, batch.labels.ndim - 1)

    def prepare(labels: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
        return label_skeleton(labels, iterations, include_background, spacing, variant)

    parts = batch.target_parts(precomputed, prepare)
    least = take_part(batch.function, parts, "iterations", (len(batch.labels),), batch.logits)
    label_map = batch.take_map(parts, "skeleton")
    p = batch.probabilities[:, channels.start : channels.stop]
    if batch.valid is not None:
        p = p * batch.valid[:, None]  # what is ignored is background, in the label too
    steps, core = least[:, None].expand(-1, len(channels)), None
    if variant == "paper":
        steps, core = _reach_of_prediction(batch, channels, steps, iterations is None, arms)
    predicted = soft_skeleton(p.flatten(0, 1), steps.flatten(), arms).view_as(p)
    if core is not None:
        predicted = torch.where(core, p, predicted)
    y = batch.one_hot(channels)
    labelled = label_map[:, None] * y
    sums = [_dot(predicted, y), predicted.flatten(2).sum(2), _dot(labelled, p), labelled.flatten(2).sum(2)]
    return [s * volume for s in sums]


def _arms(spacing: float | Sequence[float] | None, dims: int) -> tuple[tuple[int, ...], float]:
    """Return how many pixels a step takes along each axis, and the volume of a pixel in steps."""
    sides = check_spacing("cldice_loss", 1.0 if spacing is None else spacing, dims)
    shares = [side / max(sides) for side in sides]
    return tuple(round(1 / share) for share in shares), math.prod(shares)


def _reach_of_prediction(
    batch: SegmentationBatch,
    channels: range,
    labelled: torch.Tensor,
    needed: bool,
    arms: tuple[int, ...],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the iterations of each sample and class (B, len(channels)), and what no opening reaches.

    Those that the prediction needs, if they are `needed`, else those of the label. No fewer than _FEWEST,
    because what is improbable has a skeleton too, and no more than the label's or _MOST: time and memory grow
    with them. The second, (B, len(channels), *S) or None, is where the prediction is deeper.
    """
    winners = batch.winners if batch.valid is None else batch.winners.masked_fill(~batch.valid, -1)
    masks = [host_array(batch.function, winners == batch.label_of(c)) for c in channels]
    most = max(int(labelled.max()), _MOST) + 1

    def depth_of(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
        if needed or mask.all():
            return cross_depth(mask, arms, most)
        return np.zeros(mask.shape, np.int32)

    depths = map_batch(depth_of, [mask[i] for i in range(len(winners)) for mask in masks])
    steps = labelled
    if needed:
        radii = [0 if depth.flat[0] == NO_OUTSIDE else int(depth.max()) for depth in depths]
        steps = torch.tensor(radii, device="cpu").view(labelled.shape).to(labelled)
        steps = steps.clamp(labelled.new_tensor(_FEWEST), labelled.clamp_min(_MOST))
    limits = (steps + 1).flatten().tolist()
    if all(depth.max() <= limit for depth, limit in zip(depths, limits, strict=True)):
        return steps, None
    core = np.stack([depth > limit for depth, limit in zip(depths, limits, strict=True)])
    return steps, torch.from_numpy(core).view(*labelled.shape, *winners.shape[1:]).to(winners.device)


def label_skeleton(
    labels: NDArray[np.int16],
    iterations: int | None = None,
    include_background: bool = False,
    spacing: float | Sequence[float] | None = None,
    variant: str = "paper",
) -> dict[str, NDArray[Any]]:
    """Return the soft skeletons of the classes of one label (*S) in one map, and the most iterations.

    The skeleton of a class lies inside the class, so that one map holds all of them.
    """
    paper, (arms, _) = variant == "paper", _arms(spacing, labels.ndim)
    masks = class_masks(labels, "each", include_background and paper) or [np.zeros(labels.shape, bool)]
    if iterations is not None or not paper:
        steps = [3 if iterations is None else iterations] * len(masks)
    else:
        steps = [1 if mask.all() else max(1, int(cross_depth(mask, arms).max())) for mask in masks]
    images = torch.from_numpy(np.stack(masks)).float()
    skeletons = soft_skeleton(images, torch.tensor(steps, device="cpu"), arms)
    if paper and masks[0].all():
        skeletons = images
    return {"skeleton": skeletons.sum(0).numpy(), "iterations": np.asarray(max(steps))}


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).flatten(2).sum(2)


def _harmonic_mean(sums: list[torch.Tensor], smooth: float) -> torch.Tensor:
    precision = (sums[0] + smooth) / (sums[1] + smooth)
    sensitivity = (sums[2] + smooth) / (sums[3] + smooth)
    return 2 * precision * sensitivity / (precision + sensitivity)


class ClDiceLoss(SegmentationLoss, name="cldice", function=cldice_loss, prepare=label_skeleton):
    """Dice plus clDice, as a module; the options are those of `cldice_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = ClDiceLoss(iterations=3)
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """
