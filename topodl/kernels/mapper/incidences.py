"""Pairs (sample, cover element) that hold, and the clusters of all elements at once by one union over them.

Samples lie in few elements, so walking two short lists for each near pair replaces a search in each element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel
from topodl.kernels.shared.union_find import find_root

__all__ = ["cells_of_ranges", "density_clusters", "number_clusters", "warm_up"]


@kernel
def cells_of_ranges(first: Any, last: Any, strides: Any) -> Any:
    """Return where the cells of each sample begin (n + 1,), and the cells, rising.

    A sample lies in the intervals `first` to `last` (n, q) of each axis, none where `last` is smaller; a cell
    of them has the sum of their numbers times `strides` (q,), which fall.
    """
    n, n_axes = first.shape
    starts = zeros(n + 1, np.int64)
    for i in range(n):
        count = 1
        for a in range(n_axes):
            count *= max(last[i, a] - first[i, a] + 1, 0)
        starts[i + 1] = starts[i] + count
    cells, at = np.empty(starts[n], np.int64), np.empty(n_axes, np.int64)
    for i in range(n):
        for a in range(n_axes):
            at[a] = first[i, a]
        for k in range(starts[i], starts[i + 1]):
            cells[k] = 0
            for a in range(n_axes):
                cells[k] += at[a] * strides[a]
            axis = n_axes - 1  # counts on like the digits of a number
            at[axis] += 1
            while axis > 0 and at[axis] > last[i, axis]:
                at[axis] = first[i, axis]
                axis -= 1
                at[axis] += 1
    return starts, cells


@borrowing_subroutine
def _next_common(elements: Any, i: Any, end_i: Any, j: Any, end_j: Any) -> Any:
    """Return the next places of two rising lists, from `i` and `j` on, at which the same element stands."""
    while i < end_i and j < end_j and elements[i] != elements[j]:
        if elements[i] < elements[j]:
            i += 1
        else:
            j += 1
    return i, j


@borrowing_subroutine
def _count_neighbours(pairs: Any, starts: Any, elements: Any, counts: Any) -> None:
    """Add to each incidence the number of near samples in the same element."""
    for p in range(len(pairs)):
        i, end_i = starts[pairs[p, 0]], starts[pairs[p, 0] + 1]
        j, end_j = starts[pairs[p, 1]], starts[pairs[p, 1] + 1]
        i, j = _next_common(elements, i, end_i, j, end_j)
        while i < end_i and j < end_j:
            counts[i] += 1
            counts[j] += 1
            i, j = _next_common(elements, i + 1, end_i, j + 1, end_j)


@kernel
def density_clusters(pairs: Any, starts: Any, elements: Any, min_samples: int) -> Any:
    """Return for each incidence (M,) the first core incidence of its cluster; -1 for noise.

    Core are incidences with at least `min_samples` samples of their element near, themselves counted; near
    cores are in one cluster, and what is near a core is in that of the smallest first core. With 1 all are
    core, and this is single linkage. `pairs` (P, 2) are near samples, the elements of sample i rise between
    `starts`.
    """
    n = len(elements)
    parent, counts = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        parent[i], counts[i] = i, 1
    if min_samples > 1:
        _count_neighbours(pairs, starts, elements, counts)
    for p in range(len(pairs)):
        i, end_i = starts[pairs[p, 0]], starts[pairs[p, 0] + 1]
        j, end_j = starts[pairs[p, 1]], starts[pairs[p, 1] + 1]
        i, j = _next_common(elements, i, end_i, j, end_j)
        while i < end_i and j < end_j:
            if counts[i] >= min_samples and counts[j] >= min_samples:
                a, b = find_root(parent, i), find_root(parent, j)
                parent[max(a, b)] = min(a, b)
            i, j = _next_common(elements, i + 1, end_i, j + 1, end_j)
    clusters = np.empty(n, np.int64)
    for i in range(n):
        clusters[i] = find_root(parent, i) if counts[i] >= min_samples else -1
    if min_samples > 1:
        _join_borders(pairs, starts, elements, counts, min_samples, clusters)
    return clusters


@borrowing_subroutine
def _join_borders(
    pairs: Any, starts: Any, elements: Any, counts: Any, min_samples: Any, clusters: Any
) -> None:
    """Give what is near a core, and no core itself, the smallest of the clusters of such cores."""
    for p in range(len(pairs)):
        i, end_i = starts[pairs[p, 0]], starts[pairs[p, 0] + 1]
        j, end_j = starts[pairs[p, 1]], starts[pairs[p, 1] + 1]
        i, j = _next_common(elements, i, end_i, j, end_j)
        while i < end_i and j < end_j:
            core, border = (i, j) if counts[i] >= min_samples else (j, i)
            joins = counts[core] >= min_samples and counts[border] < min_samples
            if joins and (clusters[border] < 0 or clusters[core] < clusters[border]):
                clusters[border] = clusters[core]
            i, j = _next_common(elements, i + 1, end_i, j + 1, end_j)


@kernel
def number_clusters(starts: Any, labels: Any, n_labels: int) -> Any:
    """Return the cluster (M,) of each incidence, and their number; -1 where the label is.

    Incidences of element k lie between `starts`, and equal labels are one cluster there; clusters are
    numbered in the order in which they begin.
    """
    clusters, n_clusters = np.empty(len(labels), np.int64), 0
    number, element = np.empty(n_labels, np.int64), np.empty(n_labels, np.int64)
    for label in range(n_labels):
        element[label] = -1
    for k in range(len(starts) - 1):
        for i in range(starts[k], starts[k + 1]):
            label = labels[i]
            if label < 0:
                clusters[i] = -1
                continue
            if element[label] != k:
                element[label], number[label] = k, n_clusters
                n_clusters += 1
            clusters[i] = number[label]
    return clusters, n_clusters


def warm_up() -> None:
    """Compile every kernel of this module."""
    ones = np.ones((2, 1), np.int64)
    starts, cells = cells_of_ranges(ones, ones, np.array([1]))
    number_clusters(starts, density_clusters(np.array([[0, 1]]), starts, cells, 2), 2)
