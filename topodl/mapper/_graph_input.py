"""What a Mapper graph is made of, checked: node lists, edges in any order, tables of nodes."""

from __future__ import annotations

import numpy as np
import torch

from topodl._checks import as_tensor, fail
from topodl._host import host_array
from topodl.complexes._input import check_integers
from topodl.mapper._nerve import Array, given_edges

__all__ = [
    "both_directions",
    "check_members",
    "checked_edges",
    "given_weights",
    "rows_of_nodes",
    "with_edges_of",
]

_NAME = "MapperGraph"


def check_members(ptr: Array, members: Array, n_samples: int) -> None:
    """Raise the error of node lists that are empty, out of order or out of range."""
    if ptr.ndim != 1 or members.ndim != 1 or not len(ptr) or ptr[0] != 0 or ptr[-1] != len(members):
        came = f"has shape {ptr.shape} beside node_index of shape {members.shape}"
        raise fail(_NAME, "node_ptr", came, "offsets (V + 1,) from 0 to the length of node_index (M,)")
    empty = np.flatnonzero(np.diff(ptr) < 1)
    if len(empty):
        raise fail(_NAME, "node_ptr", f"has no sample of node {empty[0]}", "at least one sample in each node")
    if len(members) and not 0 <= members.min() <= members.max() < n_samples:
        came = f"has {members.min()} … {members.max()}"
        raise fail(_NAME, "node_index", came, f"samples from 0 to {n_samples - 1}")
    falls = np.diff(members) <= 0
    falls[ptr[1:-1] - 1] = False
    if falls.any():
        node = int(np.searchsorted(ptr, np.flatnonzero(falls)[0], side="right")) - 1
        raise fail(_NAME, "node_index", f"has samples of node {node} twice or out of order", "rising samples")


def checked_edges(ptr: Array, members: Array, edge_index: torch.Tensor) -> tuple[Array, Array]:
    edges = host_array(_NAME, check_integers(_NAME, "edge_index", edge_index))
    if edges.ndim != 2 or len(edges) != 2:
        raise fail(_NAME, "edge_index", f"has shape {edges.shape}", "shape (2, E)")
    if edges.size and not 0 <= edges.min() <= edges.max() < len(ptr) - 1:
        came = f"has {edges.min()} … {edges.max()}"
        raise fail(_NAME, "edge_index", came, f"nodes from 0 to {len(ptr) - 2}")
    loops = np.flatnonzero(edges[0] == edges[1])
    if len(loops):
        node = edges[0, loops[0]]
        raise fail(_NAME, "edge_index", f"has an edge from node {node} to itself", "edges between two nodes")
    return given_edges(edges, ptr, members)


def both_directions(pairs: Array, weights: torch.Tensor) -> tuple[Array, torch.Tensor]:
    """Return the edges (2, 2E) of both directions, sorted, and their weights (2E,)."""
    edges = np.concatenate([pairs, pairs[::-1]], 1)
    order = np.lexsort(edges[::-1])
    return np.ascontiguousarray(edges[:, order]), torch.cat([weights, weights])[torch.from_numpy(order)]


def given_weights(edge_index: torch.Tensor, edge_weight: torch.Tensor, edges: Array) -> torch.Tensor:
    """Return the weights of the sorted `edges` (2, 2E) from those of the edges as they were given."""
    weights = as_tensor(edge_weight)
    if weights.shape != edge_index.shape[1:]:
        came = f"has shape {tuple(weights.shape)}"
        raise fail(_NAME, "edge_weight", came, f"one weight for each of {edge_index.shape[1]} edges")
    both, twice = both_directions(host_array(_NAME, edge_index), weights.cpu())
    _, first, run = np.unique(both, axis=1, return_index=True, return_inverse=True)
    differs = (twice != twice[torch.from_numpy(first)[torch.from_numpy(run.reshape(-1))]]).nonzero()
    if len(differs):
        u, v = both[:, int(differs[0])]
        raise fail(_NAME, "edge_weight", f"has two weights of the edge ({u}, {v})", "one for each edge")
    return twice[torch.from_numpy(first)]


def rows_of_nodes(
    argument: str, table: torch.Tensor | None, n: int, device: torch.device
) -> torch.Tensor | None:
    """Return a table (n, …) of the nodes on their device."""
    if table is None:
        return None
    table = check_integers(_NAME, argument, table) if argument == "cover_index" else as_tensor(table)
    if table.ndim != 2 or len(table) != n:
        raise fail(_NAME, argument, f"has shape {tuple(table.shape)}", f"a row for each of {n} nodes, (V, …)")
    return table.to(device)


def with_edges_of(rows: Array, edges: Array, n: int) -> Array:
    """Return the simplices (S, k + 1) all of whose edges are among `edges` (2, 2E), sorted."""
    known, stays = edges[0] * n + edges[1], np.ones(len(rows), bool)
    for i in range(rows.shape[1]):
        for j in range(i + 1, rows.shape[1]):
            stays &= np.isin(rows[:, i] * n + rows[:, j], known)
    return rows[stays]
