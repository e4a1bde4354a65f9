"""The 2D pairing names the critical pixels that reduction of the whole boundary matrix names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.naive.cubical import cubical_pairs
from topodl.kernels.images.cubical2d import _LINKS, pair_pixels

SIZES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7)


def read(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of each image, flat, and their bits."""
    flat = images.reshape(len(images), images.shape[1] * images.shape[2])
    return flat, flat.view(np.int32 if flat.itemsize == 4 else np.int64)


def pairs_of(image: np.ndarray, by_cells: bool, dims: tuple[int, ...] = (0, 1)) -> list[tuple[int, int, int]]:
    bars, has_nan = pair_pixels(*read(image[None]), *image.shape, by_cells, 0 in dims, 1 in dims, 5)
    assert not has_nan
    assert bool((bars[0] == 5).all())
    return sorted(zip(*bars[1:].tolist(), strict=True))


@pytest.mark.parametrize("by_cells", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_equals_matrix_reduction_with_ties_and_infinities(by_cells, dtype, data):
    values = st.sampled_from([-np.inf, -2.0, -0.0, 0.0, 0.5, 1.0, 2.0**127, np.inf])
    image = data.draw(arrays(dtype, SIZES, elements=values))
    assert pairs_of(image, by_cells) == cubical_pairs(image, by_cells)


@pytest.mark.parametrize("by_cells", [False, True])
@given(shape=SIZES, seed=st.integers(0, 2**32 - 1))
def test_equals_matrix_reduction_of_distinct_values(by_cells, shape, seed):
    image = np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    expected = cubical_pairs(image, by_cells)
    assert pairs_of(image, by_cells) == expected
    for dim in (0, 1):  # one dimension alone takes another way through the kernel
        assert pairs_of(image, by_cells, (dim,)) == [pair for pair in expected if pair[0] == dim]


def test_tables_of_links_obey_duality():
    for eight in (0, 1):
        for mask in range(256):
            below, above = _LINKS[eight, mask, 0], _LINKS[1 - eight, 255 - mask, 0]
            assert below == above or min(below, above) == 0


def test_saddles_on_every_side_and_corner_lead_outside():
    # A cross of low pixels splits what is left into four corners; nothing is enclosed.
    image = np.full((5, 5), 9.0, np.float32)
    image[2] = image[:, 2] = [4, 3, 5, 2, 1]
    for by_cells in (False, True):
        assert pairs_of(image, by_cells) == cubical_pairs(image, by_cells)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (2, 9), (9, 2), (3, 3)])
def test_thin_images(shape):
    image = np.random.default_rng(0).random(shape)
    for by_cells in (False, True):
        assert pairs_of(image, by_cells) == cubical_pairs(image, by_cells)


def test_a_spiral_of_descending_paths_is_followed_to_its_end():
    image = np.full((41, 41), 1e4, np.float32)
    position, step, value = np.array([1, 1]), np.array([0, 1]), 5e3
    while True:
        image[tuple(position)] = value
        value -= 1
        ahead = position + 2 * step
        if not ((ahead >= 0) & (ahead < 41)).all() or image[tuple(ahead)] < 1e4:
            step = np.array([step[1], -step[0]])
            if image[tuple(position + step)] < 1e4 or image[tuple(position + 2 * step)] < 1e4:
                break
        position = position + step
    pairs = pairs_of(image, by_cells=False)
    assert (0, int(image.argmin()), -1) in pairs
    assert sum(dim == 0 for dim, _, _ in pairs) == 1 + _walls_alone(image)


def _walls_alone(image: np.ndarray) -> int:
    import gudhi

    bars = gudhi.CubicalComplex(vertices=image).persistence(2, 0)
    return sum(dim == 0 for dim, (_, death) in bars if death < np.inf)


@pytest.mark.parametrize("by_cells", [False, True])
@given(n=st.integers(0, 9), shape=SIZES, seed=st.integers(0, 2**32 - 1))
def test_images_of_a_batch_are_paired_one_by_one(by_cells, n, shape, seed):
    images = np.random.default_rng(seed).integers(0, 5, (n, *shape)).astype(np.float64)
    bars, has_nan = pair_pixels(*read(images), *shape, by_cells, True, True, 3)
    parts = [
        pair_pixels(*read(image[None]), *shape, by_cells, True, True, 3 + i) for i, image in enumerate(images)
    ]
    assert not has_nan
    np.testing.assert_array_equal(
        bars, np.concatenate([np.empty((4, 0), np.int64), *(p[0] for p in parts)], 1)
    )


@pytest.mark.parametrize("at", [0, 2])
def test_one_nan_in_a_batch_is_told(at):
    images = np.random.default_rng(0).random((3, 4, 4))
    images[at, 1, 2] = np.nan
    bars, has_nan = pair_pixels(*read(images), 4, 4, False, True, True, 0)
    assert has_nan
    assert bars.shape == (4, 0)
