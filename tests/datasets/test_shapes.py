"""Clouds of known topology: the engine finds the Betti numbers that they state."""

import numpy as np
import pytest
import torch

import topodl
from topodl import datasets
from topodl.errors import InputError


def betti_between(points, low, high, dims):
    """Return how many classes of the Rips complex at length `low` are still there at `high`."""
    d = topodl.rips_persistence(torch.from_numpy(points)[None], dims, max_edge_length=high)
    return tuple(int(((d.dim(k).births <= low) & (d.dim(k).deaths > high)).sum()) for k in dims)


# name, how to draw, lengths between which the Rips complex has the topology of the space
CASES = [
    ("circle", lambda: datasets.make_sphere(80, 1, noise=0.02), 0.6, 0.9),
    ("sphere", lambda: datasets.make_sphere(150, 2, noise=0.02), 0.9, 1.3),
    ("torus", lambda: datasets.make_torus(300, tube_radius=1.0), 1.45, 1.7),
    ("annulus", lambda: datasets.make_annulus(150), 0.7, 1.0),
    ("klein bottle", lambda: datasets.make_klein_bottle(700), 1.35, 1.55),
    ("linked circles", lambda: datasets.make_linked_circles(240, 2), 0.5, 0.55),
    ("nested circles", lambda: datasets.make_nested_spheres(300, 2, dim=1, ratio=2.5), 0.7, 1.0),
]


@pytest.mark.parametrize(("name", "draw", "low", "high"), CASES, ids=[case[0] for case in CASES])
def test_the_engine_finds_the_stated_betti_numbers(name, draw, low, high):
    cloud = draw()
    dims = tuple(range(len(cloud.betti)))
    assert betti_between(cloud.points, low, high, dims) == cloud.betti


def test_seeds_and_noise():
    first, again = datasets.make_torus(50, random_state=3), datasets.make_torus(50, random_state=3)
    np.testing.assert_array_equal(first.points, again.points)
    assert np.abs(first.points - datasets.make_torus(50, random_state=4).points).max() > 0.1
    noisy = datasets.make_torus(50, random_state=3, noise=0.1)
    assert 0.05 < np.std(noisy.points - first.points) < 0.2


def test_points_lie_where_they_should():
    torus = datasets.make_torus(200).points
    np.testing.assert_allclose((np.hypot(torus[:, 0], torus[:, 1]) - 2.0) ** 2 + torus[:, 2] ** 2, 0.8**2)
    annulus = np.linalg.norm(datasets.make_annulus(200).points, axis=1)
    assert 1.0 <= annulus.min() < annulus.max() <= 1.5
    nested = datasets.make_nested_spheres(300, 3)
    np.testing.assert_allclose(np.linalg.norm(nested.points, axis=1), 2.0**nested.labels)


def test_spheres_are_those_of_the_paper():
    cloud = datasets.make_spheres(4, dim=3, n_spheres=3)
    np.random.seed(42)  # noqa: NPY002 (the authors' generator, written out)
    shifts = np.random.normal(0, 10 / np.sqrt(3), [3, 4])  # noqa: NPY002
    first = np.random.randn(4, 4)  # noqa: NPY002
    first = 5 * first / np.sqrt(np.sum(first**2, 1)[:, None]) + shifts[0]
    np.testing.assert_array_equal(cloud.points[:4], first)
    full = datasets.make_spheres()
    assert full.points.shape == (10000, 101)
    np.testing.assert_allclose(np.linalg.norm(full.points[5000:], axis=1), 25.0)
    assert np.bincount(full.labels).tolist() == [500] * 10 + [5000]


def test_unusable_arguments_are_named():
    with pytest.raises(InputError, match="make_sphere: n_samples is 0"):
        datasets.make_sphere(0)
    with pytest.raises(InputError, match="make_torus: tube_radius is 3"):
        datasets.make_torus(tube_radius=3)
    with pytest.raises(InputError, match="make_annulus: noise is -1"):
        datasets.make_annulus(noise=-1)
