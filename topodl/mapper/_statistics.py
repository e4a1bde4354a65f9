"""Statistics of the members of each node: operations on segments, with gradients to the values."""

from __future__ import annotations

from collections.abc import Callable

import torch

from topodl._checks import as_real
from topodl._power import power
from topodl._precision import at_least_single
from topodl._segments import segment_amax, segment_amin, segment_mean, segment_scale, segment_sum

__all__ = ["STATISTICS", "Segments"]


class Segments:
    """Members, one node after the other: `keys` (M,) are their nodes, `offsets` (V + 1,) their begins."""

    def __init__(self, offsets: torch.Tensor) -> None:
        self.offsets = offsets
        self.sizes = offsets.diff()
        self.keys = torch.repeat_interleave(self.sizes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def in_order(self, values: torch.Tensor) -> torch.Tensor:
        """Return `values` (M, F), sorted within each node and column."""
        order = values.detach().sort(dim=0, stable=True).indices
        regroup = self.keys[order].sort(dim=0, stable=True).indices
        return values.gather(0, order.gather(0, regroup))


def _as_floats(values: torch.Tensor) -> torch.Tensor:
    return at_least_single(as_real("MapperGraph.aggregate", "values", values))


def _mean(values: torch.Tensor, nodes: Segments) -> torch.Tensor:
    return segment_mean(_as_floats(values), nodes.keys, len(nodes))


def _std(values: torch.Tensor, nodes: Segments) -> torch.Tensor:
    floats = _as_floats(values)
    deviations = floats - segment_mean(floats, nodes.keys, len(nodes))[nodes.keys]
    unit = segment_scale(deviations, nodes.keys, len(nodes))
    squares = (deviations / unit[nodes.keys]).square()
    return power(segment_mean(squares, nodes.keys, len(nodes)), 0.5) * unit


def _median(values: torch.Tensor, nodes: Segments) -> torch.Tensor:
    ordered = nodes.in_order(_as_floats(values))
    below, above = nodes.offsets[:-1] + (nodes.sizes - 1) // 2, nodes.offsets[:-1] + nodes.sizes // 2
    return torch.lerp(ordered[below], ordered[above], 0.5)


def _least(values: torch.Tensor, nodes: Segments) -> torch.Tensor:
    return segment_amin(values, nodes.keys, len(nodes))


def _largest(values: torch.Tensor, nodes: Segments) -> torch.Tensor:
    return segment_amax(values, nodes.keys, len(nodes))


def _count(values: torch.Tensor, nodes: Segments) -> torch.Tensor:
    return segment_sum((values.detach() != 0).long(), nodes.keys, len(nodes))


def _mode(values: torch.Tensor, nodes: Segments) -> torch.Tensor:
    """Return the most frequent value of each node and column; the least of equally frequent ones."""
    ordered = nodes.in_order(values)
    modes = []
    for column in ordered.unbind(1):
        begins = torch.ones_like(column, dtype=torch.bool)
        begins[1:] = (column[1:] != column[:-1]) | (nodes.keys[1:] != nodes.keys[:-1])
        first = begins.nonzero()[:, 0]
        run = begins.long().cumsum(0) - 1
        lengths, owner = torch.bincount(run), nodes.keys[first]
        longest = segment_amax(lengths, owner, len(nodes))
        # of the runs of the largest length the first: its value is the least
        candidates = torch.where(lengths == longest[owner], first, len(column))
        modes.append(column[segment_amin(candidates, owner, len(nodes))])
    return torch.stack(modes, 1)


STATISTICS: dict[str, Callable[[torch.Tensor, Segments], torch.Tensor]] = {
    "mean": _mean,
    "median": _median,
    "std": _std,
    "min": _least,
    "max": _largest,
    "count": _count,
    "mode": _mode,
}
