"""Clique complexes of graphs, any dimension, for a whole batch at once."""

from __future__ import annotations

import numpy as np
import torch

from topodl._checks import check_number
from topodl.complexes._input import Array, names_of_cells, read_graphs, reject_too_many
from topodl.complexes.cell_complexes import CellComplexes
from topodl.kernels.complexes.cliques import (
    count_larger_cliques,
    grow_simplices,
    larger_vertices,
    upper_neighbours,
)

__all__ = ["clique_complexes", "clique_tables"]

MAX_CELLS = 10_000_000
_NAME = "clique_complexes"


def clique_complexes(
    edge_index: torch.Tensor,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    *,
    n_vertices: int | None = None,
    max_dim: int = 2,
    max_cells: int = MAX_CELLS,
) -> CellComplexes:
    """Return the clique complex of each graph of a batch: a simplex for every set of pairwise neighbours.

    Parameters
    ----------
    edge_index : Tensor of shape (2, E), integers
        End points of the edges, in one or both directions, in any order (PyTorch Geometric's convention).
        Loops and repetitions are left out; `CellComplexes.index_of` says which cell each of them is.
    batch : Tensor of shape (N,), integers, optional
        The graph of each vertex, rising. One graph by default.
    n_graphs : int, optional
        Number of graphs, where the last ones may have no vertex.
    n_vertices : int, optional
        Number of vertices N of one graph without `batch`; by default one more than the largest in
        `edge_index`.
    max_dim : int
        The largest dimension of a simplex; one of dimension k has k + 1 vertices. The result has tables up to
        it, also where no graph has a clique as large.
    max_cells : int
        The most cells of all graphs together. They are counted before there is memory for them.

    Returns
    -------
    CellComplexes
        On the device of `edge_index`.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, `batch` falls, or an edge joins two graphs.
    MemoryLimitError
        If there are more than `max_cells`; the message names the graph with the most, and their number.
    TypeError
        If an argument is no tensor, or has no integers.

    Notes
    -----
    Where it is cut at `max_dim`, homology of that dimension has classes that larger cliques would fill.

    References
    ----------
    A. Zomorodian, "Fast construction of the Vietoris–Rips complex", Computers & Graphics 34, 2010.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import clique_complexes
    >>> bowtie = torch.tensor([[0, 0, 1, 2, 2, 3], [1, 2, 2, 3, 4, 4]])
    >>> complexes = clique_complexes(bowtie)
    >>> complexes
    CellComplexes(1 sample; 5 vertices, 6 edges, 2 triangles; cpu)
    >>> complexes.vertices(2).table()
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    check_number(_NAME, "max_dim", max_dim, low=0, integer=True)
    check_number(_NAME, "max_cells", max_cells, low=0, integer=True)
    graphs = read_graphs(_NAME, edge_index, batch, n_graphs, n_vertices)
    starts, edges = upper_neighbours(graphs.ends, graphs.n_vertices)
    tables = clique_tables(_NAME, graphs.offsets, starts, edges, max_dim, max_cells)
    return CellComplexes._from_tables(graphs.offsets, *tables, graphs.device)


def clique_tables(
    function: str,
    offsets: Array,
    starts: Array,
    edges: Array,
    max_dim: int,
    max_cells: int,
    argument: str = "edge_index",
    directed: bool = False,
) -> tuple[list[Array], list[Array], list[Array]]:
    """Return vertices (S, k + 1), faces (S, k + 1) and offsets of dimension 1, 2, … up to `max_dim`.

    `offsets` are those of the vertices that `argument` of `function` gives, `starts` where the larger
    neighbours of each vertex begin among the `edges` (m, 2); if `directed`, those that it leads to.
    """
    cells, all_faces, all_offsets = [edges], [edges[:, ::-1].copy()], [starts[offsets]]
    if max_dim > 0:
        reject_too_many(function, np.diff(all_offsets[0]), int(offsets[-1]), max_cells, "edges", argument)
    highs, siblings = np.ascontiguousarray(edges[:, 1]), starts
    taken = int(offsets[-1]) + len(edges)
    for k in range(2, max_dim + 1):
        cliques, faces = cells[-1], all_faces[-1]
        last, parents = np.ascontiguousarray(cliques[:, -1]), np.ascontiguousarray(faces[:, -1])
        begins = count_larger_cliques(last, parents, siblings, starts, highs, directed)
        all_offsets.append(begins[all_offsets[-1]])
        reject_too_many(function, np.diff(all_offsets[-1]), taken, max_cells, names_of_cells(k), argument)
        vertices = larger_vertices(last, parents, siblings, starts, highs, begins, directed)
        larger, their_faces = grow_simplices(cliques, faces, last, siblings, begins, vertices)
        cells.append(larger)
        all_faces.append(their_faces)
        siblings, taken = begins, taken + len(larger)
    return cells[:max_dim], all_faces[:max_dim], all_offsets[:max_dim]
