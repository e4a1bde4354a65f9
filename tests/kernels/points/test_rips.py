import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.naive.rips import edge_order
from topodl.kernels.graphs import graph
from topodl.kernels.points import (
    alpha,
    greedy_edges,
    rips,
    rips_bars,
    rips_cohomology,
    rips_edges,
    spanning_tree,
)
from topodl.kernels.points._annotations import lowest_bit
from topodl.kernels.points._products import centred_products, pair_distance
from topodl.kernels.shared import union_find


@st.composite
def matrices(draw):
    n = draw(st.integers(2, 12))
    values = draw(
        st.sampled_from([[0.0, 1.0, 2.0, np.inf], [1.0, 1.0 + 1e-12, 1.0 + 2e-12], list(range(200))])
    )
    matrix = np.zeros((n, n))
    entries = hnp.arrays(float, n * (n - 1) // 2, elements=st.sampled_from(values).map(float))
    matrix[np.triu_indices(n, 1)] = draw(entries)
    return matrix + matrix.T


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_any_number_of_threads_sorts_edges_into_the_same_order(monkeypatch, use_threads, levels):
    lengths = np.random.default_rng(6).random(40 * 39 // 2)
    if levels is not None:
        lengths = np.ceil(levels * lengths)
    use_threads(1)
    alone = rips_edges.sorted_edges(lengths, 40, np.inf)
    monkeypatch.setattr(rips_edges, "_LEAST_SORTED", 1)
    for threads in (2, 3, 7):
        use_threads(threads)
        for own, expected in zip(rips_edges.sorted_edges(lengths, 40, np.inf), alone, strict=True):
            np.testing.assert_array_equal(own, expected)


@given(matrices())
def test_edges_are_sorted_by_length_and_end_points_even_where_float32_cannot_tell(matrix):
    n = len(matrix)
    condensed = rips_edges.condensed_upper_triangle(matrix)
    lengths, edges = rips_edges.sorted_edges(condensed, n, np.inf)
    assert [tuple(e) for e in edges.tolist()] == edge_order(matrix)
    assert lengths.tolist() == [matrix[tuple(e)] for e in edges]
    assert rips_edges.enclosing_radius(condensed, n) == matrix.max(1).min()


@given(matrices())
def test_the_annotations_and_cohomology_pair_the_same_edges(matrix):
    condensed = rips_edges.condensed_upper_triangle(matrix)
    _, edges = rips_edges.sorted_edges(condensed, len(matrix), np.inf)
    _, births, deaths = rips.rips_pairs(edges, len(matrix))
    pairs = rips_cohomology.cohomology_pairs(edges, len(matrix), 1)
    assert sorted(zip(births.tolist(), deaths.tolist(), strict=True)) == sorted(
        map(tuple, pairs[:, 1:].tolist())
    )


@pytest.mark.parametrize("n", [70, 150])
def test_many_classes_alive_at_once_agree_with_cohomology(n):
    generator = np.random.default_rng(n)
    points = generator.normal(size=(n, 40))
    condensed = rips_edges.condensed_distances(points)
    _, edges = rips_edges.sorted_edges(condensed, n, np.inf)
    _, births, deaths = rips.rips_pairs(edges, n)
    pairs = rips_cohomology.cohomology_pairs(edges, n, 1)
    assert sorted(zip(births.tolist(), deaths.tolist(), strict=True)) == sorted(
        map(tuple, pairs[:, 1:].tolist())
    )


def test_more_than_64_classes_alive():
    # A complete bipartite graph has no triangle: its cycles live until edges within the parts kill them.
    n = 24
    first = [(i, j) for i in range(12) for j in range(12, n)]
    rest = [e for e in itertools.combinations(range(n), 2) if e not in set(first)]
    edges = np.array(first + rest, np.int32)
    _, births, deaths = rips.rips_pairs(edges, n)
    assert len(births) == 11 * 11
    pairs = rips_cohomology.cohomology_pairs(edges, n, 1)
    assert sorted(zip(births.tolist(), deaths.tolist(), strict=True)) == sorted(
        map(tuple, pairs[:, 1:].tolist())
    )


@given(matrices())
def test_the_spanning_tree_is_kruskals(matrix):
    n, parent, tree = len(matrix), list(range(len(matrix))), []
    pairs = sorted(itertools.combinations(range(n), 2), key=lambda e: (matrix[e], e))
    for i, j in pairs:
        if parent[i] != parent[j]:
            tree.append((i, j))
            old, new = parent[j], parent[i]
            parent = [new if p == old else p for p in parent]
    edges, lengths = spanning_tree.spanning_tree_of_matrix(matrix)
    assert sorted(map(tuple, edges.tolist())) == sorted(tree)
    assert lengths.tolist() == [matrix[tuple(e)] for e in edges]


@given(
    hnp.arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=st.floats(-4, 4, width=32))
)
def test_distances_are_those_of_numpy(points):
    expected = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    condensed = rips_edges.condensed_distances(points)
    np.testing.assert_allclose(condensed, expected[np.triu_indices(len(points), 1)], rtol=1e-14, atol=0)
    rounded = rips_edges.condensed_distances(points.astype(np.float32))
    np.testing.assert_array_equal(rounded, condensed.astype(np.float32))
    edges, lengths = spanning_tree.spanning_tree_of_points(points)
    matrix = np.zeros_like(expected)
    matrix[np.triu_indices(len(points), 1)] = condensed
    again, _ = spanning_tree.spanning_tree_of_matrix(matrix + matrix.T)
    assert sorted(map(tuple, edges.tolist())) == sorted(map(tuple, again.tolist()))
    assert (lengths >= 0).all()


@given(
    st.tuples(st.integers(2, 8), st.integers(1, 9)).flatmap(
        lambda shape: st.tuples(
            hnp.arrays(float, shape, elements=st.integers(-3, 3).map(float)),
            hnp.arrays(int, shape, elements=st.sampled_from([-1060, -960, -700, -500, -470, 0, 470, 1000])),
        )
    )
)
def test_distances_of_any_size_are_those_of_python(parts):
    points = np.ldexp(*parts)
    n, pairs = len(points), list(itertools.combinations(range(len(points)), 2))
    expected = np.array([math.dist(points[i], points[j]) for i, j in pairs])
    with np.errstate(over="ignore"):  # of squares that are taken again in another unit
        condensed, room = rips_edges.condensed_distances(points), np.empty(points.shape[1])
        one_by_one = [pair_distance(points, i, j, room) for i, j in pairs]
        edges, lengths = spanning_tree.spanning_tree_of_points(points)
    np.testing.assert_allclose(condensed, expected, rtol=1e-14, atol=5e-324)
    np.testing.assert_array_equal(condensed, one_by_one)
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n, 1)] = condensed
    assert sorted(zip(lengths, *edges.T, strict=True)) == kruskal(matrix)


