"""Values of cells: what comes is checked, and what is missing follows from the faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from topodl._checks import check_dense, fail
from topodl.complexes.lists import Lists

__all__ = ["filtration_values", "read_values"]


def read_values(
    function: str, values: Sequence[Any], sizes: Sequence[int], device: torch.device
) -> list[Any]:
    """Return values (n,) or (n, F) of each dimension or None, or raise the error that says what is wrong."""
    if len(values) != len(sizes):
        raise fail(function, "values", f"has {len(values)} tensors", f"{len(sizes)}, one a dimension")
    known: list[torch.Tensor | None] = []
    columns, dtype = None, None
    for k, (value, n) in enumerate(zip(values, sizes, strict=True)):
        argument = f"values[{k}]"
        if value is None:
            known.append(None)
            continue
        x = check_dense(function, argument, value)
        if not x.is_floating_point():
            raise TypeError(f"{function}: {argument} has dtype {x.dtype}; expected floating-point values")
        if x.ndim not in (1, 2) or len(x) != n or 0 in x.shape[1:]:
            raise fail(function, argument, f"has shape {tuple(x.shape)}", f"shape ({n},) or ({n}, F), F > 0")
        columns, dtype = (x.shape[1:], x.dtype) if columns is None else (columns, dtype)
        if x.shape[1:] != columns or x.dtype != dtype or x.device != device:
            came = f"has shape {tuple(x.shape)}, dtype {x.dtype}, on {x.device}"
            raise fail(function, argument, came, f"shape {(n, *columns)}, dtype {dtype}, on {device}")
        known.append(x)
    return known


def filtration_values(known: Sequence[Any], faces: Sequence[Lists], rule: str) -> list[torch.Tensor]:
    """Return values of each dimension: those known, or else the largest or smallest of the faces."""
    values = [known[0]]
    for given, lists in zip(known[1:], faces, strict=True):
        values.append(_extreme(values[-1], lists, rule) if given is None else given)
    return values


def _extreme(below: torch.Tensor, faces: Lists, rule: str) -> torch.Tensor:
    if len(faces) == 0:
        return below[:0]
    table = faces.table(fill=-1)
    if len(faces.members) < table.numel():  # some rings are shorter than others
        table = torch.where(table < 0, table[:, :1], table)
    values = below[table]
    return values.max(1).values if rule == "max" else values.min(1).values
