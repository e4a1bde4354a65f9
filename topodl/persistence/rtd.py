"""Representation topology divergence: how far the loops and clusters of two graphs on the same points differ.

Barannikov et al., ICML 2022 (variant "min"); Cherniavskii et al., EMNLP 2022 (variant "max"). Dimension 1 of
the Rips filtration of 2 N points, with the gradient of its critical edges.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from topodl._checks import check_choice, check_dense, check_number, fail, reject_non_finite
from topodl._distance_matrices import as_distances, point_distances, warn_of_distances
from topodl._host import host_array, reject_mapped
from topodl._overflow import NON_FINITE, NonFinite, or_nan_samples
from topodl._precision import is_ordinary, unit_of
from topodl._segments import segment_mean, segment_sum
from topodl.kernels.attention.loops import loop_edges
from topodl.kernels.shared.pool import get_num_threads, map_batch

__all__ = ["rtd"]

# Distances this small against the mean are rounding errors of equal points (the published code's rule).
_RELATIVE_FLOOR = 1e-6
# Small matrices share a call of the kernel.
_CHUNK_ENTRIES = 1 << 18


def rtd(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    metric: Literal["euclidean", "precomputed"] = "euclidean",
    variant: Literal["min", "max"] = "min",
    reduction: Literal["sum", "mean"] = "sum",
    symmetric: bool = True,
    quantile: float | None = None,
    non_finite: NonFinite = "nan",
) -> torch.Tensor:
    r"""Representation topology divergence (RTD) between two clouds, or two weighted graphs, with gradient.

    Row i of `a` and row i of `b` stand for the same object. Both are joined to one graph on two copies of the
    objects, whose bars of dimension 1 measure where the multi-scale topology of one differs from the other's.
    It is 0 on equal inputs, and both inputs receive gradients.

    Parameters
    ----------
    a, b : Tensor of shape (N, d) and (N, e), or (B, N, d) and (B, N, e)
        Points; with ``metric="precomputed"`` distance matrices (N, N) or (B, N, N): symmetric, non-negative,
        finite.
    metric : {"euclidean", "precomputed"}, default="euclidean"
        How distances come from the inputs.
    variant : {"min", "max"}, default="min"
        With zero blocks of the first copy, ``"min"`` is [[0, A], [A, min(A, B)]] (ICML 2022), ``"max"`` is
        [[0, max(A, B)], [max(A, B), B]] (EMNLP 2022, where it judges minimal pairs).
    reduction : {"sum", "mean"}, default="sum"
        Sum (ICML 2022) or mean (EMNLP 2022) of the lengths of the bars; 0 where there is none.
    symmetric : bool, default=True
        Average of both directions; False is RTD(a, b) alone.
    quantile : float, optional
        Divide each distance matrix by this quantile of its entries first (0.9 in the code of ICML 2022); the
        quantile takes part in the gradient.
    non_finite : {"nan", "raise"}, default="nan"
        What becomes of NaN and infinite values: "nan" makes the value of the sample and its gradient NaN,
        with a warning that says where, so that a scaler of gradients skips the step; "raise" is an error.

    Returns
    -------
    Tensor of shape () or (B,)

    Raises
    ------
    InputError
        If shapes disagree, distances overflow, a distance matrix is negative or not symmetric, or a value is
        NaN or infinite with ``non_finite="raise"``.

    Notes
    -----
    A sum grows with the number of points, and has no upper bound. Compare it with that of a shuffled pairing,
    ``rtd(a, b[torch.randperm(len(b))])``, which is what unrelated inputs of these two shapes have.

    References
    ----------
    S. Barannikov, I. Trofimov, N. Balabin, E. Burnaev, "Representation Topology Divergence: A Method for
    Comparing Neural Network Representations", ICML 2022. D. Cherniavskii et al., "Acceptability Judgements
    via Examining the Topology of Attention Maps", Findings of EMNLP 2022.

    Examples
    --------
    >>> import torch
    >>> from topodl import rtd
    >>> line = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> rtd(line, line).round(decimals=4)
    tensor(0.)
    >>> rtd(line, square, symmetric=False)
    tensor(0.4142)
    """
    check_choice("rtd", "metric", metric, ("euclidean", "precomputed"))
    check_choice("rtd", "variant", variant, ("min", "max"))
    check_choice("rtd", "reduction", reduction, ("sum", "mean"))
    if quantile is not None:
        check_number("rtd", "quantile", quantile, low=0.0, high=1.0)
    check_choice("rtd", "non_finite", non_finite, NON_FINITE)

    def divergence(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        first, second = _distances("a", x, metric, quantile), _distances("b", y, metric, quantile)
        if first.shape != second.shape:
            came = f"stands for {tuple(second.shape[:2])} (batch, objects)"
            raise fail("rtd", "b", came, f"as many as a, {tuple(first.shape[:2])}")
        value = _directed(first, second, variant, reduction)
        return (value + _directed(second, first, variant, reduction)) / 2 if symmetric else value

    pair = [check_dense("rtd", name, value) for name, value in (("a", a), ("b", b))]
    batches = [x[None] if x.ndim == 2 else x for x in pair]
    value = or_nan_samples(divergence, batches, non_finite)
    return value if pair[0].ndim == 3 else value[0]


def _distances(name: str, value: torch.Tensor, metric: str, quantile: float | None) -> torch.Tensor:
    reject_mapped("rtd", name, value)
    expected = "(N, N) or (B, N, N)" if metric == "precomputed" else "(N, d) or (B, N, d)"
    square = value.ndim >= 2 and value.shape[-1] == value.shape[-2]
    if value.ndim != 3 or 0 in value.shape[-2:] or (metric == "precomputed" and not square):
        raise fail("rtd", name, f"has shape {tuple(value.shape)}", f"shape {expected}, N and d at least 1")
    if not value.is_floating_point():
        raise fail("rtd", name, f"has dtype {value.dtype}", "a floating-point dtype")
    value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    reject_non_finite("rtd", name, value)
    if metric == "euclidean":
        if len(value):
            warn_of_distances("rtd", f"{name}[0]", value[0], stacklevel=5)
        value = _distances_of_points(name, value)
    else:
        value = as_distances("rtd", name, value)
    if quantile is None or len(value) == 0:
        return value
    scale = value.flatten(1).quantile(quantile, dim=1)[:, None, None]
    return value / torch.where(scale > 0, scale, 1)


def _distances_of_points(name: str, points: torch.Tensor) -> torch.Tensor:
    """Return distances (B, N, N); squares are taken in units in which they neither overflow nor vanish."""
    distances = point_distances(points)
    if is_ordinary(*distances.detach().amax((1, 2)).tolist()):
        return distances
    unit = unit_of(points.detach().abs().amax((1, 2), keepdim=True))
    distances = unit * point_distances(points / unit)
    if not math.isfinite(float(distances.detach().amax())):
        raise fail("rtd", name, f"has distances that overflow {points.dtype}", "closer values")
    return distances


def _directed(a: torch.Tensor, b: torch.Tensor, variant: str, reduction: str) -> torch.Tensor:
    """Return RTD(a, b) of distance matrices (B, N, N)."""
    mixed = a if variant == "min" else torch.maximum(a, b)
    last = torch.minimum(a, b) if variant == "min" else b
    upper = torch.cat([torch.zeros_like(a), mixed], 2)
    matrix = torch.cat([upper, torch.cat([mixed.mT, last], 2)], 1)
    share = _RELATIVE_FLOOR / matrix[0].numel() if len(matrix) else 0.0
    floor = (matrix.detach() * share).sum((1, 2), keepdim=True)  # of the mean, without overflow
    matrix = matrix.masked_fill(matrix < floor, 0.0)
    births, deaths, which = _loops(matrix)
    flat = matrix.flatten(1)
    lengths = flat[which, deaths] - flat[which, births]
    reduce = segment_sum if reduction == "sum" else segment_mean
    return reduce(lengths, which, len(a))


def _loops(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the flat edges of birth and death of all loops of `matrices` (B, n, n), and their matrices."""
    if len(matrices) == 0:
        nothing = torch.empty(0, dtype=torch.int64, device=matrices.device)
        return nothing, nothing, nothing
    array = host_array("rtd", matrices)
    bits = array.view(np.int32 if array.dtype == np.float32 else np.int64).astype(np.int64, copy=False)
    size = max(1, min(-(-len(bits) // get_num_threads()), _CHUNK_ENTRIES // bits[0].size))
    starts = range(0, len(bits), size)
    parts = map_batch(loop_edges, [bits[start : start + size] for start in starts])
    for start, part in zip(starts, parts, strict=True):
        part[:, 2] += start
    births, deaths, which = torch.from_numpy(np.concatenate(parts)).to(matrices.device).unbind(1)
    return births, deaths, which
