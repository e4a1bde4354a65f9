"""Writes images and label maps of a run folder: as PNG where that holds the values, else as NumPy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._files import atomic_path
from topodl.evaluation.case_types import IGNORE

__all__ = ["write_image", "write_label"]

_BYTE_CHANNELS = (1, 3)
_SHADES = (255, 128, 64, 192, 32, 160, 96, 224)


def write_image(path: Path, image: torch.Tensor) -> None:
    """Write an image (C, *S) to `path`, a name that ends in ".png".

    Pictures with the values of bytes in 1 or 3 channels become PNG; all others keep their values, in an array
    (C, *S) of float32 whose file ends in ".npy".
    """
    values = image.numpy()
    is_picture = values.ndim == 3 and len(values) in _BYTE_CHANNELS
    if is_picture and values.dtype != np.uint8:
        is_picture = bool(((values >= 0) & (values <= 255) & (values == np.round(values))).all())
    if is_picture:
        bytes_ = values.astype(np.uint8)
        _write_png(path, bytes_[0] if len(bytes_) == 1 else np.moveaxis(bytes_, 0, -1))
    else:
        _write_array(path, values)


def write_label(path: Path, label: torch.Tensor, n_classes: int) -> None:
    """Write a label (1, *S) or (R, *S) to `path`, a name that ends in ".png".

    Of two classes in the plane it becomes a PNG with 0 and 255, or with 0, 1 and 255 where pixels are
    ignored; of more a PNG with a palette, whose indices are the classes; volumes and regions become arrays of
    bytes, whose files end in ".npy", and so does a label of two classes with ignored pixels alone.
    """
    values = label.numpy().astype(np.uint8)
    if n_classes == 2 and (values == IGNORE).any() and not (values == 1).any():
        _write_array(path, values)  # as a region: 0 and 255 alone would read as background and foreground
    elif values.ndim != 3 or len(values) > 1:
        _write_array(path, values[0] if len(values) == 1 else values)
    elif n_classes == 2 and not (values == IGNORE).any():
        _write_png(path, values[0] * 255)
    else:
        _write_png(path, values[0], palette=n_classes > 2)


def _write_array(path: Path, values: NDArray[np.generic]) -> None:
    with atomic_path(path.with_suffix(".npy")) as partial, partial.open("wb") as stream:
        np.save(stream, values)


def _write_png(path: Path, values: NDArray[np.uint8], *, palette: bool = False) -> None:
    from PIL import Image

    picture = Image.fromarray(values)
    if palette:
        shades = [0] + [_SHADES[k % len(_SHADES)] for k in range(255)]
        picture.putpalette([shade for shade in shades for _ in range(3)])
    with atomic_path(path) as partial:
        picture.save(partial, format="PNG")
