"""Errors that see where features lie: Betti matching error, and the discrepancy of intersection and union.

Stucki et al., ICML 2023 (Betti matching); Lux, Berger et al., ICLR 2025 (DIU).
"""

from __future__ import annotations

from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_connectivity, fail
from topodl.metrics._base import ImageMetric
from topodl.metrics._input import Mask, MaskPair, MaskPairs, neighbourhoods
from topodl.metrics._options import CommonOptions, measures_masks

__all__ = ["DIU", "BettiMatchingError", "betti_matching_error", "diu"]


@measures_masks
def betti_matching_error(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, **common: Unpack[CommonOptions]
) -> torch.Tensor:
    """Return how many components, holes (and cavities) of the two masks have no partner in the other mask.

    Features are partners if they become the same feature of the union of both masks; unlike a difference of
    Betti numbers, a spurious feature here cannot make up for a missing one there.

    Returns
    -------
    Tensor
        float64 (B, N), one value for each dimension below that N of the images, or (B, K, N) for K > 1
        classes in the foreground, or regions.

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
    masks = MaskPairs.read("betti_matching_error", preds, target, **common)

    def measure(pair: MaskPair) -> NDArray[np.int64]:
        p, t, _ = pair
        result = match_images(-p.astype(np.float32), -t.astype(np.float32), by_cells=eight)
        unmatched = np.concatenate([result.unmatched_dims, result.other_unmatched_dims])
        only_one_is_empty = p.any() != t.any()
        errors = np.bincount(unmatched, minlength=masks.ndim)
        errors[0] += only_one_is_empty
        return errors

    return masks.measure(measure, (masks.ndim,))


@measures_masks
def diu(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, **common: Unpack[CommonOptions]
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
    masks = MaskPairs.read("diu", preds, target, **common)
    if masks.ndim != 2:
        raise fail("diu", "preds", "is a batch of volumes", "images, (B, H, W) or (B, C, H, W)")
    foreground, background = neighbourhoods(2, eight)

    def measure(pair: MaskPair) -> int:
        p, t, _ = pair
        return _kernel_and_cokernel(p & t, p | t, foreground) + _kernel_and_cokernel(
            ~(p | t), ~(p & t), background
        )

    return masks.measure(measure)


def _kernel_and_cokernel(small: Mask, large: Mask, structure: Mask) -> int:
    """Return both dimensions of the map from the components of `small` to those of `large`, added."""
    _, n_small = ndimage.label(small, structure)
    pieces, n_large = ndimage.label(large, structure)
    rank = len(np.unique(pieces[small]))
    return int(n_small - rank + n_large - rank)


class BettiMatchingError(ImageMetric, function=betti_matching_error):
    """Components and holes without a partner, per image and dimension; see `betti_matching_error`.

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
    plot_lower_bound = 0.0

    def _value_names(self) -> tuple[str, ...]:
        return ("b0", "b1", "b2")


class DIU(ImageMetric, function=diu):
    """Discrepancy between intersection and union, per image; see `diu`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import DIU
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> DIU()(mask, mask)
    tensor(0., dtype=torch.float64)
    """

    higher_is_better = False
    plot_lower_bound = 0.0
