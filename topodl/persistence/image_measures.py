"""Signed measures of images of two channels, exact and differentiable, in both dimensions and constructions.

Components are those of the graph of neighbouring pixels. An image lies in the plane, so cycles are what the
Euler characteristic leaves of them; those of a volume are not told. Pixels are ordered by
(value, flat index) in each channel.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import as_real, check_choice, fail, reject_nan
from topodl.kernels.graphs.graph import cycle_deaths
from topodl.kernels.graphs.signed_points import EULER
from topodl.kernels.shared.pool import map_batch
from topodl.kernels.shared.radix import argsort_floats, radix_argsort
from topodl.persistence._batch import homology_dims_of, pairing_op, to_host
from topodl.persistence._measures import assemble_measures, fake_measures, on_device, reached
from topodl.signed_measures import SignedMeasures

__all__ = ["image_signed_measure", "measure_images"]

_NAME = "image_signed_measure"
_Array = npt.NDArray[Any]
Construction = Literal["vertex", "cell"]

Steps = tuple[tuple[int, ...], ...]  # the pixels of a cell, from the corner of its box on


def image_signed_measure(
    x: torch.Tensor, dims: int | Iterable[int] | None = None, construction: Construction = "vertex"
) -> SignedMeasures:
    """Compute the signed measures of each image or volume of a batch, filtered by the values of two channels.

    The weights of all points p ≤ (s, t) add up to the number of components, or of holes, of the pixels whose
    first value is at most s and second at most t. The measures are exact: no grid is involved. Points are
    gathered from `x`, so gradients of any order reach the critical pixels.

    Parameters
    ----------
    x : Tensor of shape (B, 2, H, W) or (B, 2, D, H, W)
        Images or volumes of two channels. Both parameters rise; a pixel that is +inf in one is never present.
        NaN is refused. Half types are ordered in float32; integers and booleans are cast to the default
        dtype.
    dims : int or iterable of int, optional
        Homology dimensions: 0 components, 1 holes. By default both of images, and 0 of volumes, which have no
        other.
    construction : {"vertex", "cell"}
        "vertex": pixels are vertices, joined to 4 (6) neighbours. "cell": pixels are closed squares, joined
        to 8 (26) neighbours, and what is present is the union of squares; the faces of a square come with the
        first square around them that is present, and not with the least value in each channel.

    Returns
    -------
    SignedMeasures
        B samples. Cells are flat (C-order) indices of pixels in their image: the first has the point's first
        coordinate in the first channel, the other that in the second. Each pair of pixels stands once, in
        their order; pixels may have equal values: see `SignedMeasures.merged`.

    Raises
    ------
    InputError
        If `x` has NaN (the message names sample and position), no pixels or another shape, or an option is
        none of those above.
    TypeError
        If `x` is no real tensor.

    References
    ----------
    D. Loiseaux, L. Scoccola, M. Carrière, M. B. Botnan, S. Oudot, "Stable vectorization of multiparameter
    persistent homology using signed barcodes as measures", NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> x = torch.tensor([[[[0.0, 1.0, 2.0]], [[2.0, 1.0, 0.0]]]])
    >>> m = topodl.image_signed_measure(x, dims=0).merged()
    >>> m.points.tolist(), m.weights.tolist()
    ([[0.0, 2.0], [1.0, 1.0], [1.0, 2.0], [2.0, 0.0], [2.0, 1.0]], [1, 1, -1, 1, -1])
    """
    x = _checked_images(_NAME, x, construction)
    highest = 5 - x.ndim
    if dims is None:
        dims = range(highest + 1)
    homology_dims = homology_dims_of(_NAME, dims)
    if homology_dims[-1] > highest:
        expected = "integers from 0 to 1 for images, and 0 for volumes"
        raise fail(_NAME, "dims", f"has {homology_dims[-1]}", expected)
    return measure_images(_NAME, x, homology_dims, construction)


def _checked_images(name: str, x: Any, construction: str) -> torch.Tensor:
    check_choice(name, "construction", construction, ("vertex", "cell"))
    x = as_real(name, "x", x)
    if x.ndim not in (4, 5) or x.shape[1] != 2 or 0 in x.shape[2:]:
        expected = "images of two channels, shape (B, 2, H, W), or volumes, with at least one pixel"
        raise fail(name, "x", f"has shape {tuple(x.shape)}", expected)
    reject_nan(name, "x", x, "no NaN")
    return x


def measure_images(name: str, x: Any, dims: Sequence[int], construction: str) -> SignedMeasures:
    """Return the measures of images and volumes, of their Euler characteristic for the dimension −1."""
    x = _checked_images(name, x, construction)
    table, sources = _image_measures(x.detach(), list(dims), construction == "cell")
    points = x.reshape(-1).index_select(0, sources).view(-1, 2)
    return assemble_measures(table, points, x.shape[0], dims)


def _fake_image_measures(
    x: torch.Tensor, dims: Sequence[int], by_cells: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    return fake_measures(x, cell_size=1)


@pairing_op(
    "image_signed_measure", "(Tensor x, int[] dims, bool by_cells) -> (Tensor, Tensor)", _fake_image_measures
)
def _image_measures(
    x: torch.Tensor, dims: Sequence[int], by_cells: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ordered table of signed points, and where their coordinates stand among all values."""
    images = to_host(x).numpy()
    shape = images.shape[2:]
    n = math.prod(shape)

    def table_of(sample: int) -> tuple[_Array, _Array]:
        rows = _signed_pixels(images[sample].reshape(2, n), shape, dims, by_cells)
        return np.concatenate((np.full((1, rows.shape[1]), sample), rows)), rows[2:] + n * np.array(
            [[2 * sample], [2 * sample + 1]]
        )

    tables = map_batch(table_of, range(len(images)))
    empty = (np.empty((5, 0), np.int64), np.empty((2, 0), np.int64))
    table, sources = (np.concatenate(parts, axis=1) for parts in zip(empty, *tables, strict=True))
    return on_device(table, np.ascontiguousarray(sources.T).reshape(-1), x.device)


