"""What a folder of images and labels consists of: cases on disk and in memory, and what label values mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORE", "Case", "DeclaredLabels", "LabelScheme", "Layout", "Picture"]

IGNORE = 255  # class index of pixels that count nowhere


@dataclass(frozen=True)
class Case:
    """One image with its label, on disk.

    Attributes
    ----------
    id : str
        Unique in the folder, and usable as the name of a file.
    image : tuple of Path
        One file with all channels, or one file a channel.
    label : Path
        The label's file.
    split : {"train", "val", "test", ""}
        Empty where the folder does not say.
    group : str
        Cases of one group stay in one split, and tables may be split by it.
    """

    id: str
    image: tuple[Path, ...]
    label: Path
    split: str
    group: str = ""


@dataclass(frozen=True)
class LabelScheme:
    """What the values in label files mean.

    Attributes
    ----------
    classes : tuple of str
        Names of the classes, the background first; with regions, their names after the background's.
    values : mapping of int to int
        Value in the files -> index of its class; with regions, of the first one that has it, 0 for none.
    ignore : int or None
        The value in the files that becomes `IGNORE`.
    regions : tuple of tuple of int, or None
        The values in the files that each region is the union of; None where classes exclude each other.
    """

    classes: tuple[str, ...]
    values: Mapping[int, int]
    ignore: int | None = None
    regions: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A case in memory.

    Attributes
    ----------
    image : ndarray of float32, shape (C, *S)
        Values as in the file, neither clipped nor scaled.
    label : ndarray of uint8, shape (*S) or (R, *S)
        Indices of classes; of regions 0 and 1. `IGNORE` counts nowhere.
    spacing : tuple of float
        Size of a pixel along each axis of S; 1.0 where the file does not say.
    """

    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class DeclaredLabels:
    """What a data set, or the user, says that the values in label files mean.

    Attributes
    ----------
    names : mapping of int to str
        Value -> name of its class, the background's first; several values may share a name.
    source : str
        Who says so, for the user.
    ignore : int or None
        The value that counts nowhere.
    regions : mapping of str to tuple of int, or None
        Name of each region -> the values that it is the union of.
    """

    names: Mapping[int, str]
    source: str
    ignore: int | None = None
    regions: Mapping[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Layout:
    """What a folder or list names, before any image is read.

    Attributes
    ----------
    line : str
        One line for the user: how the folder was understood.
    cases : tuple of Case
        Cases with a label, in the order of their ids.
    declared : DeclaredLabels or None
        The meaning of label values, where the folder says it.
    channel_names : tuple of str
        Names of the channels, where the folder says them.
    ignore : int or None
        The value that counts nowhere in labels of several classes, by the layout's convention.
    """

    line: str
    cases: tuple[Case, ...]
    declared: DeclaredLabels | None = None
    channel_names: tuple[str, ...] = ()
    ignore: int | None = None
