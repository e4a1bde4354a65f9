"""Two scores of the pieces of foreground and background as clusters: Rand index and variation of information.

Hubert, Arabie, 1985; Meilă, 2007. Cost: linear in the pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse

from topodl._checks import check_choice, check_connectivity
from topodl.metrics._base import ImageMetric
from topodl.metrics._contingency import joint_counts
from topodl.metrics._input import BACKGROUNDS, Mask, MaskPair, MaskPairs, neighbourhoods
from topodl.metrics._options import CommonOptions, measures_masks

__all__ = ["AdjustedRandIndex", "VariationOfInformation", "adjusted_rand_index", "variation_of_information"]

Ints = NDArray[np.int64]

_F = TypeVar("_F", bound=Callable[..., torch.Tensor])


class PartitionArguments:
    """What the functions of two partitions have in common.

    Parameters
    ----------
    background : {"included", "excluded"}
        Whether pixels of the target's background count. The adapted Rand error of instance segmentation
        leaves them out. The prediction's background is a cluster like any other in both cases.
    input_format : {"index", "one-hot", "regions", "instances"}, default="index"
        "instances": the values of label maps (B, *S) or (B, 1, *S) are ids, any integers of at least 0, and
        clusters are pixels of the same id, connected or not; which id an instance has makes no difference.
        "index": label maps (B, *S) or (B, 1, *S) of classes. "one-hot": classes (B, num_classes, *S), of
        which each pixel has one. "regions": masks (B, num_classes, *S), which may overlap.
    """


def measures_partitions(function: _F) -> _F:
    """Complete a function of two partitions as `measures_masks` does."""
    return measures_masks(function, PartitionArguments)


@measures_partitions
def adjusted_rand_index(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    connectivity: int = 8,
    background: str = "included",
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    """Return the adjusted Rand index of two partitions of an image: into connected pieces, or instances.

    The pieces are the components of the foreground and of the background; 1 says that the partitions agree,
    0 is what chance gives. It is 1 where no pixel counts.

    References
    ----------
    L. Hubert, P. Arabie. Comparing partitions. Journal of Classification 2, 1985. I. Arganda-Carreras et al.
    Crowdsourcing the creation of image segmentation algorithms for connectomics. Frontiers in Neuroanatomy 9,
    2015 (adapted Rand error).

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import adjusted_rand_index
    >>> mask = torch.eye(5, dtype=torch.bool)[None]
    >>> adjusted_rand_index(mask, mask).item()
    1.0
    >>> cells = torch.tensor([[[1, 1, 0, 2, 2, 3]]])
    >>> renamed = torch.tensor([[[7, 7, 0, 1, 1, 40]]])
    >>> adjusted_rand_index(renamed, cells, input_format="instances").item()
    1.0
    """
    clusters = _reader("adjusted_rand_index", connectivity, background)

    def measure(pair: MaskPair) -> float:
        return _adjusted_rand(joint_counts(*clusters(pair)))

    masks = MaskPairs.read("adjusted_rand_index", preds, target, takes_instances=True, **common)
    return masks.measure(measure)


@measures_partitions
def variation_of_information(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    connectivity: int = 8,
    background: str = "included",
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    """Return the variation of information of two partitions of an image: into connected pieces, or instances.

    The pieces are the components of the foreground and of the background. The first value is the
    entropy of the prediction's clusters given the target's (false splits), the second the other way round
    (false merges). Both are 0 where no pixel counts.

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
    >>> cells = torch.tensor([[[1, 1, 2, 2]]])
    >>> variation_of_information(torch.tensor([[[9, 9, 5, 4]]]), cells, input_format="instances").tolist()
    [[0.5, 0.0]]
    """
    clusters = _reader("variation_of_information", connectivity, background)

    def measure(pair: MaskPair) -> NDArray[np.float64]:
        joint = joint_counts(*clusters(pair))
        return np.array([_conditional_entropy(joint), _conditional_entropy(joint.T)])

    masks = MaskPairs.read("variation_of_information", preds, target, takes_instances=True, **common)
    return masks.measure(measure, (2,))


def _reader(function: str, connectivity: int, background: str) -> Callable[[MaskPair], tuple[Ints, Ints]]:
    """Return what gives the clusters of prediction and target at all pixels that count."""
    corners = check_connectivity(function, connectivity)
    check_choice(function, "background", background, BACKGROUNDS)

    def clusters(pair: MaskPair) -> tuple[Ints, Ints]:
        counted = pair.counted
        if background == "excluded":
            inside = pair.target > 0
            counted = inside if counted is None else counted & inside
        p, t = (_pieces(x, corners) if x.dtype == bool else _renumbered(x) for x in pair[:2])
        return (p.ravel(), t.ravel()) if counted is None else (p[counted], t[counted])

    return clusters


def _renumbered(ids: NDArray[Any]) -> Ints:
    """Return the ids as 0, 1, 2, …, in their order."""
    return np.unique(ids, return_inverse=True)[1].reshape(ids.shape)


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


def _pieces(mask: Mask, corners: bool) -> Ints:
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
    _takes_instances = True
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
    _takes_instances = True
    plot_lower_bound = 0.0

    def _value_names(self) -> tuple[str, ...]:
        return ("splits", "merges")
