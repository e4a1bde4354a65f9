"""Logits that are not finite: the error that names them, and the samples that they spoil."""

from __future__ import annotations

import math

import torch

from topodl._checks import fail
from topodl.errors import InputError

__all__ = ["NonFiniteLogitsError", "check_finite"]


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
