"""Images that the caller of a study has in memory, or in data sets of torch: what they have to look like."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from topodl._checks import fail
from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.data import Sample
from topodl.evaluation.image_store import ImageStore

__all__ = ["GivenSplits", "StudySplits", "fingerprint", "read_given"]

_NAME = "run_study"
_SPLITS = ("train", "val", "test")
_ITEM = "pairs (image, label), or dicts with these keys"
_LABELS = {2: "(H, W) or (1, H, W)", 3: "(D, H, W) or (1, D, H, W)"}


@runtime_checkable
class StudySplits(Protocol):
    """The data of a study from Python: any object with three data sets.

    Attributes
    ----------
    train, val, test : sequence
        Data sets of torch, lists, or anything else with a length and items by number. `val` may be empty. An
        item is a pair (image, label), or a dict with these keys and, where there are any, ``"id"``,
        ``"group"`` and ``"spacing"`` (size of a pixel along each axis). Images are tensors or arrays (C, H,
        W) or (C, D, H, W) of any type and size, labels integers (H, W), (1, H, W), …, 0 in the background.

    Notes
    -----
    Three more attributes are read where the object has them. ``classes``: their names, the background first;
    without it, labels are 0, 1, … without gaps. ``ignore_index``: the label of pixels that count nowhere.
    ``regions = True``: labels are zeros and ones (R, H, W), one channel a region of ``classes[1:]``, and
    regions may overlap.

    Examples
    --------
    >>> import types
    >>> import torch
    >>> from topodl.evaluation import StudySplits
    >>> pairs = [(torch.rand(3, 64, 48), torch.rand(64, 48) > 0.5) for _ in range(4)]
    >>> isinstance(types.SimpleNamespace(train=pairs, val=[], test=pairs[:1]), StudySplits)
    True
    """

    @property
    def train(self) -> Any:
        """What is trained with."""

    @property
    def val(self) -> Any:
        """What is measured during the training; may be empty."""

    @property
    def test(self) -> Any:
        """What the measurements are of."""


@dataclass(frozen=True, eq=False)
class GivenSplits:
    """The samples of each split, read and checked, with the names of the classes."""

    samples: dict[str, list[Sample]]
    classes: tuple[str, ...]
    regions: bool


def read_given(data: StudySplits, gibibytes: float) -> GivenSplits:
    """Return the images of the caller's object, at most so many gibibytes of them in memory.

    Raises
    ------
    InputError
        If the object lacks a split, or an item is none; the message names it.
    """
    for split in _SPLITS:
        if not hasattr(data, split):
            came = f"is a {type(data).__name__} without {split!r}"
            raise fail(_NAME, "data", came, "an object with train, val and test (see StudySplits)")
    ignore = getattr(data, "ignore_index", None)
    regions = bool(getattr(data, "regions", False))
    names = getattr(data, "classes", None)
    store = ImageStore(gibibytes)
    samples = {split: _read_split(data, split, ignore, regions, store) for split in _SPLITS}
    highest = max(_highest(sample.label) for split in samples.values() for sample in split)
    if names is None:
        channels = len(samples["train"][0].label)
        n_foreground = channels if regions else highest
        names = ("background", "foreground") if n_foreground == 1 else _numbered(n_foreground)
    if not regions:
        _check_labels(samples, len(names), named=hasattr(data, "classes"))
    return GivenSplits(samples, tuple(map(str, names)), regions)


def fingerprint(data: GivenSplits) -> str:
    """Return a word that is the same for the same images, labels and names, and differs between others."""
    digest = hashlib.sha256(repr((data.classes, data.regions)).encode())
    for split, samples in data.samples.items():
        for sample in samples:
            digest.update(repr((split, sample.id, sample.group, sample.spacing, sample.image.shape)).encode())
            digest.update(sample.image.contiguous().numpy().tobytes())
            digest.update(sample.label.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _numbered(n: int) -> tuple[str, ...]:
    return ("background", *(f"class {i}" for i in range(1, n + 1)))


def _highest(label: torch.Tensor) -> int:
    counted = label[label != IGNORE]
    return int(counted.max()) if counted.numel() else 0


def _check_labels(samples: dict[str, list[Sample]], n_classes: int, *, named: bool) -> None:
    """Raise for a label beyond the classes, and for gaps where nobody named them."""
    seen: set[int] = set()
    for split, several in samples.items():
        for i, sample in enumerate(several):
            values = {int(v) for v in sample.label.unique()} - {IGNORE}
            if values and max(values) >= n_classes:
                came = f"has the value {max(values)}"
                raise fail(
                    _NAME, f"data.{split}[{i}]'s label", came, f"at most {n_classes - 1}, as classes says"
                )
            seen |= values
    gaps = sorted(set(range(n_classes)) - seen - {0})
    if gaps and not named:
        came = f"have the values {', '.join(map(str, sorted(seen)))}"
        expected = "0, 1, … without gaps, names of all in data.classes, or data.ignore_index for one of them"
        raise fail(_NAME, "data's labels", came, expected)


def _read_split(
    data: StudySplits, split: str, ignore: int | None, regions: bool, store: ImageStore
) -> list[Sample]:
    items = getattr(data, split)
    if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
        raise fail(_NAME, f"data.{split}", f"is a {type(items).__name__}", f"a sequence of {_ITEM}")
    if len(items) == 0 and split != "val":
        raise fail(_NAME, f"data.{split}", "is empty", f"at least one of {_ITEM}")
    samples = (_read_item(items[i], split, i, ignore, regions) for i in range(len(items)))
    return [replace(s, image=store.keep(s.image), label=store.keep(s.label)) for s in samples]


def _read_item(item: Any, split: str, index: int, ignore: int | None, regions: bool) -> Sample:
    where = f"data.{split}[{index}]"
    if isinstance(item, Mapping):
        missing = [key for key in ("image", "label") if key not in item]
        if missing:
            raise fail(_NAME, where, f"has no {missing[0]!r}", _ITEM)
        fields: Mapping[str, Any] = item
    elif isinstance(item, tuple | list) and len(item) == 2:
        fields = {"image": item[0], "label": item[1]}
    else:
        raise fail(_NAME, where, f"is a {type(item).__name__}", _ITEM)
    image = _as_image(fields["image"], where)
    ndim = image.ndim - 1
    spacing = tuple(map(float, fields.get("spacing", (1.0,) * ndim)))
    if len(spacing) != ndim or min(spacing) <= 0:
        raise fail(_NAME, f"{where}'s spacing", f"is {spacing}", f"{ndim} positive numbers")
    label = _as_label(fields["label"], tuple(image.shape[1:]), where, ignore, regions)
    name = str(fields.get("id", f"{index:03d}"))
    return Sample(image, label, name, str(fields.get("group", "")), spacing)


def _as_tensor(value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    return torch.from_numpy(np.array(value))


def _as_image(value: Any, where: str) -> torch.Tensor:
    image = _as_tensor(value)
    if image.is_complex() or image.ndim not in (3, 4) or 0 in image.shape:
        came = f"has shape {tuple(image.shape)} and dtype {image.dtype}"
        raise fail(_NAME, f"{where}'s image", came, "numbers (C, H, W) or (C, D, H, W)")
    return image if image.dtype == torch.uint8 else image.to(torch.float32)


def _as_label(
    value: Any, size: tuple[int, ...], where: str, ignore: int | None, regions: bool
) -> torch.Tensor:
    label = _as_tensor(value)
    argument = f"{where}'s label"
    if label.is_floating_point() and not bool((label == label.round()).all()):
        raise fail(_NAME, argument, "has values that are no integers", "indices of classes")
    label = label.to(torch.int64)
    if not regions and label.ndim == len(size):
        label = label[None]
    if tuple(label.shape[1:]) != size or (not regions and len(label) != 1):
        shape = f"(R, {', '.join(map(str, size))})" if regions else _LABELS[len(size)]
        came = f"has shape {tuple(np.shape(value))} for an image of size {size}"
        raise fail(_NAME, argument, came, shape)
    nowhere = torch.zeros_like(label, dtype=torch.bool) if ignore is None else label == ignore
    counted = label[~nowhere]
    highest = 1 if regions else IGNORE - 1
    if counted.numel() and not 0 <= int(counted.min()) <= int(counted.max()) <= highest:
        wrong = int(counted.min()) if int(counted.min()) < 0 else int(counted.max())
        expected = f"0 to {highest}, or this value as data.ignore_index"
        raise fail(_NAME, argument, f"has the value {wrong}", expected)
    return label.masked_fill(nowhere, IGNORE).to(torch.uint8)
