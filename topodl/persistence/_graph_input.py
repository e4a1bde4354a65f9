"""Graphs as the persistence functions take them, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import as_real, check_dense, check_number, fail

__all__ = ["check_graphs", "check_indices", "count_graphs", "read_columns"]

_Array = npt.NDArray[Any]


def read_columns(name: str, argument: str, value: Any, n_columns: int | None) -> torch.Tensor:
    """Return values (N,) or (N, F) of vertices or edges as (N, F), with `n_columns` where these are known."""
    x = as_real(name, argument, value)
    if x.ndim not in (1, 2) or 0 in x.shape[1:] or n_columns not in (None, x.shape[1] if x.ndim == 2 else 1):
        rows = "N" if argument == "vertex_values" else "E"
        raise fail(name, argument, f"has shape {tuple(x.shape)}", f"shape ({rows},) or ({rows}, F), F > 0")
    return x[:, None] if x.ndim == 1 else x


def check_indices(
    name: str, vertices: torch.Tensor, edge_index: Any, edges: torch.Tensor | None, batch: torch.Tensor | None
) -> None:
    """Raise unless indices are integers, and shapes agree."""
    for argument, index in (("edge_index", edge_index), ("batch", batch)):
        if index is None and argument == "batch":
            continue
        dtype = check_dense(name, argument, index).dtype
        if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
            raise TypeError(f"{name}: {argument} has dtype {dtype}; expected integers")
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise fail(name, "edge_index", f"has shape {tuple(edge_index.shape)}", "shape (2, E)")
    if edges is not None and edges.shape[0] != edge_index.shape[1]:
        came = f"has {edges.shape[0]} rows"
        raise fail(
            name, "edge_values", came, f"one for each of the {edge_index.shape[1]} edges of edge_index"
        )
    if batch is not None and batch.shape != vertices.shape[:1]:
        came = f"has shape {tuple(batch.shape)}"
        raise fail(name, "batch", came, f"one graph for each of the {vertices.shape[0]} vertices")


def check_graphs(
    name: str,
    values: _Array,
    pairs: _Array,
    weights: _Array | None,
    graph_of: _Array,
    n_graphs: int,
) -> None:
    """Raise the error that names the first graph, vertex or edge that is not as it must be."""
    if graph_of.size and not 0 <= graph_of.min() <= graph_of.max() < n_graphs:
        came = f"has {graph_of.min()} … {graph_of.max()}"
        raise fail(name, "batch", came, f"graphs of at least 0 and below n_graphs = {n_graphs}")
    if np.isnan(values).any():
        vertex, column = np.argwhere(np.isnan(values))[0]
        came = f"has NaN at vertex {vertex} of graph {graph_of[vertex]}, filtration {column}"
        raise fail(name, "vertex_values", came, "numbers")
    if pairs.size == 0:
        return
    if not 0 <= pairs.min() <= pairs.max() < len(values):
        came = f"has {pairs.min()} … {pairs.max()}"
        raise fail(name, "edge_index", came, f"vertices from 0 to {len(values) - 1}")
    across = np.flatnonzero(graph_of[pairs[0]] != graph_of[pairs[1]])
    if across.size:
        u, v = pairs[:, across[0]]
        came = f"has an edge ({u}, {v}) from graph {graph_of[u]} to graph {graph_of[v]}"
        raise fail(name, "edge_index", came, "edges within graphs")
    if weights is None:
        return
    if np.isnan(weights).any():
        edge, column = np.argwhere(np.isnan(weights))[0]
        came = f"has NaN at edge {edge} of graph {graph_of[pairs[0, edge]]}, filtration {column}"
        raise fail(name, "edge_values", came, "numbers")
    early = np.argwhere(
        (weights < np.maximum(values[pairs[0]], values[pairs[1]])) & (pairs[0] != pairs[1])[:, None]
    )
    if early.size:
        edge, column = early[0]
        came = f"has {weights[edge, column]} at edge {edge}, less than an end point's value"
        remedy = "torch.maximum(edge_values, vertex_values[edge_index].amax(0))"
        raise fail(name, "edge_values", came, f"no edge to enter before its end points: {remedy}")


def count_graphs(name: str, batch: torch.Tensor | None, n_graphs: int | None) -> int:
    """Return the number of graphs: what was given, or what `batch` says."""
    if n_graphs is None:
        n_graphs = 1 if batch is None else int(batch.max()) + 1 if len(batch) else 0
    check_number(name, "n_graphs", n_graphs, low=0, integer=True)
    return n_graphs
