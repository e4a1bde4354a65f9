"""Strong components, cycles, chordality and matchings of attention graphs at many thresholds.

Neighbours are sets of 64-bit words (`_attention_bits`); a strong component costs one linear pass (Kosaraju),
chordality a maximum cardinality search (Tarjan and Yannakakis 1984), a greedy matching one scan.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._attention_bits import NONE, add, contains, lowest, remove, size
from topodl.kernels._compile import kernel
from topodl.kernels.attention_cycles import count_cycles
from topodl.kernels.attention_matching import maximum_matching

__all__ = [
    "directed_statistics",
    "greedy_matchings",
    "neighbour_sets",
    "undirected_statistics",
    "warm_up",
]


@kernel
def strong_components(successors: Any, predecessors: Any, unseen: Any, stack: Any, order: Any) -> int:
    """Count the strongly connected components of a graph on n vertices, by Kosaraju's two searches."""
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
    for v in range(n):
        add(unseen, v)
    components = 0
    for position in range(n - 1, -1, -1):
        root = order[position]
        if not contains(unseen, root):
            continue
        components += 1
        remove(unseen, root)
        stack[0] = root
        depth = 1
        while depth > 0:
            v = lowest(predecessors[stack[depth - 1]], unseen)
            if v == NONE:
                depth -= 1
            else:
                remove(unseen, v)
                stack[depth] = v
                depth += 1
    return components


@kernel
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


@kernel
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
                v = 64 * w + _first(word)
                word &= word - np.uint64(1)
                if latest == NONE or position[v] > position[latest]:
                    latest = v
            word = neighbours[chosen, w] & alive[w]
            while word != np.uint64(0):
                weight[64 * w + _first(word)] += 1
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
def _first(word: Any) -> int:
    position = 0
    if word & np.uint64(0xFFFFFFFF) == np.uint64(0):
        word >>= np.uint64(32)
        position += 32
    while word & np.uint64(1) == np.uint64(0):
        word >>= np.uint64(1)
        position += 1
    return position


@kernel
def neighbour_sets(bits: Any, thresholds: Any, loops: bool) -> Any:
    """Return who follows and who precedes each vertex of the matrices `bits` (M, n, n) at thresholds (T,).

    Two arrays (M, T, n, words) of uint64; without `loops` no vertex is its own neighbour.
    """
    m, n = bits.shape[0], bits.shape[1]
    shape = (m, thresholds.shape[0], n, (n + 63) >> 6)
    successors, predecessors = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
    smallest = thresholds.min()
    for a in range(m):
        for i in range(n):
            for j in range(n):
                value = bits[a, i, j]
                if value < smallest or (i == j and not loops):
                    continue
                for t in range(thresholds.shape[0]):
                    if value >= thresholds[t]:
                        successors[a, t, i, j >> 6] |= np.uint64(1) << np.uint64(j & 63)
                        predecessors[a, t, j, i >> 6] |= np.uint64(1) << np.uint64(i & 63)
    return successors, predecessors


@kernel
def directed_statistics(successors: Any, predecessors: Any, strong: bool, cycles: bool, cap: int) -> Any:
    """Return (M, T, 2) int64: strong components, and cycles up to `cap`, of graphs (M, T, n, words).

    A self loop is a cycle; leave the loops out of the neighbour sets to count none.
    """
    m, thresholds, n, words = successors.shape
    out = np.zeros((m, thresholds, 2), np.int64)
    unseen = np.empty(words, np.uint64)
    stack, order = np.empty(n, np.int64), np.empty(n, np.int64)
    for a in range(m):
        for t in range(thresholds):
            if strong:
                out[a, t, 0] = strong_components(successors[a, t], predecessors[a, t], unseen, stack, order)
            if cycles:
                out[a, t, 1] = count_cycles(successors[a, t], predecessors[a, t], cap)
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
    """Compile the kernels for float32 and float64 bit patterns."""
    for dtype in (np.int32, np.int64):
        bits = np.arange(18, dtype=dtype).reshape(2, 3, 3)
        successors, predecessors = neighbour_sets(bits, bits[0, 0], False)
    directed_statistics(successors, predecessors, True, True, 50)
    undirected_statistics(successors, True, True)
    greedy_matchings(successors, predecessors)
