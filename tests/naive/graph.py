"""The slow twin of graph persistence: the boundary matrix of the graph, or of its cone."""

from tests.naive.rips import reduce_boundaries


def ordinary_bars(values, edges, weights=None):
    """All (dimension, birth, death) of positive length of one simple graph; death inf where there is none."""
    weights = weights or {e: max(values[e[0]], values[e[1]]) for e in edges}
    cells = [((v,), values[v]) for v in range(len(values))] + [(e, weights[e]) for e in edges]
    cells.sort(key=lambda cell: (cell[1], len(cell[0]), cell[0]))
    columns, pivots = reduce_boundaries([cell for cell, _ in cells])
    bars = []
    for k, (cell, value) in enumerate(cells):
        if not columns[k]:
            death = cells[pivots[k]][1] if k in pivots else float("inf")
            if death > value:
                bars.append((len(cell) - 1, value, death))
    return sorted(bars)


def extended_bars(values, edges):
    """Sorted lists of (birth, death): ordinary, relative, extended plus and minus, by coning from above."""
    n = len(values)
    apex = n
    up = [((v,), values[v]) for v in range(n)] + [(e, max(values[e[0]], values[e[1]])) for e in edges]
    up.sort(key=lambda cell: (cell[1], len(cell[0]), cell[0]))
    down = [((v,), values[v]) for v in range(n)] + [(e, min(values[e[0]], values[e[1]])) for e in edges]
    down.sort(key=lambda cell: (-cell[1], len(cell[0]), cell[0]))
    cells = [((apex,), None), *up, *(((*cell, apex), value) for cell, value in down)]
    columns, pivots = reduce_boundaries([cell for cell, _ in cells])
    kinds = {"ordinary": [], "relative": [], "extended_plus": [], "extended_minus": []}
    for k, (cell, value) in enumerate(cells):
        if k == 0 or columns[k] or k not in pivots:
            continue
        death = cells[pivots[k]][1]
        if value == death:
            continue
        if k > len(up):
            kinds["relative"].append((value, death))
        elif pivots[k] <= len(up):
            kinds["ordinary"].append((value, death))
        else:
            kinds["extended_plus" if len(cell) == 1 else "extended_minus"].append((value, death))
    return {name: sorted(bars) for name, bars in kinds.items()}


def cycle_deaths(edges, priority):
    """For each edge the one of lowest priority on the cycle that it closes in a forest, or -1."""
    forest, ended = set(), []
    for e, (u, v) in enumerate(edges):
        path = _path({k: edges[k] for k in forest}, u, v)
        leaves = -1 if path is None else min([*path, e], key=lambda k: priority[k])
        forest = (forest | {e}) - {leaves}
        ended.append(leaves)
    return ended


def _path(forest, u, v):
    """Return the edges between two vertices of a forest, None where nothing joins them."""
    if u == v:
        return []
    for k, (a, b) in forest.items():
        for near, far in ((a, b), (b, a)):
            if near == u:
                rest = _path({other: ends for other, ends in forest.items() if other != k}, far, v)
                if rest is not None:
                    return [k, *rest]
    return None


def simple_edges(pairs):
    """Return ((u, v), positions in `pairs`) of each edge u < v, in order."""
    copies = {}
    for position, (u, v) in enumerate(pairs):
        if u != v:
            copies.setdefault((min(u, v), max(u, v)), []).append(position)
    return sorted(copies.items())
