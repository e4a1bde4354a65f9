"""Pairings of graphs filtered by vertices and edges, one by one or together, for all filtrations at once.

Cost: a sort of vertices and edges for each filtration, then O(E α(N)), and the look for triangles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._host import host_array, host_arrays, untransformed
from topodl._precision import at_least_single
from topodl._segments import segment_mean, segment_scale
from topodl.kernels.graphs.triangles import fill_cycles
from topodl.kernels.shared.adjacency import adjacency
from topodl.kernels.shared.pool import map_batch
from topodl.kernels.shared.radix import radix_argsort
from topodl.kernels.shared.union_find import elder_deaths

__all__ = ["VertexEdgePairs", "pair_filtrations", "share_ties"]

# Relative to the largest value of a graph in a filtration; single precision has 6e-8. A power of two, as is
# the unit that it is taken of, so that rounding of the largest value does not move all others.
_RELATIVE_ROUNDING = 2.0**-21

Array = np.ndarray[Any, np.dtype[Any]]


class VertexEdgePairs(NamedTuple):
    """Which edge kills the component of each vertex, and which edges close cycles, for F filtrations.

    Vertices (edges) of one graph whose values are equal cannot be told apart: they form a group, whose
    members share what they get, so that results do not depend on the numbering.
    """

    killers: torch.Tensor
    """(N, F) edge at which the component born at a vertex dies, -1 where it never does."""
    cycles: torch.Tensor
    """(E, F) whether an edge closes a cycle."""
    fillers: torch.Tensor
    """(E, F) edge with which a triangle enters that fills the cycle of an edge, -1 where none does."""
    vertex_groups: torch.Tensor
    """(N, F) group of each vertex in each filtration, numbered through."""
    edge_groups: torch.Tensor
    """(E, F) group of each edge."""


def share_ties(values: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return the mean of `values` (n, F, …) over each group of `groups` (n, F)."""
    if not groups.numel() or int(groups.max()) + 1 == groups.numel():
        return values
    flat = groups.flatten()
    return segment_mean(values.flatten(0, 1), flat, int(flat.max()) + 1)[flat].view_as(values)


def pair_filtrations(
    vertex_values: torch.Tensor,
    edge_values: torch.Tensor,
    edges: torch.Tensor,
    graph: torch.Tensor,
    ties: torch.Tensor | None = None,
    *,
    triangles: bool = True,
) -> VertexEdgePairs:
    """Pair components with the edges that merge them, and cycles with triangles, in every column of values.

    Of two components the one dies whose oldest vertex is younger, by (value, tie value, index). Values that
    differ by rounding alone count as equal.

    Parameters
    ----------
    vertex_values : Tensor of shape (N, F)
        Order the vertices.
    edge_values : Tensor of shape (E, F)
        Order the edges; they need not exceed those of the end points.
    edges : Tensor of shape (2, E), int64
        Simple edges.
    graph : Tensor of shape (N,), int64
        The graph of each vertex.
    ties : Tensor of shape (N, F), optional
        Orders vertices of equal value.
    triangles : bool
        Whether triangles fill cycles.

    Returns
    -------
    VertexEdgePairs
    """
    ends, owner = host_arrays("graph layer", (edges, graph))
    pairs = ends.T
    vertices = _levels(vertex_values, owner)
    weights = _levels(edge_values, owner[pairs[:, 0]])
    second = None if ties is None else _levels(ties, owner)
    edge_owner = owner[pairs[:, 0]]
    neighbours = adjacency(len(owner), pairs) if triangles else ()

    def pair(f: int) -> tuple[Array, ...]:
        keys = (vertices[:, f], owner) if second is None else (second[:, f], vertices[:, f], owner)
        by_age, vertex_groups = _sorted_groups(keys)
        order, edge_groups = _sorted_groups((weights[:, f], edge_owner))
        rank = np.empty_like(by_age)
        rank[by_age] = np.arange(len(by_age))
        dying, _ = elder_deaths(len(rank), rank[pairs[order]])
        joins = dying >= 0
        killers, cycles = np.full(len(rank), -1, np.int64), np.zeros(len(order), bool)
        killers[by_age[dying[joins]]] = order[joins]
        cycles[order[~joins]] = True
        fillers = fill_cycles(pairs, edge_owner, order, ~joins, *neighbours) if triangles else never
        return killers, cycles, fillers, vertex_groups, edge_groups

    never = np.full(len(pairs), -1, np.int64)
    columns = map_batch(pair, range(vertices.shape[1]))
    tables = [np.stack(parts, 1) for parts in zip(*columns, strict=True)]
    for table in tables[3:]:
        if len(table):
            table += np.concatenate(([0], np.cumsum(table.max(0) + 1)[:-1]))
    return VertexEdgePairs(*(torch.from_numpy(table).to(vertex_values.device) for table in tables))


def _levels(values: torch.Tensor, graph: Array) -> Array:
    """Return integers that order the values of each graph, in each column, equal where rounding parts these.

    Each graph has a unit of its own, so that what counts as equal does not depend on the rest of a batch.
    """
    array = host_array("graph layer", at_least_single(values)).astype(np.float64)
    n_graphs = int(graph.max()) + 1 if len(graph) else 0
    with untransformed():
        scale = segment_scale(torch.from_numpy(array), torch.from_numpy(graph), n_graphs).numpy()
    return np.round(array / (_RELATIVE_ROUNDING * scale[graph])).astype(np.int64)


def _sorted_groups(keys: tuple[Array, ...]) -> tuple[Array, Array]:
    """Return the order by `keys`, the last first, and the number of each element's group of equal keys."""
    order = radix_argsort(keys[0]).astype(np.int64)
    for key in keys[1:]:
        order = order[radix_argsort(key[order])]
    new = np.zeros(len(order), np.int64)
    for key in keys:
        new[1:] |= key[order[1:]] != key[order[:-1]]
    groups = np.empty(len(order), np.int64)
    groups[order] = np.cumsum(new)
    return order, groups
