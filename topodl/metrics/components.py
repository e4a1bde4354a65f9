"""How well each connected component of a target is found: recall and Dice of each, missed and false ones.

The Dice of BraTS' lesion-wise evaluation, without its dilation of the target. Cost: linear in the pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_connectivity
from topodl.metrics._base import ImageMetric
from topodl.metrics._contingency import joint_counts
from topodl.metrics._input import MaskPair, MaskPairs, neighbourhoods
from topodl.metrics._options import (
    CommonOptions,
    ReadingOptions,
    maps_masks,
    measures_masks,
    refuse_ignore_empty,
)

__all__ = ["ComponentMatches", "ComponentScores", "component_matches", "component_scores"]


class ComponentMatches(NamedTuple):
    """The components of one mask and what was found of each, as `component_matches` returns them.

    Attributes
    ----------
    sizes : ndarray of shape (N,)
        Pixels of each component of the target.
    recall : ndarray of shape (N,)
        Share of its pixels that the prediction has; 0 where the component is missed.
    dice : ndarray of shape (N,)
        Dice of the component with all components of the prediction that meet it.
    false_sizes : ndarray of shape (M,)
        Pixels of each component of the prediction that meets none of the target.

    References
    ----------
    A. W. Moawad et al. The Brain Tumor Segmentation - Metastases (BraTS-METS) Challenge 2023.
    arXiv:2306.00838, 2023.

    Examples
    --------
    >>> from topodl.metrics import ComponentMatches
    >>> ComponentMatches._fields
    ('sizes', 'recall', 'dice', 'false_sizes')
    """

    sizes: NDArray[np.int64]
    recall: NDArray[np.float64]
    dice: NDArray[np.float64]
    false_sizes: NDArray[np.int64]


@maps_masks
def component_matches(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, **common: Unpack[ReadingOptions]
) -> list[ComponentMatches]:
    """Return what was found of each component of every image.

    Returns
    -------
    list of ComponentMatches
        One for each image, or for each class of each image, those of one image one after the other; arrays of
        shape (N,) for N components, in the order in which their first pixels come.

    References
    ----------
    A. W. Moawad et al. The Brain Tumor Segmentation - Metastases (BraTS-METS) Challenge 2023.
    arXiv:2306.00838, 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import component_matches
    >>> target = torch.tensor([[[1, 1, 1, 1, 0, 1, 0, 0]]])
    >>> preds = torch.tensor([[[1, 1, 0, 0, 0, 0, 0, 1]]])
    >>> (found,) = component_matches(preds, target)
    >>> found.recall.tolist(), len(found.false_sizes)
    ([0.5, 0.0], 1)
    """
    corners = check_connectivity("component_matches", connectivity)
    refuse_ignore_empty("component_matches", common)
    pairs = MaskPairs.read("component_matches", preds, target, **common).pairs
    return [_match(pair, corners) for pair in pairs]


@measures_masks
def component_scores(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, **common: Unpack[CommonOptions]
) -> torch.Tensor:
    """Return how well the components of every image are found: mean Dice, missed ones and false ones.

    Each component of the target counts alike, whatever its size. Its Dice is that with all components of the
    prediction that meet it; a component of the prediction that meets none adds a Dice of 0 to the mean. The
    mean is 1 where both masks are empty.

    Returns
    -------
    Tensor
        float64 (B, 3): mean Dice, number of components of the target that the prediction nowhere meets, and
        number of those of the prediction that nowhere meet the target; (B, K, 3) for K > 1 classes in the
        foreground, or regions.

    Notes
    -----
    The BraTS challenge dilates the target first, so that lesions near each other are one; here they are not.

    References
    ----------
    A. W. Moawad et al. The Brain Tumor Segmentation - Metastases (BraTS-METS) Challenge 2023.
    arXiv:2306.00838, 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import component_scores
    >>> target = torch.tensor([[[1, 1, 1, 1, 0, 1, 0, 0]]])
    >>> preds = torch.tensor([[[1, 1, 1, 1, 0, 0, 0, 1]]])
    >>> component_scores(preds, target).round(decimals=4).tolist()
    [[0.3333, 1.0, 1.0]]
    """
    corners = check_connectivity("component_scores", connectivity)

    def measure(pair: MaskPair) -> tuple[float, int, int]:
        found = _match(pair, corners)
        n_false = len(found.false_sizes)
        n = len(found.sizes) + n_false
        mean = float(found.dice.sum()) / n if n else 1.0
        return mean, int(np.count_nonzero(found.recall == 0)), n_false

    return MaskPairs.read("component_scores", preds, target, **common).measure(measure, (3,))


def _match(pair: MaskPair, corners: bool) -> ComponentMatches:
    structure, _ = neighbourhoods(pair.target.ndim, corners)
    p, t = (ndimage.label(mask, structure)[0].ravel() for mask in (pair.preds, pair.target))
    joint = joint_counts(p, t)
    sizes, predicted_sizes = _sums(joint, 1)[1:], _sums(joint, 0)[1:]
    overlaps = joint[1:, 1:]
    meets = (overlaps > 0).astype(np.int64)
    shared = _sums(overlaps, 1)
    return ComponentMatches(
        sizes,
        shared / sizes,
        2 * shared / (sizes + meets @ predicted_sizes),
        predicted_sizes[_sums(meets, 0) == 0],
    )


def _sums(table: Any, axis: int) -> NDArray[np.int64]:
    return np.asarray(table.sum(axis), dtype=np.int64).ravel()


class ComponentScores(ImageMetric, function=component_scores):
    """Mean Dice of components, missed and false ones, per image; see `component_scores`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import ComponentScores
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> metric = ComponentScores()
    >>> metric.update(mask, mask)
    >>> {name: round(value.item(), 4) for name, value in metric.as_dict().items()}
    {'ComponentScores_dice': 1.0, 'ComponentScores_missed': 0.0, 'ComponentScores_false': 0.0}
    """

    higher_is_better = None
    plot_lower_bound = 0.0

    def _value_names(self) -> tuple[str, ...]:
        return ("dice", "missed", "false")
