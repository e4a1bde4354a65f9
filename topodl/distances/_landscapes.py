"""Distances of many pairs of landscapes: that of order 2 by inner products, where these are exact enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topodl.distances._input import Array, SortedBars
from topodl.distances._pairs import Pairs, over_pairs
from topodl.kernels.shared.pool import map_batch

__all__ = ["landscape_distances_of_pairs"]

_ROWS_AT_ONCE = 32
# A squared distance is the difference of larger numbers: it is taken if it is that much larger than the bound
# of their rounding, and computed otherwise from the difference of both landscapes.
_CLEARLY = 1e8


class _Landscapes(NamedTuple):
    """The first landscapes of S diagrams by their corners, in which they are linear."""

    corners: Array
    starts: Array
    units: Array
    n_layers: int


def landscape_distances_of_pairs(bars: SortedBars, pairs: Pairs, order: float, n_layers: int) -> Array:
    """Return the norm of order 1, 2 or inf between the landscapes of pairs of diagrams."""
    landscapes = _landscapes(bars, n_layers)
    if order != 2 or not len(pairs[0]):
        return _by_difference(landscapes, pairs, order)
    squares, bounds = _by_products(landscapes, pairs)
    unit = landscapes.units.max()
    with np.errstate(over="ignore"):  # what comes of it is refused
        distances = np.sqrt(np.maximum(squares, 0.0)) * np.sqrt(unit) * unit
    unsure = ~(squares > _CLEARLY * bounds) & (pairs[0] != pairs[1])
    distances[pairs[0] == pairs[1]] = 0.0
    if unsure.any():
        distances[unsure] = _by_difference(landscapes, (pairs[0][unsure], pairs[1][unsure]), order)
    return distances


def _landscapes(bars: SortedBars, n_layers: int) -> _Landscapes:
    from topodl.kernels.vectors.landscape_distances import landscape_corners

    ends, offsets, units, _ = bars
    keys = np.repeat(np.arange(len(units)), np.diff(offsets))
    ends = np.sort(ends, 1)  # superlevel diagrams have those of their bars turned round
    long = ends[:, 0] < ends[:, 1]
    ends, keys = ends[long], keys[long]
    ends = ends[np.lexsort((-ends[:, 1], ends[:, 0], keys))]
    offsets = np.searchsorted(keys, np.arange(len(offsets)))
    corners, starts = landscape_corners(ends, offsets, n_layers)
    return _Landscapes(corners, starts, units, n_layers)


def _by_difference(landscapes: _Landscapes, pairs: Pairs, order: float) -> Array:
    from topodl.kernels.vectors.landscape_distances import landscape_distances

    corners, starts, units, n_layers = landscapes
    return over_pairs(
        lambda i, j: landscape_distances(corners, starts, units, n_layers, i, j, float(order)), pairs
    )


def _by_products(landscapes: _Landscapes, pairs: Pairs) -> tuple[Array, Array]:
    """Return ‖f‖² + ‖g‖² − 2 ∫ f g of pairs in the largest unit, and bounds of its rounding."""
    from topodl.kernels.vectors.landscape_products import landscape_products

    corners, starts, units, n_layers = landscapes
    corners = corners / units.max()
    layers = np.repeat(np.arange(len(units) * n_layers), np.diff(starts))
    jumps = _slope_changes(corners, layers)
    by_place = np.lexsort((corners[:, 0], layers % n_layers))
    owners = layers[by_place] // n_layers
    first, second = pairs
    products = np.empty(len(first))
    rows = np.unique(first)

    def some(of: Array) -> None:
        among = np.flatnonzero((first >= of[0]) & (first <= of[-1]))
        columns, place = np.unique(second[among], return_inverse=True)
        number = np.full(len(units), -1)
        number[columns] = np.arange(len(columns))
        kept = by_place[number[owners] >= 0]
        cuts = np.searchsorted(layers[kept] % n_layers, np.arange(n_layers + 1))
        table = landscape_products(
            *(corners, starts, n_layers, of, corners[kept, 0], jumps[kept]),
            *(number[layers[kept] // n_layers], cuts, len(columns)),
        )
        products[among] = table[np.searchsorted(of, first[among]), place]

    map_batch(some, np.array_split(rows, max(len(rows) // _ROWS_AT_ONCE, 1)))
    squares, areas, changes = _sizes(corners, layers, jumps, len(units), n_layers)
    span = np.ptp(corners[:, 0]) if len(corners) else 0.0
    roundings = np.finfo(np.float64).eps * (
        span * areas[first] * changes[second] + squares[first] + squares[second]
    )
    return squares[first] + squares[second] - 2 * products, roundings


def _slope_changes(corners: Array, layers: Array) -> Array:
    """Return how the slope changes at each corner; it is 1, −1 or 0 between two of the same layer."""
    slopes = np.sign(np.diff(corners[:, 1])) * (np.diff(layers) == 0)
    changes: Array = np.concatenate([slopes, [0.0]]) - np.concatenate([[0.0], slopes])
    return changes[: len(corners)]


def _sizes(corners: Array, layers: Array, jumps: Array, n: int, n_layers: int) -> tuple[Array, Array, Array]:
    """Return ∫ f², ∫ f and the sum of the changes of the slope of each of `n` diagrams, over all layers."""
    widths, left, right = np.diff(corners[:, 0]), corners[:-1, 1], corners[1:, 1]
    within = np.diff(layers) == 0
    own = layers // n_layers
    squares = np.bincount(own[:-1], within * widths * (left * left + left * right + right * right) / 3, n)
    areas = np.bincount(own[:-1], within * widths * (left + right) / 2, n)
    return squares, areas, np.bincount(own, np.abs(jumps), n)
