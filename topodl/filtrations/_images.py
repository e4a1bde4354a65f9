"""What the filtrations of images share: checked masks or grey values, and where the pixels are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch

from topodl._checks import as_real, check_number, check_spacing, fail, reject_colours_last, reject_nan
from topodl._host import whole_values
from topodl._precision import at_least_single

__all__ = ["PIXEL_METRICS", "Frame", "PixelMetric", "between", "read_images", "read_shares"]

PixelMetric = Literal["euclidean", "taxicab", "chessboard"]
PIXEL_METRICS = ("euclidean", "taxicab", "chessboard")

_SHAPES = "shape (B, H, W) or (B, D, H, W) with at least one pixel"


def read_images(name: str, x: Any) -> torch.Tensor:
    """Return images (B, H, W) or volumes (B, D, H, W) as floating-point numbers, free of NaN."""
    of_bytes = isinstance(x, torch.Tensor) and x.dtype == torch.uint8
    images = as_real(name, "x", x)
    reject_colours_last(name, "x", images.shape, of_bytes)
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise fail(name, "x", f"has shape {tuple(images.shape)}", _SHAPES)
    reject_nan(name, "x", images, "numbers")
    return images


def read_shares(name: str, x: Any) -> torch.Tensor:
    """Return masks, or grey values that say how much of a pixel belongs to one: numbers from 0 to 1."""
    images = read_images(name, x)
    if torch.compiler.is_compiling() or not images.numel():
        return images
    values = whole_values(images)
    wrong = (values < 0) | (values > 1)
    if bool(wrong.any()):
        sample, *position = wrong.nonzero()[0].tolist()
        came = f"has {float(values[(sample, *position)]):g} at ({', '.join(map(str, position))})"
        raise fail(name, f"x[{sample}]", came, "masks, or values from 0 to 1; binarise gives such")
    return images


class Frame:
    """Where the pixels of an image are: multiples of their sides along each axis, from the first pixel on."""

    def __init__(self, name: str, images: torch.Tensor, spacing: float | Sequence[float]) -> None:
        self.shape = tuple(images.shape[1:])
        self.sides = check_spacing(name, spacing, len(self.shape))
        self.device, self.dtype = images.device, at_least_single(images).dtype

    @property
    def ends(self) -> torch.Tensor:
        """(d,) coordinates of the last pixel."""
        ends = [(n - 1) * side for n, side in zip(self.shape, self.sides, strict=True)]
        return torch.tensor(ends, dtype=self.dtype, device=self.device)

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the whole frame, which is longer than any way between two pixels."""
        return math.hypot(*(n * side for n, side in zip(self.shape, self.sides, strict=True)))

    def coordinate(self, axis: int) -> torch.Tensor:
        """Return the coordinates of the pixels along an axis, of a shape that broadcasts to the image's."""
        places = torch.arange(self.shape[axis], dtype=self.dtype, device=self.device) * self.sides[axis]
        return places.view([-1 if a == axis else 1 for a in range(len(self.shape))])


def between(
    name: str, shares: torch.Tensor, values: torch.Tensor, outside: float | torch.Tensor | None, far: Any
) -> torch.Tensor:
    """Return `values` (K, *spatial) within the masks (B, *spatial), and `outside`, or else `far`, beyond.

    Pixels that belong to a mask by a share are as far between the two. The result is (B, K, *spatial).
    """
    if outside is not None:
        check_number(name, "outside", outside)
        far = outside
    far = torch.as_tensor(far, dtype=values.dtype, device=values.device)
    mixed = torch.lerp(far.expand(values.shape)[None], values[None], at_least_single(shares)[:, None])
    return mixed.to(shares.dtype)
