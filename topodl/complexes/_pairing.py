"""Pairs of all dimensions of a filtered complex: components by union-find, the rest by cohomology."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topodl._checks import fail
from topodl._host import host_array
from topodl.complexes._input import Array, names_of_cells
from topodl.complexes._jagged_cells import JaggedCells
from topodl.kernels.complexes.cohomology import early_cell, kill_classes, kill_components

__all__ = ["pair_cells", "reject_early_cells", "reject_early_cells_of"]

_NAME = "CellComplexes"


def pair_cells(
    complexes: JaggedCells, orders: Sequence[Array], ranks: Sequence[Array], top: int
) -> list[tuple[Array, Array]]:
    """Return for each dimension up to `top` what kills the class of each cell, and which cells give birth.

    Parameters
    ----------
    complexes : JaggedCells
        With the tables of faces and cofaces.
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
            ends = host_array(_NAME, complexes.faces(1).members)
            killers = kill_components(orders[1], ends, orders[0], ranks[0])
        else:
            lists = complexes.cofaces(k)
            cofaces, offsets = (host_array(_NAME, each) for each in (lists.members, lists.offsets))
            killers = kill_classes(orders[k], negative, cofaces, offsets, orders[k + 1], ranks[k + 1])
        pairs.append((killers, ~negative))
        if k < complexes.dim:
            negative = np.zeros(len(orders[k + 1]) if k < top else 0, bool)
            if k < top:
                negative[killers[killers >= 0]] = True
    return pairs


def reject_early_cells(function: str, complexes: JaggedCells, values: Sequence[Array]) -> None:
    """Raise the error that names the first cell without a number, or that enters before a face of its own."""
    for k in range(len(values)):
        reject_early_cells_of(function, complexes, values, k)


def reject_early_cells_of(function: str, complexes: JaggedCells, values: Sequence[Array], k: int) -> None:
    """Raise that error for the cells of dimension `k`."""
    if k == 0:
        where = np.flatnonzero(np.isnan(values[0]))
        if len(where):
            raise fail(function, "complexes", f"have NaN at vertex {where[0]}", "numbers")
        return
    faces = complexes.faces(k)
    members, offsets = (host_array(function, each) for each in (faces.members, faces.offsets))
    cell = early_cell(values[k], values[k - 1], members, offsets)
    if cell < 0:
        return
    sample, name = int(complexes.samples(k)[cell]), names_of_cells(k, complexes.has_rings)
    what = f"{tuple(complexes.vertices(k)[cell].tolist())} of the {name} of sample {sample}"
    if np.isnan(values[k][cell]):
        raise fail(function, "complexes", f"have NaN at {what}", "numbers")
    came = f"have {what} enter before its faces"
    raise fail(function, "complexes", came, "values that no face exceeds (superlevel: none is below)")
