"""Where the images of a study come from: drawn walls, TopoMortar, any folder, or objects of the caller."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.data import Dataset

from topodl._checks import fail
from topodl.datasets import SyntheticMortar, TopoMortar
from topodl.datasets._common import GROUPS, Item, is_topomortar
from topodl.errors import InputError
from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.cases import CaseFolder, read_cases
from topodl.evaluation.data import Images, Sample, StudyData
from topodl.evaluation.given_data import GivenSplits
from topodl.evaluation.intensities import Intensities, fit_intensities
from topodl.evaluation.networks import check_image_size, side_rule
from topodl.evaluation.patches import default_patch_size
from topodl.evaluation.resizing import describe_change, resized
from topodl.evaluation.settings import StudySettings

__all__ = ["load_data"]

Note = Callable[[str], None]
_NAME = "topodl evaluate"
_SPLITS = ("train", "val", "test")
_DRAWN_TRAINING = {"large": 32, "small": 10}
_DRAWN_SIZE = {"quick": 128, "topomortar": 512}
_DRAWN_VALIDATION = 6
_DRAWN_SEED = 2025
_IN_DISTRIBUTION = GROUPS[0]


@dataclass(frozen=True, eq=False)
class Source:
    """The samples of each split as they were read, and what they mean.

    `mortar` says that they are drawn walls or TopoMortar: images of one size that are trained with whole and
    scaled one by one, as in the published study.
    """

    samples: dict[str, list[Sample]]
    classes: tuple[str, ...]
    channel_names: tuple[str, ...]
    line: str
    regions: bool = False
    mortar: bool = False

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return len(self.samples["train"][0].image)


def load_data(settings: StudySettings, note: Note, given: GivenSplits | None = None) -> StudyData:
    """Read all images of a study; what is missing but not needed is told to `note`.

    Raises
    ------
    InputError
        If a file is missing or unreadable, or images do not fit together or to the network.
    """
    source = _read(settings, note, given)
    _check_samples(source)
    if not source.mortar:
        source.samples["test"] = _with_groups(source.samples)
    if settings.image_size:
        source = _with_size(source, settings.image_size, note)
    if source.mortar:
        source = replace(source, samples={k: list(map(_as_bytes, v)) for k, v in source.samples.items()})
    if settings.framework == "randhue" and source.channels != 3:
        came = f"is 'randhue' for images with {source.channels} channels"
        raise fail(_NAME, "framework", came, "images with 3, red, green and blue")
    splits = {name: Images.of(source.samples[name]) for name in _SPLITS}
    train = splits["train"]
    intensities = (
        Intensities() if source.mortar else fit_intensities(train.images, train.labels, source.channel_names)
    )
    ignored = any(bool((label == IGNORE).any()) for images in splits.values() for label in images.labels)
    return StudyData(
        **splits,
        classes=source.classes,
        intensities=intensities,
        regions=source.regions,
        has_ignored=ignored,
        patch_size=_patch_size(settings, source),
        source=source.line,
        convention="topomortar" if source.mortar else "standard",
    )


def _read(settings: StudySettings, note: Note, given: GivenSplits | None) -> Source:
    if given is not None:
        names = ("",) * len(given.samples["train"][0].image)
        return Source(dict(given.samples), given.classes, names, "images from Python", given.regions)
    if settings.data is None or is_topomortar(settings.data):
        samples = {name: _mortar(settings, name, note) for name in _SPLITS}
        line = "drawn walls" if settings.data is None else "TopoMortar's layout"
        return Source(samples, ("background", "mortar"), ("red", "green", "blue"), line, mortar=True)
    return _folder(settings, note)


def _mortar(settings: StudySettings, split: str, note: Note) -> list[Sample]:
    dataset = _mortar_dataset(settings, split, note)
    items = [dataset[i] for i in range(len(dataset))]  # type: ignore[arg-type]
    return [
        Sample(item["image"], item["label"].to(torch.uint8), item["id"], item["group"], (1.0, 1.0))
        for item in items
    ]


def _mortar_dataset(settings: StudySettings, split: str, note: Note) -> Dataset[Item]:
    labels = "accurate" if split == "test" else settings.labels
    if settings.data is None:
        n = {
            "train": _DRAWN_TRAINING[settings.training_set],
            "val": _DRAWN_VALIDATION,
            "test": settings.test_images * len(GROUPS),
        }[split]
        size = settings.image_size or _DRAWN_SIZE[settings.protocol]
        group = None if split == "test" else "indistr"
        return SyntheticMortar(n, size, labels, group, _DRAWN_SEED, split=split)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = TopoMortar(settings.data, split, labels, settings.training_set)
    for warning in caught:
        note(str(warning.message))
    return dataset


def _folder(settings: StudySettings, note: Note) -> Source:
    assert settings.data is not None
    if settings.labels != "accurate" or settings.training_set != "large":
        argument = "labels" if settings.labels != "accurate" else "training_set"
        came = f"is {getattr(settings, argument)!r} for {settings.data}, which is not TopoMortar"
        raise fail(_NAME, argument, came, "no such option")
    folder = read_cases(
        settings.data, classes=settings.classes, ignore_label=settings.ignore_label, progress=True
    )
    note(folder.layout)
    note(folder.label_line)
    return _of_folder(folder)


def _of_folder(folder: CaseFolder) -> Source:
    """Return the cases that have a label, each in its split."""
    samples: dict[str, list[Sample]] = {name: [] for name in _SPLITS}
    for case in folder.cases:
        if case.label is None:
            continue
        picture = folder.load(case)
        label = torch.from_numpy(picture.label)
        samples[case.split].append(
            Sample(
                torch.from_numpy(picture.image),
                label if folder.scheme.regions else label[None],
                case.id,
                case.group,
                picture.spacing,
            )
        )
    scheme = folder.scheme
    regions = scheme.regions is not None
    return Source(samples, scheme.classes, folder.channel_names, folder.layout, regions)


def _with_groups(samples: dict[str, list[Sample]]) -> list[Sample]:
    """Return the test samples, those of a group that is trained with, or of none, as in distribution."""
    trained = {sample.group for sample in samples["train"]} | {""}
    return [
        replace(sample, group=_IN_DISTRIBUTION if sample.group in trained else sample.group)
        for sample in samples["test"]
    ]


def _check_samples(source: Source) -> None:
    """Raise for a split without images, for images that do not fit together, and for values that are none."""
    for split in ("train", "test"):
        if not source.samples[split]:
            raise InputError(f"{_NAME}: the {split} split has no image with a label; expected at least one")
    first = source.samples["train"][0]
    wanted = (source.channels, first.image.ndim - 1, len(first.label))
    for split, samples in source.samples.items():
        ids = [sample.id for sample in samples]
        if len(set(ids)) < len(ids):
            twice = next(i for n, i in enumerate(ids) if i in ids[:n])
            raise InputError(
                f"{_NAME}: the {split} split has the image {twice} twice; expected names of their own"
            )
        for sample in samples:
            came = (len(sample.image), sample.image.ndim - 1, len(sample.label))
            if came != wanted:
                names = ("channels", "axes", "channels of the label")
                k = next(k for k in range(3) if came[k] != wanted[k])
                raise InputError(
                    f"{_NAME}: image {sample.id} of the {split} split has {came[k]} {names[k]}; "
                    f"expected {wanted[k]}, as {first.id} of the train split has"
                )
            if sample.image.is_floating_point() and not bool(sample.image.isfinite().all()):
                raise InputError(
                    f"{_NAME}: image {sample.id} of the {split} split has a value that is not finite"
                )
    if not any(bool(((s.label > 0) & (s.label != IGNORE)).any()) for s in source.samples["train"]):
        raise InputError(f"{_NAME}: no training label has any foreground; expected some in at least one")


def _with_size(source: Source, size: int, note: Note) -> Source:
    """Return the source with all images resized, and say what that does to the labels."""
    after = {name: [resized(sample, size) for sample in samples] for name, samples in source.samples.items()}
    changed = [
        (old.label, new.label)
        for name in _SPLITS
        for old, new in zip(source.samples[name], after[name], strict=True)
        if old is not new
    ]
    if changed:
        before, small = zip(*changed, strict=True)
        note(f"--image-size {size}: {describe_change(before, small, source.classes, source.regions)}")
    return replace(source, samples=after)


def _as_bytes(sample: Sample) -> Sample:
    """Return a sample of walls as bytes; distances are measured in its own pixels, resized or not."""
    image = (sample.image.clamp(0, 1) * 255).round().to(torch.uint8)
    return replace(sample, image=image, spacing=(1.0, 1.0))


def _patch_size(settings: StudySettings, source: Source) -> tuple[int, ...] | None:
    """Return the size of the pieces to train with, None for whole images."""
    sizes = [tuple(sample.image.shape[1:]) for sample in source.samples["train"]]
    n_axes = len(sizes[0])
    if settings.patch_size:
        given = settings.patch_size
        if len(given) not in (1, n_axes):
            came = f"is {' '.join(map(str, given))} for images with {n_axes} axes"
            raise fail(_NAME, "patch_size", came, f"1 or {n_axes} numbers")
        size = given * n_axes if len(given) == 1 else given
        check_image_size(settings.network, size, "patch_size")
        return size
    if source.mortar:
        everywhere = {tuple(s.image.shape[1:]) for samples in source.samples.values() for s in samples}
        if len(everywhere) > 1:
            raise InputError(
                f"{_NAME}: there are images of the sizes {_listed(sorted(everywhere))}; expected one size, "
                "which --image-size N makes of them, or pieces of the size --patch-size N"
            )
        check_image_size(settings.network, sizes[0], "image_size")
        return None
    return default_patch_size(sizes, *side_rule(settings.network, n_axes))


def _listed(sizes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, size)) for size in sizes)
