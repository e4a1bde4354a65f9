"""`dataset.json` of nnU-Net (raw data) and of the Medical Segmentation Decathlon."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topodl.errors import InputError
from topodl.evaluation.case_lists import read_json
from topodl.evaluation.case_types import Case, DeclaredLabels, Layout
from topodl.evaluation.image_files import FUNCTION, SUFFIXES, stem_of, suffix_of
from topodl.evaluation.pairing import is_hidden, listed

__all__ = ["read_dataset_json"]

_CHANNEL = re.compile(r"_(\d{4})$")
_SOURCE = "dataset.json"
_LARGEST = 10**9 - 1  # of values in labels


def read_dataset_json(path: Path) -> Layout:
    """Return the cases that a `dataset.json` and the folders beside it name.

    Raises
    ------
    InputError
        If an entry is missing or of a wrong kind, or a file that it names is not there.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise _broken(path, "is no object", '"labels" and "channel_names" or "training"')
    if "channel_names" in content:
        return _nnunet(path, content)
    if "training" in content:
        return _decathlon(path, content)
    raise _broken(path, f"has {listed(sorted(content)) or 'nothing'}", '"channel_names" or "training"')


def _broken(path: Path, came: str, expected: str) -> InputError:
    return InputError(f"{FUNCTION}: {path} {came}; expected {expected}")


def _entry(path: Path, content: Mapping[str, Any], name: str, kind: type, what: str) -> Any:
    value = content.get(name)
    if not isinstance(value, kind):
        raise _broken(path, f"has {name!r} = {json.dumps(value)[:60]}", what)
    return value


def _nnunet(path: Path, content: Mapping[str, Any]) -> Layout:
    channels = _channel_names(path, content, "channel_names")
    ending = _entry(path, content, "file_ending", str, 'a "file_ending" such as ".nii.gz"')
    if ending.lower() not in SUFFIXES:
        raise _broken(path, f"has the file ending {ending!r}", f"one of {', '.join(SUFFIXES)}")
    cases = _nnunet_cases(path.parent, "Tr", ending, len(channels))
    n_training = content.get("numTraining", len(cases))
    if n_training != len(cases):
        raise _broken(path, f"has numTraining = {n_training}, and labelsTr {len(cases)} labels", "the same")
    left_out = ""
    if (path.parent / "labelsTs").is_dir():
        tests = _nnunet_cases(path.parent, "Ts", ending, len(channels))
        cases = [
            *(Case(case.id, case.image, case.label, "train") for case in cases),
            *(Case(case.id, case.image, case.label, "test") for case in tests),
        ]
        left_out = f", {len(tests)} of them for the test"
    elif (path.parent / "imagesTs").is_dir():
        left_out = "; imagesTs has no labels and is left out"
    twice = sorted(
        {case.id for case in cases if case.split == "train"} & {c.id for c in cases if c.split == "test"}
    )
    if twice:
        raise _broken(path.parent, f"has {listed(twice)} in training and test", "each case in one")
    what = f"{len(cases)} cases of {', '.join(channels)}{left_out}"
    line = f"{path.resolve().parent.name}/: raw data of nnU-Net ({what})"
    return Layout(
        line, tuple(sorted(cases, key=lambda case: case.id)), _nnunet_labels(path, content), channels
    )


def _channel_names(path: Path, content: Mapping[str, Any], key: str) -> tuple[str, ...]:
    named = _entry(path, content, key, dict, f'"{key}" as {{"0": "CT"}}')
    if sorted(named, key=str) != sorted(map(str, range(len(named)))) or not named:
        raise _broken(path, f"has {key!r} = {json.dumps(named)[:60]}", 'the keys "0", "1", …')
    return tuple(str(named[str(i)]) for i in range(len(named)))


def _nnunet_cases(root: Path, kind: str, ending: str, n_channels: int) -> list[Case]:
    images, labels = root / f"images{kind}", root / f"labels{kind}"
    files: dict[str, dict[int, Path]] = {}
    for file in _files(images, ending):
        match = _CHANNEL.search(stem_of(file))
        if match is None:
            raise InputError(f"{FUNCTION}: {file} names no channel; expected an ending such as _0000{ending}")
        files.setdefault(stem_of(file)[: match.start()], {})[int(match[1])] = file
    named = {stem_of(file): file for file in _files(labels, ending)}
    for identifier in sorted(files.keys() ^ named.keys()):
        came = "no label" if identifier in files else "a label and no image"
        raise InputError(f"{FUNCTION}: case {identifier} of {images} has {came}; expected both")
    for identifier, channels in files.items():
        if sorted(channels) not in ([0], list(range(n_channels))):  # one file may have all of them, as PNG
            raise InputError(
                f"{FUNCTION}: case {identifier} of {images} has the channels {sorted(channels)}; "
                f"expected 0 to {n_channels - 1}"
            )
    return [
        Case(identifier, tuple(channels[i] for i in sorted(channels)), named[identifier], "")
        for identifier, channels in files.items()
    ]


