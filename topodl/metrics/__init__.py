"""Metrics of segmentations: overlap, distance and topology, accumulated by torchmetrics."""

from topodl.metrics.betti import BettiError, betti_error, betti_numbers
from topodl.metrics.error_map import TopologyError, topology_errors
from topodl.metrics.hausdorff import HausdorffDistance95, hausdorff_distance_95
from topodl.metrics.overlap import ClDice, Dice, cldice_score, dice_score

__all__ = [
    "BettiError",
    "ClDice",
    "Dice",
    "HausdorffDistance95",
    "TopologyError",
    "betti_error",
    "betti_numbers",
    "cldice_score",
    "dice_score",
    "hausdorff_distance_95",
    "topology_errors",
]
