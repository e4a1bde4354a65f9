"""Diagrams to and from the forms of other libraries: GUDHI, persim and ripser, giotto-tda, padded tensors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from topodl._checks import check_tensor, fail
from topodl._jagged import JaggedBars
from topodl._precision import to_numpy

__all__ = [
    "from_giotto",
    "from_gudhi",
    "from_padded",
    "from_persim",
    "to_giotto",
    "to_gudhi",
    "to_persim",
    "to_structured",
]

Array = np.ndarray[Any, np.dtype[Any]]
Bars = TypeVar("Bars", bound=JaggedBars)


def from_padded(cls: type[Bars], bars: torch.Tensor, mask: torch.Tensor | None, dim: int) -> Bars:
    """Read a padded tensor."""
    check_tensor("Diagrams.from_padded", "bars", bars)
    if bars.ndim != 3 or bars.shape[-1] != 2:
        raise fail("Diagrams.from_padded", "bars", f"has shape {tuple(bars.shape)}", "shape (B, M, 2)")
    mask = torch.ones_like(bars[..., 0], dtype=torch.bool) if mask is None else mask
    if mask.shape != bars.shape[:2] or mask.dtype != torch.bool:
        came = f"has shape {tuple(mask.shape)} and dtype {mask.dtype}"
        raise fail("Diagrams.from_padded", "mask", came, f"booleans of shape {tuple(bars.shape[:2])}")
    births, deaths = bars[mask].T.contiguous()
    samples = mask.nonzero()[:, 0]
    return cls(
        births, deaths, torch.full_like(samples, dim), samples, n_samples=len(bars), homology_dims=(dim,)
    )


def to_structured(d: JaggedBars) -> Array:
    """Write a structured array."""
    fields = {"sample": d.samples, "dim": d.dims, "birth": d.births, "death": d.deaths}
    columns = {name: to_numpy(value) for name, value in fields.items()}
    table = np.empty(d.n_bars, dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def to_gudhi(d: JaggedBars, dim: int | None) -> list[Any]:
    """Write lists of (dimension, (birth, death)), or arrays of one dimension."""
    if dim is not None:
        d = d.dim(dim)
        return np.split(_bars(d), to_numpy(d.sample_offsets)[1:-1]) if d.n_samples else []
    pairs = list(zip(d.dims.tolist(), zip(d.births.tolist(), d.deaths.tolist(), strict=True), strict=True))
    ends = d.sample_offsets.tolist()
    return [pairs[start:end] for start, end in itertools.pairwise(ends)]


def from_gudhi(
    cls: type[Bars], diagrams: Sequence[Any], dim: int, homology_dims: Iterable[int] | None
) -> Bars:
    """Read lists of (dimension, (birth, death)), or arrays of one dimension."""
    if any(_has_dimensions(item) for item in diagrams):
        flat = [(k, *ends) for item in diagrams for k, ends in item]
        rows = np.array(flat, dtype=np.float64).reshape(-1, 3)
        return _assemble(cls, rows[:, 1:], rows[:, 0], [len(item) for item in diagrams], homology_dims)
    arrays = [_bar_array("Diagrams.from_gudhi", f"diagrams[{i}]", item) for i, item in enumerate(diagrams)]
    bars = np.concatenate(arrays) if arrays else np.empty((0, 2))
    dims = (dim,) if homology_dims is None else homology_dims
    return _assemble(cls, bars, np.full(len(bars), dim), [len(a) for a in arrays], dims)


def to_persim(d: JaggedBars) -> list[list[Array]]:
    """Write one array a sample and dimension."""
    if d.n_segments == 0:
        return [[] for _ in range(d.n_samples)]
    pieces = np.split(_bars(d), to_numpy(d.offsets)[1:-1])
    k = len(d.homology_dims)
    return [pieces[start : start + k] for start in range(0, len(pieces), k)]


def from_persim(cls: type[Bars], diagrams: Sequence[Any], homology_dims: Iterable[int] | None) -> Bars:
    """Read one array a sample and dimension."""
    width = max((len(sample) for sample in diagrams), default=0)
    order = tuple(range(width)) if homology_dims is None else tuple(homology_dims)
    where = "Diagrams.from_persim"
    if any(len(sample) > len(order) for sample in diagrams):
        raise fail(where, "diagrams", f"have up to {width} arrays a sample", f"one a dimension of {order}")
    arrays, dims, lengths = [], [], []
    for i, sample in enumerate(diagrams):
        pieces = [_bar_array(where, f"diagrams[{i}][{j}]", item) for j, item in enumerate(sample)]
        arrays += pieces
        dims += [np.full(len(piece), k) for piece, k in zip(pieces, order, strict=False)]
        lengths.append(sum(map(len, pieces)))
    bars = np.concatenate(arrays) if arrays else np.empty((0, 2))
    return _assemble(cls, bars, np.concatenate(dims) if dims else np.empty(0), lengths, order)


def to_giotto(d: JaggedBars) -> Array:
    """Write births, deaths and dimensions, each dimension padded on the diagonal to its width."""
    counts = to_numpy(d.counts)
    widths = counts.max(0) if d.n_samples else np.zeros(len(d.homology_dims), dtype=int)
    starts = np.concatenate([[0], np.cumsum(widths)])
    out = np.zeros((d.n_samples, int(starts[-1]), 3))
    bars, segments, offsets = _bars(d), to_numpy(d.segments), to_numpy(d.offsets)
    for place, k in enumerate(d.homology_dims):
        block = out[:, starts[place] : starts[place + 1]]
        block[..., 2] = k
        mine = to_numpy(d.dims) == k
        if mine.any():
            block[..., :2] = bars[mine, 0].min()
    column = starts[:-1][segments % max(len(d.homology_dims), 1)] + np.arange(d.n_bars) - offsets[segments]
    out[to_numpy(d.samples), column, :2] = bars
    return out


def from_giotto(cls: type[Bars], diagrams: Any, homology_dims: Iterable[int] | None) -> Bars:
    """Read births, deaths and dimensions, without the points on the diagonal."""
    table = np.asarray(diagrams, dtype=np.float64)
    if table.ndim != 3 or table.shape[-1] != 3:
        raise fail("Diagrams.from_giotto", "diagrams", f"has shape {table.shape}", "shape (B, M, 3)")
    real = table[..., 0] != table[..., 1]
    dims = np.unique(table[..., 2]) if homology_dims is None else homology_dims
    bars = table[real]
    return _assemble(cls, bars[:, :2], bars[:, 2], real.sum(1).tolist(), dims)


def _has_dimensions(item: Any) -> bool:
    """Whether an item is a list of (dimension, (birth, death)), not of (birth, death)."""
    return isinstance(item, list | tuple) and len(item) > 0 and np.ndim(item[0][1]) == 1


def _assemble(
    cls: type[Bars], bars: Array, dims: Array, lengths: list[int], homology_dims: Iterable[int] | None
) -> Bars:
    ends = torch.from_numpy(np.ascontiguousarray(bars, dtype=_float_type(bars)))
    homology = torch.from_numpy(np.ascontiguousarray(dims, dtype=np.int64))
    return cls(
        ends[:, 0].contiguous(),  # every operation on bars is twice as fast
        ends[:, 1].contiguous(),
        homology,
        torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)),
        n_samples=len(lengths),
        homology_dims=homology.unique().tolist() if homology_dims is None else homology_dims,
    )


def _float_type(bars: Array) -> Any:
    return bars.dtype if bars.dtype in (np.float32, np.float64) else np.float64


def _bar_array(where: str, argument: str, item: Any) -> Array:
    array = np.asarray(item)
    if array.size == 0:
        return array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise fail(where, argument, f"has shape {array.shape}", "births and deaths of shape (n, 2)")
    return array


def _bars(d: JaggedBars) -> Array:
    return np.stack([to_numpy(d.births), to_numpy(d.deaths)], -1)
