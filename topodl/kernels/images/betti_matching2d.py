"""Induced matching of the bars of two images through their minimum, with critical pixels.

Stucki et al., "Topologically faithful image segmentation via induced matching of persistence barcodes", ICML
2023; image persistence after Bauer & Lesnick 2015. Cost: three pairings by saddles (see `cubical2d`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.images.cubical2d import (
    _LINKS,
    _critical_pixels,
    _earlier_neighbours,
    _first_steps,
    _join_lower_basins,
    _join_upper_basins,
    _merge_ascending,
    _root_of,
    _saddle_edges,
)
from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.merge_tree import singletons
from topodl.kernels.shared.pool import map_batch
from topodl.kernels.shared.radix import ordered_keys_at, radix_argsort
from topodl.kernels.shared.union_find import find_root

__all__ = ["match_pixels", "warm_up"]

_NONE = np.iinfo(np.int64).max


class _Image(NamedTuple):
    """What `cubical2d` finds in an image; `low` and `high` are the ordered keys of minima and of maxima."""

    masks: Any
    minima: Any
    maxima: Any
    edges: Any
    keys: Any
    order: Any
    low: Any
    high: Any


@kernel
def _morse(values: Any, bits: Any, height: int, width: int, by_cells: bool) -> Any:
    masks = _earlier_neighbours(values, height, width)
    minima, maxima, saddles = _critical_pixels(masks, by_cells)
    levels, lower = ordered_keys_at(bits, saddles), _LINKS[1 if by_cells else 0]
    edges, keys = _saddle_edges(saddles, levels, masks, lower)
    low, high = ordered_keys_at(bits, minima), ordered_keys_at(bits, maxima)
    return masks, minima, maxima, edges, keys, radix_argsort(keys), low, high


@subroutine
def _oldest_of_basins(
    pixels: Any, levels: Any, masks: Any, flip: int, links: Any, label: Any, n_basins: int, width: int
) -> Any:
    """Return, for each basin of one image, the oldest of the critical `pixels` of another that lie in it.

    The result holds positions in `pixels`, −1 where a basin has none; `levels` are their ordered keys. `flip`
    is 0 for basins of minima, where the smallest is the oldest, and 255 for those of maxima, where the
    greatest is.
    """
    first_step = _first_steps(links, width)
    oldest = full(n_basins + 1, -1, np.int64)
    for i in range(pixels.size):
        basin = _root_of(pixels[i], masks, flip, first_step, label)
        rival = oldest[basin]
        if rival < 0:
            oldest[basin] = i
        elif flip == 0 and levels[i] < levels[rival]:
            oldest[basin] = i  # of equal minima the first pixel is the oldest
        elif flip != 0 and levels[i] >= levels[rival]:
            oldest[basin] = i  # of equal maxima the last
    return oldest


@subroutine
def _ages(oldest: Any, levels: Any, none: int) -> Any:
    ages = np.empty(oldest.size, np.int64)
    for i in range(oldest.size):
        ages[i] = levels[oldest[i]] if oldest[i] >= 0 else none
    return ages


@borrowing_subroutine
def _elder_survives(a: int, b: int, oldest: Any, ages: Any) -> int:
    """Let root `a` keep the elder of two representatives; return the position of the one that dies."""
    if ages[b] < ages[a] or (ages[b] == ages[a] and 0 <= oldest[b] < oldest[a]):
        dying = oldest[a]
        oldest[a], ages[a] = oldest[b], ages[b]
        return dying
    return oldest[b]


@subroutine
def _match_minima(
    edges: Any, keys: Any, order: Any, n_basins: int, oldest_a: Any, ages_a: Any, oldest_b: Any, ages_b: Any
) -> Any:
    """Join the basins of the comparison; minima of the two images that die at one edge are matched."""
    parent = singletons(n_basins + 1)
    matched_a, matched_b = np.empty(n_basins, np.int64), np.empty(n_basins, np.int64)
    n = 0
    for e in order:
        a, b = find_root(parent, edges[e, 0]), find_root(parent, edges[e, 1])
        if a == b:
            continue
        younger_a, younger_b = max(ages_a[a], ages_a[b]), max(ages_b[a], ages_b[b])
        dying_a = _elder_survives(a, b, oldest_a, ages_a)
        dying_b = _elder_survives(a, b, oldest_b, ages_b)
        parent[b] = a
        if younger_a < keys[e] and younger_b < keys[e]:
            matched_a[n], matched_b[n] = dying_a, dying_b
            n += 1
    return matched_a[:n].copy(), matched_b[:n].copy()


@subroutine
def _merge_descending_with(
    edges: Any, keys: Any, order: Any, maxima: Any, levels: Any, outside: int, others: Any, ages_other: Any
) -> Any:
    """Pair saddles with maxima, and tell which maximum of the comparison dies with each pair (−1: none)."""
    n_trees = maxima.size + 1
    parent = singletons(n_trees + 1)
    age = np.empty(n_trees + 1, np.int64)
    for i in range(maxima.size):
        age[i + 1] = levels[i]
    age[n_trees] = outside
    births, deaths = np.empty(n_trees, np.int64), np.empty(n_trees, np.int64)
    links = np.empty(n_trees, np.int64)
    n = 0
    for t in range(order.size - 1, -1, -1):
        e = order[t]
        if edges[e, 3] == 0:
            continue
        a, b = find_root(parent, edges[e, 0]), find_root(parent, edges[e, 1])
        if a == b:
            continue
        if age[b] > age[a] or (age[b] == age[a] and b > a):
            a, b = b, a
        parent[b] = a
        dying, dying_age = others[b], ages_other[b]
        if a != n_trees and (
            ages_other[b] > ages_other[a] or (ages_other[b] == ages_other[a] and others[b] > others[a])
        ):
            dying, dying_age = others[a], ages_other[a]
            others[a], ages_other[a] = others[b], ages_other[b]
        if age[b] != keys[e]:
            births[n], deaths[n] = edges[e, 2], maxima[b - 1]
            links[n] = dying if dying_age > keys[e] else -1
            n += 1
    return births[:n].copy(), deaths[:n].copy(), links[:n].copy()


@kernel
def _partners(keys_a: Any, keys_b: Any, n_keys: int) -> Any:
    """Return the position in `keys_b` of each of `keys_a`, and the other way round; −1 for none."""
    where = full(n_keys, -1, np.int32)
    for i in range(keys_a.size):
        if keys_a[i] >= 0:
            where[keys_a[i]] = i
    partner_a, partner_b = full(keys_a.size, -1, np.int64), full(keys_b.size, -1, np.int64)
    for j in range(keys_b.size):
        if keys_b[j] >= 0 and where[keys_b[j]] >= 0:
            partner_b[j] = where[keys_b[j]]
            partner_a[where[keys_b[j]]] = j
    return partner_a, partner_b


@kernel
def _keys_of_matches(births: Any, matched: Any, n_pixels: int) -> Any:
    """Return, for each bar, the number of the match that its birth pixel has, −1 where there is none."""
    where = full(n_pixels, -1, np.int32)
    for k in range(matched.size):
        where[matched[k]] = k
    keys = np.empty(births.size, np.int64)
    for i in range(births.size):
        keys[i] = where[births[i]]
    return keys


@kernel
def _dim0(
    edges: Any, keys: Any, order: Any, masks: Any, minima: Any, low: Any, width: int, by_cells: bool
) -> Any:
    label = zeros(masks.size, np.int32)
    _join_lower_basins(edges, masks, minima, _LINKS[1 if by_cells else 0], label, width)
    return _merge_ascending(edges, keys, order, minima, low)


@kernel
def _match_dim0(
    edges: Any, keys: Any, order: Any, masks: Any, minima: Any, minima_a: Any, low_a: Any, minima_b: Any,
    low_b: Any, width: int, by_cells: bool,
) -> Any:  # fmt: skip
    """Return the pixels of the minima of two images that die at one edge of the comparison."""
    lower, label = _LINKS[1 if by_cells else 0], zeros(masks.size, np.int32)
    _join_lower_basins(edges, masks, minima, lower, label, width)
    oldest_a = _oldest_of_basins(minima_a, low_a, masks, 0, lower, label, minima.size, width)
    oldest_b = _oldest_of_basins(minima_b, low_b, masks, 0, lower, label, minima.size, width)
    ages_a, ages_b = _ages(oldest_a, low_a, _NONE), _ages(oldest_b, low_b, _NONE)
    matched_a, matched_b = _match_minima(edges, keys, order, minima.size, oldest_a, ages_a, oldest_b, ages_b)
    return minima_a[matched_a], minima_b[matched_b]


@kernel
def _dim1(
    edges: Any, keys: Any, order: Any, masks: Any, maxima: Any, high: Any, others: Any, others_high: Any,
    height: int, width: int, by_cells: bool,
) -> Any:  # fmt: skip
    upper, label = _LINKS[0 if by_cells else 1], zeros(masks.size, np.int32)
    _join_upper_basins(edges, masks, maxima, upper, label, height, width)
    oldest = _oldest_of_basins(others, others_high, masks, 255, upper, label, maxima.size + 1, width)
    ages = _ages(oldest, others_high, -_NONE)
    return _merge_descending_with(edges, keys, order, maxima, high, _NONE, oldest, ages)


def match_pixels(
    first: Any, first_bits: Any, second: Any, second_bits: Any, both: Any, both_bits: Any,
    height: int, width: int, by_cells: bool,
) -> Any:  # fmt: skip
    """Return, for dimension 0 and then 1, (births, deaths, partners) of `first` and of `second`.

    Arguments are as in `pair_pixels`, but of one image (n,); `both` is the minimum of the two images. A
    partner is the position of the matched bar of the other image, −1 where there is none. The first bar of
    dimension 0 is the essential class, of death −1; the two are partners.
    """
    # Not a kernel: kernels compile again in each kernel that calls them.
    images = (first, first_bits), (second, second_bits), (both, both_bits)
    a, b, c = map_batch(lambda image: _Image(*_morse(*image, height, width, by_cells)), images)

    def pair(i: _Image) -> Any:
        bars0 = _dim0(i.edges, i.keys, i.order, i.masks, i.minima, i.low, width, by_cells)
        return bars0, _dim1(
            i.edges, i.keys, i.order, i.masks, i.maxima, i.high, c.maxima, c.high, height, width, by_cells
        )

    def match(c: _Image) -> Any:
        return _match_dim0(
            c.edges, c.keys, c.order, c.masks, c.minima, a.minima, a.low, b.minima, b.low, width, by_cells
        )

    tasks = (match, c), (pair, a), (pair, b)
    matched, *bars = map_batch(lambda task: task[0](task[1]), tasks)
    match_a, match_b = (
        _keys_of_matches(own[0][0], minima, first.size) for own, minima in zip(bars, matched, strict=True)
    )
    partner_a, partner_b = _partners(match_a, match_b, matched[0].size)
    partner_a[0] = partner_b[0] = 0
    dim0 = (*bars[0][0], partner_a), (*bars[1][0], partner_b)
    bars1 = [own[1] for own in bars]
    partner_a, partner_b = _partners(bars1[0][2], bars1[1][2], c.maxima.size)
    return *dim0, (*bars1[0][:2], partner_a), (*bars1[1][:2], partner_b)


def warm_up() -> None:
    """Compile the kernels for float32 and float64."""
    for dtype, integer in ((np.float32, np.int32), (np.float64, np.int64)):
        values = np.arange(9, dtype=dtype)
        match_pixels(*(values, values.view(integer)) * 3, 3, 3, False)
