"""Directed flag complexes of directed graphs, any dimension, for a whole batch at once."""

from __future__ import annotations

import numpy as np
import torch

from topodl._checks import check_number
from topodl._docs import shares_documentation
from topodl.complexes._input import read_graphs
from topodl.complexes.cell_complexes import CellComplexes
from topodl.complexes.cliques import MAX_CELLS, clique_complexes, clique_tables

__all__ = ["directed_flag_complexes"]

_NAME = "directed_flag_complexes"


@shares_documentation(clique_complexes)
def directed_flag_complexes(
    edge_index: torch.Tensor,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    *,
    n_vertices: int | None = None,
    max_dim: int = 2,
    max_cells: int = MAX_CELLS,
) -> CellComplexes:
    """Return the directed flag complex of each graph: a simplex for each order in which edges run forwards.

    (v0, …, vk) is a simplex if an edge leads from each of its vertices to every later one: attention maps and
    circuits of neurons are such graphs. Two vertices with edges both ways have two edges between them, and
    three may have up to six triangles.

    Parameters
    ----------
    edge_index : Tensor of shape (2, E), integers
        Where each edge begins and ends, in any order. Loops and repetitions are left out;
        `CellComplexes.index_of` says which cell each of them is, so that weights find their edges.

    Returns
    -------
    CellComplexes
        With `is_directed`, on the device of `edge_index`: the vertices of a simplex in the order of its
        edges, simplices in lexicographic order. `complex_persistence` takes them with values.

    Raises
    ------
    InputError
        If vertices are out of range or not graph after graph, an edge joins two graphs, or a number is none.
    MemoryLimitError
        If there are more than `max_cells`; the message names the graph with the most, and their number.
    TypeError
        If an argument is no tensor, or has no integers.

    Notes
    -----
    Where it is cut at `max_dim`, homology of that dimension has classes that larger simplices would fill.

    References
    ----------
    M. W. Reimann et al., "Cliques of neurons bound into cavities provide a missing link between structure and
    function", Frontiers in Computational Neuroscience 11, 2017. D. Lütgehetmann et al., "Computing persistent
    homology of directed flag complexes", Algorithms 13, 2020.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import directed_flag_complexes
    >>> around, forwards = torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.tensor([[0, 1, 0], [1, 2, 2]])
    >>> directed_flag_complexes(around)
    CellComplexes(1 sample; 3 vertices, 3 edges, 0 triangles; cpu)
    >>> directed_flag_complexes(forwards).vertices(2).table()
    tensor([[0, 1, 2]])
    """
    check_number(_NAME, "max_dim", max_dim, low=0, integer=True)
    check_number(_NAME, "max_cells", max_cells, low=0, integer=True)
    graphs = read_graphs(_NAME, edge_index, batch, n_graphs, n_vertices)
    tails, heads = graphs.ends.astype(np.int64)
    forward = tails != heads
    numbers = np.unique(tails[forward] * graphs.n_vertices + heads[forward])
    n = max(graphs.n_vertices, 1)
    edges = np.stack((numbers // n, numbers % n), 1)
    starts = np.searchsorted(edges[:, 0], np.arange(graphs.n_vertices + 1))
    tables = clique_tables(_NAME, graphs.offsets, starts, edges, max_dim, max_cells, directed=True)
    return CellComplexes._from_tables(graphs.offsets, *tables, graphs.device, directed=True)
