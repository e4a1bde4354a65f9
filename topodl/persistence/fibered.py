"""Fibered persistence: the bars of two-parameter filtrations along lines, differentiable in values and lines.

A cell c enters a line base + λ·direction at λ = max over parameters of (f_i(c) − base_i) / direction_i. That
commutes with maxima over vertices, so the ordinary engines do the rest. Cost: one of their calls a line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch

from topodl._checks import check_dense, fail, reject_nan
from topodl._precision import at_least_single
from topodl.complexes.cell_complexes import CellComplexes
from topodl.diagrams import Diagrams
from topodl.persistence._batch import homology_dims_of
from topodl.persistence._fibered_clouds import fibered_clouds
from topodl.persistence._filtrations import check_kind, checked_images, checked_table, with_dims
from topodl.persistence._lines import checked_lines, pushed
from topodl.persistence.complexes import complex_persistence
from topodl.persistence.cubical import cubical_persistence
from topodl.persistence.graph import graph_persistence

__all__ = ["fibered_persistence"]

_NAME = "fibered_persistence"


def fibered_persistence(
    x: torch.Tensor | Sequence[torch.Tensor] | CellComplexes,
    lines: tuple[torch.Tensor, torch.Tensor],
    dims: int | Iterable[int] | None = None,
    *,
    construction: Literal["vertex", "cell"] = "vertex",
    edge_index: torch.Tensor | None = None,
    edge_values: torch.Tensor | None = None,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    function: torch.Tensor | Sequence[torch.Tensor] | None = None,
    metric: Literal["euclidean", "precomputed"] = "euclidean",
    max_edge_length: float = math.inf,
) -> Diagrams:
    """Compute the persistent homology of a filtration by several parameters along each of L lines.

    At λ the line base + λ·direction is at values (s, t), and the cells with both values below are there.
    Births and deaths are values of λ: gradients of any order reach the values of cells (points, functions),
    and both tensors of the lines.

    Parameters
    ----------
    x : Tensor or sequence of them, or CellComplexes
        Images (B, P, H, W) or volumes (B, P, D, H, W) of P channels, the parameters; with `edge_index` values
        (N, P) of the vertices of graphs; with `function` clouds (B, N, d), or a sequence of (N_i, d), for
        function-Rips filtrations of P = 2 parameters, the length of edges and the largest function value of
        vertices; or complexes with P values a cell. What is +inf in any parameter is never there.
    lines : tuple of two Tensors of shape (L, P)
        Base points and directions, finite; the latter positive.
    dims : int or iterable of int, optional
        Homology dimensions. By default all of images and graphs, (0, 1) of clouds, and those below the
        largest of complexes.
    construction : {"vertex", "cell"}
        Of images and volumes, as in `cubical_persistence`; in the cell construction the complex is the union
        of the pixels that have all channels below.
    edge_index : Tensor of shape (2, E), integers, optional
        Edges of graphs, as in `graph_persistence`.
    edge_values : Tensor of shape (E, P), optional
        Values of the edges, at least those of their end points. The larger of these by default.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex. One graph by default.
    n_graphs : int, optional
        Number of graphs, where the last ones may have no vertex.
    function : Tensor of shape (B, N), or sequence of tensors of shape (N_i,), optional
        The values of points of clouds, such as their `codensity`.
    metric : {"euclidean", "precomputed"}
        Whether clouds are points or matrices of distances, (B, N, N) or a sequence of (N_i, N_i).
    max_edge_length : float
        Longer edges of clouds never enter.

    Returns
    -------
    Diagrams
        Sample ``b * L + l`` is sample b on line l. Cells are those of the engine: pixels, vertices and edges
        of graphs in the batch, points (i, -1) and edges (i, j) of a cloud, cells of complexes.

    Raises
    ------
    InputError
        If a value is NaN, lines are not P finite numbers with positive directions, or something is not as the
        engine of that kind of filtration takes it; the message says which.
    TypeError
        If an argument is no tensor where one is expected.

    References
    ----------
    M. Lesnick, M. Wright, "Interactive visualization of 2-D persistence modules", 2015. M. Carrière, A. J.
    Blumberg, "Multiparameter persistence images for topological machine learning", NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> values = torch.tensor([[0.0, 1.0], [1.0, 0.0], [3.0, 2.0]])
    >>> path = torch.tensor([[0, 1], [2, 2]])
    >>> base, direction = torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [1.0, 0.5]])
    >>> d = topodl.fibered_persistence(values, (base, direction), edge_index=path)
    >>> d[0].births, d[0].deaths
    (tensor([1., 1.]), tensor([3., inf]))
    >>> d[1].births, d[1].deaths  # (0, 1) is reached at λ = 2, (3, 2) at λ = 4
    (tensor([2., 1.]), tensor([4., inf]))
    """
    check_kind(_NAME, x, edge_index, edge_values, batch, n_graphs, function)
    if isinstance(x, CellComplexes):
        return _of_complexes(x, lines, dims)
    if edge_index is not None:
        return _of_graphs(x, lines, dims, (edge_index, edge_values, batch, n_graphs))
    if function is not None:
        return fibered_clouds(x, function, lines, dims, metric, max_edge_length)
    return _of_images(x, lines, dims, construction)


def _of_images(x: Any, lines: Any, dims: Any, construction: Literal["vertex", "cell"]) -> Diagrams:
    x = checked_images(_NAME, x)
    values = at_least_single(x)
    levels = pushed(values, checked_lines(_NAME, lines, x.shape[1], values))
    d = cubical_persistence(levels, dims, construction=construction, channels=True)
    d = d.select(d.births < math.inf)
    return d if d.dtype == x.dtype else d.to(x.dtype)  # which reads all integers


def _of_graphs(x: Any, lines: Any, dims: Any, graphs: tuple[Any, ...]) -> Diagrams:
    edge_index, edge_values, batch, n_graphs = graphs
    homology_dims = homology_dims_of(_NAME, (0, 1) if dims is None else dims)
    vertices = checked_table(_NAME, "x", x)
    values = at_least_single(vertices)
    on_lines = checked_lines(_NAME, lines, values.shape[1], values)
    edges = None
    if edge_values is not None:
        edges = checked_table(_NAME, "edge_values", edge_values, values.shape[1]).to(values.dtype)
        edges = pushed(edges, on_lines)
    d = graph_persistence(
        pushed(values, on_lines),
        check_dense(_NAME, "edge_index", edge_index),
        edges,
        batch,
        n_graphs=n_graphs,
    )
    return with_dims(d.select(d.births < math.inf), homology_dims).to(vertices.dtype)


def _of_complexes(x: CellComplexes, lines: Any, dims: Any) -> Diagrams:
    if not x.has_values or x.values(0).ndim != 2:
        raise fail(_NAME, "x", "have not several values a cell", "P of them, by CellComplexes.with_values")
    tables = [x.values(k) for k in range(x.dim + 1)]
    for k, table in enumerate(tables):
        reject_nan(_NAME, f"x.values({k})", table, "numbers")
    values = [at_least_single(table) for table in tables]
    on_lines = checked_lines(_NAME, lines, values[0].shape[1], values[0])
    levels = x.with_values([pushed(table, on_lines) for table in values])
    return complex_persistence(levels, dims).to(tables[0].dtype)
