"""Clouds with a value at each point, as filtrations by both distance and that function take them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._checks import as_real, fail
from topodl._clouds import as_clouds, checked_clouds
from topodl._distance_matrices import as_distances, distances_between, edge_lengths
from topodl._host import has_gradient, host_array, reject_mapped
from topodl._precision import at_least_single
from topodl.kernels.points.rips_edges import all_within, cell_points

__all__ = ["FunctionClouds", "read_function", "read_function_clouds"]

Array = np.ndarray[Any, np.dtype[Any]]
_POINTS = "finite points of shape (B, N, d), or a list of (N_i, d)"
_MATRICES = "symmetric distances >= 0 of shape (B, N, N), or a list of (N_i, N_i)"


class FunctionClouds(NamedTuple):
    """Clouds one after the other, with their function; distances, where these came, as flat entries."""

    points: torch.Tensor  # (ΣN, d), or (ΣN²,) distances
    function: torch.Tensor  # (ΣN,)
    counts: Sequence[int]  # (B,), of points
    longest: float
    on_host: tuple[Array, Array]  # points or distances, and the function

    @property
    def precomputed(self) -> bool:
        return self.points.ndim == 1

    @property
    def sizes(self) -> torch.Tensor:
        """The numbers of points (B,), beside the points."""
        return torch.tensor(list(self.counts), dtype=torch.int64, device=self.points.device)

    def starts(self) -> Array:
        """Return where the points of each cloud begin, (B,)."""
        return np.array([*itertools.accumulate(self.counts, initial=0)][:-1], np.int64)

    def first_entries(self) -> Array:
        """Return where the matrix of each cloud begins, (B,)."""
        squares = np.array(self.counts, np.int64) ** 2
        return squares.cumsum() - squares

    def matrix(self, b: int) -> torch.Tensor:
        """Return the distances (n, n) of a cloud."""
        n = self.counts[b]
        if self.precomputed:
            first = int(self.first_entries()[b])
            distances = self.points[first : first + n * n].view(n, n)
        else:
            first = int(self.starts()[b])
            distances = distances_between(self.points[None, first : first + n])[0]
        return distances.masked_fill(distances > self.longest, math.inf)

    def matrices_on_host(self, name: str) -> list[Array]:
        """Return the distances (n, n) of each cloud, all by one copy."""
        points = self.points.detach()
        if not self.precomputed:
            matrices = [distances_between(own[None]).reshape(-1) for own in points.split(list(self.counts))]
            points = torch.cat([points.new_zeros(0), *matrices])
        distances = host_array(name, points.masked_fill(points > self.longest, math.inf))
        parts = np.split(distances, self.first_entries()[1:]) if self.counts else []
        return [part.reshape(n, n) for part, n in zip(parts, self.counts, strict=True)]

    def samples(self) -> Iterator[tuple[Array, Array]]:
        """Yield the points (n, d), or distances (n, n), and the function (n,) of each cloud, on the host."""
        points, function = self.on_host
        first, entry = 0, 0
        for n in self.counts:
            own = (
                points[entry : entry + n * n].reshape(n, n) if self.precomputed else points[first : first + n]
            )
            yield own, function[first : first + n]
            first, entry = first + n, entry + n * n

    def values_of(self, samples: Array, cells: Array) -> torch.Tensor:
        """Return (P,) the lengths of edges, and 0 of vertices (i, −1), as `lengths` does."""
        points, device = self.points, self.points.device
        at = np.flatnonzero(cells[:, 1] >= 0)
        of, (tails, heads) = samples[at], cells[at].T
        if self.precomputed:
            entries = self.first_entries()[of] + tails * np.array(self.counts)[of] + heads
            lengths = points.index_select(0, torch.from_numpy(entries).to(device))
        else:
            edges = np.stack((tails, heads)) + self.starts()[of]
            lengths = edge_lengths(points, torch.from_numpy(edges).to(device))
        return lengths.new_zeros(len(cells)).index_copy(0, torch.from_numpy(at).to(device), lengths)

    def points_at(self, samples: Array, cells: Array, values: torch.Tensor, places: Array) -> torch.Tensor:
        """Return (P, 2) the lengths of edges (i, j), 0 of vertices (i, −1), beside the `values` at places."""
        if self.precomputed or not values.is_cpu or has_gradient(self.points, values):
            sources = torch.from_numpy(places).to(values.device)
            return torch.stack((self.values_of(samples, cells), values.index_select(0, sources)), 1)
        own = self.on_host[0], self.starts()
        return torch.from_numpy(
            cell_points(*own, samples, cells, np.ascontiguousarray(values.numpy()), places)
        )

    def lengths(self, clouds: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Return (m,) the lengths of edges (m, 2), numbered in their cloud, of the `clouds` (m,)."""
        if self.precomputed:
            first = torch.from_numpy(self.first_entries()).to(clouds.device)
            at = first[clouds] + cells[:, 0] * self.sizes[clouds] + cells[:, 1]
            return self.points.index_select(0, at)
        starts = torch.from_numpy(self.starts()).to(clouds.device)
        return edge_lengths(self.points, (cells + starts[clouds][:, None]).T)


