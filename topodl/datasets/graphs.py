"""Graphs of known topology: prescribed components and cycles, and pairs for which message passing is blind.

All are undirected; each edge stands once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl._checks import check_number, fail

__all__ = [
    "Graph",
    "make_bicyclic_pair",
    "make_cycle_pair",
    "make_graph",
    "make_strongly_regular_pair",
]

Array = np.ndarray[Any, np.dtype[Any]]


class Graph(NamedTuple):
    """An undirected graph of known topology, by the end points (2, E) of its edges.

    Examples
    --------
    >>> from topodl.datasets import make_graph
    >>> graph = make_graph(10, n_components=2, n_cycles=3)
    >>> graph.n_nodes, graph.edge_index.shape, graph.betti
    (10, (2, 11), (2, 3))
    """

    n_nodes: int
    """Number of nodes."""
    edge_index: Array
    """(2, E) end points, int64, each edge once."""
    betti: tuple[int, int]
    """Numbers of components and of independent cycles."""


def make_graph(
    n_nodes: int = 30,
    n_components: int = 1,
    n_cycles: int = 0,
    *,
    noise: float = 0.0,
    random_state: int = 0,
) -> Graph:
    """Draw a random graph with given numbers of components and of independent cycles.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    n_components : int
        Number of connected components.
    n_cycles : int
        Number of independent cycles: edges beyond those of a spanning forest.
    noise : float
        Share of `n_nodes` that is added as leaves, each at a random node: they change no Betti number.
    random_state : int
        Seed.

    Returns
    -------
    Graph
        With nodes and edges in random order.

    Raises
    ------
    InputError
        If there are too few nodes for the components, or too few pairs of nodes for the cycles.

    Examples
    --------
    >>> from topodl.datasets import make_graph
    >>> graph = make_graph(10, n_components=2, n_cycles=3)
    >>> graph.betti, graph.edge_index.shape
    ((2, 3), (2, 11))
    """
    check_number("make_graph", "n_nodes", n_nodes, low=1, integer=True)
    check_number("make_graph", "n_components", n_components, low=1, high=n_nodes, integer=True)
    check_number("make_graph", "n_cycles", n_cycles, low=0, integer=True)
    check_number("make_graph", "noise", noise, low=0.0)
    rng = np.random.default_rng(random_state)
    part = np.concatenate((np.arange(n_components), rng.integers(0, n_components, n_nodes - n_components)))
    edges: set[tuple[int, int]] = set()
    free: list[tuple[int, int]] = []
    for c in range(n_components):
        members = np.flatnonzero(part == c)
        for k in range(1, len(members)):
            edges.add((int(members[rng.integers(k)]), int(members[k])))
        free += [(int(u), int(v)) for i, u in enumerate(members) for v in members[i + 1 :]]
    free = [pair for pair in free if pair not in edges]
    if n_cycles > len(free):
        came = f"is {n_cycles}"
        raise fail("make_graph", "n_cycles", came, f"at most {len(free)} with these nodes and components")
    edges |= {free[k] for k in rng.choice(len(free), n_cycles, replace=False)} if n_cycles else set()
    total = n_nodes + round(noise * n_nodes)
    edges |= {(int(rng.integers(leaf)), leaf) for leaf in range(n_nodes, total)}
    names = rng.permutation(total)
    pairs = names[np.array(sorted(edges), np.int64).reshape(-1, 2)]
    return Graph(total, np.ascontiguousarray(rng.permutation(pairs).T), (n_components, n_cycles))


def make_cycle_pair(length: int = 6) -> tuple[Graph, Graph]:
    """Return one cycle of `length` nodes, and two of half of it: message passing cannot tell them apart.

    Parameters
    ----------
    length : int
        An even number of at least 6.

    Returns
    -------
    tuple of two Graph

    Raises
    ------
    InputError
        If `length` is odd or below 6.

    References
    ----------
    K. Xu, W. Hu, J. Leskovec, S. Jegelka, "How Powerful are Graph Neural Networks?", ICLR 2019 (why message
    passing is blind).

    Examples
    --------
    >>> from topodl.datasets import make_cycle_pair
    >>> [graph.betti for graph in make_cycle_pair(8)]
    [(1, 1), (2, 2)]
    """
    check_number("make_cycle_pair", "length", length, low=6, integer=True)
    if length % 2:
        raise fail("make_cycle_pair", "length", f"is {length}", "an even number")
    nodes, half = np.arange(length), length // 2
    one = np.stack((nodes, (nodes + 1) % length))
    two = np.stack((nodes, nodes // half * half + (nodes % half + 1) % half))
    return Graph(length, one, (1, 1)), Graph(length, two, (2, 2))


def make_bicyclic_pair() -> tuple[Graph, Graph]:
    """Return decalin, two hexagons that share an edge, and bicyclopentyl, two pentagons joined by one.

    Message passing cannot tell them apart, and both have one component and two cycles, whatever the order in
    which vertices bring their edges along. Edges with values of their own can tell: without the edge that is
    shared or joins, there is one component or two.

    Returns
    -------
    tuple of two Graph

    References
    ----------
    R. Sato, "A Survey on The Expressive Power of Graph Neural Networks", 2020 (decalin and bicyclopentyl).

    Examples
    --------
    >>> from topodl.datasets import make_bicyclic_pair
    >>> [graph.edge_index.shape for graph in make_bicyclic_pair()]
    [(2, 11), (2, 11)]
    """
    nodes = np.arange(10)
    ring = np.stack((nodes, (nodes + 1) % 10))
    decalin = np.concatenate((ring, [[0], [5]]), axis=1)
    pentagons = np.stack((nodes, nodes // 5 * 5 + (nodes % 5 + 1) % 5))
    bicyclopentyl = np.concatenate((pentagons, [[0], [5]]), axis=1)
    return Graph(10, decalin, (1, 2)), Graph(10, bicyclopentyl, (1, 2))


def make_strongly_regular_pair() -> tuple[Graph, Graph]:
    """Return the 4 × 4 rook's graph and Shrikhande's: strongly regular, with the parameters (16, 6, 2, 2).

    Neither message passing nor the three-dimensional Weisfeiler-Leman test (the non-folklore one) tells them
    apart, nor does any filtration of the bare graphs where all nodes are equal. Their clique complexes
    differ: with all triangles filled, nine cycles of the rook's graph are left and two of Shrikhande's, which
    is a torus.

    Returns
    -------
    tuple of two Graph

    References
    ----------
    S. S. Shrikhande, "The uniqueness of the L₂ association scheme", Annals of Mathematical Statistics 30,
    1959. C. Bodnar et al., "Weisfeiler and Lehman Go Topological: Message Passing Simplicial Networks", ICML
    2021 (the pair, and its clique complexes).

    Examples
    --------
    >>> from topodl.datasets import make_strongly_regular_pair
    >>> [graph.betti for graph in make_strongly_regular_pair()]
    [(1, 33), (1, 33)]
    """
    rows, columns = np.divmod(np.arange(16), 4)
    u, v = np.triu_indices(16, 1)
    down, right = (rows[v] - rows[u]) % 4, (columns[v] - columns[u]) % 4
    rook = (down == 0) | (right == 0)
    straight = (down == 0) & (right % 2 == 1) | (right == 0) & (down % 2 == 1)
    shrikhande = straight | (down == right) & (down % 2 == 1)
    first, second = (Graph(16, np.stack((u[mask], v[mask])), (1, 33)) for mask in (rook, shrikhande))
    return first, second
