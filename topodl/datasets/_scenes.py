"""What stands before the wall or falls on it in the out-of-distribution groups, drawn in integers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from topodl.datasets._draws import NOISE_MAX, Draws, Ints
from topodl.datasets._paint import blend
from topodl.datasets._wall import Mask

__all__ = ["add_graffiti", "add_object", "add_occlusion", "cast_shadow"]

_SPRAYS = ((28, 30, 38), (214, 216, 222), (38, 92, 168), (196, 44, 62), (46, 140, 84), (226, 190, 52))
_LEAVES = ((58, 104, 44), (82, 132, 56), (44, 84, 40), (112, 148, 70))
_OBJECTS = ((92, 74, 58), (70, 84, 96), (196, 196, 192), (58, 62, 60), (126, 104, 78))


def _axes(size: int) -> tuple[Ints, Ints]:
    pixels = np.arange(size, dtype=np.int64)
    return pixels[None, :], pixels[:, None]


def _distance2(size: int, start: Ints, end: Ints) -> Ints:
    """Return 256 times the squared distance of every pixel to a line segment."""
    x, y = _axes(size)
    direction = end - start
    length2 = max(1, int((direction * direction).sum()))
    along = np.clip((x - start[0]) * direction[0] + (y - start[1]) * direction[1], 0, length2)
    # In 1/16 pixel, so that the distance is smooth.
    dx = 16 * (x - start[0]) - 16 * along * direction[0] // length2
    dy = 16 * (y - start[1]) - 16 * along * direction[1] // length2
    return dx * dx + dy * dy


def _strokes(size: int, points: Ints, width: int, soft: int) -> Ints:
    """Return the weight (0…256) of a line through `points` that fades over `soft` pixels."""
    nearest = _distance2(size, points[0], points[1])
    for start, end in pairwise(points[1:]):
        nearest = np.minimum(nearest, _distance2(size, start, end))
    inner, outer = (16 * width) ** 2, (16 * (width + soft)) ** 2
    return np.clip((outer - nearest) * 256 // (outer - inner), 0, 256)


def _curve(corners: Ints, rounds: int) -> Ints:
    """Cut the corners of a polyline `rounds` times (Chaikin), which rounds it."""
    for _ in range(rounds):
        quarter = (3 * corners[:-1] + corners[1:]) // 4
        third = (corners[:-1] + 3 * corners[1:]) // 4
        middle = np.stack([quarter, third], axis=1).reshape(-1, 2)
        corners = np.concatenate([corners[:1], middle, corners[-1:]])
    return corners


def add_graffiti(draws: Draws, color: Ints) -> Ints:
    """Spray two to four letters' strokes over the wall; the relief shows through faintly."""
    size = color.shape[-1]
    first = draws.integer(0, len(_SPRAYS))
    for number in range(draws.integer(2, 4)):
        paint = np.array(_SPRAYS[(first + number * 2) % len(_SPRAYS)])[:, None, None]
        corners = draws.integers(-size // 10, size + size // 10, (5, 2))
        width = draws.integer(max(2, size // 34), max(4, size // 15))
        weight = _strokes(size, _curve(corners, 1), width, max(2, width // 2))
        dust = 225 + ((draws.noise(size, 2) * 30) >> 15)
        color = blend(color, paint, (weight * dust) >> 8)
    return color


def add_object(draws: Draws, color: Ints) -> tuple[Ints, Mask]:
    """Put a window, a board or a pipe before the wall; return also where the wall is seen."""
    size = color.shape[-1]
    x, y = _axes(size)
    kind = draws.integer(0, 3)
    near, far = draws.integer(size // 5, size // 2), draws.integer(size // 3, 3 * size // 5)
    slope = draws.integer(-40, 41)
    base = np.array(_OBJECTS[draws.integer(0, len(_OBJECTS))])[:, None, None]
    if kind == 0:  # a window in a corner, with a frame
        left, top = draws.chance(50), draws.chance(50)
        dx = near - (x if left else size - 1 - x)
        dy = far - (y if top else size - 1 - y)
        depth = np.minimum(dx, dy)
        frame = max(2, size // 20)
        glass = 70 + ((draws.noise(size, max(4, size // 3)) * 40) >> 15) + (x + y) * 60 // size
        panes = glass + np.array([[[-8]], [[4]], [[18]]])
        surface = np.where(depth < frame, base + 50 * (depth < frame // 3), panes)
    else:  # a board along the lower edge, or a pipe from top to bottom
        across, along = (y, x) if kind == 1 else (x, y)
        position = across + slope * along // 256
        depth = position - (size - near * 2 // 3) if kind == 1 else near // 3 - np.abs(position - far)
        grain = draws.noise(size, max(2, size // 30)) * 10 + draws.noise(size, max(2, size // 9)) * 16
        round_light = (depth * 90 // max(1, near // 3)) if kind == 2 else 12 * (depth % max(6, size // 9) > 1)
        surface = base + (grain >> 15) + round_light
    hidden = np.broadcast_to(depth >= 0, (size, size))
    rim = np.broadcast_to((depth >= 0) & (depth < 2), (size, size))
    return np.where(hidden, surface - 36 * rim, color), ~hidden


def add_occlusion(draws: Draws, color: Ints) -> Ints:
    """Hang leafy twigs before the wall, between which a viewer completes it."""
    size = color.shape[-1]
    for _ in range(draws.integer(1, 3)):
        root = np.stack([draws.integers(0, size, (1,)), np.array([size + 4])], axis=1)
        tips = draws.integers(size // 8, size - size // 8, (2, 2))
        twig = _curve(np.concatenate([root, tips]), 2)
        wood = np.array([[[74]], [[62]], [[44]]])
        color = blend(color, wood, _strokes(size, twig[::2], max(1, size // 128), 1))
        for x0, y0 in twig[1::2]:
            for _ in range(2):
                color = _add_leaf(draws, color, int(x0), int(y0))
    return color


def _add_leaf(draws: Draws, color: Ints, x0: int, y0: int) -> Ints:
    size = color.shape[-1]
    reach = max(4, size // 11)
    lean = draws.integers(-reach, reach + 1, (2,))
    x1, y1 = x0 + int(lean[0]), y0 + int(lean[1])
    x, y = _axes(size)
    dx, dy = x - x1, y - y1
    p, q = int(lean[0]) or 2, int(lean[1]) or 2
    length2 = p * p + q * q
    along, across = dx * p + dy * q, dx * q - dy * p
    # An ellipse of the lean's length and 0.45 of its width; `inside` is 1024 at the middle, 0 at the rim.
    inside = 1024 - (along * along + 5 * across * across) * 1024 // (length2 * length2)
    tone = draws.integer(-16, 17) + np.where(across > 0, 14, -8) + 26 * (np.abs(across) * 12 < length2)
    leaf = np.array(_LEAVES[draws.integer(0, len(_LEAVES))])[:, None, None] + tone
    return blend(color, leaf, np.clip(inside * 2, 0, 256))


def cast_shadow(draws: Draws, size: int) -> Ints:
    """Return the light (of 256) that is left in the shadow of a pole, a roof's edge or foliage."""
    x, y = _axes(size)
    dark = draws.integer(64, 128)
    kind = draws.integer(0, 3)
    if kind == 0:  # dappled light under leaves
        height = draws.noise(size, max(4, size // 7)) + draws.noise(size, max(3, size // 16)) // 2
        weight = np.clip((height + NOISE_MAX // 8) // 32, 0, 256)
    else:
        slope = draws.integer(-300, 301)
        position = (x if kind == 1 else y) * 256 + slope * (y if kind == 1 else x) - 64 * slope * size // 128
        center, half = draws.integer(size // 4, 3 * size // 4), draws.integer(size // 16, size // 5)
        depth = half * 256 - np.abs(position - center * 256) if kind == 1 else position - center * 256
        weight = np.clip(depth // max(2, size // 64) + 128, 0, 256)
    return 256 - ((np.broadcast_to(weight, (size, size)) * (256 - dark)) >> 8)
