"""Persistence of filtered cell complexes of any dimension, simplices and rings alike, differentiable.

Cells are ordered by (value, dimension, index). Components come by union-find, all else by cohomology on the
tables of cofaces; a batch is one complex.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch

from topodl._checks import check_number, fail
from topodl._host import host_arrays
from topodl._precision import at_least_single
from topodl.complexes._input import Array
from topodl.complexes._pairing import HostTables, host_tables, pair_cells, reject_early_cells_of
from topodl.complexes.cell_complexes import CellComplexes
from topodl.diagrams import Diagrams
from topodl.kernels.complexes.cohomology import cells_by_level, cells_in_order, levels_of_faces
from topodl.kernels.shared.pool import map_batch
from topodl.persistence._batch import assemble, homology_dims_of, to_device

__all__ = ["complex_persistence"]

_NAME = "complex_persistence"


def complex_persistence(
    complexes: CellComplexes,
    dims: int | Iterable[int] | None = None,
    superlevel: bool = False,
    min_persistence: float = 0.0,
) -> Diagrams:
    """Compute the persistent homology of each complex of a batch, filtered by the values of its cells.

    Births and deaths are gathered from the values, so gradients of any order reach the critical cells and
    whatever their values were made of.

    Parameters
    ----------
    complexes : CellComplexes
        With values, (S_k,) or F filtrations (S_k, F) of the same cells; no cell enters before its faces.
    dims : int or iterable of int, optional
        Homology dimensions up to the largest of the cells. By default those below it, or 0: in the largest
        one nothing is there that could fill a class, so all of its classes live forever.
    superlevel : bool
        Whether cells enter by falling values, as `CellComplexes.with_values` makes them with ``rule="min"``.
    min_persistence : float
        Only bars longer than this are returned.

    Returns
    -------
    Diagrams
        One sample for each complex, or complex and filtration: sample ``i * F + f``. `birth_cells` and
        `death_cells` (P, 1) are indices of cells: of those of the bar's dimension, and of those one above,
        -1 for classes that live forever. They die at +inf (superlevel: −inf).

    Raises
    ------
    InputError
        If there are no values, one is NaN, a cell enters before a face of its own (the message names both),
        or there is no dimension of `dims`.
    TypeError
        If `complexes` are no `CellComplexes`.

    References
    ----------
    V. de Silva, D. Morozov, M. Vejdemo-Johansson, "Dualities in persistent (co)homology", Inverse Problems
    27, 2011. U. Bauer, "Ripser: efficient computation of Vietoris–Rips persistence barcodes", 2021.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.complexes import clique_complexes
    >>> square = clique_complexes(torch.tensor([[0, 1, 2, 0, 0], [1, 2, 3, 3, 2]]))
    >>> values = [torch.zeros(4), torch.tensor([1.0, 3.0, 1.0, 1.0, 1.0])]
    >>> topodl.complex_persistence(square.with_values(values), dims=(0, 1))
    Diagrams(1 sample; H0: 4 bars, 1 essential; H1: 1 bar; float32, cpu)
    """
    if not isinstance(complexes, CellComplexes):
        raise TypeError(f"{_NAME}: complexes is a {type(complexes).__name__}; expected CellComplexes")
    check_number(_NAME, "min_persistence", min_persistence, low=0.0)
    if not complexes.has_values:
        raise fail(_NAME, "complexes", "have no values", "some, by CellComplexes.with_values")
    wanted = range(max(complexes.dim, 1)) if dims is None else dims
    homology_dims = homology_dims_of(_NAME, wanted)
    if homology_dims[-1] > complexes.dim:
        raise fail(_NAME, "dims", f"has {homology_dims[-1]}", f"dimensions from 0 to {complexes.dim}")
    n_columns = complexes.values(0).shape[1] if complexes.values(0).ndim == 2 else 1
    top = min(homology_dims[-1] + 1, complexes.dim)
    columns = _columns(complexes, top, superlevel)
    tables = host_tables(complexes, top, min(homology_dims[-1], complexes.dim - 1))
    ends = map_batch(
        lambda f: _bars(complexes, tables, [x[f] for x in columns], homology_dims, min_persistence),
        range(n_columns),
    )
    return _gathered(complexes, tables, ends, homology_dims, superlevel)


def _columns(complexes: CellComplexes, top: int, superlevel: bool) -> list[Array]:
    """Return the values (F, S_k) of dimensions up to `top` on the host, so that cells enter as they rise."""
    columns = []
    for values in host_arrays(_NAME, [at_least_single(complexes.values(k)) for k in range(top + 1)]):
        rising = -values if superlevel else values
        columns.append(np.ascontiguousarray(rising.T) if rising.ndim == 2 else rising[None])
    return columns


def _bars(
    complexes: CellComplexes,
    tables: HostTables,
    values: list[Array],
    homology_dims: list[int],
    min_persistence: float,
) -> list[tuple[Array, Array]]:
    """Return the cells of birth and of death, -1 for never, of one filtration, for each of the dimensions."""
    orders, ranks = _as_they_enter(complexes, tables, values)
    pairs = pair_cells(complexes, tables, orders, ranks, homology_dims[-1])
    bars = []
    for k in homology_dims:
        killers, born = pairs[k]
        births = np.flatnonzero(born & (values[k] < math.inf))  # what is at inf never enters
        deaths = killers[births]
        lengths = np.full(len(births), math.inf, values[k].dtype)
        dies = deaths >= 0
        if dies.any():
            lengths[dies] = values[k + 1][deaths[dies]] - values[k][births[dies]]
        kept = lengths > min_persistence
        bars.append((births[kept], deaths[kept]))
    return bars


def _as_they_enter(
    complexes: CellComplexes, tables: HostTables, values: list[Array]
) -> tuple[list[Array], list[Array]]:
    """Return the cells of each dimension by (sample, value, index), and the place of each in that.

    Where all have the value of a face, as mostly, they need no sorting by values.
    """
    orders, ranks = [], []
    levels, n_levels = np.zeros(0, np.int64), 0
    for k, x in enumerate(values):
        # none where values are their own
        found = levels_of_faces(x, values[k - 1], levels, *tables.faces[k]) if k else None
        if found is not None and len(found) == len(x):
            order, rank = cells_by_level(found, n_levels)
            levels = found
        else:
            reject_early_cells_of(_NAME, complexes, tables, values, k)
            order, rank, levels = cells_in_order(x.view(f"i{x.itemsize}"), tables.offsets[k])
            n_levels = len(x)
        orders.append(order)
        ranks.append(rank)
    return orders, ranks


def _gathered(
    complexes: CellComplexes,
    tables: HostTables,
    ends: list[list[tuple[Array, Array]]],
    homology_dims: list[int],
    superlevel: bool,
) -> Diagrams:
    """Return the diagrams of the cells of birth and death of each filtration and dimension."""
    n_columns = len(ends)
    top = min(homology_dims[-1] + 1, complexes.dim)
    flat = torch.cat([complexes.values(k).reshape(-1) for k in range(top + 1)])
    starts = np.cumsum([0, *(complexes.n_cells(k) * n_columns for k in range(top + 1))])
    never = len(flat)
    parts = []
    for f, of_dims in enumerate(ends):
        for k, (births, deaths) in zip(homology_dims, of_dims, strict=True):
            samples = np.searchsorted(tables.offsets[k], births, side="right") - 1
            dies = deaths >= 0
            death_at = np.where(dies, starts[min(k + 1, top)] + deaths * n_columns + f, never)
            dim = np.full(len(births), k)
            birth_at = starts[k] + births * n_columns + f
            parts.append(np.stack((samples * n_columns + f, dim, births, deaths, birth_at, death_at)))
    table = np.concatenate(parts, 1)
    table = table[:, np.argsort(table[0] * (complexes.dim + 1) + table[1], kind="stable")]
    packed = to_device(np.ascontiguousarray(table), complexes.device)
    end = flat.new_full((1,), -math.inf if superlevel else math.inf)
    values = torch.cat((flat, end))
    n_samples = complexes.n_samples * n_columns
    born, died = values.index_select(0, packed[4]), values.index_select(0, packed[5])
    return assemble(packed[:4], born, died, n_samples, homology_dims, in_order=True)
