"""What the filtrations of graphs share: simple graphs, and the weights of their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from topodl._checks import as_real, fail
from topodl._graph_input import SimpleGraphs, read_graphs
from topodl._host import whole_values
from topodl._segments import segment_mean

__all__ = [
    "SimpleGraphs",
    "at_columns",
    "by_blocks",
    "checked_weights",
    "each_block",
    "mean_of_edges",
    "read_graphs",
]


def checked_weights(
    name: str,
    graphs: SimpleGraphs,
    edge_index: torch.Tensor,
    edge_weights: Any,
    argument: str = "edge_weights",
) -> torch.Tensor:
    """Return a positive weight (E,) for each edge of the simple graphs, 1 where there are none."""
    if edge_weights is None:
        dtype = torch.get_default_dtype()
        return torch.ones(graphs.edges.shape[1], dtype=dtype, device=graphs.edges.device)
    weights = as_real(name, argument, edge_weights)
    if weights.shape != edge_index.shape[1:]:
        came = f"has shape {tuple(weights.shape)}"
        raise fail(name, argument, came, f"one for each of the {edge_index.shape[1]} columns")
    wrong = ~((whole_values(weights) > 0) & torch.isfinite(whole_values(weights)))
    if bool(wrong.any()):
        column = int(wrong.nonzero()[0, 0])
        came = f"has {float(weights.detach()[column])} at edge {column}".replace("nan", "NaN")
        raise fail(name, argument, came, "positive finite numbers")
    return weights[graphs.first_column]


def at_columns(graphs: SimpleGraphs, values: torch.Tensor) -> torch.Tensor:
    """Return the values (E, …) of edges at the columns (M, …) of `edge_index`, 0 at loops."""
    padded = torch.cat((values, values.new_zeros((1, *values.shape[1:]))))
    return padded[graphs.edge_of_column]


def mean_of_edges(graphs: SimpleGraphs, values: torch.Tensor) -> torch.Tensor:
    """Return (N,) for each vertex the mean of the values (E,) of its edges, 0 where it has none."""
    return segment_mean(values.repeat(2), graphs.edges.reshape(-1), graphs.n_vertices)


def by_blocks(
    graphs: SimpleGraphs, weights: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor | None:
    """Return (N, …) what a function of adjacency matrices (g, n, n) gives, (g, n, …), at each vertex.

    Graphs of equal size go together; `weights` (E,) are the entries. None without vertices.
    """
    order, sizes, blocks, starts = _blocks(graphs, weights)
    parts, places = [], []
    for n in torch.unique(sizes[sizes > 0]).tolist():
        which = (sizes == n).nonzero()[:, 0]
        entries = starts[which, None] + torch.arange(n * n, device=starts.device)
        parts.append(function(blocks[entries].view(-1, n, n)).flatten(0, 1))
        firsts = (sizes.cumsum(0) - sizes)[which, None]
        places.append(order[firsts + torch.arange(n, device=order.device)].reshape(-1))
    return torch.cat(parts)[torch.argsort(torch.cat(places))] if parts else None


def each_block(graphs: SimpleGraphs, weights: torch.Tensor) -> list[torch.Tensor]:
    """Return the adjacency matrix (n, n) of each graph, whose entries are `weights` (E,)."""
    _, sizes, blocks, _ = _blocks(graphs, weights)
    parts = blocks.split(sizes.square().tolist())
    return [part.view(n, n) for part, n in zip(parts, sizes.tolist(), strict=True)]


def _blocks(
    graphs: SimpleGraphs, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the vertices by graph, the sizes, the entries of all matrices, and where each matrix begins."""
    order = torch.argsort(graphs.graph, stable=True)
    sizes = torch.bincount(graphs.graph, minlength=graphs.n_graphs)
    ends = sizes.square().cumsum(0)
    starts = ends - sizes.square()
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    place -= (sizes.cumsum(0) - sizes)[graphs.graph]
    u, v = graphs.edges
    owner = graphs.graph[u]
    at = torch.cat([starts[owner] + place[a] * sizes[owner] + place[b] for a, b in ((u, v), (v, u))])
    total = int(ends[-1]) if len(ends) else 0
    return order, sizes, weights.new_zeros(total).index_put((at,), weights.repeat(2)), starts
