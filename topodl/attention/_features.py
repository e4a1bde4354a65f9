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

from topodl._segments import segment_mean, segment_sum
from topodl.attention._catalog import FeaturePlan
from topodl.attention._combinatorics import (
    GraphSettings,
    cycle_edges,
    edge_counts,
    graph_counts,
    ordered_bits,
    spanning_tree_edges,
    symmetric_bits,
    symmetrized,
)

__all__ = ["MapFeatures", "Settings"]

Array = np.ndarray[Any, Any]

# A column of attention that takes this share of all rows on average counts as a sink.
SINK_SHARE = 0.3


class Settings(NamedTuple):
    """What the features of a map depend on beside the map."""

    graph: GraphSettings
    lower_bound: float
    temperature: float


class MapFeatures:
    """The features of maps (M, n, n), each computed when it is first asked for.

    Parameters
    ----------
    maps : Tensor of shape (M, n, n)
        Attention probabilities.
    classes : dict of name to Tensor (M, n) of bool
        Which tokens belong to each named class.
    plan : FeaturePlan
        The features wanted.
    settings : Settings
        Thresholds, symmetrisation and the other parameters.
    """

    def __init__(
        self, maps: torch.Tensor, classes: dict[str, torch.Tensor], plan: FeaturePlan, settings: Settings
    ) -> None:
        self.maps, self.classes, self.plan, self.settings = maps, classes, plan, settings
        self.n = maps.shape[-1]

    def table(self) -> torch.Tensor:
        """Return all features, (M, F)."""
        if self.n == 0:
            return self.maps.new_zeros(len(self.maps), self.plan.size)
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
    def _bits(self) -> Array:
        return ordered_bits(self.maps)

    @cached_property
    def _symmetric_bits(self) -> Array:
        return symmetric_bits(self.maps, self._bits, self.settings.graph.symmetrize)

    @property
    def _symmetric(self) -> torch.Tensor:
        """The symmetric weights (M, n, n), detached, on the host."""
        dtype = np.float32 if self._bits.dtype == np.int32 else np.float64
        return torch.from_numpy(self._symmetric_bits.view(dtype))

    # graph.<statistic>[_per_token]: (M, T) blocks

    @cached_property
    def _counts(self) -> dict[str, torch.Tensor]:
        counts = graph_counts(self._bits, self._symmetric_bits, self.plan.graph_counts, self.settings.graph)
        return {name: self._like(torch.from_numpy(count)) for name, count in counts.items()}

    @cached_property
    def _directed_edges(self) -> torch.Tensor:
        edges, loops = edge_counts(self._bits, self.settings.graph.thresholds)
        return self._like(torch.from_numpy(edges if self.settings.graph.self_loops else edges - loops))

    @cached_property
    def _components(self) -> torch.Tensor:
        thresholds = self.maps.new_tensor(self.settings.graph.thresholds)
        joined = self._tree_weights.detach()[:, None, :] >= thresholds[:, None]
        return self.n - self._like(joined.sum(2))

    def _graph(self, feature: str) -> torch.Tensor:
        stem = feature.removesuffix("_per_token")
        values = self._statistic(stem)
        return values if stem == feature else values / self.n

    def _statistic(self, name: str) -> torch.Tensor:
        if name in ("edges", "degree"):
            return self._directed_edges if name == "edges" else 2 * self._directed_edges / self.n
        if name == "components":
            return self._components
        if name == "weak_components":
            cap = self.settings.graph.component_cap
            return self._components if cap is None else self._components.clamp(max=cap)
        if name == "betti1":
            edges, loops = edge_counts(self._symmetric_bits, self.settings.graph.thresholds)
            edges = (edges - loops) // 2 + (loops if self.settings.graph.self_loops else 0)
            return self._like(torch.from_numpy(edges)) - self.n + self._components
        return self._counts[name]

    # barcode.h0.*: the bars are one minus the weights of a maximum spanning tree

    @cached_property
    def _tree_weights(self) -> torch.Tensor:
        edges = spanning_tree_edges(self._symmetric_bits).to(self.maps.device)
        if not self.maps.requires_grad:
            return self._symmetric.to(self.maps.device).flatten(1).gather(1, edges)
        return self._weights(edges, torch.arange(len(self.maps), device=self.maps.device)[:, None])

    def _weights(self, edges: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Return the symmetric weights of `edges` i * n + j (i < j) of the maps `which`, with gradient."""
        rows, columns = edges // self.n, edges % self.n
        forth, back = self.maps[which, rows, columns], self.maps[which, columns, rows]
        how = self.settings.graph.symmetrize
        if how == "upper":
            return forth
        if how == "mean":
            return (forth + back) / 2
        return torch.minimum(forth, back) if how == "min" else torch.maximum(forth, back)

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
        distances = self._lengths(self._symmetric).numpy()
        births, deaths, which = (t.to(self.maps.device) for t in cycle_edges(distances))
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
        return self._connected_bars(statistic) if dimension == "h0" else self._loop_bars(statistic)

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
        m = len(self.maps)
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
    def _squared_norm(self) -> torch.Tensor:
        return torch.linalg.vector_norm(self.maps, dim=(1, 2), dtype=torch.float64).square()

    @cached_property
    def _column_sums(self) -> torch.Tensor:
        return self.maps.sum(1, dtype=torch.float64)

    def _pattern(self, name: str) -> torch.Tensor:
        n = self.n
        if name == "self":
            product, norm = self.maps.diagonal(dim1=1, dim2=2).sum(1, dtype=torch.float64), float(n)
        elif name == "first":
            product, norm = self._column_sums[:, 0], float(n)
        elif name in ("previous", "next"):
            offset = -1 if name == "previous" else 1
            product, norm = self.maps.diagonal(offset, 1, 2).sum(1, dtype=torch.float64), n - 1.0
        else:
            members = self.classes[name].to(self._column_sums)
            count = members.sum(1)
            product = (self._column_sums * members).sum(1) / count.clamp(min=1)
            return self._pattern_distance(product, torch.where(count > 0, n / count.clamp(min=1), 0))
        return self._pattern_distance(product, torch.full_like(product, norm))

    def _pattern_distance(self, product: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        total = self._squared_norm + norm
        return self._like(_safe_sqrt(1 - 2 * product / torch.where(total > 0, total, 1)))

    # sink.*: how the attention that all tokens give is shared out over the tokens that receive it

    @cached_property
    def _shares(self) -> torch.Tensor:
        return self._like(self._column_sums / self.n)

    def _sink(self, name: str) -> torch.Tensor:
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
        graph = self.settings.graph
        parts = [self._soft_at(statistic, threshold) for threshold in graph.thresholds]
        return torch.stack(parts, 1)

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
        return values.to(self.maps)

    def _zeros(self) -> torch.Tensor:
        return self.maps.new_zeros(len(self.maps))


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    """Return -p ln p, 0 at p = 0 in value and in gradient."""
    if not shares.requires_grad:
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
