"""The layout of Pascal VOC: pictures, labels of classes with a palette, and lists of names for the splits."""

from __future__ import annotations

from pathlib import Path

from topodl._files import read_text
from topodl.errors import InputError
from topodl.evaluation.case_types import IGNORE, Case, Layout
from topodl.evaluation.image_files import FUNCTION
from topodl.evaluation.pairing import image_files_below, listed, subfolders
from topodl.evaluation.splits import SPLIT_NAMES

__all__ = ["read_pascal_voc"]

_IMAGES, _LABELS, _LISTS = "jpegimages", "segmentationclass", "ImageSets/Segmentation"


def read_pascal_voc(path: Path) -> Layout | None:
    """Return the cases that a folder in the layout of Pascal VOC lists, None if it is in another one.

    Without lists, each label is a case: there are more pictures than labels.

    Raises
    ------
    InputError
        If a list names a picture or a label that is not there, or two lists have the same name in them.
    """
    folders = subfolders(path)
    if _IMAGES not in folders or _LABELS not in folders:
        return None
    images, labels = image_files_below(folders[_IMAGES]), image_files_below(folders[_LABELS])
    splits, source = _listed_names(path), f"{_LISTS} lists"
    if not splits:
        splits, source = dict.fromkeys(labels, ""), f"{folders[_LABELS].name} has"
    for files, folder in ((images, folders[_IMAGES]), (labels, folders[_LABELS])):
        missing = [name for name in splits if name not in files]
        if missing:
            raise InputError(
                f"{FUNCTION}: {source} {listed(missing)}; expected files of that name in {folder}"
            )
    cases = tuple(Case(name, (images[name],), labels[name], splits[name]) for name in sorted(splits))
    given = {split: sum(case.split == split for case in cases) for split in ("train", "val", "test")}
    counts = ", ".join(f"{n} {split}" for split, n in given.items() if n) or f"{len(cases)} cases, no splits"
    line = f"{path.resolve().name}/: Pascal VOC's layout ({counts}; {IGNORE} counts nowhere)"
    return Layout(line, cases, ignore=IGNORE)


def _listed_names(path: Path) -> dict[str, str]:
    """Return the split of each name in the lists; `trainval` counts where there are no others."""
    lists = {file.stem.lower(): file for file in sorted((path / _LISTS).glob("*.txt"))}
    known = {SPLIT_NAMES[stem]: file for stem, file in lists.items() if stem in SPLIT_NAMES}
    if not known and "trainval" in lists:
        known = {"": lists["trainval"]}
    split_of: dict[str, str] = {}
    for split, file in known.items():
        try:
            names = read_text(file, "utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{FUNCTION}: {file} cannot be read ({error}); expected a list of names"
            ) from error
        for name in names:
            if name in split_of:
                raise InputError(
                    f"{FUNCTION}: {file} lists {name} again; expected each name in one list, once"
                )
            split_of[name] = split
    return split_of
