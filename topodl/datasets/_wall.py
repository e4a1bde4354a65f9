"""The geometry of a brick wall: where each brick and each joint lies in the image, in integers.

Lengths are in 1/256 pixel. The wall has its own axes (u along the courses, v across them), reached from the
image by a rotation with rational cosine and sine, a perspective division and a smooth warp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from topodl.datasets._draws import Draws, Ints

__all__ = ["Mask", "Wall", "betti_of_mortar", "build_wall", "remove_specks"]

Mask = NDArray[np.bool_]
_PIXEL = 256
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Wall:
    """A laid-out wall; every array is (size, size) unless it says otherwise."""

    mortar: Mask
    brick: Ints  # number of the brick (or of the brick that the joint belongs to), a row of the brick tables
    n_bricks: int
    along: Ints  # position along the course from the left joint, in 1/256 pixel
    across: Ints  # position across the course from the upper joint
    to_right: Ints  # distance to the right joint
    to_below: Ints  # distance to the lower joint
    course: Ints
    pitch: int  # height of a course
    joint: int  # half the thickness of a bed joint


def build_wall(draws: Draws, size: int, *, tilted: bool) -> Wall:
    """Lay out a wall; `tilted` views it from the side, by 15 to 50 degrees and with strong perspective."""
    pitch = max(_PIXEL * 8, draws.integer(_PIXEL * size // 13, _PIXEL * size // 6))
    length = pitch * draws.integer(220, 340) // 100
    u, v = _wall_axes(draws, size, pitch, tilted=tilted)

    margin = 2
    first_course, first_column = int(v.min()) // pitch - margin, int(u.min()) // length - margin
    n_courses = int(v.max()) // pitch - first_course + 2 * margin
    n_columns = int(u.max()) // length - first_column + 2 * margin
    bed_shift = draws.integers(-pitch // 14, pitch // 14 + 1, (n_courses,))
    head_shift = draws.integers(-length // 9, length // 9 + 1, (n_courses, n_columns))
    bond = length * draws.integer(38, 62) // 100
    head_shift += (np.arange(n_courses)[:, None] % 2) * bond

    def bed(course: Ints) -> Ints:
        return (course + first_course) * pitch + bed_shift[course]

    course, across, to_below = _locate(v, v // pitch - first_course, bed)

    flat_shift = head_shift.ravel()

    def head(column: Ints) -> Ints:
        return (column + first_column) * length + flat_shift[course * n_columns + column]

    guess = (u - (course % 2) * bond) // length - first_column
    column, along, to_right = _locate(u, guess, head)

    brick = course * n_columns + column
    joint = max(_PIXEL * 9 // 8, pitch * draws.integer(6, 12) // 100)
    inside = _inside_brick(
        draws, size, brick, n_courses * n_columns, along, to_right, across, to_below, joint
    )
    mortar = remove_specks(~_keep_apart(inside, brick))
    return Wall(mortar, brick, n_courses * n_columns, along, across, to_right, to_below, course, pitch, joint)


def _wall_axes(draws: Draws, size: int, pitch: int, *, tilted: bool) -> tuple[Ints, Ints]:
    x = (2 * np.arange(size, dtype=np.int64) - size + 1) * (_PIXEL // 2)
    x, y = x[None, :], x[:, None]
    # With t = tan(angle / 2), cosine and sine are rational in t.
    t = draws.integer(72, 230) if tilted else draws.integer(0, 22)
    if draws.chance(50):
        t = -t
    unit = 512 * 512 + t * t
    cosine, sine = ((512 * 512 - t * t) << 14) // unit, ((2 * 512 * t) << 14) // unit
    u, v = (cosine * x + sine * y) >> 14, (cosine * y - sine * x) >> 14
    # Perspective: the depth changes by this many 1/65536 over half the image.
    limit = 20000 if tilted else 6000
    slope_x, slope_y = (int(s) for s in draws.integers(-limit, limit + 1, (2,)))
    depth = 65536 + (slope_x * x + slope_y * y) // (_PIXEL * size)
    wave = pitch // 9
    u = (u << 16) // depth + ((draws.noise(size, max(4, size // 4)) * wave) >> 15)
    v = (v << 16) // depth + ((draws.noise(size, max(4, size // 4)) * wave) >> 15)
    start = draws.integers(0, pitch, (2,))
    return u + 3 * start[0], v + start[1]


def _locate(position: Ints, guess: Ints, edge: Callable[[Ints], Ints]) -> tuple[Ints, Ints, Ints]:
    """Return a position's cell and its distances to that cell's edges; `guess` is off by one at most."""
    index = guess - (position < edge(guess))
    index += position >= edge(index + 1)
    return index, position - edge(index), edge(index + 1) - position


def _inside_brick(
    draws: Draws,
    size: int,
    brick: Ints,
    n_bricks: int,
    along: Ints,
    to_right: Ints,
    across: Ints,
    to_below: Ints,
    joint: int,
) -> Mask:
    """Return where a brick's face is: inside its joints, with rough edges and round or chipped corners."""
    rough = draws.noise(size, max(3, size // 42)) + (draws.noise(size, max(3, size // 16)) >> 1)
    rough = (rough * max(_PIXEL // 2, joint // 3)) >> 15
    shrink = draws.integers(0, joint // 3 + 1, (n_bricks,))[brick]
    radius = draws.integers(joint // 2, joint * 2, (n_bricks,))
    chipped = draws.integers(0, 100, (n_bricks,)) < 6
    radius = np.where(chipped, radius * 2, radius)[brick]
    head_joint = joint * 4 // 5
    dx = np.minimum(along, to_right) - head_joint - shrink - rough
    dy = np.minimum(across, to_below) - joint - rough
    corner_x, corner_y = np.maximum(radius - dx, 0), np.maximum(radius - dy, 0)
    return (dx > 0) & (dy > 0) & (corner_x * corner_x + corner_y * corner_y < radius * radius)


def _keep_apart(inside: Mask, brick: Ints) -> Mask:
    """Clear the face where its right or lower neighbour belongs to another brick: joints never close."""
    face = inside.copy()
    face[:, :-1] &= ~(inside[:, 1:] & (brick[:, 1:] != brick[:, :-1]))
    face[:-1] &= ~(inside[1:] & (brick[1:] != brick[:-1]))
    return face


def remove_specks(mortar: Mask) -> Mask:
    """Fill pieces of brick, then drop pieces of mortar, that are too small to be seen."""
    least = max(4, mortar.size // 1600)
    pieces, _ = ndimage.label(~mortar)
    small = np.bincount(pieces.ravel()) < least
    small[0] = False
    mortar = mortar | small[pieces]
    pieces, _ = ndimage.label(mortar, _EIGHT)
    small = np.bincount(pieces.ravel()) < least
    small[0] = False
    return mortar & ~small[pieces]


def betti_of_mortar(mortar: Mask) -> tuple[int, int]:
    """Return the pieces of mortar (8-connected) and the bricks that mortar encloses (4-connected)."""
    _, n_pieces = ndimage.label(mortar, _EIGHT)
    bricks, n_bricks = ndimage.label(~mortar)
    at_border = np.zeros(n_bricks + 1, dtype=bool)
    for side in (bricks[0], bricks[-1], bricks[:, 0], bricks[:, -1]):
        at_border[side] = True
    return n_pieces, int((~at_border[1:]).sum())
