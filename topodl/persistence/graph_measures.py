"""Signed measures of graphs filtered by two parameters, exact and differentiable.

At every level of the first parameter a spanning forest is kept that is minimal in the second: an edge that
enters exchanges at most one. Disjoint graphs are one graph: one kernel call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import fail
from topodl.kernels.graphs.graph import cycle_deaths
from topodl.kernels.shared.radix import argsort_floats, radix_argsort
from topodl.persistence._batch import homology_dims_of, pairing_op, to_host
from topodl.persistence._graph_input import (
    SimpleEdges,
    check_graphs,
    check_indices,
    count_graphs,
    read_columns,
    simple_edges,
)
from topodl.persistence._measures import (
    assemble_measures,
    fake_measures,
    on_device,
    ordered_table,
    reached,
)
from topodl.signed_measures import SignedMeasures

__all__ = ["FilteredGraphs", "graph_signed_measure", "read_filtered_graphs", "spanning_exchanges"]

_NAME = "graph_signed_measure"
_Array = npt.NDArray[Any]


def graph_signed_measure(
    vertex_values: torch.Tensor,
    edge_index: torch.Tensor,
    edge_values: torch.Tensor | None = None,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    dims: int | Iterable[int] = (0, 1),
) -> SignedMeasures:
    """Compute the signed measures of each graph of a batch, filtered by two values of vertices and edges.

    The weights of all points p ≤ (s, t) add up to the number of components, or of independent cycles, of the
    graph of all vertices and edges with values ≤ (s, t). The measures are exact: no grid is involved. Points
    are gathered from the values, so gradients of any order reach the critical vertices and edges.

    Parameters
    ----------
    vertex_values : Tensor of shape (N, 2)
        Values of the vertices of all graphs. Both parameters rise; what is +inf in one is never present.
    edge_index : Tensor of shape (2, E), integers
        End points of the edges, in one or both directions, in any order (PyTorch Geometric's convention).
        Graphs are simple and undirected: loops are left out, and of several edges between the same vertices
        the one counts whose values are least.
    edge_values : Tensor of shape (E, 2), optional
        Values of the edges, at least those of their end points. The larger of these by default, in each
        parameter.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex, in any order. One graph by default.
    n_graphs : int, optional
        Number of graphs, where the last ones may have no vertex, or where a compiler may not look at `batch`.
    dims : int or iterable of int
        Homology dimensions: 0 components, 1 cycles; there is nothing above.

    Returns
    -------
    SignedMeasures
        One sample for each graph. Cells are numbers of vertices in the batch, as in `edge_index`: a vertex
        (v, -1) or an edge (u, v), u < v; the first has the point's first coordinate, the second the other.
        Points are ordered by their cells, vertices before edges. Several may be equal or cancel: see
        `SignedMeasures.merged`.

    Raises
    ------
    InputError
        If shapes do not agree, a value is NaN (the message names the graph), an index is out of range, an
        edge joins two graphs or enters before its end points, or of several edges between two vertices none
        has the least values in both parameters.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    D. Loiseaux, L. Scoccola, M. Carrière, M. B. Botnan, S. Oudot, "Stable vectorization of multiparameter
    persistent homology using signed barcodes as measures", NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> values = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> m = topodl.graph_signed_measure(values, torch.tensor([[0], [1]]))
    >>> m.points, m.weights
    (tensor([[0., 1.],
            [1., 0.],
            [1., 1.]]), tensor([ 1,  1, -1]))
    """
    homology_dims = homology_dims_of(_NAME, dims)
    vertices, edges, n_graphs = read_filtered_graphs(
        _NAME, vertex_values, edge_index, edge_values, batch, n_graphs
    )
    tensors = (vertices.detach(), edge_index, None if edges is None else edges.detach(), batch)
    table, sources = _graph_measures(*tensors, n_graphs, homology_dims)
    flat = vertices if edges is None else torch.cat((vertices, edges))
    points = flat.reshape(-1).index_select(0, sources).view(-1, 2)
    return assemble_measures(table, points, n_graphs, homology_dims)


def read_filtered_graphs(
    name: str, vertex_values: Any, edge_index: Any, edge_values: Any, batch: Any, n_graphs: int | None
) -> tuple[torch.Tensor, torch.Tensor | None, int]:
    """Return values (N, 2) and (E, 2) and the number of graphs, or say what is wrong."""
    vertices = read_columns(name, "vertex_values", vertex_values, None)
    if vertices.shape[1] != 2:
        expected = "two values of each vertex, shape (N, 2)"
        raise fail(name, "vertex_values", f"has shape {tuple(vertex_values.shape)}", expected)
    edges = None
    if edge_values is not None:  # of the vertices' precision, in which values are compared
        edges = read_columns(name, "edge_values", edge_values, 2).to(vertices.dtype)
    check_indices(name, vertices, edge_index, edges, batch)
    return vertices, edges, count_graphs(name, batch, n_graphs)


def _fake_graph_measures(
    vertices: torch.Tensor,
    edge_index: torch.Tensor,
    edges: torch.Tensor | None,
    batch: torch.Tensor | None,
    n_graphs: int,
    dims: Sequence[int],
) -> tuple[torch.Tensor, torch.Tensor]:
    return fake_measures(vertices, cell_size=2)


@pairing_op(
    "graph_signed_measure",
    "(Tensor vertices, Tensor edge_index, Tensor? edges, Tensor? batch, SymInt n_graphs, int[] dims)"
    " -> (Tensor, Tensor)",
    _fake_graph_measures,
)
def _graph_measures(
    vertices: torch.Tensor,
    edge_index: torch.Tensor,
    edges: torch.Tensor | None,
    batch: torch.Tensor | None,
    n_graphs: int,
    dims: Sequence[int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ordered table of signed points, and where their coordinates stand among all values."""
    graphs = FilteredGraphs.read(_NAME, vertices, edge_index, edges, batch, n_graphs)
    of_dim = {0: [(1, graphs.present_vertices, graphs.present_vertices)], 1: []}
    enters, leaves = spanning_exchanges(graphs)
    joins, closes = enters[leaves != enters], leaves >= 0
    exchanged = closes & (leaves != enters)
    of_dim[0] += [(-1, joins, joins), (1, enters[exchanged], leaves[exchanged])]
    of_dim[1] += [(1, enters[closes], leaves[closes])]
    return on_device(*graphs.signed_table({k: of_dim.get(k, []) for k in dims}), vertices.device)


class FilteredGraphs(NamedTuple):
    """Vertices and simple edges of all graphs in NumPy arrays: cell v is a vertex, cell N + e an edge."""

    ends: _Array  # (m, 2), u < v
    values: _Array  # (2, N + m), of each parameter
    sources: _Array  # (2, N + m), the row of the tensors of values that each value is read from
    graph_of: _Array  # (N,)

    @classmethod
    def read(
        cls, name: str, vertices: Any, edge_index: Any, edges: Any, batch: Any, n_graphs: int
    ) -> FilteredGraphs:
        """Return the graphs of the tensors of a batch, or raise the error that says what is wrong."""
        values, n = to_host(vertices).numpy(), len(vertices)
        graph_of = np.zeros(n, np.int64) if batch is None else to_host(batch).numpy().astype(np.int64)
        pairs = to_host(edge_index).numpy().astype(np.int64)
        weights = None if edges is None else to_host(edges).numpy()
        check_graphs(name, values, pairs, weights, graph_of, n_graphs)
        simple, own = simple_edges(n, pairs), np.arange(n)
        low, high = simple.ends.T
        values = np.ascontiguousarray(values.T)
        if weights is None:
            sources = np.stack([np.where(each[low] > each[high], low, high) for each in values])
            heights = np.take_along_axis(values, sources, 1)
        else:
            least = _least_copies(name, simple, weights)
            sources, heights = np.stack((n + least, n + least)), weights[least].T
        return cls(
            simple.ends,
            np.concatenate((values, heights), axis=1),
            np.concatenate((np.stack((own, own)), sources), axis=1),
            graph_of,
        )

    @property
    def present_vertices(self) -> _Array:
        """The vertices that are ever reached."""
        return np.flatnonzero(reached(self.values[:, : len(self.graph_of)]))

    @property
    def present_edges(self) -> _Array:
        """The edges that are ever reached, as cells."""
        n = len(self.graph_of)
        return n + np.flatnonzero(reached(self.values[:, n:]))

    def signed_table(self, of_dim: dict[int, list[tuple[int, _Array, _Array]]]) -> tuple[_Array, _Array]:
        """Return the ordered table of points, given weights and both cells of those of each dimension."""
        n = len(self.graph_of)
        parts = [(k, *part) for k, several in of_dim.items() for part in several]
        empty = np.empty(0, np.int64)
        sizes = [len(first) for _, _, first, _ in parts]
        dims = np.repeat(np.array([k for k, *_ in parts], np.int64), sizes)
        weights = np.repeat(np.array([weight for _, weight, _, _ in parts], np.int64), sizes)
        cells = np.stack([np.concatenate([empty, *(part[i] for part in parts)]) for i in (2, 3)])
        names = np.concatenate((np.stack((np.arange(n), np.full(n, -1))), self.ends.T), axis=1)
        samples = self.graph_of[names[0][cells[0]]]
        sources = np.stack([2 * self.sources[i][cells[i]] + i for i in (0, 1)])
        return ordered_table(samples, dims, weights, cells, sources, (names, names))


def spanning_exchanges(graphs: FilteredGraphs) -> tuple[_Array, _Array]:
    """Return the edges in the order in which they enter, and for each the edge that leaves, -1 if none does.

    They enter by the first value, those of equal ones by the second. The edges that have not left are a
    spanning forest of least second values, at every level of the first.
    """
    n, edges = len(graphs.graph_of), graphs.present_edges
    first, second = graphs.values[0][edges], graphs.values[1][edges]
    by_first = argsort_floats(first)
    by_second = by_first[argsort_floats(second[by_first])]
    level, fall, rising = np.zeros(len(edges), np.int64), np.empty(len(edges), np.int64), first[by_first]
    level[by_first[1:]] = np.cumsum(rising[1:] != rising[:-1])
    fall[by_second] = np.arange(len(edges))[::-1]
    order = by_second[radix_argsort(level[by_second])]
    priority = fall[order]
    enters = edges[order]
    leaves = cycle_deaths(n, np.ascontiguousarray(graphs.ends[enters - n]), priority)
    return enters, np.where(leaves >= 0, enters[leaves], -1)


def _least_copies(name: str, simple: SimpleEdges, weights: _Array) -> _Array:
    """Return of each edge the copy of least values, the first of these."""
    m = len(simple.starts)
    if m == len(simple.copies):
        return simple.copies
    edge = np.repeat(np.arange(m), np.diff(simple.starts, append=len(simple.copies)))
    heights = weights[simple.copies]
    order = np.lexsort((heights[:, 1], heights[:, 0], edge))  # stable, and the copies ascend
    least = order[simple.starts]
    beyond = np.flatnonzero((heights < heights[least][edge]).any(1))
    if len(beyond):
        one, other = simple.copies[least[edge[beyond[0]]]], simple.copies[beyond[0]]
        came = f"has {weights[one].tolist()} and {weights[other].tolist()} for edges {one} and {other}"
        expected = "one edge between two vertices, or one that has the least values in both parameters"
        raise fail(name, "edge_values", came, expected)
    return simple.copies[least]
