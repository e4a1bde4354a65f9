"""The net of a model's predictions: samples split into nodes, small nodes merged, small parts joined.

M. Liu, T. K. Dey, D. F. Gleich, "Topological structure of complex predictions", Nature Machine Intelligence,
2023, with canonical ties: of equal lengths the edge of the first samples, of equal sizes the first node.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from topodl.kernels.mapper.prediction_split import halve, shortest_exits

__all__ = ["NetSettings", "PredictionNet", "build_net", "edge_lengths", "projected_edges", "split_samples"]

Array = np.ndarray[Any, np.dtype[Any]]
_ITEM = 8  # bytes of an integer
_DIGITS = 12  # to which lengths count: those of edges between equal predictions are rounding


@dataclass(frozen=True)
class NetSettings:
    """What `PredictionMapper` says of these; `overlap` is the pair (right half, left half)."""

    max_size: int
    overlap: tuple[float, float]
    by_deviation: bool
    min_range: float
    min_size: int
    min_component: int
    merge: bool
    max_distance: float
    max_levels: int
    max_rounds: int


@dataclass(frozen=True)
class PredictionNet:
    """Nodes with their samples, and the edges between them.

    Attributes
    ----------
    node, sample : ndarray of shape (M,), int64
        Which sample lies in which node, sorted by both.
    edges : ndarray of shape (2, E), int64
        Nodes with a common sample or joined ones, the first one smaller, sorted.
    weights : ndarray of shape (E,), int64
        Samples that both ends have in common, 0 for joined ones.
    shown : ndarray of shape (V,), bool
        Whether the part of the net that a node is in has enough nodes.
    extra_edges : ndarray of shape (2, X), int64
        The pairs (inside, outside) of samples that joined small parts, in order.
    """

    node: Array
    sample: Array
    edges: Array
    weights: Array
    shown: Array
    extra_edges: Array


def build_net(adjacency: sparse.csr_array, lens: Array, settings: NetSettings) -> PredictionNet:
    """Return the net of samples (n,) in a graph, `adjacency` (n, n), with their `lens` (n, columns)."""
    members, offsets = split_samples(adjacency, lens, settings)
    node = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    usable = _usable_edges(adjacency, lens, settings.max_distance)
    if settings.merge:
        node, members = _merge_small_nodes(node, members, usable, settings)
    large = np.bincount(node) >= settings.min_size
    kept = large[node]
    return _join_small_parts((np.cumsum(large) - 1)[node[kept]], members[kept], usable, settings)


def edge_lengths(adjacency: sparse.csr_array, lens: Array) -> Array:
    """Return the largest difference of a column over each entry of `adjacency`, in its order."""
    rows = np.repeat(np.arange(adjacency.shape[0]), np.diff(adjacency.indptr))
    lengths = np.zeros(adjacency.nnz)
    for column in lens.T:  # one at a time: all of them would be a table of entries times classes
        np.maximum(lengths, np.abs(column[rows] - column[adjacency.indices]), out=lengths)
    return lengths


# Splitting


def split_samples(adjacency: sparse.csr_array, lens: Array, settings: NetSettings) -> tuple[Array, Array]:
    """Return the sets that samples fall into, as (members, offsets): distinct, in lexicographic order."""
    starts, neighbours = _walks(adjacency)
    lens, overlap = np.ascontiguousarray(lens), np.asarray(settings.overlap, dtype=np.float64)
    members, offsets = _grouped(connected_components(adjacency, directed=False)[1])
    whole = np.zeros(offsets.size - 1, dtype=bool)
    final: set[bytes] = set()
    for level in range(settings.max_levels + 1):
        keys = _as_keys(members, offsets)
        small = whole | (np.diff(offsets) <= settings.max_size)
        final.update(key for key, done in zip(keys, small, strict=True) if done)
        # Overlapping halves of different sets may be the same: each is followed once.
        waiting = list(dict.fromkeys(key for key, done in zip(keys, small, strict=True) if not done))
        if not waiting:
            break
        if level == settings.max_levels:
            warnings.warn(
                f"PredictionMapper: after max_levels = {settings.max_levels}, {len(waiting)} sets have over "
                f"max_size = {settings.max_size} samples, and are nodes as they are",
                stacklevel=4,
            )
            final.update(waiting)
            break
        members, offsets = _from_keys(waiting)
        members, offsets, whole = halve(
            starts,
            neighbours,
            lens,
            members,
            offsets,
            overlap,
            settings.by_deviation,
            float(settings.min_range),
        )
    return _from_keys(sorted(final))


def _walks(adjacency: sparse.csr_array) -> tuple[Array, Array]:
    return adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int64)


def _grouped(labels: Array) -> tuple[Array, Array]:
    """Return the members of each label from 0 on, rising, as (members, offsets)."""
    members = np.argsort(labels, kind="stable")
    return members, np.concatenate([[0], np.cumsum(np.bincount(labels))])


def _as_keys(members: Array, offsets: Array) -> list[bytes]:
    """Return each set as bytes, which compare, hash and sort as the lists of its members do."""
    raw, places = members.astype(">i8").tobytes(), (offsets * _ITEM).tolist()
    return [raw[begin:end] for begin, end in itertools.pairwise(places)]


def _from_keys(keys: list[bytes]) -> tuple[Array, Array]:
    members = np.frombuffer(b"".join(keys), dtype=">i8").astype(np.int64)
    return members, np.concatenate([[0], np.cumsum([len(key) // _ITEM for key in keys])]).astype(np.int64)


# Merging and joining


@dataclass(frozen=True)
class _UsableEdges:
    """The edges over which nodes may merge, both ways, sorted, and their lengths."""

    starts: Array
    neighbours: Array
    lengths: Array

    def exits(self, owner: Array, sample: Array, owners: Array) -> Array:
        """Return the shortest edge (inside, outside) out of the samples of each of `owners`; -1 without one.

        Both `owner` (M,), the sets that each `sample` (M,) is in, and `owners` rise.
        """
        begins, ends = np.searchsorted(owner, owners), np.searchsorted(owner, owners, side="right")
        members = sample[np.isin(owner, owners)]
        offsets = np.concatenate([[0], np.cumsum(ends - begins)])
        return shortest_exits(self.starts, self.neighbours, self.lengths, members, offsets)


def _usable_edges(adjacency: sparse.csr_array, lens: Array, max_distance: float) -> _UsableEdges:
    lengths = edge_lengths(adjacency, lens)
    usable = lengths < max_distance
    before = np.concatenate([[0], np.cumsum(usable)])
    starts, neighbours = _walks(adjacency)
    return _UsableEdges(before[starts], neighbours[usable], lengths[usable].round(_DIGITS))


def _smallest_nodes(node: Array, sample: Array, n_samples: int) -> Array:
    """Return for each sample the smallest node that it is in, the first of equal ones; -1 if in none."""
    sizes = np.bincount(node)
    order = np.lexsort((node, sizes[node], sample))
    smallest = np.full(n_samples, -1)
    smallest[sample[order[::-1]]] = node[order[::-1]]  # the first of each sample is written last
    return smallest


def _merge_small_nodes(
    node: Array, sample: Array, usable: _UsableEdges, settings: NetSettings
) -> tuple[Array, Array]:
    """Return the pairs of node and sample after small nodes have gone where their shortest edge leads."""
    n_nodes, n_samples = int(node.max(initial=-1)) + 1, usable.starts.size - 1
    for _ in range(settings.max_rounds):
        sizes = np.bincount(node, minlength=n_nodes)
        small = np.flatnonzero((sizes > 0) & (sizes < settings.min_size))
        leads_to = usable.exits(node, sample, small)[:, 1]
        small, leads_to = small[leads_to >= 0], leads_to[leads_to >= 0]
        if not small.size:
            break
        chosen = _smallest_nodes(node, sample, n_samples)[leads_to]
        links = sparse.coo_array((np.ones(small.size), (small, chosen)), shape=(n_nodes, n_nodes))
        group = connected_components(links, directed=False)[1]
        # A small node chooses one other, a large one none: at most one large node is in each group.
        first = np.full(n_nodes, n_nodes)
        np.minimum.at(first, group, np.arange(n_nodes))
        large = np.flatnonzero(sizes >= settings.min_size)
        first[group[large]] = large
        pairs = _distinct(first[group[node]] * n_samples + sample)
        node, sample = np.divmod(pairs, n_samples)
    return node, sample


def _join_small_parts(
    node: Array, sample: Array, usable: _UsableEdges, settings: NetSettings
) -> PredictionNet:
    """Return the net after parts with few nodes were linked to where their shortest edge leads."""
    n_nodes, n_samples = int(node.max(initial=-1)) + 1, usable.starts.size - 1
    shared = _shared_samples(node, sample, n_nodes, n_samples)
    smallest = _smallest_nodes(node, sample, n_samples)
    first = np.full(n_samples, n_nodes)
    np.minimum.at(first, sample, node)
    joined, extra = np.empty((2, 0), np.int64), np.empty((2, 0), np.int64)
    for _ in range(settings.max_rounds if settings.merge else 0):
        part, sizes = _parts(shared, joined, n_nodes)
        small = np.flatnonzero(sizes < settings.min_component)
        pairs = _distinct(part[node] * n_samples + sample)
        inside, outside = usable.exits(*np.divmod(pairs, n_samples), small).T
        found = (outside >= 0) & (smallest[outside] >= 0)
        if not found.any():
            break
        inside, outside = inside[found], outside[found]
        joined = np.concatenate([joined, [first[inside], smallest[outside]]], axis=1)
        extra = np.concatenate([extra, [inside, outside]], axis=1)
    part, sizes = _parts(shared, joined, n_nodes)
    edges, weights = _with_joined(shared, joined, n_nodes)
    return PredictionNet(node, sample, edges, weights, sizes[part] >= settings.min_component, extra)


def _distinct(keys: Array) -> Array:
    """Return integers once each, rising; NumPy's own function hashes them first, which takes longer."""
    ordered = np.sort(keys)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def _shared_samples(node: Array, sample: Array, n_nodes: int, n_samples: int) -> sparse.coo_array:
    """Return the number of samples that two nodes share, above the diagonal, (V, V)."""
    membership = sparse.csr_array(
        (np.ones(node.size, dtype=np.int64), (node, sample)), shape=(n_nodes, n_samples)
    )
    return sparse.triu(membership @ membership.T, k=1, format="coo")