def read_function_clouds(
    name: str, x: Any, function: Any, precomputed: bool, longest: float = math.inf
) -> tuple[FunctionClouds, torch.dtype]:
    """Return clouds and their function in at least single precision, and the dtype that they came in.

    Without a function all values are 0.
    """
    points, sizes = as_clouds(name, x, _MATRICES if precomputed else _POINTS, precomputed)
    reject_mapped(name, "x", points)
    values = at_least_single(points)
    if precomputed:
        starts = [0]
        for n in sizes:
            starts.append(starts[-1] + n * n)
        flat = values.reshape(-1)
        matrices = [flat[a : a + n * n].view(1, n, n) for a, n in zip(starts, sizes, strict=False)]
        exact = [as_distances(name, "x", matrix, i).reshape(-1) for i, matrix in enumerate(matrices)]
        flat = torch.cat([flat[:0], *exact])
        own = host_array(name, flat)
    else:
        flat = values.flatten(0, -2)
        own = host_array(name, flat)
        checked_clouds(name, own, sizes, points.dtype, _POINTS)
    if function is None:
        heights = flat.new_zeros(sum(sizes))
        own_heights = np.zeros(sum(sizes), own.dtype)
    else:
        heights, own_heights = read_function(name, function, sizes, isinstance(x, torch.Tensor))
        heights = heights.to(flat.device, flat.dtype)
        own_heights = own_heights.astype(own.dtype, copy=False)
    return FunctionClouds(flat, heights, sizes, longest, (own, own_heights)), points.dtype


def read_function(
    name: str, function: Any, sizes: Sequence[int], as_tensor: bool
) -> tuple[torch.Tensor, Array]:
    """Return the function values (ΣN,) of all clouds, and them on the host in at least single precision."""
    parts = [as_real(name, "function", function)] if as_tensor else list(function)
    if as_tensor and parts[0].shape != (len(sizes), sizes[0] if len(sizes) else parts[0].shape[-1]):
        raise fail(name, "function", f"has shape {tuple(parts[0].shape)}", "one value a point, shape (B, N)")
    if not as_tensor:
        parts = [as_real(name, f"function[{i}]", part) for i, part in enumerate(parts)]
        if [part.shape for part in parts] != [(n,) for n in sizes]:
            came = f"has shapes {[tuple(part.shape) for part in parts]}"
            raise fail(name, "function", came, f"those of clouds of {list(sizes)} points, (N_i,) each")
    if not parts:
        return torch.empty(0, device="cpu"), np.empty(0, np.float32)
    flat = [part.reshape(-1) for part in parts]
    heights = torch.cat(flat) if len(flat) > 1 else flat[0]
    own = host_array(name, at_least_single(heights))
    if not all_within(own, np.finfo(own.dtype).max):
        for i, values in enumerate(np.split(own, np.cumsum(sizes)[:-1])):
            if not values.min(initial=math.inf) > -math.inf:
                came = "has NaN" if np.isnan(values).any() else "has -inf"
                raise fail(name, f"function[{i}]", came, "numbers above -inf")
    return heights, own
