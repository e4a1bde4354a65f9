"""Sliced Wasserstein distances of many diagrams: integrals of |F − G| along lines, by merging sorted places.

On a line each diagram is a step function: +1 at the places of its bars, −1 at those of their projections to
the diagonal (Carrière, Cuturi, Oudot, ICML 2017). Sorted once, two of them merge in linear time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["sliced_distances", "warm_up"]


@kernel
def sliced_distances(places: Any, levels: Any, offsets: Any, first: Any, second: Any) -> Any:
    """Return the means over directions of ∫ |F − G|, for pairs of diagrams.

    Parameters
    ----------
    places : ndarray of shape (J, Q)
        Places of the steps of all diagrams in each direction, ascending; the last of each diagram is
        infinite.
    levels : ndarray of shape (J, Q)
        Height of the function below each place.
    offsets : ndarray of shape (S + 1,)
        The places of diagram s are those from offsets[s] to offsets[s + 1].
    first, second : ndarray of shape (M,)
        The diagrams of each pair.
    """
    n_directions = places.shape[0]
    distances = np.empty(len(first))
    for k in range(len(first)):
        i, i_end = offsets[first[k]], offsets[first[k] + 1]
        j, j_end = offsets[second[k]], offsets[second[k] + 1]
        n_steps = i_end - i + j_end - j - 2
        total = 0.0
        # Two directions at once: each step waits for the one before it.
        for d in range(0, n_directions - 1, 2):
            total += _two_gaps(places, levels, d, d + 1, i, j, n_steps)
        if n_directions % 2:
            total += _two_gaps(places, levels, n_directions - 1, n_directions - 1, i, j, n_steps) / 2
        distances[k] = total / n_directions
    return distances


@borrowing_subroutine
def _two_gaps(places: Any, levels: Any, d: int, e: int, i: int, j: int, n_steps: int) -> float:
    """Return the sum of ∫ |F − G| in the directions `d` and `e`."""
    if n_steps <= 0:
        return 0.0
    # Unsigned, as an index that may be negative costs a comparison at each access.
    one, none = np.uint64(1), np.uint64(0)
    row_d, row_e = np.uint64(d), np.uint64(e)
    d_i, e_i, d_j, e_j = np.uint64(i), np.uint64(i), np.uint64(j), np.uint64(j)
    d_at, e_at = min(places[d, i], places[d, j]), min(places[e, i], places[e, j])
    d_sum, e_sum = 0.0, 0.0
    for _ in range(n_steps):
        x, y = places[row_d, d_i], places[row_d, d_j]
        u, v = places[row_e, e_i], places[row_e, e_j]
        d_place, e_place = x if x < y else y, u if u < v else v
        d_sum += abs(levels[row_d, d_i] - levels[row_d, d_j]) * (d_place - d_at)
        e_sum += abs(levels[row_e, e_i] - levels[row_e, e_j]) * (e_place - e_at)
        d_at, e_at = d_place, e_place
        d_i, d_j = d_i + (one if x < y else none), d_j + (none if x < y else one)
        e_i, e_j = e_i + (one if u < v else none), e_j + (none if u < v else one)
    return d_sum + e_sum


def warm_up() -> None:
    """Compile the kernel."""
    pair = np.zeros(1, np.int64)
    sliced_distances(np.zeros((1, 1)), np.zeros((1, 1)), np.array([0, 1]), pair, pair)
