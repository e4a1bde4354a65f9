"""Layers: torch modules that are scikit-learn transformers at once, and layers of graph networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "AlphaPersistence": "topodl.layers.persistence",
    "Amplitude": "topodl.layers.amplitudes",
    "Atol": "topodl.layers.atol",
    "BarClamper": "topodl.layers.preprocessing",
    "BarSelector": "topodl.layers.preprocessing",
    "BettiCurve": "topodl.layers.curves",
    "CellMessagePassing": "topodl.layers.cell_message_passing",
    "ComplexPolynomial": "topodl.layers.bar_vectors",
    "CubicalPersistence": "topodl.layers.persistence",
    "CycleCliqueEncoding": "topodl.layers.cycle_clique_encoding",
    "DelayEmbedding": "topodl.layers.delay_embedding",
    "DiagramDistances": "topodl.layers.diagram_matrices",
    "DiagramEncoder": "topodl.layers.diagram_encoder",
    "DiagramKernel": "topodl.layers.diagram_matrices",
    "DiagramScaler": "topodl.layers.preprocessing",
    "EulerCharacteristicTransform": "topodl.layers.euler",
    "EulerCurve": "topodl.layers.euler_curve",
    "EulerSurface": "topodl.layers.surfaces",
    "FiberedPersistence": "topodl.layers.slices",
    "Filtration": "topodl.layers.filtration",
    "GraphPersistence": "topodl.layers.persistence",
    "HilbertSurface": "topodl.layers.surfaces",
    "HodgeEncoding": "topodl.layers.hodge_encoding",
    "LevelPersistence": "topodl.layers.slices",
    "LongestBars": "topodl.layers.bar_vectors",
    "MultiparameterLandscape": "topodl.layers.multiparameter_landscape",
    "NumberOfBars": "topodl.layers.bar_vectors",
    "PaddedBars": "topodl.layers.preprocessing",
    "PersLay": "topodl.layers.perslay",
    "PersistenceCurve": "topodl.layers.persistence_curves",
    "PersistenceEntropy": "topodl.layers.summaries",
    "PersistenceImage": "topodl.layers.images",
    "PersistenceLandscape": "topodl.layers.curves",
    "PersistenceStatistics": "topodl.layers.summaries",
    "PersistentMessagePassing": "topodl.layers.persistent_message_passing",
    "RePHINE": "topodl.layers.rephine",
    "RipsPersistence": "topodl.layers.persistence",
    "SignedMeasureImage": "topodl.layers.signed_measure_image",
    "Silhouette": "topodl.layers.curves",
    "SimplicialWalkConv": "topodl.layers.simplicial_walk_conv",
    "SimplicialWalks": "topodl.layers.random_walks",
    "SliceFeatures": "topodl.layers.slice_features",
    "TOGL": "topodl.layers.togl",
    "TopologicalVector": "topodl.layers.bar_vectors",
    "cloud_features": "topodl.layers.presets",
    "cycle_cliques": "topodl.layers.cycle_clique_encoding",
    "graph_features": "topodl.layers.presets",
    "image_features": "topodl.layers.presets",
    "simplicial_walks": "topodl.layers.random_walks",
    "time_series_features": "topodl.layers.presets",
}

__all__ = [
    "TOGL",
    "AlphaPersistence",
    "Amplitude",
    "Atol",
    "BarClamper",
    "BarSelector",
    "BettiCurve",
    "CellMessagePassing",
    "ComplexPolynomial",
    "CubicalPersistence",
    "CycleCliqueEncoding",
    "DelayEmbedding",
    "DiagramDistances",
    "DiagramEncoder",
    "DiagramKernel",
    "DiagramScaler",
    "EulerCharacteristicTransform",
    "EulerCurve",
    "EulerSurface",
    "FiberedPersistence",
    "Filtration",
    "GraphPersistence",
    "HilbertSurface",
    "HodgeEncoding",
    "LevelPersistence",
    "LongestBars",
    "MultiparameterLandscape",
    "NumberOfBars",
    "PaddedBars",
    "PersLay",
    "PersistenceCurve",
    "PersistenceEntropy",
    "PersistenceImage",
    "PersistenceLandscape",
    "PersistenceStatistics",
    "PersistentMessagePassing",
    "RePHINE",
    "RipsPersistence",
    "SignedMeasureImage",
    "Silhouette",
    "SimplicialWalkConv",
    "SimplicialWalks",
    "SliceFeatures",
    "TopologicalVector",
    "cloud_features",
    "cycle_cliques",
    "graph_features",
    "image_features",
    "simplicial_walks",
    "time_series_features",
]

if TYPE_CHECKING:
    from topodl.layers.amplitudes import Amplitude
    from topodl.layers.atol import Atol
    from topodl.layers.bar_vectors import ComplexPolynomial, LongestBars, NumberOfBars, TopologicalVector
    from topodl.layers.cell_message_passing import CellMessagePassing
    from topodl.layers.curves import BettiCurve, PersistenceLandscape, Silhouette
    from topodl.layers.cycle_clique_encoding import CycleCliqueEncoding, cycle_cliques
    from topodl.layers.delay_embedding import DelayEmbedding
    from topodl.layers.diagram_encoder import DiagramEncoder
    from topodl.layers.diagram_matrices import DiagramDistances, DiagramKernel
    from topodl.layers.euler import EulerCharacteristicTransform
    from topodl.layers.euler_curve import EulerCurve
    from topodl.layers.filtration import Filtration
    from topodl.layers.hodge_encoding import HodgeEncoding
    from topodl.layers.images import PersistenceImage
    from topodl.layers.multiparameter_landscape import MultiparameterLandscape
    from topodl.layers.persistence import (
        AlphaPersistence,
        CubicalPersistence,
        GraphPersistence,
        RipsPersistence,
    )
    from topodl.layers.persistence_curves import PersistenceCurve
    from topodl.layers.persistent_message_passing import PersistentMessagePassing
    from topodl.layers.perslay import PersLay
    from topodl.layers.preprocessing import BarClamper, BarSelector, DiagramScaler, PaddedBars
    from topodl.layers.presets import cloud_features, graph_features, image_features, time_series_features
    from topodl.layers.random_walks import SimplicialWalks, simplicial_walks
    from topodl.layers.rephine import RePHINE
    from topodl.layers.signed_measure_image import SignedMeasureImage
    from topodl.layers.simplicial_walk_conv import SimplicialWalkConv
    from topodl.layers.slice_features import SliceFeatures
    from topodl.layers.slices import FiberedPersistence, LevelPersistence
    from topodl.layers.summaries import PersistenceEntropy, PersistenceStatistics
    from topodl.layers.surfaces import EulerSurface, HilbertSurface
    from topodl.layers.togl import TOGL

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
