"""Topological features of attention maps: recording them from any transformer, features, minimal pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "AttentionFeatures": "topodl.attention.models",
    "AttentionRecorder": "topodl.attention.recording",
    "AttentionSample": "topodl.attention._maps",
    "AttentionTopology": "topodl.attention.topology",
    "HiddenStateGeometry": "topodl.attention.hidden",
    "intrinsic_dimension": "topodl.attention.hidden",
    "neighborhood_overlap": "topodl.attention.hidden",
    "record": "topodl.attention.recording",
    "rtd": "topodl.attention.divergence",
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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
