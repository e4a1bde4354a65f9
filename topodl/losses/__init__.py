"""Topology-aware segmentation losses: one loss, one file; `registry` knows them by name."""

from topodl.losses._base import SegmentationLoss as SegmentationLoss, registry as registry
from topodl.losses.ce_dice import CEDiceLoss as CEDiceLoss, ce_dice_loss as ce_dice_loss
from topodl.losses.cldice import ClDiceLoss as ClDiceLoss, cldice_loss as cldice_loss
from topodl.losses.deep_supervision import (
    DeepSupervisionLoss as DeepSupervisionLoss,
    topomortar_head_weights as topomortar_head_weights,
)
from topodl.losses.skeleton_recall import (
    SkeletonRecallLoss as SkeletonRecallLoss,
    skeleton_recall_loss as skeleton_recall_loss,
)
from topodl.losses.topograph import TopographLoss as TopographLoss, topograph_loss as topograph_loss
