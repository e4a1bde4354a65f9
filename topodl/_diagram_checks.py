"""What `Diagrams` refuses: tensors that do not fit together, NaN, samples and dimensions that it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from topodl._checks import check_tensor, fail

if TYPE_CHECKING:
    from topodl.diagrams import Diagrams

__all__ = ["check_form", "check_values", "sample_indices"]

_INDEX = "Diagrams: an index is an int, a slice, a mask (B,) or a 1-D list of sample indices"


def check_form(d: Diagrams, tensors: tuple[str, ...]) -> None:
    """Raise unless the attributes `tensors` agree in shape, dtype and device, whatever their values."""
    for name in tensors:
        value = getattr(d, name)
        if value is None:
            continue
        check_tensor("Diagrams", name, value)
        if value.shape[:1] != d.births.shape[:1] or value.ndim != (2 if "cells" in name else 1):
            wanted = "(P, k)" if "cells" in name else "(P,)"
            raise fail("Diagrams", name, f"has shape {tuple(value.shape)}", f"{wanted} with P = len(births)")
        if name in ("births", "deaths"):
            if value.dtype != d.births.dtype or not value.is_floating_point():
                raise fail("Diagrams", name, f"has dtype {value.dtype}", "one floating dtype for both ends")
        elif value.dtype != torch.int64:
            raise fail("Diagrams", name, f"has dtype {value.dtype}", "torch.int64")
        if value.device != d.births.device:
            raise fail("Diagrams", name, f"is on {value.device}", f"the births' device {d.births.device}")
    if d.n_samples < 0:
        raise fail("Diagrams", "n_samples", f"is {d.n_samples}", "at least 0")
    if d.homology_dims and d.homology_dims[0] < 0:
        raise fail("Diagrams", "homology_dims", f"is {d.homology_dims}", "dimensions of at least 0")


def check_values(d: Diagrams) -> None:
    """Raise if an end is NaN, or a sample or dimension is none of those that there are."""
    if len(d.births) == 0:
        return
    if bool(torch.isnan(d.births.detach().sum() + d.deaths.detach().sum())):
        _reject_nan(d)
    low, high = torch.aminmax(d.samples)
    if low < 0 or high >= d.n_samples:
        came = f"lie in {int(low)}…{int(high)}"
        raise fail("Diagrams", "samples", came, f"indices below n_samples = {d.n_samples}")
    ends = [int(k) for k in torch.aminmax(d.dims)]
    strange = [k for k in ends if k not in d.homology_dims]
    gaps = [] if strange else [k for k in range(*ends) if k not in d.homology_dims]
    strange += [k for k in gaps if bool((d.dims == k).any())]
    if strange:
        raise fail("Diagrams", "dims", f"have {strange[0]}", f"only homology_dims = {d.homology_dims}")


def _reject_nan(d: Diagrams) -> None:
    for name in ("births", "deaths"):
        is_nan = torch.isnan(getattr(d, name).detach())
        if bool(is_nan.any()):  # the sum of values that brought us here may also have been inf − inf
            first = int(is_nan.nonzero()[0, 0])
            came = f"is NaN (sample {int(d.samples[first])})"
            raise fail("Diagrams", f"{name}[{first}]", came, "numbers")


def sample_indices(d: Diagrams, index: Any) -> torch.Tensor:
    """Return the samples (M,) that a mask (B,) or a list of indices, also negative ones, asks for."""
    try:
        which = torch.as_tensor(index, device=d.samples.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(_INDEX) from error
    if which.ndim != 1 or (len(which) and (which.is_floating_point() or which.is_complex())):
        raise TypeError(_INDEX)
    if which.dtype == torch.bool:
        if len(which) != d.n_samples:
            came, expected = f"has {len(which)} entries", f"one of the {d.n_samples} samples each"
            raise fail("Diagrams", "the mask of samples", came, expected)
        return which.nonzero()[:, 0]
    which = which.to(torch.int64)
    if bool(((which < -d.n_samples) | (which >= d.n_samples)).any()):
        raise IndexError(f"Diagrams: an index is out of range; there are {d.n_samples} samples")
    return torch.where(which < 0, which + d.n_samples, which)
