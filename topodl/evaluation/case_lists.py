"""Lists of cases: CSV with a header, or JSON, with image, label, and perhaps split, group and id."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from topodl._files import read_text
from topodl.datasets._common import SPLITS
from topodl.errors import InputError
from topodl.evaluation.case_types import Case, Layout
from topodl.evaluation.image_files import FUNCTION, stem_of
from topodl.evaluation.splits import SPLIT_NAMES

__all__ = ["has_list_columns", "names_files", "read_json", "read_list"]

_COLUMNS = {
    "image": ("image", "images", "image_path", "img", "picture", "scan"),
    "label": ("mask", "label", "annotation", "gt", "label_path", "mask_path", "masks", "seg", "segmentation"),
    "split": ("split", "set", "subset"),
    "group": ("group", "domain", "patient", "subject"),
    "id": ("id", "case", "case_id"),
}
_NEEDED = ("image", "label")
_SEPARATORS = ",;\t"


def has_list_columns(path: Path) -> bool:
    """Say whether a CSV file has the columns of a list of cases; what they hold may be something else."""
    try:
        columns = _known(_header(path)[0])
    except (InputError, csv.Error):  # a table of something else, in another encoding
        return False
    return all(name in columns for name in _NEEDED)


def names_files(path: Path) -> bool:
    """Say whether a CSV file with the columns of a list names an image and a label that are there."""
    rows = (row for _, row in _csv_rows(path))
    return any(all(_is_file(path.parent, row[name]) for name in _NEEDED) for row in rows)


def read_list(path: Path) -> Layout:
    """Return the cases of a CSV or JSON list; paths are relative to the folder of the list.

    Raises
    ------
    InputError
        If columns or files are missing, a split has an unknown name, or an image is listed twice.
    """
    if path.suffix.lower() == ".json":
        rows = _json_rows(path)
    elif path.suffix.lower() in (".csv", ".tsv"):
        rows = _csv_rows(path)
    else:
        raise InputError(
            f"{FUNCTION}: {path} is no list; expected a folder, or a list that ends in .csv or .json"
        )
    cases = [_case(path, row, place) for place, row in rows]
    _check(path, cases)
    counts = Counter(case.split for case in cases)
    what = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split]) or "no splits"
    line = f"{path.name}: a list of {len(cases)} cases ({what})"
    return Layout(line, tuple(sorted(_with_ids(cases), key=lambda case: case.id)))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises
    ------
    InputError
        If it cannot be read, or is no JSON.
    """
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{FUNCTION}: {path} is no JSON ({error}); expected a whole JSON file") from error


