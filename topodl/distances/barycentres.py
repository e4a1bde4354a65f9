"""Barycentres: the diagram with the least mean squared Wasserstein distance to those of a batch, locally.

Turner, Mileyko, Mukherjee, Harer, Discrete & Computational Geometry 52, 2014. Cost: a matching with each
diagram in each of a few rounds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._checks import as_dims, as_tensor, check_number, fail
from topodl._host import host_array
from topodl._segments import segment_sum
from topodl.diagrams import Diagrams
from topodl.distances._input import Array, SortedBars, chosen
from topodl.distances.matrices import distance_matrix
from topodl.distances.paired import wasserstein_distance
from topodl.kernels.shared.pool import map_batch

__all__ = ["Barycentre", "barycentre"]


class Barycentre(NamedTuple):
    """A barycentre of diagrams, and how far they are from it.

    Attributes
    ----------
    diagrams : Diagrams
        Of one sample, differentiable in births and deaths of the batch.
    energy : Tensor of shape (K,)
        The weighted mean of the squared distances of the batch to it, in each homology dimension.
    converged : bool
        Whether the matchings stayed the same in the last round.

    References
    ----------
    K. Turner, Y. Mileyko, S. Mukherjee, J. Harer. Fréchet means for distributions of persistence diagrams.
    Discrete & Computational Geometry 52, 2014.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.distances import barycentre
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0]], [[0.0, 4.0]]]))
    >>> barycentre(d).energy.round(decimals=3)
    tensor([1.])
    """

    diagrams: Diagrams
    energy: torch.Tensor
    converged: bool


def barycentre(
    d: Diagrams,
    weights: Any = None,
    start: int | None = None,
    dims: Any = None,
    max_rounds: int = 100,
) -> Barycentre:
    """Find a diagram whose mean squared Wasserstein distance to those of a batch is least, nearby.

    From one of the diagrams on, bars move to the mean of what they are matched to, until the matchings stay;
    bars that are matched to nothing start as new ones. That is a local minimum: other starts may end in
    others. The distance is that of order 2 with ground norm 2.

    Parameters
    ----------
    d : Diagrams
        Batch of B samples. Essential bars go to each other in their order; all samples have as many.
    weights : Tensor or array of shape (B,), optional
        At least 0, and divided by their sum. None: all alike.
    start : int, optional
        The sample to start from. None: the one whose mean squared distance to the others is least.
    dims : int or sequence of int, optional
        Homology dimensions. None: all.
    max_rounds : int
        Rounds after which the search stops, converged or not.

    Returns
    -------
    Barycentre

    Raises
    ------
    InputError
        If the batch is empty, a weight is negative or all are 0, `start` is no sample, or samples differ in
        their number of essential bars.

    References
    ----------
    K. Turner, Y. Mileyko, S. Mukherjee, J. Harer. Fréchet means for distributions of persistence diagrams.
    Discrete & Computational Geometry 52, 2014.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.distances import barycentre
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [5.0, 6.0]], [[0.0, 4.0], [5.0, 5.0]]]))
    >>> mean = barycentre(d).diagrams
    >>> mean.births, mean.deaths
    (tensor([0.0000, 5.2500]), tensor([3.0000, 5.7500]))
    """
    name = "barycentre"
    if not isinstance(d, Diagrams):
        raise TypeError(f"{name}: d is a {type(d).__name__}; expected Diagrams")
    if len(d) == 0:
        raise fail(name, "d", "has no sample", "at least one")
    check_number(name, "max_rounds", max_rounds, low=1, integer=True)
    if start is not None:
        check_number(name, "start", start, low=0, high=len(d) - 1, integer=True)
    if chosen(name, d, dims) is not None:
        d = d._of_dims(name, as_dims(dims))
    shares, dtype, d = _shares(d, weights), d.dtype, d.at_least_single().filter(0.0)
    found = [_one_dimension(d.dim(k), shares, start, max_rounds) for k in d.homology_dims]
    mean = _joined(d, [each[0] for each in found])
    weight = torch.from_numpy(shares).to(d.device, d.dtype)
    distances = wasserstein_distance(Diagrams.cat([mean] * len(d)), d)
    energy = (weight[:, None] * distances.square()).sum(0)
    return Barycentre(mean.to(dtype), energy.to(dtype), all(each[1] for each in found))


def _shares(d: Diagrams, weights: Any) -> Array:
    """Return the share (B,) of each sample in the mean."""
    if weights is None:
        return np.full(len(d), 1 / len(d))
    values = as_tensor(weights).detach().cpu().double().numpy()
    if values.shape != (len(d),) or not np.isfinite(values).all() or values.min() < 0 or values.max() == 0:
        came = f"have shape {values.shape} and values from {values.min(initial=np.inf):g}"
        expected = f"{len(d)} finite numbers of at least 0, not all 0"
        raise fail("barycentre", "weights", came, expected)
    shares: Array = values / values.max() / (values / values.max()).sum()
    return shares


def _one_dimension(
    d: Diagrams, shares: Array, start: int | None, max_rounds: int
) -> tuple[tuple[torch.Tensor, torch.Tensor], bool]:
    """Return births and deaths of the barycentre of diagrams of one dimension, and whether it converged."""
    bars, infinite, keys, places = SortedBars.split("barycentre", d)
    rows, columns, converged = _rounds(bars, shares, _first(d, shares, start), max_rounds)
    births, deaths = _mean_bars(d, rows, columns, shares)
    endless = _mean_essential(d, infinite, keys, places, shares)
    return (torch.cat([births, endless[0]]), torch.cat([deaths, endless[1]])), converged


def _first(d: Diagrams, shares: Array, start: int | None) -> int:
    if start is not None or len(d) == 1:
        return int(start or 0)
    squares = host_array("barycentre", distance_matrix(d.finite())[0]).astype(np.float64) ** 2
    return int((squares @ shares).argmin())


def _rounds(bars: SortedBars, shares: Array, first: int, max_rounds: int) -> tuple[Array, Array, bool]:
    """Return which bars (places) each bar of the barycentre is the mean of: its number and theirs."""
    from topodl.kernels.vectors.bar_matching import match_bars

    unit = bars.units.max(initial=1.0) if len(bars.bars) else 1.0
    scaled, counted = bars.bars / unit, np.flatnonzero(shares)
    own = np.repeat(np.arange(len(shares)), np.diff(bars.offsets))
    rows = columns = np.zeros(0, np.int64)
    mean = scaled[bars.offsets[first] : bars.offsets[first + 1]]
    for _ in range(max_rounds):
        by_birth = mean[:, 0].argsort(kind="stable")
        at = [slice(*bars.offsets[s : s + 2]) for s in counted]
        ordered = np.ascontiguousarray(mean[by_birth])
        partners = map_batch(partial(match_bars, ordered, order=2.0, norm=2.0), [scaled[part] for part in at])
        new_rows, new_columns = _groups(partners, by_birth, at, len(mean))
        if np.array_equal(new_rows, rows) and np.array_equal(new_columns, columns):
            return rows, bars.places[columns], True
        rows, columns = new_rows, new_columns
        mean = _means(scaled[columns], rows, shares[own[columns]])
    return rows, bars.places[columns], False


def _n(rows: Array) -> int:
    return int(rows.max(initial=-1)) + 1


def _groups(partners: Sequence[Array], by_birth: Array, at: Sequence[slice], n: int) -> tuple[Array, Array]:
    """Return the number of each bar of the next barycentre and the bars that it is the mean of, by number."""
    rows, columns, next_new = [], [], n
    for partner, part in zip(partners, at, strict=True):
        matched = np.flatnonzero(partner >= 0)
        alone = np.setdiff1d(np.arange(part.stop - part.start), partner[matched])
        rows += [by_birth[matched], np.arange(next_new, next_new + len(alone))]
        columns += [part.start + partner[matched], part.start + alone]
        next_new += len(alone)
    row, column = (np.concatenate([np.zeros(0, np.int64), *each]) for each in (rows, columns))
    order = np.lexsort((column, row))
    _, numbers = np.unique(row[order], return_inverse=True)  # bars that nothing is matched to vanish
    return numbers.astype(np.int64), column[order]


def _means(bars: Array, rows: Array, shares: Array) -> Array:
    """Return the best places (n, 2) of bars among those that they are matched to and the diagonal."""
    n = _n(rows)
    middles, halves = bars.mean(1), (bars[:, 1] - bars[:, 0]) / 2
    total = np.bincount(rows, shares, n)
    middle = np.bincount(rows, shares * middles, n) / np.where(total > 0, total, 1.0)
    half = np.bincount(rows, shares * halves, n)
    return np.stack([middle - half, middle + half], 1)


def _mean_bars(d: Diagrams, rows: Array, places: Array, shares: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `_means` does, with gradient."""
    row, place = (torch.from_numpy(each).to(d.device) for each in (rows, places))
    weight = torch.from_numpy(shares).to(d.device, d.dtype)[d.samples[place]]
    births, deaths, n = d.births[place], d.deaths[place], _n(rows)
    total = segment_sum(weight, row, n)
    middle = segment_sum(weight / total[row] * (births / 2 + deaths / 2), row, n)
    half = segment_sum(weight * (deaths / 2 - births / 2), row, n)
    return middle - half, middle + half


