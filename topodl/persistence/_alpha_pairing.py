"""Pairs of the alpha filtration of one cloud: GUDHI's Delaunay triangulation, then `kernels.alpha`.

Simplices are rows of vertices, lexicographic, padded by -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from topodl.kernels.points.alpha import (
    alpha_values,
    elder_deaths,
    read_simplices,
    reduce_triangles,
    top_deaths,
)
from topodl.persistence._batch import BarCells

__all__ = ["pair_cloud"]

_Array = npt.NDArray[Any]
_HEADER_BYTES = 16  # the serialised tree begins at one of these
_SAME = 1e-10  # radii that differ by no more than this share are those of cospherical points
_UNSURE = 1e-5  # share by which squared radii of flat simplices may be off


def pair_cloud(points: _Array, dims: Sequence[int]) -> BarCells:
    """Return the bars of positive length of one cloud (n, d) in float64, cells as rows of d + 1 vertices."""
    points = np.ldexp(points, -np.frexp(np.abs(points).max())[1])  # no overflow
    levels = _delaunay(points)
    extent = np.ptp(points, axis=0)
    points, extent = (np.ldexp(part, -np.frexp(extent.max())[1]) for part in (points, extent))
    # What ends a class has the centre of its sphere among the points, and so a bounded radius (Jung 1901);
    # larger ones are what rounding makes of points on a line.
    largest = (extent**2).sum() / 2
    top = len(levels) - 1
    faces: list[_Array] = [np.empty((0, 0), np.int64)] * (top + 2)
    values = [np.zeros(len(level)) for level in levels]
    for k in range(top, 0, -1):
        above = values[k + 1] if k < top else np.empty(0)
        values[k] = alpha_values(points, levels[k], _with_opposite(faces, levels, k + 1), above, k + 1)
        faces[k] = _faces(levels[k], levels[k - 1], len(points))
    for k in range(2, top + 1):  # rounding must not let a simplex enter before its faces
        np.maximum(values[k], values[k - 1][faces[k]].max(1), out=values[k])
    pairs = _pairs(levels, faces, values, top)
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


def _are_short(points: _Array, simplices: _Array, births: _Array, deaths: _Array) -> _Array:
    """Return which bars have no length but for rounding, by squared radii and the simplices of birth."""
    short = deaths <= births * (1 + _SAME)
    # Nothing is born by a simplex that enters with a coface; but the radii of slivers of cospherical points
    # are less certain than others.
    unsure = np.flatnonzero(~short & (deaths <= births * (1 + _UNSURE)))
    size = simplices.shape[1]
    nothing = np.empty((0, 2 * size + 2), np.int64)
    own = alpha_values(points, simplices[unsure], nothing, np.empty(0), size)
    short[unsure] = own < births[unsure] * (1 - _UNSURE)
    return short


def _padded(levels: list[_Array], dim: int, simplices: _Array, n_dims: int) -> _Array:
    cells = np.full((len(simplices), n_dims + 1), -1, np.int64)
    if len(simplices):
        cells[:, : dim + 1] = levels[dim][simplices]
    return cells


def _delaunay(points: _Array) -> list[_Array]:
    """Return the simplices of dimension 0, 1, … of the Delaunay triangulation, without duplicate points."""
    from gudhi import DelaunayComplex

    tree = DelaunayComplex(points=points).create_simplex_tree(filtration=None)
    simplices, counts = _read_stream(tree) or _ask_for_simplices(tree)
    ends = np.cumsum(counts)[:-1]
    return [np.ascontiguousarray(level[:, : k + 1]) for k, level in enumerate(np.split(simplices, ends))]


def _read_stream(tree: Any) -> tuple[_Array, _Array] | None:
    """Return the simplices of GUDHI's serial form and their numbers by dimension, if the form is known."""
    if not hasattr(tree, "num_simplices_by_dimension"):  # before GUDHI 3.13
        return None
    counts = np.array(tree.num_simplices_by_dimension(), np.int64)
    stream = np.asarray(tree.__getstate__()).view(np.uint8)
    for place in range(min(_HEADER_BYTES, len(stream))):
        simplices, end = read_simplices(stream, place, counts)
        if end == len(stream):
            return simplices, counts
    return None


def _ask_for_simplices(tree: Any) -> tuple[_Array, _Array]:
    """Return what `_read_stream` does from any version of GUDHI, but slower."""
    rows = sorted((simplex for simplex, _ in tree.get_simplices()), key=lambda s: (len(s), s))
    counts = np.bincount([len(row) - 1 for row in rows])
    simplices = np.array([row + [-1] * (len(counts) - len(row)) for row in rows], np.int64)
    return simplices, counts


def _faces(simplices: _Array, lower: _Array, n: int) -> _Array:
    """Return (m, k + 1) places in `lower` of the faces of `simplices`, the face opposite to each vertex."""
    size = simplices.shape[1]
    weights = n ** np.arange(size - 2, -1, -1)
    keys = lower @ weights
    sides = [np.delete(simplices, c, 1) @ weights for c in range(size)]
    return np.stack([np.searchsorted(keys, side) for side in sides], 1)


def _with_opposite(faces: list[_Array], levels: list[_Array], k: int) -> _Array:
    if k >= len(levels):
        return np.empty((0, 2 * k + 2), np.int64)
    return np.concatenate((faces[k], levels[k]), 1)


def _order(values: _Array) -> tuple[_Array, _Array]:
    order = np.argsort(values, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return order, rank


def _pairs(
    levels: list[_Array], faces: list[_Array], values: list[_Array], top: int
) -> dict[int, tuple[_Array, _Array]]:
    """Return births and deaths, as places in the simplices of their dimensions, for every dimension."""
    pairs: dict[int, tuple[_Array, _Array]] = {}
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
