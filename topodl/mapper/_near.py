"""Which samples are near each other, and the spanning trees of all preimages at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sklearn.neighbors import radius_neighbors_graph

from topodl.kernels.points.spanning_tree import spanning_tree_of_matrix, spanning_tree_of_points
from topodl.kernels.shared.pool import map_batch
from topodl.mapper.covers import Preimages

__all__ = ["Samples", "Trees", "spanning_trees", "united"]

Array = npt.NDArray[Any]
_MOST_DIMS = 16  # up to which a tree of boxes pays
_MOST_PAIRS = 3 * 10**7
_COUNTED_FROM = 5000  # fewer samples have no more pairs than that


class Samples(NamedTuple):
    """Coordinates of samples (n, d), or their distances (n, n)."""

    table: Array
    are_distances: bool

    def cloud(self, which: Array) -> Array:
        """Return the coordinates, or the distances, of some samples."""
        return self.table[np.ix_(which, which)] if self.are_distances else self.table[which]

    def near_pairs(self, distance: float) -> Array:
        """Return the pairs (P, 2), i < j, of samples that are no further apart than `distance`."""
        if self.are_distances:
            return np.argwhere(np.triu(self.table <= distance, 1))
        if self.table.shape[1] <= _MOST_DIMS:
            return _tree(self.table).query_pairs(distance, output_type="ndarray")
        near = radius_neighbors_graph(self.table, distance, mode="connectivity").tocoo()
        above = near.row < near.col
        return np.stack([near.row[above], near.col[above]], 1).astype(np.int64)

    def has_few_near_pairs(self, distance: float) -> bool:
        """Return whether it is quick to list the near pairs, and their list fits in memory."""
        if self.are_distances:
            return True
        return self.table.shape[1] <= _MOST_DIMS and not self.are_dense(distance)

    def are_dense(self, distance: float) -> bool:
        """Return whether a list of the near pairs may not fit in memory, where a tree of boxes tells."""
        if self.are_distances or self.table.shape[1] > _MOST_DIMS or len(self.table) < _COUNTED_FROM:
            return False
        # a few samples are enough to tell sparse from dense
        some = self.table[:: max(1, len(self.table) // 100)]
        found = _tree(self.table).query_ball_point(some, distance, return_length=True).mean()
        return bool(found * len(self.table) >= 2 * _MOST_PAIRS)

    def spanning_tree(self, which: Array) -> tuple[Array, Array]:
        """Return the edges (m − 1, 2) of the least spanning tree of some samples, and their lengths."""
        cloud = np.ascontiguousarray(self.cloud(which))
        tree: tuple[Array, Array] = (
            spanning_tree_of_matrix(cloud) if self.are_distances else spanning_tree_of_points(cloud)
        )
        return tree


def _tree(points: Array) -> cKDTree:
    """Return a tree that is quick to build, and as quick to search where points are spread out."""
    return cKDTree(points, compact_nodes=False, balanced_tree=False)


class Trees(NamedTuple):
    """Spanning trees of preimages: edges (T, 2) between incidences, by length within each preimage.

    Those of preimage k lie between `starts` (K + 1,).
    """

    starts: Array
    edges: Array
    lengths: Array

    def kept(self, counts: Array) -> Array:
        """Return the first edges of each preimage, as many as `counts` (K,) says."""
        place = np.arange(len(self.edges)) - np.repeat(self.starts[:-1], np.diff(self.starts))
        return self.edges[place < np.repeat(counts, np.diff(self.starts))]


def spanning_trees(samples: Samples, preimages: Preimages) -> Trees:
    """Return the least spanning tree of every preimage."""
    trees = map_batch(samples.spanning_tree, preimages.sets())
    sizes = np.array([len(lengths) for _, lengths in trees], np.int64)
    edges = np.concatenate([np.empty((0, 2), np.int64), *(edges for edges, _ in trees)])
    edges += np.repeat(preimages.starts[:-1], sizes)[:, None]
    lengths = np.concatenate([np.empty(0), *(lengths for _, lengths in trees)])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((edges[:, 1], edges[:, 0], lengths, owner))
    return Trees(np.concatenate([[0], np.cumsum(sizes)]), edges[order], lengths[order])


def united(n: int, edges: Array) -> Array:
    """Return the component of each of `n` incidences that `edges` (T, 2) join."""
    ones = np.ones(len(edges), np.int8)
    _, labels = connected_components(
        coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(n, n)), directed=False
    )
    return labels.astype(np.int64)
