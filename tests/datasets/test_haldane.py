"""Haldane bundles: Chern numbers of known bundles, and against the degree of the map to the sphere."""

import numpy as np
import pytest

from topodl import datasets
from topodl.errors import InputError


def two_bands(mass, size=24):
    """Return the lower band of the model of Qi, Wu and Zhang, whose Chern number is known."""
    k = 2 * np.pi * np.arange(size) / size
    kx, ky = np.meshgrid(k, k, indexing="ij")
    x, y, z = np.sin(kx), np.sin(ky), mass + np.cos(kx) + np.cos(ky)
    matrices = np.empty((size, size, 2, 2), complex)
    matrices[..., 0, 0], matrices[..., 1, 1] = z, -z
    matrices[..., 0, 1], matrices[..., 1, 0] = x - 1j * y, x + 1j * y
    return np.linalg.eigh(matrices)[1][..., 0]


@pytest.mark.parametrize(("mass", "size"), [(-3.0, 0), (-1.0, 1), (1.0, 1), (3.0, 0)])
def test_known_bundles(mass, size):
    number = datasets.chern_number(two_bands(mass))
    assert abs(number) == size
    assert datasets.chern_number(two_bands(mass).conj()) == -number
    # neither phase nor length of the vectors matters
    rng = np.random.default_rng(0)
    factor = rng.uniform(0.5, 2, (24, 24, 1)) * np.exp(1j * rng.uniform(0, 7, (24, 24, 1)))
    assert datasets.chern_number(two_bands(mass) * factor) == number
    assert datasets.chern_number(two_bands(-1.0)) == -datasets.chern_number(two_bands(1.0))


def test_labels_are_the_degree_of_the_map_to_the_sphere():
    images, labels = datasets.make_haldane_bundles(6, size=96)
    assert len(set(labels.tolist())) > 1

    def solid_angle(a, b, c):
        numerator = np.einsum("cxy,cxy->xy", a, np.cross(b, c, axis=0))
        dot = [np.einsum("cxy,cxy->xy", p, q) for p, q in ((a, b), (b, c), (c, a))]
        return 2 * np.arctan2(numerator, 1 + sum(dot))

    for n, label in zip(images, labels, strict=True):
        right, up = np.roll(n, -1, 1), np.roll(n, -1, 2)
        corner = np.roll(right, -1, 2)
        degree = (solid_angle(n, right, corner) + solid_angle(n, corner, up)).sum() / (4 * np.pi)
        assert abs(round(float(degree))) == abs(label)


def test_seed_noise_and_errors():
    first, labels = datasets.make_haldane_bundles(3, size=12, random_state=1)
    again, same = datasets.make_haldane_bundles(3, size=12, random_state=1)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0)
    noisy, unchanged = datasets.make_haldane_bundles(3, size=12, random_state=1, noise=0.1)
    assert 0.05 < np.std(noisy - first) < 0.2
    assert labels.tolist() == same.tolist() == unchanged.tolist()
    with pytest.raises(InputError, match="make_haldane_bundles: size is 0"):
        datasets.make_haldane_bundles(size=0)
    with pytest.raises(InputError, match=r"chern_number: line has shape \(3,\)"):
        datasets.chern_number(np.ones(3))
