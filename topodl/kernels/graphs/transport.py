"""Optimal transport between the neighbourhoods of the ends of edges: potentials that prove its cost.

Distances are numbers of steps in the graph, at most 3 between the neighbours of two ends, so that potentials
are integers. Shortest augmenting paths; cost O((a + b)³) for an edge whose ends have a and b neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.adjacency import adjacency
from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import kernel, subroutine

__all__ = ["transport_potentials", "warm_up"]

_NOTHING = 1e-12  # a share of the mass 1 that rounding may have left


@kernel
def transport_potentials(edges: Any, starts: Any, neighbours: Any, shares: Any, stay: float) -> Any:
    """Return the potentials at both ends (m, 2), at the neighbours of the first end, and of the second.

    From the first end u of an edge the mass `stay` at u, and at its neighbours their `shares`, go to those at
    the second end v. The potentials f of where it comes from and g of where it goes to fulfil f(x) − g(y) ≤
    d(x, y), and the cost is Σ f·mass(u) − Σ g·mass(v). The neighbours of a node lie between `starts`.
    """
    n_from = n_to = 0
    for e in range(len(edges)):
        n_from += starts[edges[e, 0] + 1] - starts[edges[e, 0]]
        n_to += starts[edges[e, 1] + 1] - starts[edges[e, 1]]
    at_ends = np.empty((len(edges), 2), np.int64)
    at_from, at_to = np.empty(n_from, np.int64), np.empty(n_to, np.int64)
    i = j = 0
    for e in range(len(edges)):
        u, v = edges[e, 0], edges[e, 1]
        costs = _steps(starts, neighbours, u, v)
        supply = _masses(starts, shares, u, stay)
        demand = _masses(starts, shares, v, stay)
        f, g = _potentials(costs, supply, demand)
        at_ends[e, 0], at_ends[e, 1] = f[0], g[0]
        for k in range(1, len(f)):
            at_from[i] = f[k]
            i += 1
        for k in range(1, len(g)):
            at_to[j] = g[k]
            j += 1
    return at_ends, at_from, at_to


@subroutine
def _masses(starts: Any, shares: Any, node: int, stay: float) -> Any:
    """Return the mass of a node itself and then of its neighbours."""
    first, last = starts[node], starts[node + 1]
    masses = np.empty(last - first + 1, np.float64)
    masses[0] = stay
    for k in range(first, last):
        masses[k - first + 1] = shares[k]
    return masses


@subroutine
def _steps(starts: Any, neighbours: Any, u: int, v: int) -> Any:
    """Return the steps from u and its neighbours to v and its neighbours, 3 where it is not less."""
    n_rows, n_columns = starts[u + 1] - starts[u] + 1, starts[v + 1] - starts[v] + 1
    steps = np.empty((n_rows, n_columns), np.int64)
    for r in range(n_rows):
        x = u if r == 0 else neighbours[starts[u] + r - 1]
        for c in range(n_columns):
            y = v if c == 0 else neighbours[starts[v] + c - 1]
            steps[r, c] = _steps_between(starts, neighbours, x, y)
    return steps


@subroutine
def _steps_between(starts: Any, neighbours: Any, x: int, y: int) -> int:
    if x == y:
        return 0
    common = False
    i, j = starts[x], starts[y]
    while i < starts[x + 1]:
        if neighbours[i] == y:
            return 1
        while j < starts[y + 1] and neighbours[j] < neighbours[i]:
            j += 1
        common = common or (j < starts[y + 1] and neighbours[j] == neighbours[i])
        i += 1
    return 2 if common else 3


@subroutine
def _potentials(costs: Any, supply: Any, demand: Any) -> Any:
    """Return potentials f, g with f(x) − g(y) ≤ cost, with equality wherever an optimal plan moves mass."""
    n_rows, n_columns = costs.shape
    f, g = np.empty(n_rows, np.int64), zeros(n_columns, np.int64)
    flow = np.empty((n_rows, n_columns), np.float64)
    for r in range(n_rows):
        for c in range(n_columns):
            flow[r, c] = 0.0
    _tighten_sources(costs, f, g)
    for r in range(n_rows):
        while supply[r] > _NOTHING:
            if not _augment(costs, supply, demand, flow, f, g, r):
                break
    # where no mass is, the potentials that a little of it would have
    _tighten_sources(costs, f, g)
    for c in range(n_columns):
        g[c] = f[0] - costs[0, c]
        for r in range(n_rows):
            g[c] = max(g[c], f[r] - costs[r, c])
    return f, g


@subroutine
def _tighten_sources(costs: Any, f: Any, g: Any) -> None:
    n_rows, n_columns = costs.shape
    for r in range(n_rows):
        f[r] = costs[r, 0] + g[0]
        for c in range(n_columns):
            f[r] = min(f[r], costs[r, c] + g[c])


@subroutine
def _augment(costs: Any, supply: Any, demand: Any, flow: Any, f: Any, g: Any, root: int) -> bool:
    """Send mass from `root` along a shortest path to where some is wanted; False if it is nowhere."""
    n_rows, n_columns = costs.shape
    reached_row, row_length = zeros(n_rows, np.int64), zeros(n_rows, np.int64)
    reached_column, length = zeros(n_columns, np.int64), np.empty(n_columns, np.int64)
    from_row, from_column = np.empty(n_columns, np.int64), np.empty(n_rows, np.int64)
    reached_row[root] = True
    for c in range(n_columns):
        from_row[c] = root
        length[c] = costs[root, c] - f[root] + g[c]
    end = -1
    while True:
        nearest = -1
        for c in range(n_columns):
            if not reached_column[c] and (nearest < 0 or length[c] < length[nearest]):
                nearest = c
        if nearest < 0:
            return False
        reached_column[nearest] = True
        if demand[nearest] > _NOTHING:
            end = nearest
            break
        for r in range(n_rows):
            if reached_row[r] or flow[r, nearest] <= _NOTHING:
                continue
            reached_row[r], row_length[r], from_column[r] = True, length[nearest], nearest
            for c in range(n_columns):
                further = row_length[r] + costs[r, c] - f[r] + g[c]
                if not reached_column[c] and further < length[c]:
                    length[c], from_row[c] = further, r
    for r in range(n_rows):
        if reached_row[r]:
            f[r] += length[end] - row_length[r]
    for c in range(n_columns):
        if reached_column[c]:
            g[c] += length[end] - length[c]
    _send(supply, demand, flow, from_row, from_column, root, end)
    return True


@subroutine
def _send(supply: Any, demand: Any, flow: Any, from_row: Any, from_column: Any, root: int, end: int) -> None:
    """Move what every step from `end` back to `root` bears: into a column, and out of the one before."""
    amount = min(supply[root], demand[end])
    c = end
    while from_row[c] != root:
        r = from_row[c]
        c = from_column[r]
        amount = min(amount, flow[r, c])
    c = end
    while True:
        r = from_row[c]
        flow[r, c] += amount
        if r == root:
            break
        c = from_column[r]
        flow[r, c] -= amount
    supply[root] -= amount
    demand[end] -= amount


def warm_up() -> None:
    """Compile every kernel of this module."""
    edges = np.array([[0, 1], [1, 2]])
    starts, neighbours, _ = adjacency(3, edges)
    transport_potentials(edges, starts, neighbours, np.array([1.0, 0.5, 0.5, 1.0]), 0.0)
