"""What a segmentation loss reads, logits, labels and weights, and what it refuses, by name."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import as_mask, check_dense, check_number, check_spacing, fail, plain_tensor, reject_nan
from topodl._host import reject_mapped
from topodl.losses._channel_targets import class_of_each_pixel

__all__ = [
    "INTEGERS",
    "check_logits_shape",
    "check_probabilities",
    "extremes",
    "label_out_of_range",
    "notice_double_activation",
    "one_label",
    "read_class_weights",
    "read_labels",
    "read_pixel_weights",
    "sides_in_pixels",
    "split_shares",
    "warn_of_double_activation",
]

_ONE_BATCH = 'one batch; reduction="none" gives the value of each sample, and torch.func.jacrev its gradient'
INTEGERS = "integer labels; soft ones are defined for CEDiceLoss and MosinLoss alone"


def read_labels(
    function: str,
    target: torch.Tensor,
    ignore_index: int | None = None,
    mask: torch.Tensor | None = None,
    like: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return `target` (B, 1, *S) or (B, *S) as labels (B, *S) of type int64, -1 where they are ignored.

    `like` are the logits (B, C, *S) whose size and device the labels must have.
    """
    labels = _drop_channel(function, "target", check_dense(function, "target", target), like)
    reject_mapped(function, "target", labels, _ONE_BATCH)
    labels = _to_integers(function, labels)
    ignored = torch.zeros((), dtype=torch.bool, device=labels.device)
    if ignore_index is not None:
        check_number(function, "ignore_index", ignore_index, integer=True)
        ignored = labels == ignore_index
    if mask is not None:
        kept = "pixels count (their weights are pixel_weights)"
        counted = _drop_channel(function, "mask", as_mask(function, "mask", mask, kept), like)
        if counted.shape != labels.shape:
            raise fail(function, "mask", f"has shape {tuple(counted.shape)}", f"shape {tuple(labels.shape)}")
        ignored = ignored | ~counted.to(labels.device)
    nothing_ignored = ignored.ndim == 0
    if (like is None or not nothing_ignored) and bool(((labels < 0) & ~ignored).any()):
        raise label_out_of_range(function, labels.masked_fill(ignored, 0), None)
    return labels if nothing_ignored else labels.masked_fill(ignored, -1)


def read_pixel_weights(function: str, weights: Any, logits: torch.Tensor) -> torch.Tensor | None:
    """Return weights (B, 1, *S) or (B, *S) of pixels as (B, *S), in the dtype of the logits (B, C, *S)."""
    if weights is None:
        return None
    weights = _drop_channel(
        function, "pixel_weights", check_dense(function, "pixel_weights", weights), logits
    )
    return check_pixel_weights(function, weights.detach().to(logits.device, logits.dtype))


def check_pixel_weights(function: str, weights: torch.Tensor) -> torch.Tensor:
    """Return `weights`, or raise if some cannot be weights."""
    if not bool((weights >= 0).all()) or bool(weights.isinf().any()):
        raise fail(
            function, "pixel_weights", "has negative, infinite or NaN entries", "finite ones of at least 0"
        )
    return weights


def one_label(function: str, label: Any) -> torch.Tensor:
    """Return one label as a tensor (1, *S): of an array or image (H, W), of (H, W, 1) or (1, *S)."""
    expected = "one label of shape (H, W), (H, W, 1) or (1, *S), with one value a pixel"
    if hasattr(label, "getbands"):  # of Pillow
        if len(label.getbands()) > 1:
            raise fail(function, "label", f"is an image of mode {label.mode}", expected)
        label = np.asarray(label)
    if isinstance(label, np.ndarray):
        label = torch.from_numpy(np.require(label, requirements=["C", "W"]))
    label = check_dense(function, "label", label)
    if label.ndim == 2:
        return label[None]
    if label.ndim == 3 and len(label) > 1 and label.shape[-1] == 1:  # as albumentations has images
        return label[..., 0][None]
    if label.ndim < 2 or len(label) != 1:
        raise fail(function, "label", f"has shape {tuple(label.shape)}", expected)
    return label


