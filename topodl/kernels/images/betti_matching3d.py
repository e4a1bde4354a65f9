"""Induced matching of the bars of two volumes through their minimum, with critical voxels.

Stucki et al., ICML 2023 and arXiv:2407.04683; image persistence after Bauer & Schmahl 2022. Cost: three
pairings of voxels (see `cubical3d`), and loops of the smaller sets pushed down through the larger ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.images._voxel_chains import Chains, image_of_loops, reduce_loops
from topodl.kernels.images._voxel_links import OFFSETS, lowest_bit
from topodl.kernels.images._voxel_loops import _in_turn
from topodl.kernels.images.betti_matching2d import _partners
from topodl.kernels.images.cubical3d import critical_voxels, lower_ends, lower_links, upper_ends
from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import kernel
from topodl.kernels.shared.merge_tree import merge_by_age
from topodl.kernels.shared.radix import ordered_keys, radix_argsort

__all__ = ["match_voxels", "warm_up"]


class _Tree(NamedTuple):
    """How the basins of minima merge with ascending rank, or those of maxima with descending rank.

    Nodes and joins are voxels; the first of maxima is the outside. Node i is ``ages[i]`` old and dies at the
    join ``dies_at[i]`` (−1: never); `bar_of` is the inverse. Join j comes at ``keys[j]``, between the nodes
    ``ends[j]``. `words` and `steps` lead from a voxel to the next one on the way to its node, up to a voxel
    with a `label`: 1 + the node.
    """

    nodes: Any
    ages: Any
    joins: Any
    keys: Any
    ends: Any
    dies_at: Any
    bar_of: Any
    words: Any
    steps: Any
    label: Any


class _Volume(NamedTuple):
    """A ranked volume; `level` orders the values of voxels; births and deaths are those of dimension 1."""

    level: Any
    minima: _Tree
    maxima: _Tree
    births: Any
    deaths: Any
    chains: Chains


def _analyse(
    keys: Any, depth: int, height: int, width: int, dual: bool, is_target: bool
) -> tuple[_Volume, Any]:
    """Return what there is to know about a volume, its order reversed with `dual`, and `origin`.

    Chains of a target, into which those of others are pushed, leave out a spanning forest.
    """
    rank, order, origin = _rank_voxels(keys, depth, height, width, dual)
    level = np.full(rank.size, np.iinfo(np.int64).min)
    level[origin >= 0] = -keys if dual else keys
    rows, columns = (height + 4, width + 4) if dual else (height + 2, width + 2)
    steps = (OFFSETS[:, 0] * rows + OFFSETS[:, 1]) * columns + OFFSETS[:, 2]
    links = np.empty(rank.size, np.int32)
    lower_links(rank, steps, links)
    minima, maxima, lower, upper = critical_voxels(links)
    upper = upper[::-1]
    label = np.zeros(rank.size, np.int32)
    ends = lower_ends(lower, links, minima, label, steps)
    low = _grow_tree(minima, lower, ends, rank, 1, links & 63, steps, label)
    label = np.zeros(rank.size, np.int32)
    ends = upper_ends(upper, links, maxima, label, steps)
    high = _grow_tree(maxima, upper, ends, rank, -1, ~links & ((1 << 26) - 1), steps, label)
    squares = upper[_in_turn(upper, high.bar_of >= 0, rank)]
    merged = low.bar_of >= 0
    chains = Chains(
        rank, order, links, steps, lower, merged, _forest(links, lower, merged, is_target),
        _first_of_voxel(lower, rank.size), np.full(lower.shape[0], -1),
        np.empty(1024, np.int32), np.empty(1024, np.uint8), np.zeros(squares.shape[0] + 1, np.int64),
    )  # fmt: skip
    births, chains = reduce_loops(squares, chains)
    return _Volume(level, low, high, births, squares[:, 0].astype(np.int64), chains), origin


@kernel
def _rank_voxels(keys: Any, depth: int, height: int, width: int, dual: bool) -> Any:
    """Return (rank, order, origin) of the voxels of a volume of floats, in a border of later voxels.

    `keys` are the values, flat, as `ordered_keys` gives them, `rank` and `order` is its inverse;
    `origin` is the flat index of each voxel in the volume, −1 in the border. With `dual`, the order is
    reversed and a shell of earlier voxels lies between volume and border: dimension k in it is 2 − k of the
    cell construction.
    """
    margin = 2 if dual else 1
    rows, columns = height + 2 * margin, width + 2 * margin
    size = (depth + 2 * margin) * rows * columns
    origin = full(size, -1, np.int32)
    place = np.empty(keys.size, np.int32)
    p = 0
    for z in range(margin, depth + margin):
        for y in range(margin, height + margin):
            for x in range(margin, width + margin):
                place[p] = (z * rows + y) * columns + x
                origin[place[p]] = p
                p += 1
    n_shell = 0
    order = np.empty(size, np.int32)
    if dual:
        for z in range(1, depth + 3):
            for y in range(1, height + 3):
                for x in range(1, width + 3):
                    at = (z * rows + y) * columns + x
                    if origin[at] < 0:
                        order[n_shell] = at
                        n_shell += 1
    n = n_shell + keys.size
    by_value = radix_argsort(keys)
    for i in range(keys.size):
        order[n - 1 - i if dual else i] = place[by_value[i]]
    rank = full(size, n, np.int32)
    for i in range(n):
        rank[order[i]] = i
    return rank, order[:n], origin


@kernel
def _ranks_of(voxels: Any, rank: Any, sign: int) -> Any:
    ranks = np.empty(voxels.size, np.int64)
    for i in range(voxels.size):
        ranks[i] = sign * rank[voxels[i]]
    return ranks


def _grow_tree(
    nodes: Any, joins: Any, ends: Any, rank: Any, sign: int, words: Any, steps: Any, label: Any
) -> _Tree:
    ages, keys = _ranks_of(nodes, rank, sign), _ranks_of(joins[:, 0], rank, sign)
    dies_at = merge_by_age(ends, keys, ages)
    bar_of = np.full(joins.shape[0], -1)
    bar_of[dies_at[dies_at >= 0]] = np.flatnonzero(dies_at >= 0)
    return _Tree(nodes, ages, joins[:, 0], keys, ends, dies_at, bar_of, words, steps, label)


def _forest(links: Any, joins: Any, merged: Any, present: bool) -> Any:
    """Return the bits of edges of a spanning forest: a cycle is known by its other edges."""
    if not present:
        return np.zeros(links.size, np.uint8)
    corners = links & 63
    forest = (corners & -corners).astype(np.uint8)
    np.bitwise_or.at(forest, joins[merged, 0], (1 << joins[merged, 2]).astype(np.uint8))
    return forest


def _first_of_voxel(joins: Any, n: int) -> Any:
    first = np.full(n, -1, np.int32)
    first[joins[::-1, 0]] = np.arange(joins.shape[0])[::-1]
    return first


def _carry(tree: _Tree, others: _Tree) -> tuple[Any, Any]:
    """Return nodes of another volume, and the joins of `tree` at which they die if they are its nodes."""
    basin = _nodes_of(others.nodes, tree.words, tree.steps, tree.label)
    youngest_first = np.argsort(-others.ages)
    oldest = np.full(tree.nodes.size, -1)
    oldest[basin[youngest_first]] = youngest_first  # the last of several writes stays
    ages = np.where(oldest < 0, np.iinfo(np.int64).max, others.ages[oldest])
    dies_at = merge_by_age(tree.ends, tree.keys, ages)
    dead = (oldest >= 0) & (dies_at >= 0)
    return oldest[dead], dies_at[dead]


@kernel
def _nodes_of(voxels: Any, words: Any, steps: Any, label: Any) -> Any:
    """Return the node of a tree that each voxel leads to."""
    nodes = np.empty(voxels.size, np.int64)
    for i in range(voxels.size):
        p = np.int64(voxels[i])
        while label[p] == 0:
            p += steps[lowest_bit(np.uint64(words[p]))]
        nodes[i] = label[p] - 1
    return nodes


def _images(source: _Volume, target: _Volume, wanted: Any) -> list[Any]:
    """Return (bars of `source`, bars of `target`) that have an image in common, dimension by dimension.

    The sublevel sets of `source` lie in those of `target`. A bar of the image is born with a bar of the
    source and dies with one of the target. Of dimension 1, those that contain none of the levels `wanted` may
    be wrong: they take no bars of the source into account but those that contain such a level.
    """
    nodes, joins = _carry(target.minima, source.minima)
    born = source.level[source.minima.nodes[nodes]]
    kept = born < target.level[target.minima.joins[joins]]
    images = [(nodes[kept], target.minima.bar_of[joins[kept]])]
    births, deaths = source.level[source.births], source.level[source.deaths]
    wanted = np.sort(wanted)
    alive = np.searchsorted(wanted, births, "left") < np.searchsorted(wanted, deaths, "right")
    turn = _in_order_of_birth(source.chains.owner, source.births, source.chains.rank)
    found = image_of_loops(
        turn[(alive & (births < deaths))[turn]],
        births,
        source.chains,
        target.level[target.deaths],
        target.chains,
    )
    images.append((np.flatnonzero(found >= 0), found[found >= 0]))
    nodes, joins = _carry(source.maxima, target.maxima)
    born = source.level[source.maxima.joins[joins]]
    kept = born < target.level[target.maxima.nodes[nodes]]
    return [*images, (source.maxima.bar_of[joins[kept]], nodes[kept])]


def _in_order_of_birth(owner: Any, births: Any, rank: Any) -> Any:
    """Return the bars by the rank of their birth, those of a voxel from its last join to its first."""
    bars = owner[::-1][owner[::-1] >= 0]
    return bars[radix_argsort(rank[births[bars]].astype(np.int64))]


def _link(volumes: list[_Volume], both: _Volume, dual: bool) -> list[list[Any]]:
    """Return, for each volume and dimension, the bar of `both` with which each bar has its image, or −1."""
    links = [[np.full(n, -1) for n in _sizes(volume)] for volume in volumes]
    wanted = None
    for i in np.argsort([np.count_nonzero(_lives(volume)) for volume in volumes], kind="stable"):
        source, target = (both, volumes[i]) if dual else (volumes[i], both)
        if wanted is None:
            wanted = target.level[target.deaths[_lives(target)]]
        images = _images(source, target, wanted)
        for link, (sources, targets) in zip(links[i], images, strict=True):
            link[targets if dual else sources] = sources if dual else targets
        common = images[1][0 if dual else 1]  # bars of the minimum that can still be those of a match
        wanted = both.level[(both.births if dual else both.deaths)[common]]
    return links


def _sizes(volume: _Volume) -> tuple[int, int, int]:
    return volume.minima.nodes.size, volume.births.size, volume.maxima.nodes.size


def _lives(volume: _Volume) -> Any:
    return volume.level[volume.births] < volume.level[volume.deaths]


def _bars(volume: _Volume, links: list[Any], origin: Any, dual: bool) -> list[Any]:
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
        kept = (deaths < 0) | (volume.level[births] < volume.level[deaths])
        births, deaths = origin[births], np.where(deaths < 0, -1, origin[deaths])
        if dual:  # the shell has origin −1; it kills the essential class, and else only its own classes
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
    keys = [ordered_keys(bits) for bits in (both_bits, first_bits, second_bits)]
    both, origin = _analyse(keys[0], depth, height, width, by_cells, not by_cells)
    volumes = [_analyse(key, depth, height, width, by_cells, by_cells)[0] for key in keys[1:]]
    n_keys = max(_sizes(both))
    all_bars = []
    for volume, links in zip(volumes, _link(volumes, both, by_cells), strict=True):
        bars = _bars(volume, links, origin, by_cells)
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
