"""Flat views of test images: a picture as it is; of a volume, slices along each axis and a projection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["View", "views_of"]

Array = NDArray[Any]


@dataclass(frozen=True)
class View:
    """A name, "" for a picture as it is, and the function that takes an array (..., *S) to (..., H, W)."""

    title: str
    of: Callable[[Array], Array]


def views_of(foreground: NDArray[np.bool_]) -> list[View]:
    """Return the views of an image with a foreground of shape S, of two or three dimensions.

    Those of a volume are the middle slices of the foreground along each axis (of the volume, where there is
    no foreground) and the maximum along the shortest axis.

    Examples
    --------
    >>> foreground = np.zeros((4, 6, 8), bool)
    >>> foreground[3, :, 1:4] = True
    >>> [(view.title, view.of(foreground).shape) for view in views_of(foreground)]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('slice 3 along axis 0', (6, 8)), ('slice 2 along axis 1', (4, 8)), ('slice 2 along axis 2', (4, 6)),
     ('maximum along axis 0', (6, 8))]
    """
    if foreground.ndim == 2:
        return [View("", lambda array: array)]
    slices = [
        View(f"slice {index} along axis {axis}", _slice(axis, index))
        for axis in range(3)
        for index in [_middle(foreground, axis)]
    ]
    shortest = int(np.argmin(foreground.shape))
    return [*slices, View(f"maximum along axis {shortest}", lambda array: array.max(axis=shortest - 3))]


def _slice(axis: int, index: int) -> Callable[[Array], Array]:
    return lambda array: np.take(array, index, axis=axis - 3)


def _middle(foreground: NDArray[np.bool_], axis: int) -> int:
    others = tuple(other for other in range(3) if other != axis)
    has_some = np.flatnonzero(foreground.any(axis=others))
    return int(has_some[0] + has_some[-1]) // 2 if has_some.size else foreground.shape[axis] // 2
