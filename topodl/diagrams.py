"""`Diagrams`: a jagged batch of persistence diagrams as flat tensors, differentiable in births and deaths.

Every operation is a tensor operation over offsets; none loops over samples, and none pads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
import torch

from topodl import _interchange
from topodl._checks import check_number, fail
from topodl._diagram_checks import check_form, check_values, sample_indices
from topodl._host import on_host
from topodl._power import power
from topodl._segments import (
    offsets_of,
    position_in_segment,
    segment_amax,
    segment_amin,
    segment_sum,
    take_segments,
    true_positions,
    true_range,
)
from topodl.errors import InputError

__all__ = ["Diagrams", "EssentialPolicy"]

EssentialPolicy = Literal["drop", "keep", "clamp"]
_VALUES = ("births", "deaths")
_SHAPE = ("n_samples", "homology_dims")
_INTEGERS = ("dims", "samples", "birth_cells", "death_cells")
_TENSORS = (*_VALUES, *_INTEGERS)


class _Integers(dict[str, Any]):
    """Tensors of integers by name; those not `known` are made when first asked for: most losses never ask."""

    def __init__(self, make: Callable[[str], Any], known: Mapping[str, Any]) -> None:
        super().__init__(known)
        self._make = make

    def __missing__(self, name: str) -> Any:
        value = self[name] = self._make(name)
        return value

    @staticmethod
    def of(make: Callable[[str], Any], known: Mapping[str, Any]) -> dict[str, Any]:
        """Return the integers; a compiled graph has no later."""
        if torch.compiler.is_compiling():
            return {name: known[name] if name in known else make(name) for name in _INTEGERS}
        return _Integers(make, known)


class Diagrams:
    """Persistence diagrams of a batch, in all computed homology dimensions.

    The bars of all samples stand one after the other in flat tensors, sorted by (sample, dimension); bars
    that come in another order are sorted, stably. A batch without a single bar is a valid value.

    Parameters
    ----------
    births, deaths : Tensor of shape (P,)
        Values at which each class is born and dies, of the same floating dtype and device; gradients flow
        through both. An essential class has death = +inf (−inf in a superlevel diagram). In a superlevel
        diagram the birth is the larger end. NaN is refused.
    dims, samples : Tensor of shape (P,), int64
        Homology dimension of each bar, and the index of the sample it belongs to.
    n_samples : int
        Number of samples, those without bars included.
    homology_dims : iterable of int
        The dimensions that were computed, those without bars included.
    birth_cells, death_cells : Tensor of shape (P, k) or (P,), int64, optional
        The cells whose values birth and death are: a flat pixel index, an edge (i, j), …; −1 where there is
        none.

    Raises
    ------
    InputError
        If shapes, dtypes or devices disagree, a value is NaN, or an index is out of range.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> d = Diagrams(
    ...     torch.tensor([0.0, 0.2, 0.5]),
    ...     torch.tensor([torch.inf, 0.7, 0.9]),
    ...     torch.tensor([0, 0, 1]),
    ...     torch.tensor([0, 0, 1]),
    ...     n_samples=2,
    ...     homology_dims=(0, 1),
    ... )
    >>> d
    Diagrams(2 samples; H0: 2 bars, 1 essential; H1: 1 bar; float32, cpu)
    >>> d.finite().persistence()
    tensor([0.5000, 0.4000])
    >>> d[1].dim(1).births
    tensor([0.5000])
    """

    births: torch.Tensor
    deaths: torch.Tensor
    n_samples: int
    homology_dims: tuple[int, ...]
    _integers: dict[str, Any]
    _totals: tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor], list[int]] | None = None

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
        self.births, self.deaths = births, deaths
        cells = {"birth_cells": _as_columns(birth_cells), "death_cells": _as_columns(death_cells)}
        self._integers = {"dims": dims, "samples": samples, **cells}
        self.n_samples = int(n_samples)
        self.homology_dims = tuple(sorted({int(k) for k in homology_dims}))
        check_form(self, _TENSORS)
        # Looking at values would break the graph of a compiled model, whose diagrams come from the engine.
        if not torch.compiler.is_compiling():
            check_values(self)
            self._sort()

    def _sort(self) -> None:
        keys = self.segments
        if len(keys) < 2 or bool((keys[1:] - keys[:-1]).min() >= 0):
            return
        order = torch.sort(keys, stable=True).indices
        self.births, self.deaths = self.births[order], self.deaths[order]
        integers = {name: self._integers[name] for name in _INTEGERS}
        self._integers = {k: v if v is None else v[order] for k, v in integers.items()}

    @classmethod
    def _from(
        cls,
        births: torch.Tensor,
        deaths: torch.Tensor,
        n_samples: int,
        homology_dims: tuple[int, ...],
        integers: Callable[[str], Any],
        **known: Any,
    ) -> Diagrams:
        """Return diagrams, unchecked; tensors of integers are `known`, or a function gives them by name."""
        new = cls.__new__(cls)
        new.births, new.deaths, new.n_samples, new.homology_dims = births, deaths, n_samples, homology_dims
        new._integers = _Integers.of(integers, known)
        return new

    def _with(self, **changes: Any) -> Diagrams:
        """Return diagrams with some attributes replaced, unchecked: the caller keeps the order."""
        kept = {name: changes.pop(name, getattr(self, name)) for name in (*_VALUES, *_SHAPE)}
        return Diagrams._from(**kept, integers=self._integers.__getitem__, **changes)

    def _take(self, index: Any, **changes: Any) -> Diagrams:
        """Return the bars at `index` (a slice, a mask or increasing positions), and `changes` beside them."""
        if not isinstance(index, slice) and index.dtype == torch.bool:
            # Once for all: selecting by a mask looks for them each time.
            index = true_range(index.numpy()) if on_host(index) else true_positions(index)
        integers = self._integers  # not `self`, or the graph of the gradient would live on with it
        return Diagrams._from(
            _selected(self.births, index),
            _selected(self.deaths, index),
            changes.pop("n_samples", self.n_samples),
            changes.pop("homology_dims", self.homology_dims),
            lambda name: _selected(integers[name], index),
            **changes,
        )

    @property
    def dims(self) -> torch.Tensor:
        """(P,) homology dimension of each bar."""
        dims: torch.Tensor = self._integers["dims"]
        return dims

    @property
    def samples(self) -> torch.Tensor:
        """(P,) index of the sample that each bar belongs to."""
        samples: torch.Tensor = self._integers["samples"]
        return samples

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

    # Jaggedness

    # functools.cached_property takes a lock on Python 3.11, which cannot stand in a compiled graph.

    @property
    def segments(self) -> torch.Tensor:
        """(P,) index of the (sample, dimension) pair of each bar, counted sample by sample."""
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
        """(n_segments + 1,) positions between which the bars of each (sample, dimension) pair lie."""
        if "offsets" not in self._integers:
            self._integers["offsets"] = offsets_of(self.segments, self.n_segments)
        offsets: torch.Tensor = self._integers["offsets"]
        return offsets

    @property
    def sample_offsets(self) -> torch.Tensor:
        """(n_samples + 1,) positions between which the bars of each sample lie."""
        if "sample_offsets" not in self._integers:
            self._integers["sample_offsets"] = offsets_of(self.samples, self.n_samples)
        offsets: torch.Tensor = self._integers["sample_offsets"]
        return offsets

    @property
    def counts(self) -> torch.Tensor:
        """(n_samples, len(homology_dims)) numbers of bars."""
        return self.offsets.diff().view(self.n_samples, len(self.homology_dims))

    def __len__(self) -> int:
        return self.n_samples

    @property
    def n_bars(self) -> int:
        """Number of bars of all samples and dimensions together, P."""
        return len(self.births)

    def __iter__(self) -> Iterator[Diagrams]:
        return (self[i] for i in range(self.n_samples))

    @overload
    def __getitem__(self, index: int) -> Diagrams: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | Sequence[bool] | torch.Tensor) -> Diagrams: ...
    def __getitem__(self, index: Any) -> Diagrams:
        """Return the diagrams of one sample (a batch of one), a slice, a mask (B,) or a list of samples."""
        if isinstance(index, torch.Tensor) and index.ndim == 0 and not index.is_floating_point():
            index = index.item()
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            if not -self.n_samples <= index < self.n_samples:
                raise IndexError(
                    f"Diagrams: sample {index} is out of range; there are {self.n_samples} samples"
                )
            index = slice(int(index) % self.n_samples, int(index) % self.n_samples + 1)
        if isinstance(index, slice):
            start, stop, step = index.indices(self.n_samples)
            if step == 1:
                stop = max(start, stop)
                first, last = self.sample_offsets[[start, stop]].tolist()
                kept = slice(first, last)
                return self._take(kept, samples=self.samples[kept] - start, n_samples=stop - start)
            index = torch.arange(self.n_samples)[list(range(start, stop, step))]
        which = sample_indices(self, index)
        positions, samples = take_segments(self.sample_offsets, which)
        return self._take(positions, samples=samples, n_samples=len(which))

    # Choosing bars

    def select(self, mask: torch.Tensor) -> Diagrams:
        """Return the bars where `mask` (P,) is true; samples and dimensions stay."""
        if mask.dtype != torch.bool or mask.shape != self.births.shape:
            came = f"has shape {tuple(mask.shape)} and dtype {mask.dtype}"
            raise fail("Diagrams.select", "mask", came, f"booleans of shape ({self.n_bars},)")
        return self._where(mask)

    def _where(self, mask: torch.Tensor) -> Diagrams:
        # Mostly every bar stays; looking costs far less than copying, but would break a compiled graph.
        if not torch.compiler.is_compiling() and bool(mask.all()):
            return self
        return self._take(mask)

    def dim(self, k: int) -> Diagrams:
        """Return the bars of homology dimension `k`."""
        if k not in self.homology_dims:
            raise fail("Diagrams.dim", "k", f"is {k}", f"one of the computed dimensions {self.homology_dims}")
        if self.homology_dims == (k,):
            return self
        return self._take(self.dims == k, homology_dims=(int(k),))

    def finite(self) -> Diagrams:
        """Return the bars with two finite ends."""
        if not on_host(self.births) or self.dtype == torch.bfloat16:
            return self._where(torch.isfinite(self.births) & torch.isfinite(self.deaths))
        births, deaths = self.births.detach().numpy(), self.deaths.detach().numpy()
        kept = true_range(np.isfinite(births) & np.isfinite(deaths))
        if isinstance(kept, slice) and kept == slice(0, self.n_bars):
            return self
        totals, finite = self._known_totals(), self._take(kept)
        return finite if totals is None else finite._with_totals(totals)

    def essential(self) -> Diagrams:
        """Return the bars that never die: those with an infinite death."""
        return self._where(torch.isinf(self.deaths))

    def filter(self, min_persistence: float = 0.0) -> Diagrams:
        """Return the bars that are strictly longer than `min_persistence`."""
        lengths = self.persistence().detach()
        if not torch.compiler.is_compiling() and self.n_bars and float(lengths.min()) > min_persistence:
            return self
        return self._where(lengths > min_persistence)

    def persistence(self) -> torch.Tensor:
        """Return the length |death − birth| of each bar, (P,): infinite for essential bars, never NaN."""
        if on_host(self.births) and self.dtype != torch.bfloat16:
            lengths = self.deaths - self.births
            shortest = np.minimum.reduce(lengths.detach().numpy(), initial=math.inf)
            if not math.isnan(shortest):  # looking costs less than masking
                return lengths if shortest > 0 else lengths.abs()
        same = (self.births == self.deaths).detach()  # inf − inf is NaN
        return (self.deaths.masked_fill(same, 0.0) - self.births.masked_fill(same, 0.0)).abs()

    def total_persistence(self, order: float = 1.0, essential: EssentialPolicy = "drop") -> torch.Tensor:
        """Return the sum of the lengths |death − birth| to a power, for each sample and dimension.

        Of Rips diagrams on the CPU, sums come with the diagrams, so a loss on them takes a third less time
        than one on births and deaths; its gradient does not pass these on its way to the points.

        Parameters
        ----------
        order : float
            Power of the lengths; 0 counts the bars.
        essential : {"drop", "keep", "clamp"}
            What becomes of bars with an infinite end (see `with_essential`); kept, they make a sum infinite.

        Returns
        -------
        Tensor of shape (n_samples, len(homology_dims))
            0 where a sample has no bar.

        Raises
        ------
        InputError
            If `order` is no finite number of at least 0, or the policy is none of those above.

        References
        ----------
        Cohen-Steiner, Edelsbrunner, Harer, Mileyko, "Lipschitz functions have L_p-stable persistence", 2010.

        Examples
        --------
        >>> import torch
        >>> import topodl
        >>> x = torch.tensor([[[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [1.0, 0.0]]], requires_grad=True)
        >>> total = topodl.rips_persistence(x, dims=0).total_persistence()
        >>> total.detach()
        tensor([[5.],
                [1.]])
        >>> total.sum().backward()
        >>> x.grad[1]
        tensor([[-1.,  0.],
                [ 1.,  0.]])
        """
        if order != 1:
            check_number("Diagrams.total_persistence", "order", order, low=0.0)
        elif essential == "drop" and (totals := self._known_totals()) is not None:
            return totals
        bars = self.with_essential(essential)
        lengths = bars.persistence() if order == 1 else power(bars.persistence(), order)
        return segment_sum(lengths, bars.segments, bars.n_segments).view(
            self.n_samples, len(self.homology_dims)
        )

    def _with_totals(self, totals: torch.Tensor) -> Diagrams:
        """Take the total persistence of the finite bars as known, as long as no tensor changes."""
        tensors = self.births, self.deaths, totals
        if not totals.is_inference():  # such tensors do not count their changes
            self._totals = tensors, [tensor._version for tensor in tensors]
        return self

    def _known_totals(self) -> torch.Tensor | None:
        if self._totals is None:
            return None
        (births, deaths, totals), versions = self._totals
        if births is not self.births or deaths is not self.deaths:
            return None
        if [births._version, deaths._version, totals._version] != versions:
            return None
        return totals if torch.is_grad_enabled() else totals.detach()

    def with_essential(self, policy: EssentialPolicy, value: float | None = None) -> Diagrams:
        """Return the bars after a policy for those with an infinite end, named by every consumer.

        Parameters
        ----------
        policy : {"drop", "keep", "clamp"}
            "drop" keeps the bars with two finite ends, "keep" all. "clamp" lets essential bars die at `value`
            and drops those with an infinite birth.
        value : float, optional
            Where clamped bars die, without gradient. By default at the largest finite end among all bars of
            the same sample (the smallest for deaths at −inf), which depends on no other sample.

        Returns
        -------
        Diagrams
        """
        if policy == "keep":
            return self
        if policy == "drop":
            return self.finite()
        if policy != "clamp":
            raise fail("Diagrams.with_essential", "policy", f"is {policy!r}", '"drop", "keep" or "clamp"')
        kept = self._where(torch.isfinite(self.births))
        never = torch.isinf(kept.deaths)
        if value is not None:
            return kept._with(deaths=kept.deaths.masked_fill(never, value))
        births, deaths = kept.births.detach(), kept.deaths.detach()
        high = torch.maximum(births, deaths.masked_fill(never, -math.inf))
        low = torch.minimum(births, deaths.masked_fill(never, math.inf))
        top = segment_amax(high, kept.samples, self.n_samples)[kept.samples]
        bottom = segment_amin(low, kept.samples, self.n_samples)[kept.samples]
        ends = torch.where(deaths > 0, top, bottom)
        return kept._with(deaths=torch.where(never, ends, kept.deaths))

    # Moving and joining

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.births.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of births and deaths."""
        return self.births.dtype

    @property
    def requires_grad(self) -> bool:
        """Whether births or deaths carry a gradient."""
        return self.births.requires_grad or self.deaths.requires_grad

    def to(
        self, device: Any = None, dtype: torch.dtype | None = None, non_blocking: bool = False
    ) -> Diagrams:
        """Return the diagrams on `device`, with births and deaths of `dtype`; as `torch.Tensor.to`."""
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        if dtype is not None and not dtype.is_floating_point:
            raise fail("Diagrams.to", "dtype", f"is {dtype}", "a floating dtype")
        moved = {}
        for name in _TENSORS:
            value = getattr(self, name)
            wanted = dtype if name in ("births", "deaths") else None
            if value is not None:
                value = value.to(device=device, dtype=wanted or value.dtype, non_blocking=non_blocking)
            moved[name] = value
        return self._with(**moved)

    def cpu(self) -> Diagrams:
        """Return the diagrams on the CPU."""
        return self.to("cpu")

    def pin_memory(self) -> Diagrams:
        """Return the diagrams in pinned memory, as a `DataLoader` with ``pin_memory=True`` asks for."""
        values = {name: getattr(self, name) for name in _TENSORS}
        return self._with(**{name: v if v is None else v.pin_memory() for name, v in values.items()})

    def detach(self) -> Diagrams:
        """Return the diagrams without gradient."""
        return self._with(births=self.births.detach(), deaths=self.deaths.detach())

    @staticmethod
    def cat(batches: Iterable[Diagrams]) -> Diagrams:
        """Return the samples of several batches, one after the other; a `collate_fn` of a `DataLoader`.

        Raises
        ------
        InputError
            If `batches` is empty or the batches differ in `homology_dims`.
        """
        batches = list(batches)
        if not batches:
            raise InputError("Diagrams.cat: batches is empty; expected at least one Diagrams")
        if len({d.homology_dims for d in batches}) > 1:
            came = f"have homology_dims {sorted({d.homology_dims for d in batches})}"
            raise fail("Diagrams.cat", "batches", came, "the same in all")
        starts = np.cumsum([0, *(d.n_samples for d in batches)]).tolist()
        return batches[0]._with(
            births=torch.cat([d.births for d in batches]),
            deaths=torch.cat([d.deaths for d in batches]),
            dims=torch.cat([d.dims for d in batches]),
            samples=torch.cat([d.samples + start for d, start in zip(batches, starts, strict=False)]),
            birth_cells=_cat_cells([d.birth_cells for d in batches], batches),
            death_cells=_cat_cells([d.death_cells for d in batches], batches),
            n_samples=starts[-1],
        )

    def padded(self, dim: int, fill: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the bars of one dimension as a padded tensor.

        Parameters
        ----------
        dim : int
            Homology dimension.
        fill : float
            Value of the padding.

        Returns
        -------
        bars : Tensor of shape (B, M, 2)
            Births and deaths; M is the largest number of bars of a sample.
        mask : Tensor of shape (B, M), bool
            True where there is a bar.
        """
        d = self.dim(dim)
        lengths = d.sample_offsets.diff()
        width = int(lengths.max()) if d.n_samples else 0
        at = (d.samples, position_in_segment(d.samples, d.sample_offsets))
        bars = d.births.new_full((d.n_samples, width, 2), fill)
        bars = bars.index_put(at, torch.stack([d.births, d.deaths], -1))
        return bars, torch.arange(width, device=d.device) < lengths[:, None]

    @classmethod
    def from_padded(cls, bars: torch.Tensor, mask: torch.Tensor | None = None, dim: int = 0) -> Diagrams:
        """Return the diagrams of one dimension whose bars are those of (B, M, 2) where `mask` is true."""
        return _interchange.from_padded(cls, bars, mask, dim)

    # Interchange

    def numpy(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return a structured array (P,) of sample, dim, birth and death; `pandas.DataFrame` takes it."""
        return _interchange.to_structured(self)

    def to_gudhi(self, dim: int | None = None) -> list[Any]:
        """Return one list of (dimension, (birth, death)) a sample, as `gudhi.SimplexTree.persistence` does.

        With `dim`, one array (n, 2) a sample, as `gudhi.representations` and `gudhi.wasserstein` take them.
        """
        return _interchange.to_gudhi(self, dim)

    @classmethod
    def from_gudhi(
        cls, diagrams: Sequence[Any], dim: int = 0, homology_dims: Iterable[int] | None = None
    ) -> Diagrams:
        """Return the diagrams of `diagrams`, one item a sample.

        An item is a list of (dimension, (birth, death)), or an array (n, 2) of bars of dimension `dim`.
        `homology_dims` are by default those that occur.
        """
        return _interchange.from_gudhi(cls, diagrams, dim, homology_dims)

    def to_persim(self) -> list[list[np.ndarray[Any, np.dtype[Any]]]]:
        """Return one list a sample of arrays (n, 2), one a dimension, as `ripser` and `persim` do."""
        return _interchange.to_persim(self)

    @classmethod
    def from_persim(cls, diagrams: Sequence[Any], homology_dims: Iterable[int] | None = None) -> Diagrams:
        """Return the diagrams of lists as `to_persim` makes them; `homology_dims` are by default 0, 1, …."""
        return _interchange.from_persim(cls, diagrams, homology_dims)

    def to_giotto(self, essential: EssentialPolicy = "drop") -> np.ndarray[Any, np.dtype[Any]]:
        """Return an array (B, M, 3) of birth, death and dimension, padded on the diagonal as in giotto-tda.

        giotto-tda has no infinite deaths; `essential` says what becomes of them (see `with_essential`).
        """
        return _interchange.to_giotto(self.with_essential(essential))

    @classmethod
    def from_giotto(cls, diagrams: Any, homology_dims: Iterable[int] | None = None) -> Diagrams:
        """Return the diagrams of an array (B, M, 3), without its padding: the points on the diagonal."""
        return _interchange.from_giotto(cls, diagrams, homology_dims)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickles and copies, without the graph of the gradient."""
        integers = {name: self._integers[name] for name in _INTEGERS}
        kept = {name: getattr(self, name) for name in _SHAPE} | {"_integers": integers}
        return kept | {"births": self.births.detach(), "deaths": self.deaths.detach()}

    def __repr__(self) -> str:
        parts = [_count(self.n_samples, "sample")]
        counts = self.counts.sum(0).tolist()
        infinite = self.essential().counts.sum(0).tolist()
        for k, bars, never in zip(self.homology_dims, counts, infinite, strict=True):
            parts.append(f"H{k}: {_count(bars, 'bar')}" + (f", {never} essential" if never else ""))
        parts.append(f"{str(self.dtype).removeprefix('torch.')}, {self.device}")
        return f"Diagrams({'; '.join(parts)}{', grad' if self.requires_grad else ''})"


def _selected(value: Any, index: slice | torch.Tensor) -> Any:
    if value is None:
        return None
    if isinstance(index, slice):
        return value.narrow(0, index.start, index.stop - index.start)
    return value.index_select(0, index)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _as_columns(cells: torch.Tensor | None) -> torch.Tensor | None:
    return cells[:, None] if isinstance(cells, torch.Tensor) and cells.ndim == 1 else cells


def _cat_cells(cells: list[torch.Tensor | None], batches: list[Diagrams]) -> torch.Tensor | None:
    """Join cells of unequal width, with −1 where a batch has none."""
    width = max((c.shape[1] for c in cells if c is not None), default=0)
    if width == 0:
        return None
    parts = []
    for c, d in zip(cells, batches, strict=True):
        c = d.dims.new_empty((d.n_bars, 0)) if c is None else c
        parts.append(torch.nn.functional.pad(c, (0, width - c.shape[1]), value=-1))
    return torch.cat(parts)
