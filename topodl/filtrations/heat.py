"""Heat kernel signatures of graphs: how much heat is left at each vertex after a time.

Cost of a graph of n vertices and m edges: O(n m √t), or O(n³) if that is less or weights have a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import ive

from topodl._checks import as_real, check_number, fail
from topodl._host import has_gradient, on_host, whole_values
from topodl._precision import in_double
from topodl.filtrations._graphs import SimpleGraphs, by_blocks, checked_weights, read_graphs

__all__ = ["heat_diagonals", "heat_kernel_signature"]

_NAME = "heat_kernel_signature"
_NEGLIGIBLE = 1e-17  # terms of a sum whose polynomials are at most 1
_MOST_TERMS = 1000
_OF_EIGENVECTORS = 10  # products of n³ that eigenvectors take


def heat_kernel_signature(
    edge_index: torch.Tensor,
    t: float | Sequence[float] | torch.Tensor,
    edge_weights: torch.Tensor | None = None,
    *,
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> torch.Tensor:
    """Return the diagonal of exp(−t L) for the normalised Laplacian L of each graph.

    Gradients of any order reach the times and the weights: those of times by eigenvectors, those of weights
    by the exponential of matrices, so that equal eigenvalues do no harm.

    Parameters
    ----------
    edge_index : Tensor of shape (2, E), integers
        End points of the edges of all graphs, in one or both directions. Graphs are simple and undirected:
        loops are left out, and of several edges between the same vertices the first counts.
    t : float, sequence of float, or Tensor of shape () or (T,)
        Times, at least 0.
    edge_weights : Tensor of shape (E,), optional
        Positive weights of the edges, 1 by default.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex, in any order; it also says how many vertices there are.
    n_vertices : int, optional
        Number of vertices N where there is no `batch`; by default one more than the largest of `edge_index`.

    Returns
    -------
    Tensor of shape (N,), or of shape (N, T) for several times
        In the dtype of weights and times, or the default dtype. A vertex without edges keeps its heat: 1.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, an edge joins two graphs, a weight is not positive
        and finite, or a time is negative or not finite.
    TypeError
        If an argument is no tensor, or indices are not integers.

    References
    ----------
    J. Sun, M. Ovsjanikov, L. Guibas, "A concise and provably informative multi-scale signature based on heat
    diffusion", SGP 2009. M. Carrière et al., "PersLay", AISTATS 2020 (as a filtration of graphs).

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import heat_kernel_signature
    >>> edge = torch.tensor([[0], [1]])  # eigenvalues 0 and 2: (1 + exp(-2t)) / 2
    >>> heat_kernel_signature(edge, 0.5, n_vertices=3)
    tensor([0.6839, 0.6839, 1.0000])
    """
    graphs = read_graphs(_NAME, edge_index, batch, n_vertices)
    weights = checked_weights(_NAME, graphs, edge_index, edge_weights)
    times = _checked_times(t)
    flat = in_double(times.reshape(-1)).to(weights.device)
    dtype = torch.promote_types(weights.dtype, times.dtype) if isinstance(t, torch.Tensor) else weights.dtype
    summable = _in_summable_units(in_double(weights))
    found = _by_polynomials(graphs, summable, flat)
    if found is None:
        found = by_blocks(graphs, summable, lambda block: heat_diagonals(_normalised(block), flat))
    if found is None:
        return flat.new_zeros((0, *times.shape), dtype=dtype)
    return found.view(-1, *times.shape).to(dtype)


def _in_summable_units(weights: torch.Tensor) -> torch.Tensor:
    """Return weights whose sums are finite; signatures do not depend on their unit."""
    if not weights.numel():
        return weights
    huge = whole_values(weights).amax() > 2.0**980
    return weights * torch.where(huge, 2.0**-32, 1.0)


def heat_diagonals(laplacians: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return the diagonals (g, n, T) of exp(−t L) for Laplacians (g, n, n) and times (T,)."""
    if has_gradient(laplacians):
        powers = torch.linalg.matrix_exp(-times[:, None, None, None] * laplacians)
        return powers.diagonal(dim1=2, dim2=3).permute(1, 2, 0)
    eigenvalues, vectors = torch.linalg.eigh(laplacians)
    return vectors.square() @ torch.exp(-eigenvalues.clamp(min=0.0)[:, :, None] * times)


