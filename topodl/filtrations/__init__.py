"""Functions from images, clouds and graphs to the values that they are filtered by, mostly differentiable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "binarise": "topodl.filtrations.images",
    "codensity": "topodl.filtrations.densities",
    "degree_rips_values": "topodl.filtrations.degrees",
    "degree_values": "topodl.filtrations.degrees",
    "density": "topodl.filtrations.images",
    "dilation": "topodl.filtrations.distances",
    "erosion": "topodl.filtrations.distances",
    "forman_curvature": "topodl.filtrations.curvatures",
    "heat_kernel_signature": "topodl.filtrations.heat",
    "height": "topodl.filtrations.images",
    "ollivier_curvature": "topodl.filtrations.curvatures",
    "radial": "topodl.filtrations.images",
    "signed_distance": "topodl.filtrations.distances",
}

__all__ = [
    "binarise",
    "codensity",
    "degree_rips_values",
    "degree_values",
    "density",
    "dilation",
    "erosion",
    "forman_curvature",
    "heat_kernel_signature",
    "height",
    "ollivier_curvature",
    "radial",
    "signed_distance",
]

if TYPE_CHECKING:
    from topodl.filtrations.curvatures import forman_curvature, ollivier_curvature
    from topodl.filtrations.degrees import degree_rips_values, degree_values
    from topodl.filtrations.densities import codensity
    from topodl.filtrations.distances import dilation, erosion, signed_distance
    from topodl.filtrations.heat import heat_kernel_signature
    from topodl.filtrations.images import binarise, density, height, radial

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
