"""Bars of function-Rips filtrations along lines: paired on matrices of values, evaluated at critical cells.

Components are paired on the minimum spanning tree of each matrix, all else by the Rips engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from topodl._checks import as_real, check_choice, check_number, fail
from topodl._clouds import as_clouds, checked_clouds
from topodl._distance_matrices import as_distances, distances_between, edge_lengths
from topodl._host import host_array, reject_mapped, whole_values
from topodl._precision import at_least_single
from topodl.diagrams import Diagrams
from topodl.persistence._batch import homology_dims_of
from topodl.persistence._lines import checked_lines
from topodl.persistence.graph import graph_persistence
from topodl.persistence.rips import rips_persistence

__all__ = ["fibered_clouds", "read_function"]

_NAME = "fibered_persistence"
_POINTS = "finite points of shape (B, N, d), or a list of (N_i, d)"
_MATRICES = "symmetric distances >= 0 of shape (B, N, N), or a list of (N_i, N_i)"
_MOST_ENTRIES = 2**23  # of the matrices that are paired together


class _Clouds(NamedTuple):
    """Clouds one after the other, with their function; distances, where these came, as flat entries."""

    points: torch.Tensor  # (ΣN, d), or (ΣN²,) distances
    function: torch.Tensor  # (ΣN,)
    sizes: torch.Tensor  # (B,)
    starts: torch.Tensor  # (B,), of the points
    longest: float

    @property
    def precomputed(self) -> bool:
        return self.points.ndim == 1

    def first_entries(self) -> torch.Tensor:
        """Return where the matrix of each cloud begins, (B,)."""
        squares = self.sizes.square()
        return squares.cumsum(0) - squares

    def matrix(self, b: int) -> torch.Tensor:
        """Return the distances (n, n) of a cloud."""
        n = int(self.sizes[b])
        if self.precomputed:
            first = int(self.first_entries()[b])
            distances = self.points[first : first + n * n].view(n, n)
        else:
            first = int(self.starts[b])
            distances = distances_between(self.points[None, first : first + n])[0]
        return distances.masked_fill(distances > self.longest, math.inf)

    def lengths(self, clouds: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Return (m,) the lengths of edges (m, 2), numbered in their cloud, of the `clouds` (m,)."""
        if self.precomputed:
            at = self.first_entries()[clouds] + cells[:, 0] * self.sizes[clouds] + cells[:, 1]
            return self.points.index_select(0, at)
        return edge_lengths(self.points, (cells + self.starts[clouds][:, None]).T)


def fibered_clouds(
    x: Any, function: Any, lines: Any, dims: Any, metric: Any, max_edge_length: float
) -> Diagrams:
    """Return the bars of clouds on each line, as `fibered_persistence` describes them."""
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    if max_edge_length != math.inf:
        check_number(_NAME, "max_edge_length", max_edge_length, low=0.0)
    homology_dims = homology_dims_of(_NAME, (0, 1) if dims is None else dims)
    clouds, dtype = _read_clouds(x, function, metric == "precomputed", float(max_edge_length))
    on_lines = checked_lines(_NAME, lines, 2, clouds.function)
    n_lines = len(on_lines[0])
    detached = clouds._replace(points=clouds.points.detach(), function=clouds.function.detach())
    parts = list(_paired(detached, (on_lines[0].detach(), on_lines[1].detach()), homology_dims))
    n_samples = len(clouds.sizes) * n_lines
    nothing = clouds.sizes.new_zeros((0, 6))
    rows = torch.cat([nothing, *parts])
    samples, bar_dims = rows[:, :2].T.contiguous()
    cells = rows[:, 2:].reshape(-1, 2, 2)
    births, deaths = (_values_at(clouds, on_lines, samples, cells[:, i]) for i in (0, 1))
    d = Diagrams(
        births,
        deaths,
        bar_dims,
        samples,
        n_samples=n_samples,
        homology_dims=homology_dims,
        birth_cells=cells[:, 0],
        death_cells=cells[:, 1],
    )
    return d.select(d.births < d.deaths).to(dtype)


def _read_clouds(x: Any, function: Any, precomputed: bool, longest: float) -> tuple[_Clouds, torch.dtype]:
    points, sizes = as_clouds(_NAME, x, _MATRICES if precomputed else _POINTS, precomputed)
    reject_mapped(_NAME, "x", points)
    values = at_least_single(points)
    if precomputed:
        starts = [0]
        for n in sizes:
            starts.append(starts[-1] + n * n)
        flat = values.reshape(-1)
        matrices = [flat[a : a + n * n].view(1, n, n) for a, n in zip(starts, sizes, strict=False)]
        exact = [as_distances(_NAME, "x", matrix, i).reshape(-1) for i, matrix in enumerate(matrices)]
        flat = torch.cat([flat[:0], *exact])
    else:
        if len(sizes):
            checked_clouds(_NAME, host_array(_NAME, values), sizes, points.dtype, _POINTS)
        flat = values.reshape(-1, values.shape[-1])
    counts = torch.tensor(list(sizes), dtype=torch.int64, device=flat.device)
    heights = read_function(_NAME, function, sizes, isinstance(x, torch.Tensor)).to(flat.device, flat.dtype)
    return _Clouds(flat, heights, counts, counts.cumsum(0) - counts, longest), points.dtype


