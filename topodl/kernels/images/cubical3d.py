"""Pairing of the voxels of a volume in all dimensions (vertex construction), from the links of the voxels.

Dimensions 0 and 2 merge basins over saddles; dimension 1 pushes loops down through lower links and adds them
where they meet at a birth: the Morse complex of Robins, Wood, Sheppard (2011), whose flow is never stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.images._voxel_links import (
    CORNER_BITS,
    CORNER_NAMES,
    EDGE_BITS,
    EDGE_ENDS,
    OCTANTS,
    OFFSETS,
    TRIANGLE_NAMES,
    lowest_bit,
)
from topodl.kernels.images._voxel_loops import pair_loops
from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.merge_tree import merge_by_age
from topodl.kernels.shared.radix import ordered_keys, radix_argsort

__all__ = ["pair_voxels", "rank_voxels", "warm_up"]


@kernel
def rank_voxels(keys: Any, depth: int, height: int, width: int, dual: bool) -> Any:
    """Return (rank, order, origin) of the voxels of a volume of floats, in a border of later voxels.

    `keys` are the values, flat, as `ordered_keys` gives them, `rank` and `order` what `pair_voxels` takes;
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
def pair_voxels(rank: Any, order: Any, height: int, width: int, dim0: bool, dim1: bool, dim2: bool) -> Any:
    """Return (births0, deaths0, births1, deaths1, births2, deaths2), the voxels of all pairs.

    `rank` (int32, flat) is the place of each voxel in the order, of a volume of rows of `width` and planes of
    `height` rows; a border one voxel thick has ranks above all others. `order` lists the voxels by rank. The
    first pair of dimension 0 is the essential class; its death is −1.
    """
    masks, links = _earlier_neighbours(rank, height, width)
    steps26 = (OFFSETS[:, 0] * height + OFFSETS[:, 1]) * width + OFFSETS[:, 2]
    steps6 = steps26[CORNER_BITS]
    minima, maxima, lower, upper = _critical_voxels(links, rank, order.size)
    label = zeros(rank.size, np.int32)
    none = zeros(0, np.int64)
    births0, deaths0, births1, deaths1, births2, deaths2 = none, none, none, none, none, none
    lower_merged = zeros(lower.shape[0], np.bool_)
    upper_merged = zeros(upper.shape[0], np.bool_)
    if dim0 or dim1:
        ends = _lower_ends(lower, links, minima, label, steps6)
        dies_at = merge_by_age(ends, _ranks_of(lower[:, 0], rank, 1), _ranks_of(minima, rank, 1))
        births0, deaths0 = _pairs_of(dies_at, minima, lower, lower_merged)
        label[:] = 0
    if dim1 or dim2:
        ends = _upper_ends(upper, masks, maxima, label, steps26, rank, order.size)
        dies_at = merge_by_age(ends, _ranks_of(upper[:, 0], rank, -1), _ranks_of(maxima, rank, -1))
        deaths2, births2 = _pairs_of(dies_at, maxima, upper, upper_merged)
        deaths2, births2 = deaths2[1:], births2[1:]
    if dim1:
        births1, deaths1 = pair_loops(upper, upper_merged, lower, lower_merged, links, rank, order, steps26)
    return births0, deaths0, births1, deaths1, births2, deaths2


@kernel
def _earlier_neighbours(rank: Any, height: int, width: int) -> Any:
    """Return the masks of earlier neighbours and the words of lower links, of each voxel."""
    n = rank.size
    masks, links = zeros(n, np.int32), zeros(n, np.int32)
    margin = (height + 1) * width + 1
    block = 4096  # of a size that stays in the first-level cache
    for start in range(margin, n - margin, block):
        size = min(block, n - margin - start)
        mask, link, centre = masks[start:], links[start:], rank[start:]
        for j in range(26):
            step = (OFFSETS[j, 0] * height + OFFSETS[j, 1]) * width + OFFSETS[j, 2]
            other = rank[start + step :]
            for i in range(size):
                mask[i] |= np.int32(other[i] < centre[i]) << np.int32(j)
        for c in range(6):
            a = np.int32(CORNER_BITS[c])
            for i in range(size):
                link[i] |= ((mask[i] >> a) & np.int32(1)) << np.int32(c)
        for e in range(12):
            a, b = np.int32(EDGE_ENDS[e, 0]), np.int32(EDGE_ENDS[e, 1])
            d = np.int32(EDGE_BITS[e])
            for i in range(size):
                bit = (link[i] >> a) & (link[i] >> b) & (mask[i] >> d) & np.int32(1)
                link[i] |= bit << np.int32(6 + e)
        for t in range(8):
            octant = np.int32(OCTANTS[t])
            for i in range(size):
                link[i] |= np.int32((mask[i] & octant) == octant) << np.int32(18 + t)
    return masks, links


@borrowing_subroutine
def _components(link: Any) -> Any:
    """Return the corners that name a link's components, and the triangles that name what it leaves open."""
    edges = (link >> 6) & 4095
    corners = np.int64(CORNER_NAMES[edges]) & link & 63
    return corners, np.int64(TRIANGLE_NAMES[edges]) & ~(link >> 18) & 255


