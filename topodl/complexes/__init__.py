"""Cell complexes of a batch of graphs or clouds: one jagged structure, and what lifts graphs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "CellComplexes": "topodl.complexes.cell_complexes",
    "Lists": "topodl.complexes.lists",
    "clique_complexes": "topodl.complexes.cliques",
    "numbering_dependent_cycles": "topodl.complexes.numbered_cycles",
    "ring_complexes": "topodl.complexes.rings",
}

__all__ = ["CellComplexes", "Lists", "clique_complexes", "numbering_dependent_cycles", "ring_complexes"]

if TYPE_CHECKING:
    from topodl.complexes.cell_complexes import CellComplexes
    from topodl.complexes.cliques import clique_complexes
    from topodl.complexes.lists import Lists
    from topodl.complexes.numbered_cycles import numbering_dependent_cycles
    from topodl.complexes.rings import ring_complexes

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