def _parts(shared: sparse.coo_array, joined: Array, n_nodes: int) -> tuple[Array, Array]:
    """Return which part of the net each node is in, by their first nodes, and their sizes."""
    ends = np.concatenate([np.stack(shared.coords), joined], axis=1)
    links = sparse.coo_array((np.ones(ends.shape[1]), tuple(ends)), shape=(n_nodes, n_nodes))
    label = connected_components(links, directed=False)[1]
    _, first, part = np.unique(label, return_index=True, return_inverse=True)
    part = np.argsort(np.argsort(first))[part]
    return part, np.bincount(part, minlength=first.size)


def _with_joined(shared: sparse.coo_array, joined: Array, n_nodes: int) -> tuple[Array, Array]:
    """Return all edges, sorted, and how many samples their ends share."""
    rows, columns = shared.coords
    keys = np.concatenate([rows * n_nodes + columns, joined.min(0) * n_nodes + joined.max(0)])
    weights = np.concatenate([shared.data, np.zeros(joined.shape[1], dtype=np.int64)])
    keys, place = np.unique(keys, return_inverse=True)
    return np.stack(np.divmod(keys, max(n_nodes, 1))), np.bincount(place, weights, keys.size).astype(np.int64)


def projected_edges(adjacency: sparse.csr_array, net: PredictionNet) -> Array:
    """Return the edges (2, P) of samples in a common node, and those that joined parts: i < j, sorted."""
    n = adjacency.shape[0]
    i, j = sparse.triu(adjacency, k=1, format="coo").coords
    nodes_of = sparse.csr_array(
        (np.ones(net.node.size, dtype=np.int64), (net.sample, net.node)), shape=(n, net.shown.size)
    )
    together = nodes_of[i].multiply(nodes_of[j]).sum(axis=1) > 0
    keys = np.concatenate(
        [i[together] * n + j[together], net.extra_edges.min(0) * n + net.extra_edges.max(0)]
    )
    return np.stack(np.divmod(_distinct(keys), n))
