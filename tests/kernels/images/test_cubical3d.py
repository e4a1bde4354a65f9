"""The 3D pairing names the critical voxels that reduction of the whole boundary matrix names."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.naive.cubical import cubical_pairs
from topodl.kernels.images import cubical3d
from topodl.kernels.images._voxel_links import OFFSETS, lowest_bit
from topodl.kernels.images.cubical3d import lower_links, pair_voxels

SIZES = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4)
SHELLED = arrays(
    np.float64,
    array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=3),
    elements=st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 2.0, np.inf]),
)


def pairs_of(volume: np.ndarray, dims: tuple[int, ...] = (0, 1, 2)) -> list[tuple[int, int, int]]:
    bits = volume.reshape(-1).view(np.int32 if volume.itemsize == 4 else np.int64)
    found = pair_voxels(bits, *volume.shape, False, (0 in dims, 1 in dims, 2 in dims))
    return sorted((k, *map(int, pair)) for k in dims for pair in zip(*found[k], strict=True))


@settings(max_examples=40)
@given(arrays(np.float64, SIZES, elements=st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 2.0, 1e300, np.inf])))
def test_equals_matrix_reduction_with_ties_and_infinities(volume):
    assert pairs_of(volume) == cubical_pairs(volume)


@settings(max_examples=40)
@given(shape=SIZES, seed=st.integers(0, 2**32 - 1))
def test_equals_matrix_reduction_of_distinct_values(shape, seed):
    volume = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    expected = cubical_pairs(volume)
    assert pairs_of(volume) == expected
    for dim in range(3):  # each dimension alone takes another way through the kernel
        assert pairs_of(volume, (dim,)) == [pair for pair in expected if pair[0] == dim]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SIZES, seed=st.integers(0, 2**32 - 1), n_values=st.integers(1, 9))
def test_forgetting_flows_changes_nothing(monkeypatch, dtype, shape, seed, n_values):
    volume = np.random.default_rng(seed).integers(0, n_values, shape).astype(dtype)
    expected = pairs_of(volume)
    monkeypatch.setattr(cubical3d, "_WORDS_A_VOXEL", 0)
    assert pairs_of(volume) == expected == cubical_pairs(volume)


@settings(max_examples=30)
@given(SHELLED)
def test_dual_is_the_vertex_construction_of_the_reversed_volume_in_its_shell(volume):
    keys = np.argsort(np.argsort(volume, axis=None, kind="stable"), kind="stable").reshape(volume.shape)
    shelled = np.pad(-keys.astype(np.float64), 1, constant_values=-1e9)
    places = np.pad(np.arange(volume.size).reshape(volume.shape), 1, constant_values=-1).reshape(-1)
    expected = [
        (k, places[birth], places[death] if death >= 0 else -1) for k, birth, death in cubical_pairs(shelled)
    ]
    values = volume.reshape(-1)
    found = pair_voxels(values.view(f"i{volume.itemsize}"), *volume.shape, True, (True, True, True))
    pairs = [(k, *map(int, pair)) for k in range(3) for pair in zip(*found[k], strict=True)]
    inside = [p for p in expected if p[1] < 0 or p[2] < 0 or values[p[1]] != values[p[2]]]
    # Which voxels of the shell are paired with each other depends on the order in it, and matters to nobody.
    assert sorted(p for p in pairs if p[1:] != (-1, -1)) == sorted(p for p in inside if p[1:] != (-1, -1))


def test_a_loop_around_three_open_components_dies_where_two_of_them_are_one():
    """Voxels of middle rank inside have such links, and what is joined elsewhere is drawn."""
    for seed in range(20):
        volume = np.random.default_rng(seed).permutation(64).reshape(4, 4, 4).astype(np.float32)
        volume[1, 1, 1] = 31.5
        assert pairs_of(volume) == cubical_pairs(volume)


@pytest.mark.parametrize("seed", range(4))
def test_links_have_a_bit_where_all_voxels_of_a_cell_come_earlier(seed):
    rng = np.random.default_rng(seed)
    keys = np.pad(rng.integers(0, 4, (3, 4, 5)), 1, constant_values=99).astype(np.int32)
    flat = keys.reshape(-1)
    steps = OFFSETS @ np.array([keys.shape[1] * keys.shape[2], keys.shape[2], 1])
    links = lower_links(flat, steps)
    for p in np.flatnonzero(flat < 99):
        for j, offset in enumerate(OFFSETS):
            faces = [i for i, o in enumerate(OFFSETS) if ((o == 0) | (o == offset)).all()]
            earlier = [(flat[p + steps[i]], p + steps[i]) < (flat[p], p) for i in faces]
            assert links[p] >> j & 1 == all(earlier)


@pytest.mark.parametrize("bit", [0, 1, 31, 32, 62, 63])
def test_lowest_bit(bit):
    assert lowest_bit(np.uint64(1 << bit)) == bit
    assert lowest_bit(np.uint64((1 << 64) - (1 << bit))) == bit


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("kind", ["random", "tied", "plateau", "flat"])
def test_any_number_of_threads_finds_the_same_pairs_in_the_same_order(monkeypatch, use_threads, kind, dual):
    noise = np.random.default_rng(5).normal(size=(4, 14, 13)).astype(np.float32)
    kinds = {"random": noise, "tied": noise.round(), "plateau": noise.clip(-0.5, 0.5), "flat": 0 * noise}
    volume = kinds[kind]
    options = (volume.reshape(-1).view(np.int32), *volume.shape, dual, (True, True, True))
    use_threads(1)
    alone = pair_voxels(*options)
    monkeypatch.setattr(cubical3d, "_LEAST_VOXELS", 1)
    monkeypatch.setattr(cubical3d, "_LEAST_SQUARES", 1)
    for threads in (2, 3, 7):
        use_threads(threads)
        for own, expected in zip(pair_voxels(*options), alone, strict=True):
            np.testing.assert_array_equal(own, expected)
