"""The slow twin of the net of predictions: sets of samples, in plain Python, one step after the other."""

import math


def components(samples, neighbours):
    """The connected components of some of the samples, by their smallest."""
    left, found = set(samples), []
    while left:
        queue, part = [min(left)], set()
        while queue:
            v = queue.pop()
            if v in left:
                left.remove(v)
                part.add(v)
                queue.extend(neighbours[v])
        found.append(frozenset(part))
    return found


def halves(samples, lens, overlap, by_deviation, min_range):
    """The two halves of a set, or None where it stays whole."""

    def spread(column):
        values = [lens[v][column] for v in samples]
        if not by_deviation:
            return max(values) - min(values)
        mean = sum(values) / len(values)
        return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))

    spreads = [spread(column) for column in range(len(lens[0]))]
    column = next(k for k, s in enumerate(spreads) if s >= max(spreads) * (1 - 1e-12))
    values = {v: lens[v][column] for v in samples}
    low, high = min(values.values()), max(values.values())
    if low == high or spreads[column] < min_range:
        return None
    s = (high - low) / 2
    right = {v for v, x in values.items() if x == high or math.floor((x - low) / s) == 1}
    wide_left = {v for v, x in values.items() if v not in right or x <= low + s + overlap[1] * s}
    wide_right = {v for v, x in values.items() if v in right or x >= low + s - overlap[0] * s}
    return wide_left - {v for v, x in values.items() if x == high}, wide_right - {
        v for v, x in values.items() if x == low
    }


def split(neighbours, lens, settings):
    """The final sets, in lexicographic order."""
    final, waiting = set(), components(range(len(lens)), neighbours)
    for level in range(settings.max_levels + 1):
        large = {part for part in waiting if len(part) > settings.max_size}
        final |= set(waiting) - large
        if level == settings.max_levels:
            final |= large
        waiting = []
        for part in large if level < settings.max_levels else ():
            both = halves(part, lens, settings.overlap, settings.by_deviation, settings.min_range)
            if both is None:
                final.add(part)
            else:
                waiting += [piece for half in both for piece in components(half, neighbours)]
    return sorted(final, key=sorted)


def net(neighbours, lens, settings):
    """Nodes, edges with their weights, which nodes are shown, the extra edges and the projected ones.

    Nodes are frozensets; the same set may be a node twice, so edges are of places in the list of nodes.
    """

    def length(u, v):
        return max(abs(x - y) for x, y in zip(lens[u], lens[v], strict=True))

    def way_out(samples):
        ways = [
            (length(i, j), i, j)
            for i in samples
            for j in neighbours[i]
            if j not in samples and length(i, j) < settings.max_distance
        ]
        return min(ways)[1:] if ways else None

    nodes = dict(enumerate(split(neighbours, lens, settings)))

    def smallest_at(sample, among):
        here = [(len(nodes[k]), k) for k in among if sample in nodes[k]]
        return min(here)[1] if here else None

    for _ in range(settings.max_rounds if settings.merge else 0):
        choices = {}
        for k, samples in nodes.items():
            way = way_out(samples) if len(samples) < settings.min_size else None
            if way is not None:
                choices[k] = smallest_at(way[1], nodes)
        if not choices:
            break
        links = {k: {j for i, j in choices.items() if i == k} for k in nodes}
        links = {k: links[k] | {i for i, j in choices.items() if j == k} for k in nodes}
        for group in components(nodes, links):
            large = [k for k in group if len(nodes[k]) >= settings.min_size]
            assert len(large) <= 1
            target, union = min(large or group), frozenset().union(*(nodes[k] for k in group))
            for k in group:
                del nodes[k]
            nodes[target] = union

    nodes = [nodes[k] for k in sorted(nodes) if len(nodes[k]) >= settings.min_size]
    places = range(len(nodes))
    edges = {
        (a, b): len(nodes[a] & nodes[b]) for a in places for b in places if a < b and nodes[a] & nodes[b]
    }
    extra = []

    def parts():
        links = {a: {b for edge in edges for b in edge if a in edge and b != a} for a in places}
        return components(places, links)

    for _ in range(settings.max_rounds if settings.merge else 0):
        found = []
        for part in parts():
            way = (
                way_out(set().union(*(nodes[k] for k in part)))
                if len(part) < settings.min_component
                else None
            )
            if way is not None and smallest_at(way[1], places) is not None:
                found.append((min(k for k in part if way[0] in nodes[k]), smallest_at(way[1], places), way))
        for source, target, way in found:
            edges.setdefault((min(source, target), max(source, target)), 0)
            extra.append(way)
        if not found:
            break
    shown = [False] * len(nodes)
    for part in parts():
        for k in part:
            shown[k] = len(part) >= settings.min_component
    projected = {
        (i, j) for nodes_k in nodes for i in nodes_k for j in neighbours[i] if i < j and j in nodes_k
    }
    return nodes, edges, shown, extra, projected | {(min(way), max(way)) for way in extra}
