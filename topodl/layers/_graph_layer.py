"""What TOGL and RePHINE share: a layer that adds bars of learnt filtrations to the features of nodes.

DeepSets of Zaheer et al., NeurIPS 2017, turn bars into features. Cost: that of the pairing.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import nn

from topodl._checks import check_choice, check_number
from topodl._graph_input import check_graphs, simple_edges
from topodl._segments import segment_mean, segment_sum
from topodl.layers._graph_pairing import VertexEdgePairs, share_ties

__all__ = ["FilteredGraphs", "GraphLayer", "killed_at", "normalise"]


class FilteredGraphs(NamedTuple):
    """What a layer makes of graphs with N nodes and E edges: bars in F filtrations."""

    bars: torch.Tensor
    """(N, size · F) bar of the component that starts at each node."""
    edge_values: torch.Tensor
    """(E, F) value of each edge."""
    ends: torch.Tensor
    """(E, F) where a cycle ends that nothing fills."""
    pairs: VertexEdgePairs
    """Who is killed by which edge."""


class GraphLayer(nn.Module):
    """Base of graph layers: a subclass says how it filters, and how many numbers a bar of a component has.

    Parameters
    ----------
    in_features : int
        Features of a node, F.
    dim0_features, dim1_features : int, default=32
        Width of the DeepSets. ``dim1_features=0`` leaves cycles out.
    readout : {"node", "graph"}, default="node"
        "node" returns node features; "graph" returns them and an embedding of each graph.

    Raises
    ------
    InputError
        If a size is not positive, or `readout` is none of these.
    """

    _bar_size: ClassVar[int]

    def __init__(
        self,
        in_features: int,
        n_filtrations: int = 8,
        *,
        hidden: int = 24,
        dim0_features: int = 32,
        dim1_features: int = 32,
        triangles: bool = True,
        readout: Literal["node", "graph"] = "node",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        sizes = {"in_features": in_features, "n_filtrations": n_filtrations, "hidden": hidden}
        for argument, value in {**sizes, "dim0_features": dim0_features}.items():
            check_number(name, argument, value, low=1, integer=True)
        check_number(name, "dim1_features", dim1_features, low=0, integer=True)
        check_choice(name, "readout", readout, ("node", "graph"))
        self.in_features, self.n_filtrations, self.readout = in_features, n_filtrations, readout
        self.triangles = triangles
        self._build_filtrations(hidden)
        self.components = _DeepSet(self._bar_size * n_filtrations, dim0_features, in_features)
        self.cycles = _CycleReadout(n_filtrations, dim1_features, in_features) if dim1_features else None
        self.norm = nn.BatchNorm1d(in_features)

    def _build_filtrations(self, hidden: int) -> None:
        """Add the perceptrons that give nodes and edges their values."""
        raise NotImplementedError

    def _filter(
        self, x: torch.Tensor, edges: torch.Tensor, graph: torch.Tensor, n_graphs: int
    ) -> FilteredGraphs:
        """Return the bars of graphs with features `x` (N, F) and simple `edges` (2, E)."""
        raise NotImplementedError

    def forward(
        self,
        x: torch.Tensor,
        edge_index: torch.Tensor,
        batch: torch.Tensor | None = None,
        n_graphs: int | None = None,
    ) -> Any:
        """Return node features (N, F), and with ``readout="graph"`` also graph embeddings (B, F).

        Parameters
        ----------
        x : Tensor of shape (N, F)
            Node features.
        edge_index : Tensor of shape (2, E), integers
            End points of edges, in any order, once or twice, loops allowed (PyTorch Geometric's convention).
        batch : Tensor of shape (N,), integers, optional
            The graph of each node, in any order. One graph by default.
        n_graphs : int, optional
            Number of graphs B, where the last ones may have no node.

        Returns
        -------
        Tensor, or tuple of two

        Raises
        ------
        InputError
            If a shape is wrong, a feature is not finite, or an edge joins two graphs.
        """
        x, edge_index, graph, n_graphs = check_graphs(self, x, edge_index, batch, n_graphs)
        edges = simple_edges(edge_index, len(x))
        bars, edge_values, ends, pairs = self._filter(x, edges, graph, n_graphs)
        update = self.components(bars, graph, n_graphs)
        of_graph = segment_mean(update, graph, n_graphs)
        if self.cycles is not None:
            of_cycles = self.cycles(edge_values, ends, pairs, graph[edges[0]], n_graphs)
            update, of_graph = update + of_cycles[graph], of_graph + of_cycles
        out = x + normalise(self.norm, torch.relu(update))
        return out if self.readout == "node" else (out, of_graph)


class _DeepSet(nn.Module):
    """A function of each element of a set and of the set's mean, (n, size_in) to (n, size_out)."""

    def __init__(self, size_in: int, hidden: int, size_out: int) -> None:
        super().__init__()
        self.lift = nn.Linear(size_in, hidden)
        self.own, self.mean = nn.Linear(hidden, size_out), nn.Linear(hidden, size_out, bias=False)

    def forward(self, x: torch.Tensor, keys: torch.Tensor, n: int) -> torch.Tensor:
        """Return the function of elements `x` whose sets are `keys`, of `n` sets."""
        lifted = torch.relu(self.lift(x))
        return self.own(lifted) - self.mean(segment_mean(lifted, keys, n))[keys]


class _CycleReadout(nn.Module):
    """A vector of each graph from the bars of its cycles, in all filtrations."""

    def __init__(self, n_filtrations: int, hidden: int, size_out: int) -> None:
        super().__init__()
        self.lift, self.out = nn.Linear(4 * n_filtrations, hidden), nn.Linear(hidden, size_out)

    def forward(
        self,
        edge_values: torch.Tensor,
        ends: torch.Tensor,
        pairs: VertexEdgePairs,
        keys: torch.Tensor,
        n: int,
    ) -> torch.Tensor:
        """Return (n, size_out) for `n` graphs from the values of edges (E, F), whose graphs are `keys`.

        A cycle that nothing fills ends at `ends` (E, F).
        """
        deaths = killed_at(edge_values, pairs.fillers, ends)
        always, never = torch.ones_like(deaths), (pairs.fillers < 0).to(deaths)
        # Birth, death, whether there is a bar, whether it never ends; edges of equal value share them.
        bars = torch.stack((edge_values, deaths, always, never), 2) * pairs.cycles[:, :, None]
        bars = share_ties(bars, pairs.edge_groups)
        # The sum, not the mean: the number of cycles is what message passing cannot see.
        lifted = torch.relu(self.lift(bars.flatten(1))) * bars[:, :, 2].amax(1, keepdim=True)
        return self.out(segment_sum(lifted, keys, n))


def killed_at(edge_values: torch.Tensor, killers: torch.Tensor, otherwise: torch.Tensor) -> torch.Tensor:
    """Return the values of the edges `killers` (N, F), and `otherwise` where there is none."""
    never = killers < 0
    if not len(edge_values):
        return otherwise
    return torch.where(never, otherwise, edge_values.gather(0, killers.masked_fill(never, 0)))


def normalise(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return `x` normalised; fewer than two nodes have no variance, so a batch norm's running one serves."""
    if isinstance(norm, nn.BatchNorm1d) and norm.training and len(x) < 2:
        return nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
        )
    return norm(x)
