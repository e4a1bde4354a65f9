"""`TopoMortar`: photographs of brick walls with three kinds of labels, in their published layout."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from topodl._checks import check_choice, fail
from topodl._files import read_text, regular_file
from topodl.datasets._common import GROUP_FILE, GROUPS, LABELS, SPLIT_FILES, SPLITS, Item, Transform
from topodl.datasets._download import DATA_URL, download_topomortar
from topodl.errors import InputError, MissingDependencyError

__all__ = ["TopoMortar"]

_FOREGROUND = 255  # one test label has a few pixels of value 8, which are background
_NAME = "TopoMortar"


class TopoMortar(Dataset[Item]):
    """The TopoMortar data set: 420 pictures of brick walls with labels of their mortar.

    Parameters
    ----------
    root : str or Path
        The folder with ``train/``, ``val/``, ``test/`` and the split files.
    split : {"train", "val", "test"}
        50 (or 10), 20 and 350 pictures.
    labels : {"accurate", "noisy", "pseudo"}
        Kind of labels. The test split has accurate ones only.
    training_set : {"large", "small"}
        50 or 10 training pictures; the other splits are the same.
    group : str or None
        ``"indistr"`` or an out-of-distribution group of the test split: ``"angles"``, ``"colors"``,
        ``"graffiti"``, ``"objects"``, ``"shadows"``, ``"occlusion"``. None takes all.
    transform : callable or None
        Gets the item and returns the item to use.
    download : bool
        Fetch what `root` lacks of the data set (about 170 MB), checked file by file; where the data set is
        complete already, nothing happens.
    url : str
        Where `download` finds the archive; ``file://`` serves a copy of one's own.

    Raises
    ------
    InputError
        If an argument has an unusable value, a file cannot be read or no file of the selection is there.

    Warns
    -----
    UserWarning
        Once, if some of the files that the split names are missing: they are skipped.

    Notes
    -----
    An item is a dict of ``"image"`` (float32 (3, H, W) in [0, 1]), ``"label"`` (int64 (1, H, W), 1 for
    mortar), ``"id"`` (such as ``"071"``) and ``"group"``.

    References
    ----------
    J. M. Valverde, M. Koga, N. Otsuka, A. B. Dahl. TopoMortar: A dataset to evaluate image
    segmentation methods focused on topology accuracy. BMVC 2025.

    Examples
    --------
    >>> from topodl.datasets import TopoMortar
    >>> data = TopoMortar("topomortar", split="train", labels="noisy", download=True)  # doctest: +SKIP
    >>> data[0]["image"].shape  # doctest: +SKIP
    torch.Size([3, 512, 512])
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        labels: str = "accurate",
        training_set: str = "large",
        group: str | None = None,
        transform: Transform | None = None,
        download: bool = False,
        *,
        url: str = DATA_URL,
    ) -> None:
        check_choice(_NAME, "split", split, SPLITS)
        check_choice(_NAME, "labels", labels, LABELS)
        check_choice(_NAME, "training_set", training_set, tuple(SPLIT_FILES))
        if group is not None:
            check_choice(_NAME, "group", group, GROUPS)
        if split == "test" and labels != "accurate":
            raise fail(
                _NAME, "labels", f"is {labels!r} with split='test'", "'accurate', the only test labels"
            )
        self.root = Path(root)
        self.split, self.labels, self.training_set, self.group = split, labels, training_set, group
        self.transform = transform
        if download:
            download_topomortar(self.root, url)
        if not self.root.is_dir():
            raise fail(_NAME, "root", f"is {str(self.root)!r}, which is no folder", "the data set's folder")
        groups = _read_groups(self.root / GROUP_FILE)
        named = _read_split(self.root / SPLIT_FILES[training_set], split)
        wanted = [i for i in named if group is None or groups.get(i) == group]
        self.ids = self._present(wanted, groups)
        self.groups = [groups[i] for i in self.ids]

    def _present(self, wanted: list[str], groups: dict[str, str]) -> list[str]:
        """Return the ids whose picture and label are on disk; warn of the others."""
        if not wanted:
            where = f"the {self.split} split has no picture of it"
            raise fail(_NAME, "group", f"is {self.group!r}, but {where}", "another group, or None for all")
        for i in wanted:
            if i not in groups:
                raise InputError(f"{_NAME}: {self.root / 'dataset_types.txt'} does not say the group of {i}")
        missing = [i for i in wanted if not all(path.is_file() for path in self._paths(i))]
        if len(missing) == len(wanted):
            folder = self._paths(wanted[0])[0].parent
            raise fail(
                _NAME,
                "root",
                f"is {str(self.root)!r}, which has none of the {len(wanted)} files that its split names",
                f"pictures in {folder} (download=True fetches them)",
            )
        if missing:
            per_group = ", ".join(f"{name}: {n}" for name, n in Counter(groups[i] for i in missing).items())
            warnings.warn(
                f"{_NAME}: {len(missing)} of {len(wanted)} pictures of the {self.split} split are not in "
                f"{self.root} and are skipped ({per_group})",
                UserWarning,
                stacklevel=3,
            )
        gone = set(missing)
        return [i for i in wanted if i not in gone]

    def _paths(self, identifier: str) -> tuple[Path, Path]:
        folder = self.root / self.split
        return folder / "images" / f"{identifier}.png", folder / self.labels / f"{identifier}.png"

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{_NAME}: index is {index}; expected one in [{-len(self)}, {len(self)})")
        image_path, label_path = self._paths(self.ids[index])
        image, label = _read_png(image_path, "RGB"), _read_png(label_path, "L")
        if image.shape[:2] != label.shape:
            raise InputError(
                f"{_NAME}: {label_path} has shape {label.shape}; expected {image.shape[:2]}, its picture's"
            )
        item: Item = {
            "image": torch.from_numpy(image).permute(2, 0, 1).to(torch.float32) / 255,
            "label": torch.from_numpy((label == _FOREGROUND)[None].astype(np.int64)),
            "id": self.ids[index],
            "group": self.groups[index],
        }
        item["image"] = item["image"].contiguous()
        return item if self.transform is None else self.transform(item)


