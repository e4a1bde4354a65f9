"""Rips persistence in dimensions 0 and 1 without any matrix: one pass over the edges, with annotations.

Every edge that has entered carries the set of live 1-classes that it crosses (de Silva, Dey, Fan, Wang 2014:
Computing topological persistence for simplicial maps); cost O(E n / 64) word operations plus work per class,
memory 4 n² bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.points._annotations import (
    Pool,
    contradiction,
    kill,
    lowest_bit,
    make_pool,
    new_class,
    new_sum,
    with_room,
)
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.union_find import find_root

__all__ = ["rips_pairs", "warm_up"]

_FLOOD_STEPS = 8
_END, _BIRTH, _SUM, _CHECK = 0, 1, 2, 3  # why the pass over the edges stops


@kernel
def rips_pairs(edges: Any, n: Any) -> Any:
    """Pair the flag complex of sorted `edges` (E, 2) on n vertices; edges are named by their rank.

    Returns
    -------
    dying : (E,) int64
        The vertex whose component dies at the edge (the larger index of two), -1 where nothing is joined.
    births : (m,) int64
        Edges that give birth to a class of dimension 1 that does not die at an edge's own entry.
    deaths : (m,) int64
        Edges at which those classes die, -1: never.
    """
    words = (n + 63) >> 6
    neighbours, marked = np.zeros((n, words), np.uint64), np.zeros((n, words), np.uint64)
    scratch = np.empty((3, words), np.uint64)
    annotation = np.zeros((n, n), np.int32)
    parent, dying = np.empty(n, np.int64), np.empty(len(edges), np.int64)
    for node in range(n):
        parent[node] = node
    born, death_of = np.empty(len(edges), np.int64), np.empty(len(edges), np.int64)
    n_born, n_alive = 0, 0
    pool = make_pool(256, 1)
    rank = 0
    while True:
        rank, reason, k = _pass_plain_edges(
            edges, rank, neighbours, marked, scratch, annotation, pool.current, n_alive > 0, parent, dying
        )
        if reason == _END:
            return dying, born[:n_born].copy(), death_of[:n_born].copy()
        i, j = np.int64(edges[rank, 0]), np.int64(edges[rank, 1])
        if reason in (_BIRTH, _SUM):
            pool = with_room(pool)
        if reason == _BIRTH:
            _mark(annotation, marked, i, j, new_class(pool, n_born))
            born[n_born], death_of[n_born] = rank, -1
            n_born += 1
            n_alive += 1
        if reason == _SUM:
            p, q = (
                _read(pool.current, annotation, marked, i, k),
                _read(pool.current, annotation, marked, j, k),
            )
            _mark(annotation, marked, i, j, new_sum(pool, p, q))
            if not _flood(neighbours, scratch, annotation[i, j] != 0, k):
                reason = _CHECK
        if reason == _CHECK:
            n_alive -= _contradict(pool, annotation, marked, scratch, i, j, rank, death_of)
        _connect(neighbours, i, j)
        rank += 1


@borrowing_subroutine
def _pass_plain_edges(
    edges: Any,
    rank: Any,
    neighbours: Any,
    marked: Any,
    scratch: Any,
    annotation: Any,
    current: Any,
    alive: bool,
    parent: Any,
    dying: Any,
) -> Any:
    """Let edges enter from `rank` on, until one needs the pool; return its rank, why, a vertex of its lune.

    Apart from the pool, because a tuple of arrays costs more at every edge than nearly every edge itself.
    """
    words = neighbours.shape[1]
    while rank < len(edges):
        i, j = np.int64(edges[rank, 0]), np.int64(edges[rank, 1])
        dying[rank] = -1
        some = doubts = np.uint64(0)
        p, q = np.uint64(i), np.uint64(j)  # unsigned: no index counts from the end
        if alive:
            for w in range(words):
                both = neighbours[p, w] & neighbours[q, w]
                some |= both
                doubts |= both & (marked[p, w] | marked[q, w])
        else:  # nothing can be in doubt
            w = 0
            while some == np.uint64(0) and w < words:
                some = neighbours[p, w] & neighbours[q, w]
                w += 1
        if some == np.uint64(0):
            a, b = find_root(parent, i), find_root(parent, j)
            if a == b:
                return rank, _BIRTH, -1
            dying[rank] = max(a, b)
            parent[max(a, b)] = min(a, b)
        elif doubts != np.uint64(0):
            a = b = np.int64(0)
            k, doubtful = _lune_of(neighbours, marked, scratch, p, q)
            if doubtful:
                a, b = _read(current, annotation, marked, i, k), _read(current, annotation, marked, j, k)
                if a != b:
                    if a != 0 and b != 0:
                        return rank, _SUM, k
                    _mark(annotation, marked, i, j, a + b)
            if not _flood(neighbours, scratch, a != b, k):
                return rank, _CHECK, k
        neighbours[p, q >> np.uint64(6)] |= np.uint64(1) << (q & np.uint64(63))
        neighbours[q, p >> np.uint64(6)] |= np.uint64(1) << (p & np.uint64(63))
        rank += 1
    return rank, _END, -1


@borrowing_subroutine
def _connect(neighbours: Any, i: Any, j: Any) -> None:
    neighbours[i, j >> 6] |= np.uint64(1) << np.uint64(j & 63)
    neighbours[j, i >> 6] |= np.uint64(1) << np.uint64(i & 63)


@borrowing_subroutine
def _lune_of(neighbours: Any, marked: Any, scratch: Any, p: Any, q: Any) -> Any:
    """Write the lune of edge (p, q), and its doubtful vertices; return one, and whether it is doubtful.

    It is not if any vertex is not: then its triangle crosses nothing.
    """
    plain = found = np.uint64(0)
    at = 0
    for w in range(scratch.shape[1]):
        both = neighbours[p, w] & neighbours[q, w]
        doubt = both & (marked[p, w] | marked[q, w])
        scratch[0, w] = both
        scratch[1, w] = doubt
        if plain == np.uint64(0):
            plain = both & ~doubt
            if plain != np.uint64(0) or (found == np.uint64(0) and both != np.uint64(0)):
                found, at = both if plain == np.uint64(0) else plain, 64 * w
    return at + lowest_bit(found), plain == np.uint64(0)


@borrowing_subroutine
def _mark(annotation: Any, marked: Any, i: Any, j: Any, identifier: Any) -> None:
    """Store the annotation of edge (i, j), and mark the edge in both bit rows unless it is empty."""
    annotation[i, j] = identifier
    annotation[j, i] = identifier
    bit_j, bit_i = np.uint64(1) << np.uint64(j & 63), np.uint64(1) << np.uint64(i & 63)
    if identifier != 0:
        marked[i, j >> 6] |= bit_j
        marked[j, i >> 6] |= bit_i
    else:
        marked[i, j >> 6] &= ~bit_j
        marked[j, i >> 6] &= ~bit_i


@borrowing_subroutine
def _read(current: Any, annotation: Any, marked: Any, i: Any, j: Any) -> Any:
    """Return the annotation of edge (i, j), which is forgotten if its set has become empty."""
    stored = np.int64(annotation[i, j])
    if stored != 0 and current[stored] == 0:
        _mark(annotation, marked, i, j, 0)
        return 0
    return stored


@borrowing_subroutine
def _flood(neighbours: Any, scratch: Any, crosses: bool, start: Any) -> Any:
    """Remove from the lune what is reached from `start` inside it; return whether nothing is left to check.

    Two triangles over adjacent vertices of the lune agree, so one in each of its components is enough. A few
    steps reach nearly everything, and what they leave is looked at one by one. An edge that crosses no class
    can only be contradicted at the doubtful vertices, scratch[1], one that does at all of the lune,
    scratch[0].
    """
    words = scratch.shape[1]
    everywhere = ~np.uint64(0) if crosses else np.uint64(0)
    left = np.uint64(0)
    first, bit = start >> 6, np.uint64(1) << np.uint64(start & 63)
    scratch[0, first] &= ~bit
    for w in range(words):
        scratch[2, w] = np.uint64(0)
        left |= scratch[0, w] & (scratch[1, w] | everywhere)
    vertex, steps = np.uint64(start), 1
    while left != np.uint64(0):
        left = np.uint64(0)
        for w in range(words):
            reached = scratch[0, w] & neighbours[vertex, w]
            scratch[2, w] |= reached
            scratch[0, w] ^= reached
            left |= scratch[0, w] & (scratch[1, w] | everywhere)
        first = 0
        while first < words and scratch[2, first] == np.uint64(0):
            first += 1
        if first == words or steps == _FLOOD_STEPS:
            break
        vertex = np.uint64(64 * first + lowest_bit(scratch[2, first]))
        scratch[2, first] &= scratch[2, first] - np.uint64(1)
        steps += 1
    return left == np.uint64(0)


@subroutine
def _contradict(
    pool: Pool,
    annotation: Any,
    marked: Any,
    scratch: Any,
    i: Any,
    j: Any,
    rank: Any,
    death_of: Any,
) -> Any:
    """Let the triangles over edge (i, j) that the flood has left kill what contradicts its annotation."""
    deaths = 0
    own = np.int64(annotation[i, j])
    lune, wanted = scratch[0], scratch[1 if own == 0 else 0]
    for w in range(len(lune)):
        word = lune[w] & wanted[w]
        while word != np.uint64(0):
            k = 64 * w + lowest_bit(word)
            word &= word - np.uint64(1)
            p = _read(pool.current, annotation, marked, i, k)
            q = _read(pool.current, annotation, marked, j, k)
            slot = contradiction(pool, p, q, own)
            if slot >= 0:
                death_of[kill(pool, slot, p, q, own)] = rank
                own = pool.current[own]
                deaths += 1
    return deaths


def warm_up() -> None:
    """Compile every kernel of this module."""
    rips_pairs(np.array([[0, 1], [1, 2], [2, 3], [0, 3], [0, 2]], np.int32), 4)
