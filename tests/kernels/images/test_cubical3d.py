"""The 3D pairing names the critical voxels that reduction of the whole boundary matrix names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.naive.cubical import cubical_pairs
from topodl.kernels.images._voxel_links import lowest_bit
from topodl.kernels.images.cubical3d import pair_voxels, rank_voxels
from topodl.kernels.shared.radix import ordered_keys

SIZES = array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4)


def pairs_of(volume: np.ndarray, dims: tuple[int, ...] = (0, 1, 2)) -> list[tuple[int, int, int]]:
    depth, height, width = volume.shape
    bits = volume.reshape(-1).view(np.int32 if volume.itemsize == 4 else np.int64)
    rank, order, origin = rank_voxels(ordered_keys(bits), depth, height, width, False)
    found = pair_voxels(rank, order, height + 2, width + 2, *(k in dims for k in range(3)))
    pairs = []
    for k in dims:
        for birth, death in zip(found[2 * k], found[2 * k + 1], strict=True):
            pairs.append((k, int(origin[birth]), int(origin[death]) if death >= 0 else -1))
    flat = volume.reshape(-1)
    return sorted(p for p in pairs if p[2] < 0 or flat[p[1]] != flat[p[2]])


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


def test_ranks_are_the_order_by_value_and_index():
    volume = np.float32([[[0.0, -0.0], [2.0, -1.0]], [[-1.0, np.inf], [0.0, -np.inf]]])
    rank, order, origin = rank_voxels(ordered_keys(volume.reshape(-1).view(np.int32)), 2, 2, 2, False)
    assert origin[order].tolist() == np.argsort(volume.ravel(), kind="stable").tolist()
    assert (rank[order] == np.arange(8)).all()
    assert (rank[origin < 0] == 8).all()


def test_reversed_ranks_have_a_shell_of_earlier_voxels():
    volume = np.arange(12, dtype=np.float64).reshape(1, 3, 4)
    rank, order, origin = rank_voxels(ordered_keys(volume.reshape(-1).view(np.int64)), 1, 3, 4, True)
    shell = 3 * 5 * 6 - 12
    assert (origin[order[:shell]] == -1).all()
    assert origin[order[shell:]].tolist() == list(range(11, -1, -1))
    assert rank.reshape(5, 7, 8)[1, 1, 1] == 0


@pytest.mark.parametrize("bit", [0, 1, 31, 32, 62, 63])
def test_lowest_bit(bit):
    assert lowest_bit(np.uint64(1 << bit)) == bit
    assert lowest_bit(np.uint64((1 << 64) - (1 << bit))) == bit
