import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.complexes.cliques import stray_edge, upper_neighbours

EDGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20)


@given(EDGES)
def test_larger_neighbours_are_sorted_and_there_once(edges):
    starts, found = upper_neighbours(np.array(edges, np.int64).reshape(-1, 2).T, 7)
    expected = sorted({tuple(sorted(edge)) for edge in edges if edge[0] != edge[1]})
    assert found.tolist() == [list(edge) for edge in expected]
    assert starts.tolist() == [sum(u < v for u, _ in expected) for v in range(8)]


def test_edges_that_leave_their_graph_are_found():
    graph_of = np.array([0, 0, 1])
    assert stray_edge(np.array([[0, 1], [1, 0]]), graph_of) == -1
    assert stray_edge(np.array([[0, 1], [1, 2]]), graph_of) == 1
    assert stray_edge(np.array([[0, 1], [1, 3]]), graph_of) == 1
    assert stray_edge(np.array([[-1], [1]]), graph_of) == 0
