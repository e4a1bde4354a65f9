"""Sets of live homology classes, each with an identifier; 0 is the empty set, for good.

A class that dies is replaced by the rest of a cycle in every set that holds it. Sets that become empty so get
the identifier 0 in `Pool.current`, and identifiers stored elsewhere need no update.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, subroutine

__all__ = ["Pool", "contradiction", "kill", "lowest_bit", "make_pool", "new_class", "new_sum", "with_room"]

_IDS, _LIVE_SETS, _CLASSES = 0, 1, 2  # places in Pool.counts


class Pool(NamedTuple):
    """The sets, as bits over slots of live classes."""

    sets: Any  # (capacity, words) uint64
    current: Any  # (capacity,) int64: 0 for a set that has become empty, else the identifier itself
    live: Any  # (capacity,) int64: the identifiers of the sets that are not empty
    classes: (
        Any  # (64 * words, 2) int64: the birth of the class in each slot; a stack of slots, live ones first
    )
    counts: Any  # (3,) int64: identifiers, live sets, live classes


@borrowing_subroutine
def lowest_bit(word: Any) -> Any:
    """Return the place of the lowest bit of `word`, a uint64 other than 0."""
    place = 0
    if word & np.uint64(0xFFFFFFFF) == np.uint64(0):
        word = word >> np.uint64(32)
        place += 32
    if word & np.uint64(0xFFFF) == np.uint64(0):
        word = word >> np.uint64(16)
        place += 16
    if word & np.uint64(0xFF) == np.uint64(0):
        word = word >> np.uint64(8)
        place += 8
    if word & np.uint64(0xF) == np.uint64(0):
        word = word >> np.uint64(4)
        place += 4
    if word & np.uint64(0x3) == np.uint64(0):
        word = word >> np.uint64(2)
        place += 2
    return place + np.int64(word & np.uint64(1) == np.uint64(0))


@subroutine
def make_pool(capacity: Any, words: Any) -> Any:
    """Return a pool with room for `capacity` sets of 64 * `words` classes."""
    sets = np.zeros((capacity, words), np.uint64)
    current, live = np.zeros(capacity, np.int64), np.zeros(capacity, np.int64)
    classes, counts = np.zeros((64 * words, 2), np.int64), np.zeros(3, np.int64)
    for slot in range(64 * words):
        classes[slot, 1] = slot
    counts[_IDS] = 1
    return Pool(sets, current, live, classes, counts)


@subroutine
def with_room(pool: Pool) -> Any:
    """Return a pool with the same content that has room for one more set and one more class."""
    capacity, words = pool.sets.shape
    wide, full = pool.counts[_CLASSES] == 64 * words, pool.counts[_IDS] == capacity
    if not wide and not full:
        return pool
    grown = make_pool(2 * capacity if full else capacity, 2 * words if wide else words)
    for k in range(capacity):
        grown.current[k], grown.live[k] = pool.current[k], pool.live[k]
        for w in range(words):
            grown.sets[k, w] = pool.sets[k, w]
    for slot in range(64 * words):
        grown.classes[slot, 0], grown.classes[slot, 1] = pool.classes[slot, 0], pool.classes[slot, 1]
    for k in range(3):
        grown.counts[k] = pool.counts[k]
    return grown


@borrowing_subroutine
def _enter(pool: Pool) -> Any:
    identifier = pool.counts[_IDS]
    pool.current[identifier] = identifier
    pool.live[pool.counts[_LIVE_SETS]] = identifier
    pool.counts[_IDS] += 1
    pool.counts[_LIVE_SETS] += 1
    return identifier


@borrowing_subroutine
def new_class(pool: Pool, birth: Any) -> Any:
    """Return the identifier of the set of a new class alone, born at `birth`."""
    slot = pool.classes[pool.counts[_CLASSES], 1]
    pool.classes[slot, 0] = birth
    pool.counts[_CLASSES] += 1
    pool.sets[pool.counts[_IDS], slot >> 6] |= np.uint64(1) << np.uint64(slot & 63)
    return _enter(pool)


@borrowing_subroutine
def new_sum(pool: Pool, p: Any, q: Any) -> Any:
    """Return the identifier of the symmetric difference of the sets p and q."""
    filled = np.uint64(0)
    target = pool.counts[_IDS]
    for w in range(pool.sets.shape[1]):
        pool.sets[target, w] = pool.sets[p, w] ^ pool.sets[q, w]
        filled |= pool.sets[target, w]
    return 0 if filled == np.uint64(0) else _enter(pool)


@borrowing_subroutine
def contradiction(pool: Pool, p: Any, q: Any, own: Any) -> Any:
    """Return the place of the youngest class in the sum of the sets p, q, `own`, -1 if it is empty."""
    youngest = -1
    for w in range(pool.sets.shape[1]):
        word = pool.sets[p, w] ^ pool.sets[q, w] ^ pool.sets[own, w]
        while word != np.uint64(0):
            slot = 64 * w + lowest_bit(word)
            word &= word - np.uint64(1)
            if youngest < 0 or pool.classes[slot, 0] > pool.classes[youngest, 0]:
                youngest = slot
    return youngest


@subroutine
def kill(pool: Pool, slot: Any, p: Any, q: Any, own: Any) -> Any:
    """Make the sum of the sets p, q, `own` a boundary: its class in `slot` dies. Return its birth."""
    words = pool.sets.shape[1]
    boundary = np.empty(words, np.uint64)
    for w in range(words):
        boundary[w] = pool.sets[p, w] ^ pool.sets[q, w] ^ pool.sets[own, w]
    place, shift = slot >> 6, np.uint64(slot & 63)
    kept = 0
    for k in range(pool.counts[_LIVE_SETS]):
        identifier = pool.live[k]
        filled = np.uint64(1)
        if (pool.sets[identifier, place] >> shift) & np.uint64(1):
            filled = np.uint64(0)
            for w in range(words):
                pool.sets[identifier, w] ^= boundary[w]
                filled |= pool.sets[identifier, w]
        if filled == np.uint64(0):
            pool.current[identifier] = 0
        else:
            pool.live[kept] = identifier
            kept += 1
    pool.counts[_LIVE_SETS] = kept
    pool.counts[_CLASSES] -= 1
    last, top = pool.counts[_CLASSES], 0
    while pool.classes[top, 1] != slot:
        top += 1
    pool.classes[top, 1], pool.classes[last, 1] = pool.classes[last, 1], slot
    return pool.classes[slot, 0]
