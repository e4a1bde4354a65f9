"""Simple points: pixels whose flip changes no component, hole or tunnel of foreground and background.

In the plane by a table of the 256 neighbourhoods, in space by counting components around the voxel
(Bertrand and Malandain, 1994).
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.shared.compile import borrowing_subroutine

__all__ = [
    "is_simple",
    "neighbour_offsets",
    "neighbourhood_code",
    "one_piece_table",
    "simple_point_table",
]


def neighbour_offsets(shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the flat offsets of the 8 neighbours in the plane, or of the 26 in space, in scan order."""
    depths = (0,) if shape[0] == 1 else (-1, 0, 1)
    steps = [s for s in itertools.product(depths, (-1, 0, 1), (-1, 0, 1)) if any(s)]
    return np.array([(z * shape[1] + y) * shape[2] + x for z, y, x in steps])


@functools.cache
def simple_point_table(corner: bool) -> NDArray[np.bool_]:
    """Return which of the 256 neighbourhoods make their centre simple; bit i is neighbour i in scan order.

    `corner` says whether foreground pixels that share only a corner are neighbours.
    """
    table = np.zeros(256, bool)
    for code in range(256):
        ring = _unpack(code)
        foreground = _pieces_at_centre(ring, corner)
        background = _pieces_at_centre(~ring & _ring(), not corner)
        table[code] = foreground == 1 and background == 1
    return table


@functools.cache
def one_piece_table(centre: bool) -> NDArray[np.bool_]:
    """Return the test that the code of Hu's warping loss uses in place of that for simple points.

    Among the nine pixels, `centre` included as it is, the pieces of the foreground times those of the
    background must be 1. Both are 8-connected: the code asks for 4 and 8, but by position, where OpenCV
    expects another argument. It lets a pixel grow beside a corner, for example.
    """
    table = np.zeros(256, bool)
    for code in range(256):
        patch = _unpack(code)
        patch[1, 1] = centre
        table[code] = len(_pieces(patch, True)) * len(_pieces(~patch, True)) == 1
    return table


def _ring() -> NDArray[np.bool_]:
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    return ring


def _unpack(code: int) -> NDArray[np.bool_]:
    patch = np.zeros((3, 3), bool)
    patch[_ring()] = [bool(code >> i & 1) for i in range(8)]
    return patch


def _pieces(patch: NDArray[np.bool_], corner: bool) -> list[set[tuple[int, int]]]:
    """Return the connected pieces of a 3 x 3 patch."""
    left = {(int(y), int(x)) for y, x in np.argwhere(patch)}
    pieces = []
    while left:
        piece, front = set(), {left.pop()}
        while front:
            piece |= front
            front = {b for b in left for a in front if _touch(a, b, corner)}
            left -= front
        pieces.append(piece)
    return pieces


def _touch(a: tuple[int, int], b: tuple[int, int], corner: bool) -> bool:
    dy, dx = abs(a[0] - b[0]), abs(a[1] - b[1])
    return max(dy, dx) == 1 if corner else dy + dx == 1


def _pieces_at_centre(ring: NDArray[np.bool_], corner: bool) -> int:
    return sum(any(_touch(p, (1, 1), corner) for p in piece) for piece in _pieces(ring, corner))


_FACES = sum(1 << i for i in (4, 10, 12, 14, 16, 22))
_EDGES_AND_FACES = sum(1 << i for i in range(27) if i != 13 and i not in (0, 2, 6, 8, 18, 20, 24, 26))
_AROUND = (1 << 27) - 1 - (1 << 13)
# Cells of the cube that have a predecessor, or a successor, along the last axis and along the middle one.
_NOT_FIRST_X, _NOT_LAST_X = (sum(1 << i for i in range(27) if i % 3 != x) for x in (0, 2))
_NOT_FIRST_Y, _NOT_LAST_Y = (sum(1 << i for i in range(27) if i // 3 % 3 != y) for y in (0, 2))


@borrowing_subroutine
def neighbourhood_code(image: Any, pixel: int, offsets: Any) -> int:
    """Return the neighbours of `pixel` as bits: 8 in the plane; in space 26, with a gap for the centre."""
    code = 0
    for i in range(len(offsets)):
        if image[pixel + offsets[i]]:
            code |= 1 << (i if len(offsets) == 8 or i < 13 else i + 1)
    return code


@borrowing_subroutine
def _around_bits(piece: int) -> int:
    """Return the cells of a cube that touch those of `piece`, and these; bits from 27 on mean nothing."""
    piece |= (piece << 1 & _NOT_FIRST_X) | (piece >> 1 & _NOT_LAST_X)
    piece |= (piece << 3 & _NOT_FIRST_Y) | (piece >> 3 & _NOT_LAST_Y)
    return piece | piece << 9 | piece >> 9


@borrowing_subroutine
def _beside_bits(piece: int) -> int:
    """Return the cells that share a face with those of `piece`, and these, as `_around_bits` does."""
    in_row = (piece << 1 & _NOT_FIRST_X) | (piece >> 1 & _NOT_LAST_X)
    in_plane = (piece << 3 & _NOT_FIRST_Y) | (piece >> 3 & _NOT_LAST_Y)
    return piece | in_row | in_plane | piece << 9 | piece >> 9


@borrowing_subroutine
def _simple_in_space(code: int, corner: bool) -> bool:
    full = code if corner else _AROUND & ~code  # whose cells are neighbours where they touch
    faces = _AROUND & ~full & _FACES
    if full == 0 or faces == 0:
        return False
    piece, before = full & -full, 0
    while piece != before:
        piece, before = _around_bits(piece) & full, piece
    if piece != full:
        return False
    thin = _EDGES_AND_FACES & ~full  # no path by faces around the centre needs a corner of the cube
    piece, before = faces & -faces, 0
    while piece != before:
        piece, before = _beside_bits(piece) & thin, piece
    return piece & _FACES == faces


@borrowing_subroutine
def is_simple(code: int, table: Any, corner: bool, space: bool) -> bool:
    """Return whether the centre of a neighbourhood is simple."""
    return _simple_in_space(code, corner) if space else table[code]
