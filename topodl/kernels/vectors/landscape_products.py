"""Inner products of persistence landscapes, of one with each of many in a single pass.

Integrated by parts twice, ∫ f g is the sum over the corners of g of the change of its slope there times the
second antiderivative of f, a cubic between the corners of f. Cost: the corners of all, for each landscape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["landscape_products", "warm_up"]


@kernel
def landscape_products(
    corners: Any,
    starts: Any,
    n_layers: int,
    rows: Any,
    places: Any,
    jumps: Any,
    owners: Any,
    layer_starts: Any,
    n_owners: int,
) -> Any:
    """Return (len(rows), n_owners) sums over the layers of ∫ f g.

    Parameters
    ----------
    corners, starts : ndarray of shape (C, 2) and (S · n_layers + 1,)
        As `landscape_corners` returns them.
    n_layers : int
    rows : ndarray of shape (R,)
        The diagrams f.
    places, jumps, owners : ndarray of shape (Q,)
        Of the corners of all g: where they are, how the slope changes, and the number of g; sorted by layer
        and place.
    layer_starts : ndarray of shape (n_layers + 1,)
        Where those of each layer begin.
    n_owners : int
        Number of g.
    """
    products = np.zeros((len(rows), n_owners))
    for r in range(len(rows)):
        for layer in range(n_layers):
            of_row = rows[r] * n_layers + layer
            _add_products(
                corners, starts[of_row], starts[of_row + 1], places, jumps, owners, layer_starts[layer],
                layer_starts[layer + 1], products, r,
            )  # fmt: skip
    return products


@borrowing_subroutine
def _add_products(
    corners: Any,
    start: int,
    end: int,
    places: Any,
    jumps: Any,
    owners: Any,
    at: int,
    stop: int,
    products: Any,
    row: int,
) -> None:
    """Add what one layer of f has with that of each g; before the first corner of f, it is nothing."""
    if start == end:
        return
    at = _first_at_least(places, at, stop, corners[start, 0])
    once, twice = 0.0, 0.0  # antiderivatives of f at the last corner
    for k in range(start, end - 1):
        place, height, following = corners[k, 0], corners[k, 1], corners[k + 1, 0]
        rise = corners[k + 1, 1] - height
        slope = 1.0 if rise > 0 else (-1.0 if rise < 0 else 0.0)
        while at < stop and places[at] < following:
            t = places[at] - place
            products[row, owners[at]] += jumps[at] * (twice + t * (once + t * (height / 2 + t * (slope / 6))))
            at += 1
        t = following - place
        twice += t * (once + t * (height / 2 + t * (slope / 6)))
        once += t * (height + t * (slope / 2))
    last = corners[end - 1, 0]
    while at < stop:
        products[row, owners[at]] += jumps[at] * (twice + (places[at] - last) * once)
        at += 1


@borrowing_subroutine
def _first_at_least(places: Any, low: int, high: int, place: float) -> Any:
    while low < high:
        middle = (low + high) // 2
        if places[middle] < place:
            low = middle + 1
        else:
            high = middle
    return low


def warm_up() -> None:
    """Compile the kernel."""
    one = np.zeros(1, np.int64)
    corners, starts = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]), np.array([0, 3])
    landscape_products(corners, starts, 1, one, np.ones(1), np.ones(1), one, np.array([0, 1]), 1)
