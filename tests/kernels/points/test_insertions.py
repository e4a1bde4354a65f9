import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.points.insertions import component_rows


def tree_changes(points, order, precomputed):
    """Return rows (m, 4): both ends of an edge, 1 where it enters the tree or -1, and the point that came."""
    function = np.full(len(points), np.inf)
    function[order] = np.arange(len(order))
    rows = component_rows(points, function, precomputed, 7, 100)
    assert (rows[:, 0] == 7).all()
    assert (rows[:, 1] == 0).all()
    assert (rows[:, 6] == 100 + rows[:, 5]).all()
    of_points, of_edges = rows[: len(order)], rows[len(order) :]
    assert of_points[:, 2:6].tolist() == [[1, v, -1, v] for v in order.tolist()]
    return np.stack((of_edges[:, 3], of_edges[:, 4], -of_edges[:, 2], of_edges[:, 5]), 1)


def joining(members, edges):
    """Return those of the edges (a, b), in this order, that close no cycle, by Kruskal's algorithm."""
    root, found = {v: v for v in members}, []
    for a, b in edges:
        if root[a] != root[b]:
            root = {v: root[a] if r == root[b] else r for v, r in root.items()}
            found.append((a, b))
    return found


def tree_lengths(distances, members):
    """Return the lengths of a minimum spanning tree of some points."""
    edges = sorted(itertools.combinations(members, 2), key=distances.__getitem__)
    return [distances[edge] for edge in joining(members, edges)]


@given(st.integers(1, 14), st.integers(1, 3), st.integers(0, 10**6), st.booleans())
def test_the_tree_is_minimal_whenever_a_point_has_come(n, d, seed, ties):
    random = np.random.default_rng(seed)
    points = random.integers(0, 3, (n, d)).astype(float) if ties else random.random((n, d))
    distances = np.sqrt(((points[:, None] - points) ** 2).sum(2))
    order = random.permutation(n)[: max(1, n - 1)]
    for given_points, precomputed in ((points, False), (distances, True)):
        changes, tree = tree_changes(given_points, order, precomputed), []
        assert set(changes[:, 3].tolist()) <= set(order.tolist())
        for size, new in enumerate(order.tolist(), 1):
            for i, j, sign, _ in changes[changes[:, 3] == new].tolist():
                assert i < j
                tree.append((i, j)) if sign == 1 else tree.remove((i, j))
            members = order[:size].tolist()
            assert len(joining(members, tree)) == len(tree) == size - 1
            found = sorted(distances[i, j] for i, j in tree)
            assert found == pytest.approx(tree_lengths(distances, members))


@given(st.integers(2, 14), st.integers(1, 3), st.integers(0, 10**6))
def test_edges_stay_where_new_ones_are_as_long(n, d, seed):
    points = np.random.default_rng(seed).integers(0, 3, (n, d)).astype(float)
    distances = np.sqrt(((points[:, None] - points) ** 2).sum(2))
    changes, tree = tree_changes(points, np.arange(n), False), []
    for new in range(n):
        ways = [(u, new) for u in range(new)]
        edges = sorted(tree + ways, key=lambda edge: (distances[edge], edge[1] == new))
        kept = set(joining(range(new + 1), edges)) & set(tree)
        own = changes[changes[:, 3] == new]
        assert (own[:, 2] == -1).sum() == len(tree) - len(kept)
        for i, j, sign, _ in own.tolist():
            tree.append((i, j)) if sign == 1 else tree.remove((i, j))


def test_three_points_by_hand():
    line = np.array([[0.0], [2.0], [1.0]])
    changes = tree_changes(line, np.arange(3), False).tolist()
    assert changes[0] == [0, 1, 1, 1]
    assert sorted(changes[1:]) == [[0, 1, -1, 2], [0, 2, 1, 2], [1, 2, 1, 2]]
    assert tree_changes(line, np.array([2]), False).tolist() == []
    assert tree_changes(line, np.array([], np.int64), False).tolist() == []


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_units_change_nothing(unit):
    points = np.random.default_rng(0).random((30, 3))
    order = np.arange(30)
    assert np.array_equal(tree_changes(points * unit, order, False), tree_changes(points, order, False))


def test_edges_of_infinite_length_are_none():
    distances = np.array([[0.0, np.inf, 1.0], [np.inf, 0.0, np.inf], [1.0, np.inf, 0.0]])
    assert tree_changes(distances, np.arange(3), True).tolist() == [[0, 2, 1, 2]]
