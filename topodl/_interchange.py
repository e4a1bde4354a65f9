"""Diagrams to and from other forms: GUDHI, persim, ripser, Dionysus, giotto-tda, padded tensors, tables."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from topodl._checks import check_dense, fail
from topodl._host import reject_mapped
from topodl._jagged import JaggedBars
from topodl._precision import to_numpy
from topodl._segments import true_positions

__all__ = [
    "from_giotto",
    "from_gudhi",
    "from_padded",
    "from_persim",
    "from_structured",
    "holds_bars",
    "to_giotto",
    "to_gudhi",
    "to_persim",
    "to_structured",
]

Array = np.ndarray[Any, np.dtype[Any]]
_FIELDS = ("sample", "dim", "birth", "death")
Bars = TypeVar("Bars", bound=JaggedBars)


def from_padded(cls: type[Bars], bars: torch.Tensor, mask: torch.Tensor | None, dim: int) -> Bars:
    """Read a padded tensor."""
    bars = check_dense("Diagrams.from_padded", "bars", bars)
    if bars.ndim != 3 or bars.shape[-1] != 2:
        raise fail("Diagrams.from_padded", "bars", f"has shape {tuple(bars.shape)}", "shape (B, M, 2)")
    n_samples, width, _ = bars.shape
    ends = bars.flatten(0, 1)
    samples = torch.arange(n_samples, device=bars.device)[:, None].expand(-1, width).reshape(-1).contiguous()
    if mask is not None:
        kept = _positions(mask, bars)
        ends, samples = ends.index_select(0, kept), samples.index_select(0, kept)
    births, deaths = ends.T.contiguous()
    return cls(
        births, deaths, torch.full_like(samples, dim), samples, n_samples=n_samples, homology_dims=(dim,)
    )


def _positions(mask: Any, bars: torch.Tensor) -> torch.Tensor:
    """Return where `mask` (B, M) is true, counted in all samples together."""
    mask = check_dense("Diagrams.from_padded", "mask", mask)
    if mask.shape != bars.shape[:2] or mask.dtype != torch.bool:
        came = f"has shape {tuple(mask.shape)} and dtype {mask.dtype}"
        raise fail("Diagrams.from_padded", "mask", came, f"booleans of shape {tuple(bars.shape[:2])}")
    reject_mapped("Diagrams.from_padded", "mask", mask, "one batch: numbers of bars cannot be mapped")
    return true_positions(mask.flatten())


def to_structured(d: JaggedBars) -> Array:
    """Write a structured array."""
    fields = {"sample": d.samples, "dim": d.dims, "birth": d.births, "death": d.deaths}
    columns = {name: to_numpy(value) for name, value in fields.items()}
    table = np.empty(d.n_bars, dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def from_structured(
    cls: type[Bars], table: Any, n_samples: int | None, homology_dims: Iterable[int] | None
) -> Bars:
    """Read a structured array, or a data frame of the same columns."""
    where = "Diagrams.from_numpy"
    names = getattr(table, "columns", getattr(getattr(table, "dtype", None), "names", None))
    missing = [name for name in _FIELDS if names is None or name not in names]
    if missing:
        came = f"is a {type(table).__name__} without {missing[0]!r}"
        raise fail(where, "table", came, f"a structured array or a data frame of {', '.join(_FIELDS)}")
    columns = {name: np.asarray(table[name]) for name in _FIELDS}
    for name, column in columns.items():
        whole = name in ("sample", "dim")
        if column.dtype.kind not in "biuf":
            raise fail(where, f"table[{name!r}]", f"has dtype {column.dtype}", "numbers")
        if whole and not (np.isfinite(column).all() and (column == np.floor(column)).all()):
            raise fail(where, f"table[{name!r}]", "has a value that is none", "integers")
    samples = columns["sample"].astype(np.int64)
    if n_samples is None:
        n_samples = int(samples.max(initial=-1)) + 1
    bars = np.stack([columns["birth"], columns["death"]], -1)
    return _assemble(cls, bars, columns["dim"], samples, n_samples, homology_dims)


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
    where = "Diagrams.from_gudhi"
    samples = _samples(where, diagrams, lambda item: _is_labelled(item) or _is_pair(item))
    if any(_of_dionysus(item) for item in samples):
        expected = "GUDHI's forms; Diagrams.from_persim reads one diagram a dimension"
        raise fail(where, "diagrams", "have diagrams of Dionysus", expected)
    if any(_has_dimensions(item) for item in samples):
        rows = [_labelled_rows(where, f"diagrams[{i}]", item) for i, item in enumerate(samples)]
        table = np.concatenate(rows)
        return _assemble(cls, table[:, 1:], table[:, 0], *_counted(rows), homology_dims)
    arrays = [_bar_array(where, f"diagrams[{i}]", item) for i, item in enumerate(samples)]
    bars = np.concatenate(arrays) if arrays else np.empty((0, 2))
    dims = (dim,) if homology_dims is None else homology_dims
    return _assemble(cls, bars, np.full(len(bars), dim), *_counted(arrays), dims)


def to_persim(d: JaggedBars) -> list[list[Array]]:
    """Write one array a sample and dimension."""
    if d.n_segments == 0:
        return [[] for _ in range(d.n_samples)]
    pieces = np.split(_bars(d), to_numpy(d.offsets)[1:-1])
    k = len(d.homology_dims)
    return [pieces[start : start + k] for start in range(0, len(pieces), k)]


def from_persim(cls: type[Bars], diagrams: Sequence[Any], homology_dims: Iterable[int] | None) -> Bars:
    """Read one array a sample and dimension."""
    where = "Diagrams.from_persim"
    samples = _samples(where, diagrams, holds_bars)
    width = max((len(sample) for sample in samples), default=0)
    order = tuple(range(width)) if homology_dims is None else tuple(homology_dims)
    if width > len(order):
        raise fail(where, "diagrams", f"have up to {width} arrays a sample", f"one a dimension of {order}")
    arrays, dims, lengths = [], [], []
    for i, sample in enumerate(samples):
        pieces = [_bar_array(where, f"diagrams[{i}][{j}]", item) for j, item in enumerate(sample)]
        arrays += pieces
        dims += [np.full(len(piece), k) for piece, k in zip(pieces, order, strict=False)]
        lengths.append(sum(map(len, pieces)))
    bars = np.concatenate(arrays) if arrays else np.empty((0, 2))
    owners = np.repeat(np.arange(len(lengths)), lengths)
    return _assemble(cls, bars, np.concatenate(dims) if dims else np.empty(0), owners, len(lengths), order)


def to_giotto(d: JaggedBars) -> Array:
    """Write births, deaths and dimensions, each dimension padded on the diagonal to its width.

    One without bars has the width 1, as giotto-tda gives it, or it would not be seen.
    """
    counts = to_numpy(d.counts)
    widths = np.maximum(counts.max(0), 1) if d.n_samples else np.zeros(len(d.homology_dims), dtype=int)
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
    return _assemble(cls, bars[:, :2], bars[:, 2], real.nonzero()[0], len(table), dims)


def holds_bars(item: Any) -> bool:
    """Whether an item is the bars of one dimension: an array (n, 2) or empty, or a diagram of Dionysus."""
    if isinstance(item, np.ndarray | torch.Tensor):
        return item.ndim > 0 and (len(item) == 0 or (item.ndim == 2 and item.shape[1] == 2))
    return _of_dionysus(item)


def _of_dionysus(item: Any) -> bool:
    """Whether an item is a diagram of Dionysus: an iterable of points that have a birth and a death."""
    if isinstance(item, list | tuple | np.ndarray | torch.Tensor) or not hasattr(item, "__iter__"):
        return False
    if type(item).__module__.split(".")[0] == "dionysus":
        return True
    first = next(iter(item), None)
    return hasattr(first, "birth") and hasattr(first, "death")


def _is_labelled(item: Any) -> bool:
    """Whether an item is (dimension, (birth, death))."""
    if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], numbers.Real):
        return False
    return isinstance(item[1], list | tuple | np.ndarray) and len(item[1]) == 2


def _is_pair(item: Any) -> bool:
    """Whether an item is (birth, death)."""
    ends = list(item) if isinstance(item, list | tuple | np.ndarray | torch.Tensor) else []
    return len(ends) == 2 and all(isinstance(end, numbers.Real) for end in ends)


def _has_dimensions(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) > 0 and _is_labelled(item[0])


def _samples(where: str, diagrams: Any, is_part: Callable[[Any], bool]) -> list[Any]:
    """Return one item a sample; what consists of parts of a sample is a single one."""
    if isinstance(diagrams, torch.Tensor):
        diagrams = to_numpy(diagrams)
    if isinstance(diagrams, np.ndarray) and diagrams.ndim == 2 and diagrams.dtype.kind != "O":
        return [diagrams]
    try:
        items = list(diagrams)
    except TypeError as error:
        came = f"is a {type(diagrams).__name__}"
        raise TypeError(f"{where}: diagrams {came}; expected a sequence, one item a sample") from error
    return [diagrams] if items and all(map(is_part, items)) else items


def _labelled_rows(where: str, argument: str, item: Any) -> Array:
    """Return (n, 3) dimensions, births and deaths."""
    for j, row in enumerate(item):
        if not _is_labelled(row):
            expected = "(dimension, (birth, death)), as the other items have"
            raise fail(where, f"{argument}[{j}]", f"is {row!r:.60}", expected)
    return np.array([(k, *ends) for k, ends in item], dtype=np.float64).reshape(-1, 3)


def _counted(arrays: Sequence[Array]) -> tuple[Array, int]:
    """Return which sample each bar belongs to, and how many samples there are."""
    return np.repeat(np.arange(len(arrays)), [len(array) for array in arrays]), len(arrays)


def _assemble(
    cls: type[Bars],
    bars: Array,
    dims: Array,
    samples: Array,
    n_samples: int,
    homology_dims: Iterable[int] | None,
) -> Bars:
    ends = torch.from_numpy(np.array(bars, _float_type(bars)))  # copies, for others' arrays may change
    homology = torch.from_numpy(np.array(dims, np.int64))
    return cls(
        ends[:, 0].contiguous(),  # every operation on bars is twice as fast
        ends[:, 1].contiguous(),
        homology,
        torch.from_numpy(np.array(samples, np.int64)),
        n_samples=n_samples,
        homology_dims=homology.unique().tolist() if homology_dims is None else homology_dims,
    )


def _float_type(bars: Array) -> Any:
    return bars.dtype if bars.dtype in (np.float32, np.float64) else np.float64


def _bar_array(where: str, argument: str, item: Any) -> Array:
    if isinstance(item, torch.Tensor):
        item = to_numpy(item)
    if _of_dionysus(item):
        item = [(point.birth, point.death) for point in item]
    expected = "births and deaths of shape (n, 2)"
    try:
        array = np.asarray(item)
    except ValueError as error:  # lists of unequal lengths
        raise fail(where, argument, "is no table of numbers", expected) from error
    if array.size == 0:
        return np.empty((0, 2), _float_type(array))
    if array.ndim != 2 or array.shape[1] != 2:
        raise fail(where, argument, f"has shape {array.shape}", expected)
    if array.dtype.kind not in "biuf":
        raise fail(where, argument, f"has dtype {array.dtype}", expected)
    return array


def _bars(d: JaggedBars) -> Array:
    return np.stack([to_numpy(d.births), to_numpy(d.deaths)], -1)
