"""Topological features of attention maps: recording them from any transformer, features, minimal pairs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# public name -> module that defines it; each loads at its first use
_HOMES = {
    "AttentionSample": "_maps",
    "AttentionTopology": "topology",
}

__all__ = [
    "AttentionSample",
    "AttentionTopology",
]

if TYPE_CHECKING:
    from topodl.attention._maps import AttentionSample
    from topodl.attention.topology import AttentionTopology


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'topodl.attention' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"topodl.attention.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
