"""Sets of vertices as rows of 64-bit words: one word operation handles 64 vertices of a graph.

The arithmetic never wraps around, so that the same code runs with the compiler switched off.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine

__all__ = ["NONE", "add", "contains", "lowest", "lowest_bit", "next_above", "popcount", "remove", "size"]

NONE = -1


@borrowing_subroutine
def popcount(word: Any) -> Any:
    """Return how many bits of a 64-bit word are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    word = word + (word >> np.uint64(8))
    word = word + (word >> np.uint64(16))
    word = word + (word >> np.uint64(32))
    return np.int64(word & np.uint64(0x7F))


@borrowing_subroutine
def add(members: Any, vertex: int) -> None:
    """Put `vertex` into the set `members` (words,)."""
    members[vertex >> 6] |= np.uint64(1) << np.uint64(vertex & 63)


@borrowing_subroutine
def remove(members: Any, vertex: int) -> None:
    """Take `vertex` out of the set `members` (words,)."""
    members[vertex >> 6] &= ~(np.uint64(1) << np.uint64(vertex & 63))


@borrowing_subroutine
def contains(members: Any, vertex: int) -> bool:
    """Tell whether `vertex` is in the set `members` (words,)."""
    return (members[vertex >> 6] >> np.uint64(vertex & 63)) & np.uint64(1) != np.uint64(0)


@borrowing_subroutine
def size(members: Any) -> int:
    """Return the number of vertices in the set `members` (words,)."""
    total = 0
    for w in range(members.shape[0]):
        if members[w] != np.uint64(0):
            total += popcount(members[w])
    return total


@borrowing_subroutine
def lowest_bit(word: Any) -> int:
    """Return the position of the lowest set bit of a word that has one."""
    # the bits below it, counted, are its position
    return popcount((word & (~word + np.uint64(1))) - np.uint64(1))


@borrowing_subroutine
def next_above(members: Any, vertex: int) -> int:
    """Return the smallest vertex of the set `members` (words,) above `vertex`, or ``NONE``."""
    w = vertex >> 6
    bit = np.uint64(1) << np.uint64(vertex & 63)
    word = members[w] & ~(bit | (bit - np.uint64(1)))
    while word == np.uint64(0):
        w += 1
        if w == members.shape[0]:
            return NONE
        word = members[w]
    return 64 * w + lowest_bit(word)


@borrowing_subroutine
def lowest(first: Any, second: Any) -> int:
    """Return the smallest vertex in both sets, or ``NONE``."""
    for w in range(first.shape[0]):
        word = first[w] & second[w]
        if word != np.uint64(0):
            return 64 * w + lowest_bit(word)
    return NONE
