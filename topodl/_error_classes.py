"""The classes of topological errors in images and volumes, for maps of errors and for the weights of losses.

The wrong pixels are eaten away as long as that changes no topology; what resists is a topological error.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from topodl.kernels.masks.simple_growth import grow_by_simple_pixels

__all__ = ["TopologyError", "classify_errors"]

Mask = NDArray[np.bool_]


class TopologyError(IntEnum):
    """The classes of `topology_errors`.

    References
    ----------
    X. Hu. Structure-aware image segmentation with homotopy warping. NeurIPS 2022.

    Examples
    --------
    >>> from topodl.metrics import TopologyError
    >>> [error.name.lower() for error in TopologyError]
    ['none', 'broken', 'merged', 'missing', 'spurious']
    """

    NONE = 0
    BROKEN = 1
    MERGED = 2
    MISSING = 3
    SPURIOUS = 4


def classify_errors(p: Mask, t: Mask, corners: bool, reach: int) -> NDArray[np.int64]:
    """Return the class of each pixel of a prediction `p` of the mask `t`, both (H, W) or (D, H, W)."""
    around = np.ones((3,) * p.ndim, dtype=bool)
    errors = np.zeros(p.shape, dtype=np.int64)
    sides = (
        (p, t, TopologyError.BROKEN, TopologyError.MISSING),
        (t, p, TopologyError.MERGED, TopologyError.SPURIOUS),
    )
    for start, goal, partial, whole in sides:
        wrong = goal & ~start
        untouched = _untouched_components(goal, start, corners)
        resisting = wrong & ~untouched & ~grow_by_simple_pixels(start, wrong, corners)
        if reach and resisting.any():
            resisting = ndimage.binary_dilation(resisting, around, iterations=reach, mask=wrong)
        errors[resisting & ~untouched] = partial
        errors[untouched] = whole
    return errors


def _untouched_components(mask: Mask, other: Mask, corners: bool) -> Mask:
    """Return the components of `mask` that neither meet `other` nor are next to it."""
    structure = np.ones((3,) * mask.ndim, dtype=bool) if corners else None
    pieces, n = ndimage.label(mask, structure)
    alone = np.ones(n + 1, dtype=bool)
    alone[pieces[ndimage.binary_dilation(other, structure)]] = False
    alone[0] = False
    return np.asarray(alone[pieces], dtype=bool)
