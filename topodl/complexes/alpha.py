"""Alpha complexes of clouds in the plane or in space, with differentiable values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from topodl._checks import fail
from topodl._clouds import as_clouds, checked_clouds
from topodl._host import has_gradient, host_array
from topodl._precision import at_least_single
from topodl.complexes._alpha_filtration import AlphaFiltration, alpha_filtration, circumradii
from topodl.complexes._input import Array
from topodl.complexes.cell_complexes import CellComplexes
from topodl.kernels.shared.pool import map_batch

__all__ = ["alpha_complexes"]

_NAME = "alpha_complexes"
_EXPECTED = "finite points of shape (B, N, 2) or (B, N, 3), or a list of (N_i, 2) or (N_i, 3)"


class _Cells(NamedTuple):
    """The simplices of one cloud by dimension, and of the spheres that they enter with, which each has.

    `vertices` (m, k + 1), `faces` (m, k + 1), `radii` (m,) and `spheres` (m,), rows of `corners` (c, d + 1),
    which are padded by -1.
    """

    vertices: list[Array]
    faces: list[Array]
    radii: list[Array]
    spheres: list[Array]
    corners: Array


def alpha_complexes(x: torch.Tensor | Sequence[torch.Tensor]) -> CellComplexes:
    """Return the alpha complex of each cloud: the simplices of its Delaunay triangulation, with radii.

    A simplex has as its value the radius (not squared) of the smallest sphere through its vertices, or, if
    another point lies in that, the value of its first coface; vertices have 0. Gradients of any order reach
    the vertices of that sphere.

    Parameters
    ----------
    x : Tensor of shape (B, N, 2) or (B, N, 3), or sequence of B tensors of shape (N_i, 2) or (N_i, 3)
        Point clouds, not empty. Each may be a `Data` of PyTorch Geometric, whose points are its ``pos``.

    Returns
    -------
    CellComplexes
        B samples of simplices up to dimension 2 or 3, on the device of `x`, with values in its dtype.

    Raises
    ------
    InputError
        If a cloud is empty, has NaN or infinite coordinates, or is not in two or three dimensions; the
        message names the sample.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    Notes
    -----
    Of coinciding points one is triangulated; an edge of value 0 joins each of the others to it, without
    gradient. Of cospherical points it is any triangulation. Simplices of points that are coplanar up to
    rounding may have huge values: `topodl.alpha_persistence` leaves out the bars that are rounding's.

    References
    ----------
    H. Edelsbrunner, E. P. Mücke, "Three-dimensional alpha shapes", ACM Transactions on Graphics 13, 1994.
    GUDHI, "Alpha complex" (the triangulation).

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import alpha_complexes
    >>> triangle = torch.tensor([[[0.0, 0.0], [4.0, 0.0], [2.0, 1.0]]])
    >>> complexes = alpha_complexes(triangle)
    >>> complexes
    CellComplexes(1 sample; 3 vertices, 3 edges, 1 triangle; values float32; cpu)
    >>> complexes.values(1), complexes.values(2)
    (tensor([2.5000, 1.1180, 1.1180]), tensor([2.5000]))
    """
    points, sizes = as_clouds(_NAME, x, _EXPECTED)
    flat = points.reshape(-1, points.shape[-1])
    if flat.shape[1] not in (2, 3):
        raise fail(_NAME, "x", f"has points in {flat.shape[1]} dimensions", _EXPECTED)
    host = host_array(_NAME, at_least_single(flat))
    clouds = checked_clouds(_NAME, host, sizes, points.dtype, _EXPECTED)
    samples: list[_Cells] = map_batch(
        lambda cloud: _cells_of(cloud.astype(np.float64, copy=False)),
        clouds,
    )
    n_dims = flat.shape[1]
    sizes_of = [list(sizes), *([len(each.vertices[k]) for each in samples] for k in range(1, n_dims + 1))]
    offsets = [np.array([0, *itertools.accumulate(of)], dtype=np.int64) for of in sizes_of]
    vertices, faces = [], []
    for k in range(1, n_dims + 1):
        vertices.append(_joined([each.vertices[k] for each in samples], offsets[0], k + 1))
        faces.append(_joined([each.faces[k] for each in samples], offsets[k - 1], k + 1))
    complexes = CellComplexes._from_tables(offsets[0], vertices, faces, offsets[1:], points.device)
    return complexes.with_values(_values(flat, samples, offsets[0]))


def _joined(tables: Sequence[Array], starts: Array, width: int) -> Array:
    """Return the tables (m, width) of all samples as one, each counted on from where its sample starts."""
    shifted = [table + start for table, start in zip(tables, starts, strict=False)]
    return np.concatenate([np.empty((0, width), np.int64), *shifted])


def _cells_of(points: Array) -> _Cells:
    """Return the simplices of one cloud (n, d) in float64; all its points are vertices."""
    n, n_dims = points.shape
    filtration = alpha_filtration(points, with_sources=True)
    needed = np.zeros(sum(map(len, filtration.levels)), np.bool_)
    for sources in filtration.sources:
        needed[sources] = True
    corners = np.concatenate(
        [
            np.pad(level, ((0, 0), (0, n_dims - k)), constant_values=-1)
            for k, level in enumerate(filtration.levels)
        ]
    )[needed]
    row = np.cumsum(needed) - 1
    kept = filtration.levels[0][:, 0]
    cells = _Cells([np.arange(n)[:, None]], [np.empty((n, 0), np.int64)], [np.zeros(n)], [], corners)
    cells.spheres.append(np.zeros(n, np.int64))
    for k in range(1, n_dims + 1):
        if k >= len(filtration.levels):
            cells.vertices.append(np.empty((0, k + 1), np.int64))
            cells.faces.append(np.empty((0, k + 1), np.int64))
            cells.radii.append(np.empty(0))
            cells.spheres.append(np.empty(0, np.int64))
            continue
        cells.vertices.append(filtration.levels[k])
        cells.faces.append(kept[filtration.faces[k]] if k == 1 else filtration.faces[k])
        cells.radii.append(np.ldexp(np.sqrt(filtration.values[k]), filtration.exponent))
        cells.spheres.append(row[filtration.sources[k]])
    return cells if len(kept) == n else _with_copies(cells, filtration, n)


def _with_copies(cells: _Cells, filtration: AlphaFiltration, n: int) -> _Cells:
    """Return the simplices with an edge from each point that was left out to the one where it lies."""
    kept = filtration.levels[0][:, 0]
    # a sum with 0 has no sign of zero
    group = np.unique(filtration.points + 0.0, axis=0, return_inverse=True)[1].reshape(-1)
    keeper = np.empty(n, np.int64)
    keeper[group[kept]] = kept
    left = np.setdiff1d(np.arange(n), kept)
    copies = np.sort(np.stack((left, keeper[group[left]]), 1), axis=1)
    edges = np.concatenate((cells.vertices[1], copies))
    order = np.lexsort(edges.T[::-1])
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    cells.vertices[1] = edges[order]
    cells.faces[1] = edges[order][:, ::-1]
    cells.faces[2] = place[cells.faces[2]]
    nothing = np.zeros(len(copies))  # a single point is the first of the spheres
    cells.radii[1] = np.concatenate((cells.radii[1], nothing))[order]
    cells.spheres[1] = np.concatenate((cells.spheres[1], nothing.astype(np.int64)))[order]
    return cells


def _values(points: torch.Tensor, samples: Sequence[_Cells], offsets: Array) -> list[torch.Tensor]:
    """Return the values of each dimension in the dtype of the `points` (N, d), with their gradients.

    The values are those of the host, which rounding has not put out of order.
    """
    n_dims = points.shape[1]
    radii = [np.concatenate([np.empty(0), *(each.radii[k] for each in samples)]) for k in range(n_dims + 1)]
    values = [torch.from_numpy(each).to(points.device) for each in radii]
    if has_gradient(points):
        corners = [
            np.where(each.corners < 0, -1, each.corners + start)
            for each, start in zip(samples, offsets, strict=False)
        ]
        table = np.concatenate([np.empty((0, n_dims + 1), np.int64), *corners])
        spheres = circumradii(points, torch.from_numpy(table).to(points.device))
        slopes = torch.where(torch.isfinite(spheres), spheres - spheres.detach(), 0.0)
        starts = np.cumsum([0, *map(len, corners)])
        for k in range(1, n_dims + 1):
            rows = np.concatenate(
                [
                    np.empty(0, np.int64),
                    *(each.spheres[k] + start for each, start in zip(samples, starts, strict=False)),
                ]
            )
            values[k] = values[k] + slopes.index_select(0, torch.from_numpy(rows).to(points.device))
    return [each.to(points.dtype) for each in values]
