"""The other two kinds of labels: hand-drawn strokes (noisy) and a weak threshold of the picture (pseudo)."""

from __future__ import annotations

import numpy as np

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


def pseudo_label(picture: np.ndarray, mortar: Mask, visible: Mask) -> Mask:
    """Call mortar what is nearer in colour to the mean joint than to the mean brick; neighbours vote."""
    color = _box_sum(picture.astype(np.int64)) // 9
    brick = visible & ~mortar
    to_mortar = np.abs(color - _mean(color, mortar)).sum(axis=0)
    to_brick = np.abs(color - _mean(color, brick)).sum(axis=0)
    vote = _box_sum((5 * to_mortar < 6 * to_brick).astype(np.int64)[None])[0]
    return (vote >= 5) & visible


def _mean(color: Ints, mask: Mask) -> Ints:
    return (color * mask).sum(axis=(1, 2), keepdims=True) // max(1, int(mask.sum()))


def _box_sum(values: Ints) -> Ints:
    """Return the sums over 3x3 windows of (C, H, W), the edge repeated."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
