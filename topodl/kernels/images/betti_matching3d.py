"""Induced matching of the bars of two volumes through their minimum, with critical voxels.

Stucki et al., ICML 2023 and arXiv:2407.04683; image persistence after Bauer & Schmahl 2022. Cost: three
pairings of voxels (see `cubical3d`), and loops of the smaller sets as sums of those of the larger ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.images._voxel_flow import reduce_loops
from topodl.kernels.images._voxel_images import (
    Flow,
    Loops,
    ends_of_edges,
    flows_of_joins,
    images_of_loops,
    joins_along,
    root_tree,
)
from topodl.kernels.images._voxel_links import OFFSETS, lowest_bit
from topodl.kernels.images.betti_matching2d import _partners
from topodl.kernels.images.cubical3d import (
    OUTSIDE_AGE,
    critical_voxels,
    in_volume,
    keys_at,
    lower_ends,
    lower_links,
    pad_keys,
    room_of_flows,
    upper_ends,
)
from topodl.kernels.shared.compile import kernel
from topodl.kernels.shared.merge_tree import merge_by_age
from topodl.kernels.shared.pool import map_batch
from topodl.kernels.shared.radix import radix_argsort

__all__ = ["match_voxels", "warm_up"]


class _Tree(NamedTuple):
    """How the basins of minima merge with ascending keys, or those of maxima with descending keys.

    Nodes and joins are voxels; the first of maxima is the outside. Node i is ``ages[i]`` old and dies at the
    join ``dies_at[i]`` (−1: never); `bar_of` is the inverse. Join j comes at ``keys[j]``, between the nodes
    ``ends[j]``. From a voxel, `links`, inverted by `flip`, and `steps` lead on to its node, up to a voxel
    with a `label`: 1 + the node.
    """

    nodes: Any
    ages: Any
    joins: Any
    keys: Any
    ends: Any
    dies_at: Any
    bar_of: Any
    links: Any
    flip: int
    steps: Any
    label: Any


@dataclass
class _Volume:
    """A volume of `keys`; births and deaths are those of dimension 1, `turn` has its bars by their birth."""

    keys: Any
    minima: _Tree
    maxima: _Tree
    births: Any
    deaths: Any
    turn: Any
    loops: Loops
    flow: Flow


def _analyse(bits: Any, depth: int, height: int, width: int, dual: bool) -> _Volume:
    """Return what there is to know about a volume, its order reversed with `dual` as in `pair_voxels`."""
    margin = 2 if dual else 1
    rows, columns = height + 2 * margin, width + 2 * margin
    keys = np.empty((depth + 2 * margin) * rows * columns, bits.dtype)
    pad_keys(bits, depth, height, width, dual, keys)
    steps = (OFFSETS[:, 0] * rows + OFFSETS[:, 1]) * columns + OFFSETS[:, 2]
    if dual:
        steps = -steps  # directions keep their names in the volume that is turned round
    links = lower_links(keys, steps)
    minima, maxima, lower, upper = critical_voxels(links)
    label = np.zeros(keys.size, np.int32)
    ends = lower_ends(lower, links, minima, label, steps)
    ages, lower_keys = keys_at(keys, minima), keys_at(keys, lower[:, 0])
    low = _grow_tree(minima, ages, lower, lower_keys, ends, links, 0, steps, label)
    label = np.zeros(keys.size, np.int32)
    ends = upper_ends(upper, links, maxima, label, steps)
    ages, upper_keys = ~keys_at(keys, maxima), keys_at(keys, upper[:, 0])  # descending
    ages[0] = OUTSIDE_AGE
    high = _grow_tree(maxima, ages, upper, ~upper_keys, ends, links, -1, steps, label)
    return _with_loops(keys, low, high, lower, upper, upper_keys)


def _grow_tree(
    nodes: Any, ages: Any, joins: Any, keys: Any, ends: Any, links: Any, flip: int, steps: Any, label: Any
) -> _Tree:
    dies_at = merge_by_age(ends, keys, ages)
    bar_of = np.full(joins.shape[0], -1)
    bar_of[dies_at[dies_at >= 0]] = np.flatnonzero(dies_at >= 0)
    return _Tree(nodes, ages, joins[:, 0], keys, ends, dies_at, bar_of, links, flip, steps, label)


def _with_loops(keys: Any, low: _Tree, high: _Tree, joins: Any, squares: Any, square_keys: Any) -> _Volume:
    """Return the volume with its bars of dimension 1 in the order of deaths, of equal ones the last first.

    Loops take the joins of one voxel, and its squares, against the order in which components merge: of what a
    voxel begins, the first join is the latest, and of what it ends, the first square is the earliest.
    """
    turned, turned_squares = _turned_at_voxels(joins[:, 0]), _turned_at_voxels(squares[:, 0])
    joins, merged, ends_of_joins = joins[turned], low.bar_of[turned] >= 0, low.ends[turned]
    squares, filled = squares[turned_squares], high.bar_of[turned_squares] >= 0
    goals = np.empty(3 * keys.size, np.int32)
    owner, ends, words, join_words, heads, lists, n_lists = reduce_loops(
        squares, filled, square_keys, joins, merged, low.keys, low.links, goals, low.steps,
        room_of_flows(keys.size), 0, squares.shape[0],
    )  # fmt: skip
    bars = np.flatnonzero(~filled)[::-1]
    bars = bars[radix_argsort(square_keys[bars])]
    bar_of = np.full(filled.size + 1, -1, np.int32)  # the last one for joins without a square
    bar_of[bars] = np.arange(bars.size)
    order = radix_argsort(low.keys)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    owner = bar_of[owner[order]]
    births, turn = np.empty(bars.size, np.int32), owner[owner >= 0]
    births[turn] = joins[order[owner >= 0], 0]
    starts, deaths = ends[bars], squares[bars, 0]
    below = ends_of_edges(joins, ends_of_joins, low.links, low.label, low.steps)
    place_of_minima, above, way_up = root_tree(below, merged, low.nodes.size)
    loops = Loops(starts, words, joins, below, place_of_minima, above, way_up, low.links)
    flow = Flow(
        place, owner, keys_at(keys, deaths), starts, words, joins, merged, join_words, heads, lists, n_lists,
        low.links, goals, low.steps,
    )  # fmt: skip
    return _Volume(keys, low, high, births, deaths, turn, loops, flow)


def _turned_at_voxels(voxels: Any) -> Any:
    """Return the order of rows in which those of one voxel, which lie side by side, are reversed."""
    rows = np.arange(voxels.size)
    starts = np.flatnonzero(np.diff(voxels, prepend=-1))
    lengths = np.diff(starts, append=voxels.size)
    return np.repeat(2 * starts + lengths - 1, lengths) - rows


def _carry(tree: _Tree, others: _Tree) -> tuple[Any, Any]:
    """Return nodes of another volume, and the joins of `tree` at which they die if they are its nodes."""
    basin = _nodes_of(others.nodes, tree.links, tree.flip, tree.steps, tree.label)
    oldest_first = radix_argsort(others.ages)
    oldest = np.full(tree.nodes.size, -1)
    oldest[basin[oldest_first[::-1]]] = oldest_first[::-1]  # the last of several writes stays
    turn = np.empty(others.ages.size, np.int64)
    turn[oldest_first] = np.arange(others.ages.size)
    ages = np.where(oldest < 0, np.iinfo(np.int64).max, turn[oldest])
    dies_at = merge_by_age(tree.ends, tree.keys, ages)
    dead = (oldest >= 0) & (dies_at >= 0)
    return oldest[dead], dies_at[dead]


@kernel
def _nodes_of(voxels: Any, links: Any, flip: int, steps: Any, label: Any) -> Any:
    """Return the node of a tree that each voxel leads to."""
    nodes = np.empty(voxels.size, np.int64)
    for i in range(voxels.size):
        p = np.int64(voxels[i])
        while label[p] == 0:
            p += steps[lowest_bit(np.uint64(np.int64(links[p]) ^ flip))]
        nodes[i] = label[p] - 1
    return nodes


def _images(source: _Volume, target: _Volume, wanted: Any) -> list[Any]:
    """Return (bars of `source`, bars of `target`) that have an image in common, dimension by dimension.

    The sublevel sets of `source` lie in those of `target`. A bar of the image is born with a bar of the
    source and dies with one of the target. Of dimension 1, those that contain none of the levels `wanted` may
    be wrong: they take no bars of the source into account but those that contain such a level.
    """
    nodes, joins = _carry(target.minima, source.minima)
    born = source.keys[source.minima.nodes[nodes]]
    kept = born < target.keys[target.minima.joins[joins]]
    images = [(nodes[kept], target.minima.bar_of[joins[kept]])]
    births, deaths = keys_at(source.keys, source.births), keys_at(source.keys, source.deaths)
    wanted = np.sort(wanted)
    alive = np.searchsorted(wanted, births, "left") < np.searchsorted(wanted, deaths, "right")
    alive &= births < deaths
    bars = source.turn[alive[source.turn]]
    found = _images_of_loops(source.loops, bars, births, target)
    images.append((bars[found >= 0], found[found >= 0]))
    nodes, joins = _carry(source.maxima, target.maxima)
    born = source.keys[source.maxima.joins[joins]]
    kept = born < target.keys[target.maxima.nodes[nodes]]
    return [*images, (source.maxima.bar_of[joins[kept]], nodes[kept])]


def _images_of_loops(loops: Loops, bars: Any, births: Any, target: _Volume) -> Any:
    """Return, for each of the `bars` of `loops`, that of the target with which its image dies, or −1."""
    along, joins = joins_along(bars, loops)
    wanted = np.zeros(loops.joins.shape[0], bool)
    wanted[joins] = True
    flows, places, lists, n_lists = flows_of_joins(
        wanted, loops, target.flow, room_of_flows(target.keys.size)
    )
    target.flow = target.flow._replace(lists=lists, n_lists=n_lists)  # more is known now
    return images_of_loops(bars, births, along, joins, flows, places, target.flow)


def _link(volumes: list[_Volume], both: _Volume, dual: bool) -> list[list[Any]]:
    """Return, for each volume and dimension, the bar of `both` with which each bar has its image, or −1."""
    links = [[np.full(n, -1) for n in _sizes(volume)] for volume in volumes]
    wanted = None
    for i in np.argsort([np.count_nonzero(_lives(volume)) for volume in volumes], kind="stable"):
        source, target = (both, volumes[i]) if dual else (volumes[i], both)
        if wanted is None:
            wanted = target.keys[target.deaths[_lives(target)]]
        images = _images(source, target, wanted)
        for link, (sources, targets) in zip(links[i], images, strict=True):
            link[targets if dual else sources] = sources if dual else targets
        common = images[1][0 if dual else 1]  # bars of the minimum that can still be those of a match
        wanted = both.keys[(both.births if dual else both.deaths)[common]]
    return links


def _sizes(volume: _Volume) -> tuple[int, int, int]:
    return volume.minima.nodes.size, volume.births.size, volume.maxima.nodes.size


def _lives(volume: _Volume) -> Any:
    return volume.keys[volume.births] < volume.keys[volume.deaths]


def _bars(volume: _Volume, links: list[Any], shape: tuple[int, int, int], dual: bool) -> list[Any]:
    """Return (births, deaths, link) in the volume, of bars of positive length, an essential one first."""
    low, high = volume.minima, volume.maxima
    pairs = [
        (low.nodes, np.append(low.joins, -1)[low.dies_at]),
        (volume.births, volume.deaths),
        (high.joins[high.dies_at[1:]], high.nodes[1:]),
    ]
    links[2] = links[2][1:]  # without the outside
    bars = []
    for (births, deaths), link in zip(pairs, links, strict=True):
        kept = (deaths < 0) | (volume.keys[births] < volume.keys[deaths])
        births, deaths = in_volume(births, shape, dual), in_volume(deaths, shape, dual)
        if dual:  # the shell is −1; it kills the essential class, and else only its own classes
            births, deaths = deaths, births
        kept &= births >= 0
        kept = np.flatnonzero(kept)[np.argsort(deaths[kept] >= 0, kind="stable")]
        bars.append((births[kept].astype(np.int64), deaths[kept].astype(np.int64), link[kept]))
    return bars[::-1] if dual else bars


def match_voxels(
    first_bits: Any, second_bits: Any, both_bits: Any, depth: int, height: int, width: int, by_cells: bool
) -> list[Any]:
    """Return, for dimensions 0, 1 and 2, (births, deaths, partners) of the first volume and of the second.

    Arguments are the values of both volumes and of their minimum, flat, read as signed integers. `by_cells`
    takes voxels as top cells (26-connected), otherwise as vertices (6-connected). Partners are as in
    `match_pixels`, and so is the first bar of dimension 0, the essential class.
    """
    # Cells are the dual of vertices: the order is reversed, the minimum comes first, dimension k is 2 − k.
    shape = (depth, height, width)
    images = (both_bits, first_bits, second_bits)
    both, *volumes = map_batch(lambda bits: _analyse(bits, *shape, by_cells), images)
    n_keys = max(_sizes(both))
    all_bars = []
    for volume, links in zip(volumes, _link(volumes, both, by_cells), strict=True):
        bars = _bars(volume, links, shape, by_cells)
        bars[0][2][0] = n_keys  # the essential classes are partners
        all_bars.append(bars)
    matched = []
    for ours, theirs in zip(*all_bars, strict=True):
        partner, other = _partners(ours[2], theirs[2], n_keys + 1)
        matched.append(((*ours[:2], partner), (*theirs[:2], other)))
    return matched


def warm_up() -> None:
    """Compile the kernels."""
    for integer in (np.int32, np.int64):
        bits = np.arange(8).astype(integer)
        match_voxels(bits, bits, bits, 2, 2, 2, False)
