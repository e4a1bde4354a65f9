"""Trainers for nnU-Net v2, which finds them where ``nnUNet_extTrainer`` names this folder.

``TOPODL_LOSS`` gives the loss and its options to `nnUNetTrainerTopodl`, such as
"cldice:iterations=10,active_from=0.3"; the other trainers have a loss of their own and take the options
alone: "active_from=0.3". ``TOPODL_TOPOLOGY_HEADS`` is "all" or "first", ``TOPODL_EPOCHS`` the number of
epochs. A checkpoint goes on with the variables that are set then.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as home
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from topodl.integrations._nnunet_loader import LoaderWithParts
from topodl.integrations.nnunet import NNUNetLoss


class nnUNetTrainerTopodl(nnUNetTrainer):
    """nnU-Net with the loss that ``TOPODL_LOSS`` names, CE + Dice + clDice by default."""

    topodl_loss = ""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's own signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        epochs = os.environ.get("TOPODL_EPOCHS")
        if epochs is not None:
            self.num_epochs = int(epochs)

    def _build_loss(self) -> NNUNetLoss:
        weights, scales = None, None
        if self.enable_deep_supervision:
            scales = self._get_deep_supervision_scales()
            halves = np.array([0.5**i for i in range(len(scales))])
            halves[-1] = 1e-6 if self.is_ddp else 0.0  # as nnU-Net: DDP wants a gradient for every head
            weights = (halves / halves.sum()).tolist()
        labels = self.label_manager
        return NNUNetLoss(
            self._loss_text(),
            weights=weights,
            scales=scales,
            spacing=self.configuration_manager.spacing,
            regions=labels.has_regions,
            ignore_label=labels.ignore_label,
            topology_heads=os.environ.get("TOPODL_TOPOLOGY_HEADS", "all"),
        )

    def _loss_text(self) -> str:
        given = os.environ.get("TOPODL_LOSS", "")
        if not self.topodl_loss:
            return given or "cldice"
        return f"{self.topodl_loss}:{given}" if given else self.topodl_loss

    def get_dataloaders(self) -> Any:
        """Have the workers that load and augment compute what the loss needs of the labels alone."""
        loss = self._build_loss()

        def with_parts(*args: Any, **kwargs: Any) -> LoaderWithParts:
            return LoaderWithParts(nnUNetDataLoader(*args, **kwargs), loss)

        # nnU-Net makes its loaders by a name of its module.
        with _replaced(home, "nnUNetDataLoader", with_parts):
            return super().get_dataloaders()

    def on_epoch_start(self) -> None:
        """Tell the loss how far the training is."""
        super().on_epoch_start()
        self.loss.set_progress(self.current_epoch, self.num_epochs)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Train with the parts that came with the batch."""
        self.loss.parts = batch.pop("parts", None)
        return super().train_step(batch)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Validate with the parts that came with the batch."""
        self.loss.parts = batch.pop("parts", None)
        return super().validation_step(batch)


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Any:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


class nnUNetTrainerTopodlClDice(nnUNetTrainerTopodl):
    """CE + Dice + clDice."""

    topodl_loss = "cldice"


class nnUNetTrainerTopodlSkeletonRecall(nnUNetTrainerTopodl):
    """CE + Dice + Skeleton Recall."""

    topodl_loss = "skeleton_recall"


class nnUNetTrainerTopodlCbDice(nnUNetTrainerTopodl):
    """CE + Dice + cbDice."""

    topodl_loss = "cbdice"


class nnUNetTrainerTopodlBettiMatching(nnUNetTrainerTopodl):
    """CE + Dice + Betti matching."""

    topodl_loss = "betti_matching"


class nnUNetTrainerTopodlTopoLoss(nnUNetTrainerTopodl):
    """CE + Dice + TopoLoss."""

    topodl_loss = "topo_loss"


class nnUNetTrainerTopodlTopograph(nnUNetTrainerTopodl):
    """CE + Dice + Topograph, 2D alone."""

    topodl_loss = "topograph"


class nnUNetTrainerTopodlWarping(nnUNetTrainerTopodl):
    """CE + Dice + homotopy warping."""

    topodl_loss = "warping"


class nnUNetTrainerTopodlSCNP(nnUNetTrainerTopodl):
    """CE + Dice on the worst logits of the same class nearby."""

    topodl_loss = "scnp_ce_dice"
