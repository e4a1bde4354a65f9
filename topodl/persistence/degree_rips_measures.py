"""Signed measures of degree-Rips filtrations: a flag complex for each degree, by the engine of Rips.

At scale r and degree k there are the points with at least k others within r. Lesnick, Wright, 2015.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import check_choice, check_number, fail
from topodl.kernels.points.spanning_tree import spanning_tree_of_matrix
from topodl.kernels.shared.pool import map_batch
from topodl.kernels.shared.radix import argsort_floats
from topodl.kernels.shared.union_find import elder_deaths
from topodl.persistence._batch import homology_dims_of
from topodl.persistence._function_clouds import Array, read_function_clouds
from topodl.persistence._levels import Level, measures_of_rows, rows_of
from topodl.persistence._rips_pairing import pair_cloud
from topodl.signed_measures import SignedMeasures

__all__ = ["degree_rips_signed_measure"]

_NAME = "degree_rips_signed_measure"


def degree_rips_signed_measure(
    x: torch.Tensor | Sequence[torch.Tensor],
    dims: int | Iterable[int] = 0,
    degrees: Iterable[int] | None = None,
    metric: str = "euclidean",
) -> SignedMeasures:
    """Compute the signed measures of clouds filtered by distance and by the number of near points.

    At (r, −k) there is the Rips complex of scale r on the points that have at least k others within r: it
    grows with r, and as k falls. No function and no parameter of density is chosen. The weights of all points
    p ≤ (r, −k) add up to its homology. First coordinates are lengths of edges, so gradients reach `x`.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), or sequence of B tensors of shape (N_i, d)
        Point clouds, not empty. With ``metric="precomputed"`` symmetric matrices of distances, (B, N, N) or a
        sequence of (N_i, N_i).
    dims : int or iterable of int
        Homology dimensions. Dimension k is empty where there are fewer than 2k + 2 points.
    degrees : iterable of int, optional
        The numbers of others k, at least 0. None: all that some point can have, from 0 to N − 1. Each costs a
        filtration of all points.
    metric : {"euclidean", "precomputed"}
        What `x` holds.

    Returns
    -------
    SignedMeasures
        B samples. The first coordinate is the length of an edge (i, j), i < j, or 0 at a vertex (i, -1); the
        second is −k, and has no cell.

    Raises
    ------
    InputError
        If a cloud is empty or has NaN or infinite coordinates, a matrix is none of distances, or a degree is
        no integer of at least 0.
    MemoryLimitError
        If a complex would not fit into memory.
    TypeError
        If `x` holds no real tensors.

    References
    ----------
    M. Lesnick, M. Wright, "Interactive visualization of 2-D persistence modules", 2015. A. Rolle, L.
    Scoccola, "Stable and consistent density-based clustering via multiparameter persistence", JMLR 25, 2024.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> line = torch.tensor([[[0.0], [1.0], [3.0]]])
    >>> m = topodl.degree_rips_signed_measure(line, degrees=[1]).merged()
    >>> m.points, m.weights
    (tensor([[ 1., -1.]]), tensor([1]))
    """
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    homology_dims = homology_dims_of(_NAME, dims)
    clouds, dtype = read_function_clouds(_NAME, x, None, metric == "precomputed")
    samples = clouds.matrices_on_host(_NAME)
    counts = _read_degrees(degrees, max(map(len, samples), default=1))
    jobs = [(i, k) for i in range(len(samples)) for k in counts]
    bars = map_batch(lambda job: _bars(samples[job[0]], job[1], homology_dims), jobs)
    levels = [Level(np.empty(0, np.int64), at, -1) for at in range(len(counts))]
    rows = [
        rows_of(i, levels, bars[i * len(counts) : (i + 1) * len(counts)], homology_dims, len(distances), 2)
        for i, distances in enumerate(samples)
    ]
    values = torch.tensor([-float(k) for k in counts], dtype=clouds.points.dtype, device=clouds.points.device)
    return measures_of_rows(rows, 2, clouds.points_at, values, len(samples), homology_dims, dtype)


def _read_degrees(degrees: Any, n: int) -> list[int]:
    """Return the numbers of others, falling."""
    if degrees is None:
        return list(range(n - 1, -1, -1))
    counts = list(degrees)
    for k in counts:
        check_number(_NAME, "degrees", k, low=0, integer=True)
    if not counts:
        raise fail(_NAME, "degrees", "is empty", "at least one number of others")
    return sorted({int(k) for k in counts}, reverse=True)


def _bars(distances: Array, degree: int, dims: Sequence[int]) -> Any:
    """Return the bars of one degree, by the edges whose lengths births and deaths are."""
    n = len(distances)
    if degree >= n:
        return []
    reach, nearest = _reach(distances, degree)
    # An edge is there with both ends: its value is its own length, or that to the last of their neighbours.
    choices = np.stack((distances, np.broadcast_to(reach[:, None], (n, n)), np.broadcast_to(reach, (n, n))))
    source = choices.argmax(0)
    matrix = np.take_along_axis(choices, source[None], 0)[0]
    np.fill_diagonal(matrix, 0.0)

    def cells_of(edges: Array) -> Array:
        i, j = edges.T
        ends = np.stack((edges, nearest[i], nearest[j]))
        found: Array = ends[source[i, j], np.arange(len(edges))]
        return np.where(i[:, None] < 0, -1, found)

    bars = [
        (k, cells_of(births), cells_of(deaths))
        for k, births, deaths in pair_cloud(matrix, [k for k in dims if k > 0], True, np.inf)
    ]
    return [(0, *_components(matrix, reach, nearest, cells_of)), *bars] if 0 in dims else bars


def _reach(distances: Array, degree: int) -> tuple[Array, Array]:
    """Return the distance (n,) of each point to its last neighbour, and the edge (n, 2), i < j, to that."""
    n = len(distances)
    points = np.arange(n)
    if degree == 0:
        return np.zeros(n), np.stack((points, np.full(n, -1)), 1)
    others = distances.astype(np.float64)
    np.fill_diagonal(others, -1.0)  # each point comes before its neighbours
    last = np.argsort(others, axis=1, kind="stable")[:, degree]
    return distances[points, last], np.sort(np.stack((points, last), 1), axis=1)


def _components(matrix: Array, reach: Array, nearest: Array, cells_of: Any) -> tuple[Array, Array]:
    """Return the cells of births and deaths of components: points enter at their reach."""
    by_reach = argsort_floats(reach)
    rank = np.empty_like(by_reach)
    rank[by_reach] = np.arange(len(reach))
    edges, lengths = spanning_tree_of_matrix(matrix)
    finite = lengths < np.inf
    edges = edges[finite][argsort_floats(lengths[finite])]
    dying, _ = elder_deaths(len(reach), rank[edges])
    present = reach < np.inf
    births, deaths = nearest[present], cells_of(edges[dying >= 0])
    rest = np.full((max(len(births) - len(deaths), 0), 2), -1)
    return births, np.concatenate((deaths, rest))
