"""A training with a checkpoint: it goes on where it was stopped, and ends with its best weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from topodl._checks import check_number, fail
from topodl._files import atomic_path

__all__ = ["TrainingRun", "as_samples", "check_widths", "resolve_device"]

# Settings that do not change what is learnt in an epoch, so that a checkpoint serves with other values of
# them. Of `early_stopping` it matters whether it holds samples out.
_HOW = {"checkpoint", "device", "early_stopping", "max_epochs", "verbose"}


class TrainingRun:
    """The state of a training: its history, the best weights, the checkpoint.

    `settings` and `samples` tell which training it is; it is stale after `patience` epochs without a lower
    validation loss.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        samples: torch.Tensor,
        *,
        settings: Mapping[str, Any],
        patience: int | None,
        checkpoint: str | Path | None,
    ) -> None:
        self.model, self.optimiser, self.patience = model, optimiser, patience
        self.history: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.identity = {
            "settings": {name: repr(value) for name, value in settings.items() if name not in _HOW},
            "holds_out": patience is not None,
            "shape": list(samples.shape),
            "sum": float(samples.double().sum()),
        }
        self.path = None if checkpoint is None else Path(checkpoint)

    def is_stale(self) -> bool:
        """Whether the validation loss has not fallen for as many epochs as are waited for."""
        values = [means["validation"] for means in self.history if "validation" in means]
        if self.patience is None or not values:
            return False
        return len(values) - 1 - int(np.argmin(values)) >= self.patience

    def record(self, means: dict[str, float]) -> None:
        """Add an epoch, keep its weights if they are the best, and save the checkpoint."""
        self.history.append(means)
        values = [each["validation"] for each in self.history if "validation" in each]
        if values and int(np.argmin(values)) == len(values) - 1:
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        if self.path is not None:
            state = {
                "identity": self.identity,
                "history": self.history,
                "best": self.best,
                "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            }
            with atomic_path(self.path) as partial, partial.open("wb") as stream:
                torch.save(state, stream)  # a stream names the error of a full disk

    def resume(self) -> None:
        """Take the state of the checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        if state["identity"] != self.identity:
            came = f"is {self.path}, of other settings or data"
            expected = "a checkpoint of this training, or no file there"
            raise fail("TopologicalAutoencoder", "checkpoint", came, expected)
        self.history, self.best = state["history"], state["best"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])

    def restore_best(self) -> None:
        """Give the model the weights of its lowest validation loss."""
        if self.best is not None:
            self.model.load_state_dict(self.best)


def check_widths(function: str, hidden: Any) -> None:
    """Raise unless `hidden` are widths of layers."""
    if isinstance(hidden, str) or not isinstance(hidden, Iterable):
        raise fail(function, "hidden", f"is {hidden!r}", "a sequence of integers of at least 1")
    for i, width in enumerate(hidden):
        check_number(function, f"hidden[{i}]", width, low=1, integer=True)


def as_samples(X: Any) -> Any:
    """Return tensors as arrays, for scikit-learn to check; NumPy knows no bfloat16."""
    if not isinstance(X, torch.Tensor):
        return X
    X = X.detach().cpu()
    return (X.float() if X.is_floating_point() and X.dtype.itemsize < 4 else X).numpy()


def resolve_device(function: str, device: str) -> torch.device:
    """Return the device of that name, "auto" decided; raise if it is not there."""
    if device == "auto":
        available = torch.accelerator.is_available()
        return (torch.accelerator.current_accelerator() if available else None) or torch.device("cpu")
    try:
        return torch.empty(0, device=device).device
    except (AssertionError, RuntimeError) as error:  # which of them depends on how torch was built
        raise fail(function, "device", f"is {device!r}", "a device that this torch has") from error
