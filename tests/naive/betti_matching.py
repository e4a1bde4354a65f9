"""Induced matching the slow way: image persistence by reduction of whole boundary matrices over Z/2."""

import itertools

import numpy as np


def _cells(image, by_cells):
    """Return cell -> (pixel that gives its value, dimension, boundary), cells as doubled coordinates."""
    odd = 1 if by_cells else 0  # top cells sit at odd coordinates, vertices at even ones
    rank = {p: (image.flat[p], p) for p in range(image.size)}
    cells = {}
    for cell in itertools.product(*(range(2 * n + (1 if by_cells else -1)) for n in image.shape)):
        nearby = [(x,) if x % 2 == odd else (x - 1, x + 1) for x in cell]
        incident = [
            int(np.ravel_multi_index([x // 2 for x in pixel], image.shape))
            for pixel in itertools.product(*nearby)
            if all(0 <= x // 2 < n for x, n in zip(pixel, image.shape, strict=True))
        ]
        boundary = [
            (*cell[:axis], x + side, *cell[axis + 1 :])
            for axis, x in enumerate(cell)
            for side in (-1, 1)
            if x % 2
        ]
        pixel = (min if by_cells else max)(incident, key=rank.__getitem__)
        cells[cell] = pixel, sum(x % 2 for x in cell), boundary
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
