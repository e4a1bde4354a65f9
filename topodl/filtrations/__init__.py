"""Functions from images, clouds and graphs to the values that they are filtered by, mostly differentiable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "EmbeddingParameters": "topodl.filtrations.series",
    "NeighbourGraph": "topodl.filtrations.geodesics",
    "binarise": "topodl.filtrations.images",
    "closeness": "topodl.filtrations.geodesics",
    "codensity": "topodl.filtrations.densities",
    "degree_rips_values": "topodl.filtrations.degrees",
    "degree_values": "topodl.filtrations.degrees",
    "delay_embedding": "topodl.filtrations.series",
    "density": "topodl.filtrations.images",
    "dilation": "topodl.filtrations.distances",
    "eccentricity": "topodl.filtrations.geodesics",
    "embedding_parameters": "topodl.filtrations.series",
    "erosion": "topodl.filtrations.distances",
    "false_neighbours": "topodl.filtrations.series",
    "forman_curvature": "topodl.filtrations.curvatures",
    "geodesic_distances": "topodl.filtrations.geodesics",
    "graph_geodesics": "topodl.filtrations.geodesics",
    "heat_kernel_signature": "topodl.filtrations.heat",
    "height": "topodl.filtrations.images",
    "mutual_information": "topodl.filtrations.series",
    "neighbour_graph": "topodl.filtrations.geodesics",
    "ollivier_curvature": "topodl.filtrations.curvatures",
    "radial": "topodl.filtrations.images",
    "return_probabilities": "topodl.filtrations.geodesics",
    "signed_distance": "topodl.filtrations.distances",
    "sliding_windows": "topodl.filtrations.series",
    "tilt": "topodl.filtrations.images",
}

__all__ = [
    "EmbeddingParameters",
    "NeighbourGraph",
    "binarise",
    "closeness",
    "codensity",
    "degree_rips_values",
    "degree_values",
    "delay_embedding",
    "density",
    "dilation",
    "eccentricity",
    "embedding_parameters",
    "erosion",
    "false_neighbours",
    "forman_curvature",
    "geodesic_distances",
    "graph_geodesics",
    "heat_kernel_signature",
    "height",
    "mutual_information",
    "neighbour_graph",
    "ollivier_curvature",
    "radial",
    "return_probabilities",
    "signed_distance",
    "sliding_windows",
    "tilt",
]

if TYPE_CHECKING:
    from topodl.filtrations.curvatures import forman_curvature, ollivier_curvature
    from topodl.filtrations.degrees import degree_rips_values, degree_values
    from topodl.filtrations.densities import codensity
    from topodl.filtrations.distances import dilation, erosion, signed_distance
    from topodl.filtrations.geodesics import (
        NeighbourGraph,
        closeness,
        eccentricity,
        geodesic_distances,
        graph_geodesics,
        neighbour_graph,
        return_probabilities,
    )
    from topodl.filtrations.heat import heat_kernel_signature
    from topodl.filtrations.images import binarise, density, height, radial, tilt
    from topodl.filtrations.series import (
        EmbeddingParameters,
        delay_embedding,
        embedding_parameters,
        false_neighbours,
        mutual_information,
        sliding_windows,
    )

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
