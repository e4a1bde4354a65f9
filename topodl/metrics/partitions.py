"""Two scores of the pieces of foreground and background as clusters: Rand index and variation of information.

Hubert, Arabie, 1985; Meilă, 2007. Cost: linear in the pixels.
"""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse

from topodl._checks import check_connectivity
from topodl.metrics._base import ImageMetric
from topodl.metrics._input import Mask, MaskPair, MaskPairs, neighbourhoods
from topodl.metrics._options import CommonOptions, measures_masks

__all__ = ["AdjustedRandIndex", "VariationOfInformation", "adjusted_rand_index", "variation_of_information"]


@measures_masks
def adjusted_rand_index(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, **common: Unpack[CommonOptions]
) -> torch.Tensor:
    """Return the adjusted Rand index of the two partitions of an image into connected pieces.

    The pieces are the components of the foreground and of the background; 1 says that they agree, 0 is
    what chance gives.

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
    eight = check_connectivity("adjusted_rand_index", connectivity)

    def measure(pair: MaskPair) -> float:
        return _adjusted_rand(_joint_counts(*_clusters(pair, eight)))

    return MaskPairs.read("adjusted_rand_index", preds, target, **common).measure(measure)


@measures_masks
def variation_of_information(
    preds: torch.Tensor, target: torch.Tensor, *, connectivity: int = 8, **common: Unpack[CommonOptions]
) -> torch.Tensor:
    """Return the variation of information of the two partitions of an image into connected pieces.

    The pieces are the components of the foreground and of the background. The first value is the
    entropy of the prediction's pieces given the target's (false splits), the second the other way round
    (false merges).

    Returns
    -------
    Tensor
        float64 (B, 2) in bits, or (B, K, 2) for K > 1 classes in the foreground, or regions.

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
    eight = check_connectivity("variation_of_information", connectivity)

    def measure(pair: MaskPair) -> NDArray[np.float64]:
        joint = _joint_counts(*_clusters(pair, eight))
        return np.array([_conditional_entropy(joint), _conditional_entropy(joint.T)])

    return MaskPairs.read("variation_of_information", preds, target, **common).measure(measure, (2,))


def _clusters(pair: MaskPair, corners: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pieces of prediction and target at all pixels that count."""
    p, t = _pieces(pair.preds, corners), _pieces(pair.target, corners)
    return (p.ravel(), t.ravel()) if pair.counted is None else (p[pair.counted], t[pair.counted])


def _joint_counts(p: NDArray[np.int64], t: NDArray[np.int64]) -> sparse.csr_array:
    """Return how many pixels are in piece i of the target and j of the prediction."""
    shape = int(t.max(initial=0)) + 1, int(p.max(initial=0)) + 1
    table = sparse.coo_array((np.ones(len(t), dtype=np.int64), (t, p)), shape)
    return table.tocsr()  # which adds up entries of the same place


def _adjusted_rand(joint: sparse.csr_array) -> float:
    """Return (index - expected) / (maximum - expected) of the pairs of pixels that are together in both."""

    def pairs(sizes: Any) -> int:
        return sum(n * (n - 1) // 2 for n in sizes.tolist())

    n_pixels = int(joint.sum())
    together, in_t, in_p = pairs(joint.data), pairs(joint.sum(1)), pairs(joint.sum(0))
    if together == in_t == in_p:
        return 1.0
    expected = in_t * in_p / pairs(np.array([n_pixels]))
    return (together - expected) / ((in_t + in_p) / 2 - expected)


def _conditional_entropy(joint: sparse.csr_array) -> float:
    """Return the entropy, in bits, of the column of a pixel when its row is known."""
    cells = joint.tocoo()
    if cells.nnz == 0:
        return 0.0
    shares = cells.data / joint.sum(1)[cells.coords[0]]
    return max(0.0, float(-(cells.data * np.log2(shares)).sum() / cells.data.sum()))


def _pieces(mask: Mask, corners: bool) -> NDArray[np.int64]:
    """Return the number of its component, of foreground or background, at each pixel."""
    inside, outside = neighbourhoods(mask.ndim, corners)
    foreground, n = ndimage.label(mask, inside)
    background, _ = ndimage.label(~mask, outside)
    return np.where(mask, foreground, background + n)


class AdjustedRandIndex(ImageMetric, function=adjusted_rand_index):
    """Adjusted Rand index of the pieces of an image; see `adjusted_rand_index`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import AdjustedRandIndex
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> AdjustedRandIndex()(mask, mask).round(decimals=4)
    tensor(1., dtype=torch.float64)
    """

    higher_is_better = True
    plot_upper_bound = 1.0


class VariationOfInformation(ImageMetric, function=variation_of_information):
    """Entropy of false splits and of false merges, per image; see `variation_of_information`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import VariationOfInformation
    >>> mask = torch.eye(8, dtype=torch.bool)[None]
    >>> VariationOfInformation()(mask, mask)
    tensor([0., 0.], dtype=torch.float64)
    """

    higher_is_better = False
    plot_lower_bound = 0.0

    def _value_names(self) -> tuple[str, ...]:
        return ("splits", "merges")
