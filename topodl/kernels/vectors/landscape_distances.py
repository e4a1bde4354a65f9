"""Exact distances between persistence landscapes, which are linear between their corners.

Bubenik and Dłotko, Journal of Symbolic Computation 78, 2017, algorithm 1. Cost: bars² for each layer of a
diagram in the worst case; the corners of both for each pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine

__all__ = ["landscape_corners", "landscape_distances", "warm_up"]


@kernel
def landscape_corners(bars: Any, offsets: Any, n_layers: int) -> Any:
    """Return the corners (C, 2) of the landscapes, place and height, and where those of each layer begin.

    Parameters
    ----------
    bars : ndarray of shape (P, 2)
        Bars with birth < death of all diagrams, each by ascending births and, of equal ones, falling deaths.
    offsets : ndarray of shape (S + 1,)
        The bars of diagram s are those from offsets[s] to offsets[s + 1].
    n_layers : int
        Layer k of diagram s is entry s · n_layers + k.
    """
    n_diagrams = len(offsets) - 1
    starts = np.empty(n_diagrams * n_layers + 1, np.int64)
    corners = np.empty((8 * len(bars) + 8, 2))
    starts[0], end = 0, 0
    for s in range(n_diagrams):
        n = offsets[s + 1] - offsets[s]
        left = np.empty((n + 1, 2))
        for i in range(n):
            left[i, 0], left[i, 1] = bars[offsets[s] + i, 0], bars[offsets[s] + i, 1]
        for k in range(n_layers):
            if end + 4 * n + 4 > len(corners):
                corners = _with_room(corners, end, 2 * end + 4 * n + 4)
            n, end = _peel(left, n, corners, end)
            starts[s * n_layers + k + 1] = end
    return corners[:end], starts


@subroutine
def _with_room(corners: Any, end: int, size: int) -> Any:
    larger = np.empty((size, 2))
    for k in range(end):
        larger[k, 0], larger[k, 1] = corners[k, 0], corners[k, 1]
    return larger


@borrowing_subroutine
def _corner(corners: Any, end: int, place: float, height: float) -> int:
    corners[end, 0], corners[end, 1] = place, height
    return end + 1


@borrowing_subroutine
def _peel(left: Any, n: int, corners: Any, end: int) -> Any:
    """Write the corners of the upper envelope of the tents, and keep in `left` (n, 2) what is below it.

    Where two tents cross, what the one is behind the crossing and the other before it is a tent, too.
    """
    if n == 0:
        return n, end
    birth, death = left[0, 0], left[0, 1]
    n = _remove(left, n, 0)
    at = 0
    end = _corner(corners, end, birth, 0.0)
    end = _corner(corners, end, birth / 2 + death / 2, (death - birth) / 2)
    while True:
        while at < n and left[at, 1] <= death:
            at += 1
        if at == n:
            return n, _corner(corners, end, death, 0.0)
        next_birth, next_death = left[at, 0], left[at, 1]
        n = _remove(left, n, at)
        if next_birth < death:
            end = _corner(corners, end, next_birth / 2 + death / 2, (death - next_birth) / 2)
            while at < n and left[at, 0] == next_birth and left[at, 1] > death:
                at += 1
            n = _insert(left, n, at, next_birth, death)
            at += 1
        else:
            end = _corner(corners, end, death, 0.0)
            end = _corner(corners, end, next_birth, 0.0)
        birth, death = next_birth, next_death
        end = _corner(corners, end, birth / 2 + death / 2, (death - birth) / 2)


@borrowing_subroutine
def _remove(left: Any, n: int, at: int) -> int:
    for i in range(at, n - 1):
        left[i, 0], left[i, 1] = left[i + 1, 0], left[i + 1, 1]
    return n - 1


@borrowing_subroutine
def _insert(left: Any, n: int, at: int, birth: float, death: float) -> int:
    for i in range(n, at, -1):
        left[i, 0], left[i, 1] = left[i - 1, 0], left[i - 1, 1]
    left[at, 0], left[at, 1] = birth, death
    return n + 1


@kernel
def landscape_distances(
    corners: Any, starts: Any, units: Any, n_layers: int, first: Any, second: Any, order: float
) -> Any:
    """Return (Σ ∫ |λ − μ|^order)^(1 / order) over the layers of pairs of diagrams; order is 1, 2 or inf.

    Parameters
    ----------
    corners, starts : ndarray of shape (C, 2) and (S · n_layers + 1,)
        As `landscape_corners` returns them.
    units : ndarray of shape (S,)
        Powers of two, of the order of the largest |end| of each diagram.
    n_layers : int
    first, second : ndarray of shape (M,)
        The diagrams of each pair.
    order : float
    """
    distances = np.empty(len(first))
    for k in range(len(first)):
        i, j = first[k], second[k]
        unit = max(units[i], units[j])
        total = 0.0
        for layer in range(n_layers):
            a, b = i * n_layers + layer, j * n_layers + layer
            value = _gap(corners, starts[a], starts[a + 1], starts[b], starts[b + 1], unit, order)
            total = max(total, value) if order == np.inf else total + value
        # ∫ |·|^order has the unit to the power order + 1
        if order == 1.0:
            distances[k] = total * unit * unit
        elif order == 2.0:
            distances[k] = np.sqrt(total * unit) * unit
        else:
            distances[k] = total * unit
    return distances


@borrowing_subroutine
def _gap(corners: Any, i: int, i_end: int, j: int, j_end: int, unit: float, order: float) -> float:
    """Return ∫ |f − g|^order, or the largest |f − g|, of functions given by their corners."""
    total, place, before = 0.0, 0.0, 0.0
    f_start, g_start = i, j
    while i < i_end or j < j_end:
        at = corners[i, 0] if i < i_end else np.inf
        if j < j_end:
            at = min(at, corners[j, 0])
        while i < i_end and corners[i, 0] == at:
            i += 1
        while j < j_end and corners[j, 0] == at:
            j += 1
        f = _height(corners, f_start, i, i_end, at)
        g = _height(corners, g_start, j, j_end, at)
        gap, width = (f - g) / unit, (at - place) / unit
        if order == np.inf:
            total = max(total, abs(gap))
        elif order == 2.0:
            total += width * (before * before + before * gap + gap * gap) / 3
        elif before * gap >= 0:
            total += width * abs(before + gap) / 2
        else:
            total += width * (before * before + gap * gap) / (abs(before) + abs(gap)) / 2
        place, before = at, gap
    return total


@borrowing_subroutine
def _height(corners: Any, start: int, following: int, end: int, at: float) -> float:
    """Return the height at a place between the corners `following` - 1 and `following`."""
    if following in (start, end):
        return 0.0
    last = following - 1
    rise = corners[following, 1] - corners[last, 1]
    slope = 1.0 if rise > 0 else (-1.0 if rise < 0 else 0.0)
    return corners[last, 1] + slope * (at - corners[last, 0])


def warm_up() -> None:
    """Compile the kernels."""
    pair = np.zeros(1, np.int64)
    corners, starts = landscape_corners(np.array([[0.0, 1.0]]), np.array([0, 1]), 1)
    landscape_distances(corners, starts, np.ones(1), 1, pair, pair, 1.0)
