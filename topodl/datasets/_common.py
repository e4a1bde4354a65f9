"""Names that both mortar data sets share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["GROUPS", "GROUP_FILE", "LABELS", "SPLITS", "SPLIT_FILES", "Item", "Transform", "is_topomortar"]

SPLITS = ("train", "val", "test")
LABELS = ("accurate", "noisy", "pseudo")
GROUPS = ("indistr", "angles", "colors", "graffiti", "objects", "shadows", "occlusion")

Item = dict[str, Any]
Transform = Callable[[Item], Item]

# What a folder of TopoMortar has beside its pictures.
SPLIT_FILES = {"large": "splits.yaml", "small": "splits_small.yaml"}
GROUP_FILE = "dataset_types.txt"


def is_topomortar(folder: str | Path) -> bool:
    """Say whether a folder has the layout of TopoMortar."""
    return all((Path(folder) / name).is_file() for name in (SPLIT_FILES["large"], GROUP_FILE))
