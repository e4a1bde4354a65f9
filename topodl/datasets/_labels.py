"""The other two kinds of labels: hand-drawn strokes (noisy) and a weak threshold of the picture (pseudo)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topodl.datasets._draws import Draws, Ints
from topodl.datasets._wall import Mask, Wall

__all__ = ["noisy_label", "pseudo_label"]


def noisy_label(draws: Draws, wall: Wall, visible: Mask) -> Mask:
    """Draw every joint as strokes of one width that slip beside it, overshoot, stop short and leave gaps."""
    size = wall.mortar.shape[0]
    width = max(320, 256 * size // 100)  # full width of the pen
    wobble_cell = max(3, size // 12)
    slip = max(200, wall.joint // 2)
    hand_u = (draws.noise(size, wobble_cell) * slip) >> 15
    hand_v = (draws.noise(size, wobble_cell) * slip) >> 15
    strokes = draws.integers(0, 1 << 16, (8191,))

    beds = _bed_strokes(wall, strokes, hand_v, width, slip)
    heads = _head_strokes(wall, strokes, hand_u, width, slip)
    return (beds | heads) & visible


def _bed_strokes(wall: Wall, strokes: Ints, hand: Ints, width: int, slip: int) -> Mask:
    upper = wall.across <= wall.to_below
    joint = wall.course + (~upper).astype(np.int64)  # number of the nearer bed joint
    distance = np.where(upper, wall.across, -wall.to_below)
    # A course's joint is drawn in strokes as long as a brick; each one slips by itself.
    stroke = strokes[(joint * 1009 + wall.brick * 31) % 8191]
    offset = ((stroke & 255) - 128) * slip // 300
    drawn = (stroke >> 8) % 100 >= 5
    gap = strokes[(joint * 757 + wall.brick * 17 + wall.along // (3 * width) * 7) % 8191] % 100 < 3
    return drawn & ~gap & (2 * np.abs(distance + hand + offset) <= width)


def _head_strokes(wall: Wall, strokes: Ints, hand: Ints, width: int, slip: int) -> Mask:
    left = wall.along <= wall.to_right
    joint = wall.brick + (~left).astype(np.int64)  # number of the nearer head joint
    distance = np.where(left, wall.along, -wall.to_right)
    stroke = strokes[(joint * 2003) % 8191]
    offset = ((stroke & 255) - 128) * slip // 160
    drawn = (stroke >> 8) % 100 >= 7
    # A third of the strokes stop short of one bed joint.
    short = np.where((stroke >> 4) % 3 == 0, 2 * wall.joint, 0)
    from_end = np.where((stroke >> 6) % 2 == 0, wall.across, wall.to_below)
    return drawn & (from_end >= short) & (2 * np.abs(distance + hand + offset) <= width)


def pseudo_label(picture: NDArray[np.uint8], mortar: Mask, visible: Mask) -> Mask:
    """Call mortar what is nearer to the mean joint's colour than its surroundings are; neighbours vote."""
    color = _box_sum(picture.astype(np.int32), 1) // 9
    brick = visible & ~mortar
    to_brick, to_mortar = (np.abs(color - _mean(color, part)).sum(axis=0) for part in (brick, mortar))
    nearness = to_brick - to_mortar
    reach = max(2, mortar.shape[0] // 9)
    around = _box_sum(nearness[None], reach)[0] // (2 * reach + 1) ** 2
    votes = _box_sum((nearness > around + 14).astype(np.int32)[None], 1)[0]
    return (votes >= 5) & visible


def _mean(color: Ints, mask: Mask) -> Ints:
    return color.sum(axis=(1, 2), dtype=np.int64, keepdims=True, where=mask) // max(1, int(mask.sum()))


def _box_sum(values: Ints, reach: int) -> Ints:
    """Return the sums over windows of 2 `reach` + 1 pixels of (C, H, W), the edge repeated."""
    width = 2 * reach + 1
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (reach + 1, reach)
        sums = np.cumsum(np.pad(values, pad, mode="edge"), axis=axis)
        before, after = np.arange(values.shape[axis]), np.arange(values.shape[axis]) + width
        values = np.take(sums, after, axis) - np.take(sums, before, axis)
    return values
