"""Count the simple directed cycles of a graph up to a cap.

Vertices with one way in or out are contracted to weighted edges, which settles sparse graphs; counting paths
along an order settles dense ones; Johnson's search (1975), O((n + e)(c + 1)) for c cycles, does the rest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl.kernels.shared.bits import NONE, add, contains, lowest, lowest_bit, next_above, remove, size
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["CycleGraph", "count_cycles", "cycle_graph", "warm_up"]


class CycleGraph(NamedTuple):
    """A graph without loops that `count_cycles` takes apart, and room for its work.

    The caller fills the neighbour sets (n, words) and `alive` (words,), the vertices that count.
    """

    successors: Any
    predecessors: Any
    alive: Any
    weights: Any  # (n, n): in how many ways an edge is passed since contractions
    spare: Any  # (2, n, words)
    numbers: Any  # (4, n)


@kernel
def cycle_graph(n: int, words: int) -> Any:
    """Return room for graphs on `n` vertices in sets of `words` words."""
    return CycleGraph(
        np.empty((n, words), np.uint64),
        np.empty((n, words), np.uint64),
        np.empty(words, np.uint64),
        np.empty((n, n), np.int64),
        np.empty((2, n, words), np.uint64),
        np.empty((4, n), np.int64),
    )


@kernel
def count_cycles(graph: Any, cap: int) -> int:
    """Return min(`cap`, number of simple directed cycles) of `graph`, which is used up; `cap` < 2³¹."""
    successors, predecessors, alive = graph.successors, graph.predecessors, graph.alive
    weights, spare, numbers = graph.weights, graph.spare, graph.numbers
    for v in range(len(successors)):
        if contains(alive, v):
            u = lowest(successors[v], alive)
            while u != NONE:
                weights[v, u] = 1
                u = next_above(successors[v], u)
    todo, count = alive.copy(), 0
    while True:
        count = _contract(successors, predecessors, weights, alive, todo, count, cap)
        start = _busiest(successors, predecessors, alive)
        if start == NONE or count >= cap:
            return min(count, cap)
        if _ordered_cycles(successors, predecessors, weights, alive, numbers[0], count, cap) >= cap:
            return cap
        if _prefixed_cycles(successors, predecessors, weights, alive, numbers[0], start, count, cap) >= cap:
            return cap
        count = _cycles_through(successors, weights, alive, start, count, cap, spare, numbers)
        if count >= cap:
            return cap
        _delete(successors, predecessors, alive, todo, start)


@borrowing_subroutine
def _delete(successors: Any, predecessors: Any, alive: Any, todo: Any, v: int) -> None:
    """Take the vertex `v` out, and note who loses a neighbour."""
    remove(alive, v)
    x = lowest(successors[v], alive)
    while x != NONE:
        remove(predecessors[x], v)
        add(todo, x)
        x = next_above(successors[v], x)
    x = lowest(predecessors[v], alive)
    while x != NONE:
        remove(successors[x], v)
        add(todo, x)
        x = next_above(predecessors[v], x)


@borrowing_subroutine
def _contract(
    successors: Any, predecessors: Any, weights: Any, alive: Any, todo: Any, count: int, cap: int
) -> int:
    """Contract every vertex with one way in or out into that neighbour; add the cycles that close to `count`.

    All cycles through such a vertex pass the neighbour too, so none is lost and none becomes less simple.
    """
    v = lowest(todo, alive)
    while v != NONE and count < cap:
        remove(todo, v)
        inward, outward = size(predecessors[v]), size(successors[v])
        if inward == 1 or outward == 1:
            before = lowest(predecessors[v], alive)
            while before != NONE:
                after = lowest(successors[v], alive)
                while after != NONE:
                    ways = min(cap, weights[before, v] * weights[v, after])
                    if before == after:
                        count += ways
                    else:
                        if contains(successors[before], after):
                            ways = min(cap, ways + weights[before, after])
                        weights[before, after] = ways
                        add(successors[before], after)
                        add(predecessors[after], before)
                    after = next_above(successors[v], after)
                before = next_above(predecessors[v], before)
        if inward <= 1 or outward <= 1:
            _delete(successors, predecessors, alive, todo, v)
        v = lowest(todo, alive)
    return count


@borrowing_subroutine
def _busiest(successors: Any, predecessors: Any, alive: Any) -> int:
    """Return the vertex with the most ways through it, or ``NONE`` where none is left."""
    best, most = NONE, 0
    for v in range(len(successors)):
        if contains(alive, v):
            ways = size(predecessors[v]) * size(successors[v])
            if ways > most:
                best, most = v, ways
    return best


@subroutine
def _ordered_cycles(
    successors: Any, predecessors: Any, weights: Any, alive: Any, ways: Any, count: int, cap: int
) -> int:
    """Add to `count` the cycles with one edge from a larger vertex to a smaller, or one the other way.

    A lower bound of all cycles that reaches the cap on most dense graphs.
    """
    room, reached = alive.copy(), alive.copy()
    start = lowest(room, room)
    while start != NONE and count < cap:
        remove(room, start)
        count += _monotone_paths(predecessors, weights, True, room, reached, ways, start, start, cap)
        count += _monotone_paths(successors, weights, False, room, reached, ways, start, start, cap)
        start = next_above(room, start)
    return count


@subroutine
def _prefixed_cycles(
    successors: Any,
    predecessors: Any,
    weights: Any,
    alive: Any,
    ways: Any,
    start: int,
    count: int,
    cap: int,
) -> int:
    """Add to `count` the cycles through `start` that rise, or fall, after their third vertex."""
    room, reached = alive.copy(), alive.copy()
    remove(room, start)
    first = lowest(successors[start], room)
    while first != NONE:
        remove(room, first)
        if contains(successors[first], start):
            count += weights[start, first] * weights[first, start]
        second = lowest(successors[first], room)
        while second != NONE:
            remove(room, second)
            times = min(cap, weights[start, first] * weights[first, second])
            if contains(successors[second], start):
                count += times * weights[second, start]
            rising = _monotone_paths(predecessors, weights, True, room, reached, ways, second, start, cap)
            falling = _monotone_paths(successors, weights, False, room, reached, ways, start, second, cap)
            count += times * min(cap, rising + falling)
            if count >= cap:
                return cap
            add(room, second)
            second = next_above(successors[first], second)
            if second == start:
                second = next_above(successors[first], second)
        add(room, first)
        first = next_above(successors[start], first)
    return count


@borrowing_subroutine
def _monotone_paths(
    into: Any,
    weights: Any,
    forward: bool,
    room: Any,
    reached: Any,
    ways: Any,
    source: int,
    target: int,
    cap: int,
) -> int:
    """Count the ways from `source` to `target` by ascending vertices of `room`, at least one, up to `cap`.

    With `forward`, `into` are the predecessors. Without, they are the successors: the ways of the reversed
    graph, of which those by a single vertex are left out, since they are ways of the graph itself too.
    """
    reached[:] = np.uint64(0)
    total = 0
    v = lowest(room, room)
    while v != NONE and total < cap:
        direct = 0
        if contains(into[v], source):
            direct = weights[source, v] if forward else weights[v, source]
        found = direct
        for w in range(len(reached)):
            word = into[v, w] & reached[w]
            while word != np.uint64(0):
                u = 64 * w + lowest_bit(word)
                word &= word - np.uint64(1)
                found = min(cap, found + ways[u] * (weights[u, v] if forward else weights[v, u]))
        if found > 0:
            ways[v] = found
            add(reached, v)
            if contains(into[target], v):
                total += found * weights[v, target] if forward else (found - direct) * weights[target, v]
        v = next_above(room, v)
    return min(cap, total)


@subroutine
def _cycles_through(
    successors: Any, weights: Any, alive: Any, start: int, count: int, cap: int, spare: Any, numbers: Any
) -> int:
    """Add to `count` the cycles through `start`, by Johnson's search."""
    left, waiting = spare[0], spare[1]  # successors to be tried; who is unblocked together with a vertex
    ways, path, closed, stack = numbers[0], numbers[1], numbers[2], numbers[3]
    blocked = alive.copy()
    blocked[:] = np.uint64(0)
    waiting[:] = np.uint64(0)
    path[0], ways[0] = start, 1
    left[start] = successors[start]
    closed[start] = 0
    depth = 1
    while depth > 0:
        u = path[depth - 1]
        v = lowest(left[u], alive)
        if v == NONE:
            depth -= 1
            if closed[u]:
                _release(blocked, waiting, stack, u)
                if depth > 0:
                    closed[path[depth - 1]] = 1
            else:
                x = lowest(successors[u], alive)
                while x != NONE:
                    add(waiting[x], u)
                    x = next_above(successors[u], x)
            continue
        remove(left[u], v)
        if v == start:
            count += ways[depth - 1] * weights[u, v]
            closed[u] = 1
            if count >= cap:
                return cap
        elif not contains(blocked, v):
            add(blocked, v)
            closed[v] = 0
            for w in range(len(alive)):
                left[v, w] = successors[v, w]
            ways[depth] = min(cap, ways[depth - 1] * weights[u, v])
            path[depth] = v
            depth += 1
    return count


@borrowing_subroutine
def _release(blocked: Any, waiting: Any, stack: Any, u: int) -> None:
    """Unblock `u` and, in turn, all that waits for it."""
    stack[0] = u
    depth = 1
    remove(blocked, u)
    while depth > 0:
        depth -= 1
        v = stack[depth]
        x = lowest(waiting[v], blocked)
        while x != NONE:
            remove(blocked, x)
            stack[depth] = x
            depth += 1
            x = lowest(waiting[v], blocked)
        for w in range(len(blocked)):
            waiting[v, w] = np.uint64(0)


def warm_up() -> None:
    """Compile the kernel."""
    graph = cycle_graph(3, 1)
    graph.successors[:, 0], graph.predecessors[:, 0] = [2, 4, 1], [4, 1, 2]
    graph.alive[:] = 7
    count_cycles(graph, 50)
