"""Separatrices by the book: all cells up to dimension 2, the reduced boundary matrix, paths in the forest."""

import itertools

import numpy as np


def cells_of(shape, corners):
    """Return edges and faces (triangles, or squares without `corners`) as sets of pixels."""
    pixels = list(itertools.product(*map(range, shape)))
    flat = {pixel: i for i, pixel in enumerate(pixels)}

    def adjacent(a, b):
        apart = [abs(i - j) for i, j in zip(pixels[a], pixels[b], strict=True)]
        return max(apart) == 1 and (corners or sum(apart) == 1)

    edges = [frozenset(pair) for pair in itertools.combinations(range(len(pixels)), 2) if adjacent(*pair)]
    if corners:
        neighbours = {i: set() for i in range(len(pixels))}
        for a, b in edges:
            neighbours[a].add(b)
            neighbours[b].add(a)
        faces = {edge | {c} for edge in edges for c in neighbours[min(edge)] & neighbours[max(edge)]}
        return edges, sorted(faces, key=sorted)
    faces = []
    for pixel in pixels:
        for i, j in itertools.combinations(range(len(shape)), 2):
            offsets = itertools.product(*[(0, 1) if axis in (i, j) else (0,) for axis in range(len(shape))])
            square = [tuple(np.add(pixel, offset)) for offset in offsets]
            if all(p in flat for p in square):
                faces.append(frozenset(flat[p] for p in square))
    return edges, faces


def separatrices(image, threshold, corners):
    """Return the pixels on the paths from the critical edges that are left to the maxima that are left.

    The cells of a pixel come in by (dimension, the order of their other pixels); where several loops close at
    one pixel and one of them persists, all count.
    """
    values = image.ravel().astype(np.float64)
    order = np.argsort(-values, kind="stable")
    rank = {pixel: i for i, pixel in enumerate(order.tolist())}
    edges, faces = cells_of(image.shape, corners)
    cells = [frozenset([i]) for i in range(values.size)] + edges + faces

    def key(cell):
        ranks = sorted((rank[p] for p in cell), reverse=True)
        return ranks[0], (len(cell) > 1) + (len(cell) > 2), ranks[1:]

    cells.sort(key=key)
    position = {cell: i for i, cell in enumerate(cells)}
    partner, columns = {}, {}
    for i, cell in enumerate(cells):
        if len(cell) == 1:
            continue
        boundary = [frozenset([p]) for p in cell] if len(cell) == 2 else [e for e in edges if e <= cell]
        column = {position[c] for c in boundary}
        while column and max(column) in columns:
            column ^= columns[max(column)]
        if column:
            columns[max(column)] = column
            partner[max(column)] = i

    def latest(cell):
        return max(cell, key=rank.get)

    forest, critical = {p: set() for p in rank}, []
    loop_edges, lasting = {}, set()
    for low, high in partner.items():
        born, killed = latest(cells[low]), latest(cells[high])
        persists = values[born] - values[killed] > threshold
        if len(cells[low]) == 1:
            a, b = cells[high]
            if persists:
                critical.append((a, b))
            else:
                forest[a].add(b)
                forest[b].add(a)
        elif born != killed:
            loop_edges.setdefault(born, []).append(tuple(cells[low]))
            if persists:
                lasting.add(born)
    for pixel in lasting:
        critical += loop_edges[pixel]
    found = np.zeros(values.size, bool)
    for end in itertools.chain.from_iterable(critical):
        found[_path_to_the_highest(forest, end, rank)] = True
    return found.reshape(image.shape)


def _path_to_the_highest(forest, start, rank):
    """Return the path from `start` to the highest pixel of its tree."""
    came_from, todo = {start: None}, [start]
    while todo:
        at = todo.pop()
        for other in forest[at] - set(came_from):
            came_from[other] = at
            todo.append(other)
    path = [min(came_from, key=rank.get)]
    while came_from[path[-1]] is not None:
        path.append(came_from[path[-1]])
    return path
