"""Metrics of segmentations: overlap, distance and topology, accumulated by torchmetrics."""

from topodl.metrics.betti import BettiError, betti_error, betti_numbers
from topodl.metrics.components import (
    ComponentMatches,
    ComponentScores,
    component_matches,
    component_scores,
)
from topodl.metrics.error_map import TopologyError, topology_errors
from topodl.metrics.hausdorff import HausdorffDistance95, hausdorff_distance_95
from topodl.metrics.matching import DIU, BettiMatchingError, betti_matching_error, diu
from topodl.metrics.overlap import ClDice, Dice, cldice_score, dice_score
from topodl.metrics.partitions import (
    AdjustedRandIndex,
    VariationOfInformation,
    adjusted_rand_index,
    variation_of_information,
)
from topodl.metrics.surface import (
    AverageSurfaceDistance,
    SurfaceDice,
    average_surface_distance,
    surface_dice,
)

__all__ = [
    "DIU",
    "AdjustedRandIndex",
    "AverageSurfaceDistance",
    "BettiError",
    "BettiMatchingError",
    "ClDice",
    "ComponentMatches",
    "ComponentScores",
    "Dice",
    "HausdorffDistance95",
    "SurfaceDice",
    "TopologyError",
    "VariationOfInformation",
    "adjusted_rand_index",
    "average_surface_distance",
    "betti_error",
    "betti_matching_error",
    "betti_numbers",
    "cldice_score",
    "component_matches",
    "component_scores",
    "dice_score",
    "diu",
    "hausdorff_distance_95",
    "surface_dice",
    "topology_errors",
    "variation_of_information",
]
