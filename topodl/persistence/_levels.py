"""Signed points of filtrations whose second parameter is taken at some levels, from the bars at each of them.

Between two levels nothing changes but at the upper one: what the bars there have less those below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import check_number, fail
from topodl.kernels.shared.pool import map_batch
from topodl.kernels.shared.radix import argsort_floats
from topodl.kernels.shared.row_tables import row_table
from topodl.persistence._batch import BarCells, to_device
from topodl.persistence._measures import assemble_measures
from topodl.signed_measures import SignedMeasures

__all__ = ["Level", "bars_of_levels", "measures_of_rows", "read_levels", "rows_of"]

Array = npt.NDArray[Any]


class Level(NamedTuple):
    """A level of one sample."""

    members: Array  # the points that are there, ascending
    place: int  # where its value stands among those of all points, and then those that were given
    vertex: int  # the point whose value it is, or -1


def read_levels(name: str, levels: Any, like: torch.Tensor) -> int | torch.Tensor | None:
    """Return None for all levels, how many of them, or their values (L,), rising."""
    if levels is None:
        return None
    if not isinstance(levels, torch.Tensor | Sequence):
        check_number(name, "levels", levels, low=1, integer=True)
        return int(levels)
    values = torch.as_tensor(levels, dtype=like.dtype, device=like.device)
    if values.ndim != 1 or not len(values) or not bool(torch.isfinite(values.detach()).all()):
        raise fail(
            name, "levels", f"are {levels!r}", "None, a number of levels, or finite values of shape (L,)"
        )
    if bool((values.detach().diff() <= 0).any()):
        raise fail(name, "levels", f"are {levels!r}", "rising values")
    return values


def _levels_of(function: Array, first: int, levels: int | Array | None, n_all: int) -> list[Level]:
    """Return the levels of one sample, whose points have values (n,) that stand from `first` on.

    Levels that are asked for by their number are values at evenly spaced ranks, the largest among them.
    """
    order = argsort_floats(function)
    order = order[function[order] < np.inf]
    if isinstance(levels, np.ndarray):
        counts = np.searchsorted(function[order], levels, side="right")
        return [Level(np.sort(order[:count]), n_all + at, -1) for at, count in enumerate(counts) if count]
    values = function[order]
    counts = np.flatnonzero(np.diff(values, append=np.inf)) + 1
    if levels is not None and len(counts):
        ranks = -(-len(order) * np.arange(1, levels + 1) // levels)
        counts = np.unique(counts[np.searchsorted(counts, ranks)])
    return [
        Level(np.sort(order[:count]), first + int(order[count - 1]), int(order[count - 1]))
        for count in counts
    ]


def bars_of_levels(
    bars_at: Callable[[int, Array], BarCells],
    function: torch.Tensor,
    values: Sequence[Array],
    wanted: int | torch.Tensor | None,
    dims: Sequence[int],
    width: int,
) -> tuple[list[Array], torch.Tensor]:
    """Return the rows of all samples, and the values that their places are in, from the bars at all levels.

    Parameters
    ----------
    bars_at : function of int and ndarray
        The bars of the points of a sample that are there, with cells of `width` numbers of its points.
    function : Tensor of shape (N,)
        Values of all points.
    values : sequence of ndarray
        Those of the points of each sample.
    wanted : int, Tensor of shape (L,), or None
        As `read_levels` gives it.
    """
    given = wanted.detach().cpu().numpy() if isinstance(wanted, torch.Tensor) else wanted
    starts = np.cumsum([0, *map(len, values)]).tolist()
    levels = [_levels_of(own, start, given, starts[-1]) for own, start in zip(values, starts, strict=False)]
    jobs = [(i, level.members) for i, several in enumerate(levels) for level in several]
    bars = iter(map_batch(lambda job: bars_at(*job), jobs))
    rows = [
        rows_of(i, several, [next(bars) for _ in several], dims, len(values[i]), width)
        for i, several in enumerate(levels)
    ]
    return rows, function if not isinstance(wanted, torch.Tensor) else torch.cat((function, wanted))


def _level_changes(
    bars: Sequence[BarCells], dims: Sequence[int], n: int
) -> Iterator[tuple[int, int, Array, Array]]:
    """Yield the level, the dimension, the weights (m,) and the first cells (m, k) of what changes there.

    Bars have cells (k,) of vertices below `n`, padded by -1; those that never die have nothing but -1.
    """
    before: dict[int, list[Array]] = {}
    for at, of_level in enumerate(bars):
        now = {k: [_encoded(births, n), _encoded(deaths, n)] for k, births, deaths in of_level if k in dims}
        for k in dims:
            new, old = now.get(k, [np.empty(0, np.int64)] * 2), before.get(k, [np.empty(0, np.int64)] * 2)
            parts = [*new, *old]
            signs = np.repeat([1, -1, -1, 1], [len(part) for part in parts])
            codes, which = np.unique(np.concatenate(parts), return_inverse=True)
            weights = np.bincount(which, signs, minlength=len(codes)).astype(np.int64)
            kept = (weights != 0) & (codes != 0)  # 0 is the cell of what never dies
            yield at, k, weights[kept], codes[kept]
        before = now


def _encoded(cells: Array, n: int) -> Array:
    """Return one integer for each cell (m, k)."""
    codes = np.zeros(len(cells), np.int64)
    for column in cells.T:
        codes = codes * (n + 1) + column + 1
    return codes


def _decoded(codes: Array, n: int, width: int) -> Array:
    """Return the cells (m, width) of codes."""
    columns = []
    for _ in range(width):
        codes, last = np.divmod(codes, n + 1)
        columns.append(last - 1)
    return np.stack(columns[::-1], 1)


def rows_of(
    sample: int, levels: Sequence[Level], bars: Sequence[BarCells], dims: Sequence[int], n: int, width: int
) -> Array:
    """Return the points of one sample as rows: its number, dimension, weight, first cell, vertex, place."""
    parts = [np.empty((0, width + 5), np.int64)]
    for at, dim, weights, codes in _level_changes(bars, dims, n):
        level, own = levels[at], np.empty((len(codes), width + 5), np.int64)
        own[:, 0], own[:, 1], own[:, 2] = sample, dim, weights
        own[:, 3:-2] = _decoded(codes, n, width)
        own[:, -2], own[:, -1] = level.vertex, level.place
        parts.append(own)
    return np.concatenate(parts)


def measures_of_rows(
    rows: Sequence[Array],
    width: int,
    points_at: Callable[[Array, Array, torch.Tensor, Array], torch.Tensor],
    values: torch.Tensor,
    n_samples: int,
    dims: Sequence[int],
    dtype: torch.dtype,
) -> SignedMeasures:
    """Return the measures of rows as `rows_of` makes them, in order, with points of a dtype.

    Parameters
    ----------
    rows : sequence of ndarrays of shape (m, 5 + k)
    width : int
        Vertices of a cell, k.
    points_at : function of ndarray, ndarray, Tensor and ndarray
        The points (P, 2) at samples (P,), their first cells (P, k), `values`, and places (P,) in these.
    values : Tensor
        What the places of the second coordinates are in.
    """
    joined = rows[0] if len(rows) == 1 else np.concatenate([np.empty((0, width + 5), np.int64), *rows])
    table, places = row_table(joined)
    points = points_at(table[0], table[3 : 3 + width].T, values, places)
    return assemble_measures(to_device(table, values.device), points.to(dtype), n_samples, dims)
