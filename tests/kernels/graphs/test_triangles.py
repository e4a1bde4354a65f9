import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.rips import reduce_boundaries
from topodl.kernels.graphs import triangles
from topodl.kernels.shared.adjacency import adjacency
from topodl.kernels.shared.union_find import elder_deaths


def fill(edges, graph, order, n):
    """What the kernels say: for each edge whether it closes a cycle, and the edge that fills it or -1."""
    dying, _ = elder_deaths(n, edges[order])
    closes = dying < 0
    filler = triangles.fill_cycles(edges, graph, order, closes, *adjacency(n, edges))
    cycles = np.zeros(len(edges), bool)
    cycles[order] = closes
    return cycles, filler


def naive(edges, order, n):
    """The same by reduction of the whole boundary matrix."""
    rank = {tuple(edges[e].tolist()): k for k, e in enumerate(order)}
    found = [
        t for t in itertools.combinations(range(n), 3) if all(p in rank for p in itertools.combinations(t, 2))
    ]
    entry = {(v,): (-1, 0, (v,)) for v in range(n)} | {e: (k, 1, e) for e, k in rank.items()}
    entry |= {t: (max(rank[p] for p in itertools.combinations(t, 2)), 2, t) for t in found}
    simplices = sorted(entry, key=entry.get)
    columns, pivots = reduce_boundaries(simplices)
    cycles, filler = np.zeros(len(edges), bool), np.full(len(edges), -1)
    for k, simplex in enumerate(simplices):
        if len(simplex) == 2 and not columns[k]:
            e = order[rank[simplex]]
            cycles[e] = True
            filler[e] = order[entry[simplices[pivots[k]]][0]] if k in pivots else -1
    return cycles, filler


@given(st.integers(3, 9), st.floats(0.2, 1.0), st.integers(0, 10_000))
def test_fills_the_cycles_that_the_boundary_matrix_does(n, density, seed):
    rng = np.random.default_rng(seed)
    pairs = np.array(list(itertools.combinations(range(n), 2)))
    edges = pairs[rng.random(len(pairs)) < density]
    order = rng.permutation(len(edges))
    for ours, theirs in zip(
        fill(edges, np.zeros(len(edges), np.int64), order, n), naive(edges, order, n), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_graphs_of_a_batch_do_not_meet():
    square_and_diagonals = np.array(list(itertools.combinations(range(4), 2)))
    ring = np.array([[0, 1], [0, 3], [1, 2], [2, 3]])
    edges = np.concatenate((ring, square_and_diagonals + 4))
    graph = np.repeat([0, 1], [4, 6])
    order = np.arange(len(edges))
    cycles, filler = fill(edges, graph, order, 8)
    alone = fill(square_and_diagonals, graph[4:], np.arange(6), 4)
    assert cycles[:4].tolist() == [False, False, False, True]
    assert (filler[:4] == -1).all()
    np.testing.assert_array_equal(cycles[4:], alone[0])
    np.testing.assert_array_equal(filler[4:], np.where(alone[1] < 0, -1, alone[1] + 4))


def test_a_clique_has_no_cycle_left():
    edges = np.array(list(itertools.combinations(range(60), 2)))
    order = np.random.default_rng(0).permutation(len(edges))
    cycles, filler = fill(edges, np.zeros(len(edges), np.int64), order, 60)
    assert cycles.sum() == len(edges) - 59
    np.testing.assert_array_equal(filler >= 0, cycles)


def test_no_edges():
    none = np.empty((0, 2), np.int64)
    cycles, filler = fill(none, np.empty(0, np.int64), np.empty(0, np.int64), 3)
    assert len(cycles) == len(filler) == 0


def test_warm_up_compiles():
    triangles.warm_up()
