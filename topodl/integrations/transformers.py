"""Hugging Face's Trainer: progress of losses, and a penalty on the topology of the model's attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from topodl._checks import check_number
from topodl.attention import AttentionTopology, record
from topodl.errors import MissingDependencyError
from topodl.integrations._progress import losses_within, tell_progress

try:
    from transformers import Trainer, TrainerCallback
except ModuleNotFoundError:
    raise MissingDependencyError(
        "transformers", extra="attention", purpose="topodl.integrations.transformers"
    ) from None

__all__ = ["AttentionPenaltyTrainer", "LossProgress"]


class LossProgress(TrainerCallback):
    """Calls `set_progress` of losses before each step of a `Trainer`.

    Parameters
    ----------
    *modules : torch.nn.Module
        Losses, or modules that hold them; by default the model that is trained.

    Raises
    ------
    InputError
        If there is no loss of topodl in them; at the start of the training where it is looked for in the
        model.

    Examples
    --------
    >>> from topodl.losses import ClDiceLoss
    >>> loss = ClDiceLoss(active_from=0.5)
    >>> callback = LossProgress(loss)  # Trainer(…, compute_loss_func=…, callbacks=[callback])
    """

    def __init__(self, *modules: nn.Module) -> None:
        self._losses = losses_within("LossProgress", "modules", modules) if modules else []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Find the losses, if none were handed in."""
        self._losses = self._losses or losses_within("LossProgress", "model", [model])

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell them the share of the steps that is done."""
        tell_progress(self._losses, state.global_step, state.max_steps)


def _mean(features: torch.Tensor) -> torch.Tensor:
    return features.mean()


class AttentionPenaltyTrainer(Trainer):
    """A `Trainer` that adds a penalty on the topological features of the attention maps to the loss.

    While it trains, attention runs eagerly and without attention dropout, since maps with dropout are no
    probabilities; other dropout stays. All is put back at the end. Gradient checkpointing and accumulation,
    mixed precision and resumed trainings work. Evaluation has no penalty.

    Parameters
    ----------
    *args, **kwargs
        Of `transformers.Trainer`.
    topology : AttentionTopology
        The features, with gradient: barcode, pattern, sink, entropy and ``soft.*``.
    penalty : callable, optional
        From the features (B, layers * heads * features) of a batch to a scalar; by default their mean.
    penalty_weight : float, default=0.1
        What the penalty is multiplied by.

    Raises
    ------
    InputError
        If the weight is negative, or the model has no attention that can be recorded.

    Examples
    --------
    >>> from topodl.attention import AttentionTopology
    >>> from transformers import BertConfig, BertForSequenceClassification, TrainingArguments
    >>> sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    >>> model = BertForSequenceClassification(BertConfig(vocab_size=9, **sizes))
    >>> arguments = TrainingArguments("out", max_steps=1, report_to=[], use_cpu=True)
    >>> topology = AttentionTopology("barcode.h0.mean")
    >>> AttentionPenaltyTrainer(model, arguments, topology=topology).penalty_weight
    0.1
    """

    def __init__(
        self,
        *args: Any,
        topology: AttentionTopology,
        penalty: Callable[[torch.Tensor], torch.Tensor] = _mean,
        penalty_weight: float = 0.1,
        **kwargs: Any,
    ) -> None:
        check_number("AttentionPenaltyTrainer", "penalty_weight", penalty_weight, low=0.0)
        super().__init__(*args, **kwargs)
        self._topology, self._penalty, self.penalty_weight = topology, penalty, penalty_weight
        self._recorder: Any = None

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, with attention recorded throughout: checkpointed parts run again in the backward pass."""
        with record(self.model, features=self._topology, attention_dropout="off") as self._recorder:
            try:
                return super().train(*args, **kwargs)
            finally:
                self._recorder = None

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        """Return the loss of the batch, in training with the penalty."""
        recorder = self._recorder
        if recorder is not None:
            recorder.clear()
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if recorder is not None and model.training:
            penalty = self.penalty_weight * self._penalty(recorder.features())
            # A loss that is averaged over the items of all accumulated batches is not divided by the trainer.
            if kwargs.get("num_items_in_batch") is not None:
                penalty = penalty / self.current_gradient_accumulation_steps
            loss = loss + penalty.to(loss.dtype)
            recorder.clear()
        return (loss, outputs) if return_outputs else loss
