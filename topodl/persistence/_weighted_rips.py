"""Weighted Rips filtrations: vertices enter at a value of their own, and edges where two balls meet.

A ball of a point of weight w has at t the radius (tᵖ − wᵖ)^(1/p). In dimensions above 0 the bars are those of
the matrix of edges; in dimension 0 the elder rule runs over its minimum spanning tree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import as_real, check_choice, fail, reject_non_finite
from topodl._distance_matrices import as_distances, distances_between
from topodl._host import host_array, whole_values
from topodl._power import power
from topodl._precision import at_least_single
from topodl.complexes.cell_complexes import CellComplexes
from topodl.diagrams import Diagrams
from topodl.kernels.points.spanning_tree import spanning_tree_of_matrix
from topodl.kernels.shared.pool import map_batch
from topodl.persistence.complexes import complex_persistence

__all__ = ["WeightedClouds", "joined_dims", "weighted_components"]

_NAME = "rips_persistence"


class WeightedClouds:
    """The matrices (N_i, N_i) of when edges enter, 0 on the diagonal, and values (N_i,) of the vertices."""

    def __init__(
        self,
        clouds: torch.Tensor,
        sizes: Sequence[int],
        weights: Any,
        p: float,
        precomputed: bool,
        batch: Any,
    ) -> None:
        check_choice(_NAME, "p", p, (1, 2, math.inf))
        each = _read_weights(weights, sizes, batch)
        lengths = [n * n for n in sizes] if precomputed else list(sizes)
        flat = clouds.reshape(-1) if precomputed else clouds.reshape(-1, clouds.shape[-1])
        self.matrices, self.values = [], []
        for k, (part, w, n) in enumerate(zip(flat.split(lengths), each, sizes, strict=True)):
            if precomputed:
                distances = as_distances(_NAME, "x", part.view(1, n, n), k)[0]
            else:
                reject_non_finite(_NAME, "x", part[None])
                distances = distances_between(at_least_single(part)[None])[0]
            own = w.to(distances.device, distances.dtype)
            self.matrices.append(_edge_values(distances, own, p).to(part.dtype))
            self.values.append((2 * own).to(part.dtype))


def weighted_components(clouds: WeightedClouds, longest: float) -> Diagrams:
    """Return the diagrams of dimension 0, their cells as those of `rips_persistence`."""
    hosts = [host_array(_NAME, at_least_single(matrix)) for matrix in clouds.matrices]
    trees = [torch.from_numpy(edges) for edges, _ in map_batch(spanning_tree_of_matrix, hosts)]
    own, lengths = [], []
    for k, (matrix, values) in enumerate(zip(clouds.matrices, clouds.values, strict=True)):
        at = matrix[trees[k][:, 0], trees[k][:, 1]]
        enters = (at.detach() <= longest) & torch.isfinite(at.detach())
        trees[k] = trees[k][enters.cpu()]
        lengths.append(at[enters])
        own.append(torch.where(values <= longest, values, math.inf))
    sizes = [len(values) for values in own]
    starts = np.cumsum([0, *sizes])
    edges = torch.cat([tree + int(start) for tree, start in zip(trees, starts, strict=False)])
    edges = edges.to(own[0].device)
    filtered = CellComplexes(sizes, [edges], values=[torch.cat(own), torch.cat(lengths)])
    d = complex_persistence(filtered, 0)
    first = torch.from_numpy(starts).to(edges.device)[d.samples]
    table = filtered.vertices(1).table()
    vertex, edge = d.birth_cells[:, 0], d.death_cells[:, 0]  # type: ignore[index]
    ends = torch.cat((table, table.new_full((1, 2), -1)))[edge]  # the last for -1
    deaths = torch.where(edge[:, None] < 0, ends, ends - first[:, None])
    births = torch.stack((vertex - first, torch.full_like(vertex, -1)), 1)
    return d._with(birth_cells=births, death_cells=deaths)


def joined_dims(parts: Sequence[Diagrams], homology_dims: Sequence[int]) -> Diagrams:
    """Return the bars of diagrams of the same samples in different dimensions together."""
    names = ("births", "deaths", "dims", "samples", "birth_cells", "death_cells")
    births, deaths, dims, samples, *cells = (torch.cat([getattr(d, name) for d in parts]) for name in names)
    return Diagrams(
        births,
        deaths,
        dims,
        samples,
        n_samples=parts[0].n_samples,
        homology_dims=homology_dims,
        birth_cells=cells[0],
        death_cells=cells[1],
    )


def _read_weights(weights: Any, sizes: Sequence[int], batch: Any) -> list[torch.Tensor]:
    """Return the weights (N_i,) of the points of each cloud, at least 0 and finite."""
    if isinstance(weights, torch.Tensor):
        flat = as_real(_NAME, "weights", weights)
        shape = (len(sizes), sizes[0]) if batch is None else (sum(sizes),)
        if flat.shape != shape or flat.numel() != sum(sizes):
            came = f"has shape {tuple(flat.shape)}"
            raise fail(_NAME, "weights", came, f"one weight for each point, {shape}, or a list of (N_i,)")
        if batch is not None:
            flat = flat.index_select(0, torch.argsort(batch, stable=True))
        each = list(flat.reshape(-1).split(list(sizes)))
    elif not isinstance(weights, Sequence):
        kind = type(weights).__name__
        raise TypeError(f"{_NAME}: weights is a {kind}; expected a torch.Tensor or a sequence of them")
    else:
        each = [as_real(_NAME, f"weights[{k}]", w) for k, w in enumerate(weights)]
    if [tuple(w.shape) for w in each] != [(n,) for n in sizes]:
        came = f"have shapes {[tuple(w.shape) for w in each]}"
        raise fail(_NAME, "weights", came, f"one weight for each point, {[(n,) for n in sizes]}")
    for k, w in enumerate(each):
        values = whole_values(w)
        wrong = ~((values >= 0) & torch.isfinite(values))
        if bool(wrong.any()):
            i = int(wrong.nonzero()[0, 0])
            came = f"has {float(values[i])} at {i}".replace("nan", "NaN")
            raise fail(_NAME, f"weights[{k}]", came, "finite weights of at least 0")
    return each


def _edge_values(distances: torch.Tensor, w: torch.Tensor, p: float) -> torch.Tensor:
    """Return twice the t at which the balls of two points meet, and 0 on the diagonal."""
    sums, gaps = w[:, None] + w, w[:, None] - w
    later = 2 * torch.maximum(w[:, None], w)
    if p == 1:
        meet = distances + sums
    elif p == 2:
        apart = distances.masked_fill(distances == 0, 1.0)
        meet = power(apart.square() + sums.square(), 0.5) * power(apart.square() + gaps.square(), 0.5) / apart
        inside = (distances.square() <= (sums * gaps).abs()) | (distances == 0) | distances.isinf()
        meet = torch.where(inside, torch.where(distances.isinf(), distances, later), meet)
    else:
        meet = distances
    values = torch.maximum(meet, later)
    return values.masked_fill(torch.eye(len(w), dtype=torch.bool, device=w.device), 0.0)
