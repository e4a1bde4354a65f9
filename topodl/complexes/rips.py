"""Rips complexes of clouds, of distances, and of graphs, whose distances are numbers of steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from topodl._checks import check_choice, check_number
from topodl._clouds import as_clouds, checked_clouds
from topodl._distance_matrices import settled, warn_of_distances
from topodl._docs import shares_documentation
from topodl._host import host_array
from topodl._precision import at_least_single
from topodl.complexes._input import Array, read_graphs
from topodl.complexes.cell_complexes import CellComplexes
from topodl.complexes.cliques import MAX_CELLS, clique_complexes, clique_tables
from topodl.kernels.complexes.cliques import upper_neighbours
from topodl.kernels.complexes.close_pairs import close_pairs
from topodl.kernels.complexes.neighbourhoods import vertices_within
from topodl.kernels.shared.adjacency import adjacency

__all__ = ["graph_rips_complexes", "rips_complexes"]

_NAME = "rips_complexes"
_POINTS = "finite points of shape (B, N, d), or a list of (N_i, d)"
_DISTANCES = "symmetric distances of shape (B, N, N), or a list of (N_i, N_i)"


def rips_complexes(
    x: torch.Tensor | Sequence[torch.Tensor],
    max_edge_length: float,
    *,
    max_dim: int = 2,
    metric: Literal["euclidean", "precomputed"] = "euclidean",
    max_cells: int = MAX_CELLS,
) -> CellComplexes:
    """Return the Rips complex of each cloud: a simplex for every set of points that are pairwise close.

    Each simplex has its diameter as its value, 0 for vertices, and gradients reach the points or distances.

    Parameters
    ----------
    x : Tensor of shape (B, N, d), or sequence of B tensors of shape (N_i, d)
        Point clouds, not empty; with ``metric="precomputed"`` matrices of distances (B, N, N) or (N_i, N_i),
        of which the upper triangle holds.
    max_edge_length : float
        The largest distance of two points of a simplex.
    max_dim : int
        The largest dimension of a simplex.
    metric : {"euclidean", "precomputed"}
        What `x` holds.
    max_cells : int
        The most cells of all clouds together. They are counted before there is memory for them.

    Returns
    -------
    CellComplexes
        B samples, on the device of `x`, with values in its dtype.

    Raises
    ------
    InputError
        If a cloud is empty, a coordinate is not finite, a matrix is none of distances, or an option is none
        of those above; the message names the sample.
    MemoryLimitError
        If there are more than `max_cells`; the message names the cloud with the most, and their number.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    Warns
    -----
    UserWarning
        If the first cloud is a matrix of distances, and `metric` does not say so.

    Notes
    -----
    All of them are made, which is what layers on cells need; `topodl.rips_persistence` makes far fewer.

    References
    ----------
    A. Zomorodian, "Fast construction of the Vietoris–Rips complex", Computers & Graphics 34, 2010.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import rips_complexes
    >>> square = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    >>> rips_complexes(square, 1.2)
    CellComplexes(1 sample; 4 vertices, 4 edges, 0 triangles; values float32; cpu)
    >>> rips_complexes(square, 1.5).values(2)
    tensor([1.4142, 1.4142, 1.4142, 1.4142])
    """
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    check_number(_NAME, "max_edge_length", max_edge_length, low=0.0)
    check_number(_NAME, "max_dim", max_dim, low=0, integer=True)
    check_number(_NAME, "max_cells", max_cells, low=0, integer=True)
    square = metric == "precomputed"
    points, sizes = as_clouds(_NAME, x, _DISTANCES if square else _POINTS, square=square)
    offsets = np.array([0, *itertools.accumulate(sizes)])
    host = host_array(_NAME, at_least_single(points))
    if square:
        local = _pairs_of_matrices(host, sizes, points.dtype, max_edge_length)
    else:
        clouds = checked_clouds(_NAME, host, sizes, points.dtype, _POINTS)
        if sizes:
            warn_of_distances(_NAME, "x[0]", points.detach().reshape(-1, points.shape[-1])[: sizes[0]])
        longest = float(max_edge_length)
        unit = math.ldexp(1.0, -max(-1000, min(1000, math.frexp(longest)[1])))
        local = [close_pairs(cloud.astype(np.float64, copy=False), longest, unit) for cloud in clouds]
    starts, edges = _joined(local, offsets)
    tables = clique_tables(_NAME, offsets, starts, edges, max_dim, max_cells, "x")
    complexes = CellComplexes._from_tables(offsets, *tables, points.device)
    lengths = _lengths(points, local, offsets, sizes, square)
    return complexes.with_values([lengths.new_zeros(int(offsets[-1])), lengths][: max_dim + 1])


def _pairs_of_matrices(host: Array, sizes: Sequence[int], dtype: torch.dtype, longest: float) -> list[Array]:
    """Return the pairs (m, 2), i < j, in each matrix that are no further apart than `longest`."""
    flat, ends = host.reshape(-1), np.cumsum([n * n for n in sizes])
    pairs = []
    for k, (n, end) in enumerate(zip(sizes, ends, strict=True)):
        matrix = settled(_NAME, f"x[{k}]", flat[end - n * n : end].reshape(n, n), dtype)
        pairs.append(np.argwhere(np.triu(matrix <= longest, 1)))
    return pairs


def _joined(local: Sequence[Array], offsets: Array) -> tuple[Array, Array]:
    """Return where the edges of each vertex of the batch begin, and the edges (m, 2)."""
    shifted = [pairs + start for pairs, start in zip(local, offsets, strict=False)]
    edges = np.concatenate([np.empty((0, 2), np.int64), *shifted])
    return np.searchsorted(edges[:, 0], np.arange(int(offsets[-1]) + 1)), edges


def _lengths(
    points: torch.Tensor, local: Sequence[Array], offsets: Array, sizes: Sequence[int], square: bool
) -> torch.Tensor:
    """Return the lengths (m,) of the edges, gathered from distances or computed from points."""
    if square:
        entries = np.concatenate(([0], np.cumsum([n * n for n in sizes])))
        places = [
            start + pairs[:, 0] * n + pairs[:, 1]
            for start, pairs, n in zip(entries, local, sizes, strict=False)
        ]
        index = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *places])).to(points.device)
        return points.reshape(-1).index_select(0, index)
    edges = torch.from_numpy(_joined(local, offsets)[1]).to(points.device)
    rows = points.reshape(-1, points.shape[-1])
    return torch.linalg.vector_norm(
        rows.index_select(0, edges[:, 0]) - rows.index_select(0, edges[:, 1]), dim=1
    )


@shares_documentation(clique_complexes, sections=("Raises",))
def graph_rips_complexes(
    edge_index: torch.Tensor,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    *,
    n_vertices: int | None = None,
    max_distance: int = 2,
    max_dim: int = 2,
    max_cells: int = MAX_CELLS,
) -> CellComplexes:
    """Return the Rips complex of each graph by numbers of steps: the clique complex of a power of the graph.

    Parameters
    ----------
    max_distance : int
        The most steps between two vertices of a simplex; 1 gives the clique complex.

    Returns
    -------
    CellComplexes
        On the device of `edge_index`. A simplex has the largest number of steps between two of its vertices
        as its value, float32. Vertices of different components are in no common simplex.

    References
    ----------
    M. Adamaszek, "Clique complexes and graph powers", Israel Journal of Mathematics 196, 2013.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import graph_rips_complexes
    >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
    >>> complexes = graph_rips_complexes(path)
    >>> complexes.vertices(2).table()
    tensor([[0, 1, 2],
            [1, 2, 3]])
    >>> complexes.values(1)
    tensor([1., 2., 1., 2., 1.])
    """
    name = "graph_rips_complexes"
    check_number(name, "max_distance", max_distance, low=0, integer=True)
    check_number(name, "max_dim", max_dim, low=0, integer=True)
    check_number(name, "max_cells", max_cells, low=0, integer=True)
    graphs = read_graphs(name, edge_index, batch, n_graphs, n_vertices)
    n = graphs.n_vertices
    _, edges = upper_neighbours(graphs.ends, n)
    beginnings, neighbours, _ = adjacency(n, edges)
    offsets, others, distances = vertices_within(beginnings, neighbours, min(max_distance, n))
    sources = np.repeat(np.arange(n), np.diff(offsets))
    larger = sources < others
    pairs = np.stack((sources[larger], others[larger]), 1)
    starts = np.searchsorted(pairs[:, 0], np.arange(n + 1))
    tables = clique_tables(name, graphs.offsets, starts, pairs, max_dim, max_cells)
    complexes = CellComplexes._from_tables(graphs.offsets, *tables, graphs.device)
    steps = torch.from_numpy(distances[larger]).to(graphs.device, torch.float32)
    return complexes.with_values([steps.new_zeros(n), steps][: max_dim + 1])
