"""TOGL: a layer for graph networks that adds the persistence of learnt filtrations to the features of nodes.

Horn, De Brouwer, Moor, Moreau, Rieck, Borgwardt, "Topological Graph Neural Networks", ICLR 2022.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from topodl._checks import check_choice, check_number, fail
from topodl._segments import segment_mean
from topodl.layers._graph_tuples import check_graphs, pair_filtrations, share_ties, simple_edges

__all__ = ["TOGL", "CycleReadout", "DeepSet", "check_features", "killed_at", "normalise"]


class TOGL(nn.Module):
    """Topological graph layer: node features, plus what components and cycles of learnt filtrations say.

    A perceptron gives each node a value in each of `n_filtrations` filtrations; an edge enters with the later
    of its end points. Each node carries its bar of dimension 0 (birth and death of the component that it
    starts), each edge that closes a cycle its bar of dimension 1. A DeepSet over the nodes of a graph turns
    the former into a residual for the nodes, one over its edges the latter into a vector of the graph, which
    is added to its nodes too.

    Parameters
    ----------
    in_features : int
        Features of a node, F.
    n_filtrations : int, default=8
        Number of filtrations.
    hidden : int, default=24
        Width of the perceptron of the filtrations.
    dim0_features, dim1_features : int, default=32
        Width of the DeepSets. ``dim1_features=0`` leaves cycles out.
    readout : {"node", "graph"}, default="node"
        "node" returns node features; "graph" returns them and an embedding of each graph.

    References
    ----------
    M. Horn, E. De Brouwer, M. Moor, Y. Moreau, B. Rieck, K. Borgwardt, "Topological Graph Neural Networks",
    ICLR 2022.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import TOGL
    >>> layer = TOGL(4)
    >>> x, edge_index = torch.randn(5, 4), torch.tensor([[0, 1, 2, 3], [1, 2, 0, 4]])
    >>> layer(x, edge_index, torch.tensor([0, 0, 0, 1, 1])).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        in_features: int,
        n_filtrations: int = 8,
        *,
        hidden: int = 24,
        dim0_features: int = 32,
        dim1_features: int = 32,
        readout: Literal["node", "graph"] = "node",
    ) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "n_filtrations": n_filtrations, "hidden": hidden}
        for name, value in {**sizes, "dim0_features": dim0_features}.items():
            check_number("TOGL", name, value, low=1, integer=True)
        check_number("TOGL", "dim1_features", dim1_features, low=0, integer=True)
        check_choice("TOGL", "readout", readout, ("node", "graph"))
        self.in_features, self.n_filtrations, self.readout = in_features, n_filtrations, readout
        self.filtrations = nn.Sequential(
            nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, n_filtrations)
        )
        self.components = DeepSet(2 * n_filtrations, dim0_features, in_features)
        self.cycles = CycleReadout(2 * n_filtrations, dim1_features, in_features) if dim1_features else None
        self.norm = nn.BatchNorm1d(in_features)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor, batch: torch.Tensor | None = None) -> Any:
        """Return node features (N, F), and with ``readout="graph"`` also graph embeddings (B, F).

        Parameters
        ----------
        x : Tensor of shape (N, F)
            Node features.
        edge_index : Tensor of shape (2, E), integers
            End points of edges, in any order, once or twice, loops allowed (PyTorch Geometric's convention).
        batch : Tensor of shape (N,), integers, optional
            The graph of each node. One graph by default.

        Returns
        -------
        Tensor, or tuple of two
        """
        graph, n_graphs = check_graphs("TOGL", x, edge_index, batch)
        check_features("TOGL", x, self.in_features)
        edges = simple_edges(edge_index, len(x))
        vertex_values = self.filtrations(x)
        edge_values = torch.maximum(vertex_values[edges[0]], vertex_values[edges[1]])
        pairs = pair_filtrations(vertex_values, edge_values, edges, graph)
        last = latest(vertex_values, graph, n_graphs)
        deaths = share_ties(killed_at(edge_values, pairs.killers, last[graph]), pairs.vertex_groups)
        update = self.components(torch.cat((vertex_values, deaths), 1), graph, n_graphs)
        of_graph = segment_mean(update, graph, n_graphs)
        if self.cycles is not None:
            ends = last[graph[edges[0]]]
            marks = share_ties(pairs.cycles.to(x.dtype), pairs.edge_groups)
            of_cycles = self.cycles(edge_values, ends, marks, graph[edges[0]], n_graphs)
            update, of_graph = update + of_cycles[graph], of_graph + of_cycles
        out = x + normalise(self.norm, torch.relu(update))
        return out if self.readout == "node" else (out, of_graph)


