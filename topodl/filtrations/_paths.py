"""Lengths of shortest paths, differentiable: which edges they take is found once, on detached values.

Dijkstra, "A note on two problems in connexion with graphs", 1959, by SciPy. Cost O(n (n log n + m)) for each
graph, then log of the longest path's edges passes over matrices.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csgraph

from topodl._host import host_array
from topodl.kernels.shared.pool import map_batch

__all__ = ["path_lengths"]


def path_lengths(name: str, entries: torch.Tensor) -> torch.Tensor:
    """Return the lengths (g, n, n) of shortest paths, inf where there is none.

    `entries` (g, n, n) are symmetric lengths of edges of at least 0, inf for none, 0 on the diagonal.
    """
    if not entries.numel():
        return entries
    before = map_batch(_steps_back, list(host_array(name, entries)))
    pointer = torch.from_numpy(np.stack(before)).to(entries.device)
    unreached = pointer < 0
    own = torch.arange(entries.shape[1], device=entries.device).expand_as(pointer)
    pointer = torch.where(unreached, own, pointer)
    lengths = entries.gather(2, pointer.mT).mT  # of the last edge of each path
    while True:  # each pass doubles the edges that a length counts
        lengths = lengths + lengths.gather(2, pointer)
        following = pointer.gather(2, pointer)
        if torch.equal(following, pointer):
            return lengths.masked_fill(unreached, torch.inf)
        pointer = following


def _steps_back(entries: np.ndarray) -> np.ndarray:
    """Return the vertex before the last on the path from each to each; itself at the start, -1 for none."""
    graph = csgraph.csgraph_from_dense(entries, null_value=np.inf)
    _, before = csgraph.dijkstra(graph, directed=True, return_predecessors=True)
    before = before.astype(np.int64)
    np.fill_diagonal(before, np.arange(len(entries)))
    return np.where(before < 0, -1, before)
