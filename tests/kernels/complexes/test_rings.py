import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.complexes.cliques import upper_neighbours
from topodl.kernels.complexes.rings import chordless_cycles, order_by_length, take_cycles
from topodl.kernels.shared.adjacency import adjacency

from ...naive.complexes import chordless_cycles as naive_cycles

# A square, a triangle on vertex 0, and a triangle of another graph.
VERTICES, OFFSETS = np.array([0, 1, 2, 3, 0, 4, 5, 6, 7, 8]), np.array([0, 4, 7, 10])
EDGES = np.arange(100, 110)


def test_cycles_are_ordered_by_graph_and_length():
    order, of_graphs = order_by_length(VERTICES, OFFSETS, np.array([0, 6, 6, 9]))
    assert order.tolist() == [1, 0, 2]
    assert of_graphs.tolist() == [0, 2, 2, 3]


def test_cycles_of_one_length_keep_their_order():
    order, of_graphs = order_by_length(VERTICES[[0, 1, 2, 0, 4, 5]], np.array([0, 3, 6]), np.array([0, 9]))
    assert order.tolist() == [0, 1]
    assert of_graphs.tolist() == [0, 2]


def test_without_cycles_all_graphs_are_empty():
    order, of_graphs = order_by_length(np.empty(0, np.int64), np.array([0]), np.array([0, 2, 5]))
    assert order.size == 0
    assert of_graphs.tolist() == [0, 0, 0]


def test_taken_cycles_bring_their_vertices_and_edges():
    vertices, edges, offsets = take_cycles(np.array([2, 1]), VERTICES, EDGES, OFFSETS)
    assert vertices.tolist() == [6, 7, 8, 0, 4, 5]
    assert edges.tolist() == [107, 108, 109, 104, 105, 106]
    assert offsets.tolist() == [0, 3, 6]


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=14), st.integers(3, 6))
def test_cycles_come_in_lexicographic_order_with_the_edges_between_their_vertices(pairs, max_length):
    ends = np.array([*pairs], np.int64).reshape(-1, 2).T
    _, edges = upper_neighbours(ends, 6)
    vertices, links, offsets = chordless_cycles(*adjacency(6, edges), max_length, 10**6)
    cycles = [tuple(each.tolist()) for each in np.split(vertices, offsets[1:-1])] if len(offsets) > 1 else []
    assert cycles == sorted(naive_cycles(list(range(6)), list(map(tuple, edges.tolist())), max_length))
    following = [c[(i + 1) % len(c)] for c in cycles for i in range(len(c))]
    assert edges[links].tolist() == [sorted(pair) for pair in zip(vertices.tolist(), following, strict=True)]
