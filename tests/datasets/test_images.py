"""Images, volumes and regions of known topology: the engine finds the Betti numbers that they state."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import topodl
from topodl import datasets
from topodl.datasets import _regions, images
from topodl.errors import InputError
from topodl.metrics import betti_numbers


def betti(image, construction):
    """Return the essential and half-high classes of the superlevel sets: those of the set above 1/2."""
    x = torch.from_numpy(np.pad(image, 1, constant_values=-9.0))[None]
    d = topodl.cubical_persistence(x, superlevel=True, construction=construction)
    there = (d.births > 0.5) & (d.deaths <= 0.5)
    return tuple(int((there & (d.dims == k)).sum()) for k in range(image.ndim))


@pytest.mark.parametrize("construction", ["vertex", "cell"])
@settings(max_examples=20)
@given(
    size=st.sampled_from([48, 64, (50, 80)]),
    components=st.integers(1, 5),
    holes=st.integers(0, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_engine_finds_the_components_and_holes(construction, size, components, holes, seed):
    drawn = datasets.make_image(size, components, holes, random_state=seed)
    assert drawn.betti == (components, holes) == betti(drawn.image, construction)
    np.testing.assert_array_equal(drawn.image, drawn.mask)
    assert not drawn.mask[[0, -1]].any()
    assert not drawn.mask[:, [0, -1]].any()


@pytest.mark.parametrize("construction", ["vertex", "cell"])
@settings(max_examples=10)
@given(
    components=st.integers(1, 3),
    tunnels=st.integers(0, 3),
    cavities=st.integers(0, 3),
    seed=st.integers(0, 999),
)
def test_the_engine_finds_tunnels_and_cavities(construction, components, tunnels, cavities, seed):
    drawn = datasets.make_volume(32, components, tunnels, cavities, random_state=seed)
    assert drawn.betti == (components, tunnels, cavities) == betti(drawn.image, construction)


@settings(max_examples=40)
@given(
    shape=st.sampled_from([(9, 8), (5, 6, 4), (3, 3, 3)]),
    density=st.floats(0.2, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_mask_is_as_wanted_if_it_is_for_both_kinds_of_neighbours(shape, density, seed):
    mask = np.random.default_rng(seed).random(shape) < density
    images._detach_corners(mask)
    batch = torch.from_numpy(mask)[None, None]
    few, many = (betti_numbers(batch, connectivity=c)[0].tolist() for c in ((4, 8), (6, 26))[mask.ndim - 2])
    assert few[0] == many[0]  # nothing hangs together by corners alone
    assert images._have(mask[None], np.array([few]))[0] == (few == many)
    assert not images._have(mask[None], np.array([few]) + 1)[0]


def test_a_volume_with_a_hole_through_a_corner_is_refused():
    mask = np.ones((4, 4, 4), dtype=bool)
    mask[1, 1, 1] = mask[2, 2, 2] = False  # one cavity if corners join what is outside, two if not
    images._detach_corners(mask)
    assert mask.sum() == 62
    for cavities in (1, 2):
        assert not images._have(mask[None], np.array([[1, 0, cavities]]))[0]


def test_the_points_of_a_grid_are_those_that_a_region_contains():
    region = _regions.draw_region(np.random.default_rng(4), (2, 1, 1))
    grid = np.ogrid[-1:1:11j, -1:1:12j, -1:1:13j]
    points = np.stack(np.broadcast_arrays(*grid), -1)
    assert region.contains(points).any()
    np.testing.assert_array_equal(region.holds(grid), region.contains(points))


@pytest.mark.parametrize(
    ("size", "numbers"), [(64, (10, 6)), (256, (40, 40)), (512, (1, 100)), (1024, (200, 100))]
)
def test_sizes_that_users_want(size, numbers):
    drawn = datasets.make_image(size, *numbers, noise=0.05, random_state=3)
    assert drawn.betti == numbers == betti(drawn.image, "vertex")


def test_noise_and_seeds():
    first, again = datasets.make_image(64, random_state=5), datasets.make_image(64, random_state=5)
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.mask != datasets.make_image(64, random_state=6).mask).mean() > 0.05
    noisy = datasets.make_image(64, random_state=5, noise=0.1)
    np.testing.assert_array_equal(noisy.mask, first.mask)
    assert np.std(noisy.image - noisy.mask) == pytest.approx(0.1, rel=0.1)
    volume = datasets.make_volume((20, 24, 28), noise=0.2)
    assert volume.image.shape == volume.mask.shape == (20, 24, 28)
    assert datasets.make_image(16, 0, 0).betti == (0, 0)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: datasets.make_image(32, 60, 60),
            "make_image: size is 32 with n_components = 60, n_holes = 60",
        ),
        (lambda: datasets.make_volume(12, 9, 9, 9), "make_volume: size is 12 .*expected more pixels"),
        (lambda: datasets.make_image(64, 0, 1), "n_components is 0; expected at least 1"),
        (lambda: datasets.make_image((8, 8, 8)), r"size is \(8, 8, 8\); expected an integer, or 2 of them"),
        (lambda: datasets.make_image(4), "size is 4; expected an integer of at least 8"),
        (lambda: datasets.make_volume(n_tunnels=-1), "make_volume: n_tunnels is -1"),
        (lambda: datasets.make_image(noise=-1), "make_image: noise is -1"),
        (lambda: datasets.make_planar_region(0), "make_planar_region: n_samples is 0"),
        (lambda: datasets.make_planar_region(9, 0), "make_planar_region: n_components is 0"),
        (lambda: datasets.make_planar_region(9).region.contains(np.zeros((3, 3))), "contains: points"),
    ],
)
def test_unusable_arguments_are_named(draw, message):
    with pytest.raises(InputError, match=message):
        draw()


@settings(max_examples=20)
@given(components=st.integers(1, 6), holes=st.integers(0, 6), seed=st.integers(0, 999))
def test_planar_regions_have_the_stated_betti_numbers(components, holes, seed):
    data = datasets.make_planar_region(50, components, holes, random_state=seed)
    grid = ((-1.0, 1.0, 250),) * 2
    found = topodl.decision_region_betti(data.region.contains, grid)
    assert data.betti == (components, holes) == tuple(found.tolist())


def test_points_of_a_planar_region():
    data = datasets.make_planar_region(2001, 3, 2, random_state=1)
    assert data.points.shape == (2001, 2)
    assert np.abs(data.points).max() <= 1
    assert data.labels.sum() == 1000
    np.testing.assert_array_equal(data.region.contains(data.points), data.labels == 1)
    assert data.labels[:100].std() > 0.4  # in random order
    # uniform in the region: as many points in its left half as its area says
    draws = np.random.default_rng(0).uniform(-1, 1, (20000, 2))
    share = (draws[data.region.contains(draws), 0] < 0).mean()
    assert (data.points[data.labels == 1, 0] < 0).mean() == pytest.approx(share, abs=0.06)
    noisy = datasets.make_planar_region(2001, 3, 2, noise=0.1, random_state=1)
    np.testing.assert_array_equal(noisy.labels, data.labels)
    assert np.std(noisy.points - data.points) == pytest.approx(0.1, rel=0.1)
    np.testing.assert_array_equal(data.points, datasets.make_planar_region(2001, 3, 2, random_state=1).points)
