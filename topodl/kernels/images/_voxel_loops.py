"""Chains of edges in volumes: loops pushed down through lower links, added where they meet at a birth.

This reduces the Morse complex of a discrete gradient (Robins, Wood, Sheppard 2011), whose flow is not stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.images._voxel_links import (
    CORNER_LABELS,
    EDGE_ENDS,
    PATHS,
    TRIANGLE_EDGE_MASKS,
    TRIANGLE_LABELS,
    lowest_bit,
)
from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.radix import radix_argsort

# A chain of edges lies in `germ`: at each voxel the bits of its edges to earlier neighbours. The voxels that
# have any are bits of `tree`, by descending rank, under levels of words that say which words are not zero.


@subroutine
def _tree_levels(n: int) -> Any:
    """Return where each level of words over `n` bits starts, the leaves first, and the end of the last."""
    starts = zeros(8, np.int64)
    level = 0
    while True:
        n = (n + 63) // 64
        starts[level + 1] = starts[level] + n
        level += 1
        if n == 1:
            return starts[: level + 1].copy()


@borrowing_subroutine
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


@borrowing_subroutine
def _tree_remove(tree: Any, levels: Any, bit: int) -> None:
    for level in range(levels.size - 1):
        at = levels[level] + (bit >> 6)
        tree[at] &= ~(np.uint64(1) << np.uint64(bit & 63))
        if tree[at] != 0:
            return
        bit >>= 6


@borrowing_subroutine
def _tree_first(tree: Any, levels: Any) -> Any:
    """Return the lowest set bit, −1 if there is none."""
    at = np.int64(0)
    for level in range(levels.size - 2, -1, -1):
        word = tree[levels[level] + at]
        if word == 0:
            return np.int64(-1)
        at = at * 64 + lowest_bit(word)
    return at


@borrowing_subroutine
def _toggle(voxel: Any, edges: Any, chain: Any) -> None:
    """Add edges of one voxel to the chain modulo 2."""
    germ, rank, tree, levels, touched, n_touched, n = chain
    germ[voxel] ^= np.uint8(edges)
    if _tree_add(tree, levels, n - 1 - rank[voxel]):
        touched[n_touched[0]] = voxel
        n_touched[0] += 1


@borrowing_subroutine
def _toggle_link(voxel: Any, link_edges: Any, chain: Any, steps26: Any) -> None:
    """Add, for each of the `link_edges` (squares at the voxel), the two sides that do not touch the voxel."""
    rank = chain[1]
    while link_edges:
        e = lowest_bit(np.uint64(link_edges))
        link_edges &= link_edges - 1
        far = voxel + steps26[6 + e]
        for side in range(2):
            near = voxel + steps26[EDGE_ENDS[e, side]]
            onward = EDGE_ENDS[e, 1 - side]
            if rank[far] > rank[near]:
                _toggle(far, 1 << (5 - onward), chain)
            else:
                _toggle(near, 1 << onward, chain)


@borrowing_subroutine
def _open_join(voxel: Any, edges: Any, link: Any, joins: Any, merged: Any, first_join: Any) -> Any:
    """Return the voxel's first join that created a loop and that its edges cross; −1 for none."""
    join = first_join[voxel]
    if join < 0:
        return -1
    labels = CORNER_LABELS[(link >> 6) & 4095]
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


@borrowing_subroutine
def _bypass(edges: Any, link: Any) -> Any:
    """Return the link edges that join the given corners of a link in pairs."""
    paths = PATHS[(link >> 6) & 4095]
    path = np.int64(0)
    while edges:
        path ^= np.int64(paths[lowest_bit(np.uint64(edges))])
        edges &= edges - 1
    return path


@borrowing_subroutine
def _loop_around(triangle: int, link: int) -> int:
    """Return the link edges around the open component with the name `triangle`."""
    labels = TRIANGLE_LABELS[(link >> 6) & 4095]
    around = 0
    for t in range(8):
        if labels[t] == triangle:
            around ^= TRIANGLE_EDGE_MASKS[t]
    return around


@kernel
def _in_turn(squares: Any, filled: Any, rank: Any) -> Any:
    """Return the squares that are not `filled`, by the rank of their voxels."""
    turn, keys = np.empty(squares.shape[0], np.int32), np.empty(squares.shape[0], np.int64)
    n = 0
    for i in range(squares.shape[0]):
        if not filled[i]:
            turn[n] = i
            keys[n] = rank[squares[i, 0]]
            n += 1
    order = radix_argsort(keys[:n])
    for i in range(n):
        order[i] = turn[order[i]]
    return order


@subroutine
def _store_chain(chain: Any, voxels: Any, edges: Any, ends: Any, i: int) -> Any:
    """Move the chain to the end of the stored ones, and return their arrays, larger if need be."""
    germ, rank, tree, levels, touched, n_touched, n = chain
    start = ends[i]
    if start + n_touched[0] > voxels.size:
        more_voxels = np.empty(2 * start + n_touched[0], np.int32)
        more_edges = np.empty(2 * start + n_touched[0], np.uint8)
        for k in range(start):
            more_voxels[k] = voxels[k]
            more_edges[k] = edges[k]
        voxels, edges = more_voxels, more_edges
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
