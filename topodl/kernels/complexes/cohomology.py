"""Pairs of a filtered cell complex, dimension by dimension, by cohomology over Z/2 on tables of cofaces.

Cells come latest first, each with its cofaces as a column; the earliest of them is its pivot. A pivot that
nobody has is taken at once, without any reduction, which is most of them; cells that kill a class of the
dimension below are cleared. Other columns are added up in a row of bits, whose lowest one only rises, and
kept as they are then. V. de Silva, D. Morozov, M. Vejdemo-Johansson, "Dualities in persistent (co)homology",
2011 (cohomology). C. Chen, M. Kerber, "Persistent homology computation with a twist", 2011 (clearing). U.
Bauer, "Ripser", 2021 (emergent pairs). Cost: linear in the members of columns that are added; worst O(S³).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.bits import lowest_bit
from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.growing import enlarged
from topodl.kernels.shared.radix import ordered_keys, radix_argsort
from topodl.kernels.shared.union_find import elder_deaths

__all__ = [
    "cells_by_level",
    "cells_in_order",
    "early_cell",
    "kill_classes",
    "kill_components",
    "levels_of_faces",
    "warm_up",
]


@kernel
def cells_in_order(bits: Any, offsets: Any) -> Any:
    """Return the cells by (sample, value, index), the place of each, and its level.

    `bits` are those of the values. A level is the place of the first cell of the same sample and value.
    """
    keys = ordered_keys(bits)
    order = radix_argsort(keys)
    n = order.size
    sample_of, free = np.empty(n, np.int64), offsets.copy()
    for sample in range(offsets.size - 1):
        for cell in range(offsets[sample], offsets[sample + 1]):
            sample_of[cell] = sample
    in_order, rank, levels = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        cell = order[i]
        place = free[sample_of[cell]]
        free[sample_of[cell]] = place + 1
        in_order[place], rank[cell], levels[cell] = cell, place, place
        if place > offsets[sample_of[cell]] and keys[in_order[place - 1]] == keys[cell]:
            levels[cell] = levels[in_order[place - 1]]
    return in_order, rank, levels


@kernel
def levels_of_faces(values: Any, below: Any, levels: Any, faces: Any, offsets: Any) -> Any:
    """Return the highest level of each cell's faces, or nothing if a cell has not the value of that one.

    `below` are the values of the faces, `levels` theirs.
    """
    found = np.empty(values.size, np.int64)
    for cell in range(values.size):
        highest = faces[offsets[cell]]
        for i in range(offsets[cell] + 1, offsets[cell + 1]):
            highest = faces[i] if levels[faces[i]] > levels[highest] else highest
        if values[cell] != below[highest]:
            return found[:0]
        found[cell] = levels[highest]
    return found


@kernel
def cells_by_level(levels: Any, n_levels: int) -> Any:
    """Return the cells by (level, index), and the place of each."""
    free = zeros(n_levels + 1, np.int64)
    for cell in range(levels.size):
        free[levels[cell] + 1] += 1
    for level in range(n_levels):
        free[level + 1] += free[level]
    in_order, rank = np.empty(levels.size, np.int64), np.empty(levels.size, np.int64)
    for cell in range(levels.size):
        place = free[levels[cell]]
        free[levels[cell]] = place + 1
        in_order[place], rank[cell] = cell, place
    return in_order, rank


@kernel
def early_cell(values: Any, below: Any, faces: Any, offsets: Any) -> int:
    """Return the first cell whose value is less than that of a face, or NaN; -1 if there is none."""
    for cell in range(values.size):
        for i in range(offsets[cell], offsets[cell + 1]):
            if not values[cell] >= below[faces[i]]:
                return cell
    return -1


@kernel
def kill_components(order: Any, ends: Any, vertices: Any, vertex_rank: Any) -> Any:
    """Return the edge at which the component of each vertex joins an older one; -1 for never.

    `order` (m,) has the edges and `vertices` (n,) the vertices as they enter; `ends` (2 m,) are those of the
    edges.
    """
    ranked = np.empty((order.size, 2), np.int64)
    for i in range(order.size):
        ranked[i, 0], ranked[i, 1] = vertex_rank[ends[2 * order[i]]], vertex_rank[ends[2 * order[i] + 1]]
    dying, _ = elder_deaths(vertices.size, ranked)
    killers = full(vertices.size, -1, np.int64)
    for i in range(order.size):
        if dying[i] >= 0:
            killers[vertices[dying[i]]] = order[i]
    return killers


@kernel
def kill_classes(order: Any, negative: Any, cofaces: Any, offsets: Any, above: Any, rank: Any) -> Any:
    """Return for each cell the cell above that kills the class which it gives birth to; -1 for none.

    The cells of a dimension enter in `order`, those `above` with their `rank` in it. What is `negative`
    kills a class itself, and gives birth to none.
    """
    killers, owner = full(order.size, -1, np.int64), full(above.size, -1, np.int64)
    column, kept = zeros((above.size >> 6) + 1, np.uint64), np.empty(1024, np.int64)
    first_kept, last_kept = full(order.size, -1, np.int64), full(order.size, 0, np.int64)
    n_kept = 0
    for i in range(order.size - 1, -1, -1):
        cell = order[i]
        if negative[cell] or offsets[cell] == offsets[cell + 1]:
            continue
        pivot = _earliest(cofaces, offsets[cell], offsets[cell + 1], rank)
        if owner[pivot] >= 0:
            size = _toggle_cofaces(column, cofaces, offsets[cell], offsets[cell + 1], rank)
            while size > 0 and owner[pivot] >= 0:
                other = owner[pivot]
                if first_kept[other] >= 0:
                    size += _toggle(column, kept, first_kept[other], last_kept[other])
                else:
                    size += _toggle_cofaces(column, cofaces, offsets[other], offsets[other + 1], rank)
                if size > 0:
                    pivot = _next_bit(column, pivot)
            if size == 0:
                continue
            if n_kept + size > kept.size:
                kept = enlarged(kept, n_kept + size)
            first_kept[cell] = n_kept
            n_kept = _emptied(column, pivot, size, kept, n_kept)
            last_kept[cell] = n_kept
        owner[pivot] = cell
        killers[cell] = above[pivot]
    return killers


@borrowing_subroutine
def _earliest(cofaces: Any, first: Any, last: Any, rank: Any) -> Any:
    earliest = rank[cofaces[first]]
    for i in range(first + 1, last):
        earliest = min(earliest, rank[cofaces[i]])
    return earliest


@borrowing_subroutine
def _flip(column: Any, place: Any) -> Any:
    """Flip one bit, and return by how much the column grows."""
    bit = np.uint64(1) << np.uint64(place & 63)
    word = column[place >> 6] ^ bit
    column[place >> 6] = word
    return 1 if word & bit != np.uint64(0) else -1


@borrowing_subroutine
def _toggle_cofaces(column: Any, cofaces: Any, first: Any, last: Any, rank: Any) -> Any:
    """Add the column of a cell as it is, and return by how much the sum grows."""
    grown = 0
    for i in range(first, last):
        grown += _flip(column, rank[cofaces[i]])
    return grown


@borrowing_subroutine
def _toggle(column: Any, kept: Any, first: Any, last: Any) -> Any:
    """Add a column that was kept, and return by how much the sum grows."""
    grown = 0
    for i in range(first, last):
        grown += _flip(column, kept[i])
    return grown


@borrowing_subroutine
def _next_bit(column: Any, place: Any) -> Any:
    """Return the lowest bit of a column that has one from `place` on, and none before."""
    word = place >> 6
    while column[word] == np.uint64(0):
        word += 1
    return (word << 6) + lowest_bit(column[word])


@borrowing_subroutine
def _emptied(column: Any, pivot: Any, size: Any, kept: Any, n_kept: Any) -> Any:
    """Write the bits of a column, of which `pivot` is the lowest, to what is kept; return where that ends."""
    place = pivot
    for _ in range(size):
        place = _next_bit(column, place)
        kept[n_kept] = place
        column[place >> 6] &= ~(np.uint64(1) << np.uint64(place & 63))
        n_kept += 1
    return n_kept


def warm_up() -> None:
    """Compile every kernel of this module."""
    for keys in (np.zeros(3, np.int32), np.zeros(3, np.int64)):
        cells_in_order(keys, np.array([0, 3]))
    three, ends, offsets = np.arange(3), np.array([1, 0, 2, 0, 2, 1]), np.array([0, 2, 4, 6])
    for values in (np.ones(3, np.float32), np.ones(3)):
        early_cell(values, values, ends, offsets)
        cells_by_level(levels_of_faces(values, values, three, ends, offsets), 3)
    kill_components(three, ends, three, three)
    kill_classes(
        three, np.zeros(3, np.bool_), np.zeros(3, np.int64), np.arange(4), np.arange(1), np.arange(1)
    )
