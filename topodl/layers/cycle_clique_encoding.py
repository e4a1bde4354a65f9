"""TIGT's encoding of nodes: messages along edges, beside messages among all nodes of a common cycle.

Choi, Park, Lee, Woo, GRaM workshop at ICML 2024. Cost: linear in the edges and the pairs on common cycles.
"""

from __future__ import annotations

import torch
from torch import nn

from topodl._checks import check_dense, check_number, fail
from topodl._graph_input import check_features, simple_edges
from topodl._host import reject_mapped
from topodl._segments import Bags, bag_sum, take_segments
from topodl.complexes.cell_complexes import CellComplexes
from topodl.layers._cell_input import check_complexes
from topodl.layers._graph_layer import normalise

__all__ = ["CycleCliqueEncoding", "cycle_cliques"]


def cycle_cliques(complexes: CellComplexes) -> torch.Tensor:
    """Return which vertices lie on a common cell of dimension 2, a ring or a triangle: TIGT's cliques.

    Parameters
    ----------
    complexes : CellComplexes
        Of `ring_complexes`, for chordless cycles up to a length.

    Returns
    -------
    Tensor of shape (2, M), int64
        Pairs of vertices u < v, each once, sorted; edges on a cycle are among them, bridges are not.

    Raises
    ------
    InputError
        If there are no cells of dimension 2.
    TypeError
        If `complexes` are none.

    Notes
    -----
    Chordless cycles are those of the graph. The released code takes a cycle basis, which depends on the
    numbering of its vertices; `numbering_dependent_cycles` gives that one.

    References
    ----------
    Y. Y. Choi, S. W. Park, M. Lee, Y. Woo, "Topology-informed graph transformer", GRaM workshop at ICML 2024.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import ring_complexes
    >>> from topodl.layers import cycle_cliques
    >>> square_with_tail = torch.tensor([[0, 1, 2, 0, 3], [1, 2, 3, 3, 4]])
    >>> cycle_cliques(ring_complexes(square_with_tail))
    tensor([[0, 0, 0, 1, 1, 2],
            [1, 2, 3, 2, 3, 3]])
    """
    complexes = check_complexes("cycle_cliques", complexes, 2)
    cycles = complexes.vertices(2)
    places, members = take_segments(cycles.offsets, cycles.owners)  # each vertex meets all of its cycle
    pairs = torch.stack((cycles.members[members], cycles.members[places]))
    return simple_edges(pairs, complexes.n_cells(0))


class CycleCliqueEncoding(nn.Module):
    """Node features, plus what a graph network says along edges and along the cliques of cycles.

    x + tanh(α h_A + β h_C) with h = BN(x + MLP(x + Σ relu(x_j + e))), where the sum runs over the neighbours
    in the graph (A) or over all nodes of common cycles (C). With the cycles as edges, it sees rings that
    message passing does not.

    Parameters
    ----------
    in_features : int
        Features of a node, D.
    same_weights : bool, default=False
        Whether both sums pass through the same perceptron; normalisation and e are of each.

    Attributes
    ----------
    alpha, beta : Parameter of shape (D,)
        Weights of both, at first ½.

    Raises
    ------
    InputError
        If `in_features` is not positive.

    Notes
    -----
    All edges have the same learnt e; in TIGT those of the graph may have features. What cycles there are is
    up to `complexes`. Given as 2-cells to `CellMessagePassing`, the same cycles tell more graphs apart.

    References
    ----------
    Y. Y. Choi, S. W. Park, M. Lee, Y. Woo, "Topology-informed graph transformer", GRaM workshop at ICML 2024.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import ring_complexes
    >>> from topodl.layers import CycleCliqueEncoding
    >>> complexes = ring_complexes(torch.tensor([[0, 1, 2, 0, 3], [1, 2, 3, 3, 4]]))
    >>> CycleCliqueEncoding(6)(torch.randn(5, 6), complexes).shape
    torch.Size([5, 6])
    """

    def __init__(self, in_features: int, *, same_weights: bool = False) -> None:
        super().__init__()
        check_number("CycleCliqueEncoding", "in_features", in_features, low=1, integer=True)
        self.in_features = in_features
        self.along_edges = _Messages(in_features)
        self.along_cliques = _Messages(in_features)
        if same_weights:
            self.along_cliques.perceptron = self.along_edges.perceptron
        half = self.along_edges.of_edge.new_full((in_features,), 0.5)
        self.alpha, self.beta = nn.Parameter(half), nn.Parameter(half.clone())

    def forward(
        self, x: torch.Tensor, complexes: CellComplexes, cliques: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return node features (N, D).

        Parameters
        ----------
        x : Tensor of shape (N, D)
            Features of the vertices.
        complexes : CellComplexes
            Graphs with cycles as cells of dimension 2, as of `ring_complexes`.
        cliques : Tensor of shape (2, M), int64, optional
            `cycle_cliques` of the complexes, where several layers share them.

        Returns
        -------
        Tensor of shape (N, D)

        Raises
        ------
        InputError
            If a shape is wrong, a feature is not finite, or there are no cells of dimension 2.
        TypeError
            If `complexes` are none.
        """
        name = "CycleCliqueEncoding"
        complexes = check_complexes(name, complexes, 2)
        x = check_dense(name, "x", x)
        reject_mapped(name, "x", x)
        check_features(name, "x", x, self.in_features, self)
        n = complexes.n_cells(0)
        if len(x) != n:
            raise fail(name, "x", f"has {len(x)} rows", f"one for each of {n} vertices")
        if cliques is None:
            cliques = cycle_cliques(complexes)
        edges = complexes.vertices(1).table().T
        h_edges = self.along_edges(x, Bags.neighbours(edges, n))
        h_cliques = self.along_cliques(x, Bags.neighbours(cliques, n))
        return x + torch.tanh(self.alpha * h_edges + self.beta * h_cliques)


class _Messages(nn.Module):
    """GINE's sum over neighbours, whose edges all have the same features."""

    def __init__(self, size: int) -> None:
        super().__init__()
        first = nn.Linear(size, size)
        self.of_edge = nn.Parameter(first.weight.new_zeros(size))
        self.perceptron = nn.Sequential(first, nn.ReLU(), nn.Linear(size, size))
        self.norm = nn.BatchNorm1d(size)

    def forward(self, x: torch.Tensor, neighbours: Bags) -> torch.Tensor:
        sums = bag_sum(torch.relu(x + self.of_edge), neighbours)
        return normalise(self.norm, x + self.perceptron(x + sums))
