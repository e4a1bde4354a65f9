import gudhi
import numpy as np
import pytest

from topodl.kernels.attention.loops import loop_edges, map_loop_edges


def reference(matrix: np.ndarray) -> list[tuple[float, float]]:
    tree = gudhi.RipsComplex(distance_matrix=np.tril(matrix)).create_simplex_tree(2)
    tree.compute_persistence()
    bars = tree.persistence_intervals_in_dimension(1)
    return sorted((float(b), float(d)) for b, d in bars if d > b)


@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("n", [1, 3, 4, 9, 20])
def test_loops_equal_gudhi(n, levels):
    rng = np.random.default_rng(n)
    upper = rng.random((5, n, n))
    if levels:
        upper = np.ceil(levels * upper) / levels
    distances = np.triu(upper, 1) + np.triu(upper, 1).transpose(0, 2, 1)
    found = loop_edges(distances.view(np.int64))
    flat = distances.reshape(5, -1)
    for which, matrix in enumerate(distances):
        mine = found[found[:, 2] == which]
        bars = sorted(zip(flat[which][mine[:, 0]].tolist(), flat[which][mine[:, 1]].tolist(), strict=True))
        assert bars == reference(matrix)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bound", [0.0, 0.02, 0.12, 0.9])
def test_loops_of_maps_equal_those_of_their_distances(dtype, bound):
    rng = np.random.default_rng(0)
    maps = (rng.random((4, 12, 12)) ** 3).astype(dtype)
    maps[:, 3] = maps[:, :, 3] = 0  # a token that nobody attends to: edges of length 1, whatever the bound
    maps[:, 3, 3] = 1
    sums = maps.sum(-1)
    weights = maps / sums[..., None]
    weights = np.maximum(weights, weights.transpose(0, 2, 1))
    distances = (1 - np.where(weights > bound, weights, 0)).astype(dtype)
    room, integers = np.empty((12, 12), dtype), np.int32 if dtype == np.float32 else np.int64
    found = map_loop_edges(maps, sums, bound, room, room.view(integers))
    expected = loop_edges(distances.view(integers).astype(np.int64))
    assert (len(found) > 4) == (bound < 0.9)
    np.testing.assert_array_equal(found[:, [0, 2]], expected[:, [0, 2]])
    flat = distances.reshape(4, -1)
    dead, expected_dead = flat[found[:, 2], found[:, 1]], flat[expected[:, 2], expected[:, 1]]
    np.testing.assert_array_equal(dead, expected_dead)
    shorter = dead < 1  # all edges of length 1 stand for weights that are floored: any of them will do
    np.testing.assert_array_equal(found[shorter], expected[shorter])


def test_a_loop_that_only_floored_weights_fill_dies_at_1():
    n = 6
    hexagon = (np.eye(n) + 0.4 * np.roll(np.eye(n), 1, 1) + 0.4 * np.roll(np.eye(n), -1, 1)).astype(
        np.float64
    )
    maps = (hexagon + 1e-4)[None]
    sums = np.ones((1, n))
    room = np.empty((n, n))
    found = map_loop_edges(maps, sums, 1e-3, room, room.view(np.int64))
    assert found.tolist() == [[4 * n + 5, 0 * n + 2, 0]]
