"""Recognises how a folder of images and labels is laid out, and says it in one line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from topodl._checks import fail
from topodl.datasets._common import SPLITS, is_topomortar
from topodl.errors import InputError
from topodl.evaluation.case_lists import has_list_columns, names_files, read_list
from topodl.evaluation.case_types import Case, Layout
from topodl.evaluation.dataset_json import read_dataset_json
from topodl.evaluation.image_files import FUNCTION
from topodl.evaluation.pairing import (
    cases_of_folders,
    cases_of_one_folder,
    image_files_below,
    is_hidden,
    listed,
    subfolders,
)
from topodl.evaluation.pascal_voc import read_pascal_voc
from topodl.evaluation.splits import SPLIT_NAMES

__all__ = ["recognise"]

_IMAGE_FOLDERS = (
    "image", "images", "img", "imgs", "input", "inputs", "pictures", "scans", "volumes",
)  # fmt: skip
_LABEL_FOLDERS = (
    "1st_manual", "annotation", "annotations", "ground-truth", "ground_truth", "groundtruth", "gt", "gts",
    "label", "labels", "mask", "masks", "seg", "segmentation", "segmentations", "segs", "target", "targets",
)  # fmt: skip
_FIRST_READER = "1st_manual"  # where it is, a folder "mask" has the field of view
_JOINED = re.compile(r"ground[_-]?truth", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def recognise(path: Path) -> Layout:
    """Return the cases that a folder or a list names.

    Raises
    ------
    InputError
        If the path is missing, no layout fits, or what it names is incomplete.
    """
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:  # a name that is too long, or a folder that may not be entered
        raise fail(
            FUNCTION, "data", f"cannot be looked at ({error.strerror})", "a folder, or a list"
        ) from error
    if is_file:
        return read_dataset_json(path) if path.name == "dataset.json" else read_list(path)
    if not is_folder:
        raise fail(
            FUNCTION, "data", f"is {str(path)!r}, which is not there", "a folder, or a CSV or JSON list"
        )
    if is_topomortar(path):
        raise fail(
            FUNCTION,
            "data",
            f"is {str(path)!r}, TopoMortar's layout",
            "topodl.datasets.TopoMortar to read it",
        )
    if (path / "dataset.json").is_file():
        return read_dataset_json(path / "dataset.json")
    tables = [file for file in sorted(path.glob("*.csv")) if file.is_file() and not is_hidden(file)]
    possible = [file for file in tables if has_list_columns(file)]
    lists = [file for file in possible if names_files(file)]
    if len(lists) > 1:
        raise InputError(
            f"{FUNCTION}: {path} has the lists {listed(lists)}; expected one, or the path of one"
        )
    return read_list(lists[0]) if lists else _folders(path, possible)


def _folders(path: Path, lists: Sequence[Path]) -> Layout:
    """Return the cases of folders; `lists` are tables of something else unless nothing else is found."""
    voc = read_pascal_voc(path)
    if voc is not None:
        return voc
    for find in (_named_folders, _split_folders, _folders_of_splits, _two_folders, _one_folder):
        found = find(path)
        if found:
            line, cases = found
            return Layout(line, _with_unique_ids(cases))
    if lists:
        return read_list(lists[0])
    inner = [entry for entry in path.iterdir() if not is_hidden(entry)]
    if len(inner) == 1 and inner[0].is_dir():  # as archives unpack
        return recognise(inner[0])
    if not image_files_below(path):
        raise InputError(f"{FUNCTION}: {path} has no images; expected images and their labels")
    raise InputError(
        f"{FUNCTION}: {path} is not understood; expected images/ beside masks/, the same below train/ and "
        "test/, masks beside images under a name that ends in _mask, dataset.json, or a CSV list"
    )


def _image_folder(path: Path) -> Path | None:
    return _only([inner for name, inner in subfolders(path).items() if name in _IMAGE_FOLDERS], "images")


def _label_folder(path: Path) -> Path | None:
    found = {name: inner for name, inner in subfolders(path).items() if name in _LABEL_FOLDERS}
    return found.get(_FIRST_READER) or _only([*found.values()], "labels")


def _only(folders: list[Path], what: str) -> Path | None:
    if len(folders) > 1:
        raise InputError(
            f"{FUNCTION}: {listed(folders)} may all have the {what}; expected one such folder, or a CSV list"
        )
    return folders[0] if folders else None


def _splits_in(path: Path) -> dict[str, Path]:
    """Return the folders of training, validation and test in a folder."""
    found = [(SPLIT_NAMES[name], inner) for name, inner in subfolders(path).items() if name in SPLIT_NAMES]
    twice = [split for split, n in Counter(split for split, _ in found).items() if n > 1]
    if twice:
        same = [inner for split, inner in found if split == twice[0]]
        raise InputError(f"{FUNCTION}: {listed(same)} are all {twice[0]} folders; expected one of each kind")
    return dict(found)


def _named_folders(path: Path) -> tuple[str, list[Case]] | None:
    """Understand names that say split and content: train beside train_masks, imagesTr beside labelsTr."""
    found: dict[tuple[str, str], list[Path]] = {}
    for inner in subfolders(path).values():
        found.setdefault(_split_and_content(inner.name), []).append(inner)
    if ("train", "labels") not in found:
        return None
    images = {
        split: _only(found.get((split, "images"), found.get((split, ""), [])), f"images of {split}")
        for split in SPLITS
    }
    labels = {split: _only(found.get((split, "labels"), []), f"labels of {split}") for split in SPLITS}
    for split, folder in labels.items():
        if folder and not images[split]:
            raise InputError(
                f"{FUNCTION}: {folder} has no images beside it; expected a folder of {split} images"
            )

    def pairs(folder: Path, split: str) -> list[Case]:
        of_split = labels[split]
        return cases_of_folders(folder, of_split, split) if of_split else []

    splits = {split: folder for split, folder in images.items() if folder}
    what = f"{splits['train'].name}/ beside {found['train', 'labels'][0].name}/"
    return _of_splits(path, splits, pairs, what)


def _split_and_content(name: str) -> tuple[str, str]:
    """Return split, and "images" or "labels" or "", that a folder's name says; "" twice where it does not."""
    if name.lower() in SPLIT_NAMES:
        return SPLIT_NAMES[name.lower()], ""
    words = [word.lower() for word in _WORD.findall(_JOINED.sub("groundtruth", name))]
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    is_image = any(word in (*_IMAGE_FOLDERS, "data") for word in words)
    is_label = any(word in _LABEL_FOLDERS for word in words)
    if len(splits) != 1 or is_image == is_label:
        return "", ""
    return splits.pop(), "images" if is_image else "labels"


