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
