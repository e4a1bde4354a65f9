"""What the compiled kernels say about a batch of attention maps: counts, spanning trees, cycles of barcodes.

Everything here is integers on detached values; the differentiable values are gathered by `_features`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from topodl.kernels._pool import get_num_threads, map_batch
from topodl.kernels.attention_graphs import (
    directed_statistics,
    greedy_matchings,
    neighbour_sets,
    undirected_statistics,
)
from topodl.kernels.attention_loops import loop_edges
from topodl.kernels.attention_trees import count_at_least, spanning_trees, symmetric_maximum

__all__ = [
    "GraphSettings",
    "cycle_edges",
    "edge_counts",
    "graph_counts",
    "ordered_bits",
    "spanning_tree_edges",
    "symmetric_bits",
    "symmetrized",
]

_Array = np.ndarray[Any, Any]
# Small enough that one chunk stays in the second cache, large enough that a call's overhead does not count.
_CHUNK_ENTRIES = 1 << 18


class GraphSettings(NamedTuple):
    """How the graphs of a map are read; the fields are the parameters of `AttentionTopology`."""

    thresholds: tuple[float, ...]
    symmetrize: str | None
    self_loops: bool
    cycle_cap: int
    component_cap: int | None


def ordered_bits(values: torch.Tensor) -> _Array:
    """Return the bit patterns of non-negative floats, integers of the same order; -0.0 is negative."""
    array = np.ascontiguousarray(values.detach().cpu().numpy())
    return array.view(np.int32 if array.dtype == np.float32 else np.int64)


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


def symmetric_bits(maps: torch.Tensor, bits: _Array, how: str | None) -> _Array:
    """Return the bit patterns of the symmetric weights of `maps` (M, n, n), whose own patterns are `bits`."""
    if how in ("max", None):
        return np.concatenate(map_batch(symmetric_maximum, _chunks(bits)))
    return np.maximum(ordered_bits(symmetrized(maps.detach(), how)), 0)


def spanning_tree_edges(weights: _Array) -> torch.Tensor:
    """Return the maximum spanning trees of symmetric `weights` (M, n, n) as flat indices i * n + j, i < j."""
    trees = np.concatenate(map_batch(spanning_trees, _chunks(weights)))
    return torch.from_numpy(trees[..., 0] * weights.shape[-1] + trees[..., 1])


def threshold_bits(thresholds: tuple[float, ...], bits: _Array) -> _Array:
    """Return the bit patterns of `thresholds` in the precision of `bits`."""
    return np.asarray(thresholds, np.float32 if bits.dtype == np.int32 else np.float64).view(bits.dtype)


def edge_counts(bits: _Array, thresholds: tuple[float, ...]) -> tuple[_Array, _Array]:
    """Return how many entries of `bits` (M, n, n), and how many diagonal ones, reach each threshold."""
    at = threshold_bits(thresholds, bits)
    counts = np.concatenate(map_batch(lambda chunk: count_at_least(chunk, at), _chunks(bits)))
    return counts[..., 0], counts[..., 1]


def graph_counts(
    bits: _Array, symmetric: _Array, wanted: frozenset[str], settings: GraphSettings
) -> dict[str, _Array]:
    """Return the statistics in `wanted` that need the graphs themselves: name -> (M, T) array.

    `bits` and `symmetric` (M, n, n) are the patterns of the directed maps and of their symmetric weights.
    """
    at = threshold_bits(settings.thresholds, bits)
    # an undirected edge of the maximum is a directed edge of either direction
    either = settings.symmetrize in ("max", None)
    parts = map_batch(
        lambda chunk: _graph_counts(*chunk, at, wanted, settings, either),
        list(zip(_chunks(bits), _chunks(symmetric), strict=True)),
    )
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def _graph_counts(
    bits: _Array,
    symmetric: _Array,
    thresholds: _Array,
    wanted: frozenset[str],
    settings: GraphSettings,
    either: bool,
) -> dict[str, _Array]:
    out: dict[str, _Array] = {}
    directed = {"strong_components", "cycles"} & wanted
    if directed or either:
        successors, predecessors = neighbour_sets(bits, thresholds, settings.self_loops)
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
        successors, predecessors = neighbour_sets(symmetric, thresholds, False)
        neighbours = successors
    if "matching" in wanted:
        out["matching"] = greedy_matchings(successors, predecessors)
    if wanted & {"chordal", "maximum_matching"}:
        found = undirected_statistics(neighbours, "chordal" in wanted, "maximum_matching" in wanted)
        out["chordal"], out["maximum_matching"] = found[..., 0], found[..., 1]
    return out


def cycle_edges(distances: _Array) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the edges i * n + j (i < j) at which the loops of `distances` (M, n, n) begin and end.

    Three int64 tensors (P,): births, deaths, and the map of each loop, in the order of the maps.
    """
    if distances.shape[-1] < 4:  # a loop has at least four vertices
        births, deaths, which = torch.empty(3, 0, dtype=torch.int64)
        return births, deaths, which
    bits = distances.view(np.int32 if distances.dtype == np.float32 else np.int64)
    chunks = _chunks(bits.astype(np.int64, copy=False))
    starts = np.cumsum([0, *(len(chunk) for chunk in chunks)])
    parts = map_batch(loop_edges, chunks)
    for part, start in zip(parts, starts, strict=False):
        part[:, 2] += start
    births, deaths, which = torch.from_numpy(np.concatenate(parts)).unbind(1)
    return births, deaths, which


def _without_loops(neighbours: _Array) -> _Array:
    vertex = np.arange(neighbours.shape[2])
    neighbours[:, :, vertex, vertex >> 6] &= ~(np.uint64(1) << (vertex & 63).astype(np.uint64))
    return neighbours


def _chunks(maps: _Array) -> list[_Array]:
    """Return the slices of `maps` (M, n, n) that the threads work on."""
    entries = max(maps.shape[1] * maps.shape[2], 1)
    size = max(1, min(-(-len(maps) // get_num_threads()), _CHUNK_ENTRIES // entries))
    return [maps[first : first + size] for first in range(0, len(maps), size)]