def _by_polynomials(graphs: SimpleGraphs, weights: torch.Tensor, times: torch.Tensor) -> torch.Tensor | None:
    """Return the diagonals (N, T) by sparse products; None where a gradient or the cost asks for matrices."""
    from topodl.kernels.graphs.heat import heat_diagonals as by_products

    if not (on_host(weights) and on_host(times)) or has_gradient(weights) or has_gradient(times):
        return None
    graph, edges, values = (x.detach().numpy() for x in (graphs.graph, graphs.edges, weights))
    sizes = np.bincount(graph, minlength=graphs.n_graphs)
    coefficients = _chebyshev(times.detach().numpy(), _MOST_TERMS)
    products = sizes[graph[edges[0]]].sum() * (0 if coefficients is None else len(coefficients))
    if coefficients is None or products > _OF_EIGENVECTORS * (sizes.astype(np.float64) ** 3).sum():
        return None
    place = np.empty(len(graph), np.int64)
    place[np.argsort(graph, kind="stable")] = np.arange(len(graph))
    ends = np.concatenate([place[edges], place[edges[::-1]]], 1)
    order = np.argsort(ends[0], kind="stable")
    starts = np.concatenate([[0], np.bincount(ends[0], minlength=len(graph)).cumsum()])
    degrees = np.bincount(ends[0], np.tile(values, 2), len(graph))
    entries = np.tile(values, 2) / np.sqrt(degrees[ends[0]]) / np.sqrt(degrees[ends[1]])
    found = by_products(sizes, starts, ends[1][order], entries[order], coefficients)
    return torch.from_numpy(found[place])


def _chebyshev(times: Any, most: int) -> Any:
    """Return (K, T) the coefficients of exp(−t (1 − s)) in Chebyshev's polynomials; None beyond `most`."""
    degrees = np.arange(most)[:, None]
    coefficients = np.where(degrees > 0, 2.0, 1.0) * ive(degrees, times)
    needed = np.flatnonzero(coefficients.max(1, initial=0.0) > _NEGLIGIBLE)
    n_terms = 2 + (int(needed[-1]) // 2 * 2 if len(needed) else 0)
    coefficients = coefficients[:n_terms]
    # All polynomials are 1 at s = 1, where no heat is lost: what misses there is in terms that were left out.
    return coefficients if np.allclose(coefficients.sum(0), 1.0, rtol=0, atol=1e-12) else None


def _checked_times(t: Any) -> torch.Tensor:
    if not isinstance(t, torch.Tensor):
        several = list(t) if isinstance(t, Sequence) else [t]
        for time in several:
            check_number(_NAME, "t", time, low=0.0)
        times = torch.tensor(several, dtype=torch.float64, device="cpu")
        return times if isinstance(t, Sequence) else times[0]
    times = as_real(_NAME, "t", t)
    if times.ndim > 1:
        raise fail(_NAME, "t", f"has shape {tuple(times.shape)}", "one time or shape (T,)")
    for time in whole_values(times).reshape(-1).tolist():
        check_number(_NAME, "t", time, low=0.0)
    return times


def _normalised(adjacency: torch.Tensor) -> torch.Tensor:
    """Return the normalised Laplacians of adjacency matrices (g, n, n), 0 at vertices without edges."""
    degrees = adjacency.sum(2)
    present = degrees > 0
    scales = torch.where(present, degrees, 1.0).rsqrt()
    return torch.diag_embed(present.to(degrees.dtype)) - scales[:, :, None] * adjacency * scales[:, None, :]
