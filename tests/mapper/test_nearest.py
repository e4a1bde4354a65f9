import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.mapper.neighbours import keep_largest
from topodl.mapper import _nearest
from topodl.mapper._nearest import nearest_by_direction


def directions_of(n, dim, seed, spread):
    points = np.ones(dim) + spread * np.random.default_rng(seed).normal(size=(n, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def squares_between(directions):
    squares = np.square(directions[:, None] - directions).sum(2)
    np.fill_diagonal(squares, np.inf)
    return squares


@given(st.integers(2, 40), st.integers(2, 20), st.integers(0, 1000), st.sampled_from([1e-6, 1e-4, 1e-2, 1.0]))
def test_neighbours_are_the_nearest_however_close_they_are(n, dim, seed, spread):
    directions = directions_of(n, dim, seed, spread)
    k = min(3, n - 1)
    found = nearest_by_direction(directions, k)
    squares = squares_between(directions)
    np.testing.assert_array_equal(found, np.argsort(squares, axis=1, kind="stable")[:, :k])


def test_blocks_change_nothing(monkeypatch):
    directions = directions_of(100, 20, 0, 1.0)
    expected = nearest_by_direction(directions, 5)
    for rows, columns in ((1, 1), (7, 40), (40, 7), (33, 65)):
        monkeypatch.setattr(_nearest, "_ROWS", rows)
        monkeypatch.setattr(_nearest, "_COLUMNS", columns)
        np.testing.assert_array_equal(nearest_by_direction(directions, 5), expected)


@given(st.integers(2, 150), st.integers(1, 8), st.integers(0, 1000), st.booleans())
def test_running_lists_are_the_largest_products(n, k, seed, ties):
    products = np.random.default_rng(seed).normal(size=(n, n)).astype(np.float32)
    products = (np.round(products) if ties else products) + 0  # no zero has a sign
    products = np.triu(products, 1) + np.triu(products, 1).T
    k = min(k, n - 1)
    values, indices = np.full((n, k), -np.inf, np.float32), np.zeros((n, k), np.int64)
    least = np.full(n, -np.inf, np.float32)
    for row in range(0, n, 50):
        for column in range(row, n, 70):
            block = np.ascontiguousarray(products[row : row + 50, column : column + 70])
            keep_largest(block, row, column, values, indices, least)
    others = products.copy()
    np.fill_diagonal(others, -np.inf)
    np.testing.assert_array_equal(values, -np.sort(-others, axis=1)[:, :k])
    np.testing.assert_array_equal(values, np.take_along_axis(others, indices, axis=1))
    assert all(len(set(row)) == k for row in indices.tolist())


def test_copies_are_each_others_neighbours():
    directions = np.repeat(directions_of(5, 20, 0, 1.0), 30, axis=0)
    found = nearest_by_direction(directions, 5)
    own = np.arange(150)
    assert (found // 30 == own[:, None] // 30).all()
    assert (found != own[:, None]).all()
    assert all(len(set(row)) == 5 for row in found.tolist())


@pytest.mark.parametrize("k", [1, 4])
def test_all_others(k):
    found = nearest_by_direction(directions_of(5, 3, 0, 1.0), k)
    assert found.shape == (5, k)
    if k == 4:
        assert all(sorted([i, *row]) == list(range(5)) for i, row in enumerate(found.tolist()))
