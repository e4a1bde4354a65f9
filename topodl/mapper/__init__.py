"""Mapper: the shape of data as a graph of clusters of preimages, as tensors for graph networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "BallCover": "topodl.mapper.landmark_covers",
    "Cover": "topodl.mapper.covers",
    "Eccentricity": "topodl.mapper.lenses",
    "HistogramGap": "topodl.mapper.clustering",
    "IntervalCover": "topodl.mapper.covers",
    "KNNCover": "topodl.mapper.landmark_covers",
    "Mapper": "topodl.mapper.estimator",
    "MapperGraph": "topodl.mapper.graph",
    "NeighbourDensity": "topodl.mapper.lenses",
    "PrecomputedCover": "topodl.mapper.landmark_covers",
    "PredictionMapper": "topodl.mapper.predictions",
    "RelativeGap": "topodl.mapper.clustering",
    "SingleLinkage": "topodl.mapper.clustering",
    "mapper_graph": "topodl.mapper.estimator",
}

__all__ = [
    "BallCover",
    "Cover",
    "Eccentricity",
    "HistogramGap",
    "IntervalCover",
    "KNNCover",
    "Mapper",
    "MapperGraph",
    "NeighbourDensity",
    "PrecomputedCover",
    "PredictionMapper",
    "RelativeGap",
    "SingleLinkage",
    "mapper_graph",
]

if TYPE_CHECKING:
    from topodl.mapper.clustering import HistogramGap, RelativeGap, SingleLinkage
    from topodl.mapper.covers import Cover, IntervalCover
    from topodl.mapper.estimator import Mapper, mapper_graph
    from topodl.mapper.graph import MapperGraph
    from topodl.mapper.landmark_covers import BallCover, KNNCover, PrecomputedCover
    from topodl.mapper.lenses import Eccentricity, NeighbourDensity
    from topodl.mapper.predictions import PredictionMapper

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
