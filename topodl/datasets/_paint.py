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
_OTHER_MORTARS = ((118, 112, 106), (176, 172, 164), (92, 90, 92), (214, 210, 202))


def paint_wall(draws: Draws, wall: Wall, *, unusual_colors: bool) -> Ints:
    """Return the wall's colours (3, size, size) in 0…255, before light and camera."""
    size = wall.mortar.shape[0]
    bricks, joints = (_OTHERS, _OTHER_MORTARS) if unusual_colors else (_REDS, _MORTARS)
    face = _brick_colors(draws, bricks[draws.integer(0, len(bricks))], wall.n_bricks)[:, wall.brick]
    mortar = np.array(joints[draws.integer(0, len(joints))], dtype=np.int32)[:, None, None]
    color = np.where(wall.mortar, mortar, face)
    bed = draws.grain(size) * draws.integer(9, 15) // 256 + draws.noise(size, _scaled(size, 9)) // 2400
    color += np.where(wall.mortar, bed, _brick_texture(draws, wall)) + _relief(draws, wall)
    return _stain(draws, color, mortar, size)


def _scaled(size: int, pixels: int) -> int:
    """Return a length that is `pixels` in a picture of 128."""
    return max(3, pixels * size // 128)


def _brick_colors(draws: Draws, base: tuple[int, int, int], n: int) -> Ints:
    """Return (3, n): each brick's own lightness and warmth, some of them burnt dark or fired pale."""
    spread = draws.integer(8, 24)
    light = draws.integers(-spread, spread + 1, (n,)) + draws.integers(-spread, spread + 1, (n,)) // 2
    warm = draws.integers(-9, 10, (n,))
    kind = draws.integers(0, 100, (n,))
    burnt, pale = draws.integer(0, 16), draws.integer(0, 10)
    light += np.where(kind < burnt, -42, 0) + np.where(kind >= 100 - pale, 30, 0)
    color = np.array(base)[:, None] + np.stack([light + warm, light, light - warm])
    return color.astype(np.int32)


def _brick_texture(draws: Draws, wall: Wall) -> Ints:
    size = wall.mortar.shape[0]
    clouds = draws.noise(size, _scaled(size, 11)) * 12 + draws.noise(size, _scaled(size, 4)) * 13
    # Drag marks along the course, which keep to the wall's own axes.
    marks = draws.integers(-5, 6, (1024,)).astype(np.int32)
    streak = marks[(wall.across // max(256, wall.pitch // 9) * 37 + wall.brick * 101) % 1024]
    pits = draws.octets((size, size)) < 4
    return (clouds >> 15) + draws.grain(size) // 34 + streak - 34 * pits


def _relief(draws: Draws, wall: Wall) -> Ints:
    """Return what light from above does to recessed joints: dark under bricks, bright on upper edges."""
    depth = draws.integer(8, 40)
    mortar, one = wall.mortar, max(1, wall.mortar.shape[0] // 128)
    shade = np.zeros(mortar.shape, dtype=np.int32)
    # Mortar is 1, so that a difference is +1 where mortar follows a brick and -1 where a brick follows.
    step = mortar[one:].astype(np.int32) - mortar[:-one]
    shade[one:] -= np.where(step > 0, depth, step * (depth // 2))
    shade[:-one] -= (step > 0) * (depth // 2)
    step = mortar[:, one:].astype(np.int32) - mortar[:, :-one]
    shade[:, one:] -= (step > 0) * (depth // 2)
    return shade


def _stain(draws: Draws, color: Ints, mortar: Ints, size: int) -> Ints:
    """Smear mortar over bricks in places and darken joints in others: there, colours mislead."""
    smear = _patches(draws, size, draws.integer(13000, 26000))
    color = blend(color, mortar - 12, smear * draws.integer(70, 190) >> 8)
    dirt = _patches(draws, size, draws.integer(12000, 26000))
    soot = np.array([[[112]], [[78]], [[66]]], dtype=np.int32)
    return blend(color, soot, dirt * draws.integer(70, 180) >> 8)


def _patches(draws: Draws, size: int, threshold: int) -> Ints:
    """Return the weight (0…256) of ragged patches: more of them, the lower the threshold."""
    height = draws.noise(size, _scaled(size, 26)) + draws.noise(size, _scaled(size, 7)) // 2
    height += draws.grain(size) * 12
    return np.clip((height - threshold) // 40, 0, 256)


def blend(color: Ints, other: Ints, weight: Ints) -> Ints:
    """Return `color` with `weight` (0…256) of `other` over it."""
    return color + (((other - color) * weight) >> 8)


def photograph(draws: Draws, color: Ints, *, shadow: Ints | None = None) -> np.ndarray:
    """Return (3, size, size) uint8: `color` in uneven light, out of focus a little, with sensor noise."""
    size = color.shape[-1]
    x = 2 * np.arange(size, dtype=np.int32) - size
    down, right = draws.integer(-52, 53), draws.integer(-52, 53)
    light = 256 + draws.integer(-26, 27) + (right * x[None, :] + down * x[:, None]) // size
    light += (draws.noise(size, _scaled(size, 48)) * 26) >> 15
    if shadow is not None:
        light = (light * shadow) >> 8
    color = _soften((color * light) >> 4)
    luma = draws.grain(size) * draws.integer(3, 9)
    chroma = (draws.octets((3, size, size)) - 128) * draws.integer(4, 12)
    color = ((color + chroma + luma) >> 8) + 1
    return np.clip(color, 0, 255).astype(np.uint8)


def _soften(color: Ints) -> Ints:
    """Return 16 times `color` / 16 blurred by (1, 2, 1) both ways, over two pixels in larger pictures."""
    reach = max(1, color.shape[-1] // 256)
    padded = np.pad(color, ((0, 0), (reach, reach), (reach, reach)), mode="edge") >> 4
    rows = padded[:, : -2 * reach] + 2 * padded[:, reach:-reach] + padded[:, 2 * reach :]
    return (rows[:, :, : -2 * reach] + 2 * rows[:, :, reach:-reach] + rows[:, :, 2 * reach :]) << 4
