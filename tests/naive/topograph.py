"""Critical regions the slow way: SciPy's labels, Python's sets, one region at a time."""

import numpy as np
from scipy import ndimage

SIDES = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])


def _components(nodes, edges):
    """Return node -> frozenset of its connected component."""
    component = {n: {n} for n in nodes}
    for a, b in edges:
        if a in component and b in component and component[a] is not component[b]:
            component[a] |= component[b]
            for n in component[b]:
                component[n] = component[a]
    return {n: frozenset(c) for n, c in component.items()}


def critical_regions(predicted, target, eight_connected=True):
    """Return the critical regions as a set of frozensets of pixels."""
    classes = predicted + 2 * target
    strength = np.array([-4, 1, 2, 16] if eight_connected else [16, 1, 2, -4])[classes]
    labels, first = np.zeros(classes.shape, int), 0
    for c in range(4):
        found, n = ndimage.label(classes == c, SIDES)
        labels[found > 0] = found[found > 0] + first
        first += n
    kind = {}
    height, width = classes.shape
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if y + dy >= height or not 0 <= x + dx < width:
                    continue
                full = half = dy == 0 or dx == 0
                if not full:
                    cross = (
                        strength[y, x] + strength[y + 1, x + dx] - strength[y, x + dx] - strength[y + 1, x]
                    )
                    full, half = cross > 7, cross in (4, 7)
                pair = labels[y, x], labels[y + dy, x + dx]
                if pair[0] != pair[1] and (full or half):
                    pair = tuple(sorted(pair))
                    kind[pair] = kind.get(pair, False) or full
    class_of = {label: classes[labels == label][0] for label in range(1, first + 1)}
    full = [e for e, is_full in kind.items() if is_full]
    merged = _components(class_of, [(a, b) for a, b in full if class_of[a] == class_of[b]])
    joined = {bit: _components([n for n in class_of if class_of[n] & bit], kind) for bit in (1, 2)}
    critical = set()
    for region in set(merged.values()):
        wrong = class_of[min(region)]
        if wrong not in (1, 2):
            continue
        neighbours = {b for a, b in full if a in region} | {a for a, b in full if b in region}
        neighbours -= region
        background = {merged[n] for n in neighbours if class_of[n] == 0}
        foreground = {joined[3 - wrong][n] for n in neighbours if class_of[n] != 0}
        if len(background) != 1 or len(foreground) != 1:
            pixels = np.flatnonzero(np.isin(labels, list(region)))
            critical.add(frozenset(pixels.tolist()))
    return critical
