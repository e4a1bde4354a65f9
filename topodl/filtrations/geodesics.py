"""Distances along graphs, and what they say of a vertex: closeness, eccentricity; returns of random walks.

Cost: O(n (n log n + m)) for the paths of a graph, O(n³) for each step of walks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from topodl._checks import check_number, fail
from topodl._distance_matrices import distances_between
from topodl._docs import shares_documentation
from topodl._precision import at_least_single, in_double
from topodl.filtrations._clouds import Clouds, Metric, map_clouds
from topodl.filtrations._graphs import by_blocks, checked_weights, each_block, read_graphs
from topodl.filtrations._paths import path_lengths
from topodl.filtrations.densities import nearest_points

__all__ = [
    "NeighbourGraph",
    "closeness",
    "eccentricity",
    "geodesic_distances",
    "graph_geodesics",
    "neighbour_graph",
    "return_probabilities",
]


class NeighbourGraph(NamedTuple):
    """The graphs of the nearest points of a batch of clouds, in the form of PyTorch Geometric.

    Attributes
    ----------
    edge_index : Tensor of shape (2, E), int64
        Ends u < v of each edge once, as numbers of points in the batch.
    edge_lengths : Tensor of shape (E,)
        Their distances; gradients reach the points.
    batch : Tensor of shape (N,), int64
        The cloud of each point.

    References
    ----------
    J. B. Tenenbaum, V. de Silva, J. C. Langford, "A global geometric framework for nonlinear dimensionality
    reduction", Science 290, 2000.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import neighbour_graph
    >>> neighbour_graph(torch.tensor([[[0.0], [1.0], [3.0]]]), k=1).batch
    tensor([0, 0, 0])
    """

    edge_index: torch.Tensor
    edge_lengths: torch.Tensor
    batch: torch.Tensor


def neighbour_graph(x: Clouds, k: int, metric: Metric = "euclidean") -> NeighbourGraph:
    """Return the graph that joins each point to its k nearest ones, for each cloud of a batch.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), or sequence of B tensors of shape (N_i, d)
        Point clouds, of more than k points. With ``metric="precomputed"`` matrices of distances, (B, N, N) or
        a sequence of (N_i, N_i).
    k : int
        Number of neighbours, the point itself not counted; an edge is one where either end has the other.
    metric : {"euclidean", "precomputed"}
        What `x` holds.

    Returns
    -------
    NeighbourGraph
        `edge_index`, `edge_lengths` and `batch`, as `graph_persistence` and `clique_complexes` take them.

    Raises
    ------
    InputError
        If a cloud has no more than `k` points, coordinates that are not finite, or no distances.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    References
    ----------
    J. B. Tenenbaum, V. de Silva, J. C. Langford, "A global geometric framework for nonlinear dimensionality
    reduction", Science 290, 2000.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import neighbour_graph
    >>> graph = neighbour_graph(torch.tensor([[[0.0], [1.0], [3.0], [7.0]]]), k=1)
    >>> graph.edge_index, graph.edge_lengths
    (tensor([[0, 1, 2],
            [1, 2, 3]]), tensor([1., 2., 4.]))
    """
    name = "neighbour_graph"
    check_number(name, "k", k, low=1, integer=True)
    tables = map_clouds(name, lambda clouds: _neighbour_entries(name, clouds, k, metric), x, metric, None)
    if isinstance(tables, torch.Tensor):
        sample, i, j = torch.isfinite(tables.detach()).triu(1).nonzero().unbind(1)
        n_samples, n = tables.shape[:2]
        batch = torch.arange(n_samples, device=tables.device).repeat_interleave(n)
        return NeighbourGraph(torch.stack((i, j)) + sample * n, tables[sample, i, j], batch)
    ends, lengths, sizes, start = [], [], [], 0
    for table in tables:
        edges = torch.isfinite(table.detach()).triu(1).nonzero().T
        ends.append(edges + start)
        lengths.append(table[edges[0], edges[1]])
        sizes.append(len(table))
        start += len(table)
    if not sizes:
        device = x.device if isinstance(x, torch.Tensor) else torch.device("cpu")
        none = torch.zeros((2, 0), dtype=torch.int64, device=device)
        return NeighbourGraph(none, torch.zeros(0, device=device), none[0])
    batch = torch.repeat_interleave(torch.tensor(sizes, device=ends[0].device))
    return NeighbourGraph(torch.cat(ends, 1), torch.cat(lengths), batch)


def geodesic_distances(x: Clouds, k: int, metric: Metric = "euclidean") -> torch.Tensor | list[torch.Tensor]:
    """Return the lengths of shortest paths between points, along the graph of the k nearest neighbours.

    They follow the shape that the points lie on: `rips_persistence` takes them with ``metric="precomputed"``.
    Gradients reach the points of the edges that the paths take.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), or sequence of B tensors of shape (N_i, d)
        Point clouds, of more than k points. With ``metric="precomputed"`` matrices of distances, (B, N, N) or
        a sequence of (N_i, N_i).
    k : int
        Number of neighbours, the point itself not counted; an edge is one where either end has the other.
    metric : {"euclidean", "precomputed"}
        What `x` holds.

    Returns
    -------
    Tensor of shape (B, N, N), or list of B tensors of shape (N_i, N_i)
        In the units and the dtype of `x`; +inf where no path leads.

    Raises
    ------
    InputError
        If a cloud has no more than `k` points, coordinates that are not finite, or no distances.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    References
    ----------
    J. B. Tenenbaum, V. de Silva, J. C. Langford, "A global geometric framework for nonlinear dimensionality
    reduction", Science 290, 2000.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import geodesic_distances
    >>> corner = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]]])
    >>> geodesic_distances(corner, k=1)
    tensor([[[0., 1., 3.],
             [1., 0., 2.],
             [3., 2., 0.]]])
    """
    name = "geodesic_distances"
    check_number(name, "k", k, low=1, integer=True)

    def of_batch(clouds: torch.Tensor) -> torch.Tensor:
        return path_lengths(name, _neighbour_entries(name, clouds, k, metric))

    values: torch.Tensor | list[torch.Tensor] = map_clouds(name, of_batch, x, metric, None)
    return values


def _neighbour_entries(name: str, clouds: torch.Tensor, k: int, metric: Metric) -> torch.Tensor:
    """Return the lengths (b, n, n) of edges to the k nearest points, inf elsewhere, 0 on the diagonal."""
    n = clouds.shape[1]
    if k >= n:
        raise fail(name, "k", f"is {k}", f"less than {n}, the number of points of a cloud")
    entries = at_least_single(clouds)
    distances = entries if metric == "precomputed" else distances_between(entries)
    near = torch.zeros(distances.shape, dtype=torch.bool, device=distances.device)
    near = near.scatter(2, nearest_points(entries, k, metric), True)
    near = near | near.mT
    kept = torch.where(near, distances, torch.inf)
    return kept.masked_fill(torch.eye(n, dtype=torch.bool, device=near.device), 0.0)


def graph_geodesics(
    edge_index: torch.Tensor,
    edge_lengths: torch.Tensor | None = None,
    *,
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> list[torch.Tensor]:
    """Return the lengths of shortest paths between the vertices of each graph.

    `rips_persistence` takes them with ``metric="precomputed"``.

    Parameters
    ----------
    edge_index : Tensor of shape (2, E), integers
        End points of the edges of all graphs, in one or both directions. Graphs are simple and undirected:
        loops are left out, and of several edges between the same vertices the first counts.
    edge_lengths : Tensor of shape (E,), optional
        Positive lengths of the edges, 1 by default; gradients reach those that paths take.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex, in any order; it also says how many vertices there are.
    n_vertices : int, optional
        Number of vertices N where there is no `batch`; by default one more than the largest of `edge_index`.

    Returns
    -------
    list of Tensor of shape (N_i, N_i)
        For each graph, its vertices in their order; +inf where no path leads. In the dtype of the lengths, or
        the default dtype.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, an edge joins two graphs, or a length is not
        positive and finite.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    E. W. Dijkstra, "A note on two problems in connexion with graphs", Numerische Mathematik 1, 1959.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import graph_geodesics
    >>> graph_geodesics(torch.tensor([[0, 1], [1, 2]]), torch.tensor([1.0, 2.0]), n_vertices=4)
    [tensor([[0., 1., 3., inf],
            [1., 0., 2., inf],
            [3., 2., 0., inf],
            [inf, inf, inf, 0.]])]
    """
    name = "graph_geodesics"
    graphs = read_graphs(name, edge_index, batch, n_vertices)
    lengths = checked_weights(name, graphs, edge_index, edge_lengths, "edge_lengths")
    blocks = each_block(graphs, in_double(lengths))
    paths: list[torch.Tensor] = [lengths] * len(blocks)
    for n in {len(block) for block in blocks}:  # graphs of one size together
        which = [k for k, block in enumerate(blocks) if len(block) == n]
        found = path_lengths(name, _entries(torch.stack([blocks[k] for k in which]))).to(lengths.dtype)
        for k, own in zip(which, found, strict=True):
            paths[k] = own
    return paths


@shares_documentation(graph_geodesics)
def closeness(
    edge_index: torch.Tensor,
    edge_lengths: torch.Tensor | None = None,
    *,
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> torch.Tensor:
    """Return how close each vertex is to all others: 1 over the mean length of its shortest paths.

    Where a vertex reaches r of the n − 1 others alone, it is the fraction r / (n − 1) of that.

    Returns
    -------
    Tensor of shape (N,)
        In the dtype of the lengths, or the default dtype; 0 for a vertex without edges.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, an edge joins two graphs, or a length is not
        positive and finite.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    L. C. Freeman, "Centrality in social networks: conceptual clarification", Social Networks 1, 1979.
    S. Wasserman, K. Faust, "Social network analysis", 1994 (graphs of several components).

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import closeness
    >>> closeness(torch.tensor([[0, 1], [1, 2]]))
    tensor([0.6667, 1.0000, 0.6667])
    """

    def of_paths(lengths: torch.Tensor) -> torch.Tensor:
        reached = torch.isfinite(lengths)
        others = (reached.sum(2) - 1).to(lengths.dtype)
        totals = torch.where(reached, lengths, 0.0).sum(2)
        alone = others == 0
        return (others.square() / totals.masked_fill(alone, 1.0)) / max(lengths.shape[1] - 1, 1)

    return _of_paths("closeness", of_paths, edge_index, edge_lengths, batch, n_vertices)


@shares_documentation(graph_geodesics)
def eccentricity(
    edge_index: torch.Tensor,
    edge_lengths: torch.Tensor | None = None,
    *,
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> torch.Tensor:
    """Return the length of the longest of the shortest paths from each vertex to those that it reaches.

    Returns
    -------
    Tensor of shape (N,)
        In the dtype of the lengths, or the default dtype; 0 for a vertex without edges.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, an edge joins two graphs, or a length is not
        positive and finite.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    P. Hage, F. Harary, "Eccentricity and centrality in networks", Social Networks 17, 1995.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import eccentricity
    >>> eccentricity(torch.tensor([[0, 1], [1, 2]]))
    tensor([2., 1., 2.])
    """

    def of_paths(lengths: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.isfinite(lengths), lengths, 0.0).amax(2)

    return _of_paths("eccentricity", of_paths, edge_index, edge_lengths, batch, n_vertices)


@shares_documentation(graph_geodesics)
def return_probabilities(
    edge_index: torch.Tensor,
    steps: int | Sequence[int] = 2,
    edge_weights: torch.Tensor | None = None,
    *,
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> torch.Tensor:
    """Return the probability that a random walk from each vertex is there again after so many steps.

    Parameters
    ----------
    steps : int or sequence of int
        Numbers of steps, at least 0.
    edge_weights : Tensor of shape (E,), optional
        Positive weights of the edges, 1 by default: a step takes an edge in proportion to its weight.
        Gradients reach them.

    Returns
    -------
    Tensor of shape (N,), or of shape (N, K) for several numbers of steps
        In the dtype of the weights, or the default dtype. A vertex without edges keeps its walker: 1.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, an edge joins two graphs, a weight is not positive
        and finite, or a number of steps is none.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    V. P. Dwivedi et al., "Graph neural networks with learnable structural and positional representations",
    ICLR 2022.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import return_probabilities
    >>> return_probabilities(torch.tensor([[0, 1], [1, 2]]), 2)
    tensor([0.5000, 1.0000, 0.5000])
    """
    name = "return_probabilities"
    several = list(steps) if isinstance(steps, Sequence) else [steps]
    if not several:
        raise fail(name, "steps", "is empty", "at least one number of steps")
    for count in several:
        check_number(name, "steps", count, low=0, integer=True)
    graphs = read_graphs(name, edge_index, batch, n_vertices)
    weights = checked_weights(name, graphs, edge_index, edge_weights)

    def of_blocks(adjacency: torch.Tensor) -> torch.Tensor:
        strength = adjacency.sum(2, keepdim=True)
        own = torch.eye(adjacency.shape[1], dtype=adjacency.dtype, device=adjacency.device)
        moves = torch.where(strength > 0, adjacency / strength.clamp(min=torch.finfo(own.dtype).tiny), own)
        walk, diagonals = own.expand_as(moves), []
        for _ in range(max(several) + 1):
            diagonals.append(walk.diagonal(dim1=1, dim2=2))
            walk = walk @ moves
        return torch.stack([diagonals[count] for count in several], 2)

    found = by_blocks(graphs, in_double(weights), of_blocks)
    if found is None:
        found = weights.new_zeros((0, len(several)))
    return (found if isinstance(steps, Sequence) else found[:, 0]).to(weights.dtype)


def _of_paths(
    name: str, function: Any, edge_index: torch.Tensor, edge_lengths: Any, batch: Any, n_vertices: Any
) -> torch.Tensor:
    """Return (N,) what a function of the lengths of paths (g, n, n) gives."""
    graphs = read_graphs(name, edge_index, batch, n_vertices)
    lengths = checked_weights(name, graphs, edge_index, edge_lengths, "edge_lengths")
    found = by_blocks(
        graphs, in_double(lengths), lambda blocks: function(path_lengths(name, _entries(blocks)))
    )
    return (lengths.new_zeros(0) if found is None else found).to(lengths.dtype)


def _entries(adjacency: torch.Tensor) -> torch.Tensor:
    """Return lengths (g, n, n) of edges, inf where there is none, 0 on the diagonal."""
    own = torch.eye(adjacency.shape[1], dtype=torch.bool, device=adjacency.device)
    return torch.where(adjacency > 0, adjacency, torch.inf).masked_fill(own, 0.0)
