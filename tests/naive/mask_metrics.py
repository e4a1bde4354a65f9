"""Slow, obvious twins of the metrics of masks: flood fill, lists of all cells, all pairs of border pixels."""

import itertools

import numpy as np


def neighbours(ndim: int, corners: bool) -> list[tuple[int, ...]]:
    steps = [s for s in itertools.product((-1, 0, 1), repeat=ndim) if any(s)]
    return steps if corners else [s for s in steps if sum(map(abs, s)) == 1]


def components(pixels: set[tuple[int, ...]], steps: list[tuple[int, ...]]) -> list[set[tuple[int, ...]]]:
    left, found = set(pixels), []
    while left:
        piece, front = set(), [left.pop()]
        while front:
            pixel = front.pop()
            piece.add(pixel)
            for step in steps:
                other = tuple(a + b for a, b in zip(pixel, step, strict=True))
                if other in left:
                    left.remove(other)
                    front.append(other)
        found.append(piece)
    return found


def euler_characteristic(mask: np.ndarray, corners: bool) -> int:
    """Closed unit cubes glued together, or the largest complex on the voxels as vertices."""
    pixels = {tuple(p) for p in np.argwhere(mask)}
    total = 0
    extents = list(itertools.product((0, 1), repeat=mask.ndim))
    if corners:
        cells = set()
        for pixel in pixels:
            # Cells of the cube at doubled coordinates: even is a vertex's coordinate, odd an interval's.
            for offset in itertools.product((0, 1, 2), repeat=mask.ndim):
                cells.add(tuple(2 * p + o for p, o in zip(pixel, offset, strict=True)))
        return sum((-1) ** sum(c % 2 for c in cell) for cell in cells)
    for pixel in pixels:
        for extent in extents:
            corner_offsets = itertools.product(*[range(e + 1) for e in extent])
            if all(tuple(p + o for p, o in zip(pixel, off, strict=True)) in pixels for off in corner_offsets):
                total += (-1) ** sum(extent)
    return total


def betti_numbers(mask: np.ndarray, corners: bool) -> list[int]:
    pixels = {tuple(p) for p in np.argwhere(mask)}
    b0 = len(components(pixels, neighbours(mask.ndim, corners)))
    around = {tuple(p) for p in np.argwhere(~np.pad(mask, 1))}
    enclosed = len(components(around, neighbours(mask.ndim, not corners))) - 1
    if mask.ndim == 2:
        return [b0, enclosed]
    return [b0, b0 + enclosed - euler_characteristic(mask, corners), enclosed]


def is_simple(mask: np.ndarray, y: int, x: int, corners: bool) -> bool:
    """By the definition: one component around (y, x) and a neighbour of the other kind that shares a side."""
    around = np.pad(mask, 1)[y : y + 3, x : x + 3]
    ring = {s: bool(around[s[0] + 1, s[1] + 1]) for s in neighbours(2, corners=True)}
    # The kind whose pixels are neighbours across corners.
    connected, sides = {s for s in ring if ring[s] == corners}, neighbours(2, corners=False)
    return len(components(connected, neighbours(2, corners=True))) == 1 and any(
        ring[s] != corners for s in sides
    )


def is_simple_voxel(around: np.ndarray, corners: bool) -> bool:
    """Of the centre of (3, 3, 3): one piece of each kind in reach, by faces within the 18 neighbours."""
    centre = (1, 1, 1)
    cells = {tuple(p) for p in np.ndindex(3, 3, 3)} - {centre}
    near = {p for p in cells if sum(abs(c - 1) for c in p) <= 2}
    foreground = {p for p in cells if around[p]}
    touching, by_faces = (foreground, cells - foreground)[:: 1 if corners else -1]
    of_corners = components(touching, neighbours(3, True))
    of_faces = components(by_faces & near, neighbours(3, False))
    reached = [piece for piece in of_faces if any(sum(abs(c - 1) for c in p) == 1 for p in piece)]
    return len(of_corners) == 1 and len(reached) == 1


def border(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    steps = neighbours(mask.ndim, corners=False)
    return np.array(
        [p for p in np.argwhere(mask) if not all(padded[tuple(p + 1 + np.array(s))] for s in steps)]
    )


def hausdorff_distance_95(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> float:
    x, y = border(a) * np.array(spacing), border(b) * np.array(spacing)
    distances = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
    return float(np.percentile(np.concatenate([distances.min(1), distances.min(0)]), 95))
