"""Signed measures of graphs filtered by two parameters, exact and differentiable.

At every level of the first parameter a spanning forest is kept that is minimal in the second: an edge that
enters exchanges at most one. Disjoint graphs are one graph: one kernel call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import fail
from topodl.kernels.graphs.signed_points import EULER, is_sound, signed_points
from topodl.kernels.shared.radix import ordered_keys
from topodl.persistence._batch import homology_dims_of, pairing_op, to_host
from topodl.persistence._graph_input import check_graphs, check_indices, count_graphs, read_columns
from topodl.persistence._measures import assemble_measures, fake_measures, on_device
from topodl.signed_measures import SignedMeasures

__all__ = ["graph_signed_measure", "measure_graphs"]

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
    graphs = (vertex_values, edge_index, edge_values, batch, n_graphs)
    return measure_graphs(_NAME, *graphs, homology_dims_of(_NAME, dims))


def measure_graphs(
    name: str,
    vertex_values: Any,
    edge_index: Any,
    edge_values: Any,
    batch: Any,
    n_graphs: int | None,
    dims: Sequence[int],
) -> SignedMeasures:
    """Return the measures of graphs, of their Euler characteristic for the dimension −1."""
    vertices = _read_pairs(name, vertex_values)
    edges = None
    if edge_values is not None:  # of the vertices' precision, in which values are compared
        edges = read_columns(name, "edge_values", edge_values, 2).to(vertices.dtype)
    check_indices(name, vertices, edge_index, edges, batch)
    n_graphs = count_graphs(name, batch, n_graphs)
    tensors = (vertices.detach(), edge_index, None if edges is None else edges.detach(), batch)
    table, sources = _graph_measures(*tensors, n_graphs, list(dims))
    flat = vertices if edges is None else torch.cat((vertices, edges))
    points = flat.reshape(-1).index_select(0, sources).view(-1, 2)
    return assemble_measures(table, points, n_graphs, dims)


def _read_pairs(name: str, vertex_values: Any) -> torch.Tensor:
    vertices = read_columns(name, "vertex_values", vertex_values, None)
    if vertices.shape[1] != 2:
        expected = "two values of each vertex, shape (N, 2)"
        raise fail(name, "vertex_values", f"has shape {tuple(vertex_values.shape)}", expected)
    return vertices


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
    name = "euler_signed_measure" if EULER in dims else _NAME
    values, pairs = to_host(vertices).numpy(), _host_integers(edge_index)
    graph_of = np.zeros(len(values), np.int64) if batch is None else _host_integers(batch)
    weights = values[:0] if edges is None else to_host(edges).numpy()
    keys, edge_keys, never = (
        _keys(values),
        _keys(weights),
        int(_keys(np.array([[np.inf]], values.dtype))[0, 0]),
    )
    rest = (pairs, graph_of, n_graphs)
    if not is_sound(keys, edge_keys, *rest, edges is not None, never):
        check_graphs(name, values, pairs, None if edges is None else weights, graph_of, n_graphs)
    table, places, (one, other) = signed_points(
        keys, edge_keys, *rest, np.array(dims), edges is not None, never
    )
    if one >= 0:
        came = f"has {weights[one].tolist()} and {weights[other].tolist()} for edges {one} and {other}"
        expected = "one edge between two vertices, or one that has the least values in both parameters"
        raise fail(name, "edge_values", came, expected)
    return on_device(table, places, vertices.device)


def _host_integers(index: torch.Tensor) -> _Array:
    return to_host(index).numpy().astype(np.int64, copy=False)


def _keys(values: _Array) -> _Array:
    """Return integers in the order of the values."""
    keys: _Array = ordered_keys(values.reshape(-1).view(f"i{values.itemsize}")).reshape(values.shape)
    return keys
