"""What the compiled kernels say about a batch of attention maps: counts, spanning trees, loops of barcodes.

Everything here is of detached values; the differentiable ones are gathered by `_features`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._host import host_array
from topodl.kernels.attention import trees as tree_kernels
from topodl.kernels.attention.graphs import (
    directed_statistics,
    greedy_matchings,
    neighbour_sets,
    undirected_statistics,
)
from topodl.kernels.attention.loops import map_loop_edges
from topodl.kernels.shared.pool import get_num_threads, map_batch

__all__ = [
    "GraphSettings",
    "Maps",
    "Trees",
    "graph_counts",
    "loop_edges",
    "moments",
    "row_sums",
    "spanning_trees",
    "symmetrized",
]

_Array = np.ndarray[Any, Any]
# Small enough that the sets of neighbours of one chunk stay in the second cache, large enough that a call's
# overhead does not count.
_CHUNK_ENTRIES = 1 << 18


class GraphSettings(NamedTuple):
    """How the graphs of a map are read; the fields are the parameters of `AttentionTopology`."""

    thresholds: tuple[float, ...]
    symmetrize: str | None
    self_loops: bool
    cycle_cap: int
    component_cap: int | None


class Maps(NamedTuple):
    """Maps (M, n, n) on the host, and what their rows are to be divided by (M, n)."""

    values: _Array
    sums: _Array

    @classmethod
    def of(cls, maps: torch.Tensor, sums: torch.Tensor | None) -> Maps:
        """Return the detached values of `maps`; without `sums` the rows stay as they are."""
        values = host_array("AttentionTopology", maps)
        divisors = np.ones(values.shape[:2], values.dtype) if sums is None else sums.numpy()
        return cls(values, divisors)

    def chunks(self) -> list[Maps]:
        """Return the slices that the threads work on."""
        m, n = self.sums.shape
        size = max(1, min(-(-m // get_num_threads()), _CHUNK_ENTRIES // max(n * n, 1)))
        if size >= m:
            return [self]
        starts = range(0, m, size)
        return [Maps(self.values[k : k + size], self.sums[k : k + size]) for k in starts]


class Trees(NamedTuple):
    """Maximum spanning trees: edges i * n + j (M, n - 1), their weights, and (M, T, 4) counts.

    The counts at each threshold are of entries, of those on the diagonal, of undirected edges, and of
    components.
    """

    edges: _Array
    weights: _Array
    counts: _Array


def symmetrized(maps: torch.Tensor, how: str | None) -> torch.Tensor:
    """Return the symmetric weights (…, n, n) of directed maps; the diagonal stays. None is as "max"."""
    if how in ("max", None):
        return torch.maximum(maps, maps.mT)
    if how == "min":
        return torch.minimum(maps, maps.mT)
    if how == "mean":
        return (maps + maps.mT) / 2
    upper = maps.triu(1)
    return upper + upper.mT + torch.diag_embed(maps.diagonal(dim1=-2, dim2=-1))


def row_sums(values: _Array) -> tuple[_Array, bool]:
    """Return the sums (M, n) of the rows of `values` (M, n, n), and whether any entry is negative."""
    sums, negative = tree_kernels.row_sums(values)
    return sums, negative > 0


def spanning_trees(maps: Maps, thresholds: tuple[float, ...]) -> Trees:
    """Return the maximum spanning trees of max(A, Aᵀ), and the numbers of edges at `thresholds`."""
    at = np.asarray(thresholds, maps.values.dtype)
    return Trees(*_joined(maps, lambda part: tree_kernels.spanning_trees(*part, at, *_room(part.values))))


def moments(maps: Maps) -> tuple[_Array, _Array]:
    """Return the sums of columns (M, n), and of squares, diagonal, entries below and above it (M, 4)."""
    columns, scalars = _joined(maps, lambda part: tree_kernels.moments(*part))
    return columns, scalars


def _room(values: _Array) -> tuple[_Array, _Array]:
    """Return room for one map, and the same memory as integers of the same size."""
    room = np.empty(values.shape[1:], values.dtype)
    return room, room.view(np.int32 if values.dtype == np.float32 else np.int64)


def _joined(maps: Maps, step: Callable[[Maps], tuple[_Array, ...]]) -> tuple[_Array, ...]:
    """Return the arrays that `step` gives for the chunks of `maps`, each joined."""
    parts = map_batch(step, maps.chunks())
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def graph_counts(
    maps: Maps, symmetric: Maps, wanted: frozenset[str], settings: GraphSettings
) -> dict[str, _Array]:
    """Return the statistics in `wanted` that need the graphs themselves: name -> (M, T) array.

    `symmetric` are the undirected weights of `maps`; where they are the larger of both directions they are
    not looked at, since an undirected edge is then an edge of either direction.
    """
    ascending = sorted(set(settings.thresholds))
    at = np.asarray(ascending, maps.values.dtype)
    names = sorted(wanted)
    chunks = list(zip(maps.chunks(), symmetric.chunks(), strict=True))
    parts = map_batch(lambda chunk: _graph_counts(*chunk, at, wanted, settings), chunks)
    columns = [ascending.index(threshold) for threshold in settings.thresholds]
    return {name: np.concatenate([part[name] for part in parts])[:, columns] for name in names}


def _graph_counts(
    maps: Maps, symmetric: Maps, thresholds: _Array, wanted: frozenset[str], settings: GraphSettings
) -> dict[str, _Array]:
    out: dict[str, _Array] = {}
    either = settings.symmetrize in ("max", None)
    directed = {"strong_components", "cycles"} & wanted
    if directed or either:
        successors, predecessors = neighbour_sets(*maps, thresholds, settings.self_loops)
    if directed:
        strong, cycles = "strong_components" in wanted, "cycles" in wanted
        found = directed_statistics(successors, predecessors, strong, cycles, settings.cycle_cap)
        out["strong_components"], out["cycles"] = found[..., 0], found[..., 1]
        if settings.component_cap is not None:
            out["strong_components"] = np.minimum(out["strong_components"], settings.component_cap)
    if not wanted & {"chordal", "matching", "maximum_matching"}:
        return out
    if either:
        neighbours = _without_loops(successors | predecessors)
    else:
        successors, predecessors = neighbour_sets(*symmetric, thresholds, False)
        neighbours = successors
    if "matching" in wanted:
        out["matching"] = greedy_matchings(successors, predecessors)
    if wanted & {"chordal", "maximum_matching"}:
        found = undirected_statistics(neighbours, "chordal" in wanted, "maximum_matching" in wanted)
        out["chordal"], out["maximum_matching"] = found[..., 0], found[..., 1]
    return out


def loop_edges(maps: Maps, lower_bound: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the edges i * n + j (i < j) at which the loops of the distances 1 - max(A, Aᵀ) begin and end.

    Three int64 tensors (P,): births, deaths, and the map of each loop, in the order of the maps.
    """
    if maps.sums.shape[1] < 4:  # a loop has at least four vertices
        births, deaths, which = torch.empty(3, 0, dtype=torch.int64, device="cpu")
        return births, deaths, which
    chunks = maps.chunks()
    parts = map_batch(lambda part: map_loop_edges(*part, lower_bound, *_room(part.values)), chunks)
    starts = np.cumsum([0, *(len(chunk.sums) for chunk in chunks)])
    for part, start in zip(parts, starts, strict=False):
        part[:, 2] += start
    births, deaths, which = torch.from_numpy(np.concatenate(parts)).unbind(1)
    return births, deaths, which


def _without_loops(neighbours: _Array) -> _Array:
    vertex = np.arange(neighbours.shape[2])
    neighbours[:, :, vertex, vertex >> 6] &= ~(np.uint64(1) << (vertex & 63).astype(np.uint64))
    return neighbours
