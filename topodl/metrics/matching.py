"""Errors that see where features lie: Betti matching error, DIU, and two scores of components as clusters.

Stucki et al., ICML 2023 (Betti matching); Lux, Berger et al., ICLR 2025 (DIU).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_connectivity, fail
from topodl.metrics._base import ImageMetric
from topodl.metrics._input import Mask, measure_pairs, neighbourhoods, read_label_maps

__all__ = [
    "DIU",
    "AdjustedRandIndex",
    "BettiMatchingError",
    "VariationOfInformation",
    "adjusted_rand_index",
    "betti_matching_error",
    "diu",
    "variation_of_information",
]


def betti_matching_error(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, num_classes: int = 2
) -> torch.Tensor:
    """Return how many components, holes (and cavities) of the two masks have no partner in the other mask.

    Features are partners if they become the same feature of the union of both masks; unlike a difference of
    Betti numbers, a spurious feature here cannot make up for a missing one there.

    Parameters
    ----------
    preds, target : Tensor
        Masks or label maps, (B, *S) or (B, 1, *S), in 2D or 3D.
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one; 8 stands for 26 in volumes.
    num_classes : int
        Classes with the background, which is not measured.

    Returns
    -------
    Tensor
        float64 (B, N), one value for each dimension below that N of the images, or (B, num_classes - 1, N)
        for more than two classes.

    Raises
    ------
    InputError
        If a tensor has another shape than the other, a NaN, or values that are no labels.

    Notes
    -----
    As in the original, one component of each mask that is not empty is matched with one of the other.

    References
    ----------
    N. Stucki et al. Topologically faithful image segmentation via induced matching of persistence barcodes.
    ICML 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import betti_error, betti_matching_error
    >>> target = torch.zeros(1, 5, 16, dtype=torch.bool)
    >>> target[:, 1:4, 1:4] = target[:, 1:4, 11:14] = True
    >>> preds = target.clone()
    >>> target[:, 2, 2] = preds[:, 2, 12] = False  # a hole on the left, and one on the right
    >>> betti_error(preds, target).tolist(), betti_matching_error(preds, target).tolist()
    ([[0.0, 0.0]], [[0.0, 2.0]])
    """
    from topodl.persistence.matching import match_images

    eight = check_connectivity("betti_matching_error", connectivity)
    ndim = read_label_maps("betti_matching_error", "preds", preds, num_classes).ndim - 1

    def measure(p: Mask, t: Mask) -> NDArray[np.int64]:
        result = match_images(-p.astype(np.float32), -t.astype(np.float32), by_cells=eight)
        unmatched = np.concatenate([result.unmatched_dims, result.other_unmatched_dims])
        only_one_is_empty = p.any() != t.any()
        errors = np.bincount(unmatched, minlength=ndim)
        errors[0] += only_one_is_empty
        return errors

    return measure_pairs("betti_matching_error", preds, target, num_classes, measure, (ndim,))


def diu(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, num_classes: int = 2
) -> torch.Tensor:
    """Return the discrepancy between intersection and union: what including one in the other does to pieces.

    It adds up, for the foreground and for the background, the dimensions of kernel and cokernel of the map
    of components from the intersection of the masks to their union. It is 0 exactly if both inclusions are
    bijections of components, so that the two masks have the same topology in the same place.

    Images only: the holes of an image are components of its background, the tunnels of a volume are not.

    Parameters
    ----------
    preds, target : Tensor
        Masks or label maps, (B, H, W) or (B, 1, H, W).
    connectivity : {8, 4}
        Of the foreground; the background has the other one.
    num_classes : int
        Classes with the background, which is not measured.

    Returns
    -------
    Tensor
        float64 (B,), or (B, num_classes - 1) for more than two classes.

    Raises
    ------
    InputError
        If a tensor has another shape than the other, a NaN, or values that are no labels.

    References
    ----------
    L. Lux, A. H. Berger et al. Topograph: an efficient graph-based framework for strictly topology
    preserving image segmentation. ICLR 2025.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import diu
    >>> target = torch.zeros(1, 3, 9, dtype=torch.bool)
    >>> target[:, 1] = True
    >>> preds = target.clone()
    >>> preds[:, 1, 4] = False  # a gap cuts the line in two, and joins the background above with that below
    >>> diu(preds, target).item()
    2.0
    """
    eight = check_connectivity("diu", connectivity)
    _check_planar("diu", preds, num_classes)
    foreground, background = neighbourhoods(2, eight)

    def measure(p: Mask, t: Mask) -> int:
        return _kernel_and_cokernel(p & t, p | t, foreground) + _kernel_and_cokernel(
            ~(p | t), ~(p & t), background
        )

    return measure_pairs("diu", preds, target, num_classes, measure)


def _kernel_and_cokernel(small: Mask, large: Mask, structure: Mask) -> int:
    """Return both dimensions of the map from the components of `small` to those of `large`, added."""
    _, n_small = ndimage.label(small, structure)
    pieces, n_large = ndimage.label(large, structure)
    rank = len(np.unique(pieces[small]))
    return int(n_small - rank + n_large - rank)


def adjusted_rand_index(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, num_classes: int = 2
) -> torch.Tensor:
    """Return the adjusted Rand index of the two partitions of an image into connected pieces.

    The pieces are the components of the foreground and of the background; 1 says that they agree, 0 is
    what chance gives.

    Parameters
    ----------
    preds, target : Tensor
        Masks or label maps, (B, *S) or (B, 1, *S), in 2D or 3D.
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one; 8 stands for 26 in volumes.
    num_classes : int
        Classes with the background, which is not measured.

    Returns
    -------
    Tensor
        float64 (B,), or (B, num_classes - 1) for more than two classes.

    Raises
    ------
    InputError
        If a tensor has another shape than the other, a NaN, or values that are no labels.

    References
    ----------
    L. Hubert, P. Arabie. Comparing partitions. Journal of Classification 2, 1985.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import adjusted_rand_index
    >>> mask = torch.eye(5, dtype=torch.bool)[None]
    >>> adjusted_rand_index(mask, mask).item()
    1.0
    """
    from sklearn.metrics import adjusted_rand_score

    eight = check_connectivity("adjusted_rand_index", connectivity)

    def measure(p: Mask, t: Mask) -> float:
        return float(adjusted_rand_score(_pieces(t, eight).ravel(), _pieces(p, eight).ravel()))

    return measure_pairs("adjusted_rand_index", preds, target, num_classes, measure)


def variation_of_information(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, num_classes: int = 2
) -> torch.Tensor:
    """Return the variation of information of the two partitions of an image into connected pieces.

    The pieces are the components of the foreground and of the background. The first value is the
    entropy of the prediction's pieces given the target's (false splits), the second the other way round
    (false merges).

    Parameters
    ----------
    preds, target : Tensor
        Masks or label maps, (B, *S) or (B, 1, *S), in 2D or 3D.
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one; 8 stands for 26 in volumes.
    num_classes : int
        Classes with the background, which is not measured.

    Returns
    -------
    Tensor
        float64 (B, 2) in bits, or (B, num_classes - 1, 2) for more than two classes.

    Raises
    ------
    InputError
        If a tensor has another shape than the other, a NaN, or values that are no labels.

    References
    ----------
    M. Meilă. Comparing clusterings: an information based distance. Journal of Multivariate Analysis 98, 2007.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import variation_of_information
    >>> mask = torch.eye(5, dtype=torch.bool)[None]
    >>> variation_of_information(mask, mask).tolist()
    [[0.0, 0.0]]
    """
    from skimage.metrics import variation_of_information as entropies

    eight = check_connectivity("variation_of_information", connectivity)

    def measure(p: Mask, t: Mask) -> NDArray[np.float64]:
        values: NDArray[np.float64] = entropies(_pieces(t, eight), _pieces(p, eight))
        return np.where(np.abs(values) < 1e-12, 0.0, values)  # equal partitions leave a rounding error

    return measure_pairs("variation_of_information", preds, target, num_classes, measure, (2,))


def _pieces(mask: Mask, corners: bool) -> NDArray[np.int64]:
    """Return the number of its component, of foreground or background, at each pixel."""
    inside, outside = neighbourhoods(mask.ndim, corners)
    foreground, n = ndimage.label(mask, inside)
    background, _ = ndimage.label(~mask, outside)
    return np.where(mask, foreground, background + n)


def _check_planar(function: str, preds: Any, num_classes: int) -> None:
    shape = read_label_maps(function, "preds", preds, num_classes).shape
    if len(shape) != 3:
        raise fail(function, "preds", f"has shape {tuple(preds.shape)}", "images (B, H, W) or (B, 1, H, W)")


class _PiecesMetric(ImageMetric):
    """What the four metrics share: their options, and the function that measures."""

    _function: ClassVar[Callable[..., torch.Tensor]]

    def __init__(self, *, connectivity: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_connectivity(type(self).__name__, connectivity)
        self.connectivity = connectivity

    def _measure(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return type(self)._function(
            preds, target, connectivity=self.connectivity, num_classes=self.num_classes
        )


class BettiMatchingError(_PiecesMetric):
    """Components and holes without a partner, per image and dimension; see `betti_matching_error`.

    Parameters
    ----------
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one.
    num_classes : int
        Classes with the background, which is not measured.
    reduction : {"mean", "none"}
        Mean over images and classes, or every image's own values.
    **kwargs
        Options of `torchmetrics.Metric`.

    Raises
    ------
    InputError
        If an option or a tensor has an unusable value.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import BettiMatchingError
    >>> target = torch.zeros(2, 8, 8, dtype=torch.bool)
    >>> target[:, 2] = True
    >>> preds = target.clone()
    >>> preds[0, 5, 5] = True
    >>> BettiMatchingError()(preds, target)
    tensor([0.5000, 0.0000], dtype=torch.float64)
    """

    higher_is_better = False
    _function = staticmethod(betti_matching_error)


class DIU(_PiecesMetric):
    """Discrepancy between intersection and union, per image; see `diu`.

    Parameters
    ----------
    connectivity : {8, 4}
        Of the foreground; the background has the other one.
    num_classes : int
        Classes with the background, which is not measured.
    reduction : {"mean", "none"}
        Mean over images and classes, or every image's own value.
    **kwargs
        Options of `torchmetrics.Metric`.

    Raises
    ------
    InputError
        If an option or a tensor has an unusable value.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import DIU
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> DIU()(mask, mask)
    tensor(0., dtype=torch.float64)
    """

    higher_is_better = False
    _function = staticmethod(diu)


class AdjustedRandIndex(_PiecesMetric):
    """Adjusted Rand index of the pieces of an image; see `adjusted_rand_index`.

    Parameters
    ----------
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one.
    num_classes : int
        Classes with the background, which is not measured.
    reduction : {"mean", "none"}
        Mean over images and classes, or every image's own value.
    **kwargs
        Options of `torchmetrics.Metric`.

    Raises
    ------
    InputError
        If an option or a tensor has an unusable value.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import AdjustedRandIndex
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> AdjustedRandIndex()(mask, mask)
    tensor(1., dtype=torch.float64)
    """

    higher_is_better = True
    _function = staticmethod(adjusted_rand_index)


class VariationOfInformation(_PiecesMetric):
    """Entropy of false splits and of false merges, per image; see `variation_of_information`.

    Parameters
    ----------
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one.
    num_classes : int
        Classes with the background, which is not measured.
    reduction : {"mean", "none"}
        Mean over images and classes, or every image's own values.
    **kwargs
        Options of `torchmetrics.Metric`.

    Raises
    ------
    InputError
        If an option or a tensor has an unusable value.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import VariationOfInformation
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> VariationOfInformation()(mask, mask)
    tensor([0., 0.], dtype=torch.float64)
    """

    higher_is_better = False
    _function = staticmethod(variation_of_information)
