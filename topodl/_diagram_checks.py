"""What `Diagrams` refuses: tensors that do not fit together, NaN, and dimensions that it lacks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from topodl._checks import check_tensor, fail
from topodl._host import whole_values

__all__ = ["check_form", "check_values", "reject_overflow"]


def check_form(tensors: Mapping[str, Any], n_samples: int, homology_dims: tuple[int, ...]) -> None:
    """Raise unless the `tensors` agree in shape, dtype and device, whatever their values."""
    births = tensors["births"]
    for name, value in tensors.items():
        if value is None:
            continue
        check_tensor("Diagrams", name, value)
        if value.shape[:1] != births.shape[:1] or value.ndim != (2 if "cells" in name else 1):
            wanted = "(P, k)" if "cells" in name else "(P,)"
            raise fail("Diagrams", name, f"has shape {tuple(value.shape)}", f"{wanted} with P = len(births)")
        if name in ("births", "deaths"):
            if value.dtype != births.dtype or not value.is_floating_point():
                raise fail("Diagrams", name, f"has dtype {value.dtype}", "one floating dtype for both ends")
        elif value.dtype != torch.int64:
            raise fail("Diagrams", name, f"has dtype {value.dtype}", "torch.int64")
        if value.device != births.device:
            raise fail("Diagrams", name, f"is on {value.device}", f"the births' device {births.device}")
    if n_samples < 0:
        raise fail("Diagrams", "n_samples", f"is {n_samples}", "at least 0")
    if homology_dims and homology_dims[0] < 0:
        raise fail("Diagrams", "homology_dims", f"is {homology_dims}", "dimensions of at least 0")


def check_values(tensors: Mapping[str, Any], n_samples: int, homology_dims: tuple[int, ...]) -> None:
    """Raise if an end is NaN, or a sample or dimension is none of those that there are."""
    births, deaths, samples, dims = (tensors[name] for name in ("births", "deaths", "samples", "dims"))
    if len(births) == 0:
        return
    if bool(torch.isnan(whole_values(births).sum() + whole_values(deaths).sum())):
        _reject_nan(tensors)
    low, high = torch.aminmax(samples)
    if low < 0 or high >= n_samples:
        came = f"lie in {int(low)}…{int(high)}"
        raise fail("Diagrams", "samples", came, f"indices below n_samples = {n_samples}")
    ends = [int(k) for k in torch.aminmax(dims)]
    strange = [k for k in ends if k not in homology_dims]
    gaps = [] if strange else [k for k in range(*ends) if k not in homology_dims]
    strange += [k for k in gaps if bool((dims == k).any())]
    if strange:
        raise fail("Diagrams", "dims", f"have {strange[0]}", f"only homology_dims = {homology_dims}")


def _reject_nan(tensors: Mapping[str, Any]) -> None:
    for name in ("births", "deaths"):
        is_nan = torch.isnan(whole_values(tensors[name]))
        if bool(is_nan.any()):  # the sum of values that brought us here may also have been inf − inf
            first = int(is_nan.nonzero()[0, 0])
            came = "is NaN" if is_nan.ndim > 1 else f"is NaN (sample {int(tensors['samples'][first])})"
            raise fail("Diagrams", f"{name}[{first}]", came, "numbers")


def reject_overflow(function: str, d: Any, features: torch.Tensor, argument: str = "d") -> None:
    """Raise if `features` (B, …) are not finite, and say how large the values of the bars are."""
    if torch.compiler.is_compiling() or math.isfinite(float(whole_values(features).sum())):
        return
    ends = torch.cat([whole_values(end).flatten() for end in (d.births, d.deaths)])
    if len(ends) == 0 or bool(torch.isfinite(whole_values(features)).all()):  # their sum may be infinite, too
        return
    largest = float(ends.masked_fill(torch.isinf(ends), 0.0).abs().amax())
    came = f"has values up to {largest:g}, from which follow some too large for {d.dtype}"
    raise fail(function, argument, came, "a smaller unit, or float64")
