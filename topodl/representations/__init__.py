"""Learning, comparing and measuring representations: autoencoders, stitching, measures of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from topodl._lazy import lazy_names

# public name -> module that defines it
_HOMES = {
    "GIN": "topodl.representations.gin",
    "ManifoldVAE": "topodl.representations.manifold_vae",
    "Reconstruction": "topodl.representations.autoencoder",
    "StitchedModel": "topodl.representations.stitching",
    "StitchingLayer": "topodl.representations.stitching",
    "TopologicalAutoencoder": "topodl.representations.autoencoder",
    "decision_region_betti": "topodl.representations.classifier_topology",
    "decision_regions": "topodl.representations.classifier_topology",
    "embedding_quality": "topodl.representations.quality",
    "guide_codes": "topodl.representations.guidance",
    "stitch": "topodl.representations.stitching",
}

__all__ = [
    "GIN",
    "ManifoldVAE",
    "Reconstruction",
    "StitchedModel",
    "StitchingLayer",
    "TopologicalAutoencoder",
    "decision_region_betti",
    "decision_regions",
    "embedding_quality",
    "guide_codes",
    "stitch",
]

if TYPE_CHECKING:
    from topodl.representations.autoencoder import Reconstruction, TopologicalAutoencoder
    from topodl.representations.classifier_topology import decision_region_betti, decision_regions
    from topodl.representations.gin import GIN
    from topodl.representations.guidance import guide_codes
    from topodl.representations.manifold_vae import ManifoldVAE
    from topodl.representations.quality import embedding_quality
    from topodl.representations.stitching import StitchedModel, StitchingLayer, stitch

__getattr__, __dir__ = lazy_names(__name__, _HOMES, {"manifolds"})
