"""Names that both mortar data sets share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["GROUPS", "LABELS", "SPLITS", "Item", "Transform"]

SPLITS = ("train", "val", "test")
LABELS = ("accurate", "noisy", "pseudo")
GROUPS = ("indistr", "angles", "colors", "graffiti", "objects", "shadows", "occlusion")

Item = dict[str, Any]
Transform = Callable[[Item], Item]
