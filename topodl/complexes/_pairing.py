"""Pairs of all dimensions of a filtered complex: components by union-find, the rest by cohomology."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from topodl._checks import fail
from topodl._host import host_arrays
from topodl.complexes._input import Array, names_of_cells
from topodl.complexes._jagged_cells import JaggedCells
from topodl.kernels.complexes.cohomology import early_cell, kill_classes, kill_components

__all__ = ["HostTables", "host_tables", "pair_cells", "reject_early_cells", "reject_early_cells_of"]

_NAME = "CellComplexes"


class HostTables(NamedTuple):
    """Tables of complexes on the host, by dimension; of faces and cofaces the members and the offsets."""

    offsets: dict[int, Array]
    faces: dict[int, tuple[Array, Array]]
    cofaces: dict[int, tuple[Array, Array]]


def host_tables(complexes: JaggedCells, top: int, top_cofaces: int = 0) -> HostTables:
    """Return the tables of dimensions up to `top`, with cofaces from 1 to `top_cofaces`, by one copy."""
    faces = {k: complexes.faces(k) for k in range(1, top + 1)}
    cofaces = {k: complexes.cofaces(k) for k in range(1, top_cofaces + 1)}
    lists = [*faces.values(), *cofaces.values()]
    parts = [complexes.offsets(k) for k in range(top + 1)]
    parts += [part for each in lists for part in (each.members, each.offsets)]
    arrays = iter(host_arrays(_NAME, parts))
    offsets = {k: next(arrays) for k in range(top + 1)}
    return HostTables(
        offsets, *({k: (next(arrays), next(arrays)) for k in each} for each in (faces, cofaces))
    )


def pair_cells(
    complexes: JaggedCells, tables: HostTables, orders: Sequence[Array], ranks: Sequence[Array], top: int
) -> list[tuple[Array, Array]]:
    """Return for each dimension up to `top` what kills the class of each cell, and which cells give birth.

    Parameters
    ----------
    complexes : JaggedCells
    tables : HostTables
        Of the dimensions up to ``top + 1``, or the largest, with cofaces of those up to `top` below it.
    orders, ranks : sequence of arrays (S_k,), int64
        The cells of each dimension up to ``top + 1``, or the largest, as they enter, and the place of each
        in that.
    top : int
        The largest dimension of a class.

    Returns
    -------
    list of (array (S_k,) int64, array (S_k,) bool)
        Killers are cells of the dimension above, -1 where the class never dies or none is born.
    """
    pairs = []
    negative = np.zeros(len(orders[0]), bool)
    for k in range(top + 1):
        if k == complexes.dim:
            killers = np.full(len(orders[k]), -1)
        elif k == 0:
            killers = kill_components(orders[1], tables.faces[1][0], orders[0], ranks[0])
        else:
            killers = kill_classes(orders[k], negative, *tables.cofaces[k], orders[k + 1], ranks[k + 1])
        pairs.append((killers, ~negative))
        if k < complexes.dim:
            negative = np.zeros(len(orders[k + 1]) if k < top else 0, bool)
            if k < top:
                negative[killers[killers >= 0]] = True
    return pairs


def reject_early_cells(function: str, complexes: JaggedCells, *filtrations: Sequence[Array]) -> None:
    """Raise the error that names the first cell without a number, or that enters before a face of its own."""
    tables = host_tables(complexes, complexes.dim)
    for values in filtrations:
        for k in range(len(values)):
            reject_early_cells_of(function, complexes, tables, values, k)


def reject_early_cells_of(
    function: str, complexes: JaggedCells, tables: HostTables, values: Sequence[Array], k: int
) -> None:
    """Raise that error for the cells of dimension `k`."""
    if k == 0:
        where = np.flatnonzero(np.isnan(values[0]))
        if len(where):
            raise fail(function, "complexes", f"have NaN at vertex {where[0]}", "numbers")
        return
    cell = early_cell(values[k], values[k - 1], *tables.faces[k])
    if cell < 0:
        return
    sample, name = int(complexes.samples(k)[cell]), names_of_cells(k, complexes.has_rings)
    what = f"{tuple(complexes.vertices(k)[cell].tolist())} of the {name} of sample {sample}"
    if np.isnan(values[k][cell]):
        raise fail(function, "complexes", f"have NaN at {what}", "numbers")
    came = f"have {what} enter before its faces"
    raise fail(function, "complexes", came, "values that no face exceeds (superlevel: none is below)")
