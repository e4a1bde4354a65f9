"""What is done to training images at random: the light augmentation, the published study's, and RandHue.

An augmentation takes an image (C, *S) of z-scores and a label (K, *S): classes, regions, or probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["Augmentation", "build_augmentation", "rand_hue"]

Pair = tuple[torch.Tensor, torch.Tensor]
Augmentation = Callable[[torch.Tensor, torch.Tensor, np.random.Generator], Pair]


def build_augmentation(name: str, framework: str) -> Augmentation:
    """Return the augmentation `name`, followed by a random hue where the framework says so."""
    bases: dict[str, Augmentation] = {"none": _none, "light": _light, "topomortar": _Published()}
    base = bases[name]
    return _WithHue(base) if framework == "randhue" else base


def _none(image: torch.Tensor, label: torch.Tensor, rng: np.random.Generator) -> Pair:
    return image, label


def _light(image: torch.Tensor, label: torch.Tensor, rng: np.random.Generator) -> Pair:
    turns = int(rng.integers(4)) if image.shape[-1] == image.shape[-2] else 0
    flip, scale, shift = rng.random() < 0.5, float(rng.uniform(0.8, 1.25)), float(rng.uniform(-0.25, 0.25))
    image, label = torch.rot90(image, turns, (-2, -1)), torch.rot90(label, turns, (-2, -1))
    if flip:
        image, label = image.flip(-1), label.flip(-1)
    if image.ndim == 4 and rng.random() < 0.5:
        image, label = image.flip(-3), label.flip(-3)
    return image * scale + shift, label


class _WithHue:
    """`base`, and then in half of the cases one random hue for the whole image."""

    def __init__(self, base: Augmentation) -> None:
        self.base = base

    def __call__(self, image: torch.Tensor, label: torch.Tensor, rng: np.random.Generator) -> Pair:
        image, label = self.base(image, label, rng)
        return (rand_hue(image, rng) if rng.random() < 0.5 else image), label


def rand_hue(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Give all pixels of `image` (3, H, W) one random hue and raise saturation and value at random.

    The image is scaled to [0, 1] for it and back afterwards.
    """
    low, high = image.min(), image.max()
    if low == high:
        return image
    rgb = (image - low) / (high - low)
    hue, more_saturation, more_value = rng.random(3)
    value = rgb.amax(0)
    saturation = torch.where(value > 0, (value - rgb.amin(0)) / value.clamp_min(1e-10), 0.0)
    saturation = (saturation + 0.5 * more_saturation).clamp(0, 1)
    value = (value + 0.5 * more_value).clamp(0, 1)
    # The hexagon of HSV: how much of the chroma each channel lacks at this hue
    lacking = [min(max(min(k, 4 - k), 0.0), 1.0) for k in ((n + 6 * hue) % 6 for n in (5, 3, 1))]
    colored = torch.stack([value - value * saturation * share for share in lacking])
    return colored * (high - low) + low


class _Published:
    """The augmentation of the published study; MONAI's transforms, made when the first image comes."""

    def __init__(self) -> None:
        self._transforms: dict[tuple[bool, int], Any] = {}

    def __call__(self, image: torch.Tensor, label: torch.Tensor, rng: np.random.Generator) -> Pair:
        # Probabilities are interpolated, but not where negative ones say that pixels count nowhere.
        soft = label.is_floating_point() and bool((label >= 0).all())
        kind = (soft, image.ndim - 1)
        if kind not in self._transforms:
            self._transforms[kind] = _published_transforms(*kind)
        transforms = self._transforms[kind]
        transforms.set_random_state(seed=int(rng.integers(2**32)))
        with _plain_tensors():
            out = transforms({"image": image, "label": label.to(torch.float32)})
        image, changed = out["image"], out["label"]
        return image, changed if label.is_floating_point() else changed.round().to(label.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {"_transforms": {}}


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Keep MONAI from wrapping tensors, and leave its global switch as it was."""
    from monai.data import get_track_meta, set_track_meta

    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def _published_transforms(soft: bool, spatial_dims: int) -> Any:
    """Return the transforms; in volumes they turn about the first axis alone, the one across the slices."""
    from monai import transforms as mt

    both, image = ["image", "label"], ["image"]
    turn, blur, gamma = (-np.pi, np.pi), (0.5, 1.0), (0.7, 1.5)
    smooth = "bilinear" if spatial_dims == 2 else "trilinear"
    label_modes = ("bilinear", smooth) if soft else ("nearest", "nearest-exact")
    return mt.Compose(
        [
            mt.RandRotated(both, range_x=turn, prob=0.2, mode=("bilinear", label_modes[0])),
            mt.RandZoomd(both, prob=0.2, min_zoom=0.7, max_zoom=1.4, mode=(smooth, label_modes[1])),
            mt.RandGaussianNoised(image, prob=0.1, mean=0.0, std=0.1),
            mt.RandGaussianSmoothd(image, sigma_x=blur, sigma_y=blur, sigma_z=blur, prob=0.2),
            mt.RandScaleIntensityd(image, factors=0.25, prob=0.15),
            mt.RandScaleIntensityFixedMeand(image, factors=0.25, preserve_range=True, prob=0.15),
            mt.RandSimulateLowResolutiond(
                image,
                prob=0.25,
                zoom_range=(0.5, 1.0),
                downsample_mode=smooth,
                upsample_mode="nearest",
                align_corners=None,  # for nearest neighbours MONAI before 1.6 takes nothing else
            ),
            mt.RandAdjustContrastd(image, prob=0.1, gamma=gamma, invert_image=True, retain_stats=True),
            mt.RandAdjustContrastd(image, prob=0.1, gamma=gamma, retain_stats=True),
            mt.RandAxisFlipd(both, prob=0.5),
        ]
    )
