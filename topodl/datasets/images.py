"""Images, volumes and regions of the plane with prescribed Betti numbers, to be found again or learnt.

The regions are those of Guss and Salakhutdinov, "On Characterizing the Capacity of Neural Networks using
Algebraic Topology", 2018, in kind: data for classifiers, of any topological complexity.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from topodl._checks import check_number, fail
from topodl._docs import shares_documentation
from topodl.datasets._regions import Region, draw_region

__all__ = [
    "Image",
    "LabelledPoints",
    "Region",
    "draw_masks",
    "make_image",
    "make_planar_region",
    "make_volume",
]

Array = np.ndarray[Any, np.dtype[Any]]
_TRIES = 10  # draws before an image is too small for what it is to show


class Image(NamedTuple):
    """An image (H, W) or volume (D, H, W) of known topology.

    Examples
    --------
    >>> from topodl.datasets import make_image
    >>> picture = make_image(64, n_components=1, n_holes=1, noise=0.1)
    >>> picture.image.shape, picture.mask.dtype, picture.betti
    ((64, 64), dtype('bool'), (1, 1))
    """

    image: Array
    """(H, W) or (D, H, W) intensities, float64: 1 in the foreground, 0 elsewhere, and noise."""
    mask: Array
    """The foreground without noise, bool, of the same shape. It does not reach the edge."""
    betti: tuple[int, ...]
    """Betti numbers of the foreground: components and holes, or components, tunnels and cavities."""


class LabelledPoints(NamedTuple):
    """Points (n, 2) in and around a region of known topology, with labels (n,) that say which.

    Examples
    --------
    >>> from topodl.datasets import make_planar_region
    >>> data = make_planar_region(100)
    >>> bool((data.region.contains(data.points) == data.labels).all())
    True
    """

    points: Array
    """(n, 2) coordinates, float64."""
    labels: Array
    """(n,) 1 in the region and 0 outside, int64."""
    betti: tuple[int, int]
    """Betti numbers of the region: components and holes."""
    region: Region
    """The region; ``region.contains(points)`` says of any points whether they lie in it."""


def make_image(
    size: int | Sequence[int] = 128,
    n_components: int = 2,
    n_holes: int = 1,
    *,
    noise: float = 0.0,
    random_state: int = 0,
) -> Image:
    """Draw an image with given numbers of components and holes.

    Parameters
    ----------
    size : int or (int, int)
        Pixels along each axis, at least 8.
    n_components, n_holes : int
        Betti numbers of the foreground. They are exact, and do not depend on which pixels count as neighbours
        (4 or 8).
    noise : float
        Standard deviation of Gaussian noise that is added to each pixel; foreground has 1, background 0.
    random_state : int
        Seed.

    Returns
    -------
    Image
        Of shape (H, W).

    Raises
    ------
    InputError
        If there are holes and no component, or more of them than can be drawn in so many pixels.

    References
    ----------
    W. H. Guss, R. Salakhutdinov, "On Characterizing the Capacity of Neural Networks using Algebraic
    Topology", 2018 (in kind). T. Y. Kong, A. Rosenfeld, "Digital topology: introduction and survey", Computer
    Vision, Graphics, and Image Processing 48, 1989 (neighbours).

    Examples
    --------
    >>> from topodl.datasets import make_image
    >>> picture = make_image(64, n_components=3, n_holes=2)
    >>> picture.image.shape, picture.betti
    ((64, 64), (3, 2))
    """
    numbers = {"n_components": n_components, "n_holes": n_holes}
    return _rasterise("make_image", size, numbers, noise, random_state)


@shares_documentation(make_image)
def make_volume(
    size: int | Sequence[int] = 48,
    n_components: int = 2,
    n_tunnels: int = 1,
    n_cavities: int = 1,
    *,
    noise: float = 0.0,
    random_state: int = 0,
) -> Image:
    """Draw a volume with given numbers of components, tunnels and cavities.

    Parameters
    ----------
    size : int or (int, int, int)
        Voxels along each axis, at least 8.
    n_components, n_tunnels, n_cavities : int
        Betti numbers of the foreground. They are exact, and do not depend on which voxels count as neighbours
        (6 or 26).

    Returns
    -------
    Image
        Of shape (D, H, W).

    Raises
    ------
    InputError
        If there are tunnels or cavities and no component, or more than can be drawn in so many voxels.

    References
    ----------
    W. H. Guss, R. Salakhutdinov, "On Characterizing the Capacity of Neural Networks using Algebraic
    Topology", 2018 (in kind). T. Y. Kong, A. Rosenfeld, "Digital topology: introduction and survey", Computer
    Vision, Graphics, and Image Processing 48, 1989 (neighbours).

    Examples
    --------
    >>> from topodl.datasets import make_volume
    >>> make_volume(32, n_components=1, n_tunnels=2, n_cavities=0).betti
    (1, 2, 0)
    """
    numbers = {"n_components": n_components, "n_tunnels": n_tunnels, "n_cavities": n_cavities}
    return _rasterise("make_volume", size, numbers, noise, random_state)


def make_planar_region(
    n_samples: int = 1000,
    n_components: int = 2,
    n_holes: int = 1,
    *,
    noise: float = 0.0,
    random_state: int = 0,
) -> LabelledPoints:
    """Draw points of the square [-1, 1]², labelled by a region with given numbers of components and holes.

    Data for a binary classifier: it has learnt the topology where its decision region has the same Betti
    numbers, see `topodl.decision_region_betti`.

    Parameters
    ----------
    n_samples : int
        Number of points; half of them, rounded down, lie in the region, uniformly, the others outside.
    n_components, n_holes : int
        Betti numbers of the region, whose holes are shared out at random among its components.
    noise : float
        Standard deviation of Gaussian noise that is added to each coordinate; labels are those from before.
    random_state : int
        Seed.

    Returns
    -------
    LabelledPoints
        Points (n_samples, 2), in random order.

    Raises
    ------
    InputError
        If there is no sample or no component, or another argument is negative.

    References
    ----------
    W. H. Guss, R. Salakhutdinov, "On Characterizing the Capacity of Neural Networks using Algebraic
    Topology", 2018.

    Examples
    --------
    >>> from topodl.datasets import make_planar_region
    >>> data = make_planar_region(200, n_components=3, n_holes=2)
    >>> data.points.shape, data.labels.mean().item(), data.betti
    ((200, 2), 0.5, (3, 2))
    """
    name = "make_planar_region"
    check_number(name, "n_samples", n_samples, low=1, integer=True)
    check_number(name, "n_components", n_components, low=1, integer=True)
    check_number(name, "n_holes", n_holes, low=0, integer=True)
    check_number(name, "noise", noise, low=0.0)
    check_number(name, "random_state", random_state, low=0, integer=True)
    rng = np.random.default_rng(random_state)
    region = draw_region(rng, (n_components, n_holes))
    wanted = {True: n_samples // 2, False: n_samples - n_samples // 2}
    found: dict[bool, list[Array]] = {True: [], False: []}
    while any(sum(map(len, found[side])) < n for side, n in wanted.items()):
        draws = rng.uniform(-1, 1, (4 * n_samples + 100, 2))
        inside = region.contains(draws)
        found[True].append(draws[inside])
        found[False].append(draws[~inside])
    points = np.concatenate([np.concatenate(found[side])[:n] for side, n in wanted.items()])
    labels = np.repeat(np.array([1, 0], np.int64), list(wanted.values()))
    order = rng.permutation(n_samples)
    points = points[order] + noise * rng.normal(size=points.shape)
    return LabelledPoints(points, labels[order], (n_components, n_holes), region)


def _rasterise(
    name: str, size: int | Sequence[int], numbers: dict[str, int], noise: float, random_state: int
) -> Image:
    """Draw a region of the given Betti numbers, and read it off at the centres of pixels."""
    n_axes = len(numbers)
    shape: tuple[Any, ...] = tuple(size) if isinstance(size, Sequence) else (size,) * n_axes
    if len(shape) != n_axes:
        raise fail(name, "size", f"is {size!r}", f"an integer, or {n_axes} of them")
    for value in shape:
        check_number(name, "size", value, low=8, integer=True)
    for argument, value in numbers.items():
        check_number(name, argument, value, low=0, integer=True)
    check_number(name, "noise", noise, low=0.0)
    check_number(name, "random_state", random_state, low=0, integer=True)
    betti = tuple(numbers.values())
    if betti[0] == 0 and any(betti):
        raise fail(name, "n_components", "is 0", "at least 1, that the others are holes of")
    rng = np.random.default_rng(random_state)
    (mask,) = draw_masks([rng], shape, [betti])
    if mask is None:
        wanted = ", ".join(f"{argument} = {value}" for argument, value in numbers.items())
        raise fail(name, "size", f"is {size!r} with {wanted}", "more pixels, or less to be drawn in them")
    return Image(mask + noise * rng.normal(size=shape), mask, betti)


def draw_masks(
    rngs: Sequence[np.random.Generator], shape: Sequence[int], kinds: Sequence[tuple[int, ...]]
) -> list[Array | None]:
    """Return a mask of each of the given Betti numbers, or None where there are too few pixels for them.

    Each is drawn by its own generator, whatever the others are.
    """
    centres = np.meshgrid(*((2 * np.arange(n) + 1) / n - 1 for n in shape), indexing="ij", sparse=True)
    masks: list[Array | None] = [None] * len(rngs)
    missing = list(range(len(rngs)))
    for _ in range(_TRIES):
        if not missing:
            break
        drawn = np.stack([draw_region(rngs[i], kinds[i]).holds(centres) for i in missing])
        for mask in drawn:
            _detach_corners(mask)
        right = _have(drawn, np.array([kinds[i] for i in missing]))
        for i, mask, kept in zip(missing, drawn, right, strict=True):
            masks[i] = mask if kept else None
        missing = [i for i in missing if masks[i] is None]
    return masks


def _detach_corners(mask: Array) -> None:
    """Remove pixels that touch another one in nothing but a corner or an edge, until there are none."""
    meet, _ = _corner_blocks(mask.ndim)
    while meet[_blocks(mask)].any():
        for windows in _diagonal_windows(mask.ndim):
            first, *between, last = (mask[window] for window in windows)
            meeting = first & last
            for other in between:
                meeting &= ~other
            first[meeting] = last[meeting] = False


def _blocks(mask: Array) -> Array:
    """Return the pixels of each block, two along each axis, as the bits of a number."""
    codes = mask.astype(np.uint8)
    for axis in range(mask.ndim):
        at_second = np.moveaxis(codes, axis, 0)
        codes = np.moveaxis(at_second[:-1] | at_second[1:] << 2**axis, 0, axis)
    return codes


@functools.cache
def _corner_blocks(ndim: int) -> tuple[Array, Array]:
    """Return in which blocks pixels meet in nothing but a corner or an edge, and in which the others do."""
    blocks = np.arange(2**2**ndim)[:, None] >> np.arange(2**ndim) & 1 > 0
    blocks = blocks.reshape(-1, *[2] * ndim)  # the last axis of a block is that of the lowest bit
    meet = np.zeros((2, len(blocks)), dtype=bool)
    for windows in _diagonal_windows(ndim):
        for found, pixels in zip(meet, (blocks, ~blocks), strict=True):
            first, *between, last = (pixels[:, *window].reshape(len(blocks), -1) for window in windows)
            found |= (first & last & ~np.logical_or.reduce(between)).any(1)
    return meet[0], meet[1]


@functools.cache
def _diagonal_windows(ndim: int) -> list[list[tuple[slice, ...]]]:
    """Return for each diagonal step where a pixel, those between and the one at its end are."""
    diagonals = [s for s in itertools.product((0, 1, -1), repeat=ndim) if np.count_nonzero(s) > 1]
    blocks = [itertools.product(*((0, s) if s else (0,) for s in step)) for step in diagonals]
    return [
        [tuple(map(_window, at, step)) for at in block] for step, block in zip(diagonals, blocks, strict=True)
    ]


def _window(offset: int, step: int) -> slice:
    """Return which pixels of an axis have a neighbour at `step`, or, with `offset`, which are neighbours."""
    if step == 0:
        return slice(None)
    return slice(1, None) if offset > min(step, 0) else slice(None, -1)


def _have(masks: Array, betti: Array) -> Array:
    """Return which masks (n, *S) have the Betti numbers (n, d), whichever pixels count as neighbours."""
    import torch

    from topodl.metrics.betti import betti_numbers

    def right(some: Array, connectivity: int) -> Array:
        numbers = betti_numbers(torch.from_numpy(masks[some])[:, None], connectivity=connectivity)
        return np.asarray((numbers.numpy() == betti[some]).all(1))

    found = np.ones(len(masks), dtype=bool)
    found[found] = right(found, 4 if masks.ndim == 3 else 6)
    # Neighbours count alike where neither pixels nor what is outside of them meets in corners or edges.
    _, outside_meets = _corner_blocks(masks.ndim - 1)
    doubtful = found.copy()
    doubtful[found] = [outside_meets[_blocks(mask)].any() for mask in masks[found]]
    if doubtful.any():
        found[doubtful] = right(doubtful, 8 if masks.ndim == 3 else 26)
    return found
