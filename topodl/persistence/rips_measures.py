"""Signed measures of function-Rips filtrations: components in O(n²), the rest by levels of the function.

Components are those of a minimum spanning tree that points enter in the order of their values.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from topodl._checks import check_choice
from topodl.kernels.points.insertions import component_rows
from topodl.kernels.shared.pool import map_batch
from topodl.persistence._batch import homology_dims_of
from topodl.persistence._function_clouds import read_function_clouds
from topodl.persistence._levels import bars_of_levels, measures_of_rows, read_levels
from topodl.persistence._rips_pairing import pair_cloud
from topodl.signed_measures import SignedMeasures

__all__ = ["rips_signed_measure"]

_NAME = "rips_signed_measure"
_Array = npt.NDArray[Any]


def rips_signed_measure(
    x: torch.Tensor | Sequence[torch.Tensor],
    function: torch.Tensor | Sequence[torch.Tensor],
    dims: int | Iterable[int] = 0,
    levels: int | Sequence[float] | torch.Tensor | None = None,
    metric: str = "euclidean",
) -> SignedMeasures:
    """Compute the signed measures of clouds filtered by distance and by a function of their points.

    The weights of all points p ≤ (s, t) add up to the homology of the Rips complex of scale s on the points
    with function values ≤ t. In dimension 0 the measures are exact, in O(n²) for n points; from dimension 1
    on they are, too, with all levels of the function, and else those of what is there at some levels. Points
    are lengths of edges and values of the function, so gradients of any order reach both.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), or sequence of B tensors of shape (N_i, d)
        Point clouds, not empty. With ``metric="precomputed"`` symmetric matrices of distances, (B, N, N) or a
        sequence of (N_i, N_i), of which some may be +inf.
    function : Tensor of shape (B, N), or sequence of B tensors of shape (N_i,)
        A value of each point; one that is +inf is never there. `topodl.filtrations.codensity` is one.
    dims : int or iterable of int
        Homology dimensions. Dimension k is empty where there are fewer than 2k + 2 points.
    levels : int, or sequence of float or Tensor of shape (L,), optional
        At which values of the function dimensions from 1 on change: None for all of them, a number of them
        at evenly spaced ranks, or rising values. Each costs a Rips filtration of the points up to it.
    metric : {"euclidean", "precomputed"}
        What `x` holds.

    Returns
    -------
    SignedMeasures
        B samples. The first coordinate is the length of an edge, with the cell (i, j), i < j, or 0 at a
        vertex (i, -1); the second the value of the point (i, -1), or a level that was given, (-1, -1).

    Raises
    ------
    InputError
        If a cloud is empty or has NaN or infinite coordinates, a matrix is none of distances, the function
        has NaN or −inf, shapes do not agree, or levels do not rise.
    MemoryLimitError
        If a complex of a level would not fit into memory.
    TypeError
        If `x` or `function` hold no real tensors.

    References
    ----------
    R. Sibson, "SLINK: an optimally efficient algorithm for the single-link cluster method", The Computer
    Journal 16, 1973. D. Loiseaux, L. Scoccola, M. Carrière, M. B. Botnan, S. Oudot, "Stable vectorization of
    multiparameter persistent homology using signed barcodes as measures", NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> line = torch.tensor([[[0.0], [2.0], [1.0]]])
    >>> m = topodl.rips_signed_measure(line, torch.tensor([[0.0, 0.0, 5.0]])).merged()
    >>> m.points.tolist(), m.weights.tolist()
    ([[0.0, 0.0], [0.0, 5.0], [1.0, 5.0], [2.0, 0.0], [2.0, 5.0]], [2, 1, -2, -1, 1])
    """
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    homology_dims = homology_dims_of(_NAME, dims)
    clouds, dtype = read_function_clouds(_NAME, x, function, metric == "precomputed")
    wanted = read_levels(_NAME, levels, clouds.function)
    samples = list(clouds.samples())
    rows, values = [], clouds.function
    if 0 in homology_dims:
        starts = list(itertools.accumulate((len(own) for _, own in samples), initial=0))
        rows += map_batch(
            lambda i: component_rows(*samples[i], clouds.precomputed, i, starts[i]), range(len(samples))
        )
    if above := [k for k in homology_dims if k > 0]:
        of_levels, values = bars_of_levels(
            lambda i, members: _bars(samples[i][0], members, above, clouds.precomputed),
            clouds.function,
            [own for _, own in samples],
            wanted,
            above,
            width=2,
        )
        rows += of_levels
    return measures_of_rows(rows, 2, clouds.points_at, values, len(samples), homology_dims, dtype)


def _bars(points: _Array, members: _Array, dims: Sequence[int], precomputed: bool) -> Any:
    """Return the bars of positive length of some of the points, by their numbers among all."""
    some = points[np.ix_(members, members)] if precomputed else points[members]
    return [
        (k, members[births], np.where(deaths < 0, -1, members[deaths]))
        for k, births, deaths in pair_cloud(some, dims, precomputed, np.inf)
    ]
