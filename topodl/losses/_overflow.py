"""What losses do with values that overflowed: they are NaN, with a warning.

Under mixed precision an overflow is ordinary: a scaler of gradients skips the step. It is never silent, and
an error where that is asked for.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch

from topodl._checks import fail
from topodl._host import whole_values
from topodl.errors import InputError

__all__ = [
    "NON_FINITE",
    "NonFinite",
    "NonFiniteLogitsError",
    "check_finite",
    "nan_of",
    "one_warning",
    "or_nan",
    "warn_of_overflow",
]

NonFinite = Literal["nan", "raise"]
NON_FINITE: tuple[NonFinite, ...] = ("nan", "raise")

_warned: ContextVar[list[str] | None] = ContextVar("_warned", default=None)


class NonFiniteLogitsError(InputError):
    """A logit is NaN or infinite, and the other logits of `samples` (M,) are of no use either."""

    def __init__(self, message: str, samples: torch.Tensor) -> None:
        super().__init__(message)
        self.samples = samples


def check_finite(
    function: str, logits: torch.Tensor, low: float | None = None, high: float | None = None
) -> None:
    """Raise a `NonFiniteLogitsError` if `low` or `high`, the bounds of `logits`, is not finite."""
    if low is None or high is None:
        low, high = (float(bound) for bound in torch.aminmax(logits.detach()))
    if math.isfinite(low) and math.isfinite(high):
        return
    wrong = ~torch.isfinite(logits.detach())
    sample, *position = wrong.nonzero()[0].tolist()
    kind = "has NaN" if torch.isnan(logits[(sample, *position)]) else "is infinite"
    came = f"{kind} at ({', '.join(map(str, position))})"
    error = fail(function, f"logits[{sample}]", came, "finite values of shape (B, C, *S)")
    raise NonFiniteLogitsError(str(error), wrong.flatten(1).any(1).nonzero()[:, 0])


def nan_of(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of `values` as NaN, whose gradient is NaN for all of them."""
    return values.sum() * math.nan


def or_nan(
    loss: Callable[[], torch.Tensor], values: tuple[object, ...], non_finite: NonFinite
) -> torch.Tensor:
    """Return ``loss()``, or NaN with a warning where it refuses `values` that are not all finite."""
    try:
        return loss()
    except InputError as error:
        tensors = [v for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()]
        overflowed = [v for v in tensors if not bool(whole_values(v).isfinite().all())]
        if non_finite == "raise" or not overflowed:
            raise
        warn_of_overflow(f"{error}; the loss is NaN")
        single = [v.to(torch.promote_types(v.dtype, torch.float32)) for v in overflowed]
        return torch.stack([nan_of(v) for v in single]).sum()


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
