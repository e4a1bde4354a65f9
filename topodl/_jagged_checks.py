"""What jagged batches refuse: tensors that do not fit together, NaN, and dimensions that they lack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from topodl._checks import fail
from topodl._host import read_numbers, whole_values

__all__ = ["check_form", "check_values", "reject_overflow"]


def check_form(batch: Any, tensors: Mapping[str, Any]) -> None:
    """Raise unless the `tensors` of a batch agree in shape, dtype and device, whatever their values."""
    kind, leader = type(batch).__name__, batch._VALUES[0]
    first = tensors[leader]
    for name, value in tensors.items():
        if value is None:
            continue
        _check_shape(kind, name, value, first.shape[:1], batch._TAILS.get(name, ()), leader)
        if name in batch._VALUES:
            if value.dtype != first.dtype or not value.is_floating_point():
                expected = f"one floating dtype for {' and '.join(batch._VALUES)}"
                raise fail(kind, name, f"has dtype {value.dtype}", expected)
        elif value.dtype != torch.int64:
            raise fail(kind, name, f"has dtype {value.dtype}", "torch.int64")
        if value.device != first.device:
            raise fail(kind, name, f"is on {value.device}", f"the device of {leader}, {first.device}")
    if batch.n_samples < 0:
        raise fail(kind, "n_samples", f"is {batch.n_samples}", "at least 0")
    if batch.homology_dims and batch.homology_dims[0] < batch._LOWEST_DIM:
        expected = f"dimensions of at least {batch._LOWEST_DIM}"
        raise fail(kind, "homology_dims", f"is {batch.homology_dims}", expected)


def _check_shape(
    kind: str, name: str, value: torch.Tensor, length: Any, tail: tuple[int | None, ...], leader: str
) -> None:
    right = value.ndim == 1 + len(tail) and value.shape[:1] == length
    if right and all(wanted in (None, size) for wanted, size in zip(tail, value.shape[1:], strict=True)):
        return
    axes = ["P", *("k" if size is None else str(size) for size in tail)]
    wanted = f"({axes[0]},)" if len(axes) == 1 else f"({', '.join(axes)})"
    raise fail(kind, name, f"has shape {tuple(value.shape)}", f"{wanted} with P = len({leader})")


def check_values(batch: Any, tensors: Mapping[str, Any]) -> bool:
    """Raise if a number is NaN, or a sample or dimension is none of those that there are.

    Return whether the rows stand in the order of their samples and dimensions.
    """
    kind, samples, dims = type(batch).__name__, tensors["samples"], tensors["dims"]
    if len(samples) == 0:
        return True
    nan = [torch.isnan(whole_values(tensors[name]).sum()) for name in batch._VALUES]
    keys = batch.segments
    least_step = (keys[1:] - keys[:-1]).min() if len(keys) > 1 else torch.zeros_like(keys[0])
    looked_at = (*torch.aminmax(samples), *torch.aminmax(dims), least_step, *nan)
    low, high, *ends, step = map(int, (numbers := read_numbers(*looked_at))[:5])
    if any(numbers[5:]):
        _reject_nan(kind, {name: tensors[name] for name in batch._VALUES}, samples)
    if low < 0 or high >= batch.n_samples:
        raise fail(kind, "samples", f"lie in {low}…{high}", f"indices below n_samples = {batch.n_samples}")
    known = batch.homology_dims
    strange = [k for k in ends if k not in known]
    gaps = [] if strange else [k for k in range(*ends) if k not in known]
    strange += [k for k in gaps if bool((dims == k).any())]
    if strange:
        raise fail(kind, "dims", f"have {strange[0]}", f"only homology_dims = {known}")
    return step >= 0


def _reject_nan(kind: str, values: Mapping[str, torch.Tensor], samples: torch.Tensor) -> None:
    for name, value in values.items():
        is_nan = torch.isnan(whole_values(value))
        if bool(is_nan.any()):  # the sum of values that brought us here may also have been inf − inf
            first = int(is_nan.nonzero()[0, 0])
            mapped = is_nan.ndim > value.ndim
            came = "is NaN" if mapped else f"is NaN (sample {int(samples[first])})"
            raise fail(kind, f"{name}[{first}]", came, "numbers")


def reject_overflow(function: str, batch: Any, features: torch.Tensor, argument: str = "d") -> None:
    """Raise if `features` (B, …) are not finite, and say how large the values of the batch are."""
    if torch.compiler.is_compiling() or math.isfinite(float(whole_values(features).sum())):
        return
    values = torch.cat([whole_values(getattr(batch, name)).flatten() for name in batch._VALUES])
    if len(values) == 0 or bool(torch.isfinite(whole_values(features)).all()):  # their sum may be infinite
        return
    largest = float(values.masked_fill(torch.isinf(values), 0.0).abs().amax())
    came = f"has values up to {largest:g}, from which follow some too large for {batch.dtype}"
    raise fail(function, argument, came, "a smaller unit, or float64")
