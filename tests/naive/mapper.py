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


def boxes(lens, n_intervals, overlap, ends):
    """Return the samples of each product of intervals by their numbers, comparing with all limits."""
    axes = []
    for values in lens.T:
        low, high = values.min(), values.max()
        if low == high:
            axes.append([np.ones(len(values), bool)])
        elif ends == "margin":
            cell = (high - low) / n_intervals
            middle, radius = low + cell * (np.arange(n_intervals) + 0.5), cell / (1 - overlap) / 2
            axes.append([(c - radius <= values) & (values <= c + radius) for c in middle])
        else:
            length = (high - low) / (n_intervals - (n_intervals - 1) * overlap)
            starts = low + np.arange(n_intervals) * (1 - overlap) * length
            starts[0], stops = -np.inf, starts + length
            stops[-1] = np.inf
            axes.append([(a < values) & (values < b) for a, b in zip(starts, stops, strict=True)])
    found = {}
    for numbers in itertools.product(*(range(len(axis)) for axis in axes)):
        inside = np.all([axis[k] for axis, k in zip(axes, numbers, strict=True)], axis=0)
        if inside.any():
            found[numbers] = np.flatnonzero(inside).tolist()
    return found


def linked(points, threshold):
    """Return the sets of samples that are joined by steps of at most `threshold`."""
    rest, clusters = set(range(len(points))), []
    while rest:
        front = [min(rest)]
        cluster = set(front)
        while front:
            i = front.pop()
            near = {j for j in rest - cluster if np.linalg.norm(points[i] - points[j]) <= threshold}
            cluster |= near
            front += near
        rest -= cluster
        clusters.append(sorted(cluster))
    return clusters


def merge_heights(points):
    """Return the heights at which single linkage joins two clusters, always the nearest ones."""
    clusters = [[i] for i in range(len(points))]
    heights = []
    while len(clusters) > 1:

        def gap(pair):
            return min(
                np.linalg.norm(points[i] - points[j]) for i in clusters[pair[0]] for j in clusters[pair[1]]
            )

        a, b = min(itertools.combinations(range(len(clusters)), 2), key=gap)
        heights.append(gap((a, b)))
        clusters[a] += clusters.pop(b)
    return np.array(heights)


def histogram_cut(heights, n_bins, grows):
    """Return how many merges lie below the first empty bin of NumPy's histogram."""
    if len(heights) < 2 or heights[0] == heights[-1]:
        return len(heights)
    while True:
        counts, edges = np.histogram(heights, n_bins)
        if not counts.all():
            return int((heights <= edges[counts.argmin()]).sum())
        if not grows:
            return len(heights)
        n_bins += 1


def relative_cut(heights, share):
    """Return how many merges lie before the first step of at least a share of the last height."""
    steps = np.diff(heights, prepend=0.0)
    large = np.flatnonzero(steps >= share * heights[-1]) if len(heights) and heights[-1] > 0 else []
    return int(large[0]) if len(large) else len(heights)
