"""PyTorch Lightning: a callback that tells losses how far the training is."""

from __future__ import annotations

from typing import Any

from topodl.errors import MissingDependencyError
from topodl.integrations._progress import losses_within, tell_progress

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning import Callback
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "lightning", extra="lightning", purpose="topodl.integrations.lightning"
        ) from None

__all__ = ["LossProgress"]


class LossProgress(Callback):
    """Calls `set_progress` of every loss in a `LightningModule` before each step.

    Losses with ``active_from`` or ``ramp`` need it. The share is that of the optimiser's steps, so that
    gradient accumulation and a training that goes on from a checkpoint are counted right; the checkpoint has
    it, too.

    Raises
    ------
    InputError
        At the start of the training, if the module holds no loss of topodl.

    Examples
    --------
    >>> callback = LossProgress()  # lightning.pytorch.Trainer(max_epochs=100, callbacks=[callback])
    """

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find the losses."""
        self._losses = losses_within("LossProgress", "pl_module", [pl_module])

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Tell them the share of the steps that is done."""
        tell_progress(self._losses, trainer.global_step, trainer.estimated_stepping_batches)
