"""Skeleton Recall: the share of the label's thickened skeleton that is found (Kirchhoff et al., ECCV 2024).

Cost: one dot product with a map that depends on the label alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from topodl._checks import check_choice, check_spacing
from topodl.kernels.masks.thinning import thin
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import cross_entropy, dice_score, reduce_over_batch
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.losses._targets import Classes, TargetCache, TargetParts, class_masks

__all__ = ["SkeletonRecallLoss", "skeleton_recall_loss"]

Mask = NDArray[np.bool_]
Skeleton = Literal["thinned", "scikit-image"]


@loss_function
def skeleton_recall_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    base_weight: float = 1.0,
    topology_weight: float = 1.0,
    include_background: bool = False,
    classes: Classes = "each",
    skeleton: Skeleton | None = None,
    spacing: float | Sequence[float] | None = None,
    over_batch: bool = False,
    variant: Literal["paper", "topomortar"] = "paper",
    precomputed: TargetParts | TargetCache | None = None,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return ``base_weight`` times (cross-entropy + Dice) plus ``topology_weight`` times skeleton recall.

    .. math:: L_{rec} = -\frac1C \sum_c \frac{\sum p_c T_c + 10^{-5}}{\sum T_c + 10^{-5}}

    T is the skeleton of a class, dilated twice by a cross and cut to the class.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    base_weight, topology_weight : float, default=1
        Weights of the base loss and of the recall.
    include_background : bool, default=False
        Whether class 0 counts, in the Dice score and, by a skeleton of its own, in the recall.
    classes : {"each", "union"}, default="each"
        "each" gives every class a skeleton of its own. "union", the code of the authors, thins all foreground
        as one, of which each class has the part that lies in it: a thin class beside a thick one has none.
    skeleton : {"thinned", "scikit-image"}, optional
        "thinned", the default, has the components, holes and cavities of its mask. "scikit-image", the
        default with variant="topomortar", is `skimage.morphology.skeletonize` as in the authors' code, which
        deletes straight tubes of even width in volumes, and some slanted lines in the plane.
    spacing : float or sequence of float, optional
        Size of a pixel along each axis: the dilation reaches twice the smallest of them. 1 by default.
    over_batch : bool, default=False
        Sum over the samples of the batch before dividing, in the Dice score and in the recall.
    variant : {"paper", "topomortar"}, default="paper"
        "topomortar" has no Dice term, and the skeleton of scikit-image, as the code of that study.
    precomputed : mapping of str to Tensor of shape (B, …), optional
        What ``SkeletonRecallLoss.precompute`` returned for `target`.
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
    Kirchhoff et al., "Skeleton Recall Loss for Connectivity Conserving and Resource Efficient
    Segmentation of Thin Tubular Structures", ECCV 2024.

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> target[:, 3:6] = 1
    >>> whole = torch.where(target == 1, 4.0, -4.0)[:, None]
    >>> broken = whole.clone()
    >>> broken[..., 4] = -4.0
    >>> bool(skeleton_recall_loss(broken, target) > skeleton_recall_loss(whole, target))
    True
    """
    name = "skeleton_recall_loss"
    check_choice(name, "variant", variant, ("paper", "topomortar"))
    check_choice(name, "classes", classes, ("each", "union"))
    if skeleton is not None:
        check_choice(name, "skeleton", skeleton, ("thinned", "scikit-image"))
    batch = SegmentationBatch.read(name, logits, target, **common)
    if spacing is not None:
        check_spacing(name, spacing, batch.labels.ndim - 1)
    base = cross_entropy(batch)
    if variant == "paper":
        base = base - dice_score(batch, include_background, over_batch=over_batch)
    if topology_weight == 0:
        return batch.reduce(base_weight * base)
    channels = batch.channels(include_background)

    def prepare(labels: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
        return skeleton_tube(labels, include_background, classes, skeleton, spacing, variant)

    tube = batch.take_map(batch.target_parts(precomputed, prepare), "tube")
    recall = _recall(batch, channels, tube, over_batch)
    if over_batch:
        return base_weight * batch.reduce(base) - topology_weight * reduce_over_batch(batch, recall)
    return batch.reduce(base_weight * base - topology_weight * recall)


def skeleton_tube(
    labels: NDArray[np.int16],
    include_background: bool = False,
    classes: Classes = "each",
    skeleton: Skeleton | None = None,
    spacing: float | Sequence[float] | None = None,
    variant: str = "paper",
) -> dict[str, NDArray[Any]]:
    """Return where the dilated skeletons of the classes of one label (*S) lie, in one map of booleans."""
    if skeleton is None:
        skeleton = "scikit-image" if variant == "topomortar" else "thinned"
    reach = _reach(check_spacing("skeleton_recall_loss", 1.0 if spacing is None else spacing, labels.ndim))
    tube = np.zeros(labels.shape, bool)
    for mask in class_masks(labels, classes, include_background):
        line = thin(mask) if skeleton == "thinned" else skeletonize(mask)
        tube |= ndimage.binary_dilation(line, reach) & mask
    return {"tube": tube}


def _reach(spacing: Sequence[float]) -> Mask:
    """Return the pixels around one that paths along the axes of twice the smallest spacing reach."""
    longest = 2 * min(spacing) * (1 + 1e-6)
    steps = [range(-int(longest / size), int(longest / size) + 1) for size in spacing]
    lengths = [
        sum(abs(n) * size for n, size in zip(move, spacing, strict=True))
        for move in itertools.product(*steps)
    ]
    return (np.array(lengths) <= longest).reshape([len(axis) for axis in steps])


def _recall(batch: SegmentationBatch, channels: range, tube: torch.Tensor, over_batch: bool) -> torch.Tensor:
    """Return the class-weighted recall of each sample, (B,), or of the whole batch, (1,)."""
    masks = (tube[:, None] * batch.one_hot(channels)).flatten(2)
    p = batch.probabilities[:, channels.start : channels.stop].flatten(2)
    found, wanted = (p * masks).sum(2), masks.sum(2)
    if over_batch:
        found, wanted = found.sum(0, keepdim=True), wanted.sum(0, keepdim=True)
    return batch.weigh_classes((found + 1e-5) / (wanted + 1e-5), channels)


class SkeletonRecallLoss(
    SegmentationLoss, name="skeleton_recall", function=skeleton_recall_loss, prepare=skeleton_tube
):
    """Cross-entropy, Dice and skeleton recall, as a module; the options are those of `skeleton_recall_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = SkeletonRecallLoss()
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """
