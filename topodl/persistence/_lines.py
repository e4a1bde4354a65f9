"""Lines through the space of parameters: their check, and where on them values are reached."""

from __future__ import annotations

import math
from typing import Any

import torch

from topodl._checks import as_real, fail
from topodl._host import has_gradient, is_traced, whole_values

__all__ = ["checked_lines", "pushed"]


def pushed(values: torch.Tensor, lines: tuple[torch.Tensor, torch.Tensor], axis: int = 1) -> torch.Tensor:
    """Return where on each line values with P parameters along `axis` are reached, L values along it."""
    shape = (-1, *[1] * (values.ndim - axis - 1))
    unbounded = is_traced(values) or bool(torch.isinf(values).any())
    in_place = not unbounded and not any(map(has_gradient, (values, *lines)))  # memory costs more than sums
    levels = None
    for i, (base, direction) in enumerate(zip(lines[0].T, lines[1].T, strict=True)):
        value = values.narrow(axis, i, 1)
        if unbounded:  # arithmetic with infinities has no gradient
            finite = value.masked_fill(torch.isinf(value), 0.0)
            level = (finite - base.view(shape)) / direction.view(shape)
            level = torch.where(torch.isinf(value), value.detach(), level)
        elif in_place:
            level = (value - base.view(shape)).div_(direction.view(shape))
        else:
            level = (value - base.view(shape)) / direction.view(shape)
        levels = level if levels is None else torch.maximum(levels, level, out=levels if in_place else None)
    assert levels is not None
    return levels


def checked_lines(
    name: str, lines: Any, n_parameters: int, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return base points and directions (L, P) in the dtype and on the device of `like`."""
    if not isinstance(lines, tuple | list) or len(lines) != 2:
        raise fail(name, "lines", f"is a {type(lines).__name__}", "a pair of tensors, (base, direction)")
    given = [as_real(name, f"lines[{i}]", part) for i, part in enumerate(lines)]
    base, direction = (part.to(like.dtype) for part in given)  # which may be too narrow
    for i, part in enumerate((base, direction)):
        if part.ndim != 2 or part.shape != base.shape or part.shape[1] != n_parameters or not len(part):
            expected = f"shape (L, {n_parameters}), L > 0, both alike"
            raise fail(name, f"lines[{i}]", f"has shape {tuple(part.shape)}", expected)
        if not bool(torch.isfinite(whole_values(part)).all()):
            expected = f"finite values, in {like.dtype} too"
            raise fail(name, f"lines[{i}]", "has a value that is not finite", expected)
    if not bool((whole_values(direction) > 0).all()):
        raise fail(name, "lines[1]", "has a value that is not positive", "directions above 0")
    least = math.sqrt(torch.finfo(direction.dtype).tiny)  # gradients divide by its square
    if not bool((whole_values(direction) >= least).all()):
        came = f"has a value below {least:.0e}"
        raise fail(name, "lines[1]", came, f"directions whose squares are numbers in {direction.dtype}")
    return base.to(like.device), direction.to(like.device)