def _signed_pixels(values: _Array, shape: Sequence[int], dims: Sequence[int], by_cells: bool) -> _Array:
    """Return dimensions, weights and both pixels of the points of one image (2, N), in order."""
    orders = [argsort_floats(channel) for channel in values]
    image = _RankedImage(values, orders, shape)
    lines, higher = _cells(len(shape), by_cells)
    edges = [image.cells(steps) for steps in lines]
    faces = [(sign, image.cells(steps)[0]) for sign, steps in higher]
    forest = _exchanges(image, edges) if max(dims) > EULER else None
    parts = []
    for k in dims:
        if k == EULER or forest is None:
            signed = [(1, image.pixels), *((-1, pairs) for pairs, _ in edges), *faces]
        elif k == 0:
            signed = [(1, image.pixels), (-1, forest.joins), (1, forest.exchanged)]
        else:  # components less the Euler characteristic; pixels and edges are counted already
            signed = [(1, forest.closes), *((-sign, pairs) for sign, pairs in faces)]
        weights, pairs = _merged(signed, len(values[0]))
        parts.append(np.concatenate((np.full((1, len(weights)), k), weights[None], pairs)))
    return np.concatenate(parts, axis=1)


class _Forest(NamedTuple):
    """The pixels (2, n) of events in the spanning forest of least second values, as the first ones rise."""

    joins: _Array  # edges that enter
    closes: _Array  # edges that close a cycle, with the second value of the one that leaves
    exchanged: _Array  # those of them that stay


