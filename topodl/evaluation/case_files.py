"""A case read from disk: its image brought to the axes of its label, and both checked against each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topodl.errors import InputError
from topodl.evaluation.case_types import Case
from topodl.evaluation.image_files import FUNCTION, StoredImage, read_file
from topodl.evaluation.label_values import StoredLabel, read_label, without_single_axes

__all__ = ["read_case"]

_SPACING_TOLERANCE = 0.01  # relative
_DIRECTION_TOLERANCE = 0.1  # of the entries of unit vectors


def read_case(case: Case) -> tuple[NDArray[np.float32], StoredLabel, tuple[float, ...]]:
    """Return the image (C, *S), the label's values (*S) and the spacing of a case.

    Raises
    ------
    InputError
        If a file cannot be read, has values that are not finite, or image and label differ in size or place.
    """
    label = read_label(case.label)
    channels, spacing = [], label.spacing
    for path in case.image:
        stored = read_file(path)
        channels.append(_finite(_channels_first(stored, label.values.shape, path, case.label), path))
        spacing = _common_spacing(stored, label, path, case.label) or spacing
    image = np.concatenate(channels, dtype=np.float32, casting="same_kind")
    return image, label, spacing or (1.0,) * label.values.ndim


def _channels_first(
    stored: StoredImage, shape: tuple[int, ...], path: Path, label: Path
) -> NDArray[np.generic]:
    """Return an image's values as (C, *shape)."""
    candidates = list(_candidates(stored, len(shape)))
    fitting = [values for values in candidates if values.shape[1:] == shape]
    if not fitting:
        raise InputError(
            f"{FUNCTION}: image {path} has shape {stored.values.shape} and its label {label} {shape}; "
            "expected the same size of both"
        )
    if len(fitting) > 1:
        raise InputError(
            f"{FUNCTION}: image {path} has shape {stored.values.shape} and its label {shape}, so that "
            "several axes may count channels; expected a format that says which"
        )
    return fitting[0]


def _candidates(stored: StoredImage, ndim: int) -> Iterator[NDArray[np.generic]]:
    """Yield the ways to see an array as channels of `ndim` axes, those of size 1 left out as in labels."""
    if stored.has_channels:
        values = stored.values
        while values.ndim > ndim + 1 and 1 in values.shape[1:]:
            values = values.squeeze(1 + values.shape[1:].index(1))
        yield values
        return
    whole, _ = without_single_axes(stored.values, None, least=ndim)
    if whole.ndim == ndim:
        yield whole[None]
    elif stored.ambiguous and whole.ndim == ndim + 1:
        for axis in range(ndim + 1):
            yield np.moveaxis(whole, axis, 0)


def _finite(values: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(values.astype(np.float32))
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise InputError(
                f"{FUNCTION}: image {path} has {values[place]} at {place}, channel first; "
                "expected finite values"
            )
    return values


def _common_spacing(
    stored: StoredImage, label: StoredLabel, path: Path, label_path: Path
) -> tuple[float, ...] | None:
    """Return the spacing that an image states; what its label states must agree."""
    spacing = _spacing_of(stored, label.values.ndim)
    if spacing and label.spacing and not np.allclose(spacing, label.spacing, rtol=_SPACING_TOLERANCE):
        raise InputError(
            f"{FUNCTION}: image {path} has the spacing {spacing} and its label {label_path} {label.spacing}; "
            "expected the same of both"
        )
    if (
        stored.direction is not None
        and label.direction is not None
        and not np.allclose(stored.direction, label.direction, atol=_DIRECTION_TOLERANCE, rtol=0)
    ):
        raise InputError(
            f"{FUNCTION}: image {path} and its label {label_path} have axes of different directions; "
            "expected both in one orientation"
        )
    return spacing


def _spacing_of(stored: StoredImage, ndim: int) -> tuple[float, ...] | None:
    if stored.spacing is None:
        return None
    spatial = stored.values[0] if stored.has_channels else stored.values
    _, spacing = without_single_axes(spatial, stored.spacing, least=ndim)
    return spacing
