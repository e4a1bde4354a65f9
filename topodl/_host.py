"""Where NumPy may take over from PyTorch: on small tensors it takes a tenth of the time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch._C import _functorch
from torch.autograd import forward_ad

from topodl.errors import InputError

__all__ = ["as_tensor", "has_gradient", "is_traced", "is_vmapped", "on_host", "plain"]


def as_tensor(value: Any) -> torch.Tensor:
    """Return a tensor as it is, and anything else as one on the CPU, whatever default device is set."""
    return value if isinstance(value, torch.Tensor) else torch.as_tensor(value, device="cpu")


def is_traced(*tensors: torch.Tensor) -> bool:
    """Return whether each operation on `tensors` has to be PyTorch's own, because something follows them.

    That is a compiler, a transform of `torch.func`, forward mode, or a batch of gradients.
    """
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return True
    for x in tensors:  # a generator would take longer than the rest
        if _functorch.is_functorch_wrapped_tensor(x) or _functorch.is_legacy_batchedtensor(x):
            return True
    return False


def is_vmapped(x: torch.Tensor) -> bool:
    """Return whether `torch.vmap` runs over an axis of `x`."""
    while not torch.compiler.is_compiling() and _functorch.is_functorch_wrapped_tensor(x):
        if _functorch.is_batchedtensor(x):
            return True
        x = _functorch.get_unwrapped(x)
    return False


def has_gradient(x: torch.Tensor) -> bool:
    """Return whether a gradient, of any mode, may be asked of what is computed from `x`."""
    return x.requires_grad or is_traced(x)


def plain(function: str, x: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return the values of `x` alone, contiguous, out of the wrappers that `torch.func` follows them by."""
    if torch.compiler.is_compiling() or not _functorch.is_functorch_wrapped_tensor(x):
        return np.ascontiguousarray(x.detach().cpu().resolve_neg().numpy())
    if is_vmapped(x):
        raise InputError(f"{function}: the input is mapped by torch.vmap; expected one batch")
    while _functorch.is_functorch_wrapped_tensor(x):
        x = _functorch.get_unwrapped(x)
    with torch._C._DisableFuncTorch():
        return np.ascontiguousarray(x.detach().cpu().resolve_neg().numpy())


def on_host(x: torch.Tensor) -> bool:
    """Return whether NumPy may read the values of `x` in place of PyTorch's operations."""
    return x.is_cpu and not is_traced(x)
