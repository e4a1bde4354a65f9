"""Vietoris-Rips persistence of batches of point clouds or distance matrices, differentiable.

Edges are ordered by (length, i, j); values are edge lengths (diameters).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from topodl._checks import check_choice, check_number, fail
from topodl._clouds import as_clouds, checked_clouds
from topodl._distance_matrices import entries_or_lengths, settled, warn_of_distances
from topodl._host import is_traced, on_host
from topodl._segments import segment_sum
from topodl.diagrams import Diagrams
from topodl.kernels.points.rips_bars import critical_edges, edge_values, pull_on_points, total_lengths
from topodl.kernels.points.rips_edges import inspect_matrix
from topodl.kernels.shared.pool import map_batch
from topodl.persistence._approximate_rips import approximate_bars, values_of_edges
from topodl.persistence._batch import (
    BarCells,
    assemble,
    bar_table,
    from_host,
    homology_dims_of,
    pairing_op,
    to_host,
)
from topodl.persistence._rips_pairing import pair_cloud, pair_components, pair_edges
from topodl.persistence._short_edges import LEAST_POINTS, edges_in_order
from topodl.persistence._sparse_distances import SparseDistances, are_sparse, joined, read_sparse_distances
from topodl.persistence._weighted_rips import WeightedClouds, joined_dims, weighted_components

__all__ = ["rips_persistence"]

_NAME = "rips_persistence"
_POINTS = "finite points of shape (B, N, d), or a list of (N_i, d)"
_MATRICES = "symmetric distances >= 0 of shape (B, N, N), or a list of (N_i, N_i)"


def rips_persistence(
    x: torch.Tensor | Sequence[torch.Tensor],
    dims: int | Iterable[int] = (0, 1),
    metric: Literal["euclidean", "precomputed"] = "euclidean",
    max_edge_length: float = math.inf,
    batch: torch.Tensor | None = None,
    *,
    weights: torch.Tensor | Sequence[torch.Tensor] | None = None,
    p: float = 1,
    sparse: float | None = None,
) -> Diagrams:
    """Compute the persistent homology of the Vietoris-Rips filtration of each point cloud of a batch.

    Births and deaths are lengths of edges, evaluated from `x` for the critical edges alone, so gradients of
    any order reach their end points (or entries of the matrix). Edges of equal length are ordered by (i, j):
    the result is the same on every device, thread count and batch position. Bars of length 0 are dropped.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), or sequence of B tensors of shape (N_i, d)
        Point clouds, not empty. Each may be a `Data` of PyTorch Geometric, whose points are its ``pos``.
        Distances are computed in float64 and rounded to the precision of `x` (half
        types: to float32) before they are compared. With ``metric="precomputed"``: symmetric matrices of
        distances, of shape (B, N, N) or a sequence of (N_i, N_i). They need not satisfy the triangle
        inequality, an entry +inf is no edge, and the diagonal plays no part. Sparse matrices (N, N) of SciPy
        or PyTorch, one or a sequence, or a sparse tensor (B, N, N), need memory for their entries alone in
        dimensions 0 and 1: a missing entry is no edge, an explicit zero is a distance, and one triangle
        stands for both. Pairs, births and deaths are
        those of the entries above the diagonal; their mirror images may differ by a thousandth of the largest
        distance (a millionth in float64), since matrix products in `torch.cdist` are that inexact.
    dims : int or iterable of int
        Homology dimensions, of any size below 2³¹; cost and memory grow steeply from dimension 2 on.
        Dimension k is empty, at no cost, where there are fewer than 2k + 2 points.
    metric : {"euclidean", "precomputed"}
        What `x` holds.
    max_edge_length : float
        Longer edges never enter: a class that is alive at this length is essential, its death is +inf. Where
        it leaves few edges to 2,048 points or more, these are found without looking at all pairs.
    batch : Tensor of shape (N,), integers, optional
        Beside `x` of shape (N, d), the points of all clouds: the cloud of each, in any order, as PyTorch
        Geometric has it. Cells count the points of a cloud in the order that they have in `x`.
    weights : Tensor of shape (B, N), sequence of (N_i,), or (N,) beside `batch`, optional
        Weights w of at least 0, in the unit of distances, as `topodl.filtrations.codensity` gives them with
        `mass` (DTM-filtrations). A point enters at 2w, and an edge of length l at l + w + w′, where the balls
        of two points meet that grow from t = w on, but not before its ends. Gradients reach the weights.
    p : {1, 2, inf}
        How balls grow, with weights: the radius is (tᵖ − wᵖ)^(1/p), and edges enter at twice the t at which
        two meet. At inf that is their length, or the time of their ends.
    sparse : float, optional
        Approximate the filtration by fewer edges: ε, above 0 and below 1, as in GUDHI. Where distances are a
        metric, bars begin and end up to 1 / (1 - ε) times as late as their exact twins, never earlier, and
        only bars with death / birth ≤ 1 / (1 - ε) have no twin. Each point has a number of edges that depends
        on ε and the dimension of the shape alone: memory follows N, time N². None: exact.

    Returns
    -------
    Diagrams
        B samples. `birth_cells` and `death_cells` of shape (P, 2) are edges (i, j), i < j, whose lengths
        births and deaths are. In dimension 0 births are at vertices, `birth_cells` (i, -1), 0 without
        weights. Deaths of essential classes have (-1, -1).

    Raises
    ------
    InputError
        If a cloud is empty or has NaN or infinite coordinates, a matrix has NaN, a negative entry or is not
        symmetric, or an option is none of those above; the message names the sample. If `batch` does not fit
        to `x`, or skips a cloud; if weights do not fit, or are below 0.
    MemoryLimitError
        If the complex would not fit into memory; the message says what to change.
    TypeError
        If `x` is neither a real tensor nor a sequence of them, or `batch` has no integers.

    Warns
    -----
    UserWarning
        If the first cloud of three points or more is a matrix of distances, and `metric` does not say so.

    Notes
    -----
    Two coinciding points are at distance 0, and their gradient is 0. Coefficients are Z/2.

    With `sparse`, the first point comes first, then always the one that is farthest from those before, at a
    distance λ from the nearest of them. An edge of length d enters, if at all, at d, or at 2 (d - λ / ε)
    where d is above 2λ / ε, with the λ of the end that came later. Gradients are those of these values, so
    they reach the point at the distance λ, too, and grow with 1 / ε.

    References
    ----------
    Prim, "Shortest connection networks and some generalizations", 1957 (dimension 0). De Silva, Dey, Fan,
    Wang, "Computing topological persistence for simplicial maps", SoCG 2014 (annotations; dimension 1).
    Bauer, "Ripser: efficient computation of Vietoris-Rips persistence barcodes", 2021 (higher dimensions).
    Anai et al., "DTM-based filtrations", SoCG 2019 (weights). Cavanna, Jahanseir, Sheehy, "A geometric
    perspective on sparse filtrations", CCCG 2015 (`sparse`).

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
    >>> d = topodl.rips_persistence(square, 0, weights=torch.tensor([[0.0, 0.0, 0.0, 0.5]]))
    >>> d.births, d.deaths
    (tensor([0., 0., 0., 1.]), tensor([   inf, 1.0000, 1.0000, 1.5000]))
    """
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    precomputed = metric == "precomputed"
    if max_edge_length != math.inf:
        check_number(_NAME, "max_edge_length", max_edge_length, low=0.0)
    homology_dims = homology_dims_of(_NAME, dims)
    if sparse is not None:
        _check_sparse(sparse, weights is not None, precomputed and batch is None and are_sparse(x))
    if precomputed and batch is None and weights is None and are_sparse(x):
        return _persistence_of_sparse(read_sparse_distances(_NAME, x), homology_dims, float(max_edge_length))
    clouds, sizes = as_clouds(_NAME, x, _MATRICES if precomputed else _POINTS, precomputed, batch)
    if not precomputed and len(sizes) and sizes[0] == clouds.shape[-1]:
        warn_of_distances(_NAME, "x[0]", clouds.reshape(-1, clouds.shape[-1])[: sizes[0]])
    if weights is not None and sizes:
        weighted = WeightedClouds(clouds, sizes, weights, p, precomputed, batch)
        parts = [weighted_components(weighted, float(max_edge_length))] if 0 in homology_dims else []
        if loops := [k for k in homology_dims if k]:
            parts.append(rips_persistence(weighted.matrices, loops, "precomputed", max_edge_length))
        return joined_dims(parts, homology_dims)
    if not precomputed and sparse is None and on_host(clouds):
        return _persistence_on_host(clouds, sizes, homology_dims, float(max_edge_length))
    flat = clouds.reshape(-1) if precomputed else clouds.reshape(-1, clouds.shape[-1])
    options = (sizes, homology_dims, precomputed, float(max_edge_length), float(sparse or 0))
    bars, edges, hubs, places = _rips_bars(flat.detach(), *options)
    lengths = (
        entries_or_lengths(flat, edges)
        if sparse is None
        else values_of_edges(flat, edges, hubs, float(sparse))
    )
    births, deaths = _ends(lengths, places)
    return assemble(bars, births, deaths, len(sizes), homology_dims, in_order=True)


def _check_sparse(sparse: float, weighted: bool, by_entries: bool) -> None:
    check_number(_NAME, "sparse", sparse)
    if not 0 < sparse < 1:
        raise fail(_NAME, "sparse", f"is {sparse!r}", "a number above 0 and below 1, or None")
    if weighted or by_entries:
        what = "weights" if weighted else "sparse distances"
        raise fail(_NAME, "sparse", f"is given beside {what}", "points or dense distances, without weights")


def _persistence_of_sparse(
    samples: list[SparseDistances], dims: Sequence[int], max_edge_length: float
) -> Diagrams:
    values, positions = joined(samples)

    def pair(sample: SparseDistances) -> BarCells:
        lengths = np.maximum(to_host(sample.values).numpy().astype(np.float64), 0)  # rounding may leave less
        kept = (lengths <= max_edge_length) & (lengths < math.inf)
        return pair_edges(*edges_in_order(sample.edges[kept], lengths[kept], sample.n), sample.n, dims)

    table = bar_table(map_batch(pair, samples), 2)
    edges, places = critical_edges(table, np.asarray([sample.n for sample in samples]), True)
    entries = torch.from_numpy(np.searchsorted(positions, edges[:1])).to(values.device)
    births, deaths = _ends(entries_or_lengths(values, entries), torch.from_numpy(places).to(values.device))
    bars = torch.from_numpy(table).to(values.device)
    return assemble(bars, births, deaths, len(samples), dims, in_order=True)


class _Bars(NamedTuple):
    """Bars of points on the CPU in NumPy arrays: their ends are `values` at their `places`."""

    points: Any  # as they came, of float32 where they are of a half type
    edges: Any  # (2, E), the critical ones
    places: Any  # (2, P)
    values: Any  # (2 + E,), 0, inf and the lengths of the edges
    segments: Any  # (P,), which of the totals a bar belongs to
    totals: Any  # (B, D), the lengths of finite bars together, of each sample and dimension


def _persistence_on_host(
    clouds: torch.Tensor, sizes: Sequence[int], dims: Sequence[int], max_edge_length: float
) -> Diagrams:
    """Return the diagrams of points, and with them their total persistence."""
    points, totals = to_host(clouds).numpy(), np.zeros((len(sizes), len(dims)))
    table, edges, places, values = _paired(points, clouds.dtype, sizes, dims, False, max_edge_length)
    segments = total_lengths(table, np.asarray(dims), places, values, totals.reshape(-1))
    bars = _Bars(points, edges, places, values, segments, totals.astype(points.dtype))
    births, deaths, total = _EndsOnHost.apply(clouds, bars)  # type: ignore[no-untyped-call]
    diagrams = assemble(torch.from_numpy(table), births, deaths, len(sizes), dims, in_order=True)
    return diagrams._with_totals(total)


def _ends(lengths: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return births and deaths, which are 0, inf or values of critical edges."""
    values = torch.cat((lengths.new_zeros(1), lengths.new_full((1,), math.inf), lengths))
    births, deaths = values.index_select(0, places.reshape(-1)).view(places.shape)
    return births, deaths


