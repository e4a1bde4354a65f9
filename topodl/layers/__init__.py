"""Layers that are `torch.nn.Module`s and scikit-learn transformers at once, each loaded at its first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# public name -> module that defines it
_HOMES = {
    "BettiCurve": "topodl.layers.curves",
    "EulerCharacteristicTransform": "topodl.layers.euler",
    "PersistenceEntropy": "topodl.layers.summaries",
    "PersistenceImage": "topodl.layers.images",
    "PersistenceLandscape": "topodl.layers.curves",
    "PersistenceStatistics": "topodl.layers.summaries",
    "Silhouette": "topodl.layers.curves",
}

__all__ = [
    "BettiCurve",
    "EulerCharacteristicTransform",
    "PersistenceEntropy",
    "PersistenceImage",
    "PersistenceLandscape",
    "PersistenceStatistics",
    "Silhouette",
]

if TYPE_CHECKING:
    from topodl.layers.curves import BettiCurve, PersistenceLandscape, Silhouette
    from topodl.layers.euler import EulerCharacteristicTransform
    from topodl.layers.images import PersistenceImage
    from topodl.layers.summaries import PersistenceEntropy, PersistenceStatistics


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'topodl.layers' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
