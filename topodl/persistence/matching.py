"""Induced matching of the bars of two images through the image that contains both.

Stucki et al., ICML 2023, arXiv:2211.15272. Cost: three pairings (see `topodl.kernels.betti_matching2d`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.betti_matching2d import match_pixels

__all__ = ["Matching", "match_images"]


class Matching(NamedTuple):
    """Flat pixels (birth, death) of the finite bars of two images, in dimension 0 and then 1.

    Rows of `matched` and `other_matched` go together. `unmatched_dims` and `other_unmatched_dims` are the
    dimensions of the rows of `unmatched` and `other_unmatched`. `essential` has, for each image, the pixel at
    which the component that never dies is born.
    """

    matched: NDArray[np.int64]
    other_matched: NDArray[np.int64]
    unmatched: NDArray[np.int64]
    other_unmatched: NDArray[np.int64]
    unmatched_dims: NDArray[np.int64]
    other_unmatched_dims: NDArray[np.int64]
    essential: NDArray[np.int64]


def match_images(first: NDArray[Any], second: NDArray[Any], by_cells: bool) -> Matching:
    """Match the sublevel bars of two images through their minimum.

    Parameters
    ----------
    first, second : float arrays (H, W) of one dtype, without NaN
    by_cells : bool
        Whether pixels are top cells (8-connected sublevel sets) or vertices (4-connected).

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
    height, width = first.shape
    a, b, both = (np.ascontiguousarray(x).ravel() for x in (first, second, np.minimum(first, second)))
    ours0, theirs0, ours1, theirs1 = match_pixels(
        a, a.view(integer), b, b.view(integer), both, both.view(integer), height, width, by_cells
    )
    bars, partners, dims = _join(ours0, ours1, len(theirs0[0]))
    other_bars, other_partners, other_dims = _join(theirs0, theirs1, len(ours0[0]))
    return Matching(
        bars[partners >= 0],
        other_bars[partners[partners >= 0]],
        bars[partners < 0],
        other_bars[other_partners < 0],
        dims[partners < 0],
        other_dims[other_partners < 0],
        np.array([ours0[0][0], theirs0[0][0]]),
    )


def _join(
    bars0: tuple[NDArray[np.int64], ...], bars1: tuple[NDArray[np.int64], ...], n_others0: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (birth, death), partner and dimension of all bars but the first, which is essential.

    Partners are positions in what this returns for the other image, whose dimension 0 has `n_others0` bars.
    """
    births, deaths = (np.concatenate([bars0[i][1:], bars1[i]]) for i in (0, 1))
    partners0, partners1 = bars0[2][1:] - 1, bars1[2] + n_others0 - 1
    partners = np.concatenate([np.where(partners0 < 0, -1, partners0), np.where(bars1[2] < 0, -1, partners1)])
    dims = np.repeat([0, 1], [len(partners0), len(partners1)])
    return np.stack([births, deaths], 1), partners, dims