class _EndsOnHost(torch.autograd.Function):
    """Births, deaths and totals in a tenth of PyTorch's time, most of which it takes per operation."""

    @staticmethod
    def forward(ctx: Any, points: torch.Tensor, bars: _Bars) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(points)
        ctx.bars = bars  # of unchanged points: unpacking the saved ones checks that
        births, deaths = bars.values[bars.places]
        return tuple(from_host(output, points.dtype) for output in (births, deaths, bars.totals))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        (points,), bars = ctx.saved_tensors, ctx.bars
        given = [gradient for gradient in gradients if gradient is not None]
        differentiated = torch.is_grad_enabled()
        if differentiated or is_traced(*given):
            with torch.enable_grad():
                outputs = zip(_ends_and_totals(points, bars), gradients, strict=True)
            wanted = [output for output, gradient in outputs if gradient is not None]
            return torch.autograd.grad(wanted, points, given, create_graph=differentiated)[0], None
        nothing = np.empty(0, bars.values.dtype)
        births, deaths, totals = (nothing if g is None else to_host(g).numpy().reshape(-1) for g in gradients)
        pull = np.zeros(bars.points.shape, bars.points.dtype)  # zeros_like takes as long as the kernel
        flat, flat_pull = (a.reshape(-1, a.shape[-1]) for a in (bars.points, pull))
        _, edges, places, values, segments, _ = bars
        pull_on_points(flat, edges, places, values, segments, births, deaths, totals, flat_pull)
        return from_host(pull, points.dtype), None


