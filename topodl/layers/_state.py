"""The state of a module without tensors, for formats that know arrays alone, as skops does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.parameter import UninitializedParameter, is_lazy

__all__ = ["with_arrays", "with_tensors"]

_HELD = ("_parameters", "_buffers")


def with_arrays(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a module with arrays in the place of its parameters and buffers."""
    arrays = {group: {name: _packed(value) for name, value in state[group].items()} for group in _HELD}
    return {**state, **arrays}


def with_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a module with tensors where `with_arrays` has put arrays."""
    tensors = {
        group: {name: _unpacked(value, group == "_parameters") for name, value in state[group].items()}
        for group in _HELD
    }
    return {**state, **tensors}


def _packed(value: torch.Tensor | None) -> dict[str, Any] | None:
    if value is None:
        return None
    kind = {"dtype": str(value.dtype).removeprefix("torch."), "requires_grad": value.requires_grad}
    if is_lazy(value):
        return kind | {"array": None}
    host = value.detach().cpu()
    return kind | {"array": (host.float() if host.dtype == torch.bfloat16 else host).numpy()}


def _unpacked(value: Any, is_parameter: bool) -> torch.Tensor | None:
    if not isinstance(value, dict):
        return value
    dtype = getattr(torch, value["dtype"])
    if value["array"] is None:
        lazy: Any = UninitializedParameter
        return lazy(value["requires_grad"], device=torch.device("cpu"), dtype=dtype)
    tensor = torch.from_numpy(np.array(value["array"])).to(dtype)
    return torch.nn.Parameter(tensor, value["requires_grad"]) if is_parameter else tensor
