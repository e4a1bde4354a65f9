"""Topological data analysis for deep learning: the public names, each loaded at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

__version__ = "0.1.0.dev0"

# public name -> module that defines it
_HOMES = {
    "Diagrams": "topodl.diagrams",
    "InputError": "topodl.errors",
    "IntervalModules": "topodl.interval_modules",
    "Mapper": "topodl.mapper.estimator",
    "MapperGraph": "topodl.mapper.graph",
    "MemoryLimitError": "topodl.errors",
    "MissingDependencyError": "topodl.errors",
    "PredictionMapper": "topodl.mapper.predictions",
    "SignedMeasures": "topodl.signed_measures",
    "StitchingLayer": "topodl.representations.stitching",
    "TopologicalFeatures": "topodl.hooks",
    "alpha_persistence": "topodl.persistence.alpha",
    "alpha_signed_measure": "topodl.persistence.alpha_measures",
    "attach": "topodl.hooks",
    "complex_persistence": "topodl.persistence.complexes",
    "cubical_persistence": "topodl.persistence.cubical",
    "decision_region_betti": "topodl.representations.classifier_topology",
    "degree_rips_signed_measure": "topodl.persistence.degree_rips_measures",
    "euler_signed_measure": "topodl.persistence.euler_measures",
    "extended_parts": "topodl.persistence.graph",
    "fibered_persistence": "topodl.persistence.fibered",
    "get_num_threads": "topodl.kernels.shared.pool",
    "graph_persistence": "topodl.persistence.graph",
    "graph_signed_measure": "topodl.persistence.graph_measures",
    "image_signed_measure": "topodl.persistence.image_measures",
    "level_persistence": "topodl.persistence.levels",
    "mapper_graph": "topodl.mapper.estimator",
    "rips_persistence": "topodl.persistence.rips",
    "rips_signed_measure": "topodl.persistence.rips_measures",
    "rtd": "topodl.persistence.rtd",
    "set_num_threads": "topodl.kernels.shared.pool",
    "stitch": "topodl.representations.stitching",
}
_SUBMODULES = {
    "attention",
    "complexes",
    "datasets",
    "diagrams",
    "distances",
    "errors",
    "evaluation",
    "filtrations",
    "integrations",
    "layers",
    "losses",
    "mapper",
    "metrics",
    "plotting",
    "representations",
    "signed_measures",
}

__all__ = [
    "Diagrams",
    "InputError",
    "IntervalModules",
    "Mapper",
    "MapperGraph",
    "MemoryLimitError",
    "MissingDependencyError",
    "PredictionMapper",
    "SignedMeasures",
    "StitchingLayer",
    "TopologicalFeatures",
    "alpha_persistence",
    "alpha_signed_measure",
    "attach",
    "complex_persistence",
    "cubical_persistence",
    "decision_region_betti",
    "degree_rips_signed_measure",
    "euler_signed_measure",
    "extended_parts",
    "fibered_persistence",
    "get_num_threads",
    "graph_persistence",
    "graph_signed_measure",
    "image_signed_measure",
    "level_persistence",
    "mapper_graph",
    "rips_persistence",
    "rips_signed_measure",
    "rtd",
    "set_num_threads",
    "stitch",
]

if TYPE_CHECKING:
    from topodl.diagrams import Diagrams
    from topodl.errors import InputError, MemoryLimitError, MissingDependencyError
    from topodl.hooks import TopologicalFeatures, attach
    from topodl.interval_modules import IntervalModules
    from topodl.kernels.shared.pool import get_num_threads, set_num_threads
    from topodl.mapper.estimator import Mapper, mapper_graph
    from topodl.mapper.graph import MapperGraph
    from topodl.mapper.predictions import PredictionMapper
    from topodl.persistence.alpha import alpha_persistence
    from topodl.persistence.alpha_measures import alpha_signed_measure
    from topodl.persistence.complexes import complex_persistence
    from topodl.persistence.cubical import cubical_persistence
    from topodl.persistence.degree_rips_measures import degree_rips_signed_measure
    from topodl.persistence.euler_measures import euler_signed_measure
    from topodl.persistence.fibered import fibered_persistence
    from topodl.persistence.graph import extended_parts, graph_persistence
    from topodl.persistence.graph_measures import graph_signed_measure
    from topodl.persistence.image_measures import image_signed_measure
    from topodl.persistence.levels import level_persistence
    from topodl.persistence.rips import rips_persistence
    from topodl.persistence.rips_measures import rips_signed_measure
    from topodl.persistence.rtd import rtd
    from topodl.representations.classifier_topology import decision_region_betti
    from topodl.representations.stitching import StitchingLayer, stitch
    from topodl.signed_measures import SignedMeasures

__getattr__, _names = lazy_names(__name__, _HOMES, _SUBMODULES)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
