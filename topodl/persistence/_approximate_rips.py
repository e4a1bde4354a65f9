"""Rips filtrations of fewer edges, of nearly the same bars: the pairs, and what their values are made of.

Cavanna, Jahanseir, Sheehy, "A geometric perspective on sparse filtrations", CCCG 2015. The later end of an
edge is the one that comes later when the farthest point is always the next; its ball stops growing at the
radius λ / ε, where λ is the distance to the nearest point before it. The edge to that one is called the hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from topodl._distance_matrices import entries_or_lengths
from topodl._memory import free_memory
from topodl._precision import at_least_single
from topodl.kernels.points.greedy_edges import greedy_edges
from topodl.kernels.points.rips_bars import critical_edges, edge_values
from topodl.kernels.shared.pool import map_batch
from topodl.persistence._batch import BarCells, bar_table
from topodl.persistence._rips_pairing import pair_edges, reject_too_large
from topodl.persistence._short_edges import edges_in_order

__all__ = ["approximate_bars", "values_of_edges"]

_Array = npt.NDArray[Any]
_BYTES = 120  # of an edge, when it is listed, sorted and paired


class _Approximation(NamedTuple):
    """The bars of one sample, and its points as they come farthest first."""

    bars: BarCells
    radii: _Array  # (n,), the distance to those before
    before: _Array  # (n,), the nearest of these, -1 of the first
    place: _Array  # (n,), in the order


def approximate_bars(
    clouds: Sequence[_Array], dims: Sequence[int], precomputed: bool, longest: float, sparse: float
) -> tuple[_Array, _Array, _Array, _Array]:
    """Return packed bars, `critical_edges` (2, E), hubs (2, E), and places (2, P) of clouds or matrices.

    Hubs are edges like the critical ones, -1 where the value of an edge is its length.
    """
    samples = map_batch(lambda cloud: _approximate(cloud, dims, precomputed, longest, sparse), clouds)
    counts = np.asarray([len(cloud) for cloud in clouds], np.int64)
    table = bar_table([sample.bars for sample in samples], 2)
    edges, places = critical_edges(table, counts, precomputed)
    return table, edges, _hubs(samples, clouds, table, edges, precomputed, sparse), places


def _approximate(
    cloud: _Array, dims: Sequence[int], precomputed: bool, longest: float, sparse: float
) -> _Approximation:
    n, most = len(cloud), free_memory() // _BYTES
    points = np.ascontiguousarray(cloud, np.float64)
    single = cloud.dtype == np.float32
    edges, values, *order, fits = greedy_edges(points, precomputed, single, sparse, longest, most)
    if not fits:
        remedy = "a larger sparse, or a max_edge_length"
        reject_too_large(n, _BYTES * (most + 1), f"more than {most} edges", remedy)
    return _Approximation(pair_edges(*edges_in_order(edges, values, n), n, dims), *order)


def _hubs(
    samples: Sequence[_Approximation],
    clouds: Sequence[_Array],
    table: _Array,
    edges: _Array,
    precomputed: bool,
    sparse: float,
) -> _Array:
    """Return the hubs of the critical edges of packed bars, which are in the order births, deaths."""
    if not edges.shape[1]:
        return edges
    counts = np.asarray([len(cloud) for cloud in clouds])
    starts = np.cumsum([0, *counts[:-1]])
    ends = np.concatenate((table[2:4], table[4:]), axis=1)
    is_edge = ends[1] >= 0
    which, (i, j) = np.tile(table[0], 2)[is_edge], ends[:, is_edge]
    radii, before, place = (np.concatenate(parts) for parts in zip(*(s[1:] for s in samples), strict=True))
    start, n = starts[which], counts[which]
    later = np.where(place[start + i] > place[start + j], i, j)
    hub, radius = before[start + later], radii[start + later]
    if precomputed:
        lengths = np.concatenate([cloud.reshape(-1) for cloud in clouds])[edges[0]]
        corners = np.cumsum([0, *(counts[:-1] ** 2)])[which]
        found = np.stack((corners + np.minimum(later, hub) * n + np.maximum(later, hub), start + hub))
    else:
        lengths = edge_values(np.concatenate(clouds), edges)[2:]
        found = np.stack((start + later, start + hub))
    found[:, lengths.astype(np.float64) * sparse <= 2 * radius] = -1
    return found


def values_of_edges(
    flat: torch.Tensor, edges: torch.Tensor, hubs: torch.Tensor, sparse: float
) -> torch.Tensor:
    """Return when `edges` (2, E) enter: their lengths d, or 2 (d - λ / ε) with the lengths λ of their hubs.

    `flat` are points (ΣN, d), or the entries (ΣN²,) of matrices.
    """
    exact = at_least_single(flat)
    lengths = entries_or_lengths(exact, edges).double()
    has_hub = hubs[0] >= 0
    radii = entries_or_lengths(exact, torch.where(has_hub, hubs, edges)).double()
    return torch.where(has_hub, 2 * (lengths - radii / sparse), lengths).to(flat.dtype)
