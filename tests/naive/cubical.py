"""Persistence of an image of any dimension by reducing its whole boundary matrix, column by column."""

import itertools

import numpy as np

__all__ = ["cubical_pairs", "euler_characteristic"]


def _cells(rank: np.ndarray, by_cells: bool) -> list[tuple[int, int, tuple[int, ...]]]:
    """List (rank of the pixel that gives the value, dimension, position), in the order of the filtration.

    Positions are those of a grid of twice the resolution; odd coordinates are the directions of a cell.
    """
    cells = []
    for position in itertools.product(*(range(2 * n + 1 if by_cells else 2 * n - 1) for n in rank.shape)):
        pixels = []
        for offset in itertools.product((-1, 0, 1), repeat=rank.ndim):
            if by_cells:  # pixels sit at odd coordinates; a face belongs to the first pixel around it
                around = [p + o for p, o in zip(position, offset, strict=True)]
                if all(
                    a % 2 == 1 and 0 < a < 2 * n and (o == 0) == (p % 2 == 1)
                    for a, n, o, p in zip(around, rank.shape, offset, position, strict=True)
                ):
                    pixels.append(rank[tuple(a // 2 for a in around)])
            else:  # pixels sit at even coordinates; a cell belongs to the last of its vertices
                around = [p + o for p, o in zip(position, offset, strict=True)]
                if all(
                    a % 2 == 0 and (o == 0) == (p % 2 == 0)
                    for a, o, p in zip(around, offset, position, strict=True)
                ):
                    pixels.append(rank[tuple(a // 2 for a in around)])
        value = min(pixels) if by_cells else max(pixels)
        cells.append((int(value), sum(p % 2 for p in position), position))
    return sorted(cells)


def cubical_pairs(image: np.ndarray, by_cells: bool = False) -> list[tuple[int, int, int]]:
    """Return sorted (dimension, birth pixel, death pixel) of all bars of positive length; −1 never dies.

    Pixels are flat indices, ordered by (value, flat index).
    """
    order = np.argsort(image.ravel(), kind="stable")
    rank = np.empty(image.size, np.int64)
    rank[order] = np.arange(image.size)
    cells = _cells(rank.reshape(image.shape), by_cells)
    number = {position: i for i, (_, _, position) in enumerate(cells)}
    reduced: dict[int, set[int]] = {}
    unpaired = set()
    pairs = []
    values = image.ravel()
    for j, (death, _, position) in enumerate(cells):
        column = set()
        for axis, p in enumerate(position):
            if p % 2:
                for side in (-1, 1):
                    column.add(number[(*position[:axis], p + side, *position[axis + 1 :])])
        while column and max(column) in reduced:
            column ^= reduced[max(column)]
        if not column:
            unpaired.add(j)
            continue
        pivot = max(column)
        reduced[pivot] = column
        unpaired.discard(pivot)
        birth, dimension, _ = cells[pivot]
        if values[order[birth]] != values[order[death]]:
            pairs.append((dimension, int(order[birth]), int(order[death])))
    pairs += [(cells[j][1], int(order[cells[j][0]]), -1) for j in unpaired]
    return sorted(pairs)


def euler_characteristic(image: np.ndarray, threshold: float, by_cells: bool = False) -> int:
    """Count the cells of the sublevel set at `threshold`, with signs by dimension."""
    order = np.argsort(image.ravel(), kind="stable")
    rank = np.empty(image.size, np.int64)
    rank[order] = np.arange(image.size)
    included = image.ravel()[order] <= threshold
    return sum(
        (-1) ** dim for value, dim, _ in _cells(rank.reshape(image.shape), by_cells) if included[value]
    )
