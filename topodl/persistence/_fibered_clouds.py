"""Bars of function-Rips filtrations along lines: paired on matrices of values, evaluated at critical cells.

Components are paired on the minimum spanning tree of each matrix, all else by the Rips engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from topodl._checks import check_choice, check_number
from topodl.diagrams import Diagrams
from topodl.persistence._batch import homology_dims_of
from topodl.persistence._function_clouds import FunctionClouds, read_function_clouds
from topodl.persistence._lines import checked_lines
from topodl.persistence.graph import graph_persistence
from topodl.persistence.rips import rips_persistence

__all__ = ["fibered_clouds"]

_NAME = "fibered_persistence"
_MOST_ENTRIES = 2**23  # of the matrices that are paired together


def fibered_clouds(
    x: Any, function: Any, lines: Any, dims: Any, metric: Any, max_edge_length: float
) -> Diagrams:
    """Return the bars of clouds on each line, as `fibered_persistence` describes them."""
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    if max_edge_length != math.inf:
        check_number(_NAME, "max_edge_length", max_edge_length, low=0.0)
    homology_dims = homology_dims_of(_NAME, (0, 1) if dims is None else dims)
    clouds, dtype = read_function_clouds(_NAME, x, function, metric == "precomputed", float(max_edge_length))
    on_lines = checked_lines(_NAME, lines, 2, clouds.function)
    n_lines = len(on_lines[0])
    detached = clouds._replace(points=clouds.points.detach(), function=clouds.function.detach())
    parts = list(_paired(detached, (on_lines[0].detach(), on_lines[1].detach()), homology_dims))
    n_samples = len(clouds.counts) * n_lines
    nothing = torch.zeros((0, 6), dtype=torch.int64, device=clouds.points.device)
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


def _paired(
    clouds: FunctionClouds, lines: tuple[torch.Tensor, torch.Tensor], homology_dims: Sequence[int]
) -> Iterator[torch.Tensor]:
    """Yield rows of integers (n, 6): sample, dimension, birth and death cell, of several clouds at a time."""
    n_lines, group, n_entries = len(lines[0]), [], 0
    for b in range(len(clouds.counts)):
        group.append(b)
        n_entries += n_lines * clouds.counts[b] ** 2
        if n_entries >= _MOST_ENTRIES:
            yield from _paired_together(clouds, group, lines, homology_dims)
            group, n_entries = [], 0
    if group:
        yield from _paired_together(clouds, group, lines, homology_dims)


def _paired_together(
    clouds: FunctionClouds,
    group: list[int],
    lines: tuple[torch.Tensor, torch.Tensor],
    homology_dims: Sequence[int],
) -> Iterator[torch.Tensor]:
    base, direction = lines
    matrices, heights = [], []
    for b in group:
        first, n = int(clouds.starts()[b]), clouds.counts[b]
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
    clouds: FunctionClouds,
    lines: tuple[torch.Tensor, torch.Tensor],
    samples: torch.Tensor,
    cells: torch.Tensor,
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
    starts = torch.from_numpy(clouds.starts()).to(cloud.device)
    of_ends = clouds.function[ends + starts[cloud][:, None]]
    both = torch.stack((lengths, torch.maximum(of_ends[:, 0], of_ends[:, 1])), 1)
    values = ((both - base[line]) / direction[line]).amax(1)
    return values.masked_fill(never, math.inf)
