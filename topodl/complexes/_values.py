"""Values of cells: what comes is checked, and what is missing follows from the faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import check_dense, fail
from topodl._host import host_array, on_host
from topodl._precision import at_least_single
from topodl.complexes.lists import Lists
from topodl.kernels.complexes.tables import extreme_members

__all__ = ["filtration_values", "read_values"]

_NAME = "CellComplexes.with_values"


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
    if on_host(below):
        return _extreme_on_host(below, faces, rule)
    table = faces.table(fill=-1)
    if len(faces.members) < table.numel():  # some rings are shorter than others
        table = torch.where(table < 0, table[:, :1], table)
    values = below[table]
    return values.max(1).values if rule == "max" else values.min(1).values


def _extreme_on_host(below: torch.Tensor, faces: Lists, rule: str) -> torch.Tensor:
    """Gather the value of the face that has the extreme one, in a fifth of the time of all faces' values."""
    columns = below.reshape(len(below), -1)
    values = host_array(_NAME, at_least_single(columns).T)
    members, offsets = host_array(_NAME, faces.members), host_array(_NAME, faces.offsets)
    places = np.stack([extreme_members(column, members, offsets, rule == "max") for column in values], 1)
    return columns.gather(0, torch.from_numpy(places)).view(-1, *below.shape[1:])
