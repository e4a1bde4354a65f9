"""Rings of graphs as cells of dimension 2: chordless cycles up to a length, or the relevant ones of them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from topodl._checks import check_choice, check_number
from topodl._docs import shares_documentation
from topodl.complexes._input import Array, read_graphs, reject_too_many
from topodl.complexes.cell_complexes import CellComplexes
from topodl.complexes.cliques import MAX_CELLS, clique_complexes
from topodl.errors import MemoryLimitError
from topodl.kernels.complexes.cliques import upper_neighbours
from topodl.kernels.complexes.rings import (
    chordless_cycles,
    order_by_length,
    relevant_cycles,
    take_cycles,
)
from topodl.kernels.complexes.tables import ring_signs
from topodl.kernels.shared.adjacency import adjacency

__all__ = ["ring_complexes"]

_NAME = "ring_complexes"


@shares_documentation(clique_complexes, sections=("Raises",))
def ring_complexes(
    edge_index: torch.Tensor,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    *,
    n_vertices: int | None = None,
    max_length: int = 6,
    kind: Literal["chordless", "relevant"] = "chordless",
    max_cells: int = MAX_CELLS,
) -> CellComplexes:
    """Return each graph of a batch with its rings as cells of dimension 2.

    Both kinds of rings are those of the graph, whatever the numbers of its vertices; a basis of cycles is
    not.

    Parameters
    ----------
    max_length : int
        The most vertices of a ring. In dense graphs their number is exponential in it: 6 to 8 do for
        molecules, 4 for social graphs.
    kind : {"chordless", "relevant"}
        "chordless": the cycles whose vertices have no other edges between them. "relevant": those of these
        that are no sum of shorter cycles, hence in some cycle basis of least total length.

    Returns
    -------
    CellComplexes
        Of dimension 2, on the device of `edge_index`. Rings are sorted by length, then by their vertices.

    Notes
    -----
    Rings of length 3 are the triangles of `clique_complexes`.

    References
    ----------
    C. Bodnar et al., "Weisfeiler and Lehman go cellular: CW networks", NeurIPS 2021. P. Vismara, "Union of
    all the minimum cycle bases of a graph", Electronic Journal of Combinatorics 4, 1997.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import ring_complexes
    >>> decalin = torch.tensor([[0, 1, 2, 3, 4, 5, 4, 6, 7, 8, 9], [1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 5]])
    >>> complexes = ring_complexes(decalin)
    >>> complexes
    CellComplexes(1 sample; 10 vertices, 11 edges, 2 rings; cpu)
    >>> complexes.vertices(2)[0]
    tensor([0, 1, 2, 3, 4, 5])
    """
    check_choice(_NAME, "kind", kind, ("chordless", "relevant"))
    check_number(_NAME, "max_length", max_length, low=3, integer=True)
    check_number(_NAME, "max_cells", max_cells, low=0, integer=True)
    graphs = read_graphs(_NAME, edge_index, batch, n_graphs, n_vertices)
    starts, edges = upper_neighbours(graphs.ends, graphs.n_vertices)
    edge_offsets = starts[graphs.offsets]
    reject_too_many(_NAME, np.diff(edge_offsets), graphs.n_vertices, max_cells, "edges")
    most = max_cells - graphs.n_vertices - len(edges)
    beginnings, neighbours, links = adjacency(graphs.n_vertices, edges)
    vertices, faces, offsets = chordless_cycles(
        beginnings, neighbours, links, min(max_length, graphs.n_vertices + 3), most
    )
    if len(offsets) - 1 > most:
        raise _too_many(vertices[offsets[-2]], graphs.offsets, most, max_cells)
    order, of_graphs = order_by_length(vertices, offsets, graphs.offsets)
    vertices, faces, offsets = take_cycles(order, vertices, faces, offsets)
    if kind == "relevant":
        kept = np.flatnonzero(relevant_cycles(faces, offsets, of_graphs, edge_offsets))
        vertices, faces, offsets = take_cycles(kept, vertices, faces, offsets)
        of_graphs = np.searchsorted(kept, of_graphs)
    return CellComplexes._from_tables(
        graphs.offsets,
        [edges, (vertices, offsets)],
        [edges[:, ::-1].copy(), (faces, offsets)],
        [edge_offsets, of_graphs],
        graphs.device,
        ring_signs(vertices, offsets),
    )


def _too_many(vertex: int, vertex_offsets: Array, most: int, max_cells: int) -> MemoryLimitError:
    graph = int(np.searchsorted(vertex_offsets, vertex, side="right")) - 1
    return MemoryLimitError(
        f"{_NAME}: edge_index has more than {most} rings beside its vertices and edges, the last of them in "
        f"graph {graph}; expected at most max_cells = {max_cells} in all, or a smaller max_length"
    )
