"""Vietoris-Rips persistence of batches of point clouds or distance matrices, differentiable, with critical edges.

Edges are ordered by (length, i, j); values are edge lengths (diameters).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from topodl._checks import check_choice, check_number, check_tensor, fail
from topodl.diagrams import Diagrams
from topodl.kernels._pool import map_batch
from topodl.kernels.rips_edges import inspect_matrix
from topodl.persistence._batch import assemble, pack_bars, pairing_op, to_host
from topodl.persistence._rips_pairing import pair_cloud

__all__ = ["rips_persistence"]

_NAME = "rips_persistence"
_POINTS = "finite points of shape (B, N, d), or a list of (N_i, d)"
_MATRICES = "symmetric distances >= 0 of shape (B, N, N), or a list of (N_i, N_i)"
_LARGEST = 1e150  # squares of differences below this are finite


def rips_persistence(
    x: torch.Tensor | Sequence[torch.Tensor],
    dims: int | Iterable[int] = (0, 1),
    metric: Literal["euclidean", "precomputed"] = "euclidean",
    max_edge_length: float = math.inf,
) -> Diagrams:
    """Compute the persistent homology of the Vietoris-Rips filtration of each point cloud of a batch.

    Births and deaths are lengths of edges, evaluated from `x` for the critical edges alone, so gradients of any
    order reach their end points (or entries of the matrix). Edges of equal length are ordered by (i, j): the
    result is the same on every device, thread count and batch position. Bars of length 0 are dropped.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), or sequence of B tensors of shape (N_i, d)
        Point clouds, not empty. Distances are computed in float64 and rounded to the precision of `x` (half types:
        to float32) before they are compared. With ``metric="precomputed"``: symmetric matrices of distances, of
        shape (B, N, N) or a sequence of (N_i, N_i). They need not satisfy the triangle inequality, an entry
        +inf is no edge, the diagonal is not read, and births and deaths are read above the diagonal.
    dims : int or iterable of int
        Homology dimensions, of any size; cost and memory grow steeply from dimension 2 on.
    metric : {"euclidean", "precomputed"}
        What `x` holds.
    max_edge_length : float
        Longer edges never enter: a class that is alive at this length is essential, its death is +inf.

    Returns
    -------
    Diagrams
        B samples. `birth_cells` and `death_cells` of shape (P, 2) are edges (i, j), i < j, whose lengths births and
        deaths are. In dimension 0 births are 0 at vertices: `birth_cells` (i, -1). Deaths of essential classes
        have (-1, -1).

    Raises
    ------
    InputError
        If a cloud is empty or has NaN or infinite coordinates, a matrix has NaN, a negative entry or is not
        symmetric, or an option is none of those above; the message names the sample.
    MemoryLimitError
        If the complex would not fit into memory; the message says what to change.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    Notes
    -----
    Two coinciding points are at distance 0, and their gradient is 0. Coefficients are Z/2.

    References
    ----------
    Prim, "Shortest connection networks and some generalizations", 1957 (dimension 0). De Silva, Dey, Fan, Wang,
    "Computing topological persistence for simplicial maps", SoCG 2014 (annotations; dimension 1). Bauer, "Ripser:
    efficient computation of Vietoris-Rips persistence barcodes", 2021 (higher dimensions).

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> square = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    >>> d = topodl.rips_persistence(square)
    >>> d.dim(0).deaths
    tensor([1., 1., 1., inf])
    >>> d.dim(1).births, d.dim(1).deaths, d.dim(1).death_cells
    (tensor([1.]), tensor([1.4142]), tensor([[0, 2]]))
    """
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    precomputed = metric == "precomputed"
    if max_edge_length != math.inf:
        check_number(_NAME, "max_edge_length", max_edge_length, low=0.0)
    homology_dims = _homology_dims(dims)
    flat, sizes = _as_flat(x, precomputed)
    bars, edges, places = _rips_bars(
        flat.detach(), list(sizes), homology_dims, precomputed, float(max_edge_length)
    )
    lengths = flat.index_select(0, edges[0]) if precomputed else _lengths(flat, edges)
    values = torch.cat((lengths, lengths.new_tensor([0.0, math.inf])))
    births, deaths = values.index_select(0, places[0]), values.index_select(0, places[1])
    return assemble(bars, births, deaths, len(sizes), homology_dims)


def _homology_dims(dims: int | Iterable[int]) -> list[int]:
    wanted = [dims] if isinstance(dims, int) else list(dims)
    for k in wanted:
        if isinstance(k, bool) or not isinstance(k, int) or k < 0:
            raise fail(_NAME, "dims", f"has {k!r}", "integers of at least 0")
    if not wanted:
        raise fail(_NAME, "dims", "is empty", "at least one homology dimension")
    return sorted(set(wanted))


def _as_flat(x: Any, precomputed: bool) -> tuple[torch.Tensor, Sequence[int]]:
    """Return all points as one tensor (ΣN, d), or all entries of the matrices as one (ΣN²,), and the sizes N."""
    expected = _MATRICES if precomputed else _POINTS
    if isinstance(x, torch.Tensor):
        x = _as_real("x", x)
        if x.ndim != 3 or 0 in x.shape[1:] or (precomputed and x.shape[1] != x.shape[2]):
            raise fail(_NAME, "x", f"has shape {tuple(x.shape)}", expected)
        flat = x.reshape(-1) if precomputed else x.reshape(-1, x.shape[2])
        return flat, [x.shape[1]] * x.shape[0]
    if not isinstance(x, Sequence):
        raise TypeError(f"{_NAME}: x is a {type(x).__name__}; expected a torch.Tensor or a sequence of them")
    if not x:
        return torch.empty(0 if precomputed else (0, 1)), []
    clouds = [_as_real(f"x[{k}]", cloud) for k, cloud in enumerate(x)]
    for k, cloud in enumerate(clouds):
        alike = cloud.ndim == 2 and 0 not in cloud.shape and cloud.dtype == clouds[0].dtype
        if not alike or cloud.shape[1] != (cloud.shape[0] if precomputed else clouds[0].shape[1]):
            came = f"has shape {tuple(cloud.shape)} and dtype {cloud.dtype}"
            raise fail(_NAME, f"x[{k}]", came, f"{expected}, all of one dtype, none empty")
    flat = torch.cat([cloud.reshape(-1) if precomputed else cloud for cloud in clouds])
    return flat, [cloud.shape[0] for cloud in clouds]


def _as_real(argument: str, value: Any) -> torch.Tensor:
    x = check_tensor(_NAME, argument, value)
    if x.is_complex():
        raise TypeError(f"{_NAME}: {argument} has dtype {x.dtype}; expected real values")
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def _lengths(points: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Return the lengths of `edges` (2, m) in float64, rounded to the dtype of `points`; a length 0 has gradient 0."""
    difference = points.index_select(0, edges[0]).double() - points.index_select(0, edges[1]).double()
    squares = (difference * difference).sum(1)
    zero = squares == 0
    return squares.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0).to(points.dtype)


