"""What functions that end in a loss do with values that overflowed: the result is NaN, with a warning.

Under mixed precision an overflow is ordinary: a scaler of gradients skips the step. It is never silent, and
an error where that is asked for.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch

from topodl._host import whole_values
from topodl.errors import InputError

__all__ = [
    "NON_FINITE",
    "NonFinite",
    "nan_for_samples",
    "one_warning",
    "or_nan",
    "or_nan_samples",
    "warn_of_overflow",
]

NonFinite = Literal["nan", "raise"]
NON_FINITE: tuple[NonFinite, ...] = ("nan", "raise")

_warned: ContextVar[list[str] | None] = ContextVar("_warned", default=None)


def or_nan(
    loss: Callable[[], torch.Tensor], values: tuple[object, ...], non_finite: NonFinite
) -> torch.Tensor:
    """Return ``loss()``, or NaN with a warning where it refuses `values` that are not all finite."""
    try:
        return loss()
    except InputError as error:
        tensors = [v for v in values if isinstance(v, torch.Tensor) and _has_numbers(v)]
        overflowed = [v for v in tensors if not bool(whole_values(v).isfinite().all())]
        if non_finite == "raise" or not overflowed:
            raise
        warn_of_overflow(f"{error}; the loss is NaN")
        single = [v.to(torch.promote_types(v.dtype, torch.float32)) for v in overflowed]
        return torch.stack([v.sum() * math.nan for v in single]).sum()


def _has_numbers(value: torch.Tensor) -> bool:
    """Return whether a tensor is one of numbers that may have overflowed."""
    return value.is_floating_point() and value.layout is torch.strided and not value.is_meta


def or_nan_samples(
    loss: Callable[..., torch.Tensor], values: Sequence[torch.Tensor], non_finite: NonFinite
) -> torch.Tensor:
    """Return ``loss(*values)``, (B,), which is NaN for the samples of `values` (B, …) that are not finite."""
    try:
        return loss(*values)
    except InputError as error:
        tensors = [v for v in values if _has_numbers(v)]
        alike = len(tensors) == len(values) > 0
        same = alike and all(v.ndim > 1 and len(v) == len(tensors[0]) for v in tensors)
        if non_finite == "raise" or not same:
            raise
        spoiled = [~whole_values(v).isfinite().flatten(1).all(1).cpu() for v in tensors]
        samples = torch.stack(spoiled).any(0).nonzero()[:, 0]
        if len(samples) == 0:
            raise
        whole = loss(*(v.index_fill(0, samples.to(v.device), 0.0) for v in values))
        warn_of_overflow(f"{error}; the loss is NaN")
        return nan_for_samples(whole, samples, tensors)


def nan_for_samples(
    value: torch.Tensor, samples: torch.Tensor, inputs: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return `value`, (B,) or their mean or sum, as NaN for `samples` (M,).

    The gradient of all of their `inputs` (B, …) is NaN, and no other.
    """
    for x in inputs:
        sums = x.index_select(0, samples.to(x.device)).flatten(1).sum(1).to(value) * math.nan
        value = value.index_add(0, samples.to(value.device), sums) if value.ndim else value + sums.sum()
    return value


@contextmanager
def one_warning() -> Iterator[None]:
    """Let the losses of one step, of several heads, warn once."""
    token = _warned.set([])
    try:
        yield
    finally:
        _warned.reset(token)


def warn_of_overflow(message: str) -> None:
    """Warn, unless a loss of the same step did."""
    said = _warned.get()
    if not said:
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    if said is not None:
        said.append(message)
