"""Slow, obvious twins of Mapper: nerves, statistics of nodes, preimages, clusters by comparing all pairs."""

import itertools

import numpy as np


def shared_sizes(nodes):
    """Return the number of common samples of each pair of nodes that has any."""
    pairs = itertools.combinations(range(len(nodes)), 2)
    sizes = {(u, v): len(set(nodes[u]) & set(nodes[v])) for u, v in pairs}
    return {pair: size for pair, size in sizes.items() if size}


def simplices(nodes, dim, min_shared=1):
    """Return the sets of dim + 1 nodes with at least `min_shared` common samples."""
    found = []
    for chosen in itertools.combinations(range(len(nodes)), dim + 1):
        if len(set.intersection(*(set(nodes[k]) for k in chosen))) >= min_shared:
            found.append(list(chosen))
    return found


def mode(values):
    """Return the most frequent value, of several the least."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct[counts.argmax()]


STATISTICS = {
    "mean": np.mean,
    "median": np.median,
    "std": np.std,
    "min": np.min,
    "max": np.max,
    "count": np.count_nonzero,
    "mode": mode,
}


def aggregate(nodes, values, statistic):
    """Return a statistic of each column of `values` over each node, node by node."""
    columns = values.reshape(len(values), -1)
    rows = [[STATISTICS[statistic](column[sorted(node)]) for column in columns.T] for node in nodes]
    return np.array(rows).reshape(len(nodes), *values.shape[1:])
