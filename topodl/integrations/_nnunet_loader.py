"""The data loader of topodl's trainers for nnU-Net.

Apart from them, since nnU-Net forgets a trainer's module once it has the class: a loader of that module could
not be sent to processes that are started anew.
"""

from __future__ import annotations

from typing import Any

from topodl.integrations.nnunet import NNUNetLoss

__all__ = ["LoaderWithParts"]


class LoaderWithParts:
    """A data loader of nnU-Net whose batches bring, as "parts", what a loss needs of the labels alone."""

    def __init__(self, loader: Any, loss: NNUNetLoss) -> None:
        self._loader, self._loss = loader, loss

    def __iter__(self) -> LoaderWithParts:
        return self

    def __next__(self) -> dict[str, Any]:
        batch = next(self._loader)
        batch["parts"] = self._loss.precompute(batch["target"])
        return batch

    def set_thread_id(self, thread_id: int) -> None:
        """Say which of the workers this is."""
        self._loader.set_thread_id(thread_id)