class _RankedImage:
    """An image of two channels by the ranks of its pixels, which are all different."""

    def __init__(self, values: _Array, orders: Sequence[_Array], shape: Sequence[int]) -> None:
        self.values, self.orders = values, orders
        self.index = np.arange(math.prod(shape)).reshape(shape)
        ranks = np.empty(values.shape, np.int64)
        for rank, order in zip(ranks, orders, strict=True):
            rank[order] = self.index.reshape(-1)
        self.ranks = ranks.reshape(2, *shape)
        own = np.stack((self.index.reshape(-1),) * 2)
        self.pixels = own[:, reached(values)]

    def cells(self, steps: Steps) -> tuple[_Array, _Array]:
        """Return of each cell that is ever reached the last pixel in each channel (2, n), and all (n, k)."""
        parts = [self._shifted(self.ranks, step, steps) for step in steps]
        last = parts[0]
        for part in parts[1:]:
            last = np.maximum(last, part)
        flat = last.reshape(2, -1)
        pairs = np.stack([order[rank] for order, rank in zip(self.orders, flat, strict=True)])
        present = reached(np.take_along_axis(self.values, pairs, 1))
        pixels = np.stack([self._shifted(self.index, step, steps).reshape(-1) for step in steps], 1)
        return (pairs, pixels) if present.all() else (pairs[:, present], pixels[present])

    @staticmethod
    def _shifted(table: _Array, step: tuple[int, ...], steps: Steps) -> _Array:
        """Return what stands at a step from the corner of each cell."""
        sides, ends = table.shape[-len(step) :], map(max, zip(*steps, strict=True))
        parts = [slice(at, side - end + at) for at, side, end in zip(step, sides, ends, strict=True)]
        where: Any = (..., *parts)
        shifted: _Array = table[where]
        return shifted


@functools.cache
def _cells(n_axes: int, by_cells: bool) -> tuple[list[Steps], list[tuple[int, Steps]]]:
    """Return the edges, and the cells of higher dimensions with their signs, in boxes of two pixels a side.

    Vertices span segments, squares and cubes. Unions of closed squares have the shape of the cliques of
    neighbours: four triangles and a tetrahedron in each two by two pixels (the nerve theorem: squares, and
    cubes, that meet in pairs meet all).
    """
    block = list(itertools.product((0, 1), repeat=n_axes))
    if by_cells:
        some = itertools.chain(*(itertools.combinations(block, k) for k in range(2, len(block) + 1)))
        cells = [steps for steps in some if not any(map(min, zip(*steps, strict=True)))]
        higher = [(1 if len(steps) % 2 else -1, steps) for steps in cells if len(steps) > 2]
        return [steps for steps in cells if len(steps) == 2], higher
    boxes = [tuple(step for step in block if not any(np.greater(step, span))) for span in block]
    higher = [(1 if len(steps) in (1, 4) else -1, steps) for steps in boxes if len(steps) > 2]
    return [steps for steps in boxes if len(steps) == 2], higher


def _exchanges(image: _RankedImage, edges: Sequence[tuple[_Array, _Array]]) -> _Forest:
    pairs = np.concatenate([pairs for pairs, _ in edges], axis=1)
    ends = np.concatenate([pixels for _, pixels in edges])
    rank0, rank1 = (rank.reshape(-1)[each] for rank, each in zip(image.ranks, pairs, strict=True))
    n = image.index.size
    order = radix_argsort(rank0 * n + rank1)
    pairs, ends, rank1 = pairs[:, order], ends[order], rank1[order]
    priority = np.empty(len(order), np.int64)
    priority[radix_argsort(rank1)] = np.arange(len(order))[::-1]
    leaves = cycle_deaths(n, ends, priority)
    stays = leaves != np.arange(len(order))
    closes, exchanged = np.flatnonzero(leaves >= 0), np.flatnonzero((leaves >= 0) & stays)
    both = (np.stack((pairs[0, some], pairs[1, leaves[some]])) for some in (closes, exchanged))
    return _Forest(pairs[:, stays], *both)


def _merged(signed: Sequence[tuple[int, _Array]], n: int) -> tuple[_Array, _Array]:
    """Return each pair of pixels once, in order, with the sum of its signs where that is not 0."""
    keys = np.concatenate([first * n + second for _, (first, second) in signed])
    weights = np.repeat([sign for sign, _ in signed], [pairs.shape[1] for _, pairs in signed])
    order = radix_argsort(keys)
    keys, weights = keys[order], weights[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    sums = np.add.reduceat(weights, starts) if len(starts) else weights
    kept = sums != 0
    return sums[kept], np.stack(np.divmod(keys[starts[kept]], n))
