"""Chains of loops that are kept, so that loops of one volume can be pushed down through another.

The reduction is that of `_voxel_loops`; image persistence after Bauer & Schmahl 2022.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.images._voxel_links import EDGE_ENDS, lowest_bit
from topodl.kernels.images._voxel_loops import (
    _bypass,
    _loop_around,
    _open_join,
    _store_chain,
    _toggle,
    _tree_add,
    _tree_first,
    _tree_levels,
    _tree_remove,
)
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["Chains", "image_of_loops", "reduce_loops"]


class Chains(NamedTuple):
    """What pushes a chain down: the order, lower links, joins that close loops, and the chain of each bar.

    Bar i of dimension 1, in the order of deaths, has the chain from ``ends[i]`` to ``ends[i + 1]``. `owner`
    is the bar that is born at a join, −1 if there is none yet; `first_join` is the first join of a voxel.
    `left_out` has, for each voxel, the bits of edges that chains leave out.
    """

    rank: Any
    order: Any
    links: Any
    steps: Any
    joins: Any
    merged: Any
    left_out: Any
    first_join: Any
    owner: Any
    voxels: Any
    edges: Any
    ends: Any


@subroutine
def _new_chain(rank: Any, n: int) -> Any:
    levels = _tree_levels(n)
    return (
        np.zeros(rank.size, np.uint8), rank, np.zeros(levels[-1], np.uint64), levels,
        np.empty(n, np.int32), np.zeros(1, np.int64), n,
    )  # fmt: skip


@borrowing_subroutine
def _add_edges(voxel: Any, edges: Any, chain: Any, left_out: Any) -> None:
    kept = np.int64(edges) & ~np.int64(left_out[voxel])
    if kept:
        _toggle(voxel, kept, chain)


@borrowing_subroutine
def _add_link(voxel: Any, link_edges: Any, chain: Any, steps: Any, left_out: Any) -> None:
    """Add, for each of the `link_edges` (squares at the voxel), the two sides that do not touch the voxel."""
    rank = chain[1]
    while link_edges:
        e = lowest_bit(np.uint64(link_edges))
        link_edges &= link_edges - 1
        far = voxel + steps[6 + e]
        for side in range(2):
            near = voxel + steps[EDGE_ENDS[e, side]]
            onward = EDGE_ENDS[e, 1 - side]
            if rank[far] > rank[near]:
                _add_edges(far, 1 << (5 - onward), chain, left_out)
            else:
                _add_edges(near, 1 << onward, chain, left_out)


@borrowing_subroutine
def _push_down(chain: Any, chains: Any, added: Any) -> Any:
    """Push a chain down, adding bars' chains to it, until it is at a birth that no bar has, or is gone.

    Returns (voxel, join or −1, number of bars added); `added` receives the bars.
    """
    germ, _, tree, levels, _, _, n = chain
    _, order, links, steps, joins, merged, left_out, first_join, owner, voxels, edges, ends = chains
    n_added = 0
    while True:
        first = _tree_first(tree, levels)
        if first < 0:
            return np.int64(-1), np.int64(-1), n_added
        voxel = np.int64(order[n - 1 - first])
        join = np.int64(_open_join(voxel, germ[voxel], links[voxel], joins, merged, first_join))
        if join < 0:
            path = _bypass(germ[voxel], links[voxel])
            germ[voxel] = 0
            _tree_remove(tree, levels, first)
            _add_link(voxel, path, chain, steps, left_out)
            continue
        bar = owner[join]
        if bar < 0:
            return voxel, join, n_added
        added[n_added] = bar
        n_added += 1
        for k in range(ends[bar], ends[bar + 1]):
            _toggle(np.int64(voxels[k]), edges[k], chain)


@kernel
def reduce_loops(squares: Any, chains: Any) -> Any:
    """Return the births of the loops that `squares` close, in their order, and `chains` with theirs."""
    n = squares.shape[0]
    births, added = np.empty(n, np.int64), np.empty(n, np.int64)
    chain = _new_chain(chains.rank, chains.order.size)
    for i in range(n):
        voxel = np.int64(squares[i, 0])
        around = _loop_around(squares[i, 2], chains.links[voxel])
        _add_link(voxel, around, chain, chains.steps, chains.left_out)
        births[i], join, _ = _push_down(chain, chains, added)
        chains.owner[join] = i
        voxels, edges = _store_chain(chain, chains.voxels, chains.edges, chains.ends, i)
        if voxels.size > chains.voxels.size:
            chains = Chains(
                chains.rank, chains.order, chains.links, chains.steps, chains.joins, chains.merged,
                chains.left_out, chains.first_join, chains.owner, voxels, edges, chains.ends,
            )  # fmt: skip
    return births, chains


@kernel
def image_of_loops(turn: Any, born: Any, source: Any, dies: Any, target: Any) -> Any:
    """Return, for each loop of the source, the loop of the target with whose bar its image dies, or −1.

    A loop of the source is a sum of chains of the target, those that push it down to nothing. Reduced by the
    loops that come before in `turn`, the latest death among them is its own. `born` and `dies` are levels.
    """
    n = dies.size
    image = np.full(born.size, -1, np.int64)
    if n == 0:
        return image
    levels = _tree_levels(n)
    column = np.zeros(levels[-1], np.uint64)  # bars of the target as bits, the latest death first
    columns, n_stored = np.empty(1024, np.int64), 0
    ends = np.zeros((n, 2), np.int64)
    chain = _new_chain(target.rank, target.order.size)
    added = np.empty(n, np.int64)
    for i in turn:
        _transfer(source, i, chain, target)
        _, _, n_added = _push_down(chain, target, added)
        chain[5][0] = 0  # touched voxels: there is nothing left in them
        for k in range(n_added):
            if dies[added[k]] > born[i]:
                _flip(column, levels, n - 1 - added[k])
        while True:
            latest = n - 1 - _tree_first(column, levels)
            if latest == n or ends[latest, 1] == 0:
                break
            for k in range(ends[latest, 0], ends[latest, 1]):
                _flip(column, levels, n - 1 - columns[k])
        if latest == n:
            continue
        image[i] = latest
        ends[latest, 0] = n_stored
        while latest < n:
            if n_stored == columns.size:
                columns = _twice(columns)
            columns[n_stored] = latest
            n_stored += 1
            _tree_remove(column, levels, n - 1 - latest)
            latest = n - 1 - _tree_first(column, levels)
        ends[image[i], 1] = n_stored
    return image


@borrowing_subroutine
def _transfer(source: Any, bar: int, chain: Any, target: Any) -> None:
    """Add the chain of a bar to a chain of another volume, where the later end of an edge may be another."""
    rank = chain[1]
    for k in range(source.ends[bar], source.ends[bar + 1]):
        voxel, corners = np.int64(source.voxels[k]), np.int64(source.edges[k])
        while corners:
            corner = lowest_bit(np.uint64(corners))
            corners &= corners - 1
            other = voxel + target.steps[corner]
            if rank[other] < rank[voxel]:
                _add_edges(voxel, 1 << corner, chain, target.left_out)
            else:
                _add_edges(other, 1 << (5 - corner), chain, target.left_out)


@borrowing_subroutine
def _flip(tree: Any, levels: Any, bit: int) -> None:
    if not _tree_add(tree, levels, bit):
        _tree_remove(tree, levels, bit)


@subroutine
def _twice(values: Any) -> Any:
    larger = np.empty(2 * values.size, values.dtype)
    for i in range(values.size):
        larger[i] = values[i]
    return larger
