"""Sums of Gaussians between the bars of many diagrams: scale space, weighted Gaussian, persistence Fisher.

Cost: one exponential for each pair of bars; two with mirror images, four with projections to the diagonal.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["fisher_distances", "gaussian_sums", "own_sums", "warm_up"]


@kernel
def gaussian_sums(bars: Any, weights: Any, offsets: Any, first: Any, second: Any, mirrored: bool) -> Any:
    """Return Σ w(p) w(q) exp(−|p − q|²) over the bars p and q of pairs of diagrams.

    Parameters
    ----------
    bars : ndarray of shape (P, 2)
        Finite bars of all diagrams.
    weights : ndarray of shape (P,)
    offsets : ndarray of shape (S + 1,)
        The bars of diagram s are those from offsets[s] to offsets[s + 1].
    first, second : ndarray of shape (M,)
        The diagrams of each pair.
    mirrored : bool
        Subtract exp(−|p − q'|²) from each term, where q' has birth and death of q exchanged.
    """
    sums = np.empty(len(first))
    for k in range(len(first)):
        total = 0.0
        for i in range(offsets[first[k]], offsets[first[k] + 1]):
            of_row = 0.0
            for j in range(offsets[second[k]], offsets[second[k] + 1]):
                value = _gaussian(bars[i, 0] - bars[j, 0], bars[i, 1] - bars[j, 1])
                if mirrored:
                    value -= _gaussian(bars[i, 0] - bars[j, 1], bars[i, 1] - bars[j, 0])
                of_row += weights[j] * value
            total += weights[i] * of_row
        sums[k] = total
    return sums


@borrowing_subroutine
def _gaussian(x: float, y: float) -> float:
    return math.exp(-(x * x + y * y))


@kernel
def own_sums(places: Any, offsets: Any) -> Any:
    """Return (2P, 2) sums of exp(−|p − q|²) over the bars q of the same diagram, and over their projections.

    Parameters
    ----------
    places : ndarray of shape (2P, 2)
        Each finite bar of all diagrams, followed by its projection to the diagonal.
    offsets : ndarray of shape (S + 1,)
        The bars of diagram s are those from offsets[s] to offsets[s + 1].
    """
    own = np.zeros((len(places), 2))
    for s in range(len(offsets) - 1):
        for a in range(2 * offsets[s], 2 * offsets[s + 1]):
            for b in range(2 * offsets[s], 2 * offsets[s + 1]):
                own[a, b & 1] += _gaussian(places[a, 0] - places[b, 0], places[a, 1] - places[b, 1])
    return own


@kernel
def fisher_distances(places: Any, own: Any, offsets: Any, first: Any, second: Any) -> Any:
    """Return the angles between the roots of the densities of pairs of diagrams, at their bars.

    The density of a diagram is the sum of exp(−|p − ·|²) over its bars and over the projections of the
    other's bars to the diagonal, normalised over the bars and projections of both.

    Parameters
    ----------
    places, offsets
        As in `own_sums`, whose result is `own`.
    first, second : ndarray of shape (M,)
        The diagrams of each pair.
    """
    distances = np.empty(len(first))
    largest = 0
    for s in range(len(offsets) - 1):
        largest = max(largest, 2 * (offsets[s + 1] - offsets[s]))
    across = np.zeros((2, largest, 2))
    for k in range(len(first)):
        i, i_end = 2 * offsets[first[k]], 2 * offsets[first[k] + 1]
        j, j_end = 2 * offsets[second[k]], 2 * offsets[second[k] + 1]
        for a in range(max(i_end - i, j_end - j)):
            across[0, a, 0] = across[0, a, 1] = across[1, a, 0] = across[1, a, 1] = 0.0
        for a in range(i, i_end):
            for b in range(j, j_end):
                value = _gaussian(places[a, 0] - places[b, 0], places[a, 1] - places[b, 1])
                across[0, a - i, b & 1] += value
                across[1, b - j, a & 1] += value
        distances[k] = _angle(own, across, i, i_end, j, j_end)
    return distances


@borrowing_subroutine
def _angle(own: Any, across: Any, i: int, i_end: int, j: int, j_end: int) -> float:
    """Return the angle between the roots of two densities; by their chord, as small ones need it."""
    first_total, second_total = 0.0, 0.0
    for a in range(i, i_end):
        first_total += own[a, 0] + across[0, a - i, 1]
        second_total += own[a, 1] + across[0, a - i, 0]
    for b in range(j, j_end):
        first_total += own[b, 1] + across[1, b - j, 0]
        second_total += own[b, 0] + across[1, b - j, 1]
    chord = 0.0
    for a in range(i, i_end):
        x = math.sqrt((own[a, 0] + across[0, a - i, 1]) / first_total)
        chord += (x - math.sqrt((own[a, 1] + across[0, a - i, 0]) / second_total)) ** 2
    for b in range(j, j_end):
        x = math.sqrt((own[b, 1] + across[1, b - j, 0]) / first_total)
        chord += (x - math.sqrt((own[b, 0] + across[1, b - j, 1]) / second_total)) ** 2
    return 2 * math.asin(min(math.sqrt(chord) / 2, 1.0))


def warm_up() -> None:
    """Compile the kernels."""
    bars, offsets, pair = np.zeros((1, 2)), np.array([0, 1]), np.zeros(1, np.int64)
    gaussian_sums(bars, np.ones(1), offsets, pair, pair, True)
    places = np.zeros((2, 2))
    fisher_distances(places, own_sums(places, offsets), offsets, pair, pair)
