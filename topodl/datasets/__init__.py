"""Data sets: TopoMortar itself, drawn walls, and clouds, images, graphs and bundles of known topology."""

from topodl.datasets.bags import Bags, draw_bags
from topodl.datasets.graph_files import GraphCollection, load_graphs
from topodl.datasets.graph_pairs import collect_blind_pairs
from topodl.datasets.graphs import (
    Graph,
    make_bicyclic_pair,
    make_cycle_pair,
    make_graph,
    make_strongly_regular_pair,
)
from topodl.datasets.haldane import chern_number, make_haldane_bundles
from topodl.datasets.images import (
    Image,
    LabelledPoints,
    Region,
    make_image,
    make_planar_region,
    make_volume,
)
from topodl.datasets.shapes import (
    Cloud,
    make_annulus,
    make_klein_bottle,
    make_linked_circles,
    make_nested_spheres,
    make_sphere,
    make_spheres,
    make_torus,
)
from topodl.datasets.signed_shapes import SignedShapes, make_shapes
from topodl.datasets.synthetic_mortar import SyntheticMortar
from topodl.datasets.topomortar import TopoMortar

__all__ = [
    "Bags",
    "Cloud",
    "Graph",
    "GraphCollection",
    "Image",
    "LabelledPoints",
    "Region",
    "SignedShapes",
    "SyntheticMortar",
    "TopoMortar",
    "chern_number",
    "collect_blind_pairs",
    "draw_bags",
    "load_graphs",
    "make_annulus",
    "make_bicyclic_pair",
    "make_cycle_pair",
    "make_graph",
    "make_haldane_bundles",
    "make_image",
    "make_klein_bottle",
    "make_linked_circles",
    "make_nested_spheres",
    "make_planar_region",
    "make_shapes",
    "make_sphere",
    "make_spheres",
    "make_strongly_regular_pair",
    "make_torus",
    "make_volume",
]
