"""Half precision: what is ordered, summed up or handed to NumPy is float32 instead."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch

__all__ = ["HALF_TYPES", "at_least_single", "full_precision", "to_numpy"]

HALF_TYPES = (torch.float16, torch.bfloat16)


def at_least_single(x: torch.Tensor) -> torch.Tensor:
    """Return `x` as float32 if it has a half type, else as it is; gradients pass."""
    return x.float() if x.dtype in HALF_TYPES else x


def full_precision(x: torch.Tensor) -> contextlib.AbstractContextManager[Any]:
    """Switch mixed precision off where it is on; to enter the context costs more than all that is in it."""
    kind = x.device.type
    return (
        torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else contextlib.nullcontext()
    )


def to_numpy(x: torch.Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the values of `x` as an array, half types as float32."""
    return at_least_single(x.detach().cpu()).numpy()
