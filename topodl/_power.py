"""Powers of values that may be 0."""

from __future__ import annotations

import torch

__all__ = ["power"]


def power(values: torch.Tensor, exponent: float) -> torch.Tensor:
    """Return `values` (at least 0) to an exponent of at least 0; of 0 the power and the gradient are 0."""
    zero = values.detach() == 0
    return values.masked_fill(zero, 1.0).pow(exponent).masked_fill(zero, 0.0)
