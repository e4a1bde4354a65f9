"""Distances between diagrams by their definition."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def bottleneck_by_matchings(first, second):
    """Return the least r for which a perfect matching moves no bar, nor the diagonal, farther than r."""
    x, y = (np.asarray(bars, dtype=np.float64).reshape(-1, 2) for bars in (first, second))
    n, m = len(x), len(y)
    moves = np.zeros((n + m, n + m))
    moves[:n, :m] = np.abs(x[:, None] - y).max(2)
    moves[:n, m:] = (np.abs(x[:, 1] - x[:, 0]) / 2)[:, None]
    moves[n:, :m] = np.abs(y[:, 1] - y[:, 0]) / 2
    for reach in np.unique(moves):
        too_far = (moves > reach).astype(int)
        if too_far[linear_sum_assignment(too_far)].sum() == 0:
            return float(reach)
    return 0.0


def moves_of(first, second, order, norm):
    """Return the table of powers of moves among bars (n, 2) and (m, 2) and copies of the diagonal."""
    x, y = (np.asarray(bars, dtype=np.float64).reshape(-1, 2) for bars in (first, second))
    n, m = len(x), len(y)
    moves = np.zeros((n + m, n + m))
    moves[:n, :m] = np.linalg.norm(x[:, None] - y, norm, axis=2) if n and m else 0.0
    half = 0.5 if norm == np.inf else 2 ** (1 / norm - 1)
    moves[:n, m:] = half * np.abs(x[:, 1] - x[:, 0])[:, None]
    moves[n:, :m] = half * np.abs(y[:, 1] - y[:, 0])
    return moves**order


def wasserstein_by_assignment(first, second, order, norm):
    """Return the root of the least sum of powers of moves, over all matchings with the diagonal."""
    moves = moves_of(first, second, order, norm)
    return float(moves[linear_sum_assignment(moves)].sum() ** (1 / order))


def sliced_by_definition(x, y, n):
    """Return the mean over `n` directions of the distance of order 1 between sorted projections."""
    total = 0.0
    for angle in np.linspace(-np.pi / 2, np.pi / 2, n, endpoint=False):
        line = np.array([np.cos(angle), np.sin(angle)])
        on_diagonal = [z.mean(1, keepdims=True).repeat(2, 1) @ line for z in (x, y)]
        left, right = np.sort(np.r_[x @ line, on_diagonal[1]]), np.sort(np.r_[y @ line, on_diagonal[0]])
        total += np.abs(left - right).sum()
    return total / n


def landscapes_at(bars, places, n_layers):
    """Return (n_layers, len(places)) the largest tents at each place."""
    low, high = np.sort(np.asarray(bars, dtype=np.float64).reshape(-1, 2), 1).T[:, :, None]
    tents = np.maximum(np.minimum(places - low, high - places), 0.0)
    tents = np.concatenate([np.zeros((n_layers, len(places))), tents])
    return np.sort(tents, 0)[::-1][:n_layers]


def landscape_distance_by_corners(x, y, n_layers, order):
    """Return the norm of the difference of two landscapes, by Gauss's rule between all possible corners."""
    ends = np.concatenate([np.asarray(x).ravel(), np.asarray(y).ravel()])
    corners = np.unique((ends[:, None] + ends) / 2)  # ends and crossings of tents
    if len(corners) < 2:
        return 0.0
    gaps = landscapes_at(x, corners, n_layers) - landscapes_at(y, corners, n_layers)
    if order == np.inf:
        return float(np.abs(gaps).max())
    left, right, width = gaps[:, :-1], gaps[:, 1:], np.diff(corners)
    if order == 2:
        return float(np.sqrt((width * (left**2 + left * right + right**2) / 3).sum()))
    apart = np.abs(left) + np.abs(right)
    crossing = (left**2 + right**2) / np.where(apart > 0, apart, 1.0)
    return float((width * np.where(left * right >= 0, apart, crossing) / 2).sum())


def landscape_product(x, y, n_layers):
    """Return Σ ∫ λ_k μ_k by Simpson's rule between all possible corners, where products are squares."""
    ends = np.concatenate([np.asarray(x).ravel(), np.asarray(y).ravel()])
    corners = np.unique((ends[:, None] + ends) / 2)
    if len(corners) < 2:
        return 0.0
    places = np.stack([corners[:-1], (corners[:-1] + corners[1:]) / 2, corners[1:]])
    products = landscapes_at(x, places.ravel(), n_layers) * landscapes_at(y, places.ravel(), n_layers)
    by_rule = products.sum(0).reshape(3, -1) * np.array([1, 4, 1])[:, None] / 6
    return float((by_rule * np.diff(corners)).sum())
