"""`Diagrams`: a jagged batch of persistence diagrams as flat tensors, differentiable in births and deaths.

What is measured on them, and how they come from and go to the forms of other libraries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data._utils.collate import default_collate_fn_map

from topodl import _interchange
from topodl._checks import as_dims, check_number, fail
from topodl._host import on_host
from topodl._jagged import JaggedBars
from topodl._power import power
from topodl._segments import (
    position_in_segment,
    segment_amax,
    segment_amin,
    segment_sum,
    stable_order,
    true_positions,
    true_range,
)

__all__ = ["Diagrams", "EssentialPolicy"]

EssentialPolicy = Literal["drop", "keep", "clamp"]


class Diagrams(JaggedBars):
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

    References
    ----------
    H. Edelsbrunner, D. Letscher, A. Zomorodian, "Topological persistence and simplification", Discrete &
    Computational Geometry 28, 2002. D. Cohen-Steiner, H. Edelsbrunner, J. Harer, "Stability of persistence
    diagrams", Discrete & Computational Geometry 37, 2007.

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

    _totals: tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor], list[int]] | None = None

    def finite(self) -> Diagrams:
        """Return the bars with two finite ends."""
        if not on_host(self.births) or self.dtype == torch.bfloat16:
            return self._where(torch.isfinite(self.births) & torch.isfinite(self.deaths))
        births, deaths = self.births.detach().numpy(), self.deaths.detach().numpy()
        is_finite = np.isfinite(births) & np.isfinite(deaths)
        if is_finite.all():
            return self
        totals, finite = self._known_totals(), self._take(true_range(is_finite))
        return finite if totals is None else finite._with_totals(totals)

    def essential(self) -> Diagrams:
        """Return the bars that never die: those with an infinite death."""
        return self._where(torch.isinf(self.deaths))

    def filter(self, min_persistence: float = 0.0) -> Diagrams:
        """Return the bars that are strictly longer than `min_persistence`."""
        lengths = self.persistence().detach()
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
        bars = self.with_essential(essential).at_least_single()
        lengths = bars.persistence() if order == 1 else power(bars.persistence(), order)
        totals = segment_sum(lengths, bars.segments, bars.n_segments)
        return totals.view(self.n_samples, len(self.homology_dims)).to(self.dtype)

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
        ended = kept.was_essential
        if value is not None:
            return kept._with(deaths=kept.deaths.masked_fill(never, value), _ended=ended)
        births, deaths = kept.births.detach(), kept.deaths.detach()
        high = torch.maximum(births, deaths.masked_fill(never, -math.inf))
        low = torch.minimum(births, deaths.masked_fill(never, math.inf))
        top = segment_amax(high, kept.samples, self.n_samples)[kept.samples]
        bottom = segment_amin(low, kept.samples, self.n_samples)[kept.samples]
        ends = torch.where(deaths > 0, top, bottom)
        return kept._with(deaths=torch.where(never, ends, kept.deaths), _ended=ended)

    # What bars say of one level, and the longest of them

    def betti(self, t: float = 0.0) -> torch.Tensor:
        """Return the Betti numbers at the value `t`: bars with birth ≤ t < death, or death < t ≤ birth.

        Parameters
        ----------
        t : float
            Value up to which, or in a superlevel diagram down to which, cells are there.

        Returns
        -------
        Tensor of shape (n_samples, len(homology_dims)), int64

        Raises
        ------
        InputError
            If `t` is no finite number.

        See Also
        --------
        topodl.layers.BettiCurve : the same at many values.

        Examples
        --------
        >>> import torch
        >>> import topodl
        >>> ring = torch.tensor([[[-1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, -1.0]]])
        >>> bars = topodl.cubical_persistence(ring)
        >>> bars.betti(0.0), bars.betti(2.0)
        (tensor([[1, 1]]), tensor([[1, 0]]))
        """
        check_number("Diagrams.betti", "t", t)
        births, deaths = self.births.detach(), self.deaths.detach()
        alive = ((births <= t) & (t < deaths)) | ((deaths < t) & (t <= births))
        numbers = segment_sum(alive.long(), self.segments, self.n_segments)
        return numbers.view(self.n_samples, len(self.homology_dims))

    def longest(self, k: int, dim: int | None = None, essential: EssentialPolicy = "drop") -> torch.Tensor:
        """Return the lengths of the `k` longest bars of each sample, the longest first, with gradient.

        Parameters
        ----------
        k : int
            Number of bars.
        dim : int, optional
            Homology dimension. None: each of them.
        essential : {"drop", "keep", "clamp"}
            What becomes of bars with an infinite end (see `with_essential`); kept, they stand first, as inf.

        Returns
        -------
        Tensor of shape (n_samples, k), or (n_samples, len(homology_dims), k) without `dim`
            0 where there are fewer bars.

        Raises
        ------
        InputError
            If `k` is no integer of at least 1, or the diagrams lack the dimension.

        Notes
        -----
        How far bar k stands out from the next: ``-d.longest(k + 1, dim).diff(dim=1)[:, -1]``.

        Examples
        --------
        >>> import torch
        >>> from topodl import Diagrams
        >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 4.0], [0.0, torch.inf]]]))
        >>> d.longest(3, dim=0)
        tensor([[3., 2., 0.]])
        """
        check_number("Diagrams.longest", "k", k, low=1, integer=True)
        if dim is not None and dim not in self.homology_dims:
            expected = f"one of the computed dimensions {self.homology_dims}"
            raise fail("Diagrams.longest", "dim", f"is {dim!r}", expected)
        bars = (self if dim is None else self.dim(dim)).with_essential(essential)
        lengths, segments, order = bars.persistence(), bars.segments, bars._by_falling_length()
        place = position_in_segment(segments, bars.offsets)
        kept = true_positions(place < k)  # places in order are those of the sorted bars, too
        table = lengths.new_zeros(bars.n_segments, k)
        table = table.index_put((segments[kept], place[kept]), lengths[order[kept]])
        return table.view(self.n_samples, *([] if dim is not None else [len(self.homology_dims)]), k)

    def ranks(self) -> torch.Tensor:
        """Return how many bars of the same sample and dimension come before each, by falling length.

        Of equally long bars the first comes first; essential ones are infinitely long.

        Returns
        -------
        Tensor of shape (P,), int64

        Examples
        --------
        >>> import torch
        >>> from topodl import Diagrams
        >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 4.0], [0.0, torch.inf]]]))
        >>> d.ranks()
        tensor([2, 1, 0])
        """
        place = position_in_segment(self.segments, self.offsets)
        return torch.empty_like(place).index_put((self._by_falling_length(),), place)

    def _by_falling_length(self) -> torch.Tensor:
        """Return the positions of the bars, segment by segment, in each the longest first."""
        order = torch.sort(self.persistence().detach(), descending=True, stable=True).indices
        return order[stable_order(self.segments[order], self.n_segments)]

    # Forms of other libraries

    def padded(
        self, dims: int | Iterable[int] | None = None, fill: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the bars of some dimensions as a padded tensor.

        Parameters
        ----------
        dims : int or iterable of int, optional
            Homology dimensions. None: all of the diagrams.
        fill : float
            Value of the padding.

        Returns
        -------
        bars : Tensor of shape (B, M, 2)
            Births and deaths, by dimension; M is the largest number of bars of a sample.
        dims : Tensor of shape (B, M), int64
            Dimension of each bar, −1 in the padding.
        mask : Tensor of shape (B, M), bool
            True where there is a bar.

        Raises
        ------
        InputError
            If the diagrams lack a dimension.
        """
        d = self if dims is None else self._of_dims("Diagrams.padded", as_dims(dims))
        lengths = d.sample_offsets.diff()
        width = int(lengths.max()) if d.n_samples else 0
        at = (d.samples, position_in_segment(d.samples, d.sample_offsets))
        bars = d.births.new_full((d.n_samples, width, 2), fill)
        bars = bars.index_put(at, torch.stack([d.births, d.deaths], -1))
        of_bars = d.dims.new_full((d.n_samples, width), -1).index_put(at, d.dims)
        return bars, of_bars, torch.arange(width, device=d.device) < lengths[:, None]

    def _of_dims(self, function: str, dims: tuple[int, ...]) -> Diagrams:
        """Return the bars of several dimensions."""
        missing = [k for k in dims if k not in self.homology_dims]
        if missing:
            expected = f"dimensions of the diagrams, {self.homology_dims}"
            raise fail(function, "dims", f"ask for {missing[0]}", expected)
        wanted = tuple(sorted(set(dims)))
        if wanted == self.homology_dims:
            return self
        kept = torch.zeros_like(self.dims, dtype=torch.bool)
        for k in wanted:
            kept |= self.dims == k
        return self._take(kept, homology_dims=wanted)

    @classmethod
    def from_padded(cls, bars: torch.Tensor, mask: torch.Tensor | None = None, dim: int = 0) -> Diagrams:
        """Return the diagrams of one dimension whose bars are those of (B, M, 2) where `mask` is true."""
        return _interchange.from_padded(cls, bars, mask, dim)

    def numpy(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return a structured array (P,) of sample, dim, birth and death; `pandas.DataFrame` takes it."""
        return _interchange.to_structured(self)

    @classmethod
    def from_numpy(
        cls, table: Any, n_samples: int | None = None, homology_dims: Iterable[int] | None = None
    ) -> Diagrams:
        """Return the diagrams of a table as `numpy` makes it, a structured array or a data frame.

        Rows may stand in any order. A table shows neither samples nor dimensions without bars: by default
        there are those up to the last sample, and the dimensions that occur.

        Examples
        --------
        >>> import pandas as pd
        >>> from topodl import Diagrams
        >>> table = pd.DataFrame({"sample": [0, 1], "dim": [0, 1], "birth": [0.0, 0.5], "death": [1.0, 0.7]})
        >>> Diagrams.from_numpy(table, n_samples=3)
        Diagrams(3 samples; H0: 1 bar; H1: 1 bar; float64, cpu)
        """
        return _interchange.from_structured(cls, table, n_samples, homology_dims)

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
        One such item alone, as `gudhi.SimplexTree.persistence` gives it, is a batch of one sample.
        `homology_dims` are by default those that occur.
        """
        return _interchange.from_gudhi(cls, diagrams, dim, homology_dims)

    def to_persim(self) -> list[list[np.ndarray[Any, np.dtype[Any]]]]:
        """Return one list a sample of arrays (n, 2), one a dimension, as `ripser` and `persim` do."""
        return _interchange.to_persim(self)

    @classmethod
    def from_persim(cls, diagrams: Sequence[Any], homology_dims: Iterable[int] | None = None) -> Diagrams:
        """Return the diagrams of lists as `to_persim` makes them; `homology_dims` are by default 0, 1, ….

        The list of a single sample, as ``ripser.ripser(x)["dgms"]``, is a batch of one. Diagrams of Dionysus
        may stand in place of arrays.
        """
        return _interchange.from_persim(cls, diagrams, homology_dims)

    def to_giotto(self, essential: EssentialPolicy = "drop") -> np.ndarray[Any, np.dtype[Any]]:
        """Return an array (B, M, 3) of birth, death and dimension, padded on the diagonal as in giotto-tda.

        A dimension without bars has one point of padding. giotto-tda has no infinite deaths; `essential` says
        what becomes of them (see `with_essential`).
        """
        return _interchange.to_giotto(self.with_essential(essential))

    @classmethod
    def from_giotto(cls, diagrams: Any, homology_dims: Iterable[int] | None = None) -> Diagrams:
        """Return the diagrams of an array (B, M, 3), without its padding: the points on the diagonal."""
        return _interchange.from_giotto(cls, diagrams, homology_dims)

    def __repr__(self) -> str:
        parts = [_count(self.n_samples, "sample")]
        counts = self.counts.sum(0).tolist()
        infinite = self.essential().counts.sum(0).tolist()
        for k, bars, never in zip(self.homology_dims, counts, infinite, strict=True):
            parts.append(f"H{k}: {_count(bars, 'bar')}" + (f", {never} essential" if never else ""))
        parts.append(f"{str(self.dtype).removeprefix('torch.')}, {self.device}")
        return f"Diagrams({'; '.join(parts)}{', grad' if self.requires_grad else ''})"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _collate(batch: Sequence[Diagrams], *, collate_fn_map: Any = None) -> Diagrams:
    return Diagrams.cat(batch)


default_collate_fn_map[Diagrams] = _collate
torch.serialization.add_safe_globals([Diagrams])
