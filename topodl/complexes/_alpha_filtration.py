"""Alpha filtration of one cloud: GUDHI's Delaunay triangulation, then `kernels.points.alpha`.

Simplices are rows of vertices, lexicographic.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.linalg import vector_norm

from topodl.kernels.points.alpha import alpha_values, read_simplices

__all__ = ["AlphaFiltration", "alpha_filtration", "circumradii"]

Array = npt.NDArray[Any]
_HEADER_BYTES = 16  # the serialised tree begins at one of these
_LEAST_VOLUME = 1e-300  # of simplices of size 1: less has a radius, or a gradient, that overflows


class AlphaFiltration(NamedTuple):
    """The Delaunay simplices of a cloud by dimension, without duplicate points, and when they enter.

    Attributes
    ----------
    points : (n, d) float64
        The points in a unit in which nothing overflows, 2 ** exponent of that in which they came.
    exponent : int
        Of that unit.
    levels : list of (m, k + 1) int64
        Vertices of the simplices of dimension k.
    faces : list of (m, k + 1) int64
        Places in the level below of the faces opposite to each vertex; of no use for k = 0.
    values : list of (m,) float64
        Squares of radii, in the unit of `points`.
    sources : list of (m,) int64
        Which simplex has the sphere that each one enters with, counted through all levels; empty where it
        was not asked for.
    """

    points: Array
    exponent: int
    levels: list[Array]
    faces: list[Array]
    values: list[Array]
    sources: list[Array]


def alpha_filtration(points: Array, with_sources: bool = False) -> AlphaFiltration:
    """Return the alpha filtration of points (n, d) in float64; no simplex enters before its faces."""
    exponent = int(np.frexp(np.abs(points).max())[1])
    points = np.ldexp(points, -exponent)  # no overflow
    levels = _delaunay(points)
    rise = int(np.frexp(np.ptp(points, axis=0).max())[1])
    points, top = np.ldexp(points, -rise), len(levels) - 1
    faces: list[Array] = [np.empty((0, 0), np.int64)] * (top + 2)
    values = [np.zeros(len(level)) for level in levels]
    firsts = []
    for k in range(top, 0, -1):
        above = values[k + 1] if k < top else np.empty(0)
        cofaces = _with_opposite(faces, levels, k + 1)
        values[k], first = alpha_values(points, levels[k], cofaces, above, k + 1)
        firsts.append(first)
        faces[k] = _faces(levels[k], levels[k - 1], len(points))
    own = [level.copy() for level in values] if with_sources else []
    for k in range(2, top + 1):  # rounding must not let a simplex enter before its faces
        np.maximum(values[k], values[k - 1][faces[k]].max(1), out=values[k])
    sources = _sources(firsts[::-1], own, faces, values) if with_sources else []
    return AlphaFiltration(points, exponent + rise, levels, faces[: top + 1], values, sources)


def _sources(firsts: list[Array], own: list[Array], faces: list[Array], values: list[Array]) -> list[Array]:
    """Return whose sphere each simplex enters with: its own, its first coface's, or its latest face's.

    `firsts` are the cofaces that those of dimension 1, 2, … enter with, or -1; `own` the values before those
    of faces were looked at.
    """
    starts = np.cumsum([0, *map(len, values)])
    sources = [start + np.arange(len(level)) for start, level in zip(starts, values, strict=False)]
    for k in range(len(firsts) - 1, 0, -1):
        sources[k] = np.where(firsts[k - 1] < 0, sources[k], sources[k + 1][firsts[k - 1]])
    for k in range(2, len(values)):
        early = np.flatnonzero(own[k] < values[k])
        latest = values[k - 1][faces[k][early]].argmax(1)
        sources[k][early] = sources[k - 1][faces[k][early, latest]]
    return sources


def _delaunay(points: Array) -> list[Array]:
    """Return the simplices of dimension 0, 1, … of the Delaunay triangulation, without duplicate points."""
    from gudhi import DelaunayComplex

    tree = DelaunayComplex(points=points).create_simplex_tree(filtration=None)
    simplices, counts = _read_stream(tree) or _ask_for_simplices(tree)
    ends = np.cumsum(counts)[:-1]
    return [np.ascontiguousarray(level[:, : k + 1]) for k, level in enumerate(np.split(simplices, ends))]


def _read_stream(tree: Any) -> tuple[Array, Array] | None:
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


def _ask_for_simplices(tree: Any) -> tuple[Array, Array]:
    """Return what `_read_stream` does from any version of GUDHI, but slower."""
    rows = sorted((simplex for simplex, _ in tree.get_simplices()), key=lambda s: (len(s), s))
    counts = np.bincount([len(row) - 1 for row in rows])
    simplices = np.array([row + [-1] * (len(counts) - len(row)) for row in rows], np.int64)
    return simplices, counts


def _faces(simplices: Array, lower: Array, n: int) -> Array:
    """Return (m, k + 1) places in `lower` of the faces of `simplices`, the face opposite to each vertex."""
    size = simplices.shape[1]
    weights = n ** np.arange(size - 2, -1, -1)
    keys = lower @ weights
    sides = [np.delete(simplices, c, 1) @ weights for c in range(size)]
    return np.stack([np.searchsorted(keys, side) for side in sides], 1)


def _with_opposite(faces: list[Array], levels: list[Array], k: int) -> Array:
    if k >= len(levels):
        return np.empty((0, 2 * k + 2), np.int64)
    return np.concatenate((faces[k], levels[k]), 1)


def circumradii(points: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Return the radii of the smallest spheres through the vertices `cells` (P, d + 1), in float64.

    Cells are padded by -1; single points have radius 0, and flat cells inf, without gradient. With the edges
    a, b, c from the first vertex, radii are |a| / 2, |a| |b| |a − b| / 2 |a × b|, and, for four vertices, the
    length of |a|² b × c + |b|² c × a + |c|² a × b over 2 |a · (b × c)|.
    """
    missing = cells[:, 1:] < 0
    corners = (
        points.double().index_select(0, cells.clamp(min=0).reshape(-1)).reshape(*cells.shape, points.shape[1])
    )
    edges = (corners[:, 1:] - corners[:, :1]).masked_fill(missing[..., None], 0.0)
    scale = edges.detach().abs().amax((1, 2))
    scale = scale.masked_fill(scale == 0.0, 1.0)  # products neither overflow nor vanish
    (a, b, *others), (no_edge, no_triangle, *_) = (edges / scale[:, None, None]).unbind(1), missing.unbind(1)
    axes = torch.eye(points.shape[1], dtype=edges.dtype, device=edges.device)
    a = torch.where(no_edge[:, None], axes[0], a)
    radii = vector_norm(a, dim=1) / 2
    # in place of what is missing stands what has a sphere, or gradients were NaN
    a, b = torch.where(no_triangle[:, None], axes[0], a), torch.where(no_triangle[:, None], axes[1], b)
    sides = vector_norm(a, dim=1) * vector_norm(b, dim=1) * vector_norm(a - b, dim=1)
    if not others:
        area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs()
        radii = torch.where(no_triangle, radii, _over(sides, 2 * area))
    else:
        normal, flat = torch.linalg.cross(a, b), missing[:, 2]
        radii = torch.where(no_triangle, radii, _over(sides, 2 * vector_norm(normal, dim=1)))
        c = torch.where(flat[:, None], normal, others[0])
        first, second, third = ((edge * edge).sum(1, keepdim=True) for edge in (a, b, c))
        arm = first * torch.linalg.cross(b, c) + second * torch.linalg.cross(c, a) + third * normal
        radii = torch.where(flat, radii, _over(vector_norm(arm, dim=1), 2 * (normal * c).sum(1).abs()))
    return radii.masked_fill(no_edge, 0.0) * scale


def _over(lengths: torch.Tensor, volumes: torch.Tensor) -> torch.Tensor:
    flat = volumes < _LEAST_VOLUME
    return torch.where(flat, math.inf, lengths / volumes.masked_fill(flat, 1.0))
