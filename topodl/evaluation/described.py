"""What `settings.json` says of the data of a study: a name for headings, and a sentence for the reader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topodl.errors import InputError
from topodl.evaluation.run_folder import RunFolder

__all__ = ["data_name", "data_sentence", "read_description"]

_LISTS = (".csv", ".json", ".tsv")


def read_description(folder: RunFolder) -> dict[str, Any]:
    """Return what `settings.json` says, nothing where there is none.

    Raises
    ------
    InputError
        If it is no JSON, or no object.
    """
    if not folder.settings.exists():
        return {}
    try:
        described = folder.read_settings()
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"topodl report: {folder.settings} is not JSON ({error})") from None
    if not isinstance(described, dict):
        raise InputError(f"topodl report: {folder.settings} has no names with values; expected an object")
    return described


def data_name(described: Mapping[str, Any]) -> str:
    """Return a heading for data of one's own; nothing for drawn walls, TopoMortar and unknown data.

    Examples
    --------
    >>> images = {"source": "retina/: images/ beside masks/", "train": 14}
    >>> data_name({"settings": {"data": "/home/me/retina"}, "images": images})
    'retina, 14 training images'
    """
    settings, images = _part(described, "settings"), _part(_first_fold(described), "images")
    data, source = settings.get("data"), str(images.get("source", ""))
    if not isinstance(data, str) or not source or source.startswith("TopoMortar"):
        return ""
    path = Path(data)
    name = f"{path.parent.name}/{path.name}" if path.suffix.lower() in _LISTS else path.name
    if source == "images from Python":
        name = "Images from Python"
    n = images.get("train", 0)
    return (
        f"{name}, {settings['folds']} folds" if settings.get("folds") else f"{name}, {_count(n, 'training')}"
    )


def data_sentence(described: Mapping[str, Any]) -> str:
    """Return how the data was understood, how many images there are, and how much of them is which class."""
    first = _first_fold(described)
    images, classes = _part(first, "images"), _part(first, "classes")
    if not images.get("source"):
        return ""
    counts = [_count(images.get(split, 0), kind) for split, kind in
              (("train", "training"), ("val", "validation"), ("test", "test"))]  # fmt: skip
    which = "in the first fold " if first is not described else ""
    shares = ", ".join(
        f"{name} {100 * share:.3g} %"
        for name, share in _part(classes, "shares").items()
        if isinstance(share, int | float)
    )
    pixels = f" Pixels of the labels: {shares}." if shares else ""
    return f"Data: {images['source']}; {which}{', '.join(counts)}.{pixels}"


def _first_fold(described: Mapping[str, Any]) -> Mapping[str, Any]:
    folds = described.get("folds")
    return folds[0] if isinstance(folds, list) and folds and isinstance(folds[0], dict) else described


def _part(described: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = described.get(name)
    return part if isinstance(part, dict) else {}


def _count(n: int, kind: str) -> str:
    return f"{n} {kind} image{'s' * (n != 1)}"
