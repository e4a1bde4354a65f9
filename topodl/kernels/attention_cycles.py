"""Count the simple directed cycles of a graph up to a cap.

Johnson (1975): O((n + e)(c + 1)) for c cycles; short cycles are counted first, which settles dense graphs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._attention_bits import NONE, add, contains, lowest, popcount, remove
from topodl.kernels._compile import kernel

__all__ = ["count_cycles", "warm_up"]


@kernel
def count_cycles(successors: Any, predecessors: Any, cap: int) -> int:
    """Return min(`cap`, number of simple directed cycles), a self loop being one.

    `successors` and `predecessors` are (n, words) neighbour sets.
    """
    n, words = successors.shape
    count = 0
    for v in range(n):
        if contains(successors[v], v):
            count += 1
    if _short_cycles(successors, predecessors, count, cap) >= cap:
        return cap
    region, reached = np.empty(words, np.uint64), np.empty(words, np.uint64)
    blocked = np.empty(words, np.uint64)
    stack, closed = np.empty(n, np.int64), np.empty(n, np.bool_)
    todo, waiting = np.empty((n, words), np.uint64), np.empty((n, words), np.uint64)
    for start in range(n):
        _strong_region(successors, predecessors, start, region, reached, blocked, stack)
        if lowest(region, region) != NONE:
            count = _cycles_through(
                successors, start, region, count, cap, blocked, stack, closed, todo, waiting
            )
            if count >= cap:
                return cap
    return count


@kernel
def _short_cycles(successors: Any, predecessors: Any, count: int, cap: int) -> int:
    """Add the cycles of two and three vertices to `count`, and stop at `cap`."""
    n, words = successors.shape
    above = np.empty(words, np.uint64)
    above[:] = np.uint64(0)
    for v in range(n):
        add(above, v)
    for u in range(n):
        remove(above, u)
        for w in range(words):
            both = successors[u, w] & predecessors[u, w] & above[w]
            if both != np.uint64(0):
                count += popcount(both)
        if count >= cap:
            return cap
    for v in range(n):
        add(above, v)
    for u in range(n):
        remove(above, u)
        for v in range(u + 1, n):
            if not contains(successors[u], v):
                continue
            remove(above, v)  # a loop at v is not a step of a triangle
            for w in range(words):
                third = successors[v, w] & predecessors[u, w] & above[w]
                if third != np.uint64(0):
                    count += popcount(third)
            add(above, v)
        if count >= cap:
            return cap
    return count


@kernel
def _strong_region(
    successors: Any, predecessors: Any, start: int, region: Any, reached: Any, unseen: Any, stack: Any
) -> None:
    """Fill `region` with the strong component of `start` among the vertices from it on; empty if single."""
    n, words = successors.shape
    unseen[:] = np.uint64(0)
    for v in range(start + 1, n):
        add(unseen, v)
    region[:] = np.uint64(0)
    if lowest(predecessors[start], unseen) == NONE:
        return
    _reach(successors, start, unseen, reached, stack)
    # `reached` is now what may lie on a cycle through `start`; go back from `start` inside it
    for w in range(words):
        unseen[w] = reached[w]
    _reach(predecessors, start, unseen, region, stack)
    if lowest(region, region) != NONE:
        add(region, start)


@kernel
def _reach(neighbours: Any, start: int, unseen: Any, reached: Any, stack: Any) -> None:
    """Fill `reached` with the vertices of `unseen` that a path from `start` meets; `unseen` loses them."""
    reached[:] = np.uint64(0)
    stack[0] = start
    depth = 1
    while depth > 0:
        v = lowest(neighbours[stack[depth - 1]], unseen)
        if v == NONE:
            depth -= 1
        else:
            remove(unseen, v)
            add(reached, v)
            stack[depth] = v
            depth += 1


@kernel
def _cycles_through(
    successors: Any,
    start: int,
    region: Any,
    count: int,
    cap: int,
    blocked: Any,
    path: Any,
    closed: Any,
    todo: Any,
    waiting: Any,
) -> int:
    """Add to `count` the cycles longer than a loop through `start` inside its strong `region`."""
    words = region.shape[0]
    blocked[:] = np.uint64(0)
    waiting[:] = np.uint64(0)
    _enter(successors, start, region, blocked, closed, todo)
    path[0] = start
    depth = 1
    while depth > 0:
        u = path[depth - 1]
        v = lowest(todo[u], region)
        if v == NONE:
            depth -= 1
            if closed[u]:
                _release(u, blocked, waiting)
                if depth > 0:
                    closed[path[depth - 1]] = True
            else:
                for w in range(words):
                    word = successors[u, w] & region[w]
                    while word != np.uint64(0):
                        lowest_bit = word & (~word + np.uint64(1))
                        word ^= lowest_bit
                        add(waiting[64 * w + popcount(lowest_bit - np.uint64(1))], u)
            continue
        remove(todo[u], v)
        if v == start:
            if u != start:
                count += 1
                closed[u] = True
                if count >= cap:
                    return cap
        elif not contains(blocked, v):
            _enter(successors, v, region, blocked, closed, todo)
            path[depth] = v
            depth += 1
    return count


@kernel
def _enter(successors: Any, v: int, region: Any, blocked: Any, closed: Any, todo: Any) -> None:
    add(blocked, v)
    closed[v] = False
    for w in range(region.shape[0]):
        todo[v, w] = successors[v, w] & region[w]


@kernel
def _release(u: int, blocked: Any, waiting: Any) -> None:
    """Unblock `u` and, in turn, all that waits for it."""
    n, words = waiting.shape
    stack = np.empty(n, np.int64)
    stack[0] = u
    depth = 1
    remove(blocked, u)
    while depth > 0:
        depth -= 1
        v = stack[depth]
        w = lowest(waiting[v], blocked)
        while w != NONE:
            remove(blocked, w)
            stack[depth] = w
            depth += 1
            w = lowest(waiting[v], blocked)
        for k in range(words):
            waiting[v, k] = np.uint64(0)


def warm_up() -> None:
    """Compile the kernel."""
    triangle = np.array([[2], [4], [1]], np.uint64)
    count_cycles(triangle, np.array([[4], [1], [2]], np.uint64), 50)
