"""Cell complexes of a batch of graphs or clouds: one jagged structure, and what lifts graphs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "CellComplexes": "topodl.complexes.cell_complexes",
    "Lists": "topodl.complexes.lists",
    "alpha_complexes": "topodl.complexes.alpha",
    "clique_complexes": "topodl.complexes.cliques",
    "directed_flag_complexes": "topodl.complexes.directed",
    "graph_rips_complexes": "topodl.complexes.rips",
    "hop_sets": "topodl.complexes.neighbourhoods",
    "lift_features": "topodl.complexes.features",
    "mesh_complexes": "topodl.complexes.meshes",
    "neighbourhood_complexes": "topodl.complexes.neighbourhoods",
    "numbering_dependent_cycles": "topodl.complexes.numbered_cycles",
    "ring_complexes": "topodl.complexes.rings",
    "rips_complexes": "topodl.complexes.rips",
}

__all__ = [
    "CellComplexes",
    "Lists",
    "alpha_complexes",
    "clique_complexes",
    "directed_flag_complexes",
    "graph_rips_complexes",
    "hop_sets",
    "lift_features",
    "mesh_complexes",
    "neighbourhood_complexes",
    "numbering_dependent_cycles",
    "ring_complexes",
    "rips_complexes",
]

if TYPE_CHECKING:
    from topodl.complexes.alpha import alpha_complexes
    from topodl.complexes.cell_complexes import CellComplexes
    from topodl.complexes.cliques import clique_complexes
    from topodl.complexes.directed import directed_flag_complexes
    from topodl.complexes.features import lift_features
    from topodl.complexes.lists import Lists
    from topodl.complexes.meshes import mesh_complexes
    from topodl.complexes.neighbourhoods import hop_sets, neighbourhood_complexes
    from topodl.complexes.numbered_cycles import numbering_dependent_cycles
    from topodl.complexes.rings import ring_complexes
    from topodl.complexes.rips import graph_rips_complexes, rips_complexes

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