def _fake_rips_bars(
    x: torch.Tensor, sizes: Sequence[int], dims: Sequence[int], precomputed: bool, max_edge_length: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    context = torch.library.get_ctx()
    n_bars, n_edges = context.new_dynamic_size(), context.new_dynamic_size()
    bars, places = x.new_empty((6, n_bars), dtype=torch.int64), x.new_empty((2, n_bars), dtype=torch.int64)
    return bars, x.new_empty((2, n_edges), dtype=torch.int64), places


@pairing_op(
    "rips_bars",
    "(Tensor x, SymInt[] sizes, int[] dims, bool precomputed, float max_edge_length) -> (Tensor, Tensor, Tensor)",
    _fake_rips_bars,
)
def _rips_bars(
    x: torch.Tensor, sizes: Sequence[int], dims: Sequence[int], precomputed: bool, max_edge_length: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the packed bars, the edges to evaluate, and where among their lengths, 0 and inf each end stands."""
    host = to_host(x)
    single = host.dtype == torch.float32
    clouds = _checked_matrices(host, sizes) if precomputed else _checked_clouds(host, sizes)
    bars = pack_bars(
        map_batch(lambda cloud: pair_cloud(cloud, dims, precomputed, single, max_edge_length), clouds),
        2,
        torch.device("cpu"),
    ).numpy()
    ends = bars[2:].reshape(2, 2, -1)  # birth and death, i and j, bar
    is_edge = ends[:, 1] >= 0
    n_edges = np.count_nonzero(is_edge)
    places = np.where(ends[:, 0] >= 0, n_edges, n_edges + 1)
    places[is_edge] = np.arange(n_edges)
    lengths = np.asarray(sizes, np.int64)
    first = np.cumsum(lengths**2 if precomputed else lengths) - (lengths**2 if precomputed else lengths)
    sample = np.broadcast_to(bars[0], is_edge.shape)[is_edge]
    i, j = ends[:, 0][is_edge], ends[:, 1][is_edge]
    edges = np.stack((first[sample] + i, first[sample] + j))
    if precomputed:
        edges[0] = first[sample] + i * lengths[sample] + j
    bars_out, edges_out, places_out = (torch.from_numpy(part).to(x.device) for part in (bars, edges, places))
    return bars_out, edges_out, places_out


def _checked_clouds(host: torch.Tensor, sizes: Sequence[int]) -> list[Any]:
    """Return each cloud in float64, or raise the error that names the first one that has no finite points."""
    points = host.numpy().astype(np.float64)
    starts = np.cumsum([0, *sizes])
    if not np.abs(points).max(initial=0.0) <= _LARGEST:
        row, column = np.argwhere(~(np.abs(points) <= _LARGEST))[0]
        sample = int(np.searchsorted(starts, row, side="right")) - 1
        came = f"has {points[row, column]} at ({row - starts[sample]}, {column})"
        came = came.replace("has nan", "has NaN")
        raise fail(_NAME, f"x[{sample}]", came, f"{_POINTS}, of size up to {_LARGEST:g}")
    return np.split(points, starts[1:-1])


def _checked_matrices(host: torch.Tensor, sizes: Sequence[int]) -> list[Any]:
    """Return each matrix, exactly symmetric, or raise the error that names the first unusable entry."""
    reals, matrices, start = host.numpy(), [], 0
    for sample, n in enumerate(sizes):
        matrix = reals[start : start + n * n].reshape(n, n)
        start += n * n
        i, j, symmetric = inspect_matrix(matrix, 1e-5 if matrix.dtype == np.float32 else 1e-12)
        if i >= 0:
            came = f"has {matrix[i, j]} at ({i}, {j}) and {matrix[j, i]} at ({j}, {i})".replace("nan", "NaN")
            raise fail(_NAME, f"x[{sample}]", came, _MATRICES)
        if not symmetric:
            upper = np.triu(matrix, 1)
            matrix = upper + upper.T
        matrices.append(matrix)
    return matrices