def _files(folder: Path, ending: str) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{FUNCTION}: {folder} is not there; expected it beside {_SOURCE}")
    files = [file for file in sorted(folder.iterdir()) if not is_hidden(file) and suffix_of(file)]
    wrong = [file for file in files if suffix_of(file) != ending.lower()]
    if wrong or not files:
        came = f"has {listed(wrong)}" if wrong else "has no images"
        raise InputError(
            f"{FUNCTION}: {folder} {came}; expected files that end in {ending}, as {_SOURCE} says"
        )
    return files


def _nnunet_labels(path: Path, content: Mapping[str, Any]) -> DeclaredLabels:
    named = dict(_entry(path, content, "labels", dict, '"labels" as {"background": 0, "tumour": 1}'))
    ignore = _value(path, named.pop("ignore")) if "ignore" in named else None
    regions = {name: _values(path, value) for name, value in named.items()}
    background = regions.pop("background", ())
    if background != (0,) or not regions:
        raise _broken(path, f"has the labels {json.dumps(named)[:60]}", '"background": 0 and others')
    if any(isinstance(value, list) for value in named.values()):
        return DeclaredLabels({0: "background"}, _SOURCE, ignore, regions)
    names = {0: "background", **{values[0]: name for name, values in regions.items()}}
    if len(names) <= len(regions):
        raise _broken(path, f"has the labels {json.dumps(named)[:60]}", "another value for each")
    return DeclaredLabels(names, _SOURCE, ignore)


def _values(path: Path, value: Any) -> tuple[int, ...]:
    several = value if isinstance(value, list) and value else [value]
    return tuple(_value(path, each) for each in several)


def _value(path: Path, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
        raise _broken(path, f"has the label value {json.dumps(value)[:60]}", "an integer, or a list of some")
    return value


def _decathlon(path: Path, content: Mapping[str, Any]) -> Layout:
    labels = _entry(path, content, "labels", dict, '"labels" as {"0": "background", "1": "tumour"}')
    if not all(
        re.fullmatch(r"\d{1,9}", str(value)) and isinstance(name, str) for value, name in labels.items()
    ):
        raise _broken(path, f"has the labels {json.dumps(labels)[:60]}", '{"0": "background", "1": "tumour"}')
    names = {int(value): name for value, name in sorted(labels.items(), key=lambda item: int(item[0]))}
    if 0 not in names or len(names) < 2 or len(set(names.values())) < len(names):
        raise _broken(path, f"has the labels {json.dumps(labels)[:60]}", "0 for the background and others")
    channels = _channel_names(path, content, "modality")
    listed_cases = _entry(path, content, "training", list, 'a list "training" of image and label')
    cases = tuple(sorted((_listed(path, each, len(channels)) for each in listed_cases), key=lambda c: c.id))
    if not cases or len({case.id for case in cases}) < len(cases):
        came = "lists a training case twice" if cases else "lists no training cases"
        raise _broken(path, came, "each once")
    left_out = "; test images have no labels and are left out" if content.get("test") else ""
    what = f"{len(cases)} cases of {', '.join(channels)}{left_out}"
    line = f"{path.resolve().parent.name}/: as the Medical Segmentation Decathlon ({what})"
    return Layout(line, cases, DeclaredLabels(names, _SOURCE), channels)


def _listed(path: Path, entry: Any, n_channels: int) -> Case:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
        raise _broken(path, f"lists {json.dumps(entry)[:60]}", 'an object with "image" and "label"')
    image, label = path.parent / entry["image"], path.parent / entry["label"]
    images = (image,)
    if not image.is_file():  # nnU-Net's first version wrote names without the channel's number
        by_channel = (f"{stem_of(image)}_{i:04d}{suffix_of(image)}" for i in range(n_channels))
        images = tuple(image.with_name(name) for name in by_channel)
    for file in (*images, label):
        if not file.is_file():
            missing = image if file in images else label
            raise _broken(path, f"names {missing}, which is not there", "files that are")
    return Case(stem_of(image), images, label, "")
