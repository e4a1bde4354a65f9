"""Stable argsort of floating-point values by a radix sort whose digits fit the range of the values.

A stable sort of values listed by index is the order (value, index), so no key needs to carry its index.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["argsort_floats", "ordered_key", "ordered_keys", "ordered_keys_at", "radix_argsort"]


@borrowing_subroutine
def ordered_key(bits: Any, at: int) -> Any:
    """Return the integer that orders the float with the bits `bits[at]`; −0 and +0 get the same one."""
    value = np.int64(bits[at])
    sign = value >> np.int64(63)
    magnitude = value & (np.int64(0x7FFF_FFFF_FFFF_FFFF) >> np.int64(64 - 8 * bits.itemsize))
    return (magnitude ^ sign) - sign


@kernel
def ordered_keys(bits: Any) -> Any:
    """Return `ordered_key` of every float."""
    keys = np.empty(bits.size, np.int64)
    for i in range(bits.size):
        keys[i] = ordered_key(bits, i)
    return keys


@subroutine
def ordered_keys_at(bits: Any, places: Any) -> Any:
    """Return `ordered_key` of the floats at `places`."""
    keys = np.empty(places.size, np.int64)
    for i in range(places.size):
        keys[i] = ordered_key(bits, places[i])
    return keys


def argsort_floats(values: Any) -> Any:
    """Return the positions that sort `values` (n,), which have no NaN, in the order (value, position)."""
    values = np.ascontiguousarray(values)
    return radix_argsort(ordered_keys(values.view(f"i{values.itemsize}"))).astype(np.int64)


_FEW = 32  # so many keys are inserted one by one sooner than counters are set to zero


@kernel
def radix_argsort(keys: Any) -> Any:
    """Return the int32 positions that sort the int64 `keys` in ascending order; ties keep their order."""
    n = keys.size
    order = np.empty(n, np.int32)
    if n <= _FEW:
        _insert_in_order(keys, order)
        return order
    words, spare = np.empty(n, np.uint64), np.empty(n, np.uint64)
    low = high = keys[0]
    for i in range(n):  # loops, because they compile much faster than the array methods
        order[i] = i
        low = keys[i] if keys[i] < low else low
        high = keys[i] if keys[i] > high else high
    span = np.uint64(high) - np.uint64(low)
    for shift in range(0, 64, 32):  # at most 32 bits of the key share a word with the position
        if shift and span >> np.uint64(shift) == 0:
            break
        for i in range(n):
            part = ((np.uint64(keys[order[i]]) - np.uint64(low)) >> np.uint64(shift)) & np.uint64(0xFFFF_FFFF)
            words[i] = (part << np.uint64(32)) | np.uint64(order[i])
        words, spare = _sort_words(words, spare, span >> np.uint64(shift))
        for i in range(n):
            order[i] = np.int32(words[i] & np.uint64(0xFFFF_FFFF))
    return order


@borrowing_subroutine
def _insert_in_order(keys: Any, order: Any) -> None:
    for i in range(keys.size):
        key, place = keys[i], np.uint64(i)  # unsigned: Numba need not look for negative indices
        while place > 0 and keys[order[place - np.uint64(1)]] > key:
            order[place] = order[place - np.uint64(1)]
            place -= np.uint64(1)
        order[place] = i


@subroutine
def _sort_words(words: Any, spare: Any, span: Any) -> Any:
    """Sort `words` by their upper halves, at most `span` if that fits; return (sorted, the other array)."""
    n_bits = 0
    while n_bits < 32 and span >> np.uint64(n_bits) != 0:
        n_bits += 1
    n_digits = (n_bits + 10) // 11 if n_bits else 1  # 2048 counters stay in the first-level cache
    width = np.uint64((n_bits + n_digits - 1) // n_digits)
    digit = (np.uint64(1) << width) - np.uint64(1)
    for d in range(n_digits):
        shift = np.uint64(32) + np.uint64(d) * width
        start = zeros(np.int64(digit) + 2, np.int64)
        for i in range(words.size):
            start[((words[i] >> shift) & digit) + np.uint64(1)] += 1
        if start[((words[0] >> shift) & digit) + np.uint64(1)] == words.size:
            continue  # all have the same digit
        for b in range(1, start.size):
            start[b] += start[b - 1]
        for i in range(words.size):
            b = (words[i] >> shift) & digit
            spare[start[b]] = words[i]
            start[b] += 1
        words, spare = spare, words
    return words, spare
