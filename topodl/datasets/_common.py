"""Names that both mortar data sets share, and the check of arguments against them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from topodl._checks import fail

__all__ = ["GROUPS", "LABELS", "SPLITS", "Item", "Transform", "check_choice"]

SPLITS = ("train", "val", "test")
LABELS = ("accurate", "noisy", "pseudo")
GROUPS = ("indistr", "angles", "colors", "graffiti", "objects", "shadows", "occlusion")

Item = dict[str, Any]
Transform = Callable[[Item], Item]


def check_choice(function: str, argument: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless `value` is one of `choices`; the message lists them."""
    if not isinstance(value, str) or value not in choices:
        raise fail(function, argument, f"is {value!r}", "one of " + ", ".join(repr(c) for c in choices))
