"""Random graphs of samples with coarse values, so that ties of every kind come up."""

import itertools

import numpy as np
from scipy import sparse


def as_lists(members, offsets):
    return [members[begin:end].tolist() for begin, end in itertools.pairwise(offsets)]


def random_graph(n, density, seed, columns):
    """Return edges (2, E), i < j, and a lens (n, columns) of sixteenths."""
    rng = np.random.default_rng(seed)
    edges = np.stack(np.triu_indices(n, 1))
    edges = edges[:, rng.random(edges.shape[1]) < density]
    return edges, rng.integers(0, 17, (n, columns)) / 16


def adjacency_of(n, edges):
    both = np.concatenate([edges, edges[::-1]], axis=1)
    adjacency = sparse.csr_array((np.ones(both.shape[1]), tuple(both)), shape=(n, n))
    adjacency.sort_indices()
    return adjacency


def neighbours_of(n, edges):
    found = {v: set() for v in range(n)}
    for i, j in edges.T.tolist():
        found[i].add(j)
        found[j].add(i)
    return found
