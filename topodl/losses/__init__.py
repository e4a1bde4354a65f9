"""Topology-aware losses, one a file: of segmentations (`registry` names them), and of representations."""

from topodl.losses._base import SegmentationLoss, registry
from topodl.losses.betti_matching import BettiMatchingLoss, betti_matching_loss
from topodl.losses.cavity import CavityLoss, cavity_loss
from topodl.losses.cbdice import CbDiceLoss, cbdice_loss
from topodl.losses.ce_dice import CEDiceLoss, ce_dice_loss
from topodl.losses.cldice import ClDiceLoss, cldice_loss
from topodl.losses.combined import FadingLoss, WeightedSumLoss
from topodl.losses.critical_ce_dice import (
    CriticalCEDiceLoss,
    critical_ce_dice_loss,
    critical_region_map,
    critical_region_weights,
)
from topodl.losses.deep_supervision import DeepSupervisionLoss, topomortar_head_weights
from topodl.losses.dmt import DMTLoss, dmt_loss
from topodl.losses.kernel_alignment import CKALoss, MinibatchCKA, cka, cka_loss
from topodl.losses.mosin import MosinLoss, mosin_loss
from topodl.losses.pending import PendingLoss
from topodl.losses.region_wise import RegionWiseLoss, region_wise_loss
from topodl.losses.regularisers import (
    BettiTargetLoss,
    DiagramTargetLoss,
    FeatureCountLoss,
    TotalPersistenceLoss,
)
from topodl.losses.rtd import RTDLoss
from topodl.losses.scnp import SCNP, scnp_logits
from topodl.losses.skeleton_recall import SkeletonRecallLoss, skeleton_recall_loss
from topodl.losses.topo_grad import TopoGradLoss, topo_grad_loss
from topodl.losses.topo_loss import TopoLoss, topo_loss
from topodl.losses.topograph import TopographLoss, topograph_loss
from topodl.losses.topological_autoencoder import TopologicalAutoencoderLoss, topological_autoencoder_loss
from topodl.losses.warping import WarpingLoss, warping_loss
from topodl.losses.windowed_topo import WindowedTopoLoss, windowed_topo_loss

__all__ = [
    "SCNP",
    "BettiMatchingLoss",
    "BettiTargetLoss",
    "CEDiceLoss",
    "CKALoss",
    "CavityLoss",
    "CbDiceLoss",
    "ClDiceLoss",
    "CriticalCEDiceLoss",
    "DMTLoss",
    "DeepSupervisionLoss",
    "DiagramTargetLoss",
    "FadingLoss",
    "FeatureCountLoss",
    "MinibatchCKA",
    "MosinLoss",
    "PendingLoss",
    "RTDLoss",
    "RegionWiseLoss",
    "SegmentationLoss",
    "SkeletonRecallLoss",
    "TopoGradLoss",
    "TopoLoss",
    "TopographLoss",
    "TopologicalAutoencoderLoss",
    "TotalPersistenceLoss",
    "WarpingLoss",
    "WeightedSumLoss",
    "WindowedTopoLoss",
    "betti_matching_loss",
    "cavity_loss",
    "cbdice_loss",
    "ce_dice_loss",
    "cka",
    "cka_loss",
    "cldice_loss",
    "critical_ce_dice_loss",
    "critical_region_map",
    "critical_region_weights",
    "dmt_loss",
    "mosin_loss",
    "region_wise_loss",
    "registry",
    "scnp_logits",
    "skeleton_recall_loss",
    "topo_grad_loss",
    "topo_loss",
    "topograph_loss",
    "topological_autoencoder_loss",
    "topomortar_head_weights",
    "warping_loss",
    "windowed_topo_loss",
]