def split_shares(
    function: str,
    logits: torch.Tensor,
    target: torch.Tensor,
    ignore_index: int | None,
    activation: str,
    takes_soft: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return labels (B, *S) as `read_labels` takes them, and the shares of classes that they come from."""
    if not isinstance(target, torch.Tensor):
        return target, None  # which is refused next
    if logits.shape[1] > 1:
        if target.shape != logits.shape:
            return target, None
        if activation != "softmax":
            came = f"has shape {tuple(target.shape)}, that of the logits, with activation={activation!r}"
            expected = 'labels (B, 1, *S) or (B, *S); "softmax" for classes or "sigmoid" for regions'
            raise fail(function, "target", came, expected)
        return class_of_each_pixel(target, ignore_index), target
    if not takes_soft or not target.is_floating_point() or torch.equal(target, target.round()):
        return target, None
    shares = _drop_channel(function, "target", target, logits)
    labels = (shares > 0.5).long()
    if ignore_index is not None:
        labels.masked_fill_(shares == ignore_index, ignore_index)
    return labels, shares[:, None]


def check_logits_shape(function: str, logits: torch.Tensor, dims: tuple[int, ...]) -> None:
    """Refuse what is not a batch of floating-point logits of one of `dims` dimensions."""
    reject_mapped(function, "logits", check_dense(function, "logits", logits), _ONE_BATCH)
    shapes = " or ".join({2: "(B, C, H, W)", 3: "(B, C, D, H, W)"}[d] for d in dims)
    if logits.ndim - 2 not in dims or 0 in logits.shape:
        raise fail(function, "logits", f"has shape {tuple(logits.shape)}", f"shape {shapes}, no side empty")
    if not logits.is_floating_point():
        raise fail(function, "logits", f"has dtype {logits.dtype}", "a floating-point dtype")


def _drop_channel(
    function: str, argument: str, value: torch.Tensor, like: torch.Tensor | None
) -> torch.Tensor:
    if like is None:
        if value.ndim not in (2, 3, 4, 5) or value.numel() == 0:
            raise fail(function, argument, f"has shape {tuple(value.shape)}", "shape (B, 1, *S) or (B, *S)")
        if value.ndim == 2:
            return value[None]
        return value[:, 0] if value.ndim >= 4 and value.shape[1] == 1 else value
    batch, _, *size = like.shape
    if tuple(value.shape) == (batch, 1, *size):
        return value[:, 0]
    if tuple(value.shape) == (batch, *size):
        return value
    raise fail(
        function,
        argument,
        f"has shape {tuple(value.shape)}",
        f"shape {(batch, 1, *size)} or {(batch, *size)} for logits of shape {tuple(like.shape)}",
    )


def _to_integers(function: str, labels: torch.Tensor) -> torch.Tensor:
    if labels.is_complex():
        raise fail(function, "target", f"has dtype {labels.dtype}", "an integer dtype")
    if labels.is_floating_point():
        reject_nan(function, "target", labels, "integer labels")
        if not torch.equal(labels, labels.round()):
            raise fail(function, "target", "has fractional values", INTEGERS)
    return labels.to(torch.int64)


def extremes(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float, int, int]:
    """Return lowest and highest logit and label; one copy from the device brings all four."""
    low, high = torch.aminmax(logits.detach())
    lowest, highest = torch.aminmax(labels)
    if logits.device.type == "cpu" and labels.device.type == "cpu":
        return float(low), float(high), int(lowest), int(highest)
    four = torch.stack([v.to(logits.device, torch.float64) for v in (low, high, lowest, highest)]).tolist()
    return four[0], four[1], int(four[2]), int(four[3])


def check_probabilities(function: str, low: float, high: float) -> None:
    """Refuse what does not lie in [0, 1], up to rounding."""
    if low < -1e-6 or high > 1 + 1e-6:
        raise fail(
            function,
            "logits",
            f"has values in [{low:g}, {high:g}] with activation='none'",
            'probabilities in [0, 1]; pass activation="auto" for logits',
        )


def notice_double_activation(
    function: str, logits: torch.Tensor, low: float, high: float, activation: str, stated: bool
) -> None:
    """Refuse several channels in [0, 1] that sum to 1 in each pixel: they are probabilities.

    One channel cannot be told from logits that happen to be small, as those of a fresh network are: it is
    warned of, unless "sigmoid" was named.
    """
    if low < 0 or high > 1 or low == high:
        return
    if activation == "sigmoid":
        if not stated:
            warn_of_double_activation(function)
        return
    tolerance = 1e-3 if logits.dtype == torch.float32 else 1e-6
    if bool(((logits.detach().sum(1) - 1).abs() <= tolerance).all()):
        came = "looks like probabilities, which would be activated twice"
        raise fail(function, "logits", came, 'logits, or activation="none"')


@functools.cache
def warn_of_double_activation(function: str) -> None:
    """Warn once a function."""
    warnings.warn(
        f"{function}: all logits lie in [0, 1]; if they are probabilities, they are activated twice: pass "
        'activation="none". For logits, activation="sigmoid" silences this',
        UserWarning,
        stacklevel=2,
    )


def label_out_of_range(function: str, labels: torch.Tensor, n_classes: int | None) -> Exception:
    """Return the error that names the first label outside [0, `n_classes`)."""
    wrong = labels < 0 if n_classes is None else (labels < 0) | (labels >= n_classes)
    sample, *position = wrong.nonzero()[0].tolist()
    value = int(labels[(sample, *position)])
    upper = "C" if n_classes is None else n_classes
    return fail(
        function,
        f"target[{sample}]",
        f"has the label {value} at {tuple(position)}",
        f"labels in [0, {upper}) or ignore_index",
    )


def sides_in_pixels(
    function: str, spacing: float | Sequence[float] | None, dims: int
) -> tuple[float, ...] | None:
    """Return the sides of a pixel as multiples of the smallest, so that no unit of length changes a loss."""
    if spacing is None:
        return None
    sides = check_spacing(function, spacing, dims)
    return tuple(side / min(sides) for side in sides)


def read_class_weights(
    function: str, class_weights: Sequence[float] | None, logits: torch.Tensor
) -> torch.Tensor | None:
    """Return the weights (C,) in the logits' dtype, on their device."""
    if class_weights is None:
        return None
    expected = f"{logits.shape[1]} finite weights of at least 0"
    try:
        weights = torch.as_tensor(plain_tensor(class_weights), dtype=logits.dtype, device=logits.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise fail(function, "class_weights", f"is {class_weights!r}", expected) from error
    if weights.shape != (logits.shape[1],) or not bool(((weights >= 0) & weights.isfinite()).all()):
        raise fail(function, "class_weights", f"is {class_weights!r}", expected)
    return weights
