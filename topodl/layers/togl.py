"""TOGL: a layer for graph networks that adds the persistence of learnt filtrations to the features of nodes.

Horn, De Brouwer, Moor, Moreau, Rieck, Borgwardt, "Topological Graph Neural Networks", ICLR 2022.
"""

from __future__ import annotations

import torch
from torch import nn

from topodl._docs import shares_documentation
from topodl._segments import segment_amax
from topodl.layers._graph_layer import FilteredGraphs, GraphLayer, killed_at
from topodl.layers._graph_pairing import pair_filtrations, share_ties

__all__ = ["TOGL"]


@shares_documentation(GraphLayer, sections=["Raises"])
class TOGL(GraphLayer):
    """Topological graph layer: node features, plus what components and cycles of learnt filtrations say.

    A perceptron gives each node a value in each of `n_filtrations` filtrations; an edge enters with the later
    of its end points. Each node carries its bar of dimension 0 (birth and death of the component that it
    starts), each edge that closes a cycle its bar of dimension 1, which ends where triangles fill the cycle.
    A DeepSet over the nodes of a graph turns the former into a residual for the nodes, one over its edges the
    latter into a vector of the graph, which is added to its nodes too.

    Parameters
    ----------
    n_filtrations : int, default=8
        Number of filtrations.
    hidden : int, default=24
        Width of the perceptron of the filtrations.
    triangles : bool, default=True
        Whether triangles fill cycles: dimension 1 is that of the clique complex, which tells apart some
        graphs that no filtration of the bare graph does, as strongly regular ones. False: that of the graph,
        where no cycle ends, as in the authors' code. Without triangles there is no difference.

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

    _bar_size = 2

    def _build_filtrations(self, hidden: int) -> None:
        self.filtrations = nn.Sequential(
            nn.Linear(self.in_features, hidden), nn.ReLU(), nn.Linear(hidden, self.n_filtrations)
        )

    def _filter(
        self, x: torch.Tensor, edges: torch.Tensor, graph: torch.Tensor, n_graphs: int
    ) -> FilteredGraphs:
        values = self.filtrations(x)
        edge_values = torch.maximum(values[edges[0]], values[edges[1]])
        pairs = pair_filtrations(values, edge_values, edges, graph, triangles=self.triangles)
        last = segment_amax(values, graph, n_graphs)
        deaths = share_ties(killed_at(edge_values, pairs.killers, last[graph]), pairs.vertex_groups)
        return FilteredGraphs(torch.cat((values, deaths), 1), edge_values, last[graph[edges[0]]], pairs)
