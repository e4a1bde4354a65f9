"""Random integers and smooth integer noise that are the same bytes on every machine.

Everything derives from the raw 64-bit stream of PCG64, which NumPy promises never to change (unlike the
streams of ``Generator``'s methods), by exact arithmetic on integers: no rounding, no libm.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOISE_MAX", "Draws", "Ints"]

Ints = NDArray[np.signedinteger[Any]]
NOISE_MAX = 255 * 128  # the absolute value that `Draws.noise` never exceeds, just under 2**15


class Draws:
    """A stream of integers named by `key`; streams of different keys are independent."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def integer(self, low: int, high: int) -> int:
        """Draw one integer from [low, high)."""
        raw: int = self._bits.random_raw()
        return low + ((raw >> 32) * (high - low) >> 32)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Ints:
        """Draw integers from [low, high)."""
        raw = np.asarray(self._bits.random_raw(int(np.prod(shape)))) >> np.uint64(32)
        scaled = (raw * np.uint64(high - low)) >> np.uint64(32)
        return scaled.astype(np.int64).reshape(shape) + low

    def chance(self, percent: int) -> bool:
        """Draw True with a probability of `percent` in 100."""
        return self.integer(0, 100) < percent

    def octets(self, shape: tuple[int, ...]) -> Ints:
        """Draw integers from [0, 256), eight from each 64 bits."""
        count = int(np.prod(shape))
        raw = np.asarray(self._bits.random_raw((count + 7) // 8), dtype="<u8")
        return raw.view(np.uint8)[:count].reshape(shape).astype(np.int32)

    def noise(self, size: int, cell: int) -> Ints:
        """Draw smooth noise (size, size) with features of `cell` pixels, in ±`NOISE_MAX`."""
        weights = _weights(size, cell)
        grid = self.octets((weights.shape[1],) * 2).astype(np.float32)
        # All sums are integers below 2**24, which float32 holds: the order of summation cannot matter.
        return ((weights @ grid @ weights.T).astype(np.int32) >> 8) - NOISE_MAX

    def grain(self, size: int) -> Ints:
        """Draw noise of single pixels (size, size), somewhat alike in neighbours, in ±510."""
        octets = self.octets((size + 1, size + 1))
        rows = octets[1:] + octets[:-1]
        return rows[:, 1:] + rows[:, :-1] - 510


@lru_cache(maxsize=64)
def _weights(size: int, cell: int) -> NDArray[np.float32]:
    """Return (size, nodes): for each pixel, the smoothstep weights (of 256) of the grid nodes beside it."""
    pixels = np.arange(size)
    fraction = (pixels % cell) * 256 // cell
    upper = (fraction * fraction * (768 - 2 * fraction)) >> 16
    weights = np.zeros((size, (size - 1) // cell + 2), dtype=np.float32)
    weights[pixels, pixels // cell] = 256 - upper
    weights[pixels, pixels // cell + 1] = upper
    return weights
