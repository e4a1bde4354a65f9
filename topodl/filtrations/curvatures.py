"""Curvatures of the edges and vertices of graphs: Forman's by counting, Ollivier's by optimal transport.

Cost: O(E) and triangles for Forman's; O(d³) for Ollivier's of an edge whose ends have d neighbours.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import coo_array

from topodl._checks import as_real, check_choice, check_number, fail
from topodl._host import host_array, untransformed
from topodl._precision import at_least_single
from topodl._segments import segment_sum, take_segments
from topodl.filtrations._graphs import (
    SimpleGraphs,
    at_columns,
    checked_weights,
    mean_of_edges,
    read_graphs,
)
from topodl.kernels.graphs.transport import transport_potentials
from topodl.kernels.shared.adjacency import adjacency

__all__ = ["forman_curvature", "ollivier_curvature"]

Place = Literal["edges", "vertices"]
_PLACES = ("edges", "vertices")


def forman_curvature(
    edge_index: torch.Tensor,
    edge_weights: torch.Tensor | None = None,
    *,
    at: Place = "edges",
    triangles: bool = False,
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> torch.Tensor:
    """Return the Forman-Ricci curvature of each edge, or at each vertex the mean of its edges.

    An edge e has 2 − Σ √(w(e) / w(e′)) over the other edges e′ at its two ends: without weights 4 minus the
    degrees of both. The augmented curvature of a graph without weights adds 3 for each triangle at the edge.

    Parameters
    ----------
    edge_index : Tensor of shape (2, E), integers
        End points of the edges of all graphs, in one or both directions. Graphs are simple and undirected:
        loops are left out, and of several edges between the same vertices the first counts.
    edge_weights : Tensor of shape (E,), optional
        Positive weights of the edges, 1 by default; gradients reach them.
    at : {"edges", "vertices"}
        Where the curvature is asked for.
    triangles : bool
        Whether triangles count; without weights only.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex, in any order; it also says how many vertices there are.
    n_vertices : int, optional
        Number of vertices N where there is no `batch`; by default one more than the largest of `edge_index`.

    Returns
    -------
    Tensor of shape (E,), or of shape (N,) at vertices
        One for each column of `edge_index`, 0 for loops; 0 at vertices without edges. In the dtype of the
        weights, or the default dtype.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, an edge joins two graphs, a weight is not positive
        and finite, or weights come with `triangles`.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    R. Forman, "Bochner's method for cell complexes and combinatorial Ricci curvature", Discrete &
    Computational Geometry 29, 2003. A. Samal et al., "Comparative analysis of two discretizations of Ricci
    curvature for complex networks", Scientific Reports 8, 2018 (augmented by triangles).

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import forman_curvature
    >>> path_and_triangle = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 3]])
    >>> forman_curvature(path_and_triangle).round().long()
    tensor([-1,  0, -1,  0])
    >>> forman_curvature(path_and_triangle, triangles=True).round().long()
    tensor([2, 3, 2, 0])
    """
    name = "forman_curvature"
    check_choice(name, "at", at, _PLACES)
    graphs = read_graphs(name, edge_index, batch, n_vertices)
    if triangles and edge_weights is not None:
        raise fail(name, "edge_weights", "are given with triangles=True", "None: these count triangles")
    weights = checked_weights(name, graphs, edge_index, edge_weights)
    roots = at_least_single(weights).sqrt()
    inverse = segment_sum(1 / roots.repeat(2), graphs.edges.reshape(-1), graphs.n_vertices)
    # the sums have the edge itself twice, as 1 each time
    curvature = 4 - roots * inverse[graphs.edges].sum(0)
    if triangles:
        curvature = curvature + 3 * _n_triangles(graphs).to(curvature)
    return _at(at, graphs, curvature).to(weights.dtype)


def ollivier_curvature(
    edge_index: torch.Tensor,
    alpha: float | torch.Tensor = 0.5,
    edge_weights: torch.Tensor | None = None,
    *,
    at: Place = "edges",
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> torch.Tensor:
    """Return the Ollivier-Ricci curvature of each edge, or at each vertex the mean of its edges.

    An edge (u, v) has 1 − W1(m_u, m_v): a walker at u stays with probability `alpha`, or steps to a
    neighbour, with probabilities in proportion to the weights of its edges. The exact transport between where
    walkers at u and at v are counts steps in the graph. It is evaluated by its potentials, so that gradients
    reach `alpha` and the weights wherever the optimal potentials are unique.

    Parameters
    ----------
    edge_index : Tensor of shape (2, E), integers
        End points of the edges of all graphs, in one or both directions. Graphs are simple and undirected:
        loops are left out, and of several edges between the same vertices the first counts.
    alpha : float or Tensor of shape ()
        Probability of staying, from 0 to 1.
    edge_weights : Tensor of shape (E,), optional
        Positive weights of the edges, 1 by default. They are no lengths: a step is a step.
    at : {"edges", "vertices"}
        Where the curvature is asked for.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex, in any order; it also says how many vertices there are.
    n_vertices : int, optional
        Number of vertices N where there is no `batch`; by default one more than the largest of `edge_index`.

    Returns
    -------
    Tensor of shape (E,), or of shape (N,) at vertices
        One for each column of `edge_index`, 0 for loops; 0 at vertices without edges. In the dtype of `alpha`
        and the weights, or the default dtype.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, an edge joins two graphs, a weight is not positive
        and finite, or `alpha` is no number from 0 to 1.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    Y. Ollivier, "Ricci curvature of Markov chains on metric spaces", Journal of Functional Analysis 256,
    2009. Y. Lin, L. Lu, S.-T. Yau, "Ricci curvature of graphs", Tohoku Mathematical Journal 63, 2011
    (staying).

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import ollivier_curvature
    >>> complete = torch.tensor([[0, 0, 0, 1, 1, 2], [1, 2, 3, 2, 3, 3]])
    >>> ollivier_curvature(complete, alpha=0.0)  # of n vertices: (n − 2) / (n − 1)
    tensor([0.6667, 0.6667, 0.6667, 0.6667, 0.6667, 0.6667])
    """
    name = "ollivier_curvature"
    check_choice(name, "at", at, _PLACES)
    graphs = read_graphs(name, edge_index, batch, n_vertices)
    weights = checked_weights(name, graphs, edge_index, edge_weights)
    stay = _checked_alpha(name, alpha).to(weights.device)
    dtype = (
        torch.promote_types(weights.dtype, stay.dtype) if isinstance(alpha, torch.Tensor) else weights.dtype
    )
    stay, steps = stay.double(), weights.double()
    pairs = host_array(name, graphs.edges.T)
    starts, neighbours, links = adjacency(graphs.n_vertices, pairs)
    slots = torch.from_numpy(links).to(weights.device)
    offsets = torch.from_numpy(starts).to(weights.device)
    owner = torch.repeat_interleave(offsets.diff())
    strength = segment_sum(steps[slots], owner, graphs.n_vertices)
    shares = (1 - stay) * steps[slots] / strength[owner]
    masses = host_array(name, shares), host_array(name, stay).item()
    tables = transport_potentials(pairs, starts, neighbours, *masses)
    with untransformed():
        at_ends, *at_neighbours = (torch.from_numpy(table).to(weights.device) for table in tables)
    cost = stay * (at_ends[:, 0] - at_ends[:, 1])
    for sign, ends, potentials in zip((1, -1), graphs.edges, at_neighbours, strict=True):
        positions, edge = take_segments(offsets, ends)
        cost = cost + sign * segment_sum(potentials * shares[positions], edge, len(pairs))
    return _at(at, graphs, 1 - cost).to(dtype)


def _checked_alpha(name: str, alpha: Any) -> torch.Tensor:
    if not isinstance(alpha, torch.Tensor):
        check_number(name, "alpha", alpha, low=0.0, high=1.0)
        return torch.tensor(float(alpha), dtype=torch.float64, device="cpu")
    stay = as_real(name, "alpha", alpha)
    if stay.ndim:
        raise fail(name, "alpha", f"has shape {tuple(stay.shape)}", "one number")
    check_number(name, "alpha", host_array(name, at_least_single(stay)).item(), low=0.0, high=1.0)
    return stay


def _at(place: Place, graphs: SimpleGraphs, values: torch.Tensor) -> torch.Tensor:
    return at_columns(graphs, values) if place == "edges" else mean_of_edges(graphs, values)


def _n_triangles(graphs: SimpleGraphs) -> torch.Tensor:
    """Return (E,) the number of triangles at each edge."""
    u, v = host_array("forman_curvature", graphs.edges)
    n = graphs.n_vertices
    ones = np.ones(2 * len(u), np.int64)
    neighbours = coo_array((ones, (np.append(u, v), np.append(v, u))), (n, n)).tocsr()
    common = np.asarray((neighbours[u].multiply(neighbours[v])).sum(1)) if len(u) else np.zeros(0, np.int64)
    return torch.from_numpy(common.reshape(-1)).to(graphs.edges.device)
