"""The images of a study in memory, what a network has to give for them, and the batches of a training.

Which images stand in batch i, how they are cut and augmented, depends on the seed and on i alone.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from topodl.evaluation.augmentation import Augmentation
from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.intensities import Intensities
from topodl.evaluation.label_values import count_values
from topodl.evaluation.patches import PatchCutter
from topodl.evaluation.randomness import BATCH, ORDER, generator
from topodl.evaluation.settings import StudySettings

__all__ = ["Images", "Sample", "StudyData", "describe", "training_batches"]

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Sample:
    """An image (C, *S) as bytes or float32, with its label (1, *S) or (R, *S)."""

    image: torch.Tensor
    label: torch.Tensor
    id: str
    group: str
    spacing: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Images:
    """Images (C, *S) of unequal sizes in the plane or in space, with their labels.

    Values are those of the files, as bytes or float32. A label (1, *S) has indices of classes, one (R, *S)
    the zeros and ones of regions that may overlap; `IGNORE` counts nowhere. A spacing is the size of a pixel
    along each axis.
    """

    images: tuple[torch.Tensor, ...]
    labels: tuple[torch.Tensor, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    spacings: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Images:
        """Return what the samples hold."""
        return cls(
            tuple(s.image for s in samples),
            tuple(s.label for s in samples),
            tuple(s.id for s in samples),
            tuple(s.group for s in samples),
            tuple(s.spacing for s in samples),
        )

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class StudyData:
    """The three splits of a study, and what is known of all their images.

    Classes are named background first; with `regions`, the names after the background are those of the
    regions. `has_ignored` says whether a label has pixels that count nowhere, `patch_size` how large the
    pieces are that are trained with (None: whole images), `source` in a line where the images come from, and
    `convention` what the metrics say of empty masks ("standard", or "topomortar" as in the published study).
    """

    train: Images
    val: Images
    test: Images
    classes: tuple[str, ...]
    intensities: Intensities
    regions: bool = False
    has_ignored: bool = False
    patch_size: tuple[int, ...] | None = None
    source: str = ""
    convention: str = "standard"

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return len(self.train.images[0])

    @property
    def spatial_dims(self) -> int:
        """2 for pictures, 3 for volumes."""
        return self.train.images[0].ndim - 1

    @property
    def out_channels(self) -> int:
        """Channels that a network gives: one a class, or one a region."""
        return len(self.classes) - self.regions

    @property
    def ignores(self) -> bool:
        """Whether a batch may have pixels that count nowhere, at the edges of small images too."""
        size = self.patch_size
        return self.has_ignored or any(
            side < wanted
            for image in (self.train.images if size else ())
            for side, wanted in zip(image.shape[1:], size or (), strict=True)
        )

    @property
    def foreground(self) -> tuple[str, ...]:
        """Names of what is measured: the classes but the background, or the regions."""
        return self.classes[1:]

    def splits(self) -> dict[str, Images]:
        """Return the three splits by their names."""
        return {"train": self.train, "val": self.val, "test": self.test}


def describe(data: StudyData) -> dict[str, Any]:
    """Return what is known of the images as plain types: their numbers, sizes, classes and scales."""
    sizes = [tuple(image.shape[1:]) for images in data.splits().values() for image in images.images]
    return {
        "images": {
            **{name: len(images) for name, images in data.splits().items()},
            "source": data.source,
            "channels": data.in_channels,
            "smallest": [min(sides) for sides in zip(*sizes, strict=True)],
            "largest": [max(sides) for sides in zip(*sizes, strict=True)],
        },
        "classes": {
            "names": list(data.classes),
            "regions": data.regions,
            "ignored_pixels": data.has_ignored,
            "shares": _shares(data),
        },
        "intensities": data.intensities.as_dict(),
        "patch_size": None if data.patch_size is None else list(data.patch_size),
    }


def _shares(data: StudyData) -> dict[str, float]:
    """Return the share that each class, or region, has of all pixels that count."""
    counts, total = np.zeros(len(data.classes), dtype=np.int64), 0
    for label in (label for images in data.splits().values() for label in images.labels):
        by_channel = [count_values(channel) for channel in label.numpy()]
        total += sum(n for value, n in by_channel[0].items() if value != IGNORE)
        if data.regions:
            counts[1:] += [found.get(1, 0) for found in by_channel]
        else:
            counts += [by_channel[0].get(k, 0) for k in range(len(counts))]
    named = list(zip(data.classes, counts.tolist(), strict=True))[int(data.regions) :]
    return {name: round(count / max(1, total), 6) for name, count in named}


class _Batches(Dataset[Batch]):
    """The part of every batch that one process trains with; the index is the iteration."""

    def __init__(
        self,
        data: StudyData,
        labels: Sequence[torch.Tensor],
        augmentation: Augmentation,
        *,
        seed: int,
        batch_size: int,
        n_batches: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.images, self.labels, self.augmentation = data.train.images, labels, augmentation
        self.intensities = data.intensities
        self.seed, self.batch_size, self.n_batches = seed, batch_size, n_batches
        self.slots = range(rank, batch_size, world_size)
        size = data.patch_size
        self.cutter = None if size is None else PatchCutter(data.train.labels, size, data.regions)

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
        if self.cutter is None:
            image, label = self.images[index], self.labels[index]
            return self.augmentation(self.intensities(image), label, rng)
        # The last third of a batch shows foreground for certain, as in nnU-Net.
        certain = slot >= self.batch_size - -(-self.batch_size // 3)
        index, corner = self.cutter.place(index, certain, rng)
        image, label = self.cutter.cut(self.images[index], self.labels[index], corner, self.intensities)
        return self.augmentation(image, label, rng)


def training_batches(
    data: StudyData,
    labels: Sequence[torch.Tensor],
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

    `labels` are those of the training images, or probabilities (K, *S) of the foreground's classes, negative
    where a pixel counts nowhere.
    """
    batches = _Batches(
        data,
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
        worker_init_fn=_leave_interrupts_to_the_parent if settings.workers else None,
    )
    return iter(loader)


def _leave_interrupts_to_the_parent(worker: int) -> None:
    """Ignore Ctrl-C, which reaches every process of a terminal: the parent says so, and ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
