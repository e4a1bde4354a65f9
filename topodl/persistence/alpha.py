"""Persistence of alpha complexes of batches of points in the plane or in space, differentiable.

Values are radii of smallest circumscribed spheres of the paired simplices; the triangulation is GUDHI's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import fail
from topodl._clouds import as_clouds, checked_clouds
from topodl.complexes._alpha_filtration import circumradii
from topodl.diagrams import Diagrams
from topodl.kernels.shared.pool import map_batch
from topodl.persistence._alpha_pairing import pair_cloud
from topodl.persistence._batch import assemble, fake_bars, homology_dims_of, pack_bars, pairing_op, to_host

__all__ = ["alpha_persistence"]

_NAME = "alpha_persistence"
_EXPECTED = "finite points of shape (B, N, 2) or (B, N, 3), or a list of (N_i, 2) or (N_i, 3)"


def alpha_persistence(
    x: torch.Tensor | Sequence[torch.Tensor],
    dims: int | Iterable[int] = (0, 1),
    batch: torch.Tensor | None = None,
) -> Diagrams:
    """Compute the persistent homology of the alpha filtration of each cloud of a batch, in 2D or 3D.

    Births and deaths are radii (not squared) of the smallest spheres through the vertices of the paired
    simplices, evaluated from `x` in one batched solve, so gradients of any order reach those vertices.

    Parameters
    ----------
    x : Tensor of shape (B, N, 2) or (B, N, 3), or sequence of B tensors of shape (N_i, 2) or (N_i, 3)
        Point clouds, not empty. Each may be a `Data` of PyTorch Geometric, whose points are its ``pos``.
    dims : int or iterable of int
        Homology dimensions: 0 and 1, in 3D also 2.
    batch : Tensor of shape (N,), integers, optional
        Beside `x` of shape (N, d), the points of all clouds: the cloud of each, in any order, as PyTorch
        Geometric has it. Cells count the points of a cloud in the order that they have in `x`.

    Returns
    -------
    Diagrams
        B samples. `birth_cells` and `death_cells` of shape (P, 3) in 2D and (P, 4) in 3D are the vertices of
        the paired simplices, ascending, padded by -1. The component that lives forever is born at one vertex
        and dies at +inf, with cells -1.

    Raises
    ------
    InputError
        If a cloud is empty, has NaN or infinite coordinates, or is not in two or three dimensions, or `dims`
        has another dimension; the message names the sample. If `batch` does not fit to `x`, or skips a cloud.
    TypeError
        If `x` is neither a real tensor nor a sequence of them, or `batch` has no integers.

    Notes
    -----
    Of coinciding points one is kept; the others have gradient 0. Of cospherical points any triangulation
    gives the same bars: radii that differ by rounding alone (a share of 1e-10) are one. Points on a line or
    in a plane have the alpha complex of that line or plane.

    References
    ----------
    Edelsbrunner, Mücke, "Three-dimensional alpha shapes", 1994. Delfinado, Edelsbrunner, "An incremental
    algorithm for Betti numbers of simplicial complexes on the 3-sphere", 1995 (top dimension by union-find).
    GUDHI, "Alpha complex".

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> square = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]])
    >>> d = topodl.alpha_persistence(square)
    >>> d.dim(1).births, d.dim(1).deaths
    (tensor([1.]), tensor([1.4142]))
    """
    points, sizes = as_clouds(_NAME, x, _EXPECTED, batch=batch)
    flat = points.reshape(-1, points.shape[-1])
    if flat.shape[1] not in (2, 3):
        raise fail(_NAME, "x", f"has points in {flat.shape[1]} dimensions", _EXPECTED)
    homology_dims = homology_dims_of(_NAME, dims, highest=flat.shape[1] - 1 if len(sizes) else 2)
    bars = _alpha_bars(flat.detach(), list(sizes), homology_dims)
    n_corners = (bars.shape[0] - 2) // 2
    first = torch.as_tensor(np.cumsum([0, *sizes])[:-1], device=flat.device).index_select(0, bars[0])
    births, deaths = bars[2 : 2 + n_corners].T, bars[2 + n_corners :].T
    cells = torch.where(
        torch.cat((births, deaths)) < 0, -1, torch.cat((births, deaths)) + torch.cat((first, first))[:, None]
    )
    radii = circumradii(flat, cells).to(flat.dtype)
    never = (deaths[:, 0] < 0).to(radii.device)
    n = bars.shape[1]
    return assemble(bars, radii[:n], radii[n:].masked_fill(never, math.inf), len(sizes), homology_dims)


def _fake_alpha_bars(x: torch.Tensor, sizes: Sequence[int], dims: Sequence[int]) -> torch.Tensor:
    return fake_bars(x, cell_size=x.shape[1] + 1)


@pairing_op("alpha_bars", "(Tensor x, SymInt[] sizes, int[] dims) -> Tensor", _fake_alpha_bars)
def _alpha_bars(x: torch.Tensor, sizes: Sequence[int], dims: Sequence[int]) -> torch.Tensor:
    """Return the bars of all samples as `pack_bars` does."""
    clouds = checked_clouds(_NAME, to_host(x).numpy(), sizes, x.dtype, _EXPECTED)

    def bars_of(cloud: Any) -> Any:
        return pair_cloud(cloud.astype(np.float64, copy=False), dims)

    return pack_bars(map_batch(bars_of, clouds), x.shape[1] + 1, x.device)
