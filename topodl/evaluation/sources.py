"""Where the images of a study come from: drawn walls, TopoMortar, any folder, or objects of the caller."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.data import Dataset

from topodl._checks import fail
from topodl.datasets import SyntheticMortar, TopoMortar
from topodl.datasets._common import GROUPS, Item, is_topomortar
from topodl.errors import InputError
from topodl.evaluation.case_types import IGNORE, Case, Picture
from topodl.evaluation.cases import read_cases
from topodl.evaluation.data import Images, Sample, StudyData
from topodl.evaluation.given_data import GivenSplits
from topodl.evaluation.image_store import ImageStore
from topodl.evaluation.intensities import Intensities, fit_intensities
from topodl.evaluation.networks import check_image_size, side_rule
from topodl.evaluation.patches import default_patch_size
from topodl.evaluation.resizing import describe_change, resized
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.splits import assign_splits

__all__ = ["load_data"]

Note = Callable[[str], None]
_NAME = "topodl evaluate"
_SPLITS = ("train", "val", "test")
_DRAWN_TRAINING = {"large": 32, "small": 10}
_DRAWN_SIZE = {"quick": 128, "topomortar": 512, "tuned": 128}
_DRAWN_VALIDATION = 6
_DRAWN_SEED = 2025
_SPLIT_SEED = 0  # where a folder has no splits: every training of every study of it has the same ones
_IN_DISTRIBUTION = GROUPS[0]


@dataclass(frozen=True, eq=False)
class Source:
    """All samples as they were read, the split of each in every fold, and what they mean.

    `mortar` says that they are drawn walls or TopoMortar: images of one size that are trained with whole and
    scaled one by one, as in the published study.
    """

    samples: tuple[Sample, ...]
    splits: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    channel_names: tuple[str, ...]
    line: str
    regions: bool = False
    mortar: bool = False

    def split(self, fold: int, name: str) -> list[Sample]:
        """Return the samples of a split."""
        return [s for s, split in zip(self.samples, self.splits[fold], strict=True) if split == name]


def load_data(settings: StudySettings, note: Note, given: GivenSplits | None = None) -> tuple[StudyData, ...]:
    """Read all images of a study, for each fold; what is missing but not needed is told to `note`.

    Raises
    ------
    InputError
        If a file is missing or unreadable, or images do not fit together or to the network.
    """
    if given is not None or settings.data is None or is_topomortar(settings.data):
        _refuse_options_of_folders(settings)
    source = _read(settings, note, given)
    _check_samples(source, settings)
    if settings.image_size:
        source = _with_size(source, settings.image_size, note)
    if source.mortar:
        source = replace(source, samples=tuple(map(_as_bytes, source.samples)))
    return tuple(_of_fold(source, fold, settings) for fold in range(len(source.splits)))


def _refuse_options_of_folders(settings: StudySettings) -> None:
    """Raise for what only a folder leaves open, where data says itself how it is split and labelled."""
    if settings.folds:
        raise fail(_NAME, "folds", f"is {settings.folds} for data with its own splits", "0")
    for name in ("classes", "ignore_label"):
        value = getattr(settings, name)
        if value is not None:
            raise fail(_NAME, name, f"is {value!r} for data that names its classes itself", "None")


def _of_fold(source: Source, fold: int, settings: StudySettings) -> StudyData:
    train, val, test = (source.split(fold, name) for name in _SPLITS)
    if settings.measured_split == "val":
        test = _measurable(val)
    if not source.mortar:
        trained = {sample.group for sample in train} | {""}
        test = [replace(s, group=_IN_DISTRIBUTION) if s.group in trained else s for s in test]
    images, labels = [s.image for s in train], [s.label for s in train]
    return StudyData(
        Images.of(train),
        Images.of(val),
        Images.of(test),
        classes=source.classes,
        intensities=Intensities() if source.mortar else fit_intensities(images, labels, source.channel_names),
        regions=source.regions,
        has_ignored=any(bool((sample.label == IGNORE).any()) for sample in source.samples),
        patch_size=_patch_size(settings, train, source),
        source=source.line,
        convention="topomortar" if source.mortar else "standard",
    )


def _measurable(val: list[Sample]) -> list[Sample]:
    if not val:
        raise fail(_NAME, "data", "has no validation images", "some, to choose settings by")
    return val


def _read(settings: StudySettings, note: Note, given: GivenSplits | None) -> Source:
    if given is not None:
        samples = given.samples
        names = ("",) * len(samples["train"][0].image)
        return _source_of(samples, given.classes, names, "images from Python", regions=given.regions)
    if settings.data is None or is_topomortar(settings.data):
        samples = {name: _mortar(settings, name, note) for name in _SPLITS}
        line = "drawn walls" if settings.data is None else "TopoMortar's layout"
        channels = ("red", "green", "blue")
        return _source_of(samples, ("background", "mortar"), channels, line, mortar=True)
    return _folder(settings, note)


def _source_of(
    samples: Mapping[str, Sequence[Sample]],
    classes: tuple[str, ...],
    channel_names: tuple[str, ...],
    line: str,
    *,
    regions: bool = False,
    mortar: bool = False,
) -> Source:
    """Return the source of samples that have their splits."""
    everything = tuple(sample for name in _SPLITS for sample in samples[name])
    splits = tuple(name for name in _SPLITS for _ in samples[name])
    return Source(everything, (splits,), classes, channel_names, line, regions, mortar)


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
    """Return the cases of a folder, each with its split in every fold."""
    path = settings.data or ""
    if settings.labels != "accurate" or settings.training_set != "large":
        argument = "labels" if settings.labels != "accurate" else "training_set"
        came = f"is {getattr(settings, argument)!r} for {path}, which is not TopoMortar"
        raise fail(_NAME, argument, came, "no such option")
    folder = read_cases(
        path, classes=settings.classes, ignore_label=settings.ignore_label, progress=sys.stderr.isatty()
    )
    note(folder.layout)
    note(folder.label_line)
    folds = (
        [
            assign_splits(folder.cases, seed=_SPLIT_SEED, folds=settings.folds, fold=k)
            for k in range(settings.folds)
        ]
        if settings.folds
        else [assign_splits(folder.cases, seed=_SPLIT_SEED)]
    )
    split_of = [{case.id: case.split for case in cases} for cases in folds]
    given = {case.split for case in folder.cases}
    missing = [split for split in _SPLITS if split not in given]
    if missing:
        counts = Counter(split_of[0].values())
        each = "no splits given," if given == {""} else f"no {' and '.join(missing)} split given, so"
        each = f"{settings.folds} folds, in the first of them" if settings.folds else each
        n = counts["train"]
        cases = f"{n} case{'s' * (n != 1)}"
        note(f"{each} {cases} to train, {counts['val']} to validate, {counts['test']} to test")
    regions, store = folder.scheme.regions is not None, ImageStore(settings.image_memory)
    return Source(
        tuple(_sample(case, folder.load(case), regions, store) for case in folder.cases),
        tuple(tuple(of[case.id] for case in folder.cases) for of in split_of),
        folder.scheme.classes,
        folder.channel_names,
        folder.layout,
        regions,
    )


def _sample(case: Case, picture: Picture, regions: bool, store: ImageStore) -> Sample:
    label = torch.from_numpy(picture.label)
    return Sample(
        store.keep(torch.from_numpy(picture.image)),
        store.keep(label if regions else label[None]),
        case.id,
        case.group,
        picture.spacing,
    )


def _check_samples(source: Source, settings: StudySettings) -> None:
    """Raise for a split without images, for images that do not fit together, and for values that are none."""
    for name in ("train", "test"):
        if not source.split(0, name):
            raise InputError(f"{_NAME}: the {name} split has no image; expected at least one")
    for name in _SPLITS:
        twice = [i for i, n in Counter(sample.id for sample in source.split(0, name)).items() if n > 1]
        if twice:
            raise InputError(
                f"{_NAME}: the {name} split has two images {twice[0]}; expected a name of its own for each"
            )
    first = source.split(0, "train")[0]
    wanted = _kind(first)
    for sample, split in zip(source.samples, source.splits[0], strict=True):
        here = f"image {sample.id} of the {split} split"
        for came, expected, name in zip(
            _kind(sample), wanted, ("channels", "axes", "channels of its label"), strict=True
        ):
            if came != expected:
                raise InputError(f"{_NAME}: {here} has {came} {name}; expected {expected}, as {first.id} has")
        if sample.image.is_floating_point() and not bool(sample.image.isfinite().all()):
            raise InputError(f"{_NAME}: {here} has a value that is not finite; expected numbers")
    for fold in range(len(source.splits)):
        if not any(bool(((s.label > 0) & (s.label != IGNORE)).any()) for s in source.split(fold, "train")):
            raise InputError(f"{_NAME}: no training label has any foreground; expected some in at least one")
    if settings.framework == "randhue" and wanted[0] != 3:
        came_as = f"is 'randhue' for images with {wanted[0]} channels"
        raise fail(_NAME, "framework", came_as, "images with 3, red, green and blue")


def _kind(sample: Sample) -> tuple[int, int, int]:
    """Return the numbers of channels and of axes of an image, and of channels of its label."""
    return len(sample.image), sample.image.ndim - 1, len(sample.label)


def _with_size(source: Source, size: int, note: Note) -> Source:
    """Return the source with all images resized, and say what that does to the labels."""
    after = tuple(resized(sample, size) for sample in source.samples)
    pairs = [(o.label, n.label) for o, n in zip(source.samples, after, strict=True) if o is not n]
    if pairs:
        before, small = zip(*pairs, strict=True)
        note(f"--image-size {size}: {describe_change(before, small, source.classes, source.regions)}")
    return replace(source, samples=after)


def _as_bytes(sample: Sample) -> Sample:
    """Return a sample of walls as bytes; distances are measured in its own pixels, resized or not."""
    image = (sample.image.clamp(0, 1) * 255).round().to(torch.uint8)
    return replace(sample, image=image, spacing=(1.0, 1.0))


def _patch_size(settings: StudySettings, train: list[Sample], source: Source) -> tuple[int, ...] | None:
    """Return the size of the pieces to train with, None for whole images."""
    sizes = [tuple(sample.image.shape[1:]) for sample in train]
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
        everywhere = {tuple(sample.image.shape[1:]) for sample in source.samples}
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
