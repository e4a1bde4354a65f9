"""For each pixel, the least of its neighbours of the same kind, as an index; window by window axis by axis.

Cost: two vectorised passes an axis, a pixel of reach and a kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels._compile import kernel

__all__ = ["least_neighbour", "warm_up"]


def least_neighbour(
    image: NDArray[Any], inside: NDArray[np.bool_], counted: NDArray[np.bool_], reach: int
) -> NDArray[np.int64]:
    """Return the flat index of the worst pixel of the same kind within `reach` along every axis.

    Parameters
    ----------
    image : array of floats (*S)
    inside : array of booleans (*S)
        The kind of a pixel. Worst is the lowest of the pixels inside and the highest of those outside.
    counted : array of booleans (*S)
        A pixel that does not count is nobody's neighbour; its own index is returned for it.
    reach : int
        Half the side of the window, without its centre.
    """
    own = np.arange(image.size, dtype=np.int32).reshape(image.shape)
    padded_own = np.pad(own, reach)
    strides = np.array(padded_own.strides) // padded_own.itemsize
    chosen = []
    for kind in (True, False):
        value = np.where((inside == kind) & counted, image if kind else -image, image.dtype.type(np.inf))
        value = np.pad(value, reach, constant_values=np.inf).ravel()
        source = padded_own.ravel()
        for stride in strides:
            value, source = _window_minimum(value, source, int(stride), reach)
        unpadded = source.reshape(padded_own.shape)[tuple(slice(reach, -reach) for _ in image.shape)]
        chosen.append(unpadded)
    worst = np.where(inside, chosen[0], chosen[1])
    return np.where(counted, worst, own).astype(np.int64)


def _window_minimum(
    value: NDArray[Any], source: NDArray[np.int32], stride: int, reach: int
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    low, low_source = value.copy(), source.copy()
    for distance in range(1, reach + 1):
        shift = distance * stride
        _take_lower(value[:-shift], source[:-shift], low[shift:], low_source[shift:])
        _take_lower(value[shift:], source[shift:], low[:-shift], low_source[:-shift])
    return low, low_source


@kernel
def _take_lower(value: Any, source: Any, low: Any, low_source: Any) -> None:
    for i in range(len(low)):
        lower = value[i] < low[i]
        low[i] = value[i] if lower else low[i]
        low_source[i] = source[i] if lower else low_source[i]


def warm_up() -> None:
    """Compile the kernel for float32 and float64."""
    for dtype in (np.float32, np.float64):
        least_neighbour(np.zeros((2, 2), dtype), np.ones((2, 2), bool), np.ones((2, 2), bool), 1)
