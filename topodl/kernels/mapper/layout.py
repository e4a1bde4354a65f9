"""A drawing of a connected graph whose distances are close to numbers of steps: stress by stochastic descent.

J. X. Zheng, S. Pawar, D. F. M. Goodman, "Graph drawing by stochastic gradient descent", IEEE TVCG 2019. Of
large graphs the distances from some pivots alone count. Cost: 30 rounds over pivots × nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel

__all__ = ["spread", "steps_from", "warm_up"]

_ROUNDS = 30
_LAST_RATE = 0.1


@kernel
def steps_from(pivots: Any, starts: Any, neighbours: Any) -> Any:
    """Return the number of steps (P, n) from each of the `pivots` (P,) to every node, by breadth first."""
    n = len(starts) - 1
    steps, queue = np.empty((len(pivots), n), np.int32), np.empty(n, np.int64)
    for p in range(len(pivots)):
        own = steps[p]
        for v in range(n):
            own[v] = -1
        own[pivots[p]] = 0
        queue[0] = pivots[p]
        head, tail = 0, 1
        while head < tail:
            v = queue[head]
            head += 1
            for i in range(starts[v], starts[v + 1]):
                if own[neighbours[i]] < 0:
                    own[neighbours[i]] = own[v] + 1
                    queue[tail] = neighbours[i]
                    tail += 1
    return steps


@borrowing_subroutine
def _pull(places: Any, i: Any, j: Any, wanted: Any, rate: Any) -> None:
    """Move both ends of a pair towards the wanted distance, by a share that its weight decides."""
    dx, dy = places[i, 0] - places[j, 0], places[i, 1] - places[j, 1]
    distance = max(np.sqrt(dx * dx + dy * dy), 1e-9)
    share = min(1.0, rate / (wanted * wanted)) * (distance - wanted) / (2 * distance)
    places[i, 0] -= share * dx
    places[i, 1] -= share * dy
    places[j, 0] += share * dx
    places[j, 1] += share * dy


@kernel
def spread(places: Any, pivots: Any, steps: Any, starts: Any, neighbours: Any) -> None:
    """Move the nodes, at `places` (n, 2), until distances are about the `steps` (P, n) from the `pivots`.

    Neighbours count as well, so that those far from all pivots keep their distances.
    """
    n, n_far = steps.shape[1], steps.size
    total = n_far + len(neighbours)
    longest = 1
    for p in range(len(pivots)):
        for v in range(n):
            longest = max(longest, steps[p, v])
    owner = zeros(len(neighbours), np.int64)
    for v in range(n):
        for i in range(starts[v], starts[v + 1]):
            owner[i] = v
    order = np.empty(total, np.int64)
    for k in range(total):
        order[k] = k
    state, rate = 1, 1.0 * longest * longest
    decay = (_LAST_RATE / rate) ** (1 / (_ROUNDS - 1))
    for _ in range(_ROUNDS):
        for k in range(total - 1, 0, -1):  # a new order in each round
            state = (state * 1103515245 + 12345) % 2**31
            other = (state >> 7) % (k + 1)  # the lower bits repeat soon
            order[k], order[other] = order[other], order[k]
        for k in order:
            if k < n_far:
                p, v = k // n, k % n
                if steps[p, v] > 0:
                    _pull(places, pivots[p], v, float(steps[p, v]), rate)
            else:
                _pull(places, owner[k - n_far], neighbours[k - n_far], 1.0, rate)
        rate *= decay


def warm_up() -> None:
    """Compile every kernel of this module."""
    starts, neighbours = np.array([0, 1, 2]), np.array([1, 0])
    pivots = np.array([0])
    spread(
        np.array([[0.0, 0.0], [1.0, 0.0]]), pivots, steps_from(pivots, starts, neighbours), starts, neighbours
    )
