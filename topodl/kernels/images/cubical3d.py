"""Pairing of the voxels of a volume in all dimensions (vertex construction), from the links of the voxels.

Dimensions 0 and 2 merge basins over saddles, dimension 1 reduces what flows from critical squares to critical
edges: the Morse complex of Robins, Wood, Sheppard (2011). Only critical voxels are sorted. Cost: O(n), and
the reduction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.images._voxel_flow import keep_rivals, pairs_of_loops, reduce_loops
from topodl.kernels.images._voxel_links import (
    COFACES,
    CORNER_NAMES,
    OCTANTS,
    OFFSETS,
    OUTSIDE,
    TRIANGLE_NAMES,
    lowest_bit,
)
from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.merge_tree import merge_by_age
from topodl.kernels.shared.pool import map_batch, split
from topodl.kernels.shared.radix import ordered_key

__all__ = ["pair_voxels", "warm_up"]

_WORDS_A_VOXEL = 4  # for what flows where
_LEAST_VOXELS, _LEAST_SQUARES = 1 << 16, 256  # that are worth a thread
_MOST_COPIES = 1 << 27  # voxels in the tables of all threads, of up to 16 bytes each
OUTSIDE_AGE = np.iinfo(np.int64).min  # the age of what is older than all


def pair_voxels(
    bits: Any, depth: int, height: int, width: int, dual: bool, dims: tuple[bool, bool, bool]
) -> list[Any]:
    """Return (births, deaths) of the pairs of voxels of different values, for each dimension that is wanted.

    `bits` are the values, flat, read as signed integers; voxels are ordered by (value, flat index). With
    `dual`, this order is reversed, and a shell of earlier voxels lies around the volume: dimension k in it is
    2 − k of the cell construction. Voxels of the shell are −1, and so is the death of the essential class.
    """
    margin = 2 if dual else 1
    rows, columns = height + 2 * margin, width + 2 * margin
    keys = np.empty((depth + 2 * margin) * rows * columns, bits.dtype)
    pad_keys(bits, depth, height, width, dual, keys)
    steps = (OFFSETS[:, 0] * rows + OFFSETS[:, 1]) * columns + OFFSETS[:, 2]
    links = lower_links(keys, steps)
    minima, maxima, lower, upper = critical_voxels(links)
    lower_keys, upper_keys = keys_at(keys, lower[:, 0]), keys_at(keys, upper[:, 0])
    none = np.empty(0, np.int64)
    pairs = [(none, none)] * 3
    lower_merged, upper_merged = np.zeros(lower.shape[0], np.bool_), np.zeros(upper.shape[0], np.bool_)

    def pair_minima() -> None:
        ends = lower_ends(lower, links, minima, np.zeros(keys.size, np.int32), steps)
        ages = keys_at(keys, minima)
        dies_at = merge_by_age(ends, lower_keys, ages)
        pairs[0] = pairs_of(dies_at, minima, ages, lower, lower_keys, lower_merged)

    def pair_maxima() -> None:
        ends = upper_ends(upper, links, maxima, np.zeros(keys.size, np.int32), steps)
        ages = ~keys_at(keys, maxima)  # descending, and no number overflows
        ages[0] = OUTSIDE_AGE
        dies_at = merge_by_age(ends, ~upper_keys, ages)
        deaths, births = pairs_of(dies_at, maxima, ages, upper, ~upper_keys, upper_merged)
        pairs[2] = births[1:], deaths[1:]

    wanted = (dims[0] or dims[1], pair_minima), (dims[1] or dims[2], pair_maxima)
    map_batch(lambda pair: pair(), [pair for is_wanted, pair in wanted if is_wanted])
    if dims[1]:
        squares, joins = (upper, upper_merged, upper_keys), (lower, lower_merged, lower_keys)
        owner = _owners_of_loops(squares, joins, links, steps)
        pairs[1] = pairs_of_loops(owner, lower, lower_keys, upper, upper_keys)
    turned = 0 if dual else 2  # where extrema do not lie as in the volume
    pairs[turned] = pairs[turned][0][::-1], pairs[turned][1][::-1]
    shape = (depth, height, width)
    return [tuple(in_volume(ends, shape, dual) for ends in pair) for pair in pairs]


def _owners_of_loops(squares: Any, joins: Any, links: Any, steps: Any) -> Any:
    """Return the square that each join is paired with, −1 for none; both come with what is merged, and keys.

    Threads reduce the squares of a slab each. What they have found stays true of all squares, except where
    two slabs want the same edge.
    """
    n_squares, n_voxels = squares[0].shape[0], links.size
    slabs = split(n_squares, max(_LEAST_SQUARES, n_squares * n_voxels // _MOST_COPIES))

    def reduce_slab(slab: tuple[int, int]) -> Any:
        goals, known = np.empty(3 * n_voxels, np.int32), links if len(slabs) == 1 else links.copy()
        tables = known, goals, steps, room_of_flows(n_voxels) // len(slabs)
        return reduce_loops(*(*squares, *joins, *tables, *slab))[:3]

    owner, ends, stored = zip(*map_batch(reduce_slab, slabs), strict=True)
    if len(slabs) == 1:
        return owner[0]
    starts = np.cumsum([0, *(words.size for words in stored)])
    rivals = []
    for k, (first, last) in enumerate(slabs[1:], 1):
        rivals.append(owner[k][(owner[0] >= 0) & (owner[k] >= 0)])
        np.copyto(owner[0], owner[k], where=owner[0] < 0)
        ends[0][first:last] = ends[k][first:last] + starts[k]
    keep_rivals(np.concatenate(rivals), squares[2], owner[0], ends[0], np.concatenate(stored))
    return owner[0]


def room_of_flows(n_voxels: int) -> int:
    """Return how many words the flows of a volume may take before they are forgotten."""
    return min(_WORDS_A_VOXEL * n_voxels, 1 << 30)


def in_volume(voxels: Any, shape: tuple[int, int, int], dual: bool) -> Any:
    """Return the flat indices in the volume of voxels of the padded one; −1 for those outside, and for −1."""
    margin = 2 if dual else 1
    rows, columns = shape[1] + 2 * margin, shape[2] + 2 * margin
    plane, x = np.divmod(voxels, columns)
    z, y = np.divmod(plane, rows)
    flat, inside = np.zeros_like(voxels), voxels >= 0
    for index, size in zip((z, y, x), shape, strict=True):
        flat = flat * size + (index - margin)
        inside &= (index >= margin) & (index < size + margin)
    return np.where(inside, shape[0] * shape[1] * shape[2] - 1 - flat if dual else flat, -1)


@kernel
def pad_keys(bits: Any, depth: int, height: int, width: int, dual: bool, keys: Any) -> None:
    """Write the `ordered_key` of every voxel to `keys`, in a border of later voxels.

    With `dual`, the volume is turned round its centre, which reverses the order of equal voxels, its keys are
    negated, and a shell of earlier voxels lies between volume and border.
    """
    margin = 2 if dual else 1
    rows, columns = height + 2 * margin, width + 2 * margin
    top = 8 * bits.itemsize - 1
    latest = (np.int64(1) << np.int64(top - 1)) - 1 + (np.int64(1) << np.int64(top - 1))
    for i in range(keys.size):
        keys[i] = latest
    if dual:
        for z in range(1, depth + 3):
            for y in range(1, height + 3):
                start = (z * rows + y) * columns
                for x in range(1, width + 3):
                    keys[start + x] = -latest - 1
    for z in range(depth):
        for y in range(height):
            start = ((z + margin) * rows + y + margin) * columns + margin
            row = (z * height + y) * width
            if dual:
                row = bits.size - row - width
                for x in range(width):
                    keys[start + x] = -ordered_key(bits, row + width - 1 - x)
            else:
                for x in range(width):
                    keys[start + x] = ordered_key(bits, row + x)


def lower_links(keys: Any, steps: Any) -> Any:
    """Return the words of lower links of all voxels by (key, index), `OUTSIDE` for those of the border.

    With negated `steps`, the words of a volume that is turned round name directions as before the turn.
    """
    links, margin = np.empty(keys.size, np.int32), abs(steps[25])
    links[:margin] = links[-margin:] = OUTSIDE

    def write(slab: tuple[int, int]) -> None:
        lower_links_between(keys, steps, links, margin + slab[0], margin + slab[1])

    map_batch(write, split(keys.size - 2 * margin, _LEAST_VOXELS))
    return links


@kernel
def lower_links_between(keys: Any, steps: Any, links: Any, first: int, last: int) -> None:
    """Write the words of the voxels from `first` to `last`, where no neighbour is out of bounds."""
    border = keys[0]
    block = 1024  # no branches, so that it vectorises, and of a size that stays in the first-level cache
    for start in range(first, last, block):
        size = min(block, last - start)
        link, centre = links[start : start + size], keys[start : start + size]
        for i in range(size):
            link[i] = 0
        for j in range(26):
            other = keys[start + steps[j] : start + steps[j] + size]
            shift = np.int32(j)
            if steps[j] < 0:
                for i in range(size):
                    link[i] |= np.int32(other[i] <= centre[i]) << shift
            else:
                for i in range(size):
                    link[i] |= np.int32(other[i] < centre[i]) << shift
        for j in range(18):
            cofaces, shift = np.int32(~COFACES[j]), np.int32(j)
            for i in range(size):
                link[i] &= cofaces | -((link[i] >> shift) & np.int32(1))
        for i in range(size):
            link[i] = np.int32(OUTSIDE) if centre[i] == border else link[i]


@borrowing_subroutine
def _components(link: Any) -> Any:
    """Return the corners that name a link's components, and the triangles that name what it leaves open."""
    edges = (link >> 6) & 4095
    corners = np.int64(CORNER_NAMES[edges]) & link & 63
    return corners, np.int64(TRIANGLE_NAMES[edges]) & ~(link >> 18) & 255


