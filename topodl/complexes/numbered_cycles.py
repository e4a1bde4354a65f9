"""Cycle bases as they are found: published liftings take them, and they depend on the numbering."""

from __future__ import annotations

import networkx as nx
import torch

from topodl._docs import shares_documentation
from topodl.complexes.cell_complexes import CellComplexes
from topodl.complexes.cliques import clique_complexes
from topodl.complexes.lists import Lists

__all__ = ["numbering_dependent_cycles"]


@shares_documentation(clique_complexes, sections=("Raises",))
def numbering_dependent_cycles(
    edge_index: torch.Tensor,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    *,
    n_vertices: int | None = None,
) -> CellComplexes:
    """Return each graph with the cycles of a basis as cells of dimension 2: another basis for other numbers.

    Published liftings use this basis; a copy of a graph with its vertices numbered anew may differ in it.
    What is computed from it is therefore no property of the graph. `ring_complexes` has cycles that are.

    Returns
    -------
    CellComplexes
        Of dimension 2, on the device of `edge_index`.

    Notes
    -----
    The basis is that of networkx's `cycle_basis` with vertices and edges in rising order.

    References
    ----------
    K. Paton, "An algorithm for finding a fundamental set of cycles of a graph", Communications of the ACM 12,
    1969.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import numbering_dependent_cycles
    >>> two_triangles = torch.tensor([[0, 0, 1, 0, 2], [1, 2, 2, 3, 3]])
    >>> numbering_dependent_cycles(two_triangles)
    CellComplexes(1 sample; 4 vertices, 5 edges, 2 rings; cpu)
    """
    graphs = clique_complexes(edge_index, batch, n_graphs, n_vertices=n_vertices, max_dim=1)
    whole = nx.Graph()
    whole.add_nodes_from(range(graphs.n_cells(0)))
    edges = graphs.vertices(1).table()
    whole.add_edges_from(edges.tolist())
    cycles = nx.cycle_basis(whole)
    members = torch.tensor([v for cycle in cycles for v in cycle], dtype=torch.int64, device="cpu")
    lengths = torch.tensor([len(cycle) for cycle in cycles], dtype=torch.int64, device="cpu")
    rings = Lists(members, torch.nn.functional.pad(lengths.cumsum(0), (1, 0)))
    return CellComplexes(graphs.offsets(0).diff(), [edges], rings=rings)
