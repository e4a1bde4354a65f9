"""Attention features by the slow and obvious way: sets, permutations and NetworkX, one map at a time."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np


def strong_components(adjacency: np.ndarray) -> int:
    """Count the classes of vertices that reach each other, by Warshall's closure."""
    n = len(adjacency)
    reach = adjacency.astype(bool) | np.eye(n, dtype=bool)
    for k in range(n):
        reach |= np.outer(reach[:, k], reach[k])
    return len({tuple(row) for row in reach & reach.T})


def count_cycles(adjacency: np.ndarray) -> int:
    """Count simple directed cycles, loops included, by all orders of all subsets of vertices."""
    n = len(adjacency)
    total = 0
    for size in range(1, n + 1):
        for vertices in itertools.combinations(range(n), size):
            for rest in itertools.permutations(vertices[1:]):
                cycle = (vertices[0], *rest)
                total += all(adjacency[cycle[k], cycle[(k + 1) % size]] for k in range(size))
    return total


def is_chordal(adjacency: np.ndarray) -> bool:
    """Eliminate vertices whose neighbours are a clique until none is left, or none can go."""
    near = {v: {int(w) for w in np.flatnonzero(adjacency[v])} - {v} for v in range(len(adjacency))}
    while near:
        simplicial = [
            v for v, others in near.items() if all(b in near[a] for a, b in itertools.combinations(others, 2))
        ]
        if not simplicial:
            return False
        v = simplicial[0]
        near.pop(v)
        for others in near.values():
            others.discard(v)
    return True


def maximum_matching(adjacency: np.ndarray) -> int:
    """Return the size of the largest set of disjoint edges, by NetworkX."""
    graph = nx.from_numpy_array(adjacency.astype(int))
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return len(nx.max_weight_matching(graph, maxcardinality=True))


def greedy_matching(adjacency: np.ndarray) -> int:
    """Let each free vertex take its smallest free larger successor, else predecessor."""
    free = set(range(len(adjacency)))
    size = 0
    for u in range(len(adjacency)):
        if u not in free:
            continue
        later = [v for v in sorted(free) if v > u]
        partner = next((v for v in later if adjacency[u, v]), None)
        partner = next((v for v in later if adjacency[v, u]), None) if partner is None else partner
        if partner is not None:
            free -= {u, partner}
            size += 1
    return size


def tree_weights(weights: np.ndarray) -> list[float]:
    """Return the sorted weights of a maximum spanning tree by Kruskal's algorithm."""
    n = len(weights)
    label = list(range(n))
    out = []
    for i, j in sorted(itertools.combinations(range(n), 2), key=lambda e: -weights[e]):
        if label[i] != label[j]:
            label = [label[i] if x == label[j] else x for x in label]
            out.append(float(weights[i, j]))
    return sorted(out)


def pattern_distance(attention: np.ndarray, template: np.ndarray) -> float:
    """Return the normalised Frobenius distance."""
    scale = np.sqrt((attention**2).sum() + (template**2).sum())
    return float(np.linalg.norm(attention - template) / scale)
