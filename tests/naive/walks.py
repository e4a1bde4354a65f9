"""Slow, obvious twins of walks on cells: all neighbours are listed, all pairs of positions compared."""

import itertools


def ways_on(cell, faces, cofaces):
    """Return (neighbour, way) for each cell that shares a face (way f) or a coface (way −1 − c) with `cell`.

    `faces` and `cofaces` are the sets of each cell, in order.
    """
    found = []
    for other in range(len(faces)):
        if other != cell:
            found += [(other, f) for f in faces[cell] & faces[other]]
            found += [(other, -1 - c) for c in cofaces[cell] & cofaces[other]]
    return sorted(found)


def chances(cell, faces, cofaces, evenly_neighbours):
    """Return the probability of each (neighbour, way) as the next step."""
    ways = ways_on(cell, faces, cofaces)
    first = 0 if evenly_neighbours else 1  # what is drawn evenly: the neighbour, or the way
    groups = [
        list(group)
        for _, group in itertools.groupby(sorted(ways, key=lambda w: w[first]), lambda w: w[first])
    ]
    return {way: 1 / len(groups) / len(group) for group in groups for way in group}


def windows(walk, size, faces, cofaces):
    """Return the rows of identity, lower and upper adjacency, oldest first."""
    rows = []
    for back in range(size, 0, -1):
        rows.append([int(t >= back and walk[t] == walk[t - back]) for t in range(len(walk))])
    for sets in (faces, cofaces):
        for back in range(size, 1, -1):
            rows.append(
                [
                    int(
                        t >= back and walk[t] != walk[t - back] and bool(sets[walk[t]] & sets[walk[t - back]])
                    )
                    for t in range(len(walk))
                ]
            )
    return rows
