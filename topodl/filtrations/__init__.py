"""Functions from clouds, graphs and masks to the values that they are filtered by, mostly differentiable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "codensity": "topodl.filtrations.densities",
    "degree_rips_values": "topodl.filtrations.degrees",
    "degree_values": "topodl.filtrations.degrees",
    "forman_curvature": "topodl.filtrations.curvatures",
    "heat_kernel_signature": "topodl.filtrations.heat",
    "ollivier_curvature": "topodl.filtrations.curvatures",
    "signed_distance": "topodl.filtrations.distances",
}

__all__ = [
    "codensity",
    "degree_rips_values",
    "degree_values",
    "forman_curvature",
    "heat_kernel_signature",
    "ollivier_curvature",
    "signed_distance",
]

if TYPE_CHECKING:
    from topodl.filtrations.curvatures import forman_curvature, ollivier_curvature
    from topodl.filtrations.degrees import degree_rips_values, degree_values
    from topodl.filtrations.densities import codensity
    from topodl.filtrations.distances import signed_distance
    from topodl.filtrations.heat import heat_kernel_signature

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