def critical_voxels(links: Any) -> Any:
    """Return minima, maxima (after a place for the outside), and one row for each join that a saddle offers.

    A row (voxel, name of one component, name of the next) stands for an edge that joins two components of the
    lower link, or for a square between two components of what the link leaves open. Voxels of maxima and of
    their joins come in descending order, which is theirs where values are equal; rows of one voxel ascend.
    """
    slabs = split(links.size, _LEAST_VOXELS)
    parts = map_batch(lambda slab: critical_voxels_between(links, *slab), slabs)
    if len(parts) == 1:
        return parts[0]
    minima, maxima, lower, upper = zip(*parts, strict=True)
    ends = (maxima[0][:1], *(own[1:] for own in maxima[::-1]))
    return np.concatenate(minima), np.concatenate(ends), np.concatenate(lower), np.concatenate(upper[::-1])


@kernel
def critical_voxels_between(links: Any, first: int, last: int) -> Any:
    """Return what `critical_voxels` does, of the voxels from `first` to `last`."""
    critical = np.empty(last - first, np.int32)
    n_critical = 0
    n_min, n_max, n_lower, n_upper = 0, 0, 0, 0
    for p in range(first, last):
        corners, triangles = _components(np.int64(links[p]))
        # A word with a single bit has none in common with its predecessor; an empty one is 0 itself.
        regular = (corners & (corners - 1)) | (triangles & (triangles - 1))
        if regular != 0 or corners == 0 or triangles == 0:
            critical[n_critical] = p
            n_critical += 1
            n_min += corners == 0
            n_max += triangles == 0
            n_lower += _count_joins(corners)
            n_upper += _count_joins(triangles)
    minima, maxima = np.empty(n_min, np.int32), np.empty(n_max + 1, np.int32)
    lower, upper = np.empty((n_lower, 3), np.int32), np.empty((n_upper, 3), np.int32)
    maxima[0] = 0  # a corner of the border
    n_min, n_lower = 0, 0
    for p in critical[:n_critical]:
        corners, triangles = _components(np.int64(links[p]))
        if corners == 0:
            minima[n_min] = p
            n_min += 1
        if triangles == 0:
            maxima[n_max] = p
            n_max -= 1
        n_lower = _add_joins(lower, n_lower, p, corners)
        n_upper -= _count_joins(triangles)
        _add_joins(upper, n_upper, p, triangles)
    return minima, maxima, lower, upper


