"""Persistence by levels: a second parameter at every one of several levels of a first, in one batched call.

What lies above a level is left out, and the ordinary engines pair the rest. Cost: one of their calls a level.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch

from topodl._checks import as_real, check_choice, fail, reject_nan
from topodl._docs import shares_documentation
from topodl._host import whole_values
from topodl.complexes.cell_complexes import CellComplexes
from topodl.diagrams import Diagrams
from topodl.persistence._batch import homology_dims_of
from topodl.persistence._filtrations import check_kind, checked_images, checked_table, with_dims
from topodl.persistence._function_clouds import read_function
from topodl.persistence.complexes import complex_persistence
from topodl.persistence.cubical import cubical_persistence
from topodl.persistence.fibered import fibered_persistence
from topodl.persistence.graph import graph_persistence
from topodl.persistence.rips import rips_persistence

__all__ = ["level_persistence"]

_NAME = "level_persistence"


@shares_documentation(fibered_persistence)
def level_persistence(
    x: torch.Tensor | Sequence[torch.Tensor] | CellComplexes,
    levels: torch.Tensor,
    dims: int | Iterable[int] | None = None,
    *,
    parameter: int = 0,
    construction: Literal["vertex", "cell"] = "vertex",
    edge_index: torch.Tensor | None = None,
    edge_values: torch.Tensor | None = None,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    function: torch.Tensor | Sequence[torch.Tensor] | None = None,
    metric: Literal["euclidean", "precomputed"] = "euclidean",
    max_edge_length: float = math.inf,
) -> Diagrams:
    """Compute the persistent homology by one parameter of what is at or below each of L levels of the other.

    Gradients of any order reach the values of the parameter that is not cut: those that decide about levels
    have none.

    Parameters
    ----------
    x : Tensor or sequence of them, or CellComplexes
        Images (B, 2, H, W) or volumes (B, 2, D, H, W) of two channels; with `edge_index` values (N, 2) of the
        vertices of graphs; with `function` clouds (B, N, d), or a sequence of (N_i, d), whose Rips filtration
        is taken of the points at or below each level; or complexes with two values a cell.
    levels : Tensor of shape (L,)
        Values of the parameter that is cut, of the function where there are clouds; no NaN.
    dims : int or iterable of int, optional
        Homology dimensions. By default all of images and graphs, (0, 1) of clouds, and those below the
        largest of complexes.
    parameter : {0, 1}
        The parameter that is cut; of clouds it is the function.
    edge_values : Tensor of shape (E, 2), optional
        Values of the edges, at least those of their end points. The larger of these by default.

    Returns
    -------
    Diagrams
        Sample ``b * L + l`` is sample b at level l. Cells are those of the whole sample, as the engine of its
        kind counts them.

    Raises
    ------
    InputError
        If a value is NaN, or something is not as the engine of that kind of filtration takes it.
    TypeError
        If an argument is no tensor where one is expected.

    References
    ----------
    I. Segovia-Dominguez et al., "EMP: effective multidimensional persistence for graph representation
    learning", LoG 2023.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> values = torch.tensor([[0.0, 2.0], [1.0, 3.0], [0.0, 1.0]])
    >>> path = torch.tensor([[0, 1], [1, 2]])
    >>> d = topodl.level_persistence(values, torch.tensor([0.0, 1.0]), edge_index=path)
    >>> d[0].births, d[0].deaths  # without the vertex in the middle there are two components
    (tensor([2., 1.]), tensor([inf, inf]))
    >>> d[1].births, d[1].deaths
    (tensor([2., 1.]), tensor([3., inf]))
    """
    check_choice(_NAME, "parameter", parameter, (0, 1))
    check_kind(_NAME, x, edge_index, edge_values, batch, n_graphs, function)
    cuts = as_real(_NAME, "levels", levels).detach()
    if cuts.ndim != 1 or not len(cuts) or bool(torch.isnan(whole_values(cuts)).any()):
        raise fail(_NAME, "levels", f"is {levels!r}", "at least one number, none NaN, of shape (L,)")
    if function is not None:
        return _of_clouds(x, function, cuts, dims, metric, max_edge_length)
    if isinstance(x, CellComplexes):
        return _of_complexes(x, cuts, dims, parameter)
    if edge_index is not None:
        return _of_graphs(x, cuts, dims, parameter, (edge_index, edge_values, batch, n_graphs))
    values = checked_images(_NAME, x, 2)
    d = cubical_persistence(_below(values, cuts, parameter), dims, construction=construction, channels=True)
    return d.select(d.births < math.inf)


def _below(values: torch.Tensor, levels: torch.Tensor, parameter: int) -> torch.Tensor:
    """Return the other parameter where values (B, 2, …) are at or below each level, else +inf: (B, L, …)."""
    cut, kept = (values.narrow(1, i, 1) for i in (parameter, 1 - parameter))
    thresholds = levels.to(values.device, values.dtype).view(-1, *[1] * (values.ndim - 2))
    return torch.where(cut.detach() <= thresholds, kept, math.inf)


def _of_graphs(x: Any, levels: torch.Tensor, dims: Any, parameter: int, graphs: tuple[Any, ...]) -> Diagrams:
    edge_index, edge_values, batch, n_graphs = graphs
    homology_dims = homology_dims_of(_NAME, (0, 1) if dims is None else dims)
    vertices = checked_table(_NAME, "x", x, 2)
    edges = None
    if edge_values is not None:
        edges = _below(checked_table(_NAME, "edge_values", edge_values, 2).to(vertices), levels, parameter)
    d = graph_persistence(_below(vertices, levels, parameter), edge_index, edges, batch, n_graphs=n_graphs)
    return with_dims(d.select(d.births < math.inf), homology_dims)


def _of_complexes(x: CellComplexes, levels: torch.Tensor, dims: Any, parameter: int) -> Diagrams:
    if not x.has_values or x.values(0).shape[1:] != (2,):
        raise fail(_NAME, "x", "have not two values a cell", "them, by CellComplexes.with_values")
    tables = [x.values(k) for k in range(x.dim + 1)]
    for k, table in enumerate(tables):
        reject_nan(_NAME, f"x.values({k})", table, "numbers")
    return complex_persistence(x.with_values([_below(table, levels, parameter) for table in tables]), dims)


def _of_clouds(
    x: Any, function: Any, levels: torch.Tensor, dims: Any, metric: Any, max_edge_length: float
) -> Diagrams:
    homology_dims = homology_dims_of(_NAME, (0, 1) if dims is None else dims)
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    # the engine checks the whole clouds, and says which one is wrong
    rips_persistence(x, 0, metric, max_edge_length)
    clouds = list(x)
    counts = [len(cloud) for cloud in clouds]
    heights, _ = read_function(_NAME, function, counts, isinstance(x, torch.Tensor))
    parts, samples, members = [], [], []
    for b, (cloud, height) in enumerate(zip(clouds, heights.split(counts), strict=True)):
        for i, level in enumerate(levels.tolist()):
            below = (height.detach() <= level).nonzero()[:, 0].to(cloud.device)
            if len(below):
                part = cloud.index_select(0, below)
                parts.append(part.index_select(1, below) if metric == "precomputed" else part)
                samples.append(b * len(levels) + i)
                members.append(below)
    n_samples = len(clouds) * len(levels)
    d = rips_persistence(parts, homology_dims, metric, max_edge_length)
    return _renumbered(d, samples, members, n_samples)


def _renumbered(d: Diagrams, samples: list[int], members: list[torch.Tensor], n_samples: int) -> Diagrams:
    """Return diagrams of subsets as those of `samples`, with cells of the points that the subsets have."""
    if not members:
        return d._with(n_samples=n_samples)
    starts = torch.tensor([0, *(len(part) for part in members)], device=d.device).cumsum(0)
    numbers = torch.cat(members)
    own = starts[d.samples][:, None]
    cells = {}
    for name in ("birth_cells", "death_cells"):
        local = getattr(d, name)
        cells[name] = torch.where(
            local < 0, -1, numbers[(local.clamp(min=0) + own).clamp(max=len(numbers) - 1)]
        )
    which = torch.tensor(samples, device=d.device)[d.samples]
    return d._with(samples=which, n_samples=n_samples, **cells)