def _read_png(path: Path, mode: str) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(regular_file(path)) as picture:
            if picture.mode[0] in "IF":  # Pillow would cut what is above 255
                came = f"{path} has pixels of more than 8 bits (mode {picture.mode})"
                raise InputError(f"{_NAME}: {came}; expected pictures and labels of 8 bits")
            return np.array(picture.convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{_NAME}: cannot read {path}: {error}") from error


def _read_text(path: Path) -> str:
    try:
        return read_text(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", error)
        raise InputError(
            f"{_NAME}: cannot read {path} ({reason}); expected the layout of TopoMortar below its root"
        ) from error


def _read_groups(path: Path) -> dict[str, str]:
    rows = list(csv.DictReader(_read_text(path).splitlines()))
    if not rows or any(row.get("ID") is None or row.get("group") is None for row in rows):
        raise InputError(f"{_NAME}: {path} has no columns 'ID' and 'group'")
    return {row["ID"]: row["group"] for row in rows}


def _read_split(path: Path, split: str) -> list[str]:
    """Return the ids, in the file's order, that the split file's only fold gives to `split`."""
    try:
        import yaml
    except ImportError:
        raise MissingDependencyError("pyyaml", extra="eval", purpose=_NAME) from None
    try:
        folds: Any = yaml.safe_load(_read_text(path))
        names = [Path(name).stem for name in folds[1][split]]
    except (yaml.YAMLError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{_NAME}: {path} does not list the {split} files of fold 1: {error}") from error
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{_NAME}: {path} lists {twice} twice in {split}; expected each picture once")
    return names
