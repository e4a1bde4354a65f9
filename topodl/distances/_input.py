"""What distances read of diagrams: two batches that fit together, and their bars, sorted by birth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._checks import as_dims, check_choice, check_number, fail
from topodl._host import host_array
from topodl.diagrams import Diagrams

__all__ = ["Array", "SortedBars", "check_norms", "chosen", "directions_of", "same_dims"]

Array = np.ndarray[Any, np.dtype[Any]]


def check_norms(name: str, order: Any, ground_norm: Any) -> None:
    """Raise an `InputError` unless both are exponents of norms; that of the plane may be infinite."""
    check_number(name, "order", order, low=1.0)
    if ground_norm != math.inf:
        check_number(name, "ground_norm", ground_norm, low=1.0)


def same_dims(name: str, d1: Any, d2: Any, kind: type[Any] = Diagrams) -> None:
    """Raise unless both are of one kind, and of the same homology dimensions."""
    for argument, d in (("d1", d1), ("d2", d2)):
        if not isinstance(d, kind):
            raise TypeError(f"{name}: {argument} is a {type(d).__name__}; expected {kind.__name__}")
    if d1.homology_dims != d2.homology_dims:
        raise fail(name, "d2", f"has dimensions {d2.homology_dims}", f"{d1.homology_dims}, as d1")


def chosen(name: str, d: Any, dims: Any) -> torch.Tensor | None:
    """Return which bars are of `dims`, None for all of them."""
    if dims is None:
        return None
    wanted = tuple(sorted(set(as_dims(dims))))
    for k in wanted:
        check_choice(name, "dims", k, d.homology_dims)
    if wanted == d.homology_dims:
        return None
    return torch.isin(d.dims, torch.tensor(wanted, device=d.device))


def directions_of(n: int) -> torch.Tensor:
    """Return (n, 2) unit vectors at evenly spaced angles of a half circle, float64 on the CPU."""
    angles = torch.linspace(-math.pi / 2, math.pi / 2, n + 1, dtype=torch.float64, device="cpu")[:-1]
    return torch.stack([angles.cos(), angles.sin()], 1)


class SortedBars(NamedTuple):
    """Bars of S diagrams in float64, each sorted by birth.

    `bars` (P, 2) and the `offsets` (S + 1,) between which those of each diagram lie, `units` (S,), powers of
    two of the order of the largest |end| of each, and `places` (P,), where the bars stood before.
    """

    bars: Array
    offsets: Array
    units: Array
    places: Array

    @classmethod
    def of(cls, bars: Array, keys: Array, n: int, places: Array | None = None) -> SortedBars:
        """Return the finite bars (P, 2) of `n` diagrams; `keys` (P,) says whose they are, ascending."""
        order = np.lexsort((bars[:, 0], keys))
        bars = bars[order].astype(np.float64, copy=False)
        offsets = np.searchsorted(keys, np.arange(n + 1))
        size = np.zeros(n)
        np.maximum.at(size, keys, np.abs(bars).max(1, initial=0.0))
        units = np.ldexp(1.0, np.maximum(np.frexp(size)[1] - 1, -1000))
        return cls(bars, offsets, units, order if places is None else places[order])

    @classmethod
    def joined(cls, parts: Sequence[SortedBars]) -> SortedBars:
        """Return the diagrams of several, one after the other; `places` stay what they are in each."""
        starts = np.cumsum([0, *(len(part.bars) for part in parts)])
        offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
        return cls(
            np.concatenate([part.bars for part in parts]),
            np.concatenate([*offsets, starts[-1:]]),
            np.concatenate([part.units for part in parts]),
            np.concatenate([part.places for part in parts]),
        )

    @classmethod
    def split(cls, name: str, d: Diagrams) -> tuple[SortedBars, Array, Array, Array]:
        """Return the finite bars of each (sample, dimension), and the others: bars, keys and places."""
        bars = host_array(name, torch.stack([d.births, d.deaths], 1))
        keys = host_array(name, d.segments)
        finite = np.isfinite(bars).all(1)
        if finite.all():
            rest = np.zeros(0, np.int64)
            return cls.of(bars, keys, d.n_segments), bars[:0], rest, rest
        kept, rest = np.flatnonzero(finite), np.flatnonzero(~finite)
        infinite = bars[rest].astype(np.float64)
        return cls.of(bars[kept], keys[kept], d.n_segments, kept), infinite, keys[rest], rest
