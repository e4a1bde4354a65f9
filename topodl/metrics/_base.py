"""What all metrics of label maps share: one value per image, summed up over batches and processes.

A metric is a function ``f(preds, target, *, options…)`` and a class of two lines, which keeps the options.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from topodl._checks import check_choice, check_connectivity, check_number, check_spacing
from topodl._docs import module_docstring
from topodl.errors import InputError
from topodl.metrics._input import BACKGROUNDS, CONVENTIONS, SKELETONS
from topodl.metrics._options import COMMON_DEFAULTS, Reading, options_of, unknown_metric_option

__all__ = ["ImageMetric"]

_REDUCTIONS = ("mean", "per_class", "none")


class ImageMetric(Metric):
    """Base of the metrics that measure every image by itself; a subclass names its function.

    With ``reduction="none"`` the values themselves are kept, in the order of the updates (of rank 0 first);
    else the states are sums and counts, which processes add up. `torchmetrics` turns a result of one value
    into a scalar.

    Parameters
    ----------
    reduction : {"mean", "per_class", "none"}
        Mean over the images of the mean over classes, mean over the images for each class, or every image's
        own values. Values that `ignore_empty` leaves out count in no mean, which is NaN where nothing counts.
    """

    is_differentiable = False
    full_state_update = False
    function: ClassVar[Callable[..., torch.Tensor]]
    ignore_empty: str
    input_format: str
    _takes_instances: ClassVar[bool] = False
    _prefix: str

    def __init_subclass__(cls, *, function: Callable[..., torch.Tensor], **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.function = staticmethod(function)
        cls.__signature__ = _constructor_signature(function)  # type: ignore[attr-defined]
        shared = (ImageMetric.__doc__ or "",)
        given = ("preds", "target", "mask")
        cls.__doc__ = module_docstring(cls.__doc__ or "", function.__doc__ or "", shared, given)

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
        try:
            super().__init__(**{name: value for name, value in options.items() if name not in own})
        except ValueError as error:
            unknown = [name for name in sorted(options) if f"`{name}`" in str(error) and name not in own]
            if "Unexpected keyword" not in str(error) or not unknown:
                raise
            raise unknown_metric_option(type(self).__name__, unknown[0], [*own, "reduction"]) from None
        check_choice(type(self).__name__, "reduction", reduction, _REDUCTIONS)
        self.reduction = reduction
        bound = {name: options.get(name, default) for name, default in own.items()}
        common = {name: value for name, value in bound.items() if name in COMMON_DEFAULTS}
        self._class_axis = Reading.of(type(self).__name__, common, self._takes_instances).class_axis
        for name, value in bound.items():
            _check_option(type(self).__name__, name, value)
            setattr(self, name, value)
        if reduction == "none":
            self._add("values", [], "cat")
            return
        classes = self._class_axis if reduction == "per_class" else ()
        # Processes need the shape of the sum before they have seen an image: that of most values.
        most = len(self._value_names())
        total = torch.zeros((*classes, most) if most else classes, dtype=torch.float64, device="cpu")
        self._add("total", total, "sum")
        self._add("count", torch.zeros(classes, dtype=torch.int64, device="cpu"), "sum")
        self._add("n_images", torch.zeros((), dtype=torch.int64, device="cpu"), "sum")
        self._add("n_values", torch.zeros((), dtype=torch.int64, device="cpu"), "max")

    def _value_names(self) -> tuple[str, ...]:
        """Return the names of the values of one mask, none for a number; volumes may have more of them."""
        return ()

    def _class_names(self) -> tuple[str, ...]:
        """Return the names of the classes that a result has an axis of."""
        if not self._class_axis or self.reduction == "mean":
            return ()
        kind, first = ("region", 0) if self.input_format == "regions" else ("class", 1)
        return tuple(f"{kind}_{first + i}" for i in range(*self._class_axis))

    def _add(self, name: str, default: list[torch.Tensor] | torch.Tensor, reduction: str) -> None:
        self.add_state(self._prefix + name, default=default, dist_reduce_fx=reduction)

    def _get(self, name: str) -> Any:
        return getattr(self, self._prefix + name)

    def _set(self, name: str, value: torch.Tensor) -> None:
        setattr(self, self._prefix + name, value)

    def update(self, preds: Any, target: Any, mask: Any = None) -> None:
        """Measure a batch.

        Parameters
        ----------
        preds, target : Tensor or ndarray of shape (B, *S) or (B, 1, *S), or a list of images
            Label maps, or channels as `input_format` says.
        mask : Tensor or ndarray of shape (B, *S) or (B, 1, *S), or a list, optional
            Nonzero where pixels count.
        """
        function = type(self).function
        options = {name: getattr(self, name) for name in options_of(function)}
        values = function(preds, target, mask=mask, **options).to(self.device)
        if self.reduction == "none":
            self._get("values").append(values)
            return
        self._set("n_images", self._get("n_images") + len(values))
        if self._class_axis and self.reduction == "mean":
            values = values.mean(1) if self.ignore_empty == "never" else values.nanmean(1)
        kept = torch.ones_like(values, dtype=torch.bool)
        if self.ignore_empty != "never":
            kept = ~values.isnan()
        summed = values.where(kept, 0.0).sum(0)
        if self._value_names():
            kept = kept[..., 0]
            self._set("n_values", self._get("n_values").clamp(min=values.shape[-1]))
            summed = torch.nn.functional.pad(summed, (0, self._get("total").shape[-1] - summed.shape[-1]))
        self._set("total", self._get("total") + summed)
        self._set("count", self._get("count") + kept.sum(0))

    def _sync_dist(self, dist_sync_fn: Any = gather_all_tensors, process_group: Any | None = None) -> None:
        if self.reduction != "none":
            super()._sync_dist(dist_sync_fn, process_group)
            return
        # A process that measured nothing sends a tensor of as many axes, or the others would wait for ever.
        n_axes = 1 + len(self._class_axis) + bool(self._value_names())
        nothing = torch.empty((0,) * n_axes, dtype=torch.float64, device=self.device)
        own = dim_zero_cat(self._get("values") or [nothing])
        gathered = dist_sync_fn(own, process_group or self.process_group)
        self._set("values", dim_zero_cat([part for part in gathered if len(part)] or [own]))

    def compute(self) -> torch.Tensor:
        """Return the mean over all images (and classes), the mean of each class, or every image's values."""
        if self.reduction == "none":
            if not len(self._get("values")):
                raise self._nothing_measured()
            values = dim_zero_cat(self._get("values"))
            first = values[..., 0] if self._value_names() else values
            self._counts = (~first.isnan()).sum(0)
        else:
            if int(self._get("n_images")) == 0:
                raise self._nothing_measured()
            total, self._counts = self._get("total"), self._get("count")
            if self._value_names():
                values = total[..., : int(self._get("n_values"))] / self._counts[..., None]
            else:
                values = total / self._counts
        self._shape = tuple(values.shape)
        return values

    def counts(self) -> torch.Tensor:
        """Return how many images are in the mean: those that `ignore_empty` does not leave out.

        Returns
        -------
        Tensor
            int64, a scalar, or (K,) for each of K > 1 classes unless ``reduction="mean"``.
        """
        self.compute()
        return self._counts

    def as_dict(self) -> dict[str, torch.Tensor]:
        """Return what `compute` returns by the names of values and classes, as loggers take it.

        Returns
        -------
        dict of str to Tensor
            Scalars, or (N,) for N images with ``reduction="none"``, under names such as
            ``"BettiError_b0_class_1"``.
        """
        return self._named(self.compute().reshape(self._shape))

    def _named(self, values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the parts of a result by name; its last axes are classes and values."""
        class_names, value_names = self._class_names(), self._value_names()
        n_axes = bool(class_names) + bool(value_names)
        if values.ndim < n_axes:  # torchmetrics makes one value a scalar
            values = values.reshape((1,) * n_axes)
        parts = {type(self).__name__: values}
        if value_names:
            split = values.unbind(-1)
            parts = {f"{k}_{n}": v for k in parts for n, v in zip(value_names, split, strict=False)}
        if class_names:
            parts = {f"{k}_{c}": v[..., i] for k, v in parts.items() for i, c in enumerate(class_names)}
        return parts

    def plot(self, val: torch.Tensor | Sequence[torch.Tensor] | None = None, ax: Any = None) -> Any:
        """Plot one result or a series of them; needs Matplotlib.

        Parameters
        ----------
        val : Tensor of shape (…), or a sequence of them, optional
            What `forward` or `compute` returned; by default what `compute` returns now.
        ax : matplotlib.axes.Axes, optional
            Where to draw.

        Returns
        -------
        tuple
            Figure, None where `ax` was given, and axes.
        """
        if val is None:
            val = self.compute()
        if not self._value_names() and not self._class_names():
            return self._plot(val, ax)
        return self._plot(self._named(val) if isinstance(val, torch.Tensor) else [*map(self._named, val)], ax)

    def _nothing_measured(self) -> InputError:
        return InputError(
            f"{type(self).__name__}: compute() before any image was measured; call update first"
        )


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
    elif name == "background":
        check_choice(metric, name, value, BACKGROUNDS)
    elif name == "tolerance":
        check_number(metric, name, value, low=0)
    elif name == "spacing" and value is not None:
        check_spacing(metric, value, 1 if isinstance(value, int | float) else len(value))
