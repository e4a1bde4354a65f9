"""Topological features of attention maps: recording them from any transformer, features, minimal pairs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# public name -> module that defines it; each loads at its first use
_HOMES = {
    "AttentionFeatures": "models",
    "AttentionRecorder": "recording",
    "AttentionSample": "_maps",
    "AttentionTopology": "topology",
    "HiddenStateGeometry": "hidden",
    "intrinsic_dimension": "hidden",
    "neighborhood_overlap": "hidden",
    "record": "recording",
    "rtd": "divergence",
}

__all__ = [
    "AttentionFeatures",
    "AttentionRecorder",
    "AttentionSample",
    "AttentionTopology",
    "HiddenStateGeometry",
    "intrinsic_dimension",
    "neighborhood_overlap",
    "record",
    "rtd",
]

if TYPE_CHECKING:
    from topodl.attention._maps import AttentionSample
    from topodl.attention.divergence import rtd
    from topodl.attention.hidden import HiddenStateGeometry, intrinsic_dimension, neighborhood_overlap
    from topodl.attention.models import AttentionFeatures
    from topodl.attention.recording import AttentionRecorder, record
    from topodl.attention.topology import AttentionTopology


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'topodl.attention' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"topodl.attention.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
