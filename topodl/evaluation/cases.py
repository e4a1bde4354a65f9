"""A folder of images and labels that nobody prepared: its layout, its cases, and what its labels mean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from topodl._checks import check_number
from topodl.errors import InputError
from topodl.evaluation.case_files import read_case
from topodl.evaluation.case_types import IGNORE, Case, LabelScheme, Layout, Picture
from topodl.evaluation.image_files import FUNCTION
from topodl.evaluation.label_values import (
    check_colours,
    check_foreground,
    class_indices,
    count_values,
    find_scheme,
    parse_classes,
)
from topodl.evaluation.layouts import recognise

__all__ = ["IGNORE", "Case", "CaseFolder", "LabelScheme", "Picture", "read_cases"]

_LARGEST = 10**9 - 1  # of values in labels, as of those that --classes names


@dataclass(frozen=True)
class CaseFolder:
    """The cases of a folder, or of a list, with what is needed to read them.

    Attributes
    ----------
    layout : str
        One line for the user: how the folder was understood.
    cases : tuple of Case
        All cases, in the order of their ids.
    scheme : LabelScheme
        What the values in the label files mean.
    label_line : str
        One line for the user: what the values are taken for.
    channel_names : tuple of str
        Name of each channel, such as ("CT",), where the data set gives them; else one empty string a channel.
    ndim : int
        2 for pictures, 3 for volumes.
    """

    layout: str
    cases: tuple[Case, ...]
    scheme: LabelScheme
    label_line: str
    channel_names: tuple[str, ...] = ("",)
    ndim: int = 2

    def load(self, case: Case) -> Picture:
        """Return the image (C, *S) and the label (*S), or (R, *S) for regions, of a case.

        Raises
        ------
        InputError
            If a file has changed since the folder was read and does not fit any more.
        """
        image, label, spacing = read_case(case)
        if len(image) != len(self.channel_names) or label.values.ndim != self.ndim:
            raise InputError(
                f"{FUNCTION}: image {case.image[0]} has shape {image.shape}; expected "
                f"{len(self.channel_names)} channels of {self.ndim} axes, as when the folder was read"
            )
        return Picture(image, class_indices(label.values, self.scheme, case.label), spacing)


def read_cases(
    path: str | Path,
    *,
    classes: str | None = None,
    ignore_label: int | None = None,
    progress: bool = False,
) -> CaseFolder:
    """Return the cases of a folder, or of a CSV or JSON list of files, after one look at all of them.

    Parameters
    ----------
    path : str or Path
        A folder, or a list of images and masks.
    classes : str or None
        Meaning of the values in label files, as "0=background,1=artery,2=vein" or, for regions, as
        "0=background,1+2=whole,2=core"; None takes that of `dataset.json`, or finds it from the values.
    ignore_label : int or None
        The value in label files that counts nowhere.
    progress : bool
        Whether a bar shows the one pass over all files.

    Raises
    ------
    InputError
        If the folder is not understood, or anything in it does not fit; the message names the file.
    MissingDependencyError
        If a package that reads a format is not installed.
    """
    declared = None if classes is None else parse_classes(classes)
    if ignore_label is not None:
        check_number(FUNCTION, "ignore_label", ignore_label, low=-_LARGEST, high=_LARGEST, integer=True)
    layout = recognise(Path(path))
    survey = _survey(layout, progress)
    scheme, label_line = find_scheme(survey.values, declared or layout.declared, ignore_label, layout.ignore)
    training = {case.label: survey.values[case.label] for case in layout.cases if case.split in ("", "train")}
    if training:
        check_foreground(training, scheme)
    return CaseFolder(
        layout=f"{layout.line}, {'pictures' if survey.ndim == 2 else 'volumes'}",
        cases=layout.cases,
        scheme=scheme,
        label_line=label_line,
        channel_names=layout.channel_names or ("",) * survey.channels,
        ndim=survey.ndim,
    )


@dataclass(frozen=True)
class _Survey:
    """What one look at all files found: values of labels by file, and what all images have in common."""

    values: dict[Path, dict[int, int]]
    channels: int
    ndim: int


def _survey(layout: Layout, progress: bool) -> _Survey:
    values: dict[Path, dict[int, int]] = {}
    shapes: dict[Case, tuple[int, int]] = {}
    digests: dict[bytes, Case] = {}
    colours: dict[int, tuple[list[int], Path]] = {}
    for case in tqdm(layout.cases, desc="reading", unit="case", disable=not progress, leave=False):
        image, label, _ = read_case(case)
        values[case.label] = count_values(label.values)
        check_colours(label, values[case.label], case.label, colours)
        shapes[case] = len(image), label.values.ndim
        _reject_overlap(case, image, digests)
    first = layout.cases[0]
    channels, ndim = shapes[first]
    for case, (n, d) in shapes.items():
        if d != ndim:
            raise InputError(
                f"{FUNCTION}: label {case.label} has {d} axes and {first.label} {ndim}; "
                "expected pictures or volumes throughout"
            )
        if n != channels:
            raise InputError(
                f"{FUNCTION}: image {case.image[0]} has {n} channels and {first.image[0]} {channels}; "
                "expected the same number in all"
            )
    if layout.channel_names and channels != len(layout.channel_names):
        raise InputError(
            f"{FUNCTION}: image {first.image[0]} has {channels} channels; expected "
            f"{len(layout.channel_names)}, as dataset.json says"
        )
    return _Survey(values, channels, ndim)


def _reject_overlap(case: Case, image: NDArray[np.float32], seen: dict[bytes, Case]) -> None:
    """Raise an error if an image is in two splits, or may come to be; constant ones say nothing of that."""
    if image.min() == image.max():
        return
    digest = hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).digest()
    other = seen.setdefault(digest, case)
    if other.split != case.split:
        raise InputError(
            f"{FUNCTION}: image {case.image[0]} of {case.split} equals {other.image[0]} of {other.split}; "
            "expected each image in one split"
        )
    together = case is other or bool(case.group and case.group == other.group)
    if not case.split and not together:
        raise InputError(
            f"{FUNCTION}: image {case.image[0]} equals {other.image[0]}, and splits may part them; "
            "expected each image once, or both in one group"
        )
