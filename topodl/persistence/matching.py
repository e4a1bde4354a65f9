"""Induced matching of the bars of two images or volumes through the one that contains both.

Stucki et al., ICML 2023, arXiv:2211.15272. Cost: three pairings (see `betti_matching2d` and
`betti_matching3d` in `topodl.kernels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.images.betti_matching2d import match_pixels
from topodl.kernels.images.betti_matching3d import match_voxels

__all__ = ["Matching", "match_images"]


class Matching(NamedTuple):
    """Flat pixels (birth, death) of the finite bars of two images, dimension by dimension.

    Rows of `matched` and `other_matched` go together. `matched_dims`, `unmatched_dims` and
    `other_unmatched_dims` are the dimensions of the rows of these. `essential` has, for each image, the
    pixel at which the component that never dies is born.
    """

    matched: NDArray[np.int64]
    other_matched: NDArray[np.int64]
    unmatched: NDArray[np.int64]
    other_unmatched: NDArray[np.int64]
    matched_dims: NDArray[np.int64]
    unmatched_dims: NDArray[np.int64]
    other_unmatched_dims: NDArray[np.int64]
    essential: NDArray[np.int64]


def match_images(first: NDArray[Any], second: NDArray[Any], by_cells: bool) -> Matching:
    """Match the sublevel bars of two images or volumes through their minimum.

    Parameters
    ----------
    first, second : float arrays (H, W) or (D, H, W) of one dtype, without NaN
    by_cells : bool
        Whether pixels are top cells (sublevel sets connect along corners) or vertices (along sides).

    Returns
    -------
    Matching

    Examples
    --------
    >>> import numpy as np
    >>> first = np.array([[0.0, 9.0, 1.0, 9.0]])
    >>> match_images(first, np.array([[5.0, 9.0, 2.0, 9.0]]), by_cells=False).matched
    array([[2, 1]])
    """
    integer = np.int32 if first.dtype == np.float32 else np.int64
    a, b, both = (np.ascontiguousarray(x).ravel() for x in (first, second, np.minimum(first, second)))
    a_bits, b_bits, both_bits = (x.view(integer) for x in (a, b, both))
    if first.ndim == 3:
        depth, height, width = first.shape
        pairs = match_voxels(a_bits, b_bits, both_bits, depth, height, width, by_cells)
    else:
        height, width = first.shape
        ours0, theirs0, ours1, theirs1 = match_pixels(
            a, a_bits, b, b_bits, both, both_bits, height, width, by_cells
        )
        pairs = [(ours0, theirs0), (ours1, theirs1)]
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    bars, partners, dims = _join(ours, theirs)
    other_bars, other_partners, other_dims = _join(theirs, ours)
    return Matching(
        bars[partners >= 0],
        other_bars[partners[partners >= 0]],
        bars[partners < 0],
        other_bars[other_partners < 0],
        dims[partners >= 0],
        dims[partners < 0],
        other_dims[other_partners < 0],
        np.array([ours[0][0][0], theirs[0][0][0]]),
    )


_Bars = Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]


def _join(bars: _Bars, others: _Bars) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (birth, death), partner and dimension of all bars but the first, which is essential.

    Partners are positions in what this returns for the other image.
    """
    births, deaths = (np.concatenate([dim[i] for dim in bars])[1:] for i in (0, 1))
    first_of_dim = np.cumsum([-1] + [len(other[0]) for other in others])
    partners = [np.where(dim[2] < 0, -1, dim[2] + first_of_dim[k]) for k, dim in enumerate(bars)]
    dims = np.repeat(np.arange(len(bars)), [len(dim[0]) for dim in bars])[1:]
    return np.stack([births, deaths], 1), np.concatenate(partners)[1:], dims
