"""Pairs of the alpha filtration of one cloud, by `kernels.points.alpha`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topodl.complexes._alpha_filtration import Array, alpha_filtration
from topodl.kernels.points.alpha import alpha_values, elder_deaths, reduce_triangles, top_deaths
from topodl.persistence._batch import BarCells

__all__ = ["pair_cloud"]

_SAME = 1e-10  # radii that differ by no more than this share are those of cospherical points
_UNSURE = 1e-5  # share by which squared radii of flat simplices may be off


def pair_cloud(points: Array, dims: Sequence[int]) -> BarCells:
    """Return the bars of positive length of one cloud (n, d) in float64, cells as rows of d + 1 vertices."""
    points, _, levels, faces, values, _ = alpha_filtration(points)
    # What ends a class has the centre of its sphere among the points, and so a bounded radius (Jung 1901);
    # larger ones are what rounding makes of points on a line.
    largest = (np.ptp(points, axis=0) ** 2).sum() / 2
    pairs = _pairs(levels, faces, values)
    bars = []
    for dim in dims:
        births, deaths = pairs.get(dim, (np.empty(0, np.int64), np.empty(0, np.int64)))
        if dim > 0 and len(births):
            short = _are_short(points, levels[dim][births], values[dim][births], values[dim + 1][deaths])
            kept = ~short & (values[dim + 1][deaths] <= largest)
            births, deaths = births[kept], deaths[kept]
        birth_cells, death_cells = (
            _padded(levels, k, ids, points.shape[1]) for k, ids in ((dim, births), (dim + 1, deaths))
        )
        if dim == 0:  # one component lives forever, born at the smallest vertex
            first = np.full((1, points.shape[1] + 1), -1, np.int64)
            first[0, 0] = levels[0][0, 0]
            birth_cells, death_cells = (
                np.concatenate((birth_cells, first)),
                np.concatenate((death_cells, 0 * first - 1)),
            )
        bars.append((dim, birth_cells, death_cells))
    return bars


def _are_short(points: Array, simplices: Array, births: Array, deaths: Array) -> Array:
    """Return which bars have no length but for rounding, by squared radii and the simplices of birth."""
    short = deaths <= births * (1 + _SAME)
    # Nothing is born by a simplex that enters with a coface; but the radii of slivers of cospherical points
    # are less certain than others.
    unsure = np.flatnonzero(~short & (deaths <= births * (1 + _UNSURE)))
    size = simplices.shape[1]
    nothing = np.empty((0, 2 * size + 2), np.int64)
    own, _ = alpha_values(points, simplices[unsure], nothing, np.empty(0), size)
    short[unsure] = own < births[unsure] * (1 - _UNSURE)
    return short


def _padded(levels: list[Array], dim: int, simplices: Array, n_dims: int) -> Array:
    cells = np.full((len(simplices), n_dims + 1), -1, np.int64)
    if len(simplices):
        cells[:, : dim + 1] = levels[dim][simplices]
    return cells


def _order(values: Array) -> tuple[Array, Array]:
    order = np.argsort(values, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return order, rank


def _pairs(levels: list[Array], faces: list[Array], values: list[Array]) -> dict[int, tuple[Array, Array]]:
    """Return births and deaths, as places in the simplices of their dimensions, for every dimension."""
    pairs: dict[int, tuple[Array, Array]] = {}
    top = len(levels) - 1
    if top == 0:
        return pairs
    edge_order, edge_rank = _order(values[1])
    dying, _ = elder_deaths(len(levels[0]), faces[1][edge_order][:, ::-1])
    joins = np.flatnonzero(dying >= 0)
    pairs[0] = dying[joins], edge_order[joins]
    if top == 1:
        return pairs
    facet_order, _ = _order(values[top - 1])
    _, cell_rank = _order(values[top])
    filled = top_deaths(faces[top], len(levels[top - 1]), facet_order[::-1].copy(), cell_rank)
    closing = facet_order[filled[facet_order] >= 0]
    pairs[top - 1] = closing, filled[closing]
    if top == 3:
        left = facet_order[filled[facet_order] < 0]
        columns = -np.sort(-edge_rank[faces[2][left]], axis=1)
        killed = reduce_triangles(columns, len(edge_order))
        pairs[1] = edge_order[killed], left
    return pairs