def read_function(name: str, function: Any, sizes: Sequence[int], as_tensor: bool) -> torch.Tensor:
    """Return the function values (ΣN,) of all clouds."""
    parts = [as_real(name, "function", function)] if as_tensor else list(function)
    if as_tensor and parts[0].shape != (len(sizes), sizes[0] if len(sizes) else parts[0].shape[-1]):
        raise fail(name, "function", f"has shape {tuple(parts[0].shape)}", "one value a point, shape (B, N)")
    if not as_tensor:
        parts = [as_real(name, f"function[{i}]", part) for i, part in enumerate(parts)]
        if [part.shape for part in parts] != [(n,) for n in sizes]:
            came = f"has shapes {[tuple(part.shape) for part in parts]}"
            raise fail(name, "function", came, f"those of clouds of {list(sizes)} points, (N_i,) each")
    for i, part in enumerate(parts[0] if as_tensor else parts):
        values = whole_values(part)
        if bool(torch.isnan(values).any() | (values == -math.inf).any()):
            came = "has NaN" if bool(torch.isnan(values).any()) else "has -inf"
            raise fail(name, f"function[{i}]", came, "numbers above -inf")
    return torch.cat([part.reshape(-1) for part in parts]) if parts else torch.empty(0, device="cpu")


def _paired(
    clouds: _Clouds, lines: tuple[torch.Tensor, torch.Tensor], homology_dims: Sequence[int]
) -> Iterator[torch.Tensor]:
    """Yield rows of integers (n, 6): sample, dimension, birth and death cell, of several clouds at a time."""
    n_lines, group, n_entries = len(lines[0]), [], 0
    for b in range(len(clouds.sizes)):
        group.append(b)
        n_entries += n_lines * int(clouds.sizes[b]) ** 2
        if n_entries >= _MOST_ENTRIES:
            yield from _paired_together(clouds, group, lines, homology_dims)
            group, n_entries = [], 0
    if group:
        yield from _paired_together(clouds, group, lines, homology_dims)


def _paired_together(
    clouds: _Clouds, group: list[int], lines: tuple[torch.Tensor, torch.Tensor], homology_dims: Sequence[int]
) -> Iterator[torch.Tensor]:
    base, direction = lines
    matrices, heights = [], []
    for b in group:
        first, n = int(clouds.starts[b]), int(clouds.sizes[b])
        of_function = (clouds.function[first : first + n] - base[:, 1:]) / direction[:, 1:]
        of_length = (clouds.matrix(b) - base[:, 0, None, None]) / direction[:, 0, None, None]
        vertices = torch.maximum(of_function, -(base / direction)[:, :1])
        edges = torch.maximum(of_length, torch.maximum(vertices[:, :, None], vertices[:, None]))
        matrices += list(edges)
        heights += list(vertices)
    first_sample = group[0] * len(base)
    d = rips_persistence(
        [_above_zero(matrix) for matrix in matrices], sorted({0, *homology_dims}), metric="precomputed"
    )
    assert d.birth_cells is not None
    assert d.death_cells is not None
    rows = torch.cat((d.samples[:, None] + first_sample, d.dims[:, None], d.birth_cells, d.death_cells), 1)
    yield rows[(d.dims > 0) & (d.births < math.inf)]
    if 0 in homology_dims:
        tree = (d.dims == 0) & (d.death_cells[:, 0] >= 0)
        components = _components(d.samples[tree], d.death_cells[tree], matrices, heights)
        components[:, 0] += first_sample
        yield components


def _above_zero(matrix: torch.Tensor) -> torch.Tensor:
    """Return the same order of entries, all of them above 0: of length 0 would be no bars."""
    finite = matrix[matrix < math.inf]
    if not len(finite):
        return matrix
    low, high = float(finite.min()), float(finite.max())
    return matrix - (low - (high - low or 1.0))


def _components(
    samples: torch.Tensor, edges: torch.Tensor, matrices: list[torch.Tensor], heights: list[torch.Tensor]
) -> torch.Tensor:
    """Return rows (n, 6) of dimension 0, from the edges (m, 2) of minimum spanning trees of all samples."""
    sizes = torch.tensor([len(values) for values in heights], device=edges.device)
    starts = sizes.cumsum(0) - sizes
    squares = sizes.square()
    entries = torch.cat([matrix.reshape(-1) for matrix in matrices])
    at = (squares.cumsum(0) - squares)[samples] + edges[:, 0] * sizes[samples] + edges[:, 1]
    d = graph_persistence(
        torch.cat(heights),
        (edges + starts[samples][:, None]).T,
        entries[at],
        torch.repeat_interleave(sizes),
        n_graphs=len(sizes),
    )
    d = d.select(d.births < math.inf)
    cells = torch.stack((d.birth_cells, d.death_cells), 1).flatten(1)  # type: ignore[arg-type]
    local = torch.where(cells < 0, -1, cells - starts[d.samples][:, None])
    return torch.cat((d.samples[:, None], d.dims[:, None], local), 1)


def _values_at(
    clouds: _Clouds, lines: tuple[torch.Tensor, torch.Tensor], samples: torch.Tensor, cells: torch.Tensor
) -> torch.Tensor:
    """Return (m,) where on their lines cells (m, 2) enter: edges (i, j), points (i, −1), +inf for none."""
    base, direction = lines
    cloud, line = samples // len(base), samples % len(base)
    never, is_edge = cells[:, 0] < 0, cells[:, 1] >= 0
    i = cells[:, 0].clamp(min=0)
    ends = torch.stack((i, torch.where(is_edge, cells[:, 1], i)), 1)
    at_edges = is_edge.nonzero()[:, 0]
    lengths = clouds.function.new_zeros(len(cells))
    lengths = lengths.index_put((at_edges,), clouds.lengths(cloud[at_edges], ends[at_edges]))
    of_ends = clouds.function[ends + clouds.starts[cloud][:, None]]
    both = torch.stack((lengths, torch.maximum(of_ends[:, 0], of_ends[:, 1])), 1)
    values = ((both - base[line]) / direction[line]).amax(1)
    return values.masked_fill(never, math.inf)
