"""What is done to the values of images before a network sees them.

CT is cut at percentiles of the foreground, as in nnU-Net (Isensee et al., Nature Methods 18, 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from topodl._checks import fail
from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.randomness import INTENSITIES, generator

__all__ = ["ChannelScale", "Intensities", "fit_intensities", "standardised"]

_CT = "ct"
_PERCENTILES = (0.5, 99.5)
_VALUES_OF_AN_IMAGE = 10_000  # that percentiles are taken of


@dataclass(frozen=True)
class ChannelScale:
    """How a channel is scaled: cut at `low` and `high` where they are given, then (x - mean) / deviation."""

    name: str
    mean: float
    deviation: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Intensities:
    """Makes inputs of a network from images; without `channels`, each image is its own scale."""

    channels: tuple[ChannelScale, ...] | None = None

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the image (C, *S) as float32 values of the networks' scale."""
        if self.channels is None:
            return standardised(image)
        values = image.to(torch.float32)
        scaled = [_scaled(values[i], scale) for i, scale in enumerate(self.channels)]
        return torch.stack(scaled)

    def as_dict(self) -> dict[str, Any]:
        """Return what is done, as plain types."""
        if self.channels is None:
            return {"scaled_by": "the mean and the deviation of each channel of the image itself"}
        return {
            "scaled_by": "the training images",
            "channels": [asdict(scale) for scale in self.channels],
        }


def _scaled(values: torch.Tensor, scale: ChannelScale) -> torch.Tensor:
    if scale.low is not None:
        values = values.clamp(scale.low, scale.high)
    return (values - scale.mean) / scale.deviation


def standardised(images: torch.Tensor) -> torch.Tensor:
    """Return images (..., C, H, W) with mean 0 and standard deviation 1 in every channel."""
    values = images.to(torch.float32)
    mean = values.mean((-2, -1), keepdim=True)
    deviation = values.std((-2, -1), keepdim=True, correction=0)
    return (values - mean) / torch.where(deviation > 0, deviation, 1.0)


def fit_intensities(
    images: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], names: Sequence[str]
) -> Intensities:
    """Return the scale of each channel of the training images.

    Parameters
    ----------
    images, labels : sequence of Tensor of shape (C, *S) and (K, *S)
        Of the training; labels are 0 in the background.
    names : sequence of str
        Of the channels. One named CT is cut at percentiles of the foreground and takes mean and deviation
        from there, any other from all pixels.

    Raises
    ------
    InputError
        If the number of names is not that of channels.
    """
    if len(names) != len(images[0]):
        came = f"has {len(names)} names for {len(images[0])} channels"
        raise fail("topodl evaluate", "data", came, "one a channel")
    scales = []
    for channel, name in enumerate(names):
        values = [image[channel] for image in images]
        is_ct = name.strip().lower() == _CT
        scales.append(_ct_scale(name, values, labels) if is_ct else _plain_scale(name, values))
    return Intensities(tuple(scales))


def _plain_scale(name: str, values: Sequence[torch.Tensor]) -> ChannelScale:
    n = sum(v.numel() for v in values)
    mean = sum(float(v.sum(dtype=torch.float64)) for v in values) / n
    variance = sum(float((v.to(torch.float64) - mean).square().sum()) for v in values) / n
    return ChannelScale(name, mean, variance**0.5 or 1.0)


def _ct_scale(name: str, values: Sequence[torch.Tensor], labels: Sequence[torch.Tensor]) -> ChannelScale:
    chosen = []
    for i, (value, label) in enumerate(zip(values, labels, strict=True)):
        inside = value[((label > 0) & (label != IGNORE)).any(0)].numpy()
        if len(inside) > _VALUES_OF_AN_IMAGE:
            inside = generator(INTENSITIES, i).choice(inside, _VALUES_OF_AN_IMAGE, replace=False)
        chosen.append(inside.astype(np.float64))
    sample = np.concatenate(chosen)
    low, high = (float(x) for x in np.percentile(sample, _PERCENTILES))
    return ChannelScale(name, float(sample.mean()), float(sample.std()) or 1.0, low, high)
