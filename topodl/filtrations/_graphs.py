"""What the filtrations of graphs share: simple graphs, and the weights of their edges."""

from __future__ import annotations

from typing import Any

import torch

from topodl._checks import as_real, fail
from topodl._graph_input import SimpleGraphs, read_graphs
from topodl._host import whole_values
from topodl._segments import segment_mean

__all__ = ["SimpleGraphs", "at_columns", "checked_weights", "mean_of_edges", "read_graphs"]


def checked_weights(
    name: str, graphs: SimpleGraphs, edge_index: torch.Tensor, edge_weights: Any
) -> torch.Tensor:
    """Return a positive weight (E,) for each edge of the simple graphs, 1 where there are none."""
    if edge_weights is None:
        dtype = torch.get_default_dtype()
        return torch.ones(graphs.edges.shape[1], dtype=dtype, device=graphs.edges.device)
    weights = as_real(name, "edge_weights", edge_weights)
    if weights.shape != edge_index.shape[1:]:
        came = f"has shape {tuple(weights.shape)}"
        raise fail(name, "edge_weights", came, f"one for each of the {edge_index.shape[1]} columns")
    wrong = ~((whole_values(weights) > 0) & torch.isfinite(whole_values(weights)))
    if bool(wrong.any()):
        column = int(wrong.nonzero()[0, 0])
        came = f"has {float(weights.detach()[column])} at edge {column}".replace("nan", "NaN")
        raise fail(name, "edge_weights", came, "positive finite weights")
    return weights[graphs.first_column]


def at_columns(graphs: SimpleGraphs, values: torch.Tensor) -> torch.Tensor:
    """Return the values (E, …) of edges at the columns (M, …) of `edge_index`, 0 at loops."""
    padded = torch.cat((values, values.new_zeros((1, *values.shape[1:]))))
    return padded[graphs.edge_of_column]


def mean_of_edges(graphs: SimpleGraphs, values: torch.Tensor) -> torch.Tensor:
    """Return (N,) for each vertex the mean of the values (E,) of its edges, 0 where it has none."""
    return segment_mean(values.repeat(2), graphs.edges.reshape(-1), graphs.n_vertices)
