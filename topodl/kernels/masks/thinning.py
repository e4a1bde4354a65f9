"""Thinning that keeps the topology: simple points go, eight (in the plane four) interleaved grids in turn.

Menten et al., ICCV 2023. Only the border is looked at, and then the neighbours of what went, whose codes are
kept up to date, so that the cost is linear in the number of foreground pixels, whatever the iterations.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.masks.simple_points import is_simple, simple_point_table
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["thin", "warm_up"]

_NOW, _NEXT, _END, _ALL = 1, 2, 4, 7  # flags of a pixel: the queues that it is in, and whether it stays


def thin(mask: NDArray[np.bool_], iterations: int | None = None, corner: bool = True) -> NDArray[np.bool_]:
    """Return the skeleton of `mask` (H, W) or (D, H, W) after `iterations`, by default when nothing changes.

    A pixel with at most one neighbour when an iteration begins is an end and stays. `corner` says whether
    pixels that share only a corner are neighbours, of which components and ends are made.
    """
    box = mask[None] if mask.ndim == 2 else mask
    padded = np.pad(box, ((0, 0) if mask.ndim == 2 else (1, 1), (1, 1), (1, 1)))
    padded = padded.astype(np.uint8, order="C")  # np.pad keeps another order, and ravel would copy
    rounds = padded.size if iterations is None else iterations
    neighbours, touching = _neighbours(padded.shape, corner)
    table = simple_point_table(corner)
    _thin(padded.ravel(), padded.shape, neighbours, touching, table, rounds, corner)
    inside = (slice(None) if mask.ndim == 2 else slice(1, -1), slice(1, -1), slice(1, -1))
    return padded[inside].reshape(mask.shape).astype(bool)


def _neighbours(shape: tuple[int, int, int], corner: bool) -> tuple[NDArray[np.int64], int]:
    """Return what the kernel knows of each neighbour in scan order, (n, 4), and the bits of those that touch.

    That is its offset, its bit in the code of the centre, the bit of the centre in its own code, and what the
    number of its grid differs by from that of the centre.
    """
    depths = (0,) if shape[0] == 1 else (-1, 0, 1)
    steps = [s for s in itertools.product(depths, (-1, 0, 1), (-1, 0, 1)) if any(s)]
    gap = len(steps) // 2 if shape[0] > 1 else len(steps)  # in space the centre has a bit, too
    bits = [1 << (i if i < gap else i + 1) for i in range(len(steps))]
    offsets = [(z * shape[1] + y) * shape[2] + x for z, y, x in steps]
    grids = [abs(y) + 2 * abs(x) if shape[0] == 1 else abs(z) + 2 * abs(y) + 4 * abs(x) for z, y, x in steps]
    touching = sum(bit for bit, s in zip(bits, steps, strict=True) if corner or sum(map(abs, s)) == 1)
    return np.array([offsets, bits, bits[::-1], grids]).T.copy(), touching


@kernel
def _thin(
    image: Any, shape: Any, neighbours: Any, touching: int, table: Any, rounds: int, corner: bool
) -> None:
    space = shape[0] > 1
    n_grids = 8 if space else 4
    room = ((shape[0] + 1) // 2) * ((shape[1] + 1) // 2) * ((shape[2] + 1) // 2)
    now, following = np.empty((n_grids, room), np.int32), np.empty((n_grids, room), np.int32)
    n_now, n_following = np.zeros(n_grids, np.int64), np.zeros(n_grids, np.int64)
    codes, flags = np.zeros(len(image), np.int32), np.zeros(len(image), np.uint8)
    _write_codes(image, neighbours, codes)
    _queue_border(image, shape, neighbours[:, 1].sum(), codes, now, n_now, flags)
    for _ in range(rounds):
        if n_now.sum() == 0:
            return
        _mark_ends(now, n_now, codes, flags, touching)
        for grid in range(n_grids):
            for i in range(n_now[grid]):
                pixel = now[grid, i]
                if flags[pixel] & _END or image[pixel] == 0:
                    continue
                if not is_simple(codes[pixel], table, corner, space):
                    continue
                image[pixel] = 0
                for k in range(len(neighbours)):
                    other = pixel + neighbours[k, 0]
                    codes[other] &= ~neighbours[k, 2]
                    if image[other]:
                        its_grid = grid ^ neighbours[k, 3]
                        # its grid may still come in this iteration; ends are those from its start
                        if its_grid > grid:
                            _append(now, n_now, flags, other, its_grid, _NOW)
                        _append(following, n_following, flags, other, its_grid, _NEXT)
        _start_over(now, n_now, following, n_following, flags)
        now, following = following, now
        n_now, n_following = n_following, n_now


@borrowing_subroutine
def _write_codes(image: Any, neighbours: Any, codes: Any) -> None:
    """Write the neighbourhood of each pixel within the padding as bits."""
    edge = neighbours[len(neighbours) - 1, 0]
    first = np.uintp(
        edge
    )  # unsigned indices spare the test for a negative one, which would stop vectorisation
    for k in range(len(neighbours)):
        shifted, bit = np.uintp(edge + neighbours[k, 0]), np.int32(neighbours[k, 1])
        for i in range(np.uintp(max(len(image) - 2 * edge, 0))):
            codes[first + i] |= bit * np.int32(image[shifted + i])


@borrowing_subroutine
def _queue_border(image: Any, shape: Any, inside: int, codes: Any, now: Any, n_now: Any, flags: Any) -> None:
    """Queue the pixels that are not all surrounded: no others are simple, and none of them is an end."""
    for z in range(shape[0]):
        for y in range(shape[1]):
            start = (z * shape[1] + y) * shape[2]
            grid = (z & 1) + 2 * (y & 1) if shape[0] > 1 else y & 1
            last = 4 if shape[0] > 1 else 2
            for x in range(shape[2]):
                if image[start + x] and codes[start + x] != inside:
                    _append(now, n_now, flags, start + x, grid + last * (x & 1), _NOW)


@borrowing_subroutine
def _mark_ends(now: Any, n_now: Any, codes: Any, flags: Any, touching: int) -> None:
    for grid in range(len(n_now)):
        for i in range(n_now[grid]):
            pixel = now[grid, i]
            near = codes[pixel] & touching
            flags[pixel] &= _ALL ^ _END
            if near & (near - 1) == 0:  # one bit at most
                flags[pixel] |= _END


@borrowing_subroutine
def _start_over(now: Any, n_now: Any, following: Any, n_following: Any, flags: Any) -> None:
    """Empty the queue of this iteration, and let the other one take its place."""
    for grid in range(len(n_now)):
        for i in range(n_now[grid]):
            flags[now[grid, i]] &= _ALL ^ _NOW
        for i in range(n_following[grid]):
            flags[following[grid, i]] ^= _NOW | _NEXT
        n_now[grid] = 0


@borrowing_subroutine
def _append(queues: Any, lengths: Any, flags: Any, pixel: int, grid: int, flag: int) -> None:
    """Add `pixel` to the queue of its grid unless it is there."""
    if not flags[pixel] & flag:
        flags[pixel] |= flag
        queues[grid, lengths[grid]] = pixel
        lengths[grid] += 1


def warm_up() -> None:
    """Compile the kernel."""
    thin(np.ones((3, 3), bool))