def _ends_and_totals(points: torch.Tensor, bars: _Bars) -> tuple[torch.Tensor, ...]:
    """Return what `_EndsOnHost` does, by operations of PyTorch."""
    edges, places, segments = map(torch.from_numpy, (bars.edges, bars.places, bars.segments))
    births, deaths = _ends(entries_or_lengths(points.reshape(-1, points.shape[-1]), edges), places)
    lengths = torch.where(deaths.isinf(), 0.0, deaths - births)
    return births, deaths, segment_sum(lengths, segments, bars.totals.size).view(bars.totals.shape)


def _fake_rips_bars(
    x: torch.Tensor,
    sizes: Sequence[int],
    dims: Sequence[int],
    precomputed: bool,
    max_edge_length: float,
    sparse: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    context = torch.library.get_ctx()
    n_bars, n_edges = context.new_dynamic_size(), context.new_dynamic_size()
    bars, places = x.new_empty((6, n_bars), dtype=torch.int64), x.new_empty((2, n_bars), dtype=torch.int64)
    edges, hubs = (x.new_empty((2, n), dtype=torch.int64) for n in (n_edges, n_edges if sparse else 0))
    return bars, edges, hubs, places


@pairing_op(
    "rips_bars",
    "(Tensor x, SymInt[] sizes, int[] dims, bool precomputed, float max_edge_length, float sparse)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _fake_rips_bars,
)
def _rips_bars(
    x: torch.Tensor,
    sizes: Sequence[int],
    dims: Sequence[int],
    precomputed: bool,
    max_edge_length: float,
    sparse: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return `approximate_bars` as tensors on the device of `x`, of exact ones (`sparse` 0) without hubs."""
    host = to_host(x).numpy()
    if sparse:
        clouds = _checked(host, x.dtype, sizes, precomputed)
        tables = approximate_bars(clouds, dims, precomputed, max_edge_length, sparse)
    else:
        bars, edges, places, _ = _paired(host, x.dtype, sizes, dims, precomputed, max_edge_length)
        tables = bars, edges, np.empty((2, 0), np.int64), places
    bars, edges, hubs, places = (torch.from_numpy(table).to(x.device) for table in tables)
    return bars, edges, hubs, places


def _paired(
    host: Any,
    dtype: torch.dtype,
    sizes: Sequence[int],
    dims: Sequence[int],
    precomputed: bool,
    longest: float,
) -> tuple[Any, Any, Any, Any]:
    """Return packed bars, their critical edges, and values, at places of which births and deaths stand."""
    clouds, counts = _checked(host, dtype, sizes, precomputed), np.asarray(sizes, np.int64)
    # The tree of many points takes longer than their short edges, if these are few.
    may_be_few = not precomputed and longest < math.inf and max(sizes, default=0) >= LEAST_POINTS
    if clouds and max(dims) == 0 and not may_be_few:
        return pair_components(clouds, counts, precomputed, longest)
    samples = map_batch(lambda cloud: pair_cloud(cloud, dims, precomputed, longest), clouds)
    table = bar_table(samples, 2)
    edges, places = critical_edges(table, counts, precomputed)
    return table, edges, places, None if precomputed else edge_values(host.reshape(-1, host.shape[-1]), edges)


def _checked(host: Any, dtype: torch.dtype, sizes: Sequence[int], precomputed: bool) -> list[Any]:
    """Return the points or distances of each sample, or raise the error that names what is wrong."""
    if precomputed:
        return _checked_matrices(host, sizes, dtype)
    return checked_clouds(_NAME, host, sizes, dtype, _POINTS)


def _checked_matrices(host: Any, sizes: Sequence[int], dtype: torch.dtype) -> list[Any]:
    """Return each matrix, exactly symmetric and non-negative, or raise the error that names an entry."""
    matrices, start = [], 0
    for sample, n in enumerate(sizes):
        matrix = host[start : start + n * n].reshape(n, n)
        start += n * n
        i, _, symmetric = inspect_matrix(matrix)
        nans = np.flatnonzero(np.isnan(matrix.diagonal()))
        if len(nans):
            raise fail(_NAME, f"x[{sample}]", f"has NaN at ({nans[0]}, {nans[0]})", _MATRICES)
        exact = i < 0 and symmetric
        matrices.append(matrix if exact else settled(_NAME, f"x[{sample}]", matrix, dtype, _MATRICES))
    return matrices
