"""Random integers and smooth integer noise that are the same bytes on every machine.

Everything derives from the raw 64-bit stream of PCG64, which NumPy promises never to change (unlike the
streams of ``Generator``'s methods), by integer arithmetic alone: no rounding, no libm, no SIMD reduction.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOISE_MAX", "Draws", "Ints"]

Ints = NDArray[np.int64]
NOISE_MAX = 255 * 128  # the absolute value that `Draws.noise` never exceeds, just under 2**15


class Draws:
    """A stream of integers named by `key`; streams of different keys are independent."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def integers(self, low: int, high: int, shape: tuple[int, ...] = (1,)) -> Ints:
        """Draw integers from [low, high)."""
        raw = np.asarray(self._bits.random_raw(int(np.prod(shape)))) >> np.uint64(32)
        scaled = (raw * np.uint64(high - low)) >> np.uint64(32)
        return scaled.astype(np.int64).reshape(shape) + low

    def integer(self, low: int, high: int) -> int:
        """Draw one integer from [low, high)."""
        return int(self.integers(low, high)[0])

    def chance(self, percent: int) -> bool:
        """Draw True with a probability of `percent` in 100."""
        return self.integer(0, 100) < percent

    def bytes(self, shape: tuple[int, ...]) -> Ints:
        """Draw integers from [0, 256), eight from each 64 bits."""
        count = int(np.prod(shape))
        raw = np.asarray(self._bits.random_raw((count + 7) // 8), dtype="<u8")
        return raw.view(np.uint8)[:count].reshape(shape).astype(np.int64)

    def noise(self, size: int, cell: int) -> Ints:
        """Draw smooth noise (size, size) with features of `cell` pixels, in ±`NOISE_MAX`."""
        index, weight = _taps(size, cell)
        grid = self.bytes((int(index[-1]) + 2,) * 2)
        rows = grid[index] * (256 - weight)[:, None] + grid[index + 1] * weight[:, None]
        columns: Ints = rows[:, index] * (256 - weight) + rows[:, index + 1] * weight
        return (columns >> 8) - NOISE_MAX


@lru_cache(maxsize=64)
def _taps(size: int, cell: int) -> tuple[Ints, Ints]:
    """Return, for each pixel, the grid node before it and the smoothstep weight (of 256) of the next one."""
    pixels = np.arange(size, dtype=np.int64)
    fraction = (pixels % cell) * 256 // cell
    return pixels // cell, (fraction * fraction * (768 - 2 * fraction)) >> 16