def _mean_essential(
    d: Diagrams, bars: Array, keys: Array, places: Array, shares: Array
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean births of bars that never die, in their order, and their deaths."""
    counts, k = np.bincount(keys, minlength=len(d)), d.homology_dims[0]
    if np.isinf(bars[:, 0]).any():
        sample = int(keys[np.isinf(bars[:, 0])][0])
        raise fail("barycentre", f"d[{sample}]", f"has an infinite birth in dimension {k}", "finite births")
    other = np.flatnonzero(counts != counts[0])
    if not len(other):  # as many, but superlevel bars may be among them
        ends = np.sort(bars[:, 1].reshape(len(d), -1), 1)
        other = np.flatnonzero((ends != ends[:1]).any(1))
    if len(other):
        sample = int(other[0])
        came = f"has {counts[sample]} essential bars in dimension {k}, others than sample 0"
        expected = f"the {counts[0]} of sample 0; Diagrams.finite drops them"
        raise fail("barycentre", f"d[{sample}]", came, expected)
    order = places[np.lexsort((bars[:, 0], bars[:, 1], keys))].reshape(len(d), -1)
    at = torch.from_numpy(order).to(d.device)
    weight = torch.from_numpy(shares).to(d.device, d.dtype)
    return weight @ d.births[at], d.deaths[at[0]]


def _joined(d: Diagrams, parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Diagrams:
    """Return the diagrams of one sample that has these births and deaths in each dimension."""
    counts = [len(births) for births, _ in parts]
    dims = list(itertools.chain(*([k] * n for k, n in zip(d.homology_dims, counts, strict=True))))
    nothing = d.births[:0]
    return Diagrams(
        torch.cat([nothing, *(births for births, _ in parts)]),
        torch.cat([nothing, *(deaths for _, deaths in parts)]),
        torch.tensor(dims, dtype=torch.int64, device=d.device),
        torch.zeros(len(dims), dtype=torch.int64, device=d.device),
        n_samples=1,
        homology_dims=d.homology_dims,
    )
