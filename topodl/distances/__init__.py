"""Distances between diagrams, of two batches sample by sample or as matrices; kernels and matchings."""

from topodl.distances.barycentres import Barycentre, barycentre
from topodl.distances.matchings import Matching, optimal_matching
from topodl.distances.matrices import distance_matrix, kernel_matrix
from topodl.distances.paired import bottleneck_distance, sliced_wasserstein_distance, wasserstein_distance

__all__ = [
    "Barycentre",
    "Matching",
    "barycentre",
    "bottleneck_distance",
    "distance_matrix",
    "kernel_matrix",
    "optimal_matching",
    "sliced_wasserstein_distance",
    "wasserstein_distance",
]
