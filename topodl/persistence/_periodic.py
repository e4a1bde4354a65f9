"""Bars of periodic images: those of the cells of a cylinder or a torus, filtered by the order of its pixels.

All images of a batch are filtrations of one cell complex, paired as `complex_persistence` does.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from topodl.complexes.cell_complexes import CellComplexes
from topodl.persistence.complexes import complex_persistence

__all__ = ["pair_periodic"]

Array = NDArray[np.int64]


class _Grid(NamedTuple):
    """The cells of a grid, and for each of a dimension the pixels (S, m) that its value comes from."""

    complexes: CellComplexes
    pixels: list[Array]


def pair_periodic(
    images: NDArray[Any], periodic: tuple[bool, ...], dims: Sequence[int], by_cells: bool
) -> Array:
    """Return the bars (4, P) of images (B, *spatial): sample, dimension, and the pixels of birth and death.

    A death of -1 is none. Pixels of equal value are ordered by their index; bars may have no length.
    """
    if not len(images):
        return np.empty((4, 0), np.int64)
    grid = _grid(images.shape[1:], periodic, by_cells)
    flat = images.reshape(len(images), -1)
    ranks = np.argsort(np.argsort(flat, axis=1, kind="stable"), axis=1, kind="stable")
    origins, values = [], []
    for pixels in grid.pixels[: max(dims) + 2]:
        entries = ranks[:, pixels]  # (B, S, m)
        last = entries.argmin(2) if by_cells else entries.argmax(2)
        origins.append(np.take_along_axis(np.broadcast_to(pixels, entries.shape), last[..., None], 2)[..., 0])
        rank = np.take_along_axis(entries, last[..., None], 2)[..., 0]
        values.append(torch.from_numpy(np.ascontiguousarray(rank.T, np.float64)))
    filtered = grid.complexes.skeleton(len(values) - 1).with_values(values)
    d = complex_persistence(filtered, list(dims))
    return _at_pixels(d, origins)


def _at_pixels(d: Any, origins: list[Array]) -> Array:
    """Return the bars of a diagram of cells, by the pixels that gave these their values."""
    samples, dims = d.samples.numpy(), d.dims.numpy()
    births, deaths = d.birth_cells[:, 0].numpy(), d.death_cells[:, 0].numpy()
    bars = np.stack((samples, dims, births, deaths)).astype(np.int64)
    for k in np.unique(dims):
        mine = dims == k
        bars[2, mine] = origins[k][samples[mine], births[mine]]
        dies = mine & (deaths >= 0)
        if dies.any():
            bars[3, dies] = origins[k + 1][samples[dies], deaths[dies]]
    return bars


@functools.lru_cache(maxsize=8)
def _grid(shape: tuple[int, ...], periodic: tuple[bool, ...], by_cells: bool) -> _Grid:
    """Return the cells of a grid: with pixels as its top-dimensional cells, or else as its vertices."""
    axes = range(len(shape))
    counts = [_counts(n, around, by_cells) for n, around in zip(shape, periodic, strict=True)]
    first: dict[tuple[int, ...], int] = {}
    faces, pixels, sizes = [], [], []
    for k in range(len(shape) + 1):
        start, tables, origins = 0, [], []
        for along in itertools.combinations(axes, k):
            sides = [counts[a][a in along] for a in axes]
            places = np.indices(sides).reshape(len(shape), -1)
            first[along] = start
            start += places.shape[1]
            tables.append(_faces(places, along, counts, first))
            origins.append(_pixels(places, along, shape, periodic, by_cells))
        sizes.append(start)
        faces.append(np.concatenate(tables))
        pixels.append(np.concatenate(origins))
    offsets = [np.array([0, size]) for size in sizes]
    complexes = CellComplexes._from_tables(
        offsets[0], pixels[1:], faces[1:], offsets[1:], torch.device("cpu")
    )
    return _Grid(complexes, pixels)


def _counts(n: int, around: bool, by_cells: bool) -> tuple[int, int]:
    """Return how many places along an axis there are for cells that are thin there, and for others."""
    if by_cells:
        return (n if around else n + 1), n
    return n, (n if around else n - 1)


def _faces(
    places: Array, along: tuple[int, ...], counts: list[tuple[int, int]], first: dict[tuple[int, ...], int]
) -> Array:
    """Return the numbers (S, 2k) of the faces of cells that extend along some axes."""
    columns = []
    for axis in along:
        others = tuple(a for a in along if a != axis)
        sides = [counts[a][a in others] for a in range(len(counts))]
        for step in (0, 1):
            moved = places.copy()
            moved[axis] = (moved[axis] + step) % sides[axis]
            columns.append(first[others] + np.ravel_multi_index(tuple(moved), sides))
    return np.stack(columns, 1) if columns else np.empty((places.shape[1], 0), np.int64)


def _pixels(
    places: Array, along: tuple[int, ...], shape: tuple[int, ...], periodic: tuple[bool, ...], by_cells: bool
) -> Array:
    """Return the pixels (S, m) that a cell has, or touches; where there is none, another one in its place."""
    columns = []
    for steps in _steps(len(shape), along, by_cells):
        moved = places + np.array(steps)[:, None]
        for axis, (n, around) in enumerate(zip(shape, periodic, strict=True)):
            moved[axis] = moved[axis] % n if around else moved[axis].clip(0, n - 1)
        columns.append(np.ravel_multi_index(tuple(moved), shape))
    return np.stack(columns, 1)


def _steps(n_axes: int, along: tuple[int, ...], by_cells: bool) -> Iterator[tuple[int, ...]]:
    """Yield the steps from the place of a cell to its pixels."""
    if by_cells:
        return itertools.product(*[(0,) if a in along else (-1, 0) for a in range(n_axes)])
    return itertools.product(*[(0, 1) if a in along else (0,) for a in range(n_axes)])
