"""Haldane bundles: complex line bundles over the torus as images, and their Chern numbers.

Tipton, Coda et al., "Haldane bundles: a dataset for learning to predict the Chern number of line bundles on
the torus", 2023. Chern numbers by Fukui, Hatsugai, Suzuki, "Chern numbers in discretized Brillouin zone",
2005.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl._checks import check_number, fail

__all__ = ["chern_number", "make_haldane_bundles"]

Array = np.ndarray[Any, np.dtype[Any]]
_FINE = 4  # the label is read on a grid this many times finer, and has to agree with twice as fine a one


def make_haldane_bundles(
    n_samples: int = 10, size: int = 32, *, degree: int = 1, noise: float = 0.0, random_state: int = 0
) -> tuple[Array, Array]:
    """Draw line bundles over the torus: the lower eigenvectors of random 2 × 2 Hermitian Fourier polynomials.

    Parameters
    ----------
    n_samples : int
        Number of bundles.
    size : int
        Points of the grid along each axis of the torus.
    degree : int
        Largest frequency of the polynomials; their coefficients are integers from -8 to 8.
    noise : float
        Standard deviation of Gaussian noise that is added to the images; the label is that of the bundle
        without it.
    random_state : int
        Seed.

    Returns
    -------
    images : ndarray of shape (n_samples, 3, size, size), float64
        The unit vector field n on the torus whose line is the eigenvector: the projector is (1 - n · σ) / 2
        with the Pauli matrices σ.
    labels : ndarray of shape (n_samples,), int64
        Chern numbers of the bundles.

    Raises
    ------
    InputError
        If an argument is out of range.

    References
    ----------
    C. Tipton, E. Coda et al., "Haldane bundles: a dataset for learning to predict the Chern number of line
    bundles on the torus", 2023.

    Examples
    --------
    >>> from topodl.datasets import make_haldane_bundles
    >>> images, labels = make_haldane_bundles(4, size=16)
    >>> images.shape, labels.shape
    ((4, 3, 16, 16), (4,))
    """
    for name, value in (("n_samples", n_samples), ("size", size), ("degree", degree)):
        check_number("make_haldane_bundles", name, value, low=1, integer=True)
    check_number("make_haldane_bundles", "noise", noise, low=0.0)
    rng = np.random.default_rng(random_state)
    images: list[Array] = []
    labels: list[int] = []
    while len(images) < n_samples:
        coefficients = rng.integers(-8, 9, (2, 3, 2 * degree + 1, 2 * degree + 1))
        fine = [chern_number(_line(coefficients, _FINE * k * (2 * degree + size))) for k in (1, 2)]
        field = _field(coefficients, size)
        lengths = np.linalg.norm(field, axis=0)
        # Where the eigenvalues all but meet, no grid tells the number.
        if fine[0] == fine[1] and lengths.min() > 1e-3:
            images.append(field / lengths)
            labels.append(fine[0])
    noise_field = noise * rng.normal(size=(n_samples, 3, size, size)) if noise else 0.0
    return np.stack(images) + noise_field, np.array(labels, np.int64)


def chern_number(line: Array) -> int:
    """Return the Chern number of a complex line bundle over the torus, given by vectors on a periodic grid.

    Parameters
    ----------
    line : complex ndarray of shape (n, m, d)
        A vector that spans the line at each point of the grid, of any phase and length.

    Returns
    -------
    int
        The sum over plaquettes of the angles of the products of overlaps around them, over 2π: an integer on
        any grid, and the bundle's number where the grid is fine enough.

    Raises
    ------
    InputError
        If `line` has another shape, or neighbours are orthogonal.

    References
    ----------
    T. Fukui, Y. Hatsugai, H. Suzuki, "Chern numbers in discretized Brillouin zone: efficient method of
    computing (spin) Hall conductances", Journal of the Physical Society of Japan 74, 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.datasets import chern_number
    >>> chern_number(np.ones((8, 8, 2), dtype=complex))
    0
    """
    line = np.asarray(line)
    if line.ndim != 3 or 0 in line.shape:
        raise fail("chern_number", "line", f"has shape {line.shape}", "shape (n, m, d), not empty")
    along = (line.conj() * np.roll(line, -1, 0)).sum(-1)
    across = (line.conj() * np.roll(line, -1, 1)).sum(-1)
    if not (np.abs(along).min() > 0 and np.abs(across).min() > 0):
        expected = "a finer grid of finite vectors"
        raise fail("chern_number", "line", "has neighbours that are orthogonal", expected)
    around = along * np.roll(across, -1, 0) * np.roll(along, -1, 1).conj() * across.conj()
    return round(float(np.angle(around).sum()) / (2 * np.pi))


def _field(coefficients: Array, size: int) -> Array:
    """Return three real Fourier polynomials (3, size, size) on the torus."""
    degree = coefficients.shape[-1] // 2
    angle = 2 * np.pi * np.arange(size) / size
    frequencies = np.arange(-degree, degree + 1)
    waves = np.exp(1j * np.outer(frequencies, angle))
    complex_coefficients = coefficients[0] + 1j * coefficients[1]
    return np.real(np.einsum("cpq,px,qy->cxy", complex_coefficients, waves, waves))


def _line(coefficients: Array, size: int) -> Array:
    """Return the lower eigenvector of n · σ at each point, (size, size, 2)."""
    x, y, z = _field(coefficients, size)
    length = np.sqrt(x**2 + y**2 + z**2)
    # Two formulas for the same line, each of which vanishes at one pole.
    north = np.stack((z - length, x + 1j * y), -1)
    south = np.stack((-(x - 1j * y), z + length), -1)
    chosen = np.where((z > 0)[..., None], south, north)
    return chosen / np.maximum(np.linalg.norm(chosen, axis=-1, keepdims=True), 1e-300)
