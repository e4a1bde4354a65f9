"""Signed measures of function-Delaunay filtrations: alpha complexes of the points at levels of a function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import fail
from topodl.complexes._alpha_filtration import circumradii
from topodl.persistence._alpha_pairing import pair_cloud
from topodl.persistence._batch import homology_dims_of
from topodl.persistence._function_clouds import Array, read_function_clouds
from topodl.persistence._levels import bars_of_levels, measures_of_rows, read_levels
from topodl.signed_measures import SignedMeasures

__all__ = ["alpha_signed_measure"]

_NAME = "alpha_signed_measure"


def alpha_signed_measure(
    x: torch.Tensor | Sequence[torch.Tensor],
    function: torch.Tensor | Sequence[torch.Tensor],
    dims: int | Iterable[int] = (0, 1),
    levels: int | Sequence[float] | torch.Tensor | None = None,
) -> SignedMeasures:
    """Compute the signed measures of clouds in 2D or 3D filtered by radius and by a function of their points.

    The weights of all points p ≤ (s, t) add up to the homology of the union of balls of radius s around the
    points with function values ≤ t, by the alpha complex of these points. With all levels of the function the
    measures are exact. Points are radii and values of the function, so gradients of any order reach both.

    Parameters
    ----------
    x : Tensor of shape (B, N, 2) or (B, N, 3), or sequence of B tensors of shape (N_i, 2) or (N_i, 3)
        Point clouds, not empty.
    function : Tensor of shape (B, N), or sequence of B tensors of shape (N_i,)
        A value of each point; one that is +inf is never there.
    dims : int or iterable of int
        Homology dimensions: 0 and 1, in 3D also 2.
    levels : int, or sequence of float or Tensor of shape (L,), optional
        At which values of the function anything changes: None for all of them, a number of them at evenly
        spaced ranks, or rising values. Each costs an alpha filtration of the points up to it.

    Returns
    -------
    SignedMeasures
        B samples. The first coordinate is the radius of the smallest sphere through the vertices of a
        simplex, its cell, padded by -1; the second the value of the point (i, -1, …), or a level that was
        given.

    Raises
    ------
    InputError
        If a cloud is empty, has NaN or infinite coordinates or other than two or three, the function has NaN
        or −inf, shapes do not agree, or levels do not rise.
    TypeError
        If `x` or `function` hold no real tensors.

    References
    ----------
    D. Loiseaux, L. Scoccola, M. Carrière, M. B. Botnan, S. Oudot, "Stable vectorization of multiparameter
    persistent homology using signed barcodes as measures", NeurIPS 2023. Á. J. Alonso, M. Kerber, T. Lam, M.
    Lesnick, "Delaunay bifiltrations of functions on point clouds", SODA 2024.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> square = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]])
    >>> m = topodl.alpha_signed_measure(square, torch.tensor([[0.0, 0.0, 0.0, 3.0]]), dims=1).merged()
    >>> m.points, m.weights
    (tensor([[1.0000, 3.0000],
            [1.4142, 3.0000]]), tensor([ 1, -1]))
    """
    clouds, dtype = read_function_clouds(_NAME, x, function, precomputed=False)
    points, sizes, starts = clouds.points, clouds.counts, clouds.starts()
    if points.shape[1] not in (2, 3):
        raise fail(_NAME, "x", f"has points in {points.shape[1]} dimensions", "two or three")
    homology_dims = homology_dims_of(_NAME, dims, highest=points.shape[1] - 1 if len(sizes) else 2)
    wanted = read_levels(_NAME, levels, clouds.function)
    samples = list(clouds.samples())

    def bars_at(sample: int, members: Array) -> Any:
        bars = pair_cloud(samples[sample][0][members].astype(np.float64, copy=False), homology_dims)
        return [(k, *(np.where(cells < 0, -1, members[cells]) for cells in both)) for k, *both in bars]

    rows, values = bars_of_levels(
        bars_at, clouds.function, [each for _, each in samples], wanted, homology_dims, points.shape[1] + 1
    )

    def points_at(of: Array, cells: Array, values: torch.Tensor, places: Array) -> torch.Tensor:
        through = np.where(cells < 0, -1, cells + starts[of][:, None])
        radii = circumradii(points, torch.from_numpy(through).to(points.device)).to(points.dtype)
        return torch.stack((radii, values.index_select(0, torch.from_numpy(places).to(values.device))), 1)

    return measures_of_rows(rows, points.shape[1] + 1, points_at, values, len(sizes), homology_dims, dtype)
