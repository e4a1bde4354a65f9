"""What `Diagrams` and `SignedMeasures` stand on: a jagged batch of rows in flat tensors.

Every operation is a tensor operation over offsets; none loops over samples, and none pads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar, overload

import numpy as np
import torch

from topodl._checks import check_dense, fail, plain_tensor
from topodl._host import on_host, reject_mapped, whole_values
from topodl._jagged_checks import check_form, check_values
from topodl._precision import HALF_TYPES
from topodl._sample_indices import sample_indices
from topodl._segments import offsets_of, take_segments, true_positions, true_range
from topodl.errors import InputError

__all__ = ["JaggedBars", "JaggedBatch"]

_SHAPE = ("n_samples", "homology_dims")
Batch = TypeVar("Batch", bound="JaggedBatch")


class _Integers(dict[str, Any]):
    """Tensors of integers by name; those not `known` are made when first asked for: most losses never ask."""

    def __init__(self, make: Callable[[str], Any], known: Mapping[str, Any]) -> None:
        super().__init__(known)
        self._make = make

    def __missing__(self, name: str) -> Any:
        value = self[name] = self._make(name)
        return value

    @staticmethod
    def of(make: Callable[[str], Any], known: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """Return the integers; a compiled graph has no later."""
        if torch.compiler.is_compiling():
            return {name: known[name] if name in known else make(name) for name in names}
        return _Integers(make, known)


class JaggedBatch:
    """Rows of a batch, one after the other, sorted by (sample, dimension): bars, or points of measures.

    A subclass names its tensors: those of numbers, which carry gradients, and those of integers, `dims` and
    `samples` among them. `_TAILS` has the lengths of their axes after the first, None where any will do.
    """

    _VALUES: ClassVar[tuple[str, ...]]
    _INTEGERS: ClassVar[tuple[str, ...]]
    _OPTIONAL: ClassVar[tuple[str, ...]]
    _TAILS: ClassVar[Mapping[str, tuple[int | None, ...]]]
    _LOWEST_DIM: ClassVar[int] = 0
    n_samples: int
    homology_dims: tuple[int, ...]
    _integers: dict[str, Any]
    _row_labels: Any = None  # the index of the data frame that a transformer read the samples from

    def __init__(self, tensors: Mapping[str, Any], n_samples: int, homology_dims: Iterable[int]) -> None:
        kind = type(self).__name__
        absent = {name for name in self._OPTIONAL if tensors[name] is None}
        tensors = {k: v if k in absent else check_dense(kind, k, v) for k, v in tensors.items()}
        for name in self._VALUES:
            setattr(self, name, tensors[name])
        self._integers = {name: tensors[name] for name in self._INTEGERS}
        # A number that an exporter leaves open must not become one of Python's.
        self.n_samples = n_samples if torch.compiler.is_compiling() else int(n_samples)
        self.homology_dims = tuple(sorted({int(k) for k in homology_dims}))
        check_form(self, tensors)
        # Looking at values would break the graph of a compiled model, whose rows come from the engine.
        if not torch.compiler.is_compiling() and not check_values(self, tensors):
            self._sort()

    def _sort(self) -> None:
        order = torch.sort(self.segments, stable=True).indices
        for name in self._VALUES:
            setattr(self, name, getattr(self, name)[order])
        integers = {name: self._integers[name] for name in self._INTEGERS}
        self._integers = {k: v if v is None else v[order] for k, v in integers.items()}

    @classmethod
    def _from(
        cls,
        values: Iterable[torch.Tensor],
        n_samples: int,
        homology_dims: tuple[int, ...],
        integers: Callable[[str], Any],
        **known: Any,
    ) -> Self:
        """Return a batch, unchecked; tensors of integers are `known`, or a function gives them by name."""
        new = cls.__new__(cls)
        for name, value in zip(cls._VALUES, values, strict=True):
            setattr(new, name, value)
        new.n_samples, new.homology_dims = n_samples, homology_dims
        new._integers = _Integers.of(integers, known, cls._INTEGERS)
        return new

    def _with(self, **changes: Any) -> Self:
        """Return the batch with some attributes replaced, unchecked: the caller keeps the order."""
        values = [changes.pop(name, getattr(self, name)) for name in self._VALUES]
        n_samples, dims = (changes.pop(name, getattr(self, name)) for name in _SHAPE)
        return self._from(values, n_samples, dims, self._integers.__getitem__, **changes)

    def _take(self, index: Any, **changes: Any) -> Self:
        """Return the rows at `index` (a slice, a mask or increasing positions), and `changes` beside them."""
        if not isinstance(index, slice) and index.dtype == torch.bool:
            # Once for all: selecting by a mask looks for them each time.
            index = true_range(index.numpy()) if on_host(index) else true_positions(index)
        integers = self._integers  # not `self`, or the graph of the gradient would live on with it
        return self._from(
            [_selected(getattr(self, name), index) for name in self._VALUES],
            changes.pop("n_samples", self.n_samples),
            changes.pop("homology_dims", self.homology_dims),
            lambda name: _selected(integers[name], index),
            **changes,
        )

    @property
    def dims(self) -> torch.Tensor:
        """(P,) homology dimension of each row."""
        dims: torch.Tensor = self._integers["dims"]
        return dims

    @property
    def samples(self) -> torch.Tensor:
        """(P,) index of the sample that each row belongs to."""
        samples: torch.Tensor = self._integers["samples"]
        return samples

    # Jaggedness

    # functools.cached_property takes a lock on Python 3.11, which cannot stand in a compiled graph.

    @property
    def segments(self) -> torch.Tensor:
        """(P,) index of the (sample, dimension) pair of each row, counted sample by sample."""
        if "segments" not in self._integers:
            self._integers["segments"] = self.samples * len(self.homology_dims) + self._place(self.dims)
        segments: torch.Tensor = self._integers["segments"]
        return segments

    def _place(self, dims: torch.Tensor) -> torch.Tensor:
        first, count = (self.homology_dims[0], len(self.homology_dims)) if self.homology_dims else (0, 0)
        if self.homology_dims == tuple(range(first, first + count)):
            return dims - first if first else dims
        return torch.searchsorted(torch.tensor(self.homology_dims, device=dims.device), dims)

    @property
    def n_segments(self) -> int:
        """Number of (sample, dimension) pairs."""
        return self.n_samples * len(self.homology_dims)

    @property
    def offsets(self) -> torch.Tensor:
        """(n_segments + 1,) positions between which the rows of each (sample, dimension) pair lie."""
        if "offsets" not in self._integers:
            self._integers["offsets"] = offsets_of(self.segments, self.n_segments)
        offsets: torch.Tensor = self._integers["offsets"]
        return offsets

    @property
    def sample_offsets(self) -> torch.Tensor:
        """(n_samples + 1,) positions between which the rows of each sample lie."""
        if "sample_offsets" not in self._integers:
            self._integers["sample_offsets"] = offsets_of(self.samples, self.n_samples)
        offsets: torch.Tensor = self._integers["sample_offsets"]
        return offsets

    @property
    def counts(self) -> torch.Tensor:
        """(n_samples, len(homology_dims)) numbers of rows."""
        return self.offsets.diff().view(self.n_samples, len(self.homology_dims))

    def __len__(self) -> int:
        return self.n_samples

    @property
    def _first(self) -> torch.Tensor:
        """One of the tensors of numbers: its length, dtype and device are those of all."""
        first: torch.Tensor = getattr(self, self._VALUES[0])
        return first

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(self.n_samples))

    @overload
    def __getitem__(self, index: int) -> Self: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | Sequence[bool] | torch.Tensor) -> Self: ...
    def __getitem__(self, index: Any) -> Self:
        """Return one sample (as a batch of one), a slice, a mask (B,) or a list of samples."""
        which = sample_indices(type(self).__name__, index, self.n_samples, self.device)
        if isinstance(which, slice):
            first, last = self.sample_offsets[[which.start, which.stop]].tolist()
            kept = slice(first, last)
            samples = self.samples[kept] - which.start
            return self._take(kept, samples=samples, n_samples=which.stop - which.start)
        positions, samples = take_segments(self.sample_offsets, which)
        return self._take(positions, samples=samples, n_samples=len(which))

    # Choosing rows

    def select(self, mask: torch.Tensor) -> Self:
        """Return the rows where `mask` (P,) is true; samples and dimensions stay."""
        name = f"{type(self).__name__}.select"
        mask = check_dense(name, "mask", mask)
        if mask.dtype != torch.bool or mask.shape != self._first.shape[:1]:
            came = f"has shape {tuple(mask.shape)} and dtype {mask.dtype}"
            raise fail(name, "mask", came, f"booleans of shape ({self._first.shape[0]},)")
        return self._where(mask)

    def _where(self, mask: torch.Tensor) -> Self:
        # Mostly every row stays; looking costs far less than copying, but would break a compiled graph.
        if not torch.compiler.is_compiling() and bool(whole_values(mask).all()):
            return self
        expected = "rows that all stay, as finite bars do, or one batch: their number cannot be mapped"
        reject_mapped(type(self).__name__, "the choice of rows", mask, expected)
        return self._take(mask)

    def dim(self, k: int) -> Self:
        """Return the rows of homology dimension `k`."""
        if k not in self.homology_dims:
            expected = f"one of the computed dimensions {self.homology_dims}"
            raise fail(f"{type(self).__name__}.dim", "k", f"is {k}", expected)
        if self.homology_dims == (k,):
            return self
        return self._take(self.dims == k, homology_dims=(int(k),))

    # Moving and joining

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self._first.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the numbers."""
        return self._first.dtype

    @property
    def requires_grad(self) -> bool:
        """Whether the numbers carry a gradient."""
        return any(getattr(self, name).requires_grad for name in self._VALUES)

    def to(self, device: Any = None, dtype: torch.dtype | None = None, non_blocking: bool = False) -> Self:
        """Return the batch on `device`, with its numbers of `dtype`; as `torch.Tensor.to`."""
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        if dtype is not None and not dtype.is_floating_point:
            raise fail(f"{type(self).__name__}.to", "dtype", f"is {dtype}", "a floating dtype")
        moved = {}
        for name in (*self._VALUES, *self._INTEGERS):
            value = getattr(self, name)
            wanted = dtype if name in self._VALUES else None
            if value is not None:
                value = value.to(device=device, dtype=wanted or value.dtype, non_blocking=non_blocking)
            moved[name] = value
        return self._with(**moved)

    def at_least_single(self) -> Self:
        """Return the batch with its numbers in float32 if they have a half type, else itself."""
        return self.to(torch.float32) if self.dtype in HALF_TYPES else self

    def cpu(self) -> Self:
        """Return the batch on the CPU."""
        return self.to("cpu")

    def pin_memory(self) -> Self:
        """Return the batch in pinned memory, as a `DataLoader` with ``pin_memory=True`` asks for."""
        values = {name: getattr(self, name) for name in (*self._VALUES, *self._INTEGERS)}
        return self._with(**{name: v if v is None else v.pin_memory() for name, v in values.items()})

    def detach(self) -> Self:
        """Return the batch without gradient."""
        return self._with(**{name: getattr(self, name).detach() for name in self._VALUES})

    @staticmethod
    def cat(batches: Iterable[Batch]) -> Batch:
        """Return the samples of several batches, one after the other, as a `DataLoader` does by default.

        Raises
        ------
        InputError
            If `batches` is empty or the batches differ in `homology_dims`.
        """
        batches = list(batches)
        if not batches:
            raise InputError("cat: batches is empty; expected at least one batch")
        first, kind = batches[0], type(batches[0]).__name__
        if len({d.homology_dims for d in batches}) > 1:
            came = f"have homology_dims {sorted({d.homology_dims for d in batches})}"
            raise fail(f"{kind}.cat", "batches", came, "the same in all")
        starts = np.cumsum([0, *(d.n_samples for d in batches)]).tolist()
        joined: dict[str, Any] = {
            name: torch.cat([getattr(d, name) for d in batches]) for name in first._VALUES
        }
        for name in first._INTEGERS:
            parts = [getattr(d, name) for d in batches]
            joined[name] = _joined(name, parts, batches)
        joined["samples"] = torch.cat([d.samples + start for d, start in zip(batches, starts, strict=False)])
        return first._with(**joined, n_samples=starts[-1])

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickles and copies, without the graph of the gradient."""
        integers = {name: self._integers[name] for name in self._INTEGERS}
        kept = {name: getattr(self, name) for name in _SHAPE} | {"_integers": integers}
        if self._row_labels is not None:
            kept["_row_labels"] = self._row_labels
        return kept | {name: getattr(self, name).detach() for name in self._VALUES}


class JaggedBars(JaggedBatch):
    """Bars of a batch, one after the other, sorted by (sample, dimension); `Diagrams` says what is what."""

    _VALUES = ("births", "deaths")
    _INTEGERS = ("dims", "samples", "birth_cells", "death_cells", "_ended")
    _OPTIONAL = ("birth_cells", "death_cells", "_ended")
    _TAILS = MappingProxyType({"birth_cells": (None,), "death_cells": (None,)})
    births: torch.Tensor
    deaths: torch.Tensor

    def __init__(
        self,
        births: torch.Tensor,
        deaths: torch.Tensor,
        dims: torch.Tensor,
        samples: torch.Tensor,
        *,
        n_samples: int,
        homology_dims: Iterable[int],
        birth_cells: torch.Tensor | None = None,
        death_cells: torch.Tensor | None = None,
    ) -> None:
        tensors = {"births": births, "deaths": deaths, "dims": dims, "samples": samples}
        cells = {"birth_cells": _as_columns(birth_cells), "death_cells": _as_columns(death_cells)}
        super().__init__({**tensors, **cells, "_ended": None}, n_samples, homology_dims)

    @property
    def birth_cells(self) -> torch.Tensor | None:
        """(P, k) cells whose values the births are, or None."""
        cells: torch.Tensor | None = self._integers["birth_cells"]
        return cells

    @property
    def death_cells(self) -> torch.Tensor | None:
        """(P, k) cells whose values the deaths are, −1 where there is none, or None."""
        cells: torch.Tensor | None = self._integers["death_cells"]
        return cells

    @property
    def _ended(self) -> torch.Tensor | None:
        """(P,) booleans of the essential bars that a policy has let die, or None without such a policy."""
        ended: torch.Tensor | None = self._integers["_ended"]
        return ended

    @property
    def was_essential(self) -> torch.Tensor:
        """(P,) booleans of the essential bars, those included that `with_essential` has let die."""
        never = torch.isinf(self.deaths.detach())
        return never if self._ended is None else never | self._ended

    @property
    def n_bars(self) -> int:
        """Number of bars of all samples and dimensions together, P."""
        return self.births.shape[0]  # a compiler may not know how many they are, as `len` has to

    def convert_to_tensors(self, tensor_type: Any = None) -> Self:
        """Return the diagrams themselves, which is how skorch tells what it hands to a network as it is.

        They stay on their device: in a network on another one, a first module calls `to`.

        Parameters
        ----------
        tensor_type : ignored

        Returns
        -------
        Diagrams
        """
        return self


def _selected(value: Any, index: slice | torch.Tensor) -> Any:
    if value is None:
        return None
    if isinstance(index, slice):
        return value.narrow(0, index.start, index.stop - index.start)
    return value.index_select(0, index)


def _as_columns(cells: torch.Tensor | None) -> torch.Tensor | None:
    cells = plain_tensor(cells)
    return cells[:, None] if isinstance(cells, torch.Tensor) and cells.ndim == 1 else cells


def _joined(name: str, parts: list[torch.Tensor | None], batches: Sequence[JaggedBatch]) -> Any:
    """Return the tensors of one name of several batches, one after the other; some may lack it."""
    if "cells" in name:
        return _cat_cells(parts, batches)
    if all(part is None for part in parts):
        return None
    pairs = zip(parts, batches, strict=True)
    return torch.cat([torch.zeros_like(d.dims, dtype=torch.bool) if p is None else p for p, d in pairs])


def _cat_cells(cells: list[torch.Tensor | None], batches: Sequence[JaggedBatch]) -> torch.Tensor | None:
    """Join cells whose last axes differ, with −1 where a batch has fewer or none."""
    shape = max((c.shape[1:] for c in cells if c is not None), key=lambda shape: shape[-1], default=None)
    if not shape or shape[-1] == 0:
        return None
    parts = []
    for c, d in zip(cells, batches, strict=True):
        c = d.dims.new_empty((d.dims.shape[0], *shape[:-1], 0)) if c is None else c
        parts.append(torch.nn.functional.pad(c, (0, shape[-1] - c.shape[-1]), value=-1))
    return torch.cat(parts)
