"""Classes of graphs that message passing cannot tell apart, as collections to train and test on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topodl._checks import check_number
from topodl.datasets.graph_files import GraphCollection
from topodl.datasets.graphs import Graph, make_bicyclic_pair, make_cycle_pair, make_strongly_regular_pair

__all__ = ["collect_blind_pairs"]


def collect_blind_pairs(n_pairs: int = 10) -> dict[str, GraphCollection]:
    """Return collections of pairs, one graph of each class, for which the Weisfeiler-Leman test is blind.

    Parameters
    ----------
    n_pairs : int
        Pairs of each collection.

    Returns
    -------
    dict of str to GraphCollection
        "rings": one ring or two of half its size, of 6, 8, … nodes; "bicycles": copies of decalin or of
        bicyclopentyl; "strongly regular": copies of the rook's graph or of Shrikhande's. Pair k has k + 1
        copies of both, so that numbers of nodes say nothing of the class. All nodes have the same feature.

    Raises
    ------
    InputError
        If `n_pairs` is below 1.

    References
    ----------
    K. Xu, W. Hu, J. Leskovec, S. Jegelka, "How Powerful are Graph Neural Networks?", ICLR 2019 (why message
    passing is blind). R. Sato, "A Survey on The Expressive Power of Graph Neural Networks", 2020 (decalin and
    bicyclopentyl). S. S. Shrikhande, "The uniqueness of the L₂ association scheme", Annals of Mathematical
    Statistics 30, 1959.

    Examples
    --------
    >>> from topodl.datasets import collect_blind_pairs
    >>> {name: graphs.n_graphs for name, graphs in collect_blind_pairs(4).items()}
    {'rings': 8, 'bicycles': 8, 'strongly regular': 8}
    """
    check_number("collect_blind_pairs", "n_pairs", n_pairs, low=1, integer=True)
    rings = [make_cycle_pair(6 + 2 * k) for k in range(n_pairs)]
    copies = [
        [(_copies(first, k + 1), _copies(second, k + 1)) for k in range(n_pairs)]
        for first, second in (make_bicyclic_pair(), make_strongly_regular_pair())
    ]
    names = ("rings", "bicycles", "strongly regular")
    return {name: _collect(pairs) for name, pairs in zip(names, (rings, *copies), strict=True)}


def _copies(graph: Graph, n: int) -> Graph:
    """Return the disjoint union of `n` copies."""
    shifts = graph.n_nodes * np.arange(n)
    edges = (graph.edge_index[:, None] + shifts[None, :, None]).reshape(2, -1)
    return Graph(n * graph.n_nodes, edges, (n * graph.betti[0], n * graph.betti[1]))


def _collect(pairs: Sequence[tuple[Graph, Graph]]) -> GraphCollection:
    graphs = [graph for pair in pairs for graph in pair]
    sizes = np.array([graph.n_nodes for graph in graphs])
    starts = np.cumsum(sizes) - sizes
    edges = np.concatenate([graph.edge_index + s for graph, s in zip(graphs, starts, strict=True)], axis=1)
    return GraphCollection(
        x=np.ones((sizes.sum(), 1), np.float32),
        edge_index=edges,
        batch=np.repeat(np.arange(len(graphs)), sizes),
        y=np.tile([0, 1], len(pairs)),
        classes=np.array([0, 1]),
        feature_names=("one",),
        edge_labels=None,
    )
