"""Dice, and clDice: Dice of each mask's centre lines with the other mask.

Shit et al., clDice, CVPR 2021, equations 1 to 3. Cost of clDice: two skeletons an image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import check_choice, check_spacing
from topodl.kernels.masks.thinning import thin
from topodl.metrics._base import ImageMetric
from topodl.metrics._input import CONVENTIONS, SKELETONS, Mask, MaskPair, MaskPairs
from topodl.metrics._options import CommonOptions, measures_masks

__all__ = ["ClDice", "Dice", "cldice_score", "dice_score"]


@measures_masks
def dice_score(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    convention: str = "standard",
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    """Return the Dice coefficient of every image, 2 |P ∩ T| / (|P| + |T|).

    Parameters
    ----------
    convention : {"standard", "topomortar"}
        The value where both masks are empty: 1, or 0 as in TopoMortar's study. Where one is, it is 0.

    References
    ----------
    L. R. Dice. Measures of the amount of ecologic association between species. Ecology 26, 1945.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import dice_score
    >>> dice_score(torch.tensor([[[1, 1, 0, 0]]]), torch.tensor([[[0, 1, 0, 0]]]))
    tensor([0.6667], dtype=torch.float64)
    """
    check_choice("dice_score", "convention", convention, CONVENTIONS)
    both_empty = 1.0 if convention == "standard" else 0.0

    def measure(pair: MaskPair) -> float:
        p, t, _ = pair
        sizes = np.count_nonzero(p) + np.count_nonzero(t)
        return 2.0 * np.count_nonzero(p & t) / sizes if sizes else both_empty

    return MaskPairs.read("dice_score", preds, target, **common).measure(measure)


@measures_masks
def cldice_score(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    convention: str = "standard",
    skeleton: str | None = None,
    spacing: float | Sequence[float] | None = None,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    """Return the centre-line Dice of every image.

    It is the harmonic mean of two shares: of the prediction's skeleton inside the target, and of the target's
    skeleton inside the prediction.

    Parameters
    ----------
    convention : {"standard", "topomortar"}
        ``"standard"``: 1 where both masks are empty, 0 where one is or no skeleton meets the other mask.
        ``"topomortar"``: NaN in all of these, the outcome of 0 / 0 in the study's code.
    skeleton : {"thinned", "scikit-image"}, optional
        "thinned", the default, has the components, holes and cavities of its mask. "scikit-image", the
        default with convention="topomortar", is `skimage.morphology.skeletonize` as in the study's code,
        which deletes straight tubes of even width in volumes, and some slanted lines in the plane.
    spacing : float or sequence of floats, optional
        Size of a pixel along each spatial axis. The shares are then ones of length: every pixel of a skeleton
        weighs as much as the mean distance to those next to it, one by itself as the side of a cube of its
        volume. By default every pixel counts 1, as published.

    Notes
    -----
    The paper knows cubes alone; lengths are this library's definition. They make a share independent of how
    finely a line is sampled along an axis. Which pixels are the skeleton does not depend on `spacing`:
    thinning counts in pixels, so that wide structures of long voxels are not thinned to their very middle.
    `topodl.losses.cldice_loss` erodes by lengths instead, as soft skeletons have no pixels to weigh.

    References
    ----------
    S. Shit et al. clDice: a novel topology-preserving loss function for tubular structure
    segmentation. CVPR 2021.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import cldice_score
    >>> target = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> target[:, 3:6] = 1
    >>> preds = target.clone()
    >>> preds[:, :, 4:] = 0
    >>> cldice_score(preds, target).item() < cldice_score(target, target).item() == 1.0
    True
    """
    check_choice("cldice_score", "convention", convention, CONVENTIONS)
    standard = convention == "standard"
    if skeleton is None:
        skeleton = "thinned" if standard else "scikit-image"
    check_choice("cldice_score", "skeleton", skeleton, SKELETONS)
    skeletonize = thin if skeleton == "thinned" else _published_skeleton
    masks = MaskPairs.read("cldice_score", preds, target, **common)
    sides = None if spacing is None else check_spacing("cldice_score", spacing, masks.ndim)

    def measure(pair: MaskPair) -> float:
        p, t, _ = pair
        precision, recall = _share_inside(skeletonize(p), t, sides), _share_inside(skeletonize(t), p, sides)
        if not standard and (math.isnan(precision + recall) or precision + recall == 0):
            return math.nan
        if not p.any() and not t.any():
            return 1.0
        if math.isnan(precision + recall) or precision + recall == 0:
            return 0.0
        return 2 * precision * recall / (precision + recall)

    return masks.measure(measure)


def _published_skeleton(mask: Mask) -> Mask:
    from skimage.morphology import skeletonize

    return np.asarray(skeletonize(mask), dtype=bool)


def _share_inside(skeleton: Mask, mask: Mask, sides: tuple[float, ...] | None) -> float:
    if sides is not None:
        lengths = _local_lengths(skeleton, sides)
        return float(lengths[mask[skeleton]].sum() / lengths.sum()) if len(lengths) else math.nan
    length = np.count_nonzero(skeleton)
    return np.count_nonzero(skeleton & mask) / length if length else math.nan


def _local_lengths(skeleton: Mask, sides: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the mean distance of each pixel of a skeleton to its neighbours in it, in C order."""
    padded = np.pad(skeleton, 1)
    pixels = np.argwhere(padded)
    total, n_neighbours = np.zeros(len(pixels)), np.zeros(len(pixels), dtype=np.int64)
    for step in itertools.product((-1, 0, 1), repeat=skeleton.ndim):
        if any(step):
            found = padded[tuple((pixels + step).T)]
            total += found * math.hypot(*np.multiply(step, sides))
            n_neighbours += found
    alone = math.prod(sides) ** (1 / len(sides))
    return np.where(n_neighbours > 0, total / np.maximum(n_neighbours, 1), alone)


class Dice(ImageMetric, function=dice_score):
    """Dice coefficient of label maps, per image; see `dice_score`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import Dice
    >>> metric = Dice()
    >>> metric.update(torch.tensor([[[1, 1, 0, 0]]]), torch.tensor([[[0, 1, 0, 0]]]))
    >>> metric.compute()
    tensor(0.6667, dtype=torch.float64)
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0


class ClDice(ImageMetric, function=cldice_score):
    """Centre-line Dice of label maps, per image; see `cldice_score`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import ClDice
    >>> metric = ClDice(reduction="none")
    >>> metric.update(torch.ones(2, 1, 8, 8), torch.ones(2, 1, 8, 8))
    >>> metric.compute()
    tensor([1., 1.], dtype=torch.float64)
    """

    higher_is_better = True
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
