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
def test_loops_of_maps_equal_those_of_their_distances(dtype):
    rng = np.random.default_rng(0)
    maps = (rng.random((4, 12, 12)) ** 3).astype(dtype)
    sums = maps.sum(-1)
    weights = maps / sums[..., None]
    weights = np.maximum(weights, weights.transpose(0, 2, 1))
    distances = 1 - np.where(weights > 0.02, weights, 0)
    room, integers = np.empty((12, 12), dtype), np.int32 if dtype == np.float32 else np.int64
    found = map_loop_edges(maps, sums, 0.02, room, room.view(integers))
    assert len(found) > 4
    expected = loop_edges(distances.astype(dtype).view(integers).astype(np.int64))
    np.testing.assert_array_equal(found, expected)
