"""What the metrics measure: pairs of NumPy masks, image by image and class by class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import fail
from topodl.kernels.shared.pool import map_batch
from topodl.metrics._labels import (
    Source,
    device_of,
    ignored_in,
    in_batches,
    shaped,
    size_of,
    sources_of,
    to_labels,
)
from topodl.metrics._options import CommonOptions, Reading

__all__ = [
    "BACKGROUNDS",
    "CONVENTIONS",
    "SKELETONS",
    "Mask",
    "MaskPair",
    "MaskPairs",
    "neighbourhoods",
    "read_masks",
]

BACKGROUNDS = ("included", "excluded")
CONVENTIONS = ("standard", "topomortar")
SKELETONS = ("thinned", "scikit-image")

Mask = NDArray[np.bool_]


class MaskPair(NamedTuple):
    """The masks of one class in one image, (H, W) or (D, H, W); for instances the maps of their ids."""

    preds: Mask
    target: Mask
    counted: Mask | None
    """Where pixels count; None if all do. The others are background in both masks."""


@dataclass(frozen=True)
class MaskPairs:
    """Two batches of masks, image by image and class by class."""

    reading: Reading
    pairs: list[MaskPair]
    n_images: int
    ndim: int
    device: torch.device

    @classmethod
    def read(
        cls,
        function: str,
        preds: Any,
        target: Any,
        *,
        takes_instances: bool = False,
        **common: Unpack[CommonOptions],
    ) -> MaskPairs:
        """Check both batches, which must be of one shape, and split them."""
        reading = Reading.of(function, common, takes_instances)
        given = {"preds": preds, "target": target}
        if reading.mask is not None:
            given["mask"] = reading.mask
        batches = [_read_batch(reading, **batch) for batch in in_batches(function, given)]
        ndims = {batch.ndim for batch in batches}
        if len(ndims) > 1:
            raise fail(function, "preds", "is a list of images and of volumes", "one kind of them")
        pairs = [pair for batch in batches for pair in batch.pairs]
        return cls(reading, pairs, sum(len(b) for b in batches), ndims.pop(), device_of(preds))

    def measure(
        self,
        function: Callable[[MaskPair], Any],
        value_shape: tuple[int, ...] = (),
        dtype: type[np.generic] = np.float64,
    ) -> torch.Tensor:
        """Return the values of all pairs, (B, …), or (B, K, …) for K > 1 masks an image."""
        nothing = np.full(value_shape, np.nan)

        def value(pair: MaskPair) -> Any:
            return nothing if self._leaves_out(pair) else function(pair)

        shape = (self.n_images, *self.reading.class_axis, *value_shape)
        table = np.array(map_batch(value, self.pairs), dtype=dtype).reshape(shape)
        return torch.from_numpy(table).to(self.device)

    def _leaves_out(self, pair: MaskPair) -> bool:
        """Return whether the value of two masks is NaN, as the class is absent."""
        if self.reading.ignore_empty == "never" or pair.target.any():
            return False
        return self.reading.ignore_empty == "target" or not pair.preds.any()


@dataclass(frozen=True)
class _Batch:
    reading: Reading
    preds: NDArray[Any]
    target: NDArray[Any]
    counted: NDArray[np.bool_] | None

    def __len__(self) -> int:
        return len(self.preds)

    @property
    def ndim(self) -> int:
        """The number of axes in space."""
        return self.preds.ndim - (2 if self.reading.input_format == "regions" else 1)

    @property
    def pairs(self) -> list[MaskPair]:
        """The masks of all images, those of one image one after the other."""
        both = zip(_split(self.reading, self.preds), _split(self.reading, self.target), strict=True)
        if self.counted is None:
            return [MaskPair(p, t, None) for p, t in both]
        n = self.reading.n_masks
        counted = self.counted.repeat(n, 0) if self.counted.ndim == self.ndim + 1 else _flat(self.counted)
        return [MaskPair(p, t, c) for (p, t), c in zip(both, counted, strict=True)]


def read_masks(function: str, argument: str, value: Any) -> tuple[list[Mask], int]:
    """Return a batch of masks of one class, one (H, W) or (D, H, W) an image, and how many axes they have."""
    reading = Reading.of(function, {})
    masks: list[Mask] = []
    ndims = set()
    for source in sources_of(function, argument, value):
        labels = to_labels(reading, shaped(reading, source), None)
        masks += _split(reading, labels)
        ndims.add(labels.ndim - 1)
    if len(ndims) > 1:
        raise fail(function, argument, "is a list of images and of volumes", "one kind of them")
    return masks, ndims.pop()


def _flat(channels: NDArray[Any]) -> NDArray[Any]:
    """Return (B, C, *S) as (B * C, *S)."""
    return channels.reshape(-1, *channels.shape[2:])


def _split(reading: Reading, labels: NDArray[Any]) -> list[Mask]:
    """Return the masks of all images, those of one image one after the other."""
    if reading.input_format == "regions":
        return list(np.any(labels, axis=1) if reading.classes == "union" else _flat(labels))
    if reading.input_format == "instances":
        return list(labels)
    if labels.dtype == bool and reading.n_masks == 1:
        return list(labels)
    if reading.classes == "union":
        return list(labels > 0)
    return [np.equal(image, c) for image in labels for c in range(1, reading.num_classes)]


def _read_batch(reading: Reading, preds: Source, target: Source, mask: Source | None = None) -> _Batch:
    """Check both and bring them to one form; what is ignored becomes background in both."""
    predicted, true = shaped(reading, preds), shaped(reading, target)
    if size_of(reading, predicted) != size_of(reading, true):
        shape, expected = tuple(target.values.shape), tuple(preds.values.shape)
        expected_shape = f"that of preds, {expected} (a channel axis of length 1 may be left out)"
        raise fail(reading.function, target.name, f"has shape {shape}", expected_shape)
    ignored = ignored_in(reading, true, mask)
    counted = None if ignored is None else (~ignored).numpy()
    p, t = (to_labels(reading, source, ignored) for source in (predicted, true))
    return _Batch(reading, p, t, counted)


def neighbourhoods(ndim: int, corners: bool) -> tuple[Mask, Mask]:
    """Return which of the pixels around one are its neighbours, in the foreground and in the background.

    With `corners` those of the foreground may share a corner alone, else those of the background.
    """
    faces, every = (ndimage.generate_binary_structure(ndim, rank) for rank in (1, ndim))
    return (every, faces) if corners else (faces, every)
