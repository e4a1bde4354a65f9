"""RePHINE: persistence of graphs filtered by vertices and, independently, by edges.

Immonen, Souza, Garg, "Going beyond persistent homology using persistent homology", NeurIPS 2023.
"""

from __future__ import annotations

import torch
from torch import nn

from topodl._docs import shares_documentation
from topodl._segments import Bags, bag_sum, segment_amin
from topodl.layers._graph_layer import FilteredGraphs, GraphLayer, killed_at
from topodl.layers._graph_pairing import pair_filtrations, share_ties

__all__ = ["RePHINE"]


@shares_documentation(GraphLayer, sections=["Raises"])
class RePHINE(GraphLayer):
    """Topological graph layer whose edges have filtration values of their own.

    All vertices are born at 0 and edges enter by their value d, so that components merge along a spanning
    tree. When two merge, the one dies whose oldest vertex is younger: vertices are ordered by their value α
    (the colour), ties by γ, the smallest value of an edge at the vertex. Each node carries (d of its death,
    α, γ), each edge that closes a cycle its value and that of the triangle that fills it. Strictly more
    expressive than filtrations by vertices or by edges alone.

    Parameters
    ----------
    n_filtrations : int, default=8
        Number of pairs of a vertex and an edge filtration.
    hidden : int, default=24
        Width of the perceptrons of the filtrations, whose values a sigmoid brings into (0, 1).
    triangles : bool, default=True
        Whether triangles fill cycles; see `TOGL`.

    References
    ----------
    J. Immonen, A. Souza, V. Garg, "Going beyond persistent homology using persistent homology", NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import RePHINE
    >>> layer = RePHINE(4, readout="graph")
    >>> x, edge_index = torch.randn(5, 4), torch.tensor([[0, 1, 2, 3], [1, 2, 0, 4]])
    >>> nodes, graphs = layer(x, edge_index, torch.tensor([0, 0, 0, 1, 1]))
    >>> nodes.shape, graphs.shape
    (torch.Size([5, 4]), torch.Size([2, 4]))
    """

    _bar_size = 3

    def _build_filtrations(self, hidden: int) -> None:
        size, n = self.in_features, self.n_filtrations
        self.vertex_lift, self.edge_lift = nn.Linear(size, hidden), nn.Linear(size, hidden)
        self.vertex_values, self.edge_values = nn.Linear(hidden, n), nn.Linear(hidden, n)

    def _filter(
        self, x: torch.Tensor, edges: torch.Tensor, graph: torch.Tensor, n_graphs: int
    ) -> FilteredGraphs:
        colours = torch.sigmoid(self.vertex_values(torch.relu(self.vertex_lift(x))))
        # Symmetric in both ends: a sum, lifted once a vertex and not once an edge.
        ends = Bags(edges.T.flatten(), torch.arange(0, edges.numel() + 1, 2, device=x.device), len(x))
        values = torch.sigmoid(self.edge_values(torch.relu(bag_sum(self.edge_lift(x), ends))))
        # What never dies does so at 1, the bound of all values; so is an edge where there is none.
        nearest = segment_amin(torch.cat((values, values)), edges.flatten(), len(x), empty=1.0)
        pairs = pair_filtrations(colours, values, edges, graph, nearest, triangles=self.triangles)
        deaths = share_ties(killed_at(values, pairs.killers, torch.ones_like(colours)), pairs.vertex_groups)
        bars = torch.cat((deaths, colours, nearest), 1)
        return FilteredGraphs(bars, values, torch.ones_like(values), pairs)
