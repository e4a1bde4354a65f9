"""Paint a laid-out wall as a photograph: bricks, mortar, relief, stains, light, noise; in integers."""

from __future__ import annotations

import numpy as np

from topodl.datasets._draws import Draws, Ints
from topodl.datasets._wall import Wall

__all__ = ["blend", "paint_wall", "photograph"]

# Face colours of brick walls, and of the walls of the group "colors"; RGB.
_REDS = ((158, 84, 66), (178, 98, 74), (142, 70, 58), (186, 112, 92), (168, 92, 60), (150, 92, 82))
_OTHERS = ((196, 176, 124), (214, 206, 190), (126, 128, 132), (84, 88, 96), (112, 138, 162), (122, 148, 118))
_MORTARS = ((196, 188, 176), (178, 172, 164), (206, 196, 180), (168, 160, 150))
_OTHER_MORTARS = ((108, 104, 100), (232, 230, 224), (92, 90, 92), (150, 146, 140))


def paint_wall(draws: Draws, wall: Wall, *, unusual_colors: bool) -> Ints:
    """Return the wall's colours (3, size, size) in 0…255, before light and camera."""
    size = wall.mortar.shape[0]
    bricks, joints = (_OTHERS, _OTHER_MORTARS) if unusual_colors else (_REDS, _MORTARS)
    face = _brick_colors(draws, bricks[draws.integer(0, len(bricks))], wall.n_bricks)[:, wall.brick]
    face += _brick_texture(draws, wall)
    mortar = np.array(joints[draws.integer(0, len(joints))], dtype=np.int64)[:, None, None]
    grain = draws.noise(size, 2) * draws.integer(10, 18) + draws.noise(size, _scaled(size, 9)) * 14
    color = np.where(wall.mortar, mortar + (grain >> 15), face)
    color += _relief(draws, wall)
    return _stain(draws, color, mortar, size)


def _scaled(size: int, pixels: int) -> int:
    """Return a length that is `pixels` in a picture of 128."""
    return max(2, pixels * size // 128)


def _brick_colors(draws: Draws, base: tuple[int, int, int], n: int) -> Ints:
    """Return (3, n): each brick's own lightness and warmth, some of them burnt dark or fired pale."""
    spread = draws.integer(8, 26)
    light = draws.integers(-spread, spread + 1, (n,)) + draws.integers(-spread, spread + 1, (n,)) // 2
    warm = draws.integers(-9, 10, (n,))
    kind = draws.integers(0, 100, (n,))
    burnt, pale = draws.integer(0, 16), draws.integer(0, 12)
    light += np.where(kind < burnt, -44, 0) + np.where(kind >= 100 - pale, 34, 0)
    return np.array(base, dtype=np.int64)[:, None] + np.stack([light + warm, light, light - warm])


def _brick_texture(draws: Draws, wall: Wall) -> Ints:
    size = wall.mortar.shape[0]
    clouds = draws.noise(size, _scaled(size, 11)) * 14 + draws.noise(size, _scaled(size, 4)) * 13
    grain = draws.noise(size, 2) * 9
    # Drag marks along the course: noise in the wall's own axes.
    marks = draws.integers(-9, 10, (4096,))
    streak = marks[(wall.across // max(256, wall.pitch // 9) * 37 + wall.brick * 101) % 4096]
    pits = draws.bytes((size, size)) < 5
    return ((clouds + grain) >> 15) + streak // 2 - 38 * pits


def _relief(draws: Draws, wall: Wall) -> Ints:
    """Return what light from above does to recessed joints: dark under bricks, bright on upper edges."""
    depth = draws.integer(6, 34)
    mortar, one = wall.mortar, max(1, wall.mortar.shape[0] // 128)
    shade = np.zeros(mortar.shape, dtype=np.int64)
    under = np.zeros_like(mortar)
    under[one:] = mortar[one:] & ~mortar[:-one]
    side = np.zeros_like(mortar)
    side[:, one:] = mortar[:, one:] & ~mortar[:, :-one]
    upper = np.zeros_like(mortar)
    upper[one:] = ~mortar[one:] & mortar[:-one]
    lower = np.zeros_like(mortar)
    lower[:-one] = ~mortar[:-one] & mortar[one:]
    shade -= depth * under + (depth >> 1) * side + (depth >> 1) * lower
    shade += (depth >> 1) * upper
    return shade


def _stain(draws: Draws, color: Ints, mortar: Ints, size: int) -> Ints:
    """Smear mortar over bricks in places and darken joints in others, where neither is told by its colour."""
    smear = _patches(draws, size, _scaled(size, 22), _scaled(size, 5), draws.integer(11000, 22000))
    color = blend(color, mortar - 12, smear * draws.integer(90, 190) >> 8)
    dirt = _patches(draws, size, _scaled(size, 26), _scaled(size, 6), draws.integer(9000, 22000))
    soot = (color.sum(axis=0) // 3 + np.array([[[96]], [[66]], [[56]]])) // 2
    return blend(color, soot, dirt * draws.integer(110, 225) >> 8)


def _patches(draws: Draws, size: int, cell: int, detail: int, threshold: int) -> Ints:
    """Return the weight (0…256) of irregular patches: more of them, the lower the threshold."""
    height = draws.noise(size, cell) + draws.noise(size, detail) // 3
    return np.clip((height - threshold) // 24, 0, 256)


def blend(color: Ints, other: Ints, weight: Ints) -> Ints:
    """Return `color` with `weight` (0…256) of `other` over it."""
    return color + (((other - color) * weight) >> 8)


def photograph(draws: Draws, color: Ints, *, shadow: Ints | None = None) -> np.ndarray:
    """Return (3, size, size) uint8: `color` in uneven light, out of focus a little, with sensor noise."""
    size = color.shape[-1]
    x = 2 * np.arange(size, dtype=np.int64) - size
    slope = draws.integers(-52, 53, (2,))
    light = 256 + draws.integer(-26, 27) + (slope[0] * x[None, :] + slope[1] * x[:, None]) // size
    light += (draws.noise(size, _scaled(size, 48)) * 26) >> 15
    color = (color * light) >> 8
    if shadow is not None:
        color = (color * shadow) >> 8
    color = _soften(color)
    luma = draws.bytes((size, size)) + draws.bytes((size, size)) - 255
    chroma = draws.bytes((3, size, size)) - 128
    color += (luma * draws.integer(8, 22) + chroma * draws.integer(4, 12)) >> 8
    return np.clip(color, 0, 255).astype(np.uint8)


def _soften(color: Ints) -> Ints:
    """Blur by (1, 2, 1) / 4 both ways, and twice in larger pictures."""
    for _ in range(max(1, color.shape[-1] // 256)):
        padded = np.pad(color, ((0, 0), (1, 1), (1, 1)), mode="edge")
        rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
        color = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:] + 8) >> 4
    return color
