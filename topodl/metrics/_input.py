"""What the metrics read: label maps or channels, checked once, then split into pairs of NumPy masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_tensor, fail, reject_nan
from topodl.kernels.shared.pool import map_batch
from topodl.metrics._options import COMMON_DEFAULTS, CommonOptions, check_common_options

__all__ = [
    "CONVENTIONS",
    "SKELETONS",
    "Mask",
    "MaskPair",
    "MaskPairs",
    "Reading",
    "neighbourhoods",
    "read_masks",
]

CONVENTIONS = ("standard", "topomortar")
SKELETONS = ("thinned", "scikit-image")
_SHAPES = "(B, H, W) or (B, 1, H, W) for images, (B, 1, D, H, W) for volumes"
_LABEL_DTYPES = "bool, integers, or floats such as 1.0"

Mask = NDArray[np.bool_]


class MaskPair(NamedTuple):
    """The masks of one class in one image, both (H, W) or both (D, H, W)."""

    preds: Mask
    target: Mask


@dataclass(frozen=True)
class Reading:
    """How a function reads what it is given."""

    function: str
    num_classes: int
    input_format: str
    classes: str

    @classmethod
    def of(cls, function: str, common: Mapping[str, Any]) -> Reading:
        """Check the options and fill in the defaults."""
        check_common_options(function, common)
        return cls(function, **(COMMON_DEFAULTS | dict(common)))

    @property
    def n_masks(self) -> int:
        """How many masks an image has."""
        if self.classes == "union":
            return 1
        return self.num_classes if self.input_format == "regions" else self.num_classes - 1

    @property
    def class_axis(self) -> tuple[int, ...]:
        """The axis of classes in a result: none for one mask an image."""
        return (self.n_masks,) if self.n_masks > 1 else ()


@dataclass(frozen=True)
class MaskPairs:
    """Two batches of masks, image by image and class by class."""

    reading: Reading
    pairs: list[MaskPair]
    n_images: int
    ndim: int
    device: torch.device

    @classmethod
    def read(cls, function: str, preds: Any, target: Any, **common: Unpack[CommonOptions]) -> MaskPairs:
        """Check both batches, which must be of one shape, and split them."""
        reading = Reading.of(function, common)
        predicted, true = _read_labels(reading, "preds", preds), _read_labels(reading, "target", target)
        if predicted.shape != true.shape:
            expected = f"that of preds, {tuple(preds.shape)} (a channel axis of length 1 may be left out)"
            raise fail(function, "target", f"has shape {tuple(target.shape)}", expected)
        both = zip(_split(reading, predicted), _split(reading, true), strict=True)
        ndim = predicted.ndim - (2 if reading.input_format == "regions" else 1)
        return cls(reading, [MaskPair(p, t) for p, t in both], len(predicted), ndim, preds.device)

    def measure(self, function: Callable[[MaskPair], Any], value_shape: tuple[int, ...] = ()) -> torch.Tensor:
        """Return the values of all pairs, float64 (B, …), or (B, K, …) for K > 1 masks an image."""
        shape = (self.n_images, *self.reading.class_axis, *value_shape)
        table = np.array(map_batch(function, self.pairs), dtype=np.float64).reshape(shape)
        return torch.from_numpy(table).to(self.device)


def read_masks(function: str, argument: str, value: Any) -> list[Mask]:
    """Return a batch of masks of one class, one (H, W) or (D, H, W) an image."""
    reading = Reading.of(function, {})
    return _split(reading, _read_labels(reading, argument, value))


def _split(reading: Reading, labels: NDArray[Any]) -> list[Mask]:
    """Return the masks of all images, those of one image one after the other."""
    if reading.input_format == "regions":
        if reading.classes == "union":
            return list(np.any(labels, axis=1))
        return list(labels.reshape(-1, *labels.shape[2:]))
    if reading.classes == "union":
        return list(labels > 0)
    return [np.equal(image, c) for image in labels for c in range(1, reading.num_classes)]


def _read_labels(reading: Reading, argument: str, value: Any) -> NDArray[Any]:
    """Return label maps (B, *S), or the masks of regions (B, C, *S)."""
    values = check_tensor(reading.function, argument, value).detach().cpu()
    if values.is_complex():
        raise fail(reading.function, argument, f"has dtype {values.dtype}", _LABEL_DTYPES)
    if values.dtype in (torch.uint16, torch.uint32, torch.uint64):  # PyTorch cannot compare them
        values = values.to(torch.int64)
    if reading.input_format == "regions" or (
        reading.input_format == "one-hot" and values.ndim >= 4 and values.shape[1] != 1
    ):
        return _read_channels(reading, argument, values)
    return _read_index(reading, argument, values)


def _read_index(reading: Reading, argument: str, labels: torch.Tensor) -> NDArray[np.int64]:
    """Return label maps without an axis of channels."""
    function, shape = reading.function, tuple(labels.shape)
    if labels.ndim not in (3, 4, 5) or 0 in shape[1:]:
        raise fail(function, argument, f"has shape {shape}", f"shape {_SHAPES}")
    if labels.ndim > 3 and shape[1] != 1:
        # One channel per class, or the slices of a volume: nobody can tell.
        came = f"has shape {shape}, whose second axis may be channels or depth"
        expected = f'label maps, {_SHAPES}; channels with input_format="one-hot" or "regions"'
        raise fail(function, argument, came, expected)
    expected = f"labels in 0…{reading.num_classes - 1} (argmax or a threshold makes them of scores)"
    _reject_other_values(function, argument, labels, reading.num_classes, expected)
    return (labels[:, 0] if labels.ndim > 3 else labels).to(torch.int64).numpy()


def _read_channels(reading: Reading, argument: str, channels: torch.Tensor) -> NDArray[Any]:
    """Return the label maps of one-hot classes, or the masks of regions as they are."""
    function, shape, n = reading.function, tuple(channels.shape), reading.num_classes
    if channels.ndim not in (4, 5) or shape[1] != n or 0 in shape[1:]:
        expected = f"shape (B, {n}, H, W) or (B, {n}, D, H, W) for num_classes={n}"
        raise fail(function, argument, f"has shape {shape}", f"{expected} and {reading.input_format!r}")
    _reject_other_values(function, argument, channels, 2, "0 and 1 (a threshold makes them of scores)")
    if reading.input_format == "regions":
        return channels.to(torch.bool).numpy()
    chosen = channels.to(torch.uint8)  # argmax takes no booleans
    wrong = chosen.sum(1) != 1
    if bool(wrong.any()):
        sample, *position = wrong.nonzero()[0].tolist()
        came = f"has {int(chosen[(sample, slice(None), *position)].sum())} classes at {tuple(position)}"
        expected = 'one class in each pixel; masks that overlap with input_format="regions"'
        raise fail(function, f"{argument}[{sample}]", came, expected)
    return chosen.argmax(1).numpy()


def _reject_other_values(function: str, argument: str, values: torch.Tensor, n: int, expected: str) -> None:
    """Raise unless every value is an integer in [0, `n`)."""
    if values.dtype == torch.bool or values.numel() == 0:
        return
    reject_nan(function, argument, values, expected)
    wrong = (values < 0) | (values >= n)
    if values.is_floating_point():
        wrong |= values != values.floor()
    if bool(wrong.any()):
        sample, *position = wrong.nonzero()[0].tolist()
        came = f"has the value {values[(sample, *position)].item():g} at ({', '.join(map(str, position))})"
        raise fail(function, f"{argument}[{sample}]", came, expected)


def neighbourhoods(ndim: int, corners: bool) -> tuple[Mask, Mask]:
    """Return which of the pixels around one are its neighbours, in the foreground and in the background.

    With `corners` those of the foreground may share a corner alone, else those of the background.
    """
    faces, every = (ndimage.generate_binary_structure(ndim, rank) for rank in (1, ndim))
    return (every, faces) if corners else (faces, every)
