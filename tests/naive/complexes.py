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