@kernel
def _critical_voxels(links: Any, rank: Any, n: int) -> Any:
    """Return minima, maxima (after a place for the outside), and one row for each join that a saddle offers.

    A row (voxel, name of one component, name of the next) stands for an edge that joins two components of the
    lower link, or for a square between two components of what the link leaves open.
    """
    critical = np.empty(n, np.int32)
    n_critical = 0
    for p in range(links.size):
        corners, triangles = _components(np.int64(links[p]))
        # A word with a single bit has none in common with its predecessor; an empty one is 0 itself.
        regular = (corners & (corners - 1)) | (triangles & (triangles - 1))
        if rank[p] < n and (regular != 0 or corners == 0 or triangles == 0):
            critical[n_critical] = p
            n_critical += 1
    n_min, n_max, n_lower, n_upper = 0, 1, 0, 0
    for p in critical[:n_critical]:
        corners, triangles = _components(np.int64(links[p]))
        n_min += corners == 0
        n_max += triangles == 0
        n_lower += max(0, _count_bits(corners) - 1)
        n_upper += max(0, _count_bits(triangles) - 1)
    minima, maxima = np.empty(n_min, np.int32), np.empty(n_max, np.int32)
    lower, upper = np.empty((n_lower, 3), np.int32), np.empty((n_upper, 3), np.int32)
    n_min, n_max, n_lower, n_upper = 0, 1, 0, 0
    for p in critical[:n_critical]:
        corners, triangles = _components(np.int64(links[p]))
        if corners == 0:
            minima[n_min] = p
            n_min += 1
        if triangles == 0:
            maxima[n_max] = p
            n_max += 1
        n_lower = _add_joins(lower, n_lower, p, corners)
        n_upper = _add_joins(upper, n_upper, p, triangles)
    maxima[0] = 0  # a corner of the border, whose rank is above all others
    return minima, maxima, lower, upper


@borrowing_subroutine
def _count_bits(word: int) -> int:
    count = 0
    while word:
        word &= word - 1
        count += 1
    return count


@borrowing_subroutine
def _add_joins(joins: Any, n: int, voxel: int, names: int) -> int:
    previous = -1
    for name in range(8):
        if names >> name & 1:
            if previous >= 0:
                joins[n, 0], joins[n, 1], joins[n, 2] = voxel, previous, name
                n += 1
            previous = name
    return n


@kernel
def _lower_ends(joins: Any, links: Any, minima: Any, label: Any, steps6: Any) -> Any:
    """Return the two minima that each lower join leads down to."""
    for i in range(minima.size):
        label[minima[i]] = i + 1
    ends = np.empty((joins.shape[0], 2), np.int32)
    for e in range(joins.shape[0]):
        for side in range(2):
            start = joins[e, 0] + steps6[joins[e, 1 + side]]
            p = start
            while label[p] == 0:
                p += steps6[lowest_bit(np.uint64(links[p] & 63))]
            found = label[p]
            p = start
            while label[p] == 0:
                label[p] = found
                p += steps6[lowest_bit(np.uint64(links[p] & 63))]
            ends[e, side] = found - 1
    return ends


@kernel
def _upper_ends(joins: Any, masks: Any, maxima: Any, label: Any, steps26: Any, rank: Any, n: int) -> Any:
    """Return the two maxima that each upper join leads up to; number 0 is the outside."""
    everything = np.int32((1 << 26) - 1)
    for i in range(1, maxima.size):
        label[maxima[i]] = i + 1
    for p in range(rank.size):
        if rank[p] >= n:
            label[p] = 1
    ends = np.empty((joins.shape[0], 2), np.int32)
    for e in range(joins.shape[0]):
        for side in range(2):
            p = joins[e, 0]
            octant = np.int32(OCTANTS[joins[e, 1 + side]])
            start = p + steps26[lowest_bit(np.uint64(~masks[p] & octant))]
            p = start
            while label[p] == 0:
                p += steps26[lowest_bit(np.uint64(~masks[p] & everything))]
            found = label[p]
            p = start
            while label[p] == 0:
                label[p] = found
                p += steps26[lowest_bit(np.uint64(~masks[p] & everything))]
            ends[e, side] = found - 1
    return ends


@kernel
def _ranks_of(voxels: Any, rank: Any, sign: int) -> Any:
    ranks = np.empty(voxels.size, np.int64)
    for i in range(voxels.size):
        ranks[i] = sign * rank[voxels[i]]
    return ranks


@subroutine
def _pairs_of(dies_at: Any, nodes: Any, joins: Any, merged: Any) -> Any:
    """Return the voxels of nodes and of their deaths, one that never dies first; mark joins that merge."""
    born, died = np.empty(nodes.size, np.int64), np.empty(nodes.size, np.int64)
    n = 1
    for i in range(nodes.size):
        if dies_at[i] < 0:
            born[0], died[0] = nodes[i], -1
        else:
            born[n], died[n] = nodes[i], joins[dies_at[i], 0]
            merged[dies_at[i]] = True
            n += 1
    return born, died


def warm_up() -> None:
    """Compile the kernels."""
    for integer in (np.int32, np.int64):
        rank, order, _ = rank_voxels(ordered_keys(np.arange(8).astype(integer)), 2, 2, 2, False)
    pair_voxels(rank, order, 4, 4, True, True, True)
