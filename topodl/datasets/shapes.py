"""Point clouds of known topology: spheres, tori, annuli, Klein bottles, linked circles, nested spheres.

Each comes with its Betti numbers. The spheres of the topological autoencoder's experiment are drawn as its
authors do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from topodl._checks import check_number, fail
from topodl._docs import shares_documentation

__all__ = [
    "Cloud",
    "make_annulus",
    "make_klein_bottle",
    "make_linked_circles",
    "make_nested_spheres",
    "make_sphere",
    "make_spheres",
    "make_torus",
]

Array = np.ndarray[Any, np.dtype[Any]]


class Cloud(NamedTuple):
    """Points (n, d) of a space of known topology, with the part (n,) that each lies on.

    Examples
    --------
    >>> from topodl.datasets import make_torus
    >>> cloud = make_torus(50)
    >>> cloud.points.shape, cloud.labels.shape, cloud.betti
    ((50, 3), (50,), (1, 2, 1))
    """

    points: Array
    """(n, d) coordinates, float64."""
    labels: Array
    """(n,) which part each point lies on, int64."""
    betti: tuple[int, ...]
    """Betti numbers of the space, over Z/2, from dimension 0 on."""


def make_sphere(
    n_samples: int = 200, dim: int = 2, *, radius: float = 1.0, noise: float = 0.0, random_state: int = 0
) -> Cloud:
    """Draw points of a sphere uniformly.

    Parameters
    ----------
    n_samples : int
        Number of points.
    dim : int
        Dimension of the sphere: 1 is a circle in the plane, 2 the sphere in space.
    radius : float
        Its radius.
    noise : float
        Standard deviation of Gaussian noise that is added to each coordinate.
    random_state : int
        Seed.

    Returns
    -------
    Cloud
        Points (n_samples, dim + 1), of Betti numbers (1, 0, …, 0, 1).

    Raises
    ------
    InputError
        If `n_samples`, `dim` or `radius` is not positive, or `noise` or `random_state` is negative.

    References
    ----------
    M. E. Muller, "A note on a method for generating points uniformly on n-dimensional spheres",
    Communications of the ACM 2, 1959. A. Hatcher, "Algebraic Topology", Cambridge University Press, 2002
    (Betti numbers).

    Examples
    --------
    >>> from topodl.datasets import make_sphere
    >>> make_sphere(50, dim=1).betti
    (1, 1)
    """
    _check("make_sphere", n_samples, noise, random_state, radius=radius)
    check_number("make_sphere", "dim", dim, low=1, integer=True)
    rng = np.random.default_rng(random_state)
    points = radius * _directions(rng, n_samples, dim + 1)
    return _finish(rng, points, np.zeros(n_samples, np.int64), noise, (1, *[0] * (dim - 1), 1))


@shares_documentation(make_sphere)
def make_torus(
    n_samples: int = 400,
    *,
    radius: float = 2.0,
    tube_radius: float = 0.8,
    noise: float = 0.0,
    random_state: int = 0,
) -> Cloud:
    """Draw points of a torus in space uniformly over its area.

    Parameters
    ----------
    radius, tube_radius : float
        Of the circle along the tube, and of the tube, which is the smaller.

    Returns
    -------
    Cloud
        Points (n_samples, 3), of Betti numbers (1, 2, 1).

    Raises
    ------
    InputError
        If `tube_radius` is not between 0 and `radius`, or another argument is out of its range.

    References
    ----------
    P. Diaconis, S. Holmes, M. Shahshahani, "Sampling from a manifold", Advances in Modern Statistical Theory
    and Applications, 2013. A. Hatcher, "Algebraic Topology", Cambridge University Press, 2002 (Betti
    numbers).

    Examples
    --------
    >>> from topodl.datasets import make_torus
    >>> make_torus(50).points.shape
    (50, 3)
    """
    _check("make_torus", n_samples, noise, random_state, radius=radius)
    _check_below("make_torus", "tube_radius", tube_radius, radius)
    rng = np.random.default_rng(random_state)
    # The area grows with the distance from the axis.
    around = _rejected(rng, n_samples, lambda a: (radius + tube_radius * np.cos(a)) / (radius + tube_radius))
    along = rng.uniform(0, 2 * np.pi, n_samples)
    ring = radius + tube_radius * np.cos(around)
    points = np.stack((ring * np.cos(along), ring * np.sin(along), tube_radius * np.sin(around)), 1)
    return _finish(rng, points, np.zeros(n_samples, np.int64), noise, (1, 2, 1))


@shares_documentation(make_sphere)
def make_annulus(
    n_samples: int = 200, *, inner: float = 1.0, outer: float = 1.5, noise: float = 0.0, random_state: int = 0
) -> Cloud:
    """Draw points of a ring in the plane uniformly.

    Parameters
    ----------
    inner, outer : float
        Radii of its borders.

    Returns
    -------
    Cloud
        Points (n_samples, 2), of Betti numbers (1, 1).

    Raises
    ------
    InputError
        If `inner` is not between 0 and `outer`, or another argument is out of its range.

    References
    ----------
    M. E. Muller, "A note on a method for generating points uniformly on n-dimensional spheres",
    Communications of the ACM 2, 1959. A. Hatcher, "Algebraic Topology", Cambridge University Press, 2002
    (Betti numbers).

    Examples
    --------
    >>> from topodl.datasets import make_annulus
    >>> make_annulus(50).betti
    (1, 1)
    """
    _check("make_annulus", n_samples, noise, random_state, outer=outer)
    _check_below("make_annulus", "inner", inner, outer)
    rng = np.random.default_rng(random_state)
    distance = np.sqrt(rng.uniform(inner**2, outer**2, n_samples))
    points = distance[:, None] * _directions(rng, n_samples, 2)
    return _finish(rng, points, np.zeros(n_samples, np.int64), noise, (1, 1))


@shares_documentation(make_torus, make_sphere, sections=["Raises"])
def make_klein_bottle(
    n_samples: int = 500,
    *,
    radius: float = 2.0,
    tube_radius: float = 1.0,
    noise: float = 0.0,
    random_state: int = 0,
) -> Cloud:
    """Draw points of a Klein bottle, embedded without crossing itself in four coordinates.

    Parameters
    ----------
    radius, tube_radius : float
        Of the circle along the tube, and of the tube, which turns over once on its way around.

    Returns
    -------
    Cloud
        Points (n_samples, 4), of Betti numbers (1, 2, 1) over Z/2 (over the rationals (1, 1, 0)).

    References
    ----------
    M. P. do Carmo, "Differential Geometry of Curves and Surfaces", Prentice-Hall, 1976 (the embedding). A.
    Hatcher, "Algebraic Topology", Cambridge University Press, 2002 (Betti numbers).

    Examples
    --------
    >>> from topodl.datasets import make_klein_bottle
    >>> make_klein_bottle(50).points.shape
    (50, 4)
    """
    _check("make_klein_bottle", n_samples, noise, random_state, radius=radius)
    _check_below("make_klein_bottle", "tube_radius", tube_radius, radius)
    rng = np.random.default_rng(random_state)
    along, around = rng.uniform(0, 2 * np.pi, (2, n_samples))
    ring = radius + tube_radius * np.cos(around)
    height = tube_radius * np.sin(around)
    points = np.stack(
        (
            ring * np.cos(along),
            ring * np.sin(along),
            height * np.cos(along / 2),
            height * np.sin(along / 2),
        ),
        1,
    )
    return _finish(rng, points, np.zeros(n_samples, np.int64), noise, (1, 2, 1))


@shares_documentation(make_sphere)
def make_linked_circles(
    n_samples: int = 200, n_circles: int = 2, *, noise: float = 0.0, random_state: int = 0
) -> Cloud:
    """Draw points of a chain of circles in space, each linked with the next.

    Parameters
    ----------
    n_samples : int
        Number of points, shared out evenly.
    n_circles : int
        Number of circles of radius 1.

    Returns
    -------
    Cloud
        Points (n_samples, 3), of Betti numbers (n_circles, n_circles); labels are the circles.

    Raises
    ------
    InputError
        If `n_samples` or `n_circles` is not positive, or `noise` or `random_state` is negative.

    References
    ----------
    A. Hatcher, "Algebraic Topology", Cambridge University Press, 2002 (Betti numbers).

    Examples
    --------
    >>> from topodl.datasets import make_linked_circles
    >>> make_linked_circles(60, 3).betti
    (3, 3)
    """
    _check("make_linked_circles", n_samples, noise, random_state)
    check_number("make_linked_circles", "n_circles", n_circles, low=1, integer=True)
    rng = np.random.default_rng(random_state)
    labels = np.sort(np.arange(n_samples) % n_circles)
    angle = rng.uniform(0, 2 * np.pi, n_samples)
    flat = np.where(labels % 2 == 0, 1.0, 0.0)
    # At this distance neighbours are linked, and circles of the same plane stay apart.
    centre = 1.4 * labels
    points = np.stack((np.cos(angle) + centre, np.sin(angle) * flat, np.sin(angle) * (1 - flat)), 1)
    return _finish(rng, points, labels, noise, (n_circles, n_circles))


@shares_documentation(make_sphere)
def make_nested_spheres(
    n_samples: int = 400,
    n_spheres: int = 2,
    *,
    dim: int = 2,
    ratio: float = 2.0,
    noise: float = 0.0,
    random_state: int = 0,
) -> Cloud:
    """Draw points of spheres around one centre, of radii 1, ratio, ratio², ….

    Parameters
    ----------
    n_samples : int
        Number of points, shared out by the volumes of the spheres, so that all are equally dense.
    n_spheres : int
        Number of spheres.
    dim : int
        Their dimension.
    ratio : float
        Of the radii of one and the next.

    Returns
    -------
    Cloud
        Points (n_samples, dim + 1), of Betti numbers (n_spheres, 0, …, 0, n_spheres); labels are the spheres.

    Raises
    ------
    InputError
        If `ratio` is 1 or not positive, or another argument is out of its range.

    References
    ----------
    M. E. Muller, "A note on a method for generating points uniformly on n-dimensional spheres",
    Communications of the ACM 2, 1959. A. Hatcher, "Algebraic Topology", Cambridge University Press, 2002
    (Betti numbers).

    Examples
    --------
    >>> from topodl.datasets import make_nested_spheres
    >>> make_nested_spheres(60).betti
    (2, 0, 2)
    """
    _check("make_nested_spheres", n_samples, noise, random_state, ratio=ratio)
    if ratio == 1:
        raise fail("make_nested_spheres", "ratio", f"is {ratio!r}", "another ratio than that of one sphere")
    for name, value in (("n_spheres", n_spheres), ("dim", dim)):
        check_number("make_nested_spheres", name, value, low=1, integer=True)
    rng = np.random.default_rng(random_state)
    radii = float(ratio) ** np.arange(n_spheres)
    shares = np.cumsum(radii**dim) / np.sum(radii**dim)
    labels = np.searchsorted(shares, (np.arange(n_samples) + 0.5) / n_samples).astype(np.int64)
    points = radii[labels][:, None] * _directions(rng, n_samples, dim + 1)
    return _finish(rng, points, labels, noise, (n_spheres, *[0] * (dim - 1), n_spheres))


@shares_documentation(make_sphere)
def make_spheres(
    n_samples: int = 500,
    dim: int = 100,
    n_spheres: int = 11,
    *,
    radius: float = 5.0,
    noise: float = 0.0,
    random_state: int = 42,
) -> Cloud:
    """Draw "Spheres", the data of the topological autoencoder's paper: small spheres inside a large one.

    The same numbers as the authors' generator gives with the same seed (42 in the paper).

    Parameters
    ----------
    n_samples : int
        Points of each small sphere; the large one has as many as all small ones together.
    dim : int
        Dimension of the spheres.
    n_spheres : int
        Their number, the large one included. The small ones are shifted by Gaussian vectors of standard
        deviation 10 / √dim in each coordinate.
    radius : float
        Of the small spheres; that of the large one is five times as large.

    Returns
    -------
    Cloud
        Points (2 · n_samples · (n_spheres − 1), dim + 1); labels are the spheres, the large one last. In few
        dimensions spheres often cross each other, and then `betti` is empty: their union has other Betti
        numbers than spheres apart.

    Raises
    ------
    InputError
        If there are fewer than two spheres, or another argument is out of its range.

    References
    ----------
    M. Moor, M. Horn, B. Rieck, K. Borgwardt, "Topological Autoencoders", ICML 2020.

    Examples
    --------
    >>> from topodl.datasets import make_spheres
    >>> make_spheres(20).points.shape
    (400, 101)
    """
    _check("make_spheres", n_samples, noise, random_state, radius=radius)
    check_number("make_spheres", "dim", dim, low=1, integer=True)
    check_number("make_spheres", "n_spheres", n_spheres, low=2, integer=True)
    rng = np.random.RandomState(random_state)
    shifts = rng.normal(0, 10 / np.sqrt(dim), (n_spheres, dim + 1))
    sizes = [n_samples] * (n_spheres - 1) + [n_samples * (n_spheres - 1)]
    parts = []
    for k, size in enumerate(sizes):
        draws = rng.randn(size, dim + 1)
        largest = k == n_spheres - 1
        sphere = (5 * radius if largest else radius) * draws / np.sqrt((draws**2).sum(1))[:, None]
        parts.append(sphere if largest else sphere + shifts[k])
    points = np.concatenate(parts)
    if noise:
        points += noise * rng.randn(*points.shape)
    betti = (n_spheres, *[0] * (dim - 1), n_spheres) if _are_apart(shifts[:-1], radius) else ()
    return Cloud(points, np.repeat(np.arange(n_spheres), sizes), betti)


def _are_apart(centres: Array, radius: float) -> bool:
    """Return whether no two spheres of one radius, and the one around 0 of five times it, meet."""
    between = np.linalg.norm(centres[:, None] - centres, axis=2) + np.diag(np.full(len(centres), np.inf))
    outward = np.linalg.norm(centres, axis=1)
    return bool((between > 2 * radius).all() and (np.abs(outward - 5 * radius) > radius).all())


def _check(name: str, n_samples: int, noise: float, random_state: int, **radii: float) -> None:
    check_number(name, "n_samples", n_samples, low=1, integer=True)
    check_number(name, "random_state", random_state, low=0, integer=True)
    check_number(name, "noise", noise, low=0.0)
    for argument, value in radii.items():
        check_number(name, argument, value)
        if value <= 0:
            raise fail(name, argument, f"is {value!r}", "a number above 0")


def _check_below(name: str, argument: str, value: float, bound: float) -> None:
    """Check a radius that must not reach `bound`, where the space would have another topology."""
    check_number(name, argument, value)
    if not 0 < value < bound:
        raise fail(name, argument, f"is {value!r}", f"a number above 0 and below {bound:g}")


def _directions(rng: np.random.Generator, n: int, size: int) -> Array:
    vectors = rng.normal(size=(n, size))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _rejected(rng: np.random.Generator, n: int, density: Callable[[Array], Array]) -> Array:
    """Draw `n` angles of a density in [0, 1] by rejection."""
    found = np.empty(0)
    while len(found) < n:
        angles = rng.uniform(0, 2 * np.pi, 2 * n)
        found = np.concatenate((found, angles[rng.uniform(size=2 * n) < density(angles)]))
    return found[:n]


def _finish(
    rng: np.random.Generator, points: Array, labels: Array, noise: float, betti: tuple[int, ...]
) -> Cloud:
    return Cloud(points + noise * rng.normal(size=points.shape), labels, betti)
