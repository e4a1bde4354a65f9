"""PyTorch Ignite, and MONAI's engines, which are Ignite's: progress of losses, and metrics by epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from topodl.errors import MissingDependencyError
from topodl.integrations._progress import losses_within, tell_progress
from topodl.metrics._base import ImageMetric

try:
    from ignite.engine import Engine, Events
except ModuleNotFoundError:
    raise MissingDependencyError(
        "pytorch-ignite", extra="ignite", purpose="topodl.integrations.ignite"
    ) from None

__all__ = ["LossProgress", "MetricHandler"]


class LossProgress:
    """Calls `set_progress` of every loss in some modules before each iteration of a trainer.

    Parameters
    ----------
    *modules : torch.nn.Module
        Losses, or modules that hold them.

    Raises
    ------
    InputError
        If there is no loss of topodl in them.

    Examples
    --------
    >>> from ignite.engine import Engine
    >>> from topodl.losses import ClDiceLoss
    >>> loss = ClDiceLoss(active_from=0.5)
    >>> trainer = Engine(lambda engine, batch: None)
    >>> LossProgress(loss).attach(trainer)
    >>> _ = trainer.run([0, 1], max_epochs=2)
    >>> loss.get_extra_state()
    {'progress': 0.75}
    """

    def __init__(self, *modules: nn.Module) -> None:
        self._losses = losses_within("LossProgress", "modules", modules)

    def attach(self, engine: Engine) -> None:
        """Have `engine` tell the losses the share of its iterations that is done."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Tell them now."""
        state = engine.state
        length = state.epoch_length or float("inf")
        tell_progress(self._losses, state.iteration - 1, length * (state.max_epochs or float("inf")))


class MetricHandler:
    """Measures a metric of topodl over each epoch of an engine and puts it into ``engine.state.metrics``.

    It is what Ignite's and MONAI's metric handlers are to their own metrics. A metric of several values gives
    one entry for each, named as its `as_dict` names them.

    Parameters
    ----------
    metric : ImageMetric
        Such as `topodl.metrics.BettiError`.
    output_transform : callable
        From the engine's output to (predictions, labels): tensors of a batch, or lists of single images as
        MONAI's engines have them, for which ``monai.handlers.from_engine(["pred", "label"])`` is meant.

    Examples
    --------
    >>> import torch
    >>> from ignite.engine import Engine
    >>> from topodl.metrics import Dice
    >>> mask = torch.eye(4)[None]
    >>> evaluator = Engine(lambda engine, batch: (batch, batch))
    >>> MetricHandler(Dice()).attach(evaluator, "dice")
    >>> round(evaluator.run([mask]).metrics["dice"], 4)
    1.0
    """

    def __init__(self, metric: ImageMetric, output_transform: Callable[[Any], Any] = lambda out: out) -> None:
        self.metric, self.output_transform = metric, output_transform

    def attach(self, engine: Engine, name: str) -> None:
        """Have `engine` measure, under `name`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish, name)

    def _begin(self, engine: Engine) -> None:
        self.metric.reset()

    def _update(self, engine: Engine) -> None:
        self.metric.update(*self.output_transform(engine.state.output))

    def _finish(self, engine: Engine, name: str) -> None:
        own = type(self.metric).__name__
        for label, value in self.metric.as_dict().items():
            single = value.numel() == 1
            engine.state.metrics[name + label.removeprefix(own)] = value.item() if single else value
