"""Mapper: the shape of data as a graph of clusters of preimages, as tensors for graph networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "MapperGraph": "topodl.mapper.graph",
}

__all__ = [
    "MapperGraph",
]

if TYPE_CHECKING:
    from topodl.mapper.graph import MapperGraph

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
