"""Strong components, cycles, chordality and matchings of attention graphs at many thresholds.

Neighbours are sets of 64-bit words (`_attention_bits`); a strong component costs one linear pass (Kosaraju),
chordality a maximum cardinality search (Tarjan and Yannakakis 1984), a greedy matching one scan.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.attention.cycles import count_cycles, cycle_graph
from topodl.kernels.attention.matching import maximum_matching
from topodl.kernels.shared.bits import NONE, add, contains, lowest, lowest_bit, remove, size
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = [
    "directed_statistics",
    "greedy_matchings",
    "neighbour_sets",
    "undirected_statistics",
    "warm_up",
]


@borrowing_subroutine
def strong_components(
    successors: Any, predecessors: Any, unseen: Any, stack: Any, order: Any, component: Any, inside: Any
) -> int:
    """Count the strongly connected components of a graph on n vertices, by Kosaraju's two searches.

    `inside`, a `CycleGraph`, becomes the graph of the edges within components, without loops.
    """
    n = order.shape[0]
    _finishing_order(successors, unseen, stack, order)
    unseen[:] = np.uint64(0)
    for v in range(n):
        add(unseen, v)
    inside.alive[:] = np.uint64(0)
    components = 0
    for position in range(n - 1, -1, -1):
        root = order[position]
        if not contains(unseen, root):
            continue
        components += 1
        component[:] = np.uint64(0)
        add(component, root)
        remove(unseen, root)
        stack[0] = root
        depth = 1
        while depth > 0:
            v = lowest(predecessors[stack[depth - 1]], unseen)
            if v == NONE:
                depth -= 1
            else:
                remove(unseen, v)
                add(component, v)
                stack[depth] = v
                depth += 1
        if size(component) > 1:
            _keep_inside(successors, predecessors, component, inside)
    return components


@borrowing_subroutine
def _finishing_order(successors: Any, unseen: Any, stack: Any, order: Any) -> None:
    """Fill `order` with the vertices as a depth-first search leaves them."""
    n = order.shape[0]
    unseen[:] = np.uint64(0)
    for v in range(n):
        add(unseen, v)
    finished = 0
    for root in range(n):
        if not contains(unseen, root):
            continue
        remove(unseen, root)
        stack[0] = root
        depth = 1
        while depth > 0:
            v = lowest(successors[stack[depth - 1]], unseen)
            if v == NONE:
                depth -= 1
                order[finished] = stack[depth]
                finished += 1
            else:
                remove(unseen, v)
                stack[depth] = v
                depth += 1


@borrowing_subroutine
def _keep_inside(successors: Any, predecessors: Any, component: Any, inside: Any) -> None:
    """Copy the edges between different vertices of a strong component to the `CycleGraph` `inside`."""
    words = component.shape[0]
    for w in range(words):
        inside.alive[w] |= component[w]
        word = component[w]
        while word != np.uint64(0):
            v = 64 * w + lowest_bit(word)
            word &= word - np.uint64(1)
            for k in range(words):
                inside.successors[v, k] = successors[v, k] & component[k]
                inside.predecessors[v, k] = predecessors[v, k] & component[k]
            remove(inside.successors[v], v)
            remove(inside.predecessors[v], v)


@borrowing_subroutine
def greedy_matching(successors: Any, predecessors: Any, free: Any, n: int) -> int:
    """Size of the matching that gives u = 0, 1, … its smallest free successor above u, else predecessor."""
    free[:] = np.uint64(0)
    for v in range(n):
        add(free, v)
    matched = 0
    for u in range(n):
        if not contains(free, u):
            continue
        remove(free, u)  # every later vertex is larger, and a vertex that stays single is not needed again
        v = lowest(successors[u], free)
        if v == NONE:
            v = lowest(predecessors[u], free)
        if v != NONE:
            remove(free, v)
            matched += 1
    return matched


@borrowing_subroutine
def is_chordal(neighbours: Any, alive: Any, numbered: Any, weight: Any, position: Any) -> bool:
    """Tell whether an undirected graph without loops has no induced cycle longer than a triangle."""
    n, words = neighbours.shape
    alive[:] = np.uint64(0)
    for v in range(n):
        add(alive, v)
        weight[v] = size(neighbours[v])
    left = n
    # Vertices of degree one or none lie on no cycle; stripping them leaves little of most attention graphs.
    for v in range(n):
        leaf = v
        while leaf != NONE and weight[leaf] <= 1 and contains(alive, leaf):
            remove(alive, leaf)
            left -= 1
            leaf = lowest(neighbours[leaf], alive)
            if leaf != NONE:
                weight[leaf] -= 1
    if left <= 3:
        return True
    numbered[:] = np.uint64(0)
    weight[:] = 0
    for step in range(left):
        chosen = NONE
        for v in range(n):
            if contains(alive, v) and (chosen == NONE or weight[v] > weight[chosen]):
                chosen = v
        remove(alive, chosen)
        position[chosen] = step
        latest = NONE
        for w in range(words):
            word = neighbours[chosen, w] & numbered[w]
            while word != np.uint64(0):
                v = 64 * w + lowest_bit(word)
                word &= word - np.uint64(1)
                if latest == NONE or position[v] > position[latest]:
                    latest = v
            word = neighbours[chosen, w] & alive[w]
            while word != np.uint64(0):
                weight[64 * w + lowest_bit(word)] += 1
                word &= word - np.uint64(1)
        if latest != NONE:
            remove(numbered, latest)
            for w in range(words):
                if neighbours[chosen, w] & numbered[w] & ~neighbours[latest, w] != np.uint64(0):
                    return False
            add(numbered, latest)
        add(numbered, chosen)
    return True


@kernel
def neighbour_sets(maps: Any, sums: Any, thresholds: Any, loops: bool) -> Any:
    """Return who follows and who precedes each vertex of `maps` (M, n, n), rows divided by `sums` (M, n).

    Two arrays (M, T, n, words) of uint64, one for each of the thresholds, which ascend. Without `loops` no
    vertex is its own neighbour.
    """
    m, n = maps.shape[0], maps.shape[1]
    shape = (m, thresholds.shape[0], n, (n + 63) >> 6)
    successors, predecessors = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
    smallest = thresholds[0]
    for a in range(m):
        for i in range(n):
            total = sums[a, i]
            source = np.uint64(1) << np.uint64(i & 63)
            for w in range(shape[3]):
                # most entries are below all thresholds: compare a word at once, and look at the others alone
                word, first = np.uint64(0), 64 * w
                for k in range(min(64, n - first)):
                    word |= np.uint64(maps[a, i, first + k] / total >= smallest) << np.uint64(k)
                while word != np.uint64(0):
                    j = first + lowest_bit(word)
                    target = word & (~word + np.uint64(1))
                    word ^= target
                    if i == j and not loops:
                        continue
                    t = 0
                    while t < thresholds.shape[0] and maps[a, i, j] / total >= thresholds[t]:
                        successors[a, t, i, w] |= target
                        predecessors[a, t, j, i >> 6] |= source
                        t += 1
    return successors, predecessors


@kernel
def directed_statistics(successors: Any, predecessors: Any, strong: bool, cycles: bool, cap: int) -> Any:
    """Return (M, T, 2) int64: strong components, and cycles up to `cap`, of graphs (M, T, n, words).

    The graphs of a matrix are nested, the first the largest. A self loop is a cycle; leave the loops out of
    the neighbour sets to count none.
    """
    m, thresholds, n, words = successors.shape
    out = np.zeros((m, thresholds, 2), np.int64)
    unseen, component = np.empty(words, np.uint64), np.empty(words, np.uint64)
    stack, order = np.empty(n, np.int64), np.empty(n, np.int64)
    inside = cycle_graph(n, words)
    for a in range(m):
        components, count = n, 0
        for t in range(thresholds - 1, -1, -1):
            # a graph that contains another has no more components, and no fewer cycles
            if (strong and components > 1) or (cycles and count < cap):
                components = strong_components(
                    successors[a, t], predecessors[a, t], unseen, stack, order, component, inside
                )
            if cycles and count < cap:
                count = count_cycles(inside, cap)
                for v in range(n):
                    count += contains(successors[a, t, v], v)
                count = min(count, cap)
            out[a, t, 0], out[a, t, 1] = components, count
    return out


@kernel
def undirected_statistics(neighbours: Any, chordal: bool, maximum: bool) -> Any:
    """Return (M, T, 2) int64, 1 where chordal and maximum matchings, of loop-free graphs (M, T, n, words)."""
    m, thresholds, n, words = neighbours.shape
    out = np.zeros((m, thresholds, 2), np.int64)
    first, second = np.empty(words, np.uint64), np.empty(words, np.uint64)
    weight, position = np.empty(n, np.int64), np.empty(n, np.int64)
    for a in range(m):
        for t in range(thresholds):
            if chordal:
                out[a, t, 0] = is_chordal(neighbours[a, t], first, second, weight, position)
            if maximum:
                out[a, t, 1] = maximum_matching(neighbours[a, t])
    return out


@kernel
def greedy_matchings(successors: Any, predecessors: Any) -> Any:
    """Return (M, T) int64: sizes of the greedy matchings of graphs (M, T, n, words)."""
    m, thresholds, n, words = successors.shape
    out = np.zeros((m, thresholds), np.int64)
    free = np.empty(words, np.uint64)
    for a in range(m):
        for t in range(thresholds):
            out[a, t] = greedy_matching(successors[a, t], predecessors[a, t], free, n)
    return out


def warm_up() -> None:
    """Compile the kernels for float32 and float64."""
    for dtype in (np.float32, np.float64):
        maps = np.arange(9, dtype=dtype).reshape(1, 3, 3)
        successors, predecessors = neighbour_sets(maps, np.ones((1, 3), dtype), maps[0, 0, 1:], False)
    directed_statistics(successors, predecessors, True, True, 50)
    undirected_statistics(successors, True, True)
    greedy_matchings(successors, predecessors)
