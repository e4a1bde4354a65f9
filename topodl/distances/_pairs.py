"""Distances of many pairs of diagrams whose bars are arrays, on the pool of threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from topodl.diagrams import Diagrams
from topodl.distances._input import Array, SortedBars
from topodl.distances.matchings import infinite_ends
from topodl.kernels.shared.pool import get_num_threads, map_batch

__all__ = [
    "InfiniteBars",
    "Pairs",
    "both_sides",
    "bottleneck_of_pairs",
    "over_pairs",
    "wasserstein_of_pairs",
]

Pairs = tuple[Array, Array]

_PAIRS_AT_ONCE = 64  # at least: fewer are not worth a thread's while


class InfiniteBars:
    """Bars with an infinite end of S diagrams, which only go to those with the same one."""

    def __init__(self, bars: Array, keys: Array, n: int) -> None:
        order, kinds, others = infinite_ends(bars, keys)
        cuts = np.searchsorted(keys[order], np.arange(1, n))
        by_kind: dict[bytes, list[int]] = {}
        for s, kind in enumerate(np.split(kinds, cuts)):
            by_kind.setdefault(kind.tobytes(), []).append(s)
        ends = np.split(others, cuts)
        self._kind_of, self._row_of = np.empty(n, np.int64), np.empty(n, np.int64)
        self._tables = []
        for kind_index, members in enumerate(by_kind.values()):
            self._kind_of[members], self._row_of[members] = kind_index, np.arange(len(members))
            self._tables.append(np.stack([ends[s] for s in members]))

    def unequal(self, pairs: Pairs) -> Array:
        """Return for which pairs the numbers of any kind of bars differ."""
        first, second = (self._kind_of[side] for side in pairs)
        return first != second

    def moves(self, pairs: Pairs, order: float) -> Array:
        """Return the root of the sum of powers of the moves of each pair; with order inf the largest."""
        kinds = self._kind_of[pairs[0]]
        moves = np.full(len(kinds), np.inf)
        for kind, table in enumerate(self._tables):
            among = (kinds == kind) & ~self.unequal(pairs)
            first, second = (table[self._row_of[side[among]]] for side in pairs)
            gaps = np.abs(first - second)
            farthest = gaps.max(1, initial=0.0)
            if order == np.inf or table.shape[1] < 2:
                moves[among] = farthest
                continue
            unit = np.where(farthest > 0, farthest, 1.0)
            moves[among] = ((gaps / unit[:, None]) ** order).sum(1) ** (1 / order) * unit
        return moves


def both_sides(name: str, d1: Diagrams, d2: Diagrams | None) -> tuple[SortedBars, InfiniteBars | None]:
    """Return the bars of the segments of `d1`, followed by those of `d2`, and those with an infinite end."""
    sides = [SortedBars.split(name, d) for d in ((d1,) if d2 is None else (d1, d2))]
    sizes = [len(side[0].units) for side in sides]
    n = sum(sizes)
    bars = sides[0][0] if d2 is None else SortedBars.joined([side[0] for side in sides])
    infinite = np.concatenate([side[1] for side in sides])
    if not len(infinite):
        return bars, None
    keys = np.concatenate([sides[0][2], *(side[2] + sizes[0] for side in sides[1:])])
    return bars, InfiniteBars(infinite, keys, n)


def over_pairs(function: Callable[[Array, Array], Array], pairs: Pairs) -> Array:
    """Return `function` of the diagrams (M,) of all pairs, which threads share."""
    n_parts = min(4 * get_num_threads(), len(pairs[0]) // _PAIRS_AT_ONCE) if get_num_threads() > 1 else 1
    parts = list(zip(*(np.array_split(side, max(n_parts, 1)) for side in pairs), strict=True))
    return np.concatenate(map_batch(lambda part: function(*part), parts))


def wasserstein_of_pairs(
    bars: SortedBars, infinite: InfiniteBars | None, pairs: Pairs, order: float, norm: float
) -> Array:
    """Return the Wasserstein distances of pairs."""
    from topodl.kernels.vectors.bar_matching import matching_distances

    def finite(first: Array, second: Array) -> Array:
        return matching_distances(bars.bars, bars.offsets, bars.units, first, second, order, norm)

    distances = over_pairs(finite, pairs)
    if infinite is None:
        return distances
    both = np.stack([distances, infinite.moves(pairs, order)])
    unit = both.max(0)
    unit = np.where(np.isfinite(unit) & (unit > 0), unit, 1.0)
    sums: Array = ((both / unit) ** order).sum(0) ** (1 / order) * unit
    return sums


def bottleneck_of_pairs(bars: SortedBars, infinite: InfiniteBars | None, pairs: Pairs) -> Array:
    """Return the bottleneck distances of pairs."""
    from topodl.kernels.vectors.bottleneck import bottleneck_distances

    def finite(first: Array, second: Array) -> Array:
        return bottleneck_distances(bars.bars, bars.offsets, first, second)

    distances = over_pairs(finite, pairs)
    return distances if infinite is None else np.maximum(distances, infinite.moves(pairs, np.inf))
