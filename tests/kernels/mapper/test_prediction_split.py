import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mapper.graphs import adjacency_of, as_lists, neighbours_of, random_graph
from tests.naive import prediction_net as naive
from topodl.kernels.mapper import prediction_split as kernels

SMALL = st.tuples(st.integers(1, 25), st.floats(0.0, 0.3), st.integers(0, 10_000), st.integers(1, 3))


def walks(adjacency):
    return adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int64)


@given(SMALL, st.floats(0, 0.9), st.floats(0, 0.9), st.booleans(), st.sampled_from([0.0, 0.3]))
def test_halves_are_those_of_the_twin(size, right, left, by_deviation, least):
    n, density, seed, columns = size
    edges, lens = random_graph(n, density, seed, columns)
    everything, bounds = np.arange(n), np.array([0, n])
    members, offsets, whole = kernels.halve(
        *walks(adjacency_of(n, edges)), lens, everything, bounds, np.array([right, left]), by_deviation, least
    )
    expected = naive.halves(range(n), lens.tolist(), (right, left), by_deviation, least)
    if expected is None:
        assert whole.tolist() == [True]
        assert as_lists(members, offsets) == [list(range(n))]
        return
    neighbours = neighbours_of(n, edges)
    found = [sorted(part) for half in expected for part in naive.components(half, neighbours)]
    assert as_lists(members, offsets) == found
    assert not whole.any()


def test_a_path_of_five_by_hand():
    # Values 0, 1/4, 1/2, 3/4, 1: the cut is at 1/2, the left half reaches to 3/4 with overlap 1/2.
    edges = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
    lens = np.array([[0.0], [0.25], [0.5], [0.75], [1.0]])
    members, offsets, whole = kernels.halve(
        *walks(adjacency_of(5, edges)), lens, np.arange(5), np.array([0, 5]), np.array([0, 0.5]), False, 0.0
    )
    assert as_lists(members, offsets) == [[0, 1, 2, 3], [2, 3, 4]]
    assert whole.tolist() == [False, False]


def test_equal_ranges_go_by_the_first_column_whatever_rounding_says():
    edges = np.array([[0, 1], [1, 2]])
    for noise in (-2e-16, 0.0, 2e-16):
        lens = np.array([[0.0, 1.0], [0.2, 0.8], [1.0, noise]])
        members, offsets, _ = kernels.halve(
            *walks(adjacency_of(3, edges)), lens, np.arange(3), np.array([0, 3]), np.zeros(2), False, 0.0
        )
        assert as_lists(members, offsets) == [[0, 1], [2]]


@pytest.mark.parametrize("high", [5e-324, np.nextafter(0.5, 1)])
def test_halves_shrink_even_where_the_middle_rounds_to_an_end(high):
    low = 0.0 if high < 0.5 else 0.5
    lens = np.array([[low], [high]])
    edges = np.array([[0], [1]])
    members, offsets, _ = kernels.halve(
        *walks(adjacency_of(2, edges)), lens, np.arange(2), np.array([0, 2]), np.array([0.9, 0.9]), False, 0.0
    )
    assert as_lists(members, offsets) == [[0], [1]]


@given(SMALL, st.integers(1, 4))
def test_exits_are_the_shortest_edges_out(size, n_sets):
    n, density, seed, columns = size
    edges, lens = random_graph(n, density, seed, columns)
    adjacency, neighbours = adjacency_of(n, edges), neighbours_of(n, edges)
    rng = np.random.default_rng(seed)
    sets = [np.flatnonzero(rng.random(n) < 0.4) for _ in range(n_sets)]
    rows = np.repeat(np.arange(n), np.diff(adjacency.indptr))
    lengths = np.abs(lens[rows] - lens[adjacency.indices]).max(1)
    found = kernels.shortest_exits(
        *walks(adjacency),
        lengths,
        np.concatenate(sets),
        np.concatenate([[0], np.cumsum([len(samples) for samples in sets])]),
    )
    for samples, exit_found in zip(sets, found.tolist(), strict=True):
        inside = set(samples.tolist())
        ways = [
            (np.abs(lens[i] - lens[j]).max(), i, j) for i in inside for j in neighbours[i] if j not in inside
        ]
        assert exit_found == (list(min(ways)[1:]) if ways else [-1, -1])


def test_warm_up_compiles():
    kernels.warm_up()