@borrowing_subroutine
def _count_joins(names: int) -> int:
    count = -1
    while names:
        names &= names - 1
        count += 1
    return max(count, 0)


@borrowing_subroutine
def _add_joins(joins: Any, n: int, voxel: int, names: int) -> int:
    """Write the joins between the components with the `names`, from row `n` on; return the next row."""
    while names & (names - 1):
        name = lowest_bit(np.uint64(names))
        names &= names - 1
        joins[n, 0], joins[n, 1], joins[n, 2] = voxel, name, lowest_bit(np.uint64(names))
        n += 1
    return n


@kernel
def lower_ends(joins: Any, links: Any, minima: Any, label: Any, steps: Any) -> Any:
    """Return the two minima that each lower join leads down to."""
    for i in range(minima.size):
        label[minima[i]] = i + 1
    ends = np.empty((joins.shape[0], 2), np.int32)
    for e in range(joins.shape[0]):
        for side in range(2):
            start = joins[e, 0] + steps[joins[e, 1 + side]]
            p = start
            while label[p] == 0:
                p += steps[lowest_bit(np.uint64(links[p] & 63))]
            found = label[p]
            p = start
            while label[p] == 0:
                label[p] = found
                p += steps[lowest_bit(np.uint64(links[p] & 63))]
            ends[e, side] = found - 1
    return ends


