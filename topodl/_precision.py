"""Half precision: what is ordered, summed up or handed to NumPy is float32 instead. Units of any size."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._host import on_host

__all__ = [
    "HALF_TYPES",
    "at_least_single",
    "full_precision",
    "in_double",
    "in_unit",
    "is_ordinary",
    "to_numpy",
    "unit_of",
]

HALF_TYPES = (torch.float16, torch.bfloat16)


def at_least_single(x: torch.Tensor) -> torch.Tensor:
    """Return `x` as float32 if it has a half type, else as it is; gradients pass."""
    return x.float() if x.dtype in HALF_TYPES else x


def is_ordinary(*sizes: float) -> bool:
    """Return whether squares of values of the order of `sizes` stay in range in unit 1, in any dtype."""
    return all(1e-6 < size < 1e6 for size in sizes)


def unit_of(size: torch.Tensor) -> torch.Tensor:
    """Return the power of two in the order of each `size`, of at least 0; 1 where it is 0 or infinite."""
    limit = 126 if size.dtype == torch.float32 else 1022
    if on_host(size) and size.numel() == 1:  # PyTorch's six operations take as long as a small kernel
        return size.new_full(size.shape, _unit_of_number(size.item(), limit))
    size = size.detach()
    ordinary = (size > 0) & torch.isfinite(size)
    if torch.compiler.is_exporting():  # ONNX takes no number apart; next to a power of two either one serves
        exponents = (torch.where(ordinary, size, 1.0).log2().floor() + 1).clamp(-limit, limit)
        return torch.where(ordinary, torch.pow(2.0, exponents), 1.0)
    exponents = torch.frexp(size).exponent.clamp(-limit, limit)
    return torch.where(ordinary, torch.ldexp(torch.ones_like(size), exponents), torch.ones_like(size))


def _unit_of_number(size: float, limit: int) -> float:
    exponent = math.frexp(size)[1] if 0.0 < size < math.inf else 0
    return math.ldexp(1.0, min(max(exponent, -limit), limit))


def in_unit(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `points` in a unit, a power of two, in which squares of differences stay in range.

    They are `points` themselves where these do so in theirs. The order of distances is the same in any unit.
    """
    size = float(np.abs(points).max(initial=0.0))
    return points if is_ordinary(size) else points / _unit_of_number(size, 1022)


def in_double(x: torch.Tensor) -> torch.Tensor:
    """Return `x` as float64, or as it is on a device that has no such type; gradients pass."""
    return x if x.device.type == "mps" else x.double()


def full_precision(x: Any) -> contextlib.AbstractContextManager[Any]:
    """Switch mixed precision off on the device of a tensor, where it is on.

    To enter the context costs more than a small loss, and some devices have none.
    """
    kind = x.device.type if isinstance(x, torch.Tensor) else "cpu"
    return (
        torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else contextlib.nullcontext()
    )


def to_numpy(x: torch.Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the values of `x` as an array, half types as float32."""
    return at_least_single(x.detach().cpu()).numpy()
