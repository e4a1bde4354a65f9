"""Codensities of point clouds: small where points are dense, so that sublevel sets grow from there.

Cost: O(n k log n) for k neighbours in few dimensions, else O(n²).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from topodl._checks import as_real, check_number, fail
from topodl._distance_matrices import lengths_of, point_distances
from topodl._host import on_host
from topodl._power import power
from topodl._precision import at_least_single, in_double, in_unit, unit_of
from topodl.filtrations._clouds import Clouds, Metric, map_clouds
from topodl.kernels.shared.pool import map_batch

__all__ = ["codensity", "nearest_points"]

_NAME = "codensity"
_MOST_COORDINATES = 8  # of points that a search tree is faster for than looking at all distances


def codensity(
    x: Clouds,
    *,
    bandwidth: float | torch.Tensor | None = None,
    k: int | None = None,
    mass: float | None = None,
    metric: Metric = "euclidean",
    batch: torch.Tensor | None = None,
) -> Any:
    """Return how far each point is from where points are dense, by one of three measures of density.

    With `bandwidth` h, minus the logarithm of the Gaussian kernel density (1/n) Σ exp(−d²/2h²) / (h√2π)ᵈ, the
    point itself counted. With `k`, the mean distance to the k nearest points, itself at distance 0 counted.
    With `mass` m, the distance to the measure: the root of the mean squared distance to the ⌊m·n⌋ + 1 nearest
    points, itself counted. Gradients of any order reach the points, and the bandwidth.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), sequence of B tensors of shape (N_i, d), or Tensor (N, d) beside `batch`
        Point clouds, not empty. With ``metric="precomputed"`` matrices of distances, (B, N, N) or a sequence
        of (N_i, N_i).
    bandwidth : float or Tensor of shape (), optional
        Standard deviation of the kernel, in units of `x`. For points only: the density of a metric space has
        no dimension d to be normalised by.
    k : int, optional
        Number of nearest points, at least 1 and at most those of the smallest cloud.
    mass : float, optional
        Share of the points, at least 0 and below 1.
    metric : {"euclidean", "precomputed"}
        What `x` holds.
    batch : Tensor of shape (N,), integers, optional
        The cloud of each point, in any order.

    Returns
    -------
    Tensor of shape (B, N), or list of B tensors of shape (N_i,), or Tensor of shape (N,) beside `batch`
        In the dtype of `x`; with `k` and `mass` in its units.

    Raises
    ------
    InputError
        If not exactly one of `bandwidth`, `k` and `mass` is given or it is out of its range, a cloud is empty
        or has coordinates that are not finite, or a matrix is none of distances.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    Notes
    -----
    At a distance of 0 the gradient is 0.

    References
    ----------
    F. Chazal, D. Cohen-Steiner, Q. Mérigot, "Geometric inference for probability measures", Foundations of
    Computational Mathematics 11, 2011. D. Loiseaux et al., "Stable vectorization of multiparameter persistent
    homology using signed barcodes as measures", NeurIPS 2023 (codensity as second parameter).

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import codensity
    >>> line = torch.tensor([[[0.0], [1.0], [2.0], [6.0]]])
    >>> codensity(line, k=2)
    tensor([[0.5000, 0.5000, 0.5000, 2.0000]])
    >>> codensity(line, mass=0.5)  # three points: the distances 0, 1, 2, in the middle 0, 1, 1
    tensor([[1.2910, 0.8165, 1.2910, 3.6968]])
    """
    if sum(option is not None for option in (bandwidth, k, mass)) != 1:
        came = f"are {bandwidth!r}, {k!r} and {mass!r}"
        raise fail(_NAME, "bandwidth, k and mass", came, "exactly one of them")
    if bandwidth is not None:
        return map_clouds(_NAME, _kernel_codensity(bandwidth, metric), x, metric, batch)
    if k is not None:
        check_number(_NAME, "k", k, low=1, integer=True)
    else:
        check_number(_NAME, "mass", mass, low=0.0, high=math.nextafter(1.0, 0.0))

    def of_neighbours(clouds: torch.Tensor) -> torch.Tensor:
        n = clouds.shape[1]
        count = int(mass * n) + 1 if k is None else k  # type: ignore[operator]
        if count > n:
            raise fail(_NAME, "k", f"is {k}", f"at most {n}, the number of points of a cloud")
        distances = _nearest(at_least_single(clouds), count - 1, metric)
        if k is not None:
            return (distances / count).sum(-1)
        unit = unit_of(torch.nn.functional.pad(distances.detach(), (0, 1)).amax(-1))  # of no neighbours: 1
        return unit * power((distances / unit[..., None]).square().sum(-1) / count, 0.5)

    return map_clouds(_NAME, of_neighbours, x, metric, batch)


def _kernel_codensity(bandwidth: Any, metric: Metric) -> Any:
    if metric == "precomputed":
        raise fail(_NAME, "bandwidth", "is given with metric='precomputed'", "k or mass, or points")
    if isinstance(bandwidth, torch.Tensor):
        h = as_real(_NAME, "bandwidth", bandwidth)
        if h.ndim:
            raise fail(_NAME, "bandwidth", f"has shape {tuple(h.shape)}", "one number")
        number = float(h.detach())
    else:
        h, number = torch.tensor(bandwidth, dtype=torch.float64, device="cpu"), bandwidth
    check_number(_NAME, "bandwidth", number)
    if number <= 0:
        raise fail(_NAME, "bandwidth", f"is {number!r}", "a positive number")

    def of_all(clouds: torch.Tensor) -> torch.Tensor:
        points = at_least_single(clouds)
        scale = h.to(points.device, points.dtype)
        n, d = points.shape[1:]
        apart = ((points[:, :, None] - points[:, None]) / scale).square().sum(-1)
        return math.log(n) + d * (scale.log() + math.log(2 * math.pi) / 2) - (-apart / 2).logsumexp(-1)

    return of_all


def nearest_points(clouds: torch.Tensor, count: int, metric: Metric) -> torch.Tensor:
    """Return which other points (b, n, count) are the nearest, of clouds (b, n, d) or matrices (b, n, n)."""
    if metric == "euclidean" and len(clouds) and on_host(clouds) and clouds.shape[2] <= _MOST_COORDINATES:
        tables = map_batch(lambda points: _nearest_in_tree(points, count), list(clouds.detach().numpy()))
        return torch.from_numpy(np.stack(tables))
    with torch.no_grad():
        distances = clouds.detach().clone() if metric == "precomputed" else _comparable(clouds.detach())
        distances.diagonal(dim1=1, dim2=2).fill_(math.inf)
        return distances.topk(count, largest=False, sorted=False).indices


def _comparable(clouds: torch.Tensor) -> torch.Tensor:
    """Return distances (b, n, n) of each cloud in a unit of its own."""
    return point_distances(clouds / unit_of(clouds.abs().amax((1, 2), keepdim=True)))


def _nearest(clouds: torch.Tensor, count: int, metric: Metric) -> torch.Tensor:
    """Return the distances (b, n, count) to the nearest other points."""
    nearest = nearest_points(clouds, count, metric)
    if metric == "precomputed":
        return clouds.gather(2, nearest)
    return _distances_to(clouds, nearest)


def _nearest_in_tree(points: Any, count: int) -> Any:
    """Return the nearest other points (n, count) by a search tree."""
    points = in_unit(points)
    _, found = cKDTree(points).query(points, count + 1)
    own = found.reshape(len(points), -1) == np.arange(len(points))[:, None]
    own[~own.any(1), -1] = True  # among too many coinciding points to find itself
    return found.reshape(own.shape)[~own].reshape(len(points), count)


def _distances_to(clouds: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
    samples = torch.arange(len(clouds), device=clouds.device)[:, None, None]
    points = in_double(clouds)
    return lengths_of(points[:, :, None] - points[samples, nearest], clouds.dtype)
