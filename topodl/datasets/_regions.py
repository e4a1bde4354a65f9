"""Random regions of the square or cube with prescribed Betti numbers: blobs with voids, bent by shears.

Each cell of a random subdivision holds one blob, and each cell of a blob one void, so that nothing meets.
Cost: O(points × blobs) comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from topodl._checks import fail

__all__ = ["Region", "draw_region"]

Array = np.ndarray[Any, np.dtype[Any]]
_Box = tuple[Array, Array]  # lowest and highest corner

_REACH = 0.86  # blobs fill [-_REACH, _REACH] before they are bent
_BEND = 0.08  # how far a bend moves a point at most, so that a border of background stays
_POWER: Literal[4] = 4  # blobs are |x|⁴ + |y|⁴ + … < 1, scaled; voids have squares in place of fourth powers


@dataclass(frozen=True)
class _Shape:
    """What of the box from `low` to `high` has Σ ((x - centre) / half)^power < 1."""

    low: Array
    high: Array
    centre: Array
    half: Array
    power: Literal[2, 4]


@dataclass(frozen=True)
class Region:
    """A region of the square [-1, 1]² or the cube [-1, 1]³ that does not reach its border.

    Its components `blobs` and what is cut out of them, `voids`, are bent by sines, whose frequencies and
    phases are `bends` (d, d, 2).

    References
    ----------
    W. H. Guss, R. Salakhutdinov, "On Characterizing the Capacity of Neural Networks using Algebraic
    Topology", 2018 (in kind).

    Examples
    --------
    >>> from topodl.datasets import make_planar_region
    >>> region = make_planar_region(100, n_components=1, n_holes=0).region
    >>> region.contains([[0.0, 0.0], [1.0, 1.0]])
    array([ True, False])
    """

    blobs: tuple[_Shape, ...]
    """Its components, filled, before they are bent."""
    voids: tuple[_Shape, ...]
    """What is cut out of them."""
    bends: Array
    """(d, d, 2) frequency and phase of the sine of coordinate j by which coordinate i is shifted."""

    def contains(self, points: Any) -> Array:
        """Return whether points lie in the region.

        Parameters
        ----------
        points : array of shape (…, d)
            Coordinates; d is 2 or 3, as the region's.

        Returns
        -------
        ndarray of shape (…), bool

        Raises
        ------
        InputError
            If points have another number of coordinates.
        """
        points, n_axes = np.asarray(points, dtype=np.float64), len(self.bends)
        if points.ndim == 0 or points.shape[-1] != n_axes:
            raise fail("contains", "points", f"has shape {points.shape}", f"(…, {n_axes})")
        return self.holds(np.moveaxis(points, -1, 0))

    def holds(self, coordinates: Sequence[Array]) -> Array:
        """Return whether points lie in the region, of coordinates that broadcast as those of `ogrid`."""
        straight = self._straighten(coordinates)
        inside = _covered(straight, self.blobs)
        inside[inside] = ~_covered([x[inside] for x in straight], self.voids)
        return inside

    def _straighten(self, coordinates: Sequence[Array]) -> list[Array]:
        """Undo the bends, shears along one axis after the other: they tear nothing and glue nothing."""
        out, n_axes = list(coordinates), len(self.bends)
        for i in range(n_axes):
            for j in set(range(n_axes)) - {i}:
                frequency, phase = self.bends[i, j]
                # As long as the other coordinate is an axis of a grid, it has few sines.
                out[i] = out[i] + _BEND / (n_axes - 1) * np.sin(np.pi * frequency * out[j] + phase)
        return out


def draw_region(rng: np.random.Generator, betti: tuple[int, ...]) -> Region:
    """Draw a region of Betti numbers (components, holes) or (components, tunnels, cavities)."""
    n_axes, n_blobs = len(betti), betti[0]
    kinds = rng.permutation(np.repeat(np.arange(1, n_axes), betti[1:]))
    owners = rng.integers(0, max(n_blobs, 1), len(kinds))
    weights = 1.0 + 1.5 * np.bincount(owners, minlength=n_blobs)
    reach = np.full(n_axes, _REACH)
    blobs: list[_Shape] = []
    voids: list[_Shape] = []
    for k, (low, high) in enumerate(_subdivide(rng, -reach, reach, weights)):
        centre, half = (low + high) / 2, (high - low) / 2 * rng.uniform(0.82, 0.9)
        blobs.append(_Shape(centre - half, centre + half, centre, half, _POWER))
        voids += _draw_voids(rng, blobs[-1], kinds[owners == k])
    frequencies = rng.uniform(0.7, 1.6, (n_axes, n_axes))
    bends = np.stack((frequencies, rng.uniform(0, 2 * np.pi, (n_axes, n_axes))), -1)
    return Region(tuple(blobs), tuple(voids), bends)


def _draw_voids(rng: np.random.Generator, blob: _Shape, kinds: Array) -> list[_Shape]:
    """Draw what is cut out of a blob; `kinds` has 1 for a tunnel or, in the plane, hole, 2 for a cavity."""
    n_axes = len(blob.half)
    box = blob.half * n_axes ** (-1 / _POWER)  # the box in the blob that has its proportions
    # Voids lie side by side in a section across the shortest axis, along which tunnels run.
    across = np.sort(np.argsort(blob.half)[n_axes - 2 :])
    along = np.setdiff1d(np.arange(n_axes), across)
    corners = (blob.centre - box)[across], (blob.centre + box)[across]
    voids = []
    for kind, (start, end) in zip(kinds, _subdivide(rng, *corners, np.ones(len(kinds))), strict=True):
        centre, half = blob.centre.copy(), 0.7 * box
        centre[across] = (start + end) / 2
        half[across] = (end - start) / 2 * rng.uniform(0.55, 0.7)
        low, high = centre - half, centre + half
        if kind == 1:
            low[along], high[along], half[along] = blob.low[along], blob.high[along], np.inf
        voids.append(_Shape(low, high, centre, half, 2))
    return voids


def _subdivide(rng: np.random.Generator, low: Array, high: Array, weights: Array) -> list[_Box]:
    """Cut a box into one cell for each weight, of about proportional volumes, the longest side first."""
    if len(weights) < 2:
        return [(low, high)] * len(weights)
    share = np.cumsum(weights) / np.sum(weights)
    cut = min(int(np.searchsorted(share, 0.5)) + 1, len(weights) - 1)
    axis = int(np.argmax(high - low))
    position = low[axis] + (high - low)[axis] * np.clip(share[cut - 1] + rng.uniform(-0.04, 0.04), 0.1, 0.9)
    middle_high, middle_low = high.copy(), low.copy()
    middle_high[axis] = middle_low[axis] = position
    first = _subdivide(rng, low, middle_high, weights[:cut])
    return first + _subdivide(rng, middle_low, high, weights[cut:])


def _covered(coordinates: Sequence[Array], shapes: tuple[_Shape, ...]) -> Array:
    """Return which points, of d coordinates (…), lie in any of the shapes."""
    covered = np.zeros(coordinates[0].shape, dtype=bool)
    flat = [x.ravel() for x in coordinates]
    for shape in shapes:
        near = np.flatnonzero((flat[0] > shape.low[0]) & (flat[0] < shape.high[0]))
        for x, low, high in zip(flat[1:], shape.low[1:], shape.high[1:], strict=True):
            values = x[near]
            near = near[(values > low) & (values < high)]
        powers = np.square((np.stack([x[near] for x in flat], 1) - shape.centre) / shape.half)
        inside = (np.square(powers) if shape.power == 4 else powers).sum(1) < 1.0
        covered.ravel()[near[inside]] = True
    return covered
