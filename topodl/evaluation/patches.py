"""Pieces of images: their size, where training cuts them, and predictions of whole images from windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.randomness import PLACES, generator

__all__ = ["PatchCutter", "default_patch_size", "predict_in_windows"]

Corner = tuple[int, ...]
_LARGEST = {2: 256, 3: 64}  # sides of a default patch, by number of axes
_PLACES = 10_000  # foreground pixels of an image and class that patches are laid around
_OVERLAP = 0.5
_WINDOWS_AT_ONCE = 4


def default_patch_size(sizes: Sequence[Sequence[int]], multiple: int, least: int) -> tuple[int, ...]:
    """Return a patch of at most the images' median size, with sides that are a multiple of `multiple`.

    Parameters
    ----------
    sizes : sequence of sizes
        Of the training images, 2 or 3 numbers each.
    multiple, least : int
        What the network wants of a side.

    Examples
    --------
    >>> default_patch_size([(100, 900), (120, 900)], multiple=16, least=32)
    (96, 256)
    """
    median = np.median(np.asarray(sizes), axis=0).astype(int)
    largest = max(_LARGEST[len(median)], least)
    return tuple(max(least, min(largest, int(side)) // multiple * multiple) for side in median)


class PatchCutter:
    """Cuts patches of `size` out of images with these labels, at random places or around the foreground.

    What a patch shows beyond an image's edge is 0 after scaling, and counts nowhere.
    """

    def __init__(self, labels: Sequence[torch.Tensor], size: tuple[int, ...], regions: bool) -> None:
        self.size = size
        self.sizes = [tuple(label.shape[1:]) for label in labels]
        self._places = [_foreground_places(label, regions, i) for i, label in enumerate(labels)]
        self._with_foreground = [i for i, places in enumerate(self._places) if places]

    def place(self, index: int, certain: bool, rng: np.random.Generator) -> tuple[int, Corner]:
        """Return which image is cut, and the patch's first corner, which may lie outside of it.

        Where foreground is `certain`, an image without any gives way to another, and the patch lies around a
        pixel of a class that is drawn first, so that rare classes are seen as often as others.
        """
        if not certain or not self._with_foreground:
            return index, tuple(
                int(rng.integers(min(0, whole - side), max(0, whole - side) + 1))
                for side, whole in zip(self.size, self.sizes[index], strict=True)
            )
        if not self._places[index]:
            index = self._with_foreground[int(rng.integers(len(self._with_foreground)))]
        of_class = self._places[index][int(rng.integers(len(self._places[index])))]
        center = np.unravel_index(int(rng.choice(of_class)), self.sizes[index])
        return index, tuple(
            int(np.clip(c - side // 2, min(0, whole - side), max(0, whole - side)))
            for c, side, whole in zip(center, self.size, self.sizes[index], strict=True)
        )

    def cut(
        self,
        image: torch.Tensor,
        label: torch.Tensor,
        corner: Corner,
        scale: Callable[[torch.Tensor], torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the patch of an image, scaled, and of its label at `corner`."""
        padding: list[int] = []
        for axis, (c, side) in enumerate(zip(corner, self.size, strict=True), start=1):
            begin = max(0, c)
            length = min(c + side, image.shape[axis]) - begin
            image, label = image.narrow(axis, begin, length), label.narrow(axis, begin, length)
            padding = [begin - c, side - length - (begin - c), *padding]
        nowhere = -1 if label.is_floating_point() else IGNORE
        return F.pad(scale(image), padding), F.pad(label, padding, value=nowhere)


def _foreground_places(label: torch.Tensor, regions: bool, index: int) -> list[NDArray[np.int64]]:
    """Return flat indices of pixels of each class or region that is there, at most `_PLACES` each."""
    if regions:
        masks = [channel == 1 for channel in label]
    else:
        present = [int(v) for v in label.unique() if 0 < int(v) != IGNORE]
        masks = [label[0] == value for value in present]
    found = [np.flatnonzero(mask.numpy()) for mask in masks]
    return [
        places
        if len(places) <= _PLACES
        else generator(PLACES, index, k).choice(places, _PLACES, replace=False)
        for k, places in enumerate(found)
        if len(places)
    ]


def predict_in_windows(
    predict: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    size: tuple[int, ...],
    device: torch.device,
) -> torch.Tensor:
    """Return `predict` of a whole image (1, C, *S), put together from windows that overlap by half.

    The windows have the `size` that the network was trained with; their middles weigh more than their edges.
    """
    from monai.inferers import sliding_window_inference

    whole: torch.Tensor = sliding_window_inference(
        image,
        size,
        _WINDOWS_AT_ONCE,
        predict,
        overlap=_OVERLAP,
        mode="gaussian",
        sw_device=device,
        device=torch.device("cpu"),
    )
    return whole
