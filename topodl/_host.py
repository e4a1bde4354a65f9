"""Where NumPy may take over from PyTorch, on small tensors in a tenth of the time, and how values get there.

An `autograd.Function` is such a place, too: it is for tensors on the host that nothing follows. Whatever is
traced goes through PyTorch's own operations, which every such function has a twin of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch._C import _functorch
from torch.autograd import forward_ad

from topodl.errors import InputError

__all__ = [
    "has_gradient",
    "host_array",
    "host_arrays",
    "is_traced",
    "is_vmapped",
    "on_host",
    "read_numbers",
    "reject_mapped",
    "send",
    "twin_gradient",
    "untransformed",
    "whole_values",
]


def is_traced(*tensors: torch.Tensor) -> bool:
    """Return whether each operation on `tensors` has to be PyTorch's own, because something follows them.

    That is a compiler, a transform of `torch.func`, forward mode, or a batch of gradients.
    """
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return True
    if torch._C._are_functorch_transforms_active():  # they wrap what comes of plain tensors, too
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


def reject_mapped(function: str, argument: str, x: Any, expected: str = "one batch") -> None:
    """Raise an `InputError` if `torch.vmap` runs over an axis of `x`, whose values decide what is done."""
    if isinstance(x, torch.Tensor) and is_vmapped(x):
        raise InputError(f"{function}: {argument} is mapped by torch.vmap; expected {expected}")


def has_gradient(*tensors: torch.Tensor) -> bool:
    """Return whether a gradient, of any mode, may be asked of what is computed from `tensors`."""
    for x in tensors:
        if x.requires_grad:
            return True
    return is_traced(*tensors)


def untransformed() -> contextlib.AbstractContextManager[Any]:
    """Let no transform of `torch.func` follow what is computed from plain tensors here."""
    transforms = not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()
    return torch._C._DisableFuncTorch() if transforms else contextlib.nullcontext()


def _is_bare(x: torch.Tensor) -> bool:
    """Return whether no transform of `torch.func` is near, which is nearly always, and quick to ask."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    return not _functorch.is_functorch_wrapped_tensor(x)


def whole_values(x: torch.Tensor) -> torch.Tensor:
    """Return the values of `x` alone; an axis that `torch.vmap` maps over is one of theirs.

    They are for looking at: whether any of them is NaN, for example, is the same for all samples.
    """
    if _is_bare(x):
        return x.detach()
    while not torch.compiler.is_compiling() and _functorch.is_functorch_wrapped_tensor(x):
        x = _functorch.get_unwrapped(x)
    with untransformed():
        return x.detach()


def host_array(function: str, x: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return the values of `x` alone, contiguous, out of the wrappers that `torch.func` follows them by."""
    if _is_bare(x):
        values = x if x.is_cpu else x.detach().cpu()
        return np.ascontiguousarray(values.numpy(force=True))
    reject_mapped(function, "the input", x)
    values = whole_values(x)
    with untransformed():
        return np.ascontiguousarray(values.cpu().resolve_neg().numpy())


def host_arrays(function: str, tensors: Sequence[torch.Tensor]) -> list[np.ndarray[Any, Any]]:
    """Return the values of each tensor as `host_array` does, all of one dtype by one copy from a device."""
    if all(x.is_cpu for x in tensors):
        return [host_array(function, x) for x in tensors]
    found: dict[int, np.ndarray[Any, Any]] = {}
    for own in _by_dtype(tensors):
        flat = host_array(function, torch.cat([tensors[i].reshape(-1) for i in own]))
        ends = np.cumsum([tensors[i].numel() for i in own])
        for i, values in zip(own, np.split(flat, ends[:-1]), strict=True):
            found[i] = values.reshape(tensors[i].shape)
    return [found[i] for i in range(len(tensors))]


def _by_dtype(tensors: Sequence[torch.Tensor]) -> list[list[int]]:
    """Return the places of the tensors of each dtype."""
    dtypes = dict.fromkeys(x.dtype for x in tensors)
    return [[i for i, x in enumerate(tensors) if x.dtype == dtype] for dtype in dtypes]


def twin_gradient(
    twin: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, gradient: torch.Tensor
) -> torch.Tensor:
    """Return the gradient by `x` of what an `autograd.Function` computes, by PyTorch's operations.

    Its `backward` needs that where the gradient is differentiated again, or comes in a batch.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        value = twin(x)
    (found,) = torch.autograd.grad(value, x, gradient, create_graph=again)
    return found


def read_numbers(*values: torch.Tensor) -> list[float]:
    """Return the numbers that tensors of one value each hold, all by one copy from a device."""
    if values[0].is_cpu:
        return [value.item() for value in values]
    numbers: list[float] = whole_values(torch.stack(values)).tolist()
    return numbers


def send(tensors: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
    """Return tensors of the host on `device`, all of one dtype by one copy."""
    if device.type == "cpu":
        return list(tensors)
    sent: dict[int, torch.Tensor] = {}
    for own in _by_dtype(tensors):
        flat = torch.cat([tensors[i].reshape(-1) for i in own]).to(device)
        for i, values in zip(own, flat.split([tensors[i].numel() for i in own]), strict=True):
            sent[i] = values.view(tensors[i].shape)
    return [sent[i] for i in range(len(tensors))]


def on_host(x: torch.Tensor) -> bool:
    """Return whether NumPy may read the values of `x` in place of PyTorch's operations."""
    return x.is_cpu and not is_traced(x)
