"""GIN: message passing as strong as the Weisfeiler-Leman test, with a topological layer in it or without.

Xu, Hu, Leskovec, Jegelka, "How powerful are graph neural networks?", ICLR 2019. No PyTorch Geometric needed.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from topodl._checks import check_choice, check_number
from topodl._graph_input import check_graphs, simple_edges
from topodl._segments import Bags, bag_sum
from topodl.layers._graph_layer import normalise
from topodl.layers.rephine import RePHINE
from topodl.layers.togl import TOGL

__all__ = ["GIN"]

_LAYERS = {"togl": TOGL, "rephine": RePHINE}


class GIN(nn.Module):
    """Graph isomorphism network for classification, with sums over nodes of all levels as its readout.

    Each level adds the features of a node's neighbours to its own and passes them through a perceptron, with
    batch normalisation. A topological layer, if any, stands after the first level; its embedding of graphs is
    read out beside those of the levels.

    Parameters
    ----------
    in_features : int
        Features of a node, F.
    n_classes : int
        Number of outputs, C.
    topology : {None, "togl", "rephine"}
        The topological layer. Without one, graphs that the Weisfeiler-Leman test cannot tell apart have the
        same output.
    hidden : int, default=32
        Width of the levels.
    depth : int, default=4
        Number of levels.
    n_filtrations : int, default=8
        Of the topological layer.
    dropout : float, default=0.5
        Before the output.
    norm : {"batch", "layer"}, default="batch"
        "batch", the paper's, normalises over the nodes of a batch. Where these are all alike, as in regular
        graphs without features, they have no variance to learn, and "layer" trains better.

    Raises
    ------
    InputError
        If a size is not positive, or an option is none of those above.

    References
    ----------
    K. Xu, W. Hu, J. Leskovec, S. Jegelka, "How powerful are graph neural networks?", ICLR 2019. M. Horn et
    al., "Topological Graph Neural Networks", ICLR 2022. J. Immonen et al., "Going beyond persistent homology
    using persistent homology", NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl.representations import GIN
    >>> model = GIN(1, 2, topology="togl")
    >>> hexagon_and_edge = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 0, 7]])
    >>> model(torch.ones(8, 1), hexagon_and_edge, torch.tensor([0] * 6 + [1] * 2)).shape
    torch.Size([2, 2])
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        topology: Literal["togl", "rephine"] | None = None,
        *,
        hidden: int = 32,
        depth: int = 4,
        n_filtrations: int = 8,
        dropout: float = 0.5,
        norm: Literal["batch", "layer"] = "batch",
    ) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "n_classes": n_classes, "hidden": hidden, "depth": depth}
        for name, value in sizes.items():
            check_number("GIN", name, value, low=1, integer=True)
        check_choice("GIN", "topology", topology, (None, "togl", "rephine"))
        check_choice("GIN", "norm", norm, ("batch", "layer"))
        check_number("GIN", "dropout", dropout, low=0.0, high=1.0)
        self.in_features = in_features
        self.levels = nn.ModuleList(
            _Level(in_features if k == 0 else hidden, hidden, norm) for k in range(depth)
        )
        self.topology = _LAYERS[topology](hidden, n_filtrations, readout="graph") if topology else None
        read = [in_features] + [hidden] * (depth + (topology is not None))
        self.readouts = nn.ModuleList(nn.Linear(width, n_classes) for width in read)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        edge_index: torch.Tensor,
        batch: torch.Tensor | None = None,
        n_graphs: int | None = None,
    ) -> torch.Tensor:
        """Return the logits (B, C) of graphs.

        Parameters
        ----------
        x : Tensor of shape (N, F)
            Node features.
        edge_index : Tensor of shape (2, E), integers
            End points of undirected edges, in any order, once or twice; loops are left out.
        batch : Tensor of shape (N,), integers, optional
            The graph of each node. One graph by default.
        n_graphs : int, optional
            Number of graphs B, where the last ones may have no node.

        Returns
        -------
        Tensor of shape (B, C)

        Raises
        ------
        InputError
            If a shape is wrong, a feature is not finite, or an edge joins two graphs.
        """
        x, edge_index, graph, total = check_graphs(self, x, edge_index, batch, n_graphs)
        edges = simple_edges(edge_index, len(x))
        neighbours = Bags.neighbours(edges, len(x))
        members = Bags.gathering(graph, total).transposed
        read = [bag_sum(x, members)]
        for k, level in enumerate(self.levels):
            x = level(x + bag_sum(x, neighbours))
            if k == 0 and self.topology is not None:
                x, of_graphs = self.topology(x, edges, graph, total)
                read.append(of_graphs)
            read.append(bag_sum(x, members))
        outputs = [self.dropout(out(part)) for out, part in zip(self.readouts, read, strict=True)]
        return torch.stack(outputs).sum(0)


class _Level(nn.Module):
    """A perceptron with one hidden layer, normalised."""

    def __init__(self, size_in: int, size_out: int, norm: str) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(size_in, size_out), nn.Linear(size_out, size_out)
        kind = nn.BatchNorm1d if norm == "batch" else nn.LayerNorm
        self.first_norm, self.second_norm = kind(size_out), kind(size_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(normalise(self.first_norm, self.first(x)))
        return torch.relu(normalise(self.second_norm, self.second(x)))