def _text(path: Path) -> str:
    try:
        return read_text(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{FUNCTION}: {path} cannot be read ({error}); expected text in UTF-8") from error


def _known(names: Iterable[str]) -> dict[str, str]:
    """Return which of a list's own names stands for what."""
    own = {name.strip().lower(): name for name in names if isinstance(name, str)}
    found = {
        what: next((own[alias] for alias in aliases if alias in own), "")
        for what, aliases in _COLUMNS.items()
    }
    return {what: name for what, name in found.items() if name}


def _header(path: Path) -> tuple[list[str], str]:
    """Return the names in the first line of a CSV file, and what separates them."""
    first = _text(path).partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    return next(csv.reader([first], delimiter=separator), []), separator


def _csv_rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    names, separator = _header(path)
    columns = _required(path, _known(names), f"the columns {', '.join(names)}")
    reader = csv.DictReader(_text(path).splitlines(), delimiter=separator)
    try:
        rows = [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{FUNCTION}: {path} is no CSV ({error}); expected a header and rows") from error
    return [(place, {what: row[name] for what, name in columns.items()}) for place, row in rows]


def _json_rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    content = read_json(path)
    if isinstance(content, dict):
        lists = {name: value for name, value in content.items() if name.lower() in SPLIT_NAMES}
        wrong = next((name for name, value in lists.items() if not isinstance(value, list)), None)
        if wrong is not None:
            raise InputError(f"{FUNCTION}: {path} has no list under {wrong!r}; expected one of cases")
        entries = [(SPLIT_NAMES[name.lower()], each) for name, value in lists.items() for each in value]
    elif isinstance(content, list):
        entries = [("", each) for each in content]
    else:
        entries = []
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for i, (split, entry) in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{FUNCTION}: {path} has {str(entry)[:60]!r} at entry {i}; expected an object")
        columns = _required(path, _known(entry), f"the names {', '.join(entry)} at entry {i}")
        row = {what: entry[name] for what, name in columns.items()}
        rows.append((f"entry {i}", {**row, "split": split} if split else row))
    return rows


def _required(path: Path, columns: dict[str, str], came: str) -> dict[str, str]:
    if not all(name in columns for name in _NEEDED):
        raise InputError(
            f"{FUNCTION}: {path} has {came}; expected 'image' and 'mask', and perhaps 'split', 'group', 'id'"
        )
    return columns


def _case(path: Path, row: Mapping[str, Any], place: str) -> Case:
    images = row["image"] if isinstance(row["image"], list) and row["image"] else [row["image"]]
    files = [_file(path, name, place) for name in [*images, row["label"]]]
    split, group, identifier = (str(row.get(name) or "").strip() for name in ("split", "group", "id"))
    if split and split.lower() not in SPLIT_NAMES:
        raise InputError(
            f"{FUNCTION}: {path} has the split {split!r} at {place}; expected train, val or test"
        )
    return Case(identifier, tuple(files[:-1]), files[-1], SPLIT_NAMES.get(split.lower(), ""), group)


def _is_file(folder: Path, name: Any) -> bool:
    try:
        return isinstance(name, str) and bool(name.strip()) and _place(folder, name).is_file()
    except OSError:  # longer than names may be
        return False


def _place(folder: Path, name: str) -> Path:
    """Return where a list says that a file is, as it is written or with the backslashes of Windows."""
    path = folder / name.strip()
    return path if "\\" not in name or path.is_file() else folder / name.strip().replace("\\", "/")


def _file(path: Path, name: Any, place: str) -> Path:
    if not isinstance(name, str) or not name.strip():
        raise InputError(
            f"{FUNCTION}: {path} has {name!r} for a file at {place}; expected an image and a mask"
        )
    file = _place(path.parent, name)
    if not _is_file(path.parent, name):
        raise InputError(f"{FUNCTION}: {path} names {file} at {place}, which is not there; expected a file")
    return file


def _check(path: Path, cases: list[Case]) -> None:
    if not cases:
        raise InputError(f"{FUNCTION}: {path} lists no cases; expected at least one")
    if len({case.split == "" for case in cases}) > 1:
        raise InputError(f"{FUNCTION}: {path} gives some cases a split and others none; expected all or none")
    seen: dict[tuple[Path, ...], str] = {}
    for case in cases:
        key = tuple(file.resolve() for file in case.image)
        if key in seen:
            where = f" in {seen[key]} and {case.split}" if seen[key] != case.split else ""
            raise InputError(f"{FUNCTION}: {path} lists {case.image[0]} twice{where}; expected it once")
        seen[key] = case.split
        if case.label.resolve() in key:
            raise InputError(
                f"{FUNCTION}: {path} has {case.label} as an image and as its label; expected two files"
            )


def _with_ids(cases: list[Case]) -> list[Case]:
    """Return cases with the ids that they have, or else with the stems or the paths of their images."""
    ids = [case.id for case in cases]
    if not all(ids):
        ids = [stem_of(case.image[0]) for case in cases]
    if len(set(ids)) < len(ids):
        common = os.path.commonpath([case.image[0].parent for case in cases])
        ids = [
            case.image[0].relative_to(common).with_name(stem_of(case.image[0])).as_posix() for case in cases
        ]
    return [replace(case, id=re.sub(r'[\\/:*?"<>|\s]+', "-", i)) for case, i in zip(cases, ids, strict=True)]
