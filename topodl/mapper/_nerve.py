"""Simplices of nodes with common samples: which nodes meet, and in how many samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from topodl._segments import stable_order
from topodl.errors import MemoryLimitError
from topodl.kernels.mapper.links import common_members, node_subsets, shared_pairs

__all__ = ["given_edges", "nerve_edges", "nerve_simplices", "nodes_of_samples"]

Array = npt.NDArray[Any]
_MOST_SUBSETS = 2 * 10**8


def nodes_of_samples(node_ptr: Array, members: Array, n_samples: int) -> tuple[Array, Array]:
    """Return where the list of each sample begins (N + 1,), and the nodes that hold it, rising."""
    sizes = np.bincount(members, minlength=n_samples)
    order = stable_order(torch.from_numpy(members), n_samples).numpy()
    owners = np.repeat(np.arange(len(node_ptr) - 1), np.diff(node_ptr))
    return np.concatenate([[0], np.cumsum(sizes)]), owners[order]


def nerve_edges(node_ptr: Array, members: Array, n_samples: int, min_shared: int) -> tuple[Array, Array]:
    """Return the pairs (2, E), u < v, sorted, of nodes with common samples, and their numbers (E,)."""
    sample_ptr, nodes = nodes_of_samples(node_ptr, members, n_samples)
    pairs, shared = shared_pairs(node_ptr, members, sample_ptr, nodes, min_shared)
    order = np.lexsort(pairs[::-1])
    return pairs[:, order], shared[order]


def given_edges(pairs: Array, node_ptr: Array, members: Array) -> tuple[Array, Array]:
    """Return edges (2, M) of any order and direction once each, u < v, sorted, with their shared sizes."""
    once = np.ascontiguousarray(np.unique(np.sort(pairs, axis=0), axis=1).reshape(2, -1))
    return once, common_members(once, node_ptr, members)


def nerve_simplices(
    function: str, node_ptr: Array, members: Array, n_samples: int, dim: int, min_shared: int
) -> Array:
    """Return the sets (S, dim + 1) of nodes with at least `min_shared` common samples, sorted."""
    sample_ptr, nodes = nodes_of_samples(node_ptr, members, n_samples)
    lengths, counts = np.unique(np.diff(sample_ptr), return_counts=True)
    total = sum(math.comb(int(n), dim + 1) * int(times) for n, times in zip(lengths, counts, strict=True))
    if total > _MOST_SUBSETS:
        raise MemoryLimitError(
            f"{function}: dim is {dim}, and samples lie in up to {lengths[-1]} nodes, which are {total} sets "
            f"of {dim + 1} nodes; expected at most {_MOST_SUBSETS}: a cover with less overlap, or another dim"
        )
    subsets = node_subsets(sample_ptr, nodes, dim + 1, total)
    found, shared = np.unique(subsets, axis=0, return_counts=True)
    return found[shared >= min_shared].reshape(-1, dim + 1)
