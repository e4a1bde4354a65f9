"""Persistence and extended persistence of batches of graphs, filtered by vertices and edges, differentiable.

Vertices are ordered by (value, index), edges by (value, end points). Disjoint graphs are one graph: one
kernel call.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import fail, reject_nan
from topodl._segments import segment_amin
from topodl.diagrams import Diagrams
from topodl.kernels.graphs.graph import cycle_deaths, elder_deaths
from topodl.kernels.graphs.simple_edges import simple_edges
from topodl.kernels.shared.pool import map_batch
from topodl.kernels.shared.radix import argsort_floats, radix_argsort
from topodl.persistence._batch import assemble, pairing_op, to_host
from topodl.persistence._graph_input import check_graphs, check_indices, count_graphs, read_columns

__all__ = ["ExtendedParts", "extended_parts", "graph_persistence"]

_NAME = "graph_persistence"
_Array = npt.NDArray[Any]


class ExtendedParts(NamedTuple):
    """The four kinds of bars of an extended persistence diagram, each a `Diagrams` of the same samples."""

    ordinary: Diagrams
    relative: Diagrams
    extended_plus: Diagrams
    extended_minus: Diagrams


def graph_persistence(
    vertex_values: torch.Tensor | None,
    edge_index: torch.Tensor,
    edge_values: torch.Tensor | None = None,
    batch: torch.Tensor | None = None,
    extended: bool = False,
    n_graphs: int | None = None,
) -> Diagrams:
    """Compute the persistent homology of each graph of a batch, filtered by values of vertices and edges.

    The sublevel sets of the values grow; dimension 0 has the components, dimension 1 the cycles. Births and
    deaths are gathered from the values, so gradients of any order reach the critical vertices and edges.

    Parameters
    ----------
    vertex_values : Tensor of shape (N,) or (N, F), or None
        Values of the vertices of all graphs; F filtrations of the same graphs at once. None: a vertex enters
        with the first of its edges, by `edge_values`, whatever their sign; one without edges, or with edges
        of value +inf alone, never enters and has no bar. N is then the length of `batch`, or one more than
        the largest number in `edge_index`.
    edge_index : Tensor of shape (2, E), integers
        End points of the edges, in one or both directions, in any order (PyTorch Geometric's convention).
        Graphs are simple and undirected: loops are left out, and of several edges between the same vertices
        the one of smallest value counts, the first of these.
    edge_values : Tensor of shape (E,) or (E, F), optional
        Values of the edges, at least those of their end points. The larger of these by default.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex, in any order. One graph by default.
    extended : bool
        Whether to compute extended persistence: after the sublevel sets, superlevel sets are collapsed from
        the top, so that every class dies. `extended_parts` tells the four kinds of bars apart.
    n_graphs : int, optional
        Number of graphs, where the last ones may have no vertex, or where a compiler may not look at `batch`.

    Returns
    -------
    Diagrams
        One sample for each graph, or graph and filtration: sample ``g * F + f``. Cells are numbers of
        vertices in the batch, as in `edge_index`: a vertex (v, -1) or an edge (u, v), u < v. Components are
        born at a vertex and die at an edge; cycles are born at an edge. Essential classes (one component of
        each connected graph, all cycles) die at +inf, their cell is (-1, -1). Bars of length 0 are dropped.
        With `extended`, in dimension 0 a component's minimum (v, -1) and maximum (w, -1) replace the
        essential bars, and in dimension 1 births are not below deaths: a cycle from its birth edge to the
        edge that completes it from above, and (v, -1) to (u, w) where superlevel components merge.

    Raises
    ------
    InputError
        If shapes do not agree, a value is NaN (the message names the graph), an index is out of range, an
        edge joins two graphs or enters before its end points, `edge_values` are given with `extended`, or
        neither vertices nor edges have values.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    Cohen-Steiner, Edelsbrunner, Harer, "Extending persistence using Poincaré and Lefschetz duality", 2009.
    Yan, Ma, Gao, Tang, Chen, "Link prediction with persistent homology: an interactive view", ICML 2021
    (pairs of cycles by exchanges in a spanning forest). Horn et al., "Topological graph neural networks",
    ICLR 2022 (many filtrations).

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> values = torch.tensor([0.0, 1.0, 3.0, 2.0])
    >>> cycle = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    >>> d = topodl.graph_persistence(values, cycle)
    >>> d.births, d.deaths
    (tensor([0., 3.]), tensor([inf, inf]))
    >>> d = topodl.graph_persistence(values, cycle, extended=True)
    >>> d.births, d.deaths
    (tensor([0., 3.]), tensor([3., 0.]))
    >>> d = topodl.graph_persistence(None, cycle, edge_values=torch.tensor([-3.0, -1.0, -2.0, -0.5]))
    >>> d.births, d.deaths
    (tensor([-2.0000, -3.0000, -0.5000]), tensor([-1., inf, inf]))
    """
    if vertex_values is None:
        vertex_values = _first_edge_values(edge_index, edge_values, batch)
        d = graph_persistence(vertex_values, edge_index, edge_values, batch, extended, n_graphs)
        return d.select(d.births < math.inf)
    vertices = read_columns(_NAME, "vertex_values", vertex_values, None)
    edges = None
    if edge_values is not None:  # of the vertices' precision, in which values are compared
        edges = read_columns(_NAME, "edge_values", edge_values, vertices.shape[1]).to(vertices.dtype)
    check_indices(_NAME, vertices, edge_index, edges, batch)
    if extended and edges is not None:
        raise fail(_NAME, "edge_values", "are given", "None with extended=True, which descends by vertices")
    n_graphs = count_graphs(_NAME, batch, n_graphs)
    tensors = (vertices.detach(), edge_index, None if edges is None else edges.detach(), batch)
    bars, sources = _graph_bars(*tensors, extended, n_graphs)
    values = [vertices.reshape(-1), vertices.new_full((1,), math.inf)]
    if edges is not None:
        values.insert(1, edges.reshape(-1))
    flat = torch.cat(values)
    births, deaths = flat.index_select(0, sources[0]), flat.index_select(0, sources[1])
    return assemble(bars, births, deaths, n_graphs * vertices.shape[1], (0, 1))


def extended_parts(diagrams: Diagrams) -> ExtendedParts:
    """Tell the four kinds of bars of `graph_persistence` with ``extended=True`` apart, by their cells.

    Parameters
    ----------
    diagrams : Diagrams
        What `graph_persistence` returned with ``extended=True``.

    Returns
    -------
    ExtendedParts
        `ordinary` (dimension 0, birth < death), `relative` (dimension 1, birth > death), `extended_plus`
        (dimension 0, minimum and maximum of each component) and `extended_minus` (dimension 1, one bar for
        each cycle).

    Raises
    ------
    InputError
        If the bars have no cells of that form.

    References
    ----------
    D. Cohen-Steiner, H. Edelsbrunner, J. Harer, "Extending persistence using Poincaré and Lefschetz duality",
    Foundations of Computational Mathematics 9, 2009.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> path = torch.tensor([[0, 1], [1, 2]])
    >>> d = topodl.graph_persistence(torch.tensor([0.0, 2.0, 1.0]), path, extended=True)
    >>> parts = topodl.extended_parts(d)
    >>> parts.ordinary.deaths, parts.extended_plus.deaths
    (tensor([2.]), tensor([2.]))
    """
    births, deaths = diagrams.birth_cells, diagrams.death_cells
    if births is None or deaths is None or births.shape[1] != 2 or bool((deaths[:, 0] < 0).any()):
        raise fail(
            "extended_parts", "diagrams", f"is {diagrams!r}", "extended persistence of graphs, with its cells"
        )
    from_vertex, to_vertex = births[:, 1] < 0, deaths[:, 1] < 0
    masks = (
        from_vertex & ~to_vertex & (diagrams.dims == 0),
        from_vertex & (diagrams.dims == 1),
        to_vertex,
        ~from_vertex,
    )
    return ExtendedParts(*(diagrams.select(mask) for mask in masks))


def _first_edge_values(edge_index: Any, edge_values: Any, batch: torch.Tensor | None) -> torch.Tensor:
    """Return for each vertex (N,) or (N, F) the value of its first edge, +inf where there is none."""
    if edge_values is None:
        raise fail(_NAME, "vertex_values", "is None and edge_values too", "values of vertices or of edges")
    edges = read_columns(_NAME, "edge_values", edge_values, None)
    check_indices(_NAME, edges, edge_index, edges, None)
    reject_nan(_NAME, "edge_values", edges, "numbers")
    n = 0 if edge_index.numel() == 0 else int(edge_index.max()) + 1
    n = n if batch is None else len(batch)
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < n:
        came = f"has {int(edge_index.min())} … {int(edge_index.max())}"
        raise fail(_NAME, "edge_index", came, f"vertices from 0 to {n - 1}")
    ends = edge_index.long().reshape(-1)
    loops = (edge_index[0] == edge_index[1])[:, None]
    entering = edges.detach().masked_fill(loops, math.inf).repeat(2, 1)
    least = segment_amin(entering, ends, n, empty=math.inf)
    numbers = torch.arange(len(edges), device=edges.device).repeat(2)[:, None].expand_as(entering)
    # of several first edges the gradient goes to the first, as everywhere
    numbers = numbers.masked_fill((entering > least[ends]) | (entering == math.inf), len(edges))
    first = segment_amin(numbers, ends, n, empty=len(edges))
    values = torch.cat((edges, edges.new_full((1, edges.shape[1]), math.inf))).gather(0, first)
    return values[:, 0] if edge_values.ndim == 1 else values


def _fake_graph_bars(
    vertices: torch.Tensor,
    edge_index: torch.Tensor,
    edges: torch.Tensor | None,
    batch: torch.Tensor | None,
    extended: bool,
    n_graphs: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    n = torch.library.get_ctx().new_dynamic_size()
    return vertices.new_empty((6, n), dtype=torch.int64), vertices.new_empty((2, n), dtype=torch.int64)


@pairing_op(
    "graph_bars",
    "(Tensor vertices, Tensor edge_index, Tensor? edges, Tensor? batch, bool extended, SymInt n_graphs)"
    " -> (Tensor, Tensor)",
    _fake_graph_bars,
)
def _graph_bars(
    vertices: torch.Tensor,
    edge_index: torch.Tensor,
    edges: torch.Tensor | None,
    batch: torch.Tensor | None,
    extended: bool,
    n_graphs: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the packed bars, and where among the values of vertices, edges and inf each end stands."""
    values = to_host(vertices).numpy()
    graph_of = np.zeros(len(values), np.int64) if batch is None else to_host(batch).numpy().astype(np.int64)
    pairs = to_host(edge_index).numpy().astype(np.int64)
    weights = None if edges is None else to_host(edges).numpy()
    check_graphs(_NAME, values, pairs, weights, graph_of, n_graphs)
    edges_once = _SimpleEdges(*simple_edges(len(values), pairs))
    columns = np.ascontiguousarray(values.T)
    heights = None if weights is None else np.ascontiguousarray(weights.T)
    tables = map_batch(
        lambda f: _pair_filtration(columns[f], edges_once, None if heights is None else heights[f], extended),
        range(len(columns)),
    )
    bars, sources = _merge(tables, graph_of, values.shape, None if weights is None else weights.shape[0])
    return torch.from_numpy(bars).to(vertices.device), torch.from_numpy(sources).to(vertices.device)


class _SimpleEdges(NamedTuple):
    """The edges of all filtrations without loops, sorted by their ends: copies of one edge are a run."""

    ends: _Array  # (m, 2), u < v, each once
    copies: _Array  # (M,) their columns in `edge_index`, those of one edge ascending
    starts: _Array  # (m + 1,) where the copies of each edge begin, and M


def _pair_filtration(values: _Array, simple: _SimpleEdges, weights: _Array | None, extended: bool) -> _Array:
    """Return the bars of one filtration (7, n): dimension, birth cell, death cell, birth and death source.

    Sources are vertices, N + edge number, or -1 for inf.
    """
    by_value = argsort_floats(values)
    rank = np.empty_like(by_value)
    rank[by_value] = np.arange(len(values))
    edges, up_source = _edges_in_order(values, rank, simple, weights)
    dying, parent = elder_deaths(len(values), rank[edges])
    up_value = values[up_source] if weights is None else weights[up_source - len(values)]
    joins, closes = np.flatnonzero(dying >= 0), np.flatnonzero(dying < 0)
    youngest = by_value[dying[joins]]
    rows = [
        _rows(
            0, _vertex(youngest), edges[joins], youngest, up_source[joins], values[youngest] < up_value[joins]
        )
    ]
    lowest = by_value[parent == np.arange(len(values))]
    if extended:
        rows += _extended_rows(values, by_value, rank, edges, up_source, closes)
    else:
        rows += [
            _rows(0, _vertex(lowest), None, lowest, None),
            _rows(1, edges[closes], None, up_source[closes], None),
        ]
    return np.concatenate(rows, axis=1)


def _edges_in_order(
    values: _Array, rank: _Array, simple: _SimpleEdges, weights: _Array | None
) -> tuple[_Array, _Array]:
    """Return the edges (m, 2), u < v, in order, and the sources of their values."""
    low, high = simple.ends.T
    if weights is None:
        source = np.where(rank[low] > rank[high], low, high)
        by_value = argsort_floats(values[source])
    else:
        least = _least_copies(simple, weights)
        source = len(values) + least
        by_value = argsort_floats(weights[least])
    return simple.ends[by_value], source[by_value]


def _least_copies(simple: _SimpleEdges, weights: _Array) -> _Array:
    """Return of each edge the copy of smallest value, the first of these."""
    m = len(simple.ends)
    if m == len(simple.copies):
        return simple.copies
    heights = weights[simple.copies]
    edge = np.repeat(np.arange(m), np.diff(simple.starts))
    least = np.flatnonzero(heights == np.minimum.reduceat(heights, simple.starts[:-1])[edge])
    _, first = np.unique(edge[least], return_index=True)
    return simple.copies[least[first]]


def _extended_rows(
    values: _Array, by_value: _Array, rank: _Array, edges: _Array, up_source: _Array, closes: _Array
) -> list[_Array]:
    """Return the rows of the relative bars, of the components' extended bars and of the cycles' ones."""
    n = len(values)
    fall = n - 1 - rank  # the rank from above
    down_source = np.where(rank[edges[:, 0]] < rank[edges[:, 1]], edges[:, 0], edges[:, 1])
    by_fall = np.lexsort((np.arange(len(edges)), fall[down_source]))
    dying, parent = elder_deaths(n, fall[edges[by_fall]])
    joins = by_fall[dying >= 0]
    youngest = by_value[n - 1 - dying[dying >= 0]]
    ends = down_source[joins]
    relative = _rows(1, _vertex(youngest), edges[joins], youngest, ends, values[youngest] > values[ends])
    # the highest vertex of each component, and the lowest, by a vertex's root from above
    roots = parent.copy()
    while (roots[roots] != roots).any():
        roots = roots[roots]
    highest = by_value[n - 1 - roots[fall[by_value]]]
    _, first = np.unique(highest, return_index=True)
    lowest, highest = by_value[first], highest[first]
    plus = _rows(0, _vertex(lowest), _vertex(highest), lowest, highest, values[lowest] < values[highest])
    priority = np.empty(len(edges), np.int64)
    priority[by_fall] = np.arange(len(edges))[::-1]
    ended = cycle_deaths(n, edges, priority)[closes]
    born, ends = up_source[closes], down_source[ended]
    minus = _rows(1, edges[closes], edges[ended], born, ends, values[born] > values[ends])
    return [relative, plus, minus]


def _vertex(vertices: _Array) -> _Array:
    return np.stack((vertices, np.full_like(vertices, -1)), 1)


def _rows(
    dim: int,
    births: _Array,
    deaths: _Array | None,
    birth_sources: _Array,
    death_sources: _Array | None,
    kept: _Array | None = None,
) -> _Array:
    chosen = slice(None) if kept is None else np.flatnonzero(kept)
    birth_sources = birth_sources[chosen]
    rows = np.full((7, len(birth_sources)), -1, np.int64)
    rows[0], rows[1:3], rows[5] = dim, births[chosen].T, birth_sources
    if deaths is not None and death_sources is not None:
        rows[3:5], rows[6] = deaths[chosen].T, death_sources[chosen]
    return rows


def _merge(
    tables: list[_Array], graph_of: _Array, shape: tuple[int, ...], n_edges: int | None
) -> tuple[_Array, _Array]:
    """Return the rows of all filtrations sorted by (sample, dimension), and their sources in flat values."""
    n, n_columns = shape
    rows = np.concatenate(tables, axis=1)
    column = np.repeat(np.arange(n_columns), [table.shape[1] for table in tables])
    sample = graph_of[rows[1]] * n_columns + column
    keys = 2 * sample + rows[0]
    if (keys[1:] < keys[:-1]).any():  # with one graph, columns come in order
        order = radix_argsort(keys)
        rows, column, sample = rows.take(order, axis=1), column[order], sample[order]
    sources = rows[5:] * n_columns + column  # row-major (N, F), then (E, F): N + e is row e of the second
    sources[rows[5:] < 0] = (n + (n_edges or 0)) * n_columns
    return np.concatenate((sample[None], rows[:5])), sources
