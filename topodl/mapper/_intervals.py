"""Intervals along one axis of a lens: their limits, and which of them values lie in."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from topodl._checks import fail

__all__ = ["Axis", "Split", "for_each_axis", "margin_limits", "tight_limits"]

Array = npt.NDArray[Any]


class Axis(NamedTuple):
    """Intervals of one axis: limits (n,), and the values whose ranks they are limits of, if any.

    `sides` tells which ends belong to an interval: "both", "none" or "left".
    """

    lows: Array
    highs: Array
    sides: str
    knots: Array | None

    def ranges(self, values: Array) -> tuple[Array, Array]:
        """Return the first and the last interval that each of the `values` (n,) lies in, at least one."""
        if self.knots is not None:
            values = np.interp(values, self.knots, np.arange(float(len(self.knots))))
        ends_count = self.sides == "both"
        first = np.searchsorted(self.highs, values, side="left" if ends_count else "right")
        last = np.searchsorted(self.lows, values, side="left" if self.sides == "none" else "right") - 1
        # The outer intervals are open to infinity; between two that touch, rounding may leave a gap.
        last = np.maximum(last, 0)
        return np.minimum(first, last), last

    def limits(self) -> Array:
        """Return the limits (n, 2) in units of the lens."""
        limits = np.stack([self.lows, self.highs], 1)
        if self.knots is not None:
            last = len(self.knots) - 1
            below = self.knots[np.clip(np.floor(limits[:, 0]), 0, last).astype(int)]
            above = self.knots[np.clip(np.ceil(limits[:, 1]), 0, last).astype(int)]
            limits = np.stack([below, above], 1)
        limits[0, 0], limits[-1, 1] = -np.inf, np.inf
        return limits


class Split(NamedTuple):
    """An element cut in two along an axis: values up to `high` lie in the one, from `low` on in the other."""

    axis: int
    high: float
    low: float
    parts: tuple[Split | int, Split | int]


def tight_limits(low: float, high: float, n: int, overlap: float) -> tuple[Array, Array]:
    length = (high - low) / (n - (n - 1) * overlap)
    lows = low + np.arange(n) * (1 - overlap) * length
    return lows, lows + length


def margin_limits(low: float, high: float, n: int, overlap: float) -> tuple[Array, Array]:
    cell = (high - low) / n
    centres, radius = low + cell * (np.arange(n) + 0.5), cell / (2 * (1 - overlap))
    return centres - radius, centres + radius


def for_each_axis(function: str, argument: str, value: Any, n_axes: int) -> list[Any]:
    """Return a setting for each axis; one number is that of all of them."""
    if np.ndim(value) == 0:
        return [value] * n_axes
    if len(value) != n_axes:
        raise fail(function, argument, f"is {value!r}", f"a number, or {n_axes} of them, one per axis")
    return list(value)
