"""Powers of values that may be 0, exponentials of those that may be huge."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["power", "within_reach"]

_REACH = 1000.0  # exp of minus this is 0 in every dtype


def power(values: torch.Tensor, exponent: float) -> torch.Tensor:
    """Return `values` (at least 0) to an exponent of at least 0; of 0 the power and the gradient are 0."""
    zero = values.detach() == 0
    return values.masked_fill(zero, 1.0).pow(exponent).masked_fill(zero, 0.0)


def within_reach(away: torch.Tensor, width: torch.Tensor | float) -> torch.Tensor:
    """Return `away` in units of `width`, cut where exponentials of it are 0.

    Far beyond, squares and quotients overflow, and their gradients are 0 times infinity.
    """
    limit: Any = _REACH * (width.detach().abs() if isinstance(width, torch.Tensor) else abs(width))
    return away.clamp(-limit, limit) / width
