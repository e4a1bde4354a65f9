"""Induced matching the slow way: image persistence by reduction of whole boundary matrices over Z/2."""

import itertools

import numpy as np


def _cells(image, by_cells):
    """Return cell -> (pixel that gives its value, dimension, boundary), cells as doubled coordinates."""
    height, width = image.shape
    offset = 1 if by_cells else 0  # top cells sit at odd coordinates, vertices at even ones
    top = (2 * height + 1, 2 * width + 1) if by_cells else (2 * height - 1, 2 * width - 1)
    rank = {p: (image.flat[p], p) for p in range(image.size)}
    cells = {}
    for y, x in itertools.product(range(top[0]), range(top[1])):
        incident = [
            ((cy - offset) // 2) * width + (cx - offset) // 2
            for cy, cx in itertools.product((y - 1, y, y + 1), (x - 1, x, x + 1))
            if offset <= cy < 2 * height - 1 + offset
            and offset <= cx < 2 * width - 1 + offset
            and cy % 2 == offset % 2
            and cx % 2 == offset % 2
            and (abs(cy - y) == 0 or y % 2 != offset % 2)
            and (abs(cx - x) == 0 or x % 2 != offset % 2)
        ]
        pixel = (min if by_cells else max)(incident, key=rank.__getitem__)
        boundary = [(y - 1, x), (y + 1, x)] if y % 2 else []
        boundary += [(y, x - 1), (y, x + 1)] if x % 2 else []
        cells[y, x] = pixel, y % 2 + x % 2, boundary
    return cells


def _order(cells, image):
    return sorted(cells, key=lambda c: (image.flat[cells[c][0]], cells[c][0], cells[c][1], c))


def _reduce(cells, column_order, row_order):
    """Return death cell -> birth cell of the reduced boundary matrix with those orders."""
    position = {c: i for i, c in enumerate(row_order)}
    pivots, deaths = {}, {}
    for cell in column_order:
        column = set(cells[cell][2])
        while column:
            low = max(column, key=position.__getitem__)
            if low not in pivots:
                pivots[low], deaths[cell] = column, low
                break
            column = column ^ pivots[low]
    return deaths


class Pairing:
    """Cells, order and nontrivial finite pairs (birth cell -> death cell) of an image."""

    def __init__(self, image, by_cells):
        self.image = image
        self.cells = _cells(image, by_cells)
        self.order = _order(self.cells, image)
        pairs = {b: d for d, b in _reduce(self.cells, self.order, self.order).items()}
        self.pairs = {b: d for b, d in pairs.items() if self.value(b) < self.value(d)}

    def pixel(self, cell):
        return self.cells[cell][0]

    def value(self, cell):
        return self.image.flat[self.pixel(cell)]

    def bar(self, birth):
        return self.cells[birth][1], self.pixel(birth), self.pixel(self.pairs[birth])


def match(first, second, by_cells):
    """Return the matched pairs of bars, and all bars (dim, birth, death) of both images and their minimum."""
    f, g, h = (Pairing(x, by_cells) for x in (first, second, np.minimum(first, second)))
    deaths = []
    for x in (f, g):
        image = _reduce(x.cells, h.order, x.order)
        deaths.append({d: b for d, b in image.items() if x.value(b) < h.value(d)})
    matched = {(f.bar(deaths[0][d]), g.bar(deaths[1][d])) for d in deaths[0].keys() & deaths[1].keys()}
    return matched, *([x.bar(b) for b in x.pairs] for x in (f, g, h))
