"""The images of a study: read once, checked, resized and kept in memory, and served as training batches.

Which images stand in batch i, and how they are augmented, depends on the seed and on i alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from topodl.datasets import SyntheticMortar, TopoMortar
from topodl.datasets._common import GROUPS, Item
from topodl.errors import InputError
from topodl.evaluation.augmentation import Augmentation
from topodl.evaluation.networks import check_image_size
from topodl.evaluation.randomness import BATCH, ORDER, generator
from topodl.evaluation.settings import StudySettings

__all__ = ["Images", "StudyData", "load_data", "standardised", "training_batches"]

Batch = tuple[torch.Tensor, torch.Tensor]
_DRAWN_TRAINING = {"large": 32, "small": 10}
_DRAWN_VALIDATION = 6
_DRAWN_SEED = 2025


@dataclass(frozen=True)
class Images:
    """Images (N, 3, H, W) as bytes, labels (N, 1, H, W) as booleans, their ids and groups."""

    images: torch.Tensor
    labels: torch.Tensor
    ids: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class StudyData:
    """The three splits of a study."""

    train: Images
    val: Images
    test: Images


def load_data(settings: StudySettings, note: Callable[[str], None]) -> StudyData:
    """Read all images of a study; what is missing but not needed is told to `note`.

    Raises
    ------
    InputError
        If a file is missing or unreadable, or sizes do not fit together or to the network.
    """
    splits = {name: _dataset(settings, name, note) for name in ("train", "val", "test")}
    data = StudyData(**{name: _read(split, settings.image_size) for name, split in splits.items()})
    sizes = {tuple(images.images.shape[2:]) for images in (data.train, data.val, data.test)}
    if len(sizes) > 1:
        raise InputError(
            f"topodl evaluate: the splits have images of the sizes {sorted(sizes)}; "
            "expected one size, which --image-size N makes of them"
        )
    check_image_size(settings.network, *sizes.pop())
    return data


def _dataset(settings: StudySettings, split: str, note: Callable[[str], None]) -> Dataset[Item]:
    labels = "accurate" if split == "test" else settings.labels
    if settings.data is None:
        n = {
            "train": _DRAWN_TRAINING[settings.training_set],
            "val": _DRAWN_VALIDATION,
            "test": settings.test_images * len(GROUPS),
        }[split]
        size = settings.image_size or 128
        group = None if split == "test" else "indistr"
        return SyntheticMortar(n, size, labels, group, _DRAWN_SEED, split=split)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = TopoMortar(settings.data, split, labels, settings.training_set)
    for warning in caught:
        note(str(warning.message))
    return dataset


def _read(dataset: Dataset[Item], size: int) -> Images:
    images: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    items = [dataset[i] for i in range(len(dataset))]  # type: ignore[arg-type]
    for item in items:
        image, label = _resized(item["image"], item["label"], size)
        if images and images[0].shape != image.shape:
            raise InputError(
                f"topodl evaluate: image {item['id']} has size {image.shape[1]}x{image.shape[2]}; expected "
                f"{images[0].shape[1]}x{images[0].shape[2]} as the others, which --image-size N makes of all"
            )
        images.append(image)
        labels.append(label)
    ids, groups = (tuple(item[key] for item in items) for key in ("id", "group"))
    return Images(torch.stack(images), torch.stack(labels), ids, groups)


def _resized(image: torch.Tensor, label: torch.Tensor, size: int) -> Batch:
    """Return the image as bytes and the label as booleans, resized to `size` if that is not 0.

    A label's pixel is foreground if at least half of the area that it stands for is: of the ways to shrink
    thin structures, the one that changes their Betti numbers least.
    """
    mask = label.to(torch.float32)
    if size and tuple(image.shape[1:]) != (size, size):
        target = (size, size)
        image = F.interpolate(image[None], target, mode="bilinear", antialias=True, align_corners=False)[0]
        mask = F.interpolate(mask[None], target, mode="area")[0]
    return (image.clamp(0, 1) * 255).round().to(torch.uint8), mask >= 0.5


def standardised(images: torch.Tensor) -> torch.Tensor:
    """Return images (..., 3, H, W) of bytes with mean 0 and standard deviation 1 in every channel."""
    values = images.to(torch.float32)
    mean = values.mean((-2, -1), keepdim=True)
    deviation = values.std((-2, -1), keepdim=True, correction=0)
    return (values - mean) / torch.where(deviation > 0, deviation, 1.0)


class _Batches(Dataset[Batch]):
    """The part of every batch that one process trains with; the index is the iteration."""

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        augmentation: Augmentation,
        *,
        seed: int,
        batch_size: int,
        n_batches: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.images, self.labels, self.augmentation = images, labels, augmentation
        self.seed, self.batch_size, self.n_batches = seed, batch_size, n_batches
        self.slots = range(rank, batch_size, world_size)

    def __len__(self) -> int:
        return self.n_batches

    def __getitem__(self, iteration: int) -> Batch:
        pairs = [self._sample(iteration, slot) for slot in self.slots]
        images, labels = zip(*pairs, strict=True)
        return torch.stack(images), torch.stack(labels)

    def _sample(self, iteration: int, slot: int) -> Batch:
        epoch, position = divmod(iteration * self.batch_size + slot, len(self.images))
        index = int(generator(self.seed, ORDER, epoch).permutation(len(self.images))[position])
        rng: np.random.Generator = generator(self.seed, BATCH, iteration, slot)
        return self.augmentation(standardised(self.images[index]), self.labels[index], rng)


def training_batches(
    train: Images,
    labels: torch.Tensor,
    augmentation: Augmentation,
    settings: StudySettings,
    *,
    seed: int,
    first: int,
    end: int,
    rank: int,
    world_size: int,
) -> Iterator[Batch]:
    """Return the batches of the iterations `first` to `end` for one process of `world_size`.

    `labels` (N, 1, H, W) are booleans, or probabilities of the foreground.
    """
    batches = _Batches(
        train.images,
        labels,
        augmentation,
        seed=seed,
        batch_size=settings.batch_size,
        n_batches=end,
        rank=rank,
        world_size=world_size,
    )
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, end),
        num_workers=settings.workers,
        pin_memory=settings.device.startswith("cuda"),
    )
    return iter(loader)