class DeepSet(nn.Module):
    """A function of each element of a set and of the set's mean, (n, size_in) to (n, size_out)."""

    def __init__(self, size_in: int, hidden: int, size_out: int) -> None:
        super().__init__()
        self.lift = nn.Linear(size_in, hidden)
        self.own, self.mean = nn.Linear(hidden, size_out), nn.Linear(hidden, size_out, bias=False)

    def forward(self, x: torch.Tensor, keys: torch.Tensor, n: int) -> torch.Tensor:
        """Return the function of elements `x` whose sets are `keys`, of `n` sets."""
        lifted = torch.relu(self.lift(x))
        return self.own(lifted) - self.mean(segment_mean(lifted, keys, n))[keys]


class CycleReadout(nn.Module):
    """A vector of each graph from the bars of its cycles."""

    def __init__(self, size_in: int, hidden: int, size_out: int) -> None:
        super().__init__()
        self.lift, self.out = nn.Linear(size_in + size_in // 2, hidden), nn.Linear(hidden, size_out)

    def forward(
        self,
        births: torch.Tensor,
        deaths: torch.Tensor,
        marks: torch.Tensor,
        keys: torch.Tensor,
        n: int,
    ) -> torch.Tensor:
        """Return (n, size_out) from births and deaths (E, F), weighted by `marks`, shares of cycles."""
        tuples = torch.cat((births * marks, deaths * marks, marks), 1)
        # The sum, not the mean: the number of cycles is what message passing cannot see.
        any_cycle = marks.amax(1, keepdim=True) if marks.shape[1] else marks
        lifted = torch.relu(self.lift(tuples)) * any_cycle
        total = lifted.new_zeros((n, lifted.shape[1])).index_add(0, keys, lifted)
        return self.out(total)


def latest(values: torch.Tensor, keys: torch.Tensor, n: int) -> torch.Tensor:
    """Return the largest of `values` (N, F) in each of `n` graphs; 0 in an empty graph."""
    index = keys[:, None].expand_as(values)
    return values.new_zeros((n, values.shape[1])).scatter_reduce(0, index, values, "amax", include_self=False)


def killed_at(edge_values: torch.Tensor, killers: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    """Return the values of the edges `killers` (N, F), and `otherwise` where there is none."""
    never = killers < 0
    if not len(edge_values):
        return otherwise
    return torch.where(never, otherwise, edge_values.gather(0, killers.masked_fill(never, 0)))


def normalise(norm: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """Return `x` batch-normalised; fewer than two nodes have no variance, so the running one serves."""
    if norm.training and len(x) < 2:
        return nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
        )
    return norm(x)


def check_features(name: str, x: torch.Tensor, n_features: int) -> None:
    """Say what is wrong with node features that are too many, too few or not finite."""
    if x.shape[1] != n_features:
        raise fail(name, "x", f"has {x.shape[1]} features", f"{n_features}, as in_features says")
    finite = torch.isfinite(x.detach())
    if not bool(finite.all()):
        node, column = (~finite).nonzero()[0].tolist()
        came = f"has {float(x[node, column])} at ({node}, {column})".replace("nan", "NaN")
        raise fail(name, "x", came, "finite features")
