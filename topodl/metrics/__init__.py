"""Metrics of segmentations: overlap, distance and topology, accumulated by torchmetrics."""

from topodl.metrics.betti import BettiError, betti_error, betti_numbers
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

__all__ = [
    "DIU",
    "AdjustedRandIndex",
    "BettiError",
    "BettiMatchingError",
    "ClDice",
    "Dice",
    "HausdorffDistance95",
    "TopologyError",
    "VariationOfInformation",
    "adjusted_rand_index",
    "betti_error",
    "betti_matching_error",
    "betti_numbers",
    "cldice_score",
    "dice_score",
    "diu",
    "hausdorff_distance_95",
    "topology_errors",
    "variation_of_information",
]
