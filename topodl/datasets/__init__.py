"""Data sets: TopoMortar itself, and drawn walls of known topology that need no download."""

from topodl.datasets.synthetic_mortar import SyntheticMortar
from topodl.datasets.topomortar import TopoMortar

__all__ = ["SyntheticMortar", "TopoMortar"]
