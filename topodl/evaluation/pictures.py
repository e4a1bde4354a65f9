"""Reads the pictures and masks of a run folder, of any number of dimensions, and makes arrays presentable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl._files import regular_file
from topodl.errors import InputError, MissingDependencyError

__all__ = [
    "IGNORED",
    "Masks",
    "check_same_size",
    "find_stored",
    "presentable",
    "read_image",
    "read_masks",
    "stored_names",
]

Masks = NDArray[np.uint8]
IGNORED = 255
_SUFFIXES = (".png", ".npy")


def find_stored(path: Path) -> Path | None:
    """Return the file of that name as it was stored, PNG or an array; None if there is none."""
    return next((p for suffix in _SUFFIXES if (p := path.with_suffix(suffix)).is_file()), None)


def stored_names(folder: Path) -> set[str]:
    """Return the names of all that `find_stored` finds in a folder and below, without ".png" or ".npy"."""
    if not folder.is_dir():
        return set()
    found = set()
    for entry in os.scandir(folder):
        name, suffix = os.path.splitext(entry.name)
        if suffix in _SUFFIXES and entry.is_file():
            found.add(name)
        elif entry.is_dir():
            found |= {f"{entry.name}/{inner}" for inner in stored_names(Path(entry))}
    return found


def read_masks(path: Path, n_classes: int, spatial_dims: int) -> Masks:
    """Return the masks of the classes (classes, *S): 0, 1, or 255 where a pixel is ignored.

    A file has class indices (*S), 255 where ignored; or, of a single class, 0 and 255; or masks of regions,
    (regions, *S), as an array.

    Raises
    ------
    InputError
        If the file is unreadable, or has another shape or other values.
    """
    values = _read_array(path)
    if path.suffix == ".png" and values.ndim == 3:
        values = values[..., 0]
    if values.ndim == spatial_dims + 1 and len(values) == n_classes:
        return _known_values(path, values, (0, 1, IGNORED)).astype(np.uint8)
    if values.ndim != spatial_dims:
        raise InputError(
            f"topodl report: {path} has shape {values.shape}; expected {spatial_dims} axes, "
            f"as its measurements are of {'volumes' if spatial_dims == 3 else 'pictures'}"
        )
    largest = int(values.max(initial=0))
    if n_classes == 1 and largest == IGNORED and not (values == 1).any():
        values = values == IGNORED
    _known_values(path, values, (*range(n_classes + 1), IGNORED))
    masks = np.stack([values == n for n in range(1, n_classes + 1)]).astype(np.uint8)
    masks[:, values == IGNORED] = IGNORED
    return masks


def _known_values(path: Path, values: NDArray[Any], expected: tuple[int, ...]) -> NDArray[Any]:
    known = np.isin(values, expected)
    if not known.all():
        raise InputError(
            f"topodl report: {path} has the value {values[~known][0]}; "
            f"expected {', '.join(map(str, expected[:-1]))}, or {IGNORED} where a pixel is ignored"
        )
    return values


def read_image(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an image as (channels, *S), where S is `shape`; channels may come first or last in the file.

    Raises
    ------
    InputError
        If the file is unreadable, or its image has another size.
    """
    values = _read_array(path)
    if values.shape == shape:
        return values[None]
    if values.ndim == len(shape) + 1 and values.shape[1:] == shape:
        return values
    if values.ndim == len(shape) + 1 and values.shape[:-1] == shape:
        return np.moveaxis(values, -1, 0)
    check_same_size(path, values.shape[: len(shape)], shape)
    raise InputError(
        f"topodl report: {path} has shape {values.shape}; expected that of its label, {shape}, with channels"
    )


def check_same_size(path: Path, size: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise if the picture of `path` has not the size of its label."""
    if size != expected:
        raise InputError(
            f"topodl report: {path} has {' × '.join(map(str, size))} pixels; "
            f"expected {' × '.join(map(str, expected))} as its label has"
        )


def _read_array(path: Path) -> NDArray[Any]:
    pillow = _pillow()
    try:
        if regular_file(path).suffix == ".npy":
            return np.load(path, allow_pickle=False)
        with pillow.open(path) as image:
            return np.asarray(image)
    except (OSError, ValueError, EOFError, SyntaxError, pillow.DecompressionBombError) as error:
        raise InputError(f"topodl report: {path} is not a readable picture ({error})") from None


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", extra="eval", purpose="topodl report") from error
    return Image


def presentable(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an image (channels, *S) of any dtype as bytes (*S, 3): three channels in colour, else the first.

    Bytes stay as they are; other values are stretched so that their 1st and 99th percentile, over the image,
    are black and white.
    """
    shown = image if len(image) == 3 else image[:1]
    if shown.dtype == np.bool_:
        shown = shown.astype(np.uint8) * 255
    elif shown.dtype != np.uint8:
        values = np.asarray(shown, dtype=np.float64)
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, [1, 99]) if finite.size else (0.0, 1.0)
        scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-300)
        shown = (np.clip(scaled, 0.0, 1.0) * 255).round().astype(np.uint8)
    return np.moveaxis(np.broadcast_to(shown, (3, *shown.shape[1:])), 0, -1)
