"""Neighbourhood complexes of graphs, and the sets of vertices within some steps of each vertex."""

from __future__ import annotations

import numpy as np
import torch

from topodl._checks import check_number
from topodl._docs import shares_documentation
from topodl.complexes._input import Array, names_of_cells, read_graphs, reject_too_many
from topodl.complexes.cell_complexes import CellComplexes
from topodl.complexes.cliques import MAX_CELLS, clique_complexes
from topodl.complexes.lists import Lists
from topodl.kernels.complexes.cliques import grow_simplices, upper_neighbours
from topodl.kernels.complexes.neighbourhoods import (
    common_neighbours,
    count_larger_sets,
    larger_sets,
    vertices_within,
)
from topodl.kernels.shared.adjacency import adjacency

__all__ = ["hop_sets", "neighbourhood_complexes"]


@shares_documentation(clique_complexes, sections=("Raises",))
def neighbourhood_complexes(
    edge_index: torch.Tensor,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    *,
    n_vertices: int | None = None,
    max_dim: int = 2,
    max_cells: int = MAX_CELLS,
) -> CellComplexes:
    """Return the neighbourhood complex of each graph: a simplex for all vertices with a common neighbour.

    It is the Dowker complex of the relation of being neighbours.

    Returns
    -------
    CellComplexes
        On the device of `edge_index`. A vertex without neighbours, of which there is no such set, stays a
        cell.

    References
    ----------
    L. Lovász, "Kneser's conjecture, chromatic number, and homotopy", Journal of Combinatorial Theory A 25,
    1978. C. H. Dowker, "Homology groups of relations", Annals of Mathematics 56, 1952.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import neighbourhood_complexes
    >>> star = torch.tensor([[0, 0, 0], [1, 2, 3]])
    >>> neighbourhood_complexes(star).vertices(2).table()
    tensor([[1, 2, 3]])
    """
    name = "neighbourhood_complexes"
    check_number(name, "max_dim", max_dim, low=0, integer=True)
    check_number(name, "max_cells", max_cells, low=0, integer=True)
    graphs = read_graphs(name, edge_index, batch, n_graphs, n_vertices)
    _, edges = upper_neighbours(graphs.ends, graphs.n_vertices)
    starts, neighbours, _ = adjacency(graphs.n_vertices, edges)
    near, others, _ = vertices_within(starts, neighbours, 2)
    pairs = np.stack((np.repeat(np.arange(graphs.n_vertices), np.diff(near)), others), 1)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    offsets, shared = common_neighbours(pairs, starts, neighbours)
    kept = np.flatnonzero(np.diff(offsets))
    offsets = np.append(offsets[kept], offsets[-1])
    tables = _grown(name, graphs.offsets, pairs[kept], offsets, shared, max_dim, max_cells)
    return CellComplexes._from_tables(graphs.offsets, *tables, graphs.device)


def _grown(
    function: str,
    vertex_offsets: Array,
    pairs: Array,
    offsets: Array,
    shared: Array,
    max_dim: int,
    max_cells: int,
) -> tuple[list[Array], list[Array], list[Array]]:
    """Return vertices, faces and offsets of dimension 1, 2, … from pairs with `shared` neighbours."""
    siblings = np.searchsorted(pairs[:, 0], np.arange(int(vertex_offsets[-1]) + 1))
    cells, all_faces, all_offsets = [pairs], [pairs[:, ::-1].copy()], [siblings[vertex_offsets]]
    taken = int(vertex_offsets[-1])
    if max_dim > 0:
        reject_too_many(function, np.diff(all_offsets[0]), taken, max_cells, "edges")
    taken += len(pairs)
    for k in range(2, max_dim + 1):
        simplices, faces = cells[-1], all_faces[-1]
        last, parents = np.ascontiguousarray(simplices[:, -1]), np.ascontiguousarray(faces[:, -1])
        begins, size = count_larger_sets(parents, siblings, offsets, shared)
        all_offsets.append(begins[all_offsets[-1]])
        reject_too_many(function, np.diff(all_offsets[-1]), taken, max_cells, names_of_cells(k))
        vertices, offsets, shared = larger_sets(last, parents, siblings, offsets, shared, begins, size)
        larger, their_faces = grow_simplices(simplices, faces, last, siblings, begins, vertices)
        cells.append(larger)
        all_faces.append(their_faces)
        siblings, taken = begins, taken + len(larger)
    return cells[:max_dim], all_faces[:max_dim], all_offsets[:max_dim]


@shares_documentation(clique_complexes)
def hop_sets(
    edge_index: torch.Tensor,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    *,
    n_vertices: int | None = None,
    n_hops: int = 1,
) -> Lists:
    """Return for each vertex the vertices that are at most some steps away, itself too, rising: hyperedges.

    Parameters
    ----------
    n_hops : int
        The most steps.

    Returns
    -------
    Lists
        One list for each vertex of the batch, on the device of `edge_index`.

    Raises
    ------
    InputError
        If shapes do not agree, an index is out of range, `batch` falls, or an edge joins two graphs.
    TypeError
        If an argument is no tensor, or has no integers.

    References
    ----------
    Y. Feng, H. You, Z. Zhang, R. Ji, Y. Gao, "Hypergraph neural networks", AAAI 2019.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import hop_sets
    >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
    >>> hop_sets(path, n_hops=2)[0]
    tensor([0, 1, 2])
    """
    check_number("hop_sets", "n_hops", n_hops, low=0, integer=True)
    graphs = read_graphs("hop_sets", edge_index, batch, n_graphs, n_vertices)
    _, edges = upper_neighbours(graphs.ends, graphs.n_vertices)
    starts, neighbours, _ = adjacency(graphs.n_vertices, edges)
    offsets, members, _ = vertices_within(starts, neighbours, min(n_hops, graphs.n_vertices))
    return Lists._of(torch.from_numpy(members).to(graphs.device), torch.from_numpy(offsets).to(graphs.device))
