"""Degrees as filtrations: of the vertices of graphs, and of points within a distance (degree-Rips).

Cost: O(E) for graphs, O(n²) for each cloud and degree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from topodl._checks import check_number, fail
from topodl._distance_matrices import distances_between
from topodl._precision import at_least_single
from topodl._segments import segment_sum
from topodl.filtrations._clouds import Clouds, Metric, map_clouds
from topodl.filtrations._graphs import checked_weights, read_graphs

__all__ = ["degree_rips_values", "degree_values"]


def degree_values(
    edge_index: torch.Tensor,
    edge_weights: torch.Tensor | None = None,
    *,
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> torch.Tensor:
    """Return the degree of each vertex, or the sum of the weights of its edges.

    Parameters
    ----------
    edge_index : Tensor of shape (2, E), integers
        End points of the edges of all graphs, in one or both directions. Graphs are simple and undirected:
        loops are left out, and of several edges between the same vertices the first counts.
    edge_weights : Tensor of shape (E,), optional
        Positive weights of the edges, 1 by default; gradients reach them.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex, in any order; it also says how many vertices there are.
    n_vertices : int, optional
        Number of vertices N where there is no `batch`; by default one more than the largest of `edge_index`.

    Returns
    -------
    Tensor of shape (N,)
        In the dtype of the weights, or the default dtype; 0 for a vertex without edges.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, an edge joins two graphs, or a weight is not
        positive and finite.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    C. Hofer, R. Kwitt, M. Niethammer, A. Uhl, "Deep learning with topological signatures", NeurIPS 2017
    (vertex degrees as filtration).

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import degree_values
    >>> degree_values(torch.tensor([[0, 1, 2, 0], [1, 2, 0, 3]]))
    tensor([3., 2., 2., 1.])
    """
    name = "degree_values"
    graphs = read_graphs(name, edge_index, batch, n_vertices)
    weights = checked_weights(name, graphs, edge_index, edge_weights)
    return segment_sum(weights.repeat(2), graphs.edges.reshape(-1), graphs.n_vertices)


def degree_rips_values(
    x: Clouds, ks: int | Iterable[int], metric: Metric = "euclidean"
) -> torch.Tensor | list[torch.Tensor]:
    """Return when each point and edge enters the Rips complex of points with at least k neighbours.

    The degree-Rips bifiltration has at (r, −k) the flag complex of the points with at least k others within r
    and the edges up to r. For a fixed k it is a flag complex whose points enter at the distance to their k-th
    neighbour, and edges at the largest of their length and their ends' values: mutual reachability.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), or sequence of B tensors of shape (N_i, d)
        Point clouds, not empty. With ``metric="precomputed"`` matrices of distances, (B, N, N) or a sequence
        of (N_i, N_i).
    ks : int or iterable of int
        Least numbers of neighbours, the point itself not counted: K of them, at least 0.
    metric : {"euclidean", "precomputed"}
        What `x` holds.

    Returns
    -------
    Tensor of shape (B, K, N, N), or list of B tensors of shape (K, N_i, N_i)
        Off the diagonal the values of edges, on it those of points; +inf where a point never has k
        neighbours. In the units and the dtype of `x`. `rips_persistence` takes them with
        ``metric="precomputed"`` and lets all points enter at 0; `graph_persistence` also takes their values.

    Raises
    ------
    InputError
        If a cloud is empty or has coordinates that are not finite, a matrix is none of distances, or `ks` is
        empty or has another number.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    References
    ----------
    M. Lesnick, M. Wright, "Interactive visualization of 2-D persistence modules", 2015. A. Rolle, L.
    Scoccola, "Stable and consistent density-based clustering via multiparameter persistence", JMLR 25, 2024.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import degree_rips_values
    >>> line = torch.tensor([[[0.0], [1.0], [3.0]]])
    >>> degree_rips_values(line, 1)
    tensor([[[[1., 1., 3.],
              [1., 1., 2.],
              [3., 2., 2.]]]])
    """
    name = "degree_rips_values"
    counts: list[Any] = list(ks) if isinstance(ks, Iterable) else [ks]
    if not counts:
        raise fail(name, "ks", "is empty", "at least one number of neighbours")
    for k in counts:
        check_number(name, "ks", k, low=0, integer=True)

    def of_batch(clouds: torch.Tensor) -> torch.Tensor:
        entries = at_least_single(clouds)
        distances = entries if metric == "precomputed" else distances_between(entries)
        return torch.stack([_mutual_reachability(distances, int(k)) for k in counts], 1)

    values: torch.Tensor | list[torch.Tensor] = map_clouds(name, of_batch, x, metric, None)
    return values


def _mutual_reachability(distances: torch.Tensor, k: int) -> torch.Tensor:
    """Return (b, n, n) values of edges, and on the diagonal of points, for `k` neighbours at least."""
    n = distances.shape[1]
    if k >= n:
        return torch.full_like(distances, math.inf)
    with torch.no_grad():
        others = distances.detach().clone()
        others.diagonal(dim1=1, dim2=2).fill_(-1.0)  # each point comes before its neighbours
        which = others.kthvalue(k + 1, dim=2).indices[:, :, None]
    reach = distances.gather(2, which)
    return torch.maximum(distances, torch.maximum(reach, reach.mT))
