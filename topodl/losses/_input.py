"""The input of a segmentation loss: checked once, brought to one form, with its activation applied once.

One fused reduction of the logits and one of the labels decide; positions are looked for only in bad input.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypedDict, TypeVar

import torch
import torch.nn.functional as F

from topodl._checks import check_choice, check_dense, check_number, fail, plain_tensor
from topodl._overflow import NON_FINITE, NonFinite, nan_for_samples, warn_of_overflow
from topodl._precision import at_least_single, full_precision
from topodl.losses._channel_targets import (
    are_regions,
    check_shares,
    naming_region,
    options_of_region,
    refuse_class_shares,
)
from topodl.losses._option_names import unknown_loss_option
from topodl.losses._overflow import NonFiniteLogitsError, check_finite
from topodl.losses._reading import (
    INTEGERS,
    check_logits_shape,
    check_probabilities,
    extremes,
    label_out_of_range,
    notice_double_activation,
    read_class_weights,
    read_labels,
    read_pixel_weights,
    split_shares,
)
from topodl.losses._targets import Prepare, TargetCache, TargetParts, take_part, target_parts

__all__ = [
    "Activation",
    "CommonOptions",
    "Reduction",
    "SegmentationBatch",
    "loss_function",
]

Activation = Literal["auto", "softmax", "sigmoid", "none"]
Reduction = Literal["mean", "sum", "none"]

_P = ParamSpec("_P")
_T = TypeVar("_T", contravariant=True)  # a target, or None where a loss needs none


class _Loss(Protocol[_T, _P]):
    def __call__(
        self, logits: torch.Tensor, target: _T, *args: _P.args, **kwargs: _P.kwargs
    ) -> torch.Tensor: ...


class CommonOptions(TypedDict, total=False):
    """The options that every segmentation loss has, with the same default and meaning in all of them.

    Parameters
    ----------
    activation : {"auto", "softmax", "sigmoid", "none"}, default="auto"
        What turns `logits` into probabilities: "auto" is the sigmoid for one channel and softmax for more;
        "none" says that probabilities come in. With a target (B, C, *S) "sigmoid" and "none" take each
        channel for a region by itself, and the loss is the mean of theirs; with "softmax" the target has
        the shares of the classes, 0 and 1 or soft.
    class_weights : sequence of C floats, optional
        Weight of each class, or region, in every term that is a mean over classes.
    label_smoothing : float, default=0
        Share of the cross-entropy's target that is spread evenly over all classes (over foreground and
        background for one channel). An error for a loss without cross-entropy.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over the samples of the batch; "none" returns (B,).
    ignore_index : int, optional
        Label of pixels that count nowhere.
    mask : Tensor of shape (B, 1, *S) or (B, *S), optional
        Nonzero where pixels count; booleans or integers, or 0 and 1 as floats.
    pixel_weights : Tensor of shape (B, 1, *S) or (B, *S), optional
        Weight of each pixel in the mean that is the cross-entropy, at least 0 and without gradient. An error
        where the options leave no cross-entropy.
    non_finite : {"nan", "raise"}, default="nan"
        What becomes of NaN and infinite logits: "nan" makes the loss and the gradient of the sample NaN, with
        a warning that names it, so that a scaler of gradients skips the step; "raise" is an error.
    """

    activation: Activation
    class_weights: Sequence[float] | None
    reduction: Reduction
    ignore_index: int | None
    mask: torch.Tensor | None
    pixel_weights: torch.Tensor | None
    non_finite: NonFinite
    label_smoothing: float


def loss_function(function: Callable[Concatenate[torch.Tensor, _T, _P], torch.Tensor]) -> _Loss[_T, _P]:
    """Guard a loss: sums over images never run in half precision, and logits that overflowed make it NaN.

    Under mixed precision an overflow is ordinary: the scaler of gradients sees it, and skips the step. Where
    the channels are regions, the loss is the mean of that of each.
    """
    own = inspect.signature(function).parameters
    known = {
        name for name, p in own.items() if p.kind is p.KEYWORD_ONLY
    } | CommonOptions.__annotations__.keys()

    @functools.wraps(function)
    def guarded(logits: torch.Tensor, target: _T, *args: _P.args, **kwargs: _P.kwargs) -> torch.Tensor:
        if not kwargs.keys() <= known:
            raise unknown_loss_option(function.__name__, min(kwargs.keys() - known), known)
        logits, target = plain_tensor(logits), plain_tensor(target)
        for name, value in (("logits", logits), ("target", target)):
            if isinstance(value, torch.Tensor):
                check_dense(function.__name__, name, value)

        def evaluate(logits: torch.Tensor) -> torch.Tensor:
            if are_regions(logits, target, str(kwargs.get("activation", "auto"))):
                return _mean_over_regions(function, logits, target, kwargs)
            return function(logits, target, *args, **kwargs)

        with full_precision(logits):
            try:
                return evaluate(logits)
            except NonFiniteLogitsError as error:
                if kwargs.get("non_finite", "nan") == "raise":
                    raise
                warn_of_overflow(f"{error}; the loss is NaN")
                value = evaluate(logits.index_fill(0, error.samples, 0.0))
                return nan_for_samples(value, error.samples, [logits])

    return guarded


def _mean_over_regions(
    function: Callable[..., torch.Tensor], logits: torch.Tensor, target: Any, options: Mapping[str, Any]
) -> torch.Tensor:
    """Return the weighted mean of the loss of each channel of `logits` and `target` (B, C, *S)."""
    name, n_regions = function.__name__, logits.shape[1]
    check_finite(name, logits)
    if options.get("activation") == "none":
        refuse_class_shares(name, logits)
    weights = read_class_weights(name, options.get("class_weights"), at_least_single(logits))
    values = []
    for region in range(n_regions):
        own = options_of_region(name, options, region, n_regions)
        with naming_region(region):
            values.append(function(logits[:, region : region + 1], target[:, region], **own))
    stacked = torch.stack(values, -1)
    return (stacked if weights is None else stacked * weights).mean(-1)


@dataclass(eq=False)
class SegmentationBatch:
    """Logits (B, C, *S) in float32 or float64 and labels (B, *S), where -1 marks what is ignored."""

    function: str
    logits: torch.Tensor
    labels: torch.Tensor
    activation: Literal["softmax", "sigmoid", "none"]
    class_weights: torch.Tensor | None
    reduction: Reduction
    any_ignored: bool
    shares: torch.Tensor | None = None  # of the classes in each pixel (B, C, *S), where labels are soft
    label_smoothing: float = 0.0
    smoothed: bool = False  # whether a cross-entropy asked for the smoothed labels
    pixel_weights: torch.Tensor | None = None
    weighted: bool = False  # whether a cross-entropy asked for them

    @classmethod
    def read(
        cls,
        function: str,
        logits: torch.Tensor,
        target: torch.Tensor,
        *,
        dims: tuple[int, ...] = (2, 3),
        activation: Activation = "auto",
        class_weights: Sequence[float] | None = None,
        reduction: Reduction = "mean",
        ignore_index: int | None = None,
        mask: torch.Tensor | None = None,
        pixel_weights: torch.Tensor | None = None,
        non_finite: NonFinite = "nan",
        label_smoothing: float = 0.0,
        takes_soft: bool = False,
    ) -> SegmentationBatch:
        """Check everything and return the batch; `dims` lists the spatial dimensions that are supported."""
        check_choice(function, "activation", activation, ("auto", "softmax", "sigmoid", "none"))
        check_choice(function, "reduction", reduction, ("mean", "sum", "none"))
        check_choice(function, "non_finite", non_finite, NON_FINITE)
        check_number(function, "label_smoothing", label_smoothing, low=0.0, high=1.0)
        check_logits_shape(function, logits, dims)
        n_classes = logits.shape[1]
        stated = activation != "auto"
        if activation == "auto":
            activation = "sigmoid" if n_classes == 1 else "softmax"
        elif activation == "softmax" and n_classes == 1:
            raise fail(function, "activation", "is 'softmax' for one channel", "'sigmoid', 'none' or 'auto'")
        named = activation if stated else "auto"
        classes, shares = split_shares(function, logits, target, ignore_index, named, takes_soft)
        labels = read_labels(function, classes, ignore_index, mask, like=logits).to(logits.device)
        logits = at_least_single(logits)
        if shares is not None:
            soft = check_shares(function, shares, labels, ignore_index)
            if soft and not takes_soft:
                raise fail(function, "target", "has soft labels", INTEGERS)
            shares = torch.where(labels[:, None] >= 0, shares.to(logits), 0.0) if soft else None
        low, high, lowest, highest = extremes(logits, labels)
        check_finite(function, logits, low, high)
        if activation == "none":
            check_probabilities(function, low, high)
        else:
            notice_double_activation(function, logits, low, high, activation, stated)
        may_ignore = ignore_index is not None or mask is not None
        if highest >= max(n_classes, 2) or lowest < (-1 if may_ignore else 0):
            raise label_out_of_range(
                function, labels.masked_fill(labels == -1, 0 if may_ignore else -1), max(n_classes, 2)
            )
        weights = read_class_weights(function, class_weights, logits)
        return cls(
            function,
            logits,
            labels,
            activation,
            weights,
            reduction,
            lowest < 0,
            shares,
            float(label_smoothing),
            pixel_weights=read_pixel_weights(function, pixel_weights, logits),
        )

    @functools.cached_property
    def log_probabilities(self) -> torch.Tensor:
        """Logarithm of the probabilities, (B, C, *S)."""
        if self.activation == "softmax":
            return F.log_softmax(self.logits, 1)
        if self.activation == "sigmoid":
            return F.logsigmoid(self.logits)
        return self.logits.clamp_min(1e-12).log()

    @functools.cached_property
    def probabilities(self) -> torch.Tensor:
        """Probability of each channel, (B, C, *S)."""
        if self.activation == "softmax":
            return self.log_probabilities.exp()
        return self.logits.sigmoid() if self.activation == "sigmoid" else self.logits

    @functools.cached_property
    def winners(self) -> torch.Tensor:
        """The label that each pixel is given, (B, *S): the first of the likeliest, or 1 above 1/2."""
        scores = self.logits.detach()
        if scores.shape[1] == 1:
            return (scores[:, 0] > (0.5 if self.activation == "none" else 0.0)).to(torch.int16)
        # argmax over channels takes ten times as long on the CPU
        best, winner = scores[:, 0], torch.zeros_like(self.labels, dtype=torch.int16)
        for channel in range(1, scores.shape[1]):
            higher = scores[:, channel] > best
            best = torch.where(higher, scores[:, channel], best)
            winner.masked_fill_(higher, channel)
        return winner

    @functools.cached_property
    def valid(self) -> torch.Tensor | None:
        """Booleans (B, *S), False where a pixel is ignored; None if all count."""
        return self.labels >= 0 if self.any_ignored else None

    def zeros(self) -> torch.Tensor:
        """Return a loss of 0 for each sample, (B,), of which the logits get a gradient of 0."""
        return self.logits.flatten(1)[:, :0].sum(1)

    def channels(self, include_background: bool) -> range:
        """Return the channels that count: all, or all but the first of several."""
        n_channels = self.logits.shape[1]
        return range(0 if include_background or n_channels == 1 else 1, n_channels)

    def label_of(self, channel: int) -> int:
        """Return the label that `channel` stands for: a single channel is the foreground, 1."""
        return 1 if self.logits.shape[1] == 1 else channel

    def class_mask(self, channel: int) -> torch.Tensor:
        """Return the booleans (B, *S) of the pixels whose label is that of `channel`."""
        return self.labels == self.label_of(channel)

    def one_hot(self, channels: range) -> torch.Tensor:
        """Return the labels as 0 and 1, or as shares, (B, len(channels), *S), in the logits' dtype."""
        return self._one_hot[:, channels.start : channels.stop]

    def smoothed_one_hot(self) -> torch.Tensor:
        """Return what a cross-entropy compares with, (B, C, *S): the labels as 0 and 1, smoothed."""
        self.smoothed = True
        if not self.label_smoothing:
            return self._one_hot
        share = self.label_smoothing / max(self.logits.shape[1], 2)
        smoothed = self._one_hot * (1 - self.label_smoothing) + share
        return smoothed if self.valid is None else smoothed * self.valid[:, None]

    def counted_weights(self) -> torch.Tensor | None:
        """Return the weights of the pixels in a cross-entropy, 0 where ignored; None if none are given."""
        self.weighted = True
        if self.pixel_weights is None or self.valid is None:
            return self.pixel_weights
        return self.pixel_weights * self.valid

    @functools.cached_property
    def _one_hot(self) -> torch.Tensor:
        if self.shares is not None:
            return self.shares
        one_hot = torch.empty(self.logits.shape, dtype=self.logits.dtype, device=self.logits.device)
        for channel in range(self.logits.shape[1]):
            torch.eq(self.labels, self.label_of(channel), out=one_hot[:, channel])
        return one_hot

    def weigh_classes(self, values: torch.Tensor, channels: range) -> torch.Tensor:
        """Return the mean over classes of `values` (B, len(channels)), each times its class's weight."""
        if self.class_weights is None:
            return values.mean(1)
        return (values * self.class_weights[channels.start : channels.stop]).mean(1)

    def reduce(self, values: torch.Tensor) -> torch.Tensor:
        """Reduce one value a sample, (B,), as the caller asked."""
        if self.label_smoothing and not self.smoothed:
            expected = "0, as there is no cross-entropy in this loss with these options"
            raise fail(self.function, "label_smoothing", f"is {self.label_smoothing}", expected)
        if self.pixel_weights is not None and not self.weighted:
            expected = "none, as there is no cross-entropy in this loss with these options"
            raise fail(self.function, "pixel_weights", "are given", expected)
        if self.reduction == "none":
            return values
        return values.mean() if self.reduction == "mean" else values.sum()

    def target_parts(self, precomputed: TargetParts | TargetCache | None, prepare: Prepare) -> TargetParts:
        """Return what `prepare` makes of the labels: as handed in, from the cache, or computed now."""
        if precomputed is None or isinstance(precomputed, TargetCache):
            return target_parts(self.labels, prepare, precomputed)
        return {name: plain_tensor(part) for name, part in precomputed.items()}

    def take_map(self, parts: TargetParts, name: str) -> torch.Tensor:
        """Return the map `name` of the labels, (B, *S), in the logits' dtype."""
        part = take_part(self.function, parts, name, tuple(self.labels.shape), self.logits)
        return part.to(self.logits.dtype)
