"""Batches of small graphs with all that is awkward, and the names of the golden ones."""

from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

GOLDEN = ("bowtie", "petersen", "k5_minus_edge", "decalin", "rook")


class Graphs(NamedTuple):
    """Edges as they come, the graph of each vertex, and the number of graphs."""

    edge_index: torch.Tensor
    batch: torch.Tensor
    n_graphs: int

    def edges_of(self, graph):
        """Return the vertices of a graph, as the batch counts them, and its edges u < v, each once."""
        vertices = torch.nonzero(self.batch == graph)[:, 0].tolist()
        inside = {tuple(sorted(edge)) for edge in self.edge_index.T.tolist() if edge[0] in vertices}
        return vertices, sorted(edge for edge in inside if edge[0] != edge[1])

    def alone(self, graph):
        """Return the edges of a graph in vertices of its own, as they come, and its number of vertices."""
        vertices = torch.nonzero(self.batch == graph)[:, 0]
        first = int(vertices[0]) if len(vertices) else 0
        inside = self.batch[self.edge_index[0]] == graph
        return self.edge_index[:, inside] - first, len(vertices)


@st.composite
def graphs(draw, max_graphs=4, max_vertices=8):
    """Graphs with loops, repetitions, either direction, isolated vertices; some of them empty."""
    sizes = draw(st.lists(st.integers(0, max_vertices), max_size=max_graphs))
    starts = np.cumsum([0, *sizes])
    edges = []
    for start, size in zip(starts, sizes, strict=False):
        if size:
            vertex = st.integers(int(start), int(start) + size - 1)
            edges += draw(st.lists(st.tuples(vertex, vertex), max_size=3 * size))
    edges = draw(st.permutations(edges))
    edge_index = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    return Graphs(edge_index, torch.repeat_interleave(torch.tensor(sizes, dtype=torch.int64)), len(sizes))