@kernel
def upper_ends(joins: Any, links: Any, maxima: Any, label: Any, steps: Any) -> Any:
    """Return the two maxima that each upper join leads up to; number 0 is the outside.

    The first neighbour that is not in a link comes later: what could keep it out are earlier neighbours.
    """
    for i in range(1, maxima.size):
        label[maxima[i]] = i + 1
    for p in range(links.size):
        if links[p] == OUTSIDE:
            label[p] = 1
    ends = np.empty((joins.shape[0], 2), np.int32)
    for e in range(joins.shape[0]):
        for side in range(2):
            p = joins[e, 0]
            octant = np.int64(OCTANTS[joins[e, 1 + side]])
            start = p + steps[lowest_bit(np.uint64(~np.int64(links[p]) & octant))]
            p = start
            while label[p] == 0:
                p += steps[lowest_bit(np.uint64(~np.int64(links[p])))]
            found = label[p]
            p = start
            while label[p] == 0:
                label[p] = found
                p += steps[lowest_bit(np.uint64(~np.int64(links[p])))]
            ends[e, side] = found - 1
    return ends


@kernel
def keys_at(keys: Any, voxels: Any) -> Any:
    """Return the keys of voxels, int64."""
    found = np.empty(voxels.size, np.int64)
    for i in range(voxels.size):
        found[i] = keys[voxels[i]]
    return found


@kernel
def pairs_of(dies_at: Any, nodes: Any, ages: Any, joins: Any, keys: Any, merged: Any) -> Any:
    """Return the voxels of nodes and of their deaths, where these differ in age; mark joins that merge.

    The node that never dies comes first.
    """
    born, died = np.empty(nodes.size, np.int64), np.empty(nodes.size, np.int64)
    n = 1
    for i in range(nodes.size):
        if dies_at[i] < 0:
            born[0], died[0] = nodes[i], -1
            continue
        merged[dies_at[i]] = True
        born[n], died[n] = nodes[i], joins[dies_at[i], 0]
        n += ages[i] != keys[dies_at[i]]
    return born[:n], died[:n]


def warm_up() -> None:
    """Compile the kernels."""
    for integer in (np.int32, np.int64):
        pair_voxels(np.arange(8).astype(integer), 2, 2, 2, False, (True, True, True))
    owner, ends = np.empty(0, np.int32), np.empty((0, 2), np.int64)
    keep_rivals(owner, ends[:, 0].copy(), owner, ends, ends[:, 0].copy())
