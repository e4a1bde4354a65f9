"""cbDice: clDice of hard skeletons, weighted by the radius of the vessel (Shi et al., MICCAI 2024).

Cost: one thinning of each predicted class on the CPU; distances at skeleton pixels alone; labels' are cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import check_choice, check_connectivity, check_number
from topodl._host import host_array, send, untransformed
from topodl.kernels.masks.distance import distance_to_other
from topodl.kernels.masks.thinning import thin
from topodl.kernels.shared.pool import map_batch
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import cross_entropy, dice_score, reduce_over_batch
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.losses._reading import sides_in_pixels
from topodl.losses._soft_skeleton import cross_radius, soft_skeleton
from topodl.losses._targets import Classes, TargetCache, TargetParts, class_masks, take_part

__all__ = ["CbDiceLoss", "cbdice_loss"]

Mask = NDArray[np.bool_]
Skeleton = Literal["thinned", "morphological"]


@loss_function
def cbdice_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    iterations: int | None = None,
    skeleton: Skeleton = "thinned",
    base_weight: float = 1.0,
    topology_weight: float = 1.0,
    include_background: bool = False,
    classes: Classes = "each",
    over_batch: bool = False,
    connectivity: int = 8,
    spacing: float | Sequence[float] | None = None,
    variant: Literal["paper", "topomortar"] = "paper",
    precomputed: TargetParts | TargetCache | None = None,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return ``base_weight`` times (cross-entropy + Dice) plus ``topology_weight`` times the cbDice loss.

    .. math:: L_{cb} = -\frac1C \sum_c \frac{2 T_{p,c} T_{s,c}}{T_{p,c} + T_{s,c}}

    Precision and sensitivity of skeletons are weighted by the distance from the border relative to the
    largest radius of the class, and by an importance that is the greater the thinner the structure, so that
    wide and thin vessels count alike. Skeletons and distances are constants; the gradient flows through the
    probabilities of the pixels that they select.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    iterations : int, optional
        Iterations of the skeleton; by default until it no longer changes.
    skeleton : {"thinned", "morphological"}, default="thinned"
        Thinning by simple points keeps the topology. Openings, the code of the authors, do not: they break
        lines, and where `iterations` are too few, a wide region has no skeleton. Given no iterations, every
        region has one; one that fills the image is its own.
    base_weight, topology_weight : float, default=1
        Weights of the base loss and of the cbDice term.
    include_background : bool, default=False
        Whether class 0 counts, in the Dice score and, by a skeleton of its own, in cbDice.
    classes : {"each", "union"}, default="each"
        "each" compares every class with its label. "union", the code of the authors, takes all foreground for
        one: the likeliest foreground class against the background. What is told apart wrongly costs nothing.
    over_batch : bool, default=False
        Sum over the samples of the batch before dividing in the cbDice term.
    connectivity : {8, 4}, default=8
        Which foreground pixels are neighbours in the thinning; 26 and 6 in a volume.
    spacing : float or sequence of float, optional
        Size of a pixel along each axis; 1 by default. Radii are multiples of the smallest of them.
    variant : {"paper", "topomortar"}, default="paper"
        "topomortar" reproduces the code of that study: half the cross-entropy, a quarter each of Dice and
        cbDice, 5 iterations unless given, the reciprocal of the radius as importance, sums over the batch.
    precomputed : mapping of str to Tensor of shape (B, …), optional
        What ``CbDiceLoss.precompute`` returned for `target`.
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
    Shi et al., "Centerline Boundary Dice Loss for Vascular Segmentation", MICCAI 2024, arXiv:2407.01517.
    Menten et al., "A Skeletonization Algorithm for Gradient-Based Optimization", ICCV 2023.

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> target[:, 3:6] = 1
    >>> whole = torch.where(target == 1, 4.0, -4.0)[:, None]
    >>> broken = whole.clone()
    >>> broken[..., 4] = -4.0
    >>> bool(cbdice_loss(broken, target) > cbdice_loss(whole, target))
    True
    """
    name = "cbdice_loss"
    check_choice(name, "variant", variant, ("paper", "topomortar"))
    check_choice(name, "skeleton", skeleton, ("thinned", "morphological"))
    check_choice(name, "classes", classes, ("each", "union"))
    if iterations is not None:
        check_number(name, "iterations", iterations, low=0, integer=True)
    corner = check_connectivity(name, connectivity)
    batch = SegmentationBatch.read(name, logits, target, **common)
    size = sides_in_pixels(name, spacing, batch.labels.ndim - 1)
    study = variant == "topomortar"
    if study:
        base = 0.5 * cross_entropy(batch) - 0.25 * dice_score(batch, include_background=True)
    else:
        base = cross_entropy(batch) - dice_score(batch, include_background)
    if topology_weight == 0:
        return batch.reduce(base_weight * base)

    def prepare(labels: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
        return centreline(
            labels, iterations, skeleton, include_background, classes, connectivity, spacing, variant
        )

    parts = batch.target_parts(precomputed, prepare)
    if study and iterations is None:
        iterations = 5
    channels = batch.channels(include_background)
    regions = _regions(batch, channels, classes)
    found = _compare_skeletons(batch, parts, regions, _Options(iterations, skeleton, corner, size, study))
    sums = _weighted_sums([region.p for region in regions], found, study or over_batch)
    precision, sensitivity = (sums[0] + 1) / (sums[1] + 1), (sums[2] + 1) / (sums[3] + 1)
    term = -2 * precision * sensitivity / (precision + sensitivity)
    # the union stands for each of its classes
    term = batch.weigh_classes(term[:, [min(i, len(regions) - 1) for i in range(len(channels))]], channels)
    if study or over_batch:
        weight = topology_weight * (0.25 if study else 1.0)
        return base_weight * batch.reduce(base) + weight * reduce_over_batch(batch, term)
    return batch.reduce(base_weight * base + topology_weight * term)


@dataclass(frozen=True)
class _Options:
    iterations: int | None
    skeleton: Skeleton
    corner: bool
    spacing: Sequence[float] | None
    study: bool


@dataclass(frozen=True)
class _Region:
    """What is compared with the label in all samples, (B, *S) each: one class, or all of the foreground."""

    p: torch.Tensor
    predicted: torch.Tensor
    labelled: torch.Tensor


class _Comparison(NamedTuple):
    """One sample: flat indices of skeleton pixels, and what the sums need there: arrays, then tensors."""

    predicted: Any  # skeleton of the prediction
    predicted_depth: Any
    predicted_importance: Any
    label_depth_there: Any
    on_label_skeleton: Any
    labelled: Any  # skeleton of the label
    labelled_depth: Any
    labelled_importance: Any
    predicted_depth_there: Any
    on_predicted_skeleton: Any


def centreline(
    labels: NDArray[np.int16],
    iterations: int | None = None,
    skeleton: Skeleton = "thinned",
    include_background: bool = False,
    classes: Classes = "each",
    connectivity: int = 8,
    spacing: float | Sequence[float] | None = None,
    variant: str = "paper",
) -> dict[str, NDArray[Any]]:
    """Return the skeletons of the classes of one label (*S) in one map, and the depth of each pixel."""
    study = variant == "topomortar"
    corner = check_connectivity("cbdice_loss", connectivity)
    size = sides_in_pixels("cbdice_loss", spacing, labels.ndim)
    steps = 5 if study and iterations is None else iterations
    options = _Options(steps, skeleton, corner, size, study)
    lines, depth = np.zeros(labels.shape, bool), np.zeros(labels.size, np.float32)
    for mask in class_masks(labels, classes, include_background):
        lines |= _skeletonize(mask, options)
        inside = np.flatnonzero(mask)
        depth[inside] = _depth(mask, inside, size)
    return {"skeleton": lines, "depth": depth.reshape(labels.shape)}


def _regions(batch: SegmentationBatch, channels: range, classes: Classes) -> list[_Region]:
    """Return the regions that are compared, in the order of `channels`, the union last."""
    apart = [c for c in channels if classes == "each" or (c == 0 and len(batch.logits[0]) > 1)]
    regions = [
        _Region(batch.probabilities[:, c], batch.winners == batch.label_of(c), batch.class_mask(c))
        for c in apart
    ]
    if classes == "union":
        p = _foreground_probability(batch)
        regions.append(_Region(p, p.detach() > 0.5, batch.labels > 0))
    if batch.valid is None:
        return regions
    return [_Region(r.p, r.predicted & batch.valid, r.labelled) for r in regions]


def _skeletonize(mask: Mask, options: _Options) -> Mask:
    if options.skeleton == "thinned":
        return thin(mask, options.iterations, options.corner)
    if mask.all():  # no opening changes it
        return mask
    steps = max(1, cross_radius(mask)) if options.iterations is None else options.iterations
    image = torch.from_numpy(mask).float()[None]
    line: Mask = (soft_skeleton(image, torch.tensor([steps], device="cpu"))[0] > 0.5).numpy()
    return line


def _depth(mask: Mask, pixels: NDArray[np.int64], spacing: Sequence[float] | None) -> NDArray[np.float64]:
    """Return the distance of `pixels` of `mask` to its outside; a mask without one ends with the image."""
    depth = distance_to_other(mask, pixels, spacing)
    if np.isfinite(depth).all():
        return depth
    padded = np.pad(mask, 1)
    moved = np.ravel_multi_index(tuple(i + 1 for i in np.unravel_index(pixels, mask.shape)), padded.shape)
    return distance_to_other(padded, moved, spacing)


def _importance(relative: NDArray[Any], radius: float, dims: int, study: bool) -> NDArray[np.float64]:
    """Return the weight of skeleton pixels by their `relative` radius: the thinner, the greater."""
    if study:
        return (1 + 1e-7) / (relative ** (dims - 1) + 1e-7)
    return (1 - relative + 1 / radius) ** (dims - 1)


def _compare_skeletons(
    batch: SegmentationBatch, parts: TargetParts, regions: list[_Region], options: _Options
) -> list[list[_Comparison]]:
    """Return the comparisons of each sample, one a region."""
    shape, like = tuple(batch.labels.shape), batch.logits
    lines = host_array(batch.function, take_part(batch.function, parts, "skeleton", shape, like).bool())
    depths = host_array(batch.function, take_part(batch.function, parts, "depth", shape, like))
    masks = [tuple(host_array(batch.function, m) for m in (r.predicted, r.labelled)) for r in regions]
    jobs = [
        (predicted[i], labelled[i], lines[i], depths[i])
        for i in range(len(lines))
        for predicted, labelled in masks
    ]
    with untransformed():
        found = map_batch(lambda job: _compare(*job, options), jobs)
    return [found[i : i + len(regions)] for i in range(0, len(found), len(regions))]


def _compare(
    mask: Mask, label: Mask, lines: Mask, depths: NDArray[np.float32], options: _Options
) -> _Comparison:
    dims = mask.ndim
    depth, line = depths.ravel(), (lines & label).ravel()
    own_line = _skeletonize(mask, options).ravel()
    predicted, labelled = np.flatnonzero(own_line), np.flatnonzero(line)
    own = _depth(mask, predicted, options.spacing)
    own_radius = max(float(own.max(initial=0.0)), 1.0)
    radius = max(float(depth[labelled].max(initial=0.0)), 1.0)
    there = np.zeros(len(labelled))
    overlap = mask.ravel()[labelled]
    there[overlap] = _depth(mask, labelled[overlap], options.spacing)
    label_depth_there = np.where(label.ravel()[predicted], depth[predicted].astype(np.float64), 0)
    labelled_depth = depth[labelled].astype(np.float64) / radius
    return _Comparison(
        predicted,
        own / own_radius,
        _importance(own / own_radius, own_radius, dims, options.study),
        np.minimum(label_depth_there, radius) / radius,
        line[predicted],
        labelled,
        labelled_depth,
        _importance(labelled_depth, radius, dims, options.study),
        np.minimum(there, own_radius) / own_radius,
        own_line[labelled],
    )


def _weighted_sums(p: list[torch.Tensor], found: list[list[_Comparison]], over_batch: bool) -> torch.Tensor:
    """Return the fractions of precision, then of sensitivity, by region: (4, B, R), or (4, 1, R)."""
    images = torch.stack(p, 1).flatten(2)
    comparisons = _sent([c for row in found for c in row], images)
    sums = [_sums_of_one(image, c) for image, c in zip(images.flatten(0, 1), comparisons, strict=True)]
    stacked = torch.stack(sums, 1).view(4, len(images), -1)
    return stacked.sum(1, keepdim=True) if over_batch else stacked


def _sent(comparisons: list[_Comparison], like: torch.Tensor) -> list[_Comparison]:
    """Return the arrays as tensors on the device of `like`, numbers in its dtype."""
    tensors = [torch.from_numpy(array) for c in comparisons for array in c]
    sent = iter(send([x.to(like.dtype) if x.is_floating_point() else x for x in tensors], like.device))
    return [_Comparison(*(next(sent) for _ in c)) for c in comparisons]


def _sums_of_one(image: torch.Tensor, c: _Comparison) -> torch.Tensor:
    p_line, p_label = image[c.predicted], image[c.labelled]
    weight, own = c.predicted_importance * p_line, c.predicted_depth * p_line
    # where both skeletons run, the other one's radius counts, else the skeleton's own
    radius = torch.where(c.on_label_skeleton, c.label_depth_there, own)
    other = c.predicted_depth_there * p_label
    label_radius = torch.where(c.on_predicted_skeleton, other, c.labelled_depth)
    label_weight = c.labelled_importance
    precision = [weight * c.label_depth_there, radius * weight]
    sensitivity = [label_weight * other, label_radius * label_weight]
    return torch.stack([t.sum() for t in precision + sensitivity])


def _foreground_probability(batch: SegmentationBatch) -> torch.Tensor:
    """Return the probability of the likeliest foreground class against the background, (B, *S)."""
    if batch.logits.shape[1] <= 2:
        return batch.probabilities[:, -1]
    foreground = batch.logits[:, 1:].amax(1)
    if batch.activation == "none":
        return foreground / (foreground + batch.logits[:, 0]).clamp_min(1e-12)
    return (foreground - batch.logits[:, 0]).sigmoid()


class CbDiceLoss(SegmentationLoss, name="cbdice", function=cbdice_loss, prepare=centreline):
    """Cross-entropy, Dice and cbDice, as a module; the options are those of `cbdice_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = CbDiceLoss()
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """
