"""Heat kernel signatures of graphs: how much heat is left at each vertex after a time.

Cost: O(n³) for a graph of n vertices; graphs of equal size together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from topodl._checks import as_real, check_number, fail
from topodl._host import has_gradient, whole_values
from topodl._precision import in_double
from topodl.filtrations._graphs import by_blocks, checked_weights, read_graphs

__all__ = ["heat_diagonals", "heat_kernel_signature"]

_NAME = "heat_kernel_signature"


def heat_kernel_signature(
    edge_index: torch.Tensor,
    t: float | Sequence[float] | torch.Tensor,
    edge_weights: torch.Tensor | None = None,
    *,
    batch: torch.Tensor | None = None,
    n_vertices: int | None = None,
) -> torch.Tensor:
    """Return the diagonal of exp(−t L) for the normalised Laplacian L of each graph.

    Gradients of any order reach the times and the weights: without those of weights by eigenvectors, with
    them by the exponential of matrices, so that equal eigenvalues do no harm.

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
    found = by_blocks(graphs, in_double(weights), lambda blocks: heat_diagonals(_normalised(blocks), flat))
    if found is None:
        return flat.new_zeros((0, *times.shape), dtype=dtype)
    return found.view(-1, *times.shape).to(dtype)


def heat_diagonals(laplacians: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return the diagonals (g, n, T) of exp(−t L) for Laplacians (g, n, n) and times (T,)."""
    if has_gradient(laplacians):
        powers = torch.linalg.matrix_exp(-times[:, None, None, None] * laplacians)
        return powers.diagonal(dim1=2, dim2=3).permute(1, 2, 0)
    eigenvalues, vectors = torch.linalg.eigh(laplacians)
    return vectors.square() @ torch.exp(-eigenvalues.clamp(min=0.0)[:, :, None] * times)


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
