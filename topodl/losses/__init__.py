"""Topology-aware losses, one a file: of segmentations (`registry` names them), and of representations."""

# ruff: noqa: I001 - isort would spread the one line of a loss over two

from topodl.losses._base import SegmentationLoss as SegmentationLoss, registry as registry
from topodl.losses.betti_matching import (
    BettiMatchingLoss as BettiMatchingLoss,
    betti_matching_loss as betti_matching_loss,
)
from topodl.losses.cavity import CavityLoss as CavityLoss, cavity_loss as cavity_loss
from topodl.losses.ce_dice import CEDiceLoss as CEDiceLoss, ce_dice_loss as ce_dice_loss
from topodl.losses.cbdice import CbDiceLoss as CbDiceLoss, cbdice_loss as cbdice_loss
from topodl.losses.cldice import ClDiceLoss as ClDiceLoss, cldice_loss as cldice_loss
from topodl.losses.deep_supervision import (
    DeepSupervisionLoss as DeepSupervisionLoss,
    topomortar_head_weights as topomortar_head_weights,
)
from topodl.losses.kernel_alignment import (
    CKALoss as CKALoss,
    MinibatchCKA as MinibatchCKA,
    cka as cka,
    cka_loss as cka_loss,
)
from topodl.losses.mosin import MosinLoss as MosinLoss, mosin_loss as mosin_loss
from topodl.losses.region_wise import RegionWiseLoss as RegionWiseLoss, region_wise_loss as region_wise_loss
from topodl.losses.regularisers import (
    BettiTargetLoss as BettiTargetLoss,
    DiagramTargetLoss as DiagramTargetLoss,
    FeatureCountLoss as FeatureCountLoss,
    TotalPersistenceLoss as TotalPersistenceLoss,
)
from topodl.losses.rtd import RTDLoss as RTDLoss
from topodl.losses.scnp import SCNP as SCNP, scnp_logits as scnp_logits
from topodl.losses.skeleton_recall import (
    SkeletonRecallLoss as SkeletonRecallLoss,
    skeleton_recall_loss as skeleton_recall_loss,
)
from topodl.losses.topo_grad import TopoGradLoss as TopoGradLoss, topo_grad_loss as topo_grad_loss
from topodl.losses.topo_loss import TopoLoss as TopoLoss, topo_loss as topo_loss
from topodl.losses.topograph import TopographLoss as TopographLoss, topograph_loss as topograph_loss
from topodl.losses.topological_autoencoder import (
    TopologicalAutoencoderLoss as TopologicalAutoencoderLoss,
    topological_autoencoder_loss as topological_autoencoder_loss,
)
from topodl.losses.warping import WarpingLoss as WarpingLoss, warping_loss as warping_loss
from topodl.losses.windowed_topo import (
    WindowedTopoLoss as WindowedTopoLoss,
    windowed_topo_loss as windowed_topo_loss,
)
