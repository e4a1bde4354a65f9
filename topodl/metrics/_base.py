"""What all metrics of label maps share: one value per image, summed up over batches and processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from topodl._checks import check_choice, check_connectivity, check_number
from topodl.errors import InputError
from topodl.metrics._input import CONVENTIONS

__all__ = ["ConnectivityMetric", "ConventionMetric", "ImageMetric"]


class ImageMetric(Metric):
    """Base of the metrics that measure every image by itself; subclasses define `_measure`.

    With ``reduction="mean"`` the states are a sum and a count, which processes add up; with ``"none"`` the
    values themselves are kept, in the order of the updates (of rank 0 first). `torchmetrics` turns a
    result of one value into a scalar.
    """

    is_differentiable = False
    full_state_update = False
    total: torch.Tensor
    count: torch.Tensor
    values: list[torch.Tensor]

    def __init__(self, *, num_classes: int = 2, reduction: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name = type(self).__name__
        check_number(name, "num_classes", num_classes, low=2, integer=True)
        check_choice(name, "reduction", reduction, ("mean", "none"))
        self.num_classes, self.reduction = num_classes, reduction
        if reduction == "none":
            self.add_state("values", default=[], dist_reduce_fx="cat")
        else:
            self.add_state("total", default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state("count", default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def _measure(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the value of every image: (B, …)."""
        raise NotImplementedError

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Measure a batch of label maps, (B, *S) or (B, 1, *S): bool, integers, or floats such as 1.0."""
        values = self._measure(preds, target).to(self.device)
        if self.reduction == "none":
            self.values.append(values)
        else:
            self.total = self.total + self._sum(values)
            self.count = self.count + values.shape[0]

    def compute(self) -> torch.Tensor:
        """Return the mean over all images (and classes), or every image's own value."""
        if self.reduction == "none":
            if not len(self.values):
                raise self._nothing_measured()
            return dim_zero_cat(self.values)
        if int(self.count) == 0:
            raise self._nothing_measured()
        return self.total / self.count

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over images of the mean over classes."""
        return (values.mean(1) if self.num_classes > 2 else values).sum(0)

    def _nothing_measured(self) -> InputError:
        return InputError(
            f"{type(self).__name__}: compute() before any image was measured; call update first"
        )


class ConventionMetric(ImageMetric):
    """Base of the metrics whose value of empty masks is a matter of convention."""

    def __init__(
        self,
        *,
        num_classes: int = 2,
        convention: str = "standard",
        reduction: str = "mean",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes=num_classes, reduction=reduction, **kwargs)
        check_choice(type(self).__name__, "convention", convention, CONVENTIONS)
        self.convention = convention


class ConnectivityMetric(ImageMetric):
    """Base of the metrics of pieces: a subclass names the function that measures."""

    _function: ClassVar[Callable[..., torch.Tensor]]

    def __init__(self, *, connectivity: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_connectivity(type(self).__name__, connectivity)
        self.connectivity = connectivity

    def _measure(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return type(self)._function(
            preds, target, connectivity=self.connectivity, num_classes=self.num_classes
        )
