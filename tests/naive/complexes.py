"""Slow, obvious twins of the liftings: over all sets of vertices."""

import itertools


def cliques(vertices, edges, size):
    """Return all sets of `size` vertices that edges (u, v), u < v, join pairwise, sorted."""
    joined = set(edges)
    return [
        s
        for s in itertools.combinations(vertices, size)
        if all(pair in joined for pair in itertools.combinations(s, 2))
    ]


def chordless_cycles(vertices, edges, max_length):
    """Return all cycles without chords of at most `max_length` vertices, sorted by length and vertices.

    Each begins at its least vertex, and its second is less than its last.
    """
    joined = set(edges) | {(v, u) for u, v in edges}
    found = []
    for length in range(3, max_length + 1):
        for cycle in itertools.permutations(vertices, length):
            if cycle[0] == min(cycle) and cycle[1] < cycle[-1]:
                around = {frozenset(pair) for pair in zip(cycle, cycle[1:] + cycle[:1], strict=True)}
                inside = {frozenset(p) for p in itertools.combinations(cycle, 2) if p in joined}
                if around == inside:
                    found.append(cycle)
    return found


def relevant_cycles(vertices, edges, max_length):
    """Return the cycles among those without chords that are no sum, over Z/2, of shorter cycles."""
    cycles = chordless_cycles(vertices, edges, max_length)
    sets = {c: {frozenset(pair) for pair in zip(c, c[1:] + c[:1], strict=True)} for c in cycles}
    return [c for c in cycles if not _is_sum(sets[c], [sets[d] for d in cycles if len(d) < len(c)])]


def _is_sum(wanted, sets):
    """Return whether a set is the symmetric difference of some of the others, by elimination."""
    rest = [set(each) for each in sets]
    wanted = set(wanted)
    while rest:
        pivot_row = rest.pop()
        if pivot_row:
            pivot = min(pivot_row, key=sorted)
            rest = [each ^ pivot_row if pivot in each else each for each in rest]
            wanted = wanted ^ pivot_row if pivot in wanted else wanted
    return not wanted


def sets_with_common_neighbours(vertices, edges, size):
    """Return all sets of `size` vertices that are all joined to one vertex, sorted."""
    around = {v: {b if a == v else a for a, b in edges if v in (a, b)} for v in vertices}
    return [s for s in itertools.combinations(vertices, size) if any(set(s) <= around[v] for v in vertices)]
