"""What every persistence function shares: values to the host once, pairs back as integers, then gathers.

The pairing is a `torch.library.custom_op` that returns cells alone; all gradients come from the gathers.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import fail
from topodl._host import is_traced, is_vmapped
from topodl.diagrams import Diagrams

__all__ = [
    "BarCells",
    "assemble",
    "bar_table",
    "fake_bars",
    "from_host",
    "homology_dims_of",
    "pack_bars",
    "pairing_op",
    "to_device",
    "to_host",
]

_HIGHEST = 2**31 - 1  # a dimension that any integer type of a device holds
Cells = npt.NDArray[np.integer[Any]]
# Of one sample: homology dimension, birth cells (n,) or (n, k), death cells of the same shape.
BarCells = Sequence[tuple[int, Cells, Cells]]


def homology_dims_of(function: str, dims: int | Iterable[int], highest: int | None = None) -> list[int]:
    """Return the sorted homology dimensions, or raise the error that says which are possible."""
    # isinstance would take ten times as long
    wanted: list[Any] = list(dims) if hasattr(dims, "__iter__") else [dims]
    top = _HIGHEST if highest is None else highest
    for k in wanted:
        right_type = type(k) is int or (isinstance(k, numbers.Integral) and not isinstance(k, bool))
        if not right_type or not 0 <= k <= top:
            limits = f"from 0 to {top}" + ("" if highest is None else f" for {highest + 1}D samples")
            raise fail(function, "dims", f"has {k!r}", f"integers {limits}")
    if not wanted:
        raise fail(function, "dims", "is empty", "at least one homology dimension")
    return sorted({int(k) for k in wanted})


def to_host(x: torch.Tensor) -> torch.Tensor:
    """Return the values of `x` on the CPU, contiguous, without gradient, half types as float32.

    A tensor of an accelerator is copied once, into pinned memory; only its own stream is waited for.
    """
    x = x.detach()
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    if x.is_cpu:
        return x.contiguous()
    if x.device.type == "cuda":
        host = torch.empty(x.shape, dtype=x.dtype, device="cpu", pin_memory=True)
        host.copy_(x, non_blocking=True)
        torch.cuda.current_stream(x.device).synchronize()
        return host
    return x.cpu().contiguous()


def from_host(values: npt.NDArray[np.floating[Any]], dtype: torch.dtype) -> torch.Tensor:
    """Return `values` as a tensor of `dtype` on the CPU, without a copy where that is theirs."""
    x = torch.from_numpy(values)
    return x if x.dtype == dtype else x.to(dtype)


def bar_table(samples: Sequence[BarCells], cell_size: int) -> Cells:
    """Return the bars of a batch as one table of integers.

    Its rows are sample, dimension, `cell_size` rows of birth cells and as many of death cells.
    """
    lengths = [[len(births) for _, births, _ in bars] for bars in samples]
    table = np.empty((2 + 2 * cell_size, sum(map(sum, lengths))), np.int64)
    start = 0
    for i, bars in enumerate(samples):
        for dim, births, deaths in bars:
            part = table[:, start : start + len(births)]
            part[0], part[1] = i, dim
            part[2 : 2 + cell_size] = births.T
            part[2 + cell_size :] = deaths.T
            start += len(births)
    return table


def pack_bars(samples: Sequence[BarCells], cell_size: int, device: torch.device) -> torch.Tensor:
    """Return `bar_table` as a tensor on `device`, as `assemble` reads it."""
    return to_device(bar_table(samples, cell_size), device)


def to_device(table: Cells, device: torch.device) -> torch.Tensor:
    """Return packed bars as a tensor on `device`."""
    packed = torch.from_numpy(table)
    if device.type == "cpu":
        return packed
    if device.type == "cuda":
        return packed.pin_memory().to(device, non_blocking=True)
    return packed.to(device)


def fake_bars(like: torch.Tensor, cell_size: int) -> torch.Tensor:
    """Return what `pack_bars` does, with an unknown number of bars: the shape that a compiler traces with."""
    n = torch.library.get_ctx().new_dynamic_size()
    return like.new_empty((2 + 2 * cell_size, n), dtype=torch.int64)


def pairing_op(
    name: str, schema: str, fake: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the custom operator `topodl::name`, opaque to `torch.compile`.

    The operator itself is the attribute `op` of the result, which calls it only while compiling or inside a
    transform: its first call imports the whole compiler, which takes longer than many a pairing.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        op = torch.library.custom_op(f"topodl::{name}", function, mutates_args=(), schema=schema)
        op.register_fake(fake)

        @functools.wraps(function)
        def pair(*args: Any) -> Any:
            tensors = [value for value in args if isinstance(value, torch.Tensor)]
            if not is_traced(*tensors):
                return function(*args)
            if any(map(is_vmapped, tensors)):
                expected = "one batch: samples that differ in their number of bars cannot be mapped"
                raise fail(
                    name.replace("_bars", "_persistence"), "the input", "is mapped by torch.vmap", expected
                )
            return op(*args)

        pair.op = op  # type: ignore[attr-defined]
        return pair

    return register


def assemble(
    bars: torch.Tensor,
    births: torch.Tensor,
    deaths: torch.Tensor,
    n_samples: int,
    homology_dims: Iterable[int],
    in_order: bool = False,
) -> Diagrams:
    """Return the diagrams of packed `bars`, whose ends have been gathered.

    Bars that are `in_order` of (sample, dimension), with ends read from values without NaN, are not checked
    again: the checks would take longer than the pairing of a small image.
    """
    if in_order:
        integers = functools.partial(_unpacked, bars)
        return Diagrams._from((births, deaths), n_samples, tuple(homology_dims), integers)
    return Diagrams(
        births,
        deaths,
        _unpacked(bars, "dims"),
        _unpacked(bars, "samples"),
        n_samples=n_samples,
        homology_dims=homology_dims,
        birth_cells=_unpacked(bars, "birth_cells"),
        death_cells=_unpacked(bars, "death_cells"),
    )


def _unpacked(bars: torch.Tensor, name: str) -> Any:
    """Return one of the tensors of `Diagrams` that packed `bars` hold, or None for what they do not."""
    if name == "_ended":
        return None
    first_death = bars.shape[0] // 2 + 1
    cells = {"birth_cells": slice(2, first_death), "death_cells": slice(first_death, None)}
    return bars[cells[name]].T if name in cells else bars[0 if name == "samples" else 1]
