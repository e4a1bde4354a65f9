"""What all metrics of label maps share: one value per image, summed up over batches and processes."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, ClassVar, Self

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
    _prefix: str

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Name the states by class and options.

        `MetricCollection` takes metrics for one if their states agree by name and, after the first batch, in
        value.
        """
        metric = super().__new__(cls)
        kept = [item for item in sorted(options.items()) if not callable(item[1])]
        metric._prefix = f"{cls.__name__}_{zlib.crc32(repr((args, kept)).encode()):08x}_"
        return metric

    def __init__(self, *, num_classes: int = 2, reduction: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name = type(self).__name__
        check_number(name, "num_classes", num_classes, low=2, integer=True)
        check_choice(name, "reduction", reduction, ("mean", "none"))
        self.num_classes, self.reduction = num_classes, reduction
        if reduction == "none":
            self._add("values", [], "cat")
        else:
            self._add("total", torch.zeros((), dtype=torch.float64), "sum")
            self._add("count", torch.zeros((), dtype=torch.int64), "sum")

    def _add(self, name: str, default: list[torch.Tensor] | torch.Tensor, reduction: str) -> None:
        self.add_state(self._prefix + name, default=default, dist_reduce_fx=reduction)

    def _get(self, name: str) -> Any:
        return getattr(self, self._prefix + name)

    def _set(self, name: str, value: torch.Tensor) -> None:
        setattr(self, self._prefix + name, value)

    def _measure(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the value of every image: (B, …)."""
        raise NotImplementedError

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Measure a batch of label maps, (B, *S) or (B, 1, *S): bool, integers, or floats such as 1.0."""
        values = self._measure(preds, target).to(self.device)
        if self.reduction == "none":
            self._get("values").append(values)
        else:
            self._set("total", self._get("total") + self._sum(values))
            self._set("count", self._get("count") + values.shape[0])

    def compute(self) -> torch.Tensor:
        """Return the mean over all images (and classes), or every image's own value."""
        if self.reduction == "none":
            values = self._get("values")
            if not len(values):
                raise self._nothing_measured()
            return dim_zero_cat(values)
        if int(self._get("count")) == 0:
            raise self._nothing_measured()
        mean: torch.Tensor = self._get("total") / self._get("count")
        return mean

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
