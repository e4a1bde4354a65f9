"""Pairing of the voxels of a volume in all dimensions (vertex construction), from the links of the voxels.

Dimensions 0 and 2 merge basins over saddles; dimension 1 pushes loops down through lower links and adds them
where they meet at a birth: the Morse complex of Robins, Wood, Sheppard (2011), whose flow is never stored.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from topodl.kernels._compile import kernel
from topodl.kernels._merge_tree import merge_by_age
from topodl.kernels._radix import radix_argsort

__all__ = ["pair_voxels", "warm_up"]

# The 26 neighbours in memory order; bit j of a mask is set where neighbour j comes earlier than the voxel.
_OFFSETS = np.array([o for o in itertools.product((-1, 0, 1), repeat=3) if any(o)])
# The link of a voxel is an octahedron: 6 corners (axis neighbours), 12 edges (squares), 8 triangles (cubes).
_CORNERS = np.array([o for o in _OFFSETS if np.abs(o).sum() == 1])
_EDGES = np.array([o for o in _OFFSETS if np.abs(o).sum() == 2])
_TRIANGLES = np.array([o for o in _OFFSETS if np.abs(o).sum() == 3])


def _index_of(offset: Any, among: Any) -> int:
    return int(np.flatnonzero((among == offset).all(axis=1))[0])


def _parts(offset: Any) -> list[Any]:
    """Return the axis steps that add up to `offset`."""
    return [np.where(np.arange(3) == axis, offset, 0) for axis in range(3) if offset[axis]]


_CORNER_BITS = np.array([_index_of(o, _OFFSETS) for o in _CORNERS])
_EDGE_BITS = np.array([_index_of(o, _OFFSETS) for o in _EDGES])
_TRIANGLE_BITS = np.array([_index_of(o, _OFFSETS) for o in _TRIANGLES])
_EDGE_ENDS = np.array([[_index_of(p, _CORNERS) for p in _parts(o)] for o in _EDGES])
_TRIANGLE_EDGES = np.array([[_index_of(o - p, _EDGES) for p in _parts(o)] for o in _TRIANGLES])
# Bits of the seven neighbours in the octant of each triangle.
_OCTANTS = np.array(
    [sum(1 << j for j, p in enumerate(_OFFSETS) if ((p == 0) | (p == o)).all()) for o in _TRIANGLES]
)
_OPPOSITE = np.array([_index_of(-o, _CORNERS) for o in _CORNERS])


def _spread_labels(n: int, pairs: Any, joined: Any) -> Any:
    """Return (4096, n): the smallest of the nodes that `joined` (4096, pairs) `pairs` connect to each node."""
    label = np.tile(np.arange(n), (4096, 1))
    for _ in range(n):
        for (a, b), present in zip(pairs, joined.T, strict=True):
            low = np.minimum(label[:, a], label[:, b])
            for node in (a, b):
                label[:, node] = np.where(present, low, label[:, node])
    return label


def _shortest_paths(present: Any, label: Any) -> Any:
    """Return (4096, 6): the edges (bits) of a shortest path from each corner to the one that labels it."""
    paths = np.zeros((4096, 6), np.uint16)
    reached = label == np.arange(6)
    for _ in range(5):
        before = reached.copy()
        for e, (a, b) in enumerate(_EDGE_ENDS):
            for near, far in ((a, b), (b, a)):
                new = present[:, e] & before[:, near] & ~reached[:, far]
                paths[new, far] = paths[new, near] | np.uint16(1 << e)
                reached[new, far] = True
    return paths


_PRESENT = (np.arange(4096)[:, None] >> np.arange(12) & 1).astype(bool)
_SIDES = [np.flatnonzero((_TRIANGLE_EDGES == e).any(axis=1)) for e in range(12)]
# By the edges in a link (12 bits): components of its corners, and of its triangles across missing edges (these
# are what the link leaves open); bits of the nodes that name a component; paths to the naming corner.
_CORNER_LABELS = _spread_labels(6, _EDGE_ENDS, _PRESENT).astype(np.uint8)
_TRIANGLE_LABELS = _spread_labels(8, _SIDES, ~_PRESENT).astype(np.uint8)
_CORNER_NAMES = ((_CORNER_LABELS == np.arange(6)) << np.arange(6)).sum(axis=1).astype(np.uint8)
_TRIANGLE_NAMES = ((_TRIANGLE_LABELS == np.arange(8)) << np.arange(8)).sum(axis=1).astype(np.uint8)
_PATHS = _shortest_paths(_PRESENT, _CORNER_LABELS)
_TRIANGLE_EDGE_MASKS = (1 << _TRIANGLE_EDGES).sum(axis=1)
# Position of the only set bit of a word, by the word modulo 67: the powers of two differ there.
_BIT_OF = np.zeros(67, np.uint8)
_BIT_OF[[pow(2, b, 67) for b in range(64)]] = np.arange(64)


@kernel
def lowest_bit(word: Any) -> Any:
    """Return the position of the lowest set bit of a non-zero uint64."""
    return np.int64(_BIT_OF[(word & (~word + np.uint64(1))) % np.uint64(67)])


@kernel
def pair_voxels(rank: Any, order: Any, height: int, width: int, dim0: bool, dim1: bool, dim2: bool) -> Any:
    """Return (births0, deaths0, births1, deaths1, births2, deaths2), the voxels of all pairs.

    `rank` (int32, flat) is the place of each voxel in the order, of a volume of rows of `width` and planes of
    `height` rows; a border one voxel thick has ranks above all others. `order` lists the voxels by rank. The
    first pair of dimension 0 is the essential class; its death is −1.
    """
    masks, links = _earlier_neighbours(rank, height, width)
    steps26 = (_OFFSETS[:, 0] * height + _OFFSETS[:, 1]) * width + _OFFSETS[:, 2]
    steps6 = steps26[_CORNER_BITS]
    minima, maxima, lower, upper = _critical_voxels(links, rank, order.size)
    label = np.zeros(rank.size, np.int32)
    none = np.empty(0, np.int64)
    births0, deaths0, births1, deaths1, births2, deaths2 = none, none, none, none, none, none
    lower_merged = np.zeros(lower.shape[0], np.bool_)
    upper_merged = np.zeros(upper.shape[0], np.bool_)
    if dim0 or dim1:
        ends = _lower_ends(lower, links, minima, label, steps6)
        dies_at = merge_by_age(ends, rank[lower[:, 0]].astype(np.int64), rank[minima].astype(np.int64))
        births0, deaths0 = _pairs_of(dies_at, minima, lower, lower_merged)
        label[:] = 0
    if dim1 or dim2:
        ends = _upper_ends(upper, masks, maxima, label, steps26, rank, order.size)
        ages = np.empty(maxima.size, np.int64)  # node 0 is the outside
        ages[0] = -np.int64(rank.size)
        ages[1:] = -rank[maxima[1:]].astype(np.int64)
        dies_at = merge_by_age(ends, -rank[upper[:, 0]].astype(np.int64), ages)
        deaths2, births2 = _pairs_of(dies_at, maxima, upper, upper_merged)
        deaths2, births2 = deaths2[1:], births2[1:]
    if dim1:
        loops = upper[~upper_merged]
        births1, deaths1 = _pair_loops(loops, lower, lower_merged, links, rank, order, steps26)
    return births0, deaths0, births1, deaths1, births2, deaths2


@kernel
def _earlier_neighbours(rank: Any, height: int, width: int) -> Any:
    """Return the masks of earlier neighbours, and the links: 6 bits of corners, 12 of edges, 8 of triangles."""
    n = rank.size
    masks, links = np.zeros(n, np.int32), np.zeros(n, np.int32)
    margin = (height + 1) * width + 1
    block = 4096  # of a size that stays in the first-level cache
    for start in range(margin, n - margin, block):
        size = min(block, n - margin - start)
        mask, link, centre = masks[start:], links[start:], rank[start:]
        for j in range(26):
            step = (_OFFSETS[j, 0] * height + _OFFSETS[j, 1]) * width + _OFFSETS[j, 2]
            other = rank[start + step :]
            for i in range(size):
                mask[i] |= np.int32(other[i] < centre[i]) << np.int32(j)
        for c in range(6):
            a = np.int32(_CORNER_BITS[c])
            for i in range(size):
                link[i] |= ((mask[i] >> a) & np.int32(1)) << np.int32(c)
        for e in range(12):
            a, b = np.int32(_EDGE_ENDS[e, 0]), np.int32(_EDGE_ENDS[e, 1])
            d = np.int32(_EDGE_BITS[e])
            for i in range(size):
                bit = (link[i] >> a) & (link[i] >> b) & (mask[i] >> d) & np.int32(1)
                link[i] |= bit << np.int32(6 + e)
        for t in range(8):
            octant = np.int32(_OCTANTS[t])
            for i in range(size):
                link[i] |= np.int32((mask[i] & octant) == octant) << np.int32(18 + t)
    return masks, links


@kernel
def _components(link: Any) -> Any:
    """Return the corners that name the components of a link, and the triangles that name what it leaves open."""
    edges = (link >> 6) & 4095
    corners = np.int64(_CORNER_NAMES[edges]) & link & 63
    return corners, np.int64(_TRIANGLE_NAMES[edges]) & ~(link >> 18) & 255


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
    maxima[0] = -1
    return minima, maxima, lower, upper


@kernel
def _count_bits(word: int) -> int:
    count = 0
    while word:
        word &= word - 1
        count += 1
    return count


@kernel
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
def _upper_ends(
    joins: Any, masks: Any, maxima: Any, label: Any, steps26: Any, rank: Any, n: int
) -> Any:
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
            octant = np.int32(_OCTANTS[joins[e, 1 + side]])
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
def _pairs_of(dies_at: Any, nodes: Any, joins: Any, merged: Any) -> Any:
    """Return the voxels (of the nodes, where they die), the one that never does first; mark joins that merge."""
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


# Dimension 1. A chain of edges lies in `germ`: at each voxel the bits of its edges to earlier neighbours. The voxels
# that have any are bits of `tree`, by descending rank, under levels of words that say which words are not zero.


@kernel
def _tree_levels(n: int) -> Any:
    """Return where each level of words over `n` bits starts, the leaves first, and the end of the last."""
    starts = np.zeros(8, np.int64)
    level = 0
    while True:
        n = (n + 63) // 64
        starts[level + 1] = starts[level] + n
        level += 1
        if n == 1:
            return starts[: level + 1].copy()


@kernel
def _tree_add(tree: Any, levels: Any, bit: int) -> bool:
    """Set a bit; return whether it was not yet set."""
    for level in range(levels.size - 1):
        at, flag = levels[level] + (bit >> 6), np.uint64(1) << np.uint64(bit & 63)
        before = tree[at]
        tree[at] = before | flag
        if before != 0:
            return level > 0 or (before & flag) == 0
        bit >>= 6
    return True


@kernel
def _tree_remove(tree: Any, levels: Any, bit: int) -> None:
    for level in range(levels.size - 1):
        at = levels[level] + (bit >> 6)
        tree[at] &= ~(np.uint64(1) << np.uint64(bit & 63))
        if tree[at] != 0:
            return
        bit >>= 6


@kernel
def _tree_first(tree: Any, levels: Any) -> Any:
    """Return the lowest set bit, −1 if there is none."""
    at = np.int64(0)
    for level in range(levels.size - 2, -1, -1):
        word = tree[levels[level] + at]
        if word == 0:
            return np.int64(-1)
        at = at * 64 + lowest_bit(word)
    return at


@kernel
def _toggle(voxel: int, edges: int, chain: Any) -> None:
    """Add edges of one voxel to the chain modulo 2."""
    germ, rank, tree, levels, touched, n_touched, n = chain
    germ[voxel] ^= np.uint8(edges)
    if _tree_add(tree, levels, n - 1 - rank[voxel]):
        touched[n_touched[0]] = voxel
        n_touched[0] += 1


@kernel
def _toggle_link(voxel: int, link_edges: int, chain: Any, steps26: Any) -> None:
    """Add, for each of the `link_edges` (squares at the voxel), the two sides that do not touch the voxel."""
    rank = chain[1]
    while link_edges:
        e = lowest_bit(np.uint64(link_edges))
        link_edges &= link_edges - 1
        far = voxel + steps26[_EDGE_BITS[e]]
        for side in range(2):
            near = voxel + steps26[_CORNER_BITS[_EDGE_ENDS[e, side]]]
            onward = _EDGE_ENDS[e, 1 - side]
            if rank[far] > rank[near]:
                _toggle(far, 1 << _OPPOSITE[onward], chain)
            else:
                _toggle(near, 1 << onward, chain)


@kernel
def _open_join(voxel: int, edges: int, link: int, joins: Any, merged: Any, first_join: Any) -> Any:
    """Return the first join of the voxel that created a loop and that the edges at the voxel cross; −1: none."""
    join = first_join[voxel]
    if join < 0:
        return -1
    labels = _CORNER_LABELS[(link >> 6) & 4095]
    while join < joins.shape[0] and joins[join, 0] == voxel:
        if not merged[join]:
            crossings = 0
            for corner in range(6):
                if edges >> corner & 1 and labels[corner] == joins[join, 2]:
                    crossings ^= 1
            if crossings:
                return join
        join += 1
    return -1


@kernel
def _bypass(edges: int, link: int) -> int:
    """Return the link edges that join the given corners of a link in pairs."""
    paths = _PATHS[(link >> 6) & 4095]
    path = 0
    while edges:
        path ^= np.int64(paths[lowest_bit(np.uint64(edges))])
        edges &= edges - 1
    return path


@kernel
def _loop_around(triangle: int, link: int) -> int:
    """Return the link edges around the open component with the name `triangle`."""
    labels = _TRIANGLE_LABELS[(link >> 6) & 4095]
    around = 0
    for t in range(8):
        if labels[t] == triangle:
            around ^= _TRIANGLE_EDGE_MASKS[t]
    return around


@kernel
def _pair_loops(
    loops: Any, joins: Any, merged: Any, links: Any, rank: Any, order: Any, steps26: Any
) -> Any:
    """Return (births, deaths) of dimension 1: `loops` die in their order at the joins that their chains reach.

    The chain of a loop is pushed down until its highest voxel is one whose join created a loop; if another
    chain owns that join, it is added, and so on.
    """
    n = order.size
    first_join = np.full(rank.size, -1, np.int32)
    for j in range(joins.shape[0] - 1, -1, -1):
        first_join[joins[j, 0]] = j
    levels = _tree_levels(n)
    tree = np.zeros(levels[-1], np.uint64)
    touched, n_touched = np.empty(n, np.int32), np.zeros(1, np.int64)
    germ = np.zeros(rank.size, np.uint8)
    chain = (germ, rank, tree, levels, touched, n_touched, n)
    owner = np.full(joins.shape[0], -1, np.int64)
    ends = np.zeros(loops.shape[0] + 1, np.int64)  # where each stored chain ends
    voxels, edges = np.empty(1024, np.int32), np.empty(1024, np.uint8)
    births, deaths = np.empty(loops.shape[0], np.int64), np.empty(loops.shape[0], np.int64)
    turn = radix_argsort(rank[loops[:, 0]].astype(np.int64))
    for i in range(turn.size):
        voxel = np.int64(loops[turn[i], 0])
        deaths[i] = voxel
        _toggle_link(voxel, _loop_around(loops[turn[i], 2], links[voxel]), chain, steps26)
        while True:
            first = _tree_first(tree, levels)
            voxel = np.int64(order[n - 1 - first])
            join = _open_join(voxel, germ[voxel], links[voxel], joins, merged, first_join)
            if join < 0:
                path = _bypass(germ[voxel], links[voxel])
                germ[voxel] = 0
                _tree_remove(tree, levels, first)
                _toggle_link(voxel, path, chain, steps26)
            elif owner[join] < 0:
                break
            else:
                for k in range(ends[owner[join]], ends[owner[join] + 1]):
                    _toggle(np.int64(voxels[k]), edges[k], chain)
        owner[join] = i
        births[i] = voxel
        voxels, edges = _store_chain(chain, voxels, edges, ends, i)
    return births, deaths


@kernel
def _store_chain(chain: Any, voxels: Any, edges: Any, ends: Any, i: int) -> Any:
    """Move the chain to the end of the stored ones, and return their arrays, larger if need be."""
    germ, rank, tree, levels, touched, n_touched, n = chain
    start = ends[i]
    while start + n_touched[0] > voxels.size:
        voxels = np.concatenate((voxels, np.empty_like(voxels)))
        edges = np.concatenate((edges, np.empty_like(edges)))
    for k in range(n_touched[0]):
        voxel = touched[k]
        if germ[voxel]:
            voxels[start], edges[start] = voxel, germ[voxel]
            start += 1
            germ[voxel] = 0
        bit = n - 1 - rank[voxel]
        for level in range(levels.size - 1):
            bit >>= 6
            tree[levels[level] + bit] = 0
    ends[i + 1] = start
    n_touched[0] = 0
    return voxels, edges


def warm_up() -> None:
    """Compile the kernels."""
    rank = np.full((4, 4, 4), 99, np.int32)
    rank[1:3, 1:3, 1:3] = np.arange(8).reshape(2, 2, 2)
    order = np.flatnonzero(rank.ravel() < 8).astype(np.int32)
    pair_voxels(rank.ravel(), order, 4, 4, True, True, True)
