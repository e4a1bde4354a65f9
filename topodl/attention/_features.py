"""All features of attention maps (M, n, n) of one length, with gradients where they have one.

Definitions: Kushnareva et al. (2021), Cherniavskii et al. (2022). Dimension 0 costs one spanning tree a map.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._host import has_gradient
from topodl._segments import segment_mean, segment_sum
from topodl.attention._catalog import FROM_TREES, FeaturePlan
from topodl.attention._combinatorics import (
    GraphSettings,
    Maps,
    Trees,
    graph_counts,
    loop_edges,
    moments,
    spanning_trees,
    symmetrized,
)
from topodl.kernels.attention.bars import BAR_STATISTICS, bar_statistics

__all__ = ["MapFeatures", "Settings"]

Array = np.ndarray[Any, Any]

# A column of attention that takes this share of all rows on average counts as a sink.
SINK_SHARE = 0.3

# place of each diagonal's sum in `MapFeatures._moments`
_DIAGONALS = {"self": 1, "previous": 2, "next": 3}


class Settings(NamedTuple):
    """What the features of a map depend on beside the map."""

    graph: GraphSettings
    lower_bound: float
    temperature: float


class MapFeatures:
    """The features of maps (M, n, n), each computed when it is first asked for.

    Parameters
    ----------
    raw : Tensor of shape (M, n, n)
        Attention probabilities.
    sums : Tensor of shape (M, n), optional
        What the rows of `raw` are to be divided by: the kernels do so on their way through a map, and the
        divided maps are only written where a feature reads them as a tensor.
    classes : dict of name to Tensor (M, n) of bool
        Which tokens belong to each named class.
    plan : FeaturePlan
        The features wanted.
    settings : Settings
        Thresholds, symmetrisation and the other parameters.
    """

    def __init__(
        self,
        raw: torch.Tensor,
        sums: torch.Tensor | None,
        classes: dict[str, torch.Tensor],
        plan: FeaturePlan,
        settings: Settings,
    ) -> None:
        self.raw, self.sums, self.classes, self.plan, self.settings = raw, sums, classes, plan, settings
        self.n, self.has_gradient = raw.shape[-1], has_gradient(raw)

    @cached_property
    def maps(self) -> torch.Tensor:
        """The maps (M, n, n), their rows divided."""
        return self.raw if self.sums is None else self.raw / self.sums.to(self.raw.device)[..., None]

    def table(self) -> torch.Tensor:
        """Return all features, (M, F)."""
        if self.n == 0:
            return self.raw.new_zeros(len(self.raw), self.plan.size)
        groups: dict[str, Callable[[str], torch.Tensor]] = {
            "graph": self._graph,
            "barcode": self._barcode,
            "pattern": self._pattern,
            "sink": self._sink,
            "entropy": self._entropy,
            "soft": self._soft,
        }
        blocks = []
        for group, feature, columns in self.plan.blocks:
            values = groups[group](feature)
            if values.ndim == 1:
                values = values[:, None]
            elif columns is not None:
                values = values[:, columns]
            blocks.append(values)
        return torch.cat(blocks, 1)

    @cached_property
    def _host(self) -> Maps:
        return Maps.of(self.raw, self.sums)

    @cached_property
    def _undirected(self) -> Maps:
        """Maps whose larger entries of both directions are the undirected weights."""
        how = self.settings.graph.symmetrize
        if how in ("max", None):
            return self._host
        return Maps.of(symmetrized(self.maps.detach(), how).clamp(min=0), None)

    @cached_property
    def _trees(self) -> Trees:
        return spanning_trees(self._undirected, self.settings.graph.thresholds)

    # graph.<statistic>[_per_token]: (M, T) blocks

    @cached_property
    def _counts(self) -> dict[str, torch.Tensor]:
        counts = graph_counts(self._host, self._undirected, self.plan.graph_counts, self.settings.graph)
        return {name: self._like(torch.from_numpy(count)) for name, count in counts.items()}

    @cached_property
    def _edges_and_components(self) -> dict[str, torch.Tensor]:
        """The statistics that follow from the spanning trees and the numbers of edges."""
        counts = self._trees.counts
        components = counts[..., 3]
        pairs = counts[..., 2] - self.n + components
        if self._undirected is not self._host:
            counts = spanning_trees(self._host, self.settings.graph.thresholds).counts
        loops, cap = counts[..., 1], self.settings.graph.component_cap
        edges, betti = counts[..., 0] - loops, pairs
        if self.settings.graph.self_loops:
            edges, betti = edges + loops, betti + loops
        weak = components if cap is None else np.minimum(components, cap)
        names = ("edges", "components", "weak_components", "betti1")
        table = np.stack([edges, components, weak, betti]).astype(self._trees.weights.dtype)
        found = dict(zip(names, torch.from_numpy(table).to(self.raw.device), strict=True))
        return found | {"degree": 2 * found["edges"] / self.n}

    def _graph(self, feature: str) -> torch.Tensor:
        stem = feature.removesuffix("_per_token")
        values = (self._edges_and_components if stem in FROM_TREES else self._counts)[stem]
        return values if stem == feature else values / self.n

    # barcode.h0.*: the bars are one minus the weights of a maximum spanning tree

    @cached_property
    def _tree_weights(self) -> torch.Tensor:
        if not self.has_gradient:
            return torch.from_numpy(self._trees.weights).to(self.raw.device)
        edges = torch.from_numpy(self._trees.edges).to(self.raw.device)
        return self._weights(edges, torch.arange(len(self.raw), device=self.raw.device)[:, None])

    def _weights(self, edges: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Return the symmetric weights of `edges` i * n + j (i < j) of the maps `which`, with gradient."""
        rows, columns = edges // self.n, edges % self.n
        forth, back = self._entries(which, rows, columns), self._entries(which, columns, rows)
        how = self.settings.graph.symmetrize
        if how == "upper":
            return forth
        if how == "mean":
            return (forth + back) / 2
        return torch.minimum(forth, back) if how == "min" else torch.maximum(forth, back)

    def _entries(self, which: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        entries = self.raw[which, rows, columns]
        return entries if self.sums is None else entries / self.sums.to(self.raw.device)[which, rows]

    def _lengths(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the distances 1 - w; weights at or below the lower bound count as none."""
        floored = torch.where(weights > self.settings.lower_bound, weights, 0)
        return (1 - floored).clamp(min=0)

    @cached_property
    def _h0(self) -> torch.Tensor:
        return self._lengths(self._tree_weights)

    @cached_property
    def _h0_statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sum and number of the bars; bars of length zero are none."""
        return self._h0.sum(1), (self._h0 > 0).sum(1)

    @cached_property
    def _h1(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return births and deaths of the loops, and the map of each."""
        found = loop_edges(self._undirected, self.settings.lower_bound)
        births, deaths, which = (edges.to(self.raw.device) for edges in found)
        return self._lengths(self._weights(births, which)), self._lengths(self._weights(deaths, which)), which

    def _barcode(self, feature: str) -> torch.Tensor:
        dimension, statistic = feature.split(".", 1)
        stem = statistic.removesuffix("_per_token")
        if statistic == "entropy_normalized":
            entropy, count = self._bars(dimension, "entropy"), self._bars(dimension, "count")
            return torch.where(count > 1, entropy / count.clamp(min=2).log(), 0)
        values = self._bars(dimension, stem)
        return values if stem == statistic else values / self.n

    def _bars(self, dimension: str, statistic: str) -> torch.Tensor:
        if not self.has_gradient:
            table = self._connected_table if dimension == "h0" else self._loop_table
            return table[:, BAR_STATISTICS.index(statistic)]
        return self._connected_bars(statistic) if dimension == "h0" else self._loop_bars(statistic)

    @cached_property
    def _connected_table(self) -> torch.Tensor:
        deaths = self._lengths(torch.from_numpy(self._trees.weights)).flatten().numpy()
        starts = np.arange(len(self.raw) + 1) * (self.n - 1)
        return self._like(torch.from_numpy(bar_statistics(np.zeros_like(deaths), deaths, starts)))

    @cached_property
    def _loop_table(self) -> torch.Tensor:
        births, deaths, which = (part.cpu().numpy() for part in self._h1)
        starts = np.searchsorted(which, np.arange(len(self.raw) + 1))
        return self._like(torch.from_numpy(bar_statistics(births, deaths, starts)))

    # the same with gradient

    def _connected_bars(self, statistic: str) -> torch.Tensor:
        total, count = self._h0_statistics
        if statistic == "sum":
            return total
        if statistic == "count":
            return self._like(count)
        if statistic == "entropy":
            return _entropy(self._h0 / torch.where(total > 0, total, 1)[:, None]).sum(1)
        if statistic in ("mean", "std"):
            mean = total / count.clamp(min=1)
            if statistic == "mean":
                return mean
            squares = torch.where(self._h0 > 0, (self._h0 - mean[:, None]) ** 2, 0).sum(1)
            return _safe_sqrt(squares / count.clamp(min=1))
        if statistic == "longest_death":
            return self._h0.amax(1) if self.n > 1 else self._zeros()
        return self._like(_compare(statistic, self._h0, self._h0 > 0).sum(1))

    def _loop_bars(self, statistic: str) -> torch.Tensor:
        births, deaths, which = self._h1
        m = len(self.raw)
        if statistic in ("longest_birth", "longest_death"):
            first = _longest(births.detach(), deaths.detach(), which)
            values = births if statistic == "longest_birth" else deaths
            return self._zeros().index_put((which[first],), values[first])
        if statistic == "count":
            return self._like(torch.bincount(which, minlength=m))
        if statistic.startswith("count_"):
            return self._like(segment_sum(_compare(statistic, births, births >= 0).double(), which, m))
        lengths = (deaths - births).double()
        if statistic == "sum":
            values = segment_sum(lengths, which, m)
        elif statistic == "mean":
            values = segment_mean(lengths, which, m)
        elif statistic == "std":
            centred = lengths - segment_mean(lengths, which, m)[which]
            values = _safe_sqrt(segment_mean(centred**2, which, m))
        else:
            values = segment_sum(_entropy(lengths / segment_sum(lengths, which, m)[which]), which, m)
        return self._like(values)

    # pattern.*: d(A, T) = ||A - T|| / sqrt(||A||² + ||T||²), from partial sums of A. The sums are in
    # float64: near a pattern the distance is a small difference of large numbers.

    @cached_property
    def _moments(self) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Sums of columns (M, n), and of squares, diagonal, entries below and above it, each (M,)."""
        if not self.has_gradient:
            columns, scalars = (torch.from_numpy(sums).to(self.raw.device) for sums in moments(self._host))
            return columns, scalars.unbind(1)
        maps = self.maps.double()
        diagonals = (maps.diagonal(offset, 1, 2).sum(1) for offset in (0, -1, 1))
        return maps.sum(1), (maps.square().sum((1, 2)), *diagonals)

    def _pattern(self, name: str) -> torch.Tensor:
        n, columns = self.n, self._moments[0]
        if name == "first":
            return self._pattern_distance(columns[:, 0], float(n))
        if name in _DIAGONALS:
            norm = float(n) if name == "self" else n - 1.0
            return self._pattern_distance(self._moments[1][_DIAGONALS[name]], norm)
        members = self.classes[name].to(columns)
        count = members.sum(1)
        product = (columns * members).sum(1) / count.clamp(min=1)
        return self._pattern_distance(product, torch.where(count > 0, n / count.clamp(min=1), 0))

    def _pattern_distance(self, product: torch.Tensor, norm: torch.Tensor | float) -> torch.Tensor:
        total = self._moments[1][0] + norm
        return self._like(_safe_sqrt(1 - 2 * product / torch.where(total > 0, total, 1)))

    # sink.*: how the attention that all tokens give is shared out over the tokens that receive it

    @cached_property
    def _shares(self) -> torch.Tensor:
        return self._like(self._moments[0] / self.n)

    def _sink(self, name: str) -> torch.Tensor:
        if name == "count_per_token":
            return self._sink("count") / self.n
        if name == "max":
            return self._shares.amax(1)
        if name == "squared_norm":
            return self._shares.square().sum(1)
        if name == "count":
            return self._like((self._shares >= SINK_SHARE).sum(1))
        if name == "last":
            return self._shares[:, -1]
        if name.startswith("position"):
            position = int(name.removeprefix("position"))
            return self._shares[:, position] if position < self.n else self._zeros()
        return (self._shares * self._like(self.classes[name])).sum(1)

    # entropy.*: of the rows, natural logarithm

    @cached_property
    def _row_entropies(self) -> torch.Tensor:
        return _entropy(self.maps).sum(2)

    def _entropy(self, name: str) -> torch.Tensor:
        if name == "row_max":
            return self.maps.amax(2).mean(1)
        if name == "std":
            centred = self._row_entropies - self._row_entropies.mean(1, keepdim=True)
            return _safe_sqrt(centred.square().mean(1))
        mean = self._row_entropies.mean(1)
        return mean if name == "mean" or self.n < 2 else mean / math.log(self.n)

    # soft.*: the counts with a sigmoid in the place of the comparison

    def _soft(self, statistic: str) -> torch.Tensor:
        stem = statistic.removesuffix("_per_token")
        values = torch.stack([self._soft_at(stem, t) for t in self.settings.graph.thresholds], 1)
        return values if stem == statistic else values / self.n

    def _soft_at(self, statistic: str, threshold: float) -> torch.Tensor:
        def over(values: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid((values - threshold) / self.settings.temperature)

        graph = self.settings.graph
        loops = over(self.maps.diagonal(dim1=1, dim2=2)).sum(1)
        if statistic in ("edges", "degree"):
            edges = over(self.maps).sum((1, 2)) - (0 if graph.self_loops else loops)
            return edges if statistic == "edges" else 2 * edges / self.n
        components = self.n - over(self._tree_weights).sum(1)
        if statistic == "components":
            return components
        weights = over(symmetrized(self.maps, graph.symmetrize))
        simple = (weights.sum((1, 2)) - weights.diagonal(dim1=1, dim2=2).sum(1)) / 2
        return simple + (loops if graph.self_loops else 0) - self.n + components

    def _like(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.raw)

    def _zeros(self) -> torch.Tensor:
        return self.raw.new_zeros(len(self.raw))


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    """Return -p ln p, 0 at p = 0 in value and in gradient."""
    if not has_gradient(shares):
        return torch.special.entr(shares)
    positive = shares > 0
    return torch.where(positive, torch.special.entr(torch.where(positive, shares, 1)), 0)


def _safe_sqrt(values: torch.Tensor) -> torch.Tensor:
    """Return the square root, with gradient 0 where the value is 0."""
    positive = values > 0
    return torch.where(positive, torch.where(positive, values, 1).sqrt(), 0)


def _longest(births: torch.Tensor, deaths: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Return the position of the longest bar of each map that has one; of equal ones, the earliest born."""
    order = births.argsort(stable=True)
    order = order[(deaths - births)[order].argsort(descending=True, stable=True)]
    order = order[which[order].argsort(stable=True)]
    owner = which[order]
    return order[owner != torch.cat([owner.new_full((1,), -1), owner[:-1]])]


def _compare(statistic: str, values: torch.Tensor, alive: torch.Tensor) -> torch.Tensor:
    """Read a name such as ``count_death_ge_0.75`` and return which bars it counts."""
    _, _, relation, bound = statistic.split("_", 3)
    limit = float(bound)
    return alive & (values >= limit if relation == "ge" else values <= limit)
