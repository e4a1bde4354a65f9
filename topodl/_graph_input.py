"""Graphs in the convention of PyTorch Geometric, checked and brought to simple edges."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from topodl._checks import check_dense, check_number, count_up_to, fail
from topodl._host import read_numbers, reject_mapped

__all__ = ["SimpleGraphs", "check_features", "check_graphs", "read_graphs", "simple_edges"]


class SimpleGraphs(NamedTuple):
    """Graphs without features: each edge once, and how the columns of `edge_index` stand for them."""

    edges: torch.Tensor
    """(2, E), u < v, sorted."""
    edge_of_column: torch.Tensor
    """(M,) the edge that each column stands for, -1 for loops."""
    first_column: torch.Tensor
    """(E,) the first column that stands for each edge."""
    graph: torch.Tensor
    """(N,) the graph of each vertex."""
    n_graphs: int

    @property
    def n_vertices(self) -> int:
        """Number of vertices of all graphs, N."""
        return len(self.graph)


def read_graphs(name: str, edge_index: Any, batch: Any, n_vertices: int | None) -> SimpleGraphs:
    """Return the simple graphs of `edge_index`, or say what is unusable.

    There are as many vertices as `batch` or `n_vertices` says, or as the largest number in `edge_index`.
    """
    edge_index = _check_integers(name, "edge_index", edge_index)
    if batch is not None:
        batch = _check_integers(name, "batch", batch)
        n = batch.numel()
        if n_vertices not in (None, n):
            raise fail(name, "n_vertices", f"is {n_vertices!r}", f"{n}, the length of batch")
    elif n_vertices is None:
        n = count_up_to(name, "edge_index", _ends(edge_index)[1])
    else:
        check_number(name, "n_vertices", n_vertices, low=0, integer=True)
        n = int(n_vertices)
    _check_edges(name, edge_index, n)
    if batch is None:
        batch = torch.zeros(n, dtype=torch.int64, device=edge_index.device)
    n_graphs = _check_batch(name, batch, edge_index, n)
    edges = simple_edges(edge_index, n)
    low, high = edge_index.long().aminmax(dim=0)
    at = torch.searchsorted(edges[0] * n + edges[1], low * n + high).masked_fill(low == high, -1)
    columns = (at >= 0).nonzero()[:, 0]
    first = at.new_zeros(edges.shape[1])
    first = first.scatter_reduce(0, at[columns], columns, "amin", include_self=False)
    return SimpleGraphs(edges, at, first, batch.long(), n_graphs)


def check_graphs(
    layer: torch.nn.Module, x: Any, edge_index: Any, batch: Any, n_graphs: int | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Return `x`, `edge_index`, the graph of each vertex and their number, or say what is unusable."""
    name = type(layer).__name__
    x, edge_index = check_dense(name, "x", x), _check_integers(name, "edge_index", edge_index)
    reject_mapped(name, "x", x)
    check_features(name, "x", x, layer.in_features, layer)  # type: ignore[arg-type]
    _check_edges(name, edge_index, len(x))
    if n_graphs is not None:
        check_number(name, "n_graphs", n_graphs, low=1 if batch is None else 0, integer=True)
    if batch is None:
        return x, edge_index, torch.zeros(len(x), dtype=torch.int64, device=x.device), n_graphs or 1
    batch = _check_integers(name, "batch", batch)
    least = _check_batch(name, batch, edge_index, len(x))
    if n_graphs is not None and least > n_graphs:
        raise fail(name, "batch", f"has graph {least - 1}", f"graphs from 0 to {n_graphs - 1}")
    return x, edge_index, batch.long(), least if n_graphs is None else n_graphs


def _check_integers(name: str, argument: str, value: Any) -> torch.Tensor:
    """Return `value` as int64 if it is a tensor of integers."""
    integers = check_dense(name, argument, value)
    reject_mapped(name, argument, integers)
    if integers.is_floating_point() or integers.is_complex() or integers.dtype == torch.bool:
        raise TypeError(f"{name}: {argument} has dtype {integers.dtype}; expected integers")
    return integers.long()  # bytes would select as a mask does


def check_features(
    name: str, argument: str, x: torch.Tensor, in_features: int, layer: torch.nn.Module
) -> None:
    """Raise an `InputError` unless `x` has shape (N, in_features), is finite and has the layer's dtype."""
    if x.ndim != 2:
        raise fail(name, argument, f"has shape {tuple(x.shape)}", "features of shape (N, F)")
    if x.shape[1] != in_features:
        raise fail(name, argument, f"has {x.shape[1]} features", f"{in_features}, as in_features says")
    weights = next((w for w in layer.parameters() if w.is_floating_point()), x)
    if x.dtype != weights.dtype and not torch.is_autocast_enabled(x.device.type):
        raise fail(name, argument, f"has dtype {x.dtype}", f"{weights.dtype}, that of the layer's weights")
    finite = torch.isfinite(x.detach())
    if not bool(finite.all()):
        row, column = (~finite).nonzero()[0].tolist()
        came = f"has {float(x[row, column])} at ({row}, {column})".replace("nan", "NaN")
        raise fail(name, argument, came, "finite features")


def _check_edges(name: str, edge_index: torch.Tensor, n: int) -> None:
    if edge_index.ndim != 2 or len(edge_index) != 2:
        raise fail(name, "edge_index", f"has shape {tuple(edge_index.shape)}", "shape (2, E)")
    low, high = _ends(edge_index)
    if not (low >= 0 and high < n):
        raise fail(name, "edge_index", f"has {low} … {high}", f"vertices from 0 to {n - 1}")


def _ends(edge_index: torch.Tensor) -> tuple[int, int]:
    """Return the smallest and the largest vertex of edges, 0 and -1 where there is none."""
    if not edge_index.numel():
        return 0, -1
    low, high = map(int, read_numbers(*edge_index.aminmax()))
    return low, high


def _check_batch(name: str, batch: torch.Tensor, edge_index: torch.Tensor, n: int) -> int:
    """Return the number of graphs, or say what is wrong with the graph of each vertex."""
    expected = f"a graph of at least 0 for each of {n} vertices"
    if batch.shape != (n,):
        raise fail(name, "batch", f"has shape {tuple(batch.shape)}", expected)
    if n == 0:
        return 0
    across = batch[edge_index[0]] != batch[edge_index[1]]
    low, high, strays = map(int, read_numbers(*batch.aminmax(), across.any()))
    if low < 0:
        raise fail(name, "batch", f"has {low}", expected)
    if strays:
        u, v = edge_index[:, int(across.nonzero()[0, 0])].tolist()
        raise fail(name, "edge_index", f"has an edge ({u}, {v}) between graphs", "edges within graphs")
    return count_up_to(name, "batch", high)


def simple_edges(edge_index: torch.Tensor, n: int) -> torch.Tensor:
    """Return each edge once, (2, E), u < v, sorted, without loops."""
    low, high = edge_index.long().aminmax(dim=0)
    numbers = torch.unique((low * n + high)[low != high])
    return torch.stack((numbers // max(n, 1), numbers % max(n, 1)))
