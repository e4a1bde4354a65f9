"""Graphs as they come: edges in any order and direction, vertices graph after graph; and limits on cells."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import check_dense, check_number, count_up_to, fail
from topodl._host import host_array
from topodl.errors import MemoryLimitError
from topodl.kernels.complexes.cliques import stray_edge

__all__ = [
    "GraphBatch",
    "check_integers",
    "names_of_cells",
    "read_graphs",
    "reject_too_many",
    "vertex_offsets",
]

Array = npt.NDArray[Any]


class GraphBatch(NamedTuple):
    """The edges (2, E) of a batch of graphs on the host, and offsets (n_graphs + 1,) of their vertices."""

    ends: Array
    offsets: Array
    device: torch.device

    @property
    def n_vertices(self) -> int:
        """Number of vertices of all graphs."""
        return int(self.offsets[-1])


def check_integers(function: str, argument: str, value: Any) -> torch.Tensor:
    """Return `value` as a tensor of int64, or raise the error that says why it has no integers."""
    x = check_dense(function, argument, value)
    if x.dtype.is_floating_point or x.dtype.is_complex or x.dtype == torch.bool:
        raise TypeError(f"{function}: {argument} has dtype {x.dtype}; expected integers")
    return x.to(torch.int64)


def vertex_offsets(function: str, batch: torch.Tensor, n_graphs: int | None) -> Array:
    """Return the offsets (n_graphs + 1,) of the vertices of each graph, or the error if they are mixed."""
    batch = check_integers(function, "batch", batch)
    if batch.ndim != 1:
        raise fail(function, "batch", f"has shape {tuple(batch.shape)}", "one graph for each vertex, (N,)")
    graph_of = host_array(function, batch)
    falls = np.flatnonzero(graph_of[1:] < graph_of[:-1])
    if len(falls):
        at = int(falls[0])
        came = f"has graph {graph_of[at]} before graph {graph_of[at + 1]} at vertex {at + 1}"
        raise fail(function, "batch", came, "the vertices of one graph after those of another")
    if n_graphs is None:
        n_graphs = count_up_to(function, "batch", int(graph_of[-1:].max(initial=-1)))
    check_number(function, "n_graphs", n_graphs, low=0, integer=True)
    if len(graph_of) and not 0 <= graph_of[0] <= graph_of[-1] < n_graphs:
        came = f"has {graph_of[0]} … {graph_of[-1]}"
        raise fail(function, "batch", came, f"graphs from 0 to {n_graphs - 1}")
    return np.searchsorted(graph_of, np.arange(n_graphs + 1))


def read_graphs(
    function: str,
    edge_index: Any,
    batch: torch.Tensor | None,
    n_graphs: int | None,
    n_vertices: int | None,
    argument: str = "edge_index",
) -> GraphBatch:
    """Return the graphs, or raise the error that names what is wrong with them."""
    edges = check_integers(function, argument, edge_index)
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise fail(function, argument, f"has shape {tuple(edges.shape)}", "shape (2, E)")
    ends = host_array(function, edges)
    if batch is None:
        if n_vertices is None:
            n_vertices = count_up_to(function, argument, int(ends.max(initial=-1)))
        check_number(function, "n_vertices", n_vertices, low=0, integer=True)
        if n_graphs not in (None, 1):
            raise fail(function, "n_graphs", f"is {n_graphs} without batch", "a batch, or one graph")
        offsets = np.array([0, n_vertices])
    else:
        offsets = vertex_offsets(function, batch, n_graphs)
        if n_vertices not in (None, len(batch)):
            came = f"is {n_vertices}"
            raise fail(function, "n_vertices", came, f"the {len(batch)} vertices of batch, or None")
    graph_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    stray = stray_edge(ends, graph_of)
    if stray >= 0:
        raise _stray(function, argument, ends[:, stray].tolist(), graph_of)
    return GraphBatch(ends, offsets, edges.device)


def _stray(function: str, argument: str, edge: list[int], graph_of: Array) -> Exception:
    if not all(0 <= v < len(graph_of) for v in edge):
        came, expected = f"has an edge {tuple(edge)}", f"vertices from 0 to {len(graph_of) - 1}"
        return fail(function, argument, came, expected)
    u, v = edge
    came = f"has an edge ({u}, {v}) from graph {graph_of[u]} to graph {graph_of[v]}"
    return fail(function, argument, came, "edges within graphs")


def names_of_cells(dim: int, rings: bool = False) -> str:
    """Return what the cells of a dimension are called."""
    if dim == 2 and rings:
        return "rings"
    return ("vertices", "edges", "triangles", "tetrahedra")[dim] if dim < 4 else f"{dim}-cells"


def reject_too_many(
    function: str, counts: Array, taken: int, max_cells: int, cells: str, argument: str = "edge_index"
) -> None:
    """Raise the error that names the largest sample if its cells and those of others are too many.

    `counts` (n_graphs,) are for cells to come, before there is memory for them, beside those `taken`.
    """
    total = taken + int(counts.sum())
    if total <= max_cells:
        return
    graph = int(counts.argmax())
    raise MemoryLimitError(
        f"{function}: {argument} has {total} cells up to its {cells}, of which sample {graph} has "
        f"{counts[graph]} {cells}; expected at most max_cells = {max_cells}"
    )