def _split_folders(path: Path) -> tuple[str, list[Case]] | None:
    """Understand train/images, train/masks, test/images and so on.

    Labels lie in folders of one name: where training has "1st_manual", "mask" is something else.
    """
    splits = _splits_in(path)
    if "train" not in splits:
        return None
    if _image_folder(path) and _label_folder(path):
        raise InputError(
            f"{FUNCTION}: {path} has images, labels and {splits['train']}; expected splits or none"
        )
    labels_of_training = _label_folder(splits["train"])

    def pairs(folder: Path, split: str) -> list[Case]:
        images = _image_folder(folder)
        if labels_of_training is None:
            return [] if images else cases_of_one_folder(folder, split)
        labels = subfolders(folder).get(labels_of_training.name.lower())
        if labels and not images:
            raise InputError(f"{FUNCTION}: {folder} has {labels.name}, no images; expected both")
        return cases_of_folders(images, labels, split) if images and labels else []

    what = "labels beside images"
    if labels_of_training:
        images = _image_folder(splits["train"])
        what = f"{images.name if images else 'images'}/ beside {labels_of_training.name}/ in each split"
        if labels_of_training.name.lower() == _FIRST_READER and "mask" in subfolders(splits["train"]):
            what += ", mask/ for the field of view and not read"
    return _of_splits(path, splits, pairs, what)


def _folders_of_splits(path: Path) -> tuple[str, list[Case]] | None:
    """Understand images/train, masks/train, images/test and so on."""
    images, labels = _image_folder(path), _label_folder(path)
    if not images or not labels or "train" not in _splits_in(images):
        return None
    below = _splits_in(labels)
    alone = [below[split] for split in below if split not in _splits_in(images)]
    if alone:
        raise InputError(f"{FUNCTION}: {listed(alone)} has no images; expected such a folder in {images}")

    def pairs(folder: Path, split: str) -> list[Case]:
        return cases_of_folders(folder, below[split], split) if split in below else []

    return _of_splits(path, _splits_in(images), pairs, f"{images.name} beside {labels.name}, split inside")


def _of_splits(
    path: Path, splits: dict[str, Path], pairs: Callable[[Path, str], list[Case]], what: str
) -> tuple[str, list[Case]]:
    cases = {split: pairs(splits[split], split) for split in SPLITS if split in splits}
    for split, folder in splits.items():
        if not cases[split] and split != "test":
            raise InputError(f"{FUNCTION}: {folder} has no images with labels; expected some in it")
    without = "" if cases.get("test", [1]) else f"; {splits['test'].name}/ has no labels and is left out"
    counts = ", ".join(f"{len(found)} {split}" for split, found in cases.items() if found)
    return f"{path.resolve().name}/: {what} ({counts}{without})", [
        case for found in cases.values() for case in found
    ]


def _two_folders(path: Path) -> tuple[str, list[Case]] | None:
    images, labels = _image_folder(path), _label_folder(path)
    if images is None or labels is None:
        return None
    cases = cases_of_folders(images, labels)
    line = f"{path.resolve().name}/: {images.name}/ beside {labels.name}/ ({_count(cases)}, no splits)"
    return (line, cases) if cases else None


def _one_folder(path: Path) -> tuple[str, list[Case]] | None:
    cases = cases_of_one_folder(path)
    return (
        (f"{path.resolve().name}/: labels beside images ({_count(cases)}, no splits)", cases)
        if cases
        else None
    )


def _count(cases: Sequence[Case]) -> str:
    return f"{len(cases)} case{'s' if len(cases) != 1 else ''}"


def _with_unique_ids(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Return cases by their ids, which name the split where two splits use the same one."""
    cases = list(cases)
    if len({case.id for case in cases}) < len(cases):
        cases = [replace(case, id=f"{case.split}-{case.id}") for case in cases]
    return tuple(sorted(cases, key=lambda case: case.id))
