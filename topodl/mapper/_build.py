"""From a cover and labels to a graph: nodes, the samples they hold, and what joins them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._checks import check_choice, check_number
from topodl._segments import stable_order
from topodl.kernels.mapper.incidences import number_clusters
from topodl.mapper._near import Array, Samples
from topodl.mapper.clustering import PreimageClusterer
from topodl.mapper.covers import Cover, IntervalCover, Preimages
from topodl.mapper.graph import MapperGraph

__all__ = ["Built", "Settings", "build_graph"]


class Settings(NamedTuple):
    """What decides, besides cover and clusterer, which nodes there are and how they are joined."""

    noise: str
    min_size: int
    min_shared: int
    max_dim: int

    def check(self, function: str) -> None:
        """Raise the error that names the first setting that is unusable."""
        check_choice(function, "noise", self.noise, ("drop", "singletons", "node"))
        for name in ("min_size", "min_shared", "max_dim"):
            check_number(function, name, getattr(self, name), low=1, integer=True)


class Built(NamedTuple):
    """A graph, and the element of the cover (V,) that each of its nodes comes from."""

    graph: MapperGraph
    elements: Array


def build_graph(
    samples: Samples, preimages: Preimages, cover: Cover, clusterer: PreimageClusterer, settings: Settings
) -> Built:
    """Return the graph of the clusters of `preimages`, the elements of a cover."""
    labels = clusterer.cluster(samples, preimages)
    node_of, n_nodes = _numbered(preimages, labels, settings)
    kept = np.flatnonzero(node_of >= 0)
    order = kept[stable_order(torch.from_numpy(node_of[kept]), n_nodes).numpy()]
    sizes = np.bincount(node_of[kept], minlength=n_nodes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    elements = preimages.elements[order[starts[:-1]]]
    joined: dict[str, Any] = {}
    if isinstance(cover, IntervalCover) and cover.kind == "bins":
        pairs = clusterer.joining_pairs(samples)
        joined = _neighbouring_bins(pairs, preimages, node_of, elements, len(samples.table))
    graph = MapperGraph(
        torch.from_numpy(starts),
        torch.from_numpy(preimages.samples[order]),
        len(samples.table),
        cover_index=torch.from_numpy(preimages.cover_index[elements].astype(np.int64)),
        min_shared=settings.min_shared,
        max_dim=settings.max_dim,
        **joined,
    )
    return Built(graph, elements)


def _numbered(preimages: Preimages, labels: Array, settings: Settings) -> tuple[Array, int]:
    """Return the node (M,) of each sample of each element, −1 for none, and the number of nodes.

    Nodes are numbered by element, then by their first samples.
    """
    labels = labels.copy()
    noise = np.flatnonzero(labels < 0)
    if settings.noise != "drop":  # labels of their own: one for each, or one for all of an element
        single = settings.noise == "singletons"
        labels[noise] = labels.max(initial=-1) + 1 + (np.arange(len(noise)) if single else 0)
    clusters, n_clusters = number_clusters(preimages.starts, labels, int(labels.max(initial=-1)) + 1)
    large = np.bincount(clusters[clusters >= 0], minlength=n_clusters) >= settings.min_size
    rank = np.append(np.where(large, np.cumsum(large) - 1, -1), -1)  # the last is that of no cluster
    return rank[clusters], int(large.sum())


def _neighbouring_bins(
    pairs: Array, preimages: Preimages, node_of: Array, elements: Array, n_samples: int
) -> dict[str, Any]:
    """Return edges between nodes of neighbouring bins, with the number of near pairs that join them."""
    node = np.full(n_samples, -1)
    node[preimages.samples] = node_of  # each sample lies in one bin
    ends = node[pairs]
    ends = np.sort(ends[(ends >= 0).all(1) & (ends[:, 0] != ends[:, 1])], axis=1)
    bins = preimages.cover_index[elements]
    steps = np.abs(bins[ends[:, 0]] - bins[ends[:, 1]]).max(1, initial=0)
    edges, counts = np.unique(ends[steps == 1], axis=0, return_counts=True)
    return {
        "edge_index": torch.from_numpy(edges.reshape(-1, 2).T.copy()),
        "edge_weight": torch.from_numpy(counts),
    }
