"""Which label belongs to which image: files of two folders, or of one, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from topodl.errors import InputError
from topodl.evaluation.case_types import Case
from topodl.evaluation.image_files import FUNCTION, stem_of, suffix_of

__all__ = [
    "cases_of_folders",
    "cases_of_one_folder",
    "image_files_below",
    "is_hidden",
    "listed",
    "subfolders",
]

_SIDE_FILES = (".csv", ".db", ".html", ".ini", ".json", ".md", ".pdf", ".txt", ".xml", ".yaml", ".yml")
_LABEL_WORDS = (
    "annotation|ground[_-]?truth|gt|labels?|lbl|manual1?|1st_?manual|1stho|masks?|seg|segmentation|target"
    "|vessels?"
)
_IMAGE_WORDS = "image|images|img|im|input|picture|scan|volume|test|testing|train|training|val|validation"
_LABEL_AFFIX = re.compile(rf"(?:[_\-. ](?:{_LABEL_WORDS}))+$|^(?:{_LABEL_WORDS})[_\-. ]", re.IGNORECASE)
_IMAGE_AFFIX = re.compile(rf"[_\-. ](?:{_IMAGE_WORDS}|0000)$|^(?:{_IMAGE_WORDS})[_\-. ]", re.IGNORECASE)
# By another reader than the first, or a cut of the image into pieces: neither image nor label.
_LEFT_OUT = re.compile(r"[_\-. ](?:2nd_?ho|manual2|2nd_?manual|superpixels)$", re.IGNORECASE)
_SHOWN = 3


def is_hidden(path: Path) -> bool:
    """Say whether a file or folder is one that systems leave behind."""
    return path.name.startswith((".", "__MACOSX")) or path.name in ("Thumbs.db", "desktop.ini")


def listed(names: Sequence[object]) -> str:
    """Return the first few names, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def subfolders(path: Path) -> dict[str, Path]:
    """Return the folders in a folder by their names in lower case.

    Raises
    ------
    InputError
        If two of them differ in the case of their letters alone.
    """
    found: dict[str, Path] = {}
    for inner in sorted(path.iterdir()):
        if inner.is_dir() and not is_hidden(inner):
            other = found.setdefault(inner.name.lower(), inner)
            if other != inner:
                raise InputError(f"{FUNCTION}: {other} and {inner} have one name; expected one such folder")
    return found


def image_files_below(folder: Path) -> dict[str, Path]:
    """Return the image files below a folder by their place and stem, as "case1/slice2".

    Raises
    ------
    InputError
        If two files have one stem, or the folder has files but none of a format that is read.
    """
    files: dict[str, Path] = {}
    others = []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.is_symlink() and not path.exists():
            raise InputError(f"{FUNCTION}: {path} is a link to what is not there; expected a file")
        if not path.is_file() or any(is_hidden(folder / part) for part in map(Path, inner.parts)):
            continue
        if not suffix_of(path):
            others.append(path)
            continue
        if _LEFT_OUT.search(stem_of(path)):
            continue
        key = inner.with_name(stem_of(path)).as_posix()
        if key in files:
            raise InputError(f"{FUNCTION}: {files[key]} and {path} have one name; expected one file of each")
        files[key] = path
    unread = [path for path in others if path.suffix.lower() not in _SIDE_FILES]
    if unread and not files:
        raise InputError(
            f"{FUNCTION}: {folder} has no file of a format that is read, but {listed(unread)}; "
            "expected pictures or volumes, such as .png, .tif or .nii.gz"
        )
    return files


def cases_of_folders(images: Path, labels: Path, split: str = "") -> list[Case]:
    """Return the cases of a folder of images and one of labels; folders inside them are groups.

    Raises
    ------
    InputError
        If an image has no label, or a label no image.
    """
    return _pair(image_files_below(images), image_files_below(labels), images, labels, split)


def cases_of_one_folder(folder: Path, split: str = "") -> list[Case]:
    """Return the cases of a folder in which labels lie beside images, under the same name and a suffix.

    Empty where no file has such a suffix; raises as `cases_of_folders` does where some have.
    """
    files = image_files_below(folder)
    labels = {key: path for key, path in files.items() if _label_key(key) != key}
    images = {key: path for key, path in files.items() if key not in labels}
    if not labels or not images:
        return []
    return _pair(images, labels, folder, folder, split)


def _stripped(key: str, affix: re.Pattern[str]) -> str:
    folder, slash, stem = key.rpartition("/")
    return folder + slash + (affix.sub("", stem) or stem)


def _label_key(key: str) -> str:
    return _stripped(key, _LABEL_AFFIX)


def _image_key(key: str) -> str:
    return _stripped(key, _IMAGE_AFFIX)


def _as_it_is(key: str) -> str:
    return key


_RULES: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (_as_it_is, _as_it_is),
    (_as_it_is, _label_key),
    (_image_key, _label_key),
)


def _pair(
    images: dict[str, Path], labels: dict[str, Path], images_at: Path, labels_at: Path, split: str
) -> list[Case]:
    """Return the cases by the rule for names that leaves the fewest images and labels alone."""
    best: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for image_key, label_key in _RULES:
        by_image, by_label = _keyed(images, image_key), _keyed(labels, label_key)
        if by_image is None or by_label is None:
            continue
        if not best[0] or _matches(by_image, by_label) > _matches(*best):
            best = by_image, by_label
    by_image, by_label = best
    _reject_lonely([images[by_image[k]] for k in by_image if k not in by_label], "image", "label", labels_at)
    _reject_lonely([labels[by_label[k]] for k in by_label if k not in by_image], "label", "image", images_at)
    return [
        Case(
            id=key.replace("/", "-"),
            image=(images[by_image[key]],),
            label=labels[by_label[key]],
            split=split,
            group=key.partition("/")[0] if "/" in key else "",
        )
        for key in sorted(by_image)
    ]


def _keyed(files: dict[str, Path], rule: Callable[[str], str]) -> dict[str, str] | None:
    """Return each file's key under a rule for names, or None where the rule makes two files one."""
    keyed = {rule(key): key for key in files}
    return keyed if len(keyed) == len(files) else None


def _matches(by_image: dict[str, str], by_label: dict[str, str]) -> int:
    return len(by_image.keys() & by_label.keys())


def _reject_lonely(paths: list[Path], kind: str, other: str, place: Path) -> None:
    if paths:
        count = f"the {kind} {paths[0]} has" if len(paths) == 1 else f"{len(paths)} {kind}s have"
        which = "" if len(paths) == 1 else f" ({listed(paths)})"
        raise InputError(
            f"{FUNCTION}: {count} no {other}{which}; expected one in {place} of the same name, "
            "or with an ending such as _mask"
        )