@st.composite
def clouds_of_many_dimensions(draw, least=24):
    """Points with ties, duplicates, near duplicates, far outliers, on every scale."""
    n, n_dims = draw(st.integers(2, 90)), draw(st.integers(least, least + 3))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    points = generator.integers(-2, 3, (n, n_dims)) * draw(st.sampled_from([0.0, 1.0]))
    points = points + generator.normal(size=(n, n_dims)) * draw(st.sampled_from([0.0, 1e-6, 1.0]))
    points[generator.integers(0, n, n // 4)] = points[generator.integers(0, n, n // 4)]
    points[:1] *= draw(st.sampled_from([1.0, 1e6]))
    shifted = (points + draw(st.sampled_from([0.0, 1e3]))) * draw(st.sampled_from([1e-30, 1.0, 1e30]))
    return shifted.astype(np.float32).astype(draw(st.sampled_from([np.float32, np.float64])))


@given(clouds_of_many_dimensions())
def test_matrix_products_change_no_distance(points):
    condensed = rips_edges.condensed_distances(points)
    np.testing.assert_array_equal(condensed, rips_edges._distances_of_rows(points))


@pytest.mark.parametrize("least", [1, 24])
@given(st.data())
def test_bounds_of_squares_change_no_tree(least, data):
    points = data.draw(clouds_of_many_dimensions(least))
    edges, lengths = spanning_tree.spanning_tree_of_points(points)
    matrix = np.zeros((len(points), len(points)))
    matrix[np.triu_indices(len(points), 1)] = rips_edges._distances_of_rows(points)
    expected_edges, expected_lengths = spanning_tree.spanning_tree_of_matrix(matrix + matrix.T)
    np.testing.assert_array_equal(edges, expected_edges)
    np.testing.assert_array_equal(lengths, expected_lengths)


def test_products_give_up_beside_a_far_outlier():
    points = np.random.default_rng(0).normal(size=(200, 30)).astype(np.float32)
    complete = []
    for factor in (1.0, 1e6):
        points[0] *= factor
        products, norms, relative, _ = centred_products(points, np.float32)
        complete.append(spanning_tree._tree_of_products(points, products, norms, relative)[2])
    assert complete == [True, False]


@given(
    st.integers(1, 70), st.integers(1, 5), st.sampled_from([np.float32, np.float64]), st.integers(0, 10**6)
)
def test_the_tree_of_a_lattice_is_the_first_of_many(n, n_dims, dtype, seed):
    points = np.random.default_rng(seed).integers(0, 3, (n, n_dims)).astype(float)
    edges, lengths = spanning_tree.spanning_tree_of_points(points.astype(dtype))
    matrix = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1)).astype(dtype).astype(float)
    assert sorted(zip(lengths, *edges.T, strict=True)) == kruskal(matrix)


def kruskal(matrix):
    """Return the sorted edges (length, i, j) of the minimum spanning tree, the slow and obvious way."""
    component, tree = list(range(len(matrix))), []
    for i, j in sorted(itertools.combinations(component, 2), key=lambda edge: (matrix[edge], edge)):
        if component[i] != component[j]:
            tree.append((matrix[i, j], i, j))
            component = [component[i] if c == component[j] else c for c in component]
    return tree


def test_a_tree_of_equal_edges_takes_the_first_of_them_also_where_zero_has_a_sign():
    matrix = np.zeros((4, 4))
    matrix[1, 2] = matrix[2, 1] = -0.0
    edges, _ = spanning_tree.spanning_tree_of_matrix(matrix)
    assert sorted(map(tuple, edges.tolist())) == [(0, 1), (0, 2), (0, 3)]


def test_the_lowest_bit():
    for place in range(64):
        assert lowest_bit(np.uint64(2**place + (2**63 if place < 63 else 0))) == place


def test_every_module_warms_up():
    modules = (alpha, graph, greedy_edges, rips, rips_bars, rips_cohomology, rips_edges)
    for module in (*modules, spanning_tree, union_find):
        module.warm_up()
