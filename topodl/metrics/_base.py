"""What all metrics of label maps share: one value per image, summed up over batches and processes.

A metric is a function ``f(preds, target, *, options…)`` and a class of two lines, which keeps the options.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from topodl._checks import check_choice, check_connectivity, check_number, check_spacing
from topodl._docs import module_docstring
from topodl.errors import InputError
from topodl.metrics._input import CONVENTIONS, SKELETONS, Reading
from topodl.metrics._options import COMMON_DEFAULTS, options_of

__all__ = ["ImageMetric"]


class ImageMetric(Metric):
    """Base of the metrics that measure every image by itself; a subclass names its function.

    With ``reduction="mean"`` the states are a sum and a count, which processes add up; with ``"none"`` the
    values themselves are kept, in the order of the updates (of rank 0 first). `torchmetrics` turns a
    result of one value into a scalar.

    Parameters
    ----------
    reduction : {"mean", "none"}
        Mean over images and classes, or every image's own values.
    """

    is_differentiable = False
    full_state_update = False
    function: ClassVar[Callable[..., torch.Tensor]]
    _value_axes: ClassVar[int] = 0  # of the value of one image and class
    _prefix: str

    def __init_subclass__(cls, *, function: Callable[..., torch.Tensor], **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.function = staticmethod(function)
        cls.__signature__ = _constructor_signature(function)  # type: ignore[attr-defined]
        shared = (ImageMetric.__doc__ or "",)
        cls.__doc__ = module_docstring(cls.__doc__ or "", function.__doc__ or "", shared, ("preds", "target"))

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Name the states by class and options.

        `MetricCollection` takes metrics for one if their states agree by name and, after the first batch, in
        value.
        """
        metric = super().__new__(cls)
        kept = [item for item in sorted(options.items()) if not callable(item[1])]
        metric._prefix = f"{cls.__name__}_{zlib.crc32(repr((args, kept)).encode()):08x}_"
        return metric

    def __init__(self, *, reduction: str = "mean", **options: Any) -> None:
        own = options_of(type(self).function)
        super().__init__(**{name: value for name, value in options.items() if name not in own})
        check_choice(type(self).__name__, "reduction", reduction, ("mean", "none"))
        self.reduction = reduction
        bound = {name: options.get(name, default) for name, default in own.items()}
        self._class_axis = Reading.of(type(self).__name__, _common_among(bound)).class_axis
        for name, value in bound.items():
            _check_option(type(self).__name__, name, value)
            setattr(self, name, value)
        if reduction == "none":
            self._add("values", [], "cat")
        else:
            self._add("total", torch.zeros(self._total_shape(), dtype=torch.float64, device="cpu"), "sum")
            self._add("count", torch.zeros((), dtype=torch.int64, device="cpu"), "sum")

    def _total_shape(self) -> tuple[int, ...]:
        """Return the shape of the sum; processes need it before they have seen an image."""
        return ()

    def _add(self, name: str, default: list[torch.Tensor] | torch.Tensor, reduction: str) -> None:
        self.add_state(self._prefix + name, default=default, dist_reduce_fx=reduction)

    def _get(self, name: str) -> Any:
        return getattr(self, self._prefix + name)

    def _set(self, name: str, value: torch.Tensor) -> None:
        setattr(self, self._prefix + name, value)

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        """Measure a batch of label maps, (B, *S) or (B, 1, *S), or of channels, see `input_format`."""
        function = type(self).function
        options = {name: getattr(self, name) for name in options_of(function)}
        values = function(preds, target, **options).to(self.device)
        if self.reduction == "none":
            self._get("values").append(values)
        else:
            self._set("total", self._get("total") + self._sum(values))
            self._set("count", self._get("count") + values.shape[0])

    def _sync_dist(self, dist_sync_fn: Any = gather_all_tensors, process_group: Any | None = None) -> None:
        if self.reduction == "mean":
            super()._sync_dist(dist_sync_fn, process_group)
            return
        # A process that measured nothing sends a tensor of as many axes, or the others would wait for ever.
        n_axes = 1 + len(self._class_axis) + self._value_axes
        nothing = torch.empty((0,) * n_axes, dtype=torch.float64, device=self.device)
        own = dim_zero_cat(self._get("values") or [nothing])
        gathered = dist_sync_fn(own, process_group or self.process_group)
        self._set("values", dim_zero_cat([part for part in gathered if len(part)] or [own]))

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
        return (values.mean(1) if self._class_axis else values).sum(0)

    def _nothing_measured(self) -> InputError:
        return InputError(
            f"{type(self).__name__}: compute() before any image was measured; call update first"
        )


def _common_among(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in COMMON_DEFAULTS}


def _constructor_signature(function: Callable[..., torch.Tensor]) -> inspect.Signature:
    kind = inspect.Parameter.KEYWORD_ONLY
    options = options_of(function) | {"reduction": "mean"}
    parameters = [inspect.Parameter(name, kind, default=default) for name, default in options.items()]
    return inspect.Signature([*parameters, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])


def _check_option(metric: str, name: str, value: Any) -> None:
    """Raise at once what the function would raise at the first image."""
    if name == "convention":
        check_choice(metric, name, value, CONVENTIONS)
    elif name == "connectivity":
        check_connectivity(metric, value)
    elif name == "skeleton" and value is not None:
        check_choice(metric, name, value, SKELETONS)
    elif name == "window" and value is not None:
        check_number(metric, name, value, low=1, integer=True)
    elif name == "tolerance":
        check_number(metric, name, value, low=0)
    elif name == "spacing":
        check_spacing(metric, value, 1 if isinstance(value, int | float) else len(value))
