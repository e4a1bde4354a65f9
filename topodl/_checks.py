"""Every check of input; a message says the function, the argument, what came and what was expected."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from topodl._host import whole_values
from topodl.errors import InputError

__all__ = [
    "as_dims",
    "as_mask",
    "as_real",
    "as_tensor",
    "check_choice",
    "check_connectivity",
    "check_dense",
    "check_number",
    "check_spacing",
    "check_tensor",
    "count_up_to",
    "fail",
    "plain_tensor",
    "reject_colours_last",
    "reject_export",
    "reject_nan",
    "reject_non_finite",
    "reject_scripting",
    "reject_tracing",
    "sizes_of_clouds",
    "unknown_option",
]

_MOST = 2**31  # vertices, or graphs, that are told by their numbers
_SIDE_OF_IMAGES = 16  # pixels that images have along both axes at least


def fail(function: str, argument: str, came: str, expected: str) -> InputError:
    """Return the error that says `argument` of `function` `came` as it did, and what was expected.

    Examples
    --------
    >>> raise fail("cubical_persistence", "x", "has shape (3,)", "shape (B, H, W) or (B, D, H, W)")
    Traceback (most recent call last):
    topodl.errors.InputError: cubical_persistence: x has shape (3,); expected shape (B, H, W) or (B, D, H, W)
    """
    return InputError(f"{function}: {argument} {came}; expected {expected}")


def unknown_option(function: str, option: str, known: str, elsewhere: Mapping[str, str]) -> TypeError:
    """Return the error of an `option` that is not `known`, with what says the same, if it is one `elsewhere`.

    Examples
    --------
    >>> raise unknown_option("SCNP", "kernel", "its options are window", {"kernel": "window says it"})
    Traceback (most recent call last):
    TypeError: SCNP has no option 'kernel'; window says it; its options are window
    """
    hint = f"{elsewhere[option]}; " if option in elsewhere else ""
    return TypeError(f"{function} has no option {option!r}; {hint}{known}")


def check_tensor(function: str, argument: str, value: Any) -> torch.Tensor:
    """Return `value` as a plain tensor, and raise a `TypeError` that names the argument if it is none.

    The imaginary part of a conjugate is stored with the other sign, which NumPy does not know: it is copied.
    """
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{function}: {argument} is a {type(value).__name__}; expected a torch.Tensor")
    reject_tracing(function)
    value = plain_tensor(value)
    return value if torch.compiler.is_compiling() or not value.is_neg() else value.resolve_neg()


def plain_tensor(value: Any) -> Any:
    """Return a tensor without what a subclass of users adds to it, and anything else as it is.

    MONAI's `MetaTensor` and torchvision's `Image` redefine operations, and cost time in each of them.
    Subclasses that take part in dispatch stay: what they hold is not there, or is elsewhere.
    """
    kind = type(value)
    if kind is torch.Tensor or kind is torch.nn.Parameter or not isinstance(value, torch.Tensor):
        return value
    dispatches = kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__
    return value if dispatches else value.as_subclass(torch.Tensor)


def as_tensor(value: Any) -> torch.Tensor:
    """Return a tensor as a plain one, and anything else as one on the CPU, whatever default device is set."""
    if isinstance(value, torch.Tensor):
        return plain_tensor(value)
    if isinstance(value, np.ndarray) and (not value.flags.writeable or min(value.strides, default=0) < 0):
        value = value.copy()  # PyTorch takes neither as they are
    try:
        return torch.as_tensor(value, device="cpu")
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"a {type(value).__name__} is no tensor; expected one, an array or numbers"
        ) from error


def count_up_to(function: str, argument: str, largest: int) -> int:
    """Return how many numbers there are up to the `largest`, or raise where no memory has room for them."""
    if largest >= _MOST:
        raise fail(function, argument, f"has {largest}", f"numbers below {_MOST}, from 0 on")
    return largest + 1


def sizes_of_clouds(
    function: str, argument: str, batch: Any, n_points: int
) -> tuple[torch.Tensor, list[int]]:
    """Return the cloud of each of `n_points` points as a tensor, and how many points each cloud has."""
    batch = check_dense(function, argument, batch)
    if batch.is_floating_point() or batch.is_complex() or batch.dtype == torch.bool:
        raise TypeError(f"{function}: {argument} has dtype {batch.dtype}; expected integers")
    if batch.shape != (n_points,):
        came = f"has shape {tuple(batch.shape)}"
        raise fail(function, argument, came, f"one cloud for each of the {n_points} points")
    if not n_points:
        return batch, []
    if int(batch.min()) < 0:
        raise fail(function, argument, f"has {int(batch.min())}", "clouds from 0 on")
    last = int(batch.max())
    sizes = torch.bincount(batch).tolist() if last < n_points else []  # else one has to be missing
    if not sizes or 0 in sizes:
        missing = min(set(range(n_points)).difference(batch.tolist()))
        expected = f"at least one of each from 0 to {last}"
        raise fail(function, argument, f"has no point of cloud {missing}", expected)
    return batch, sizes


def reject_tracing(function: str) -> None:
    """Raise an `InputError` inside `torch.jit.trace`, which would keep what its example's values decide."""
    if not torch.compiler.is_compiling() and torch._C._get_tracing_state() is not None:
        raise InputError(f"{function}: torch.jit.trace keeps its example's values; expected torch.export")


def reject_export(function: str) -> None:
    """Raise an `InputError` inside `torch.export` where sizes between input and result depend on values."""
    if torch.compiler.is_exporting():
        expected = "a layer that sees one bar at a time, or torch.compile"
        raise InputError(
            f"{function}: torch.export fixes how many pairs of bars there are; expected {expected}"
        )


def reject_scripting(module: torch.nn.Module) -> None:
    """Raise an `InputError`: what `torch.jit.script` knows of Python is not enough; it calls this first."""
    name = type(module).__name__
    raise InputError(f"{name}: torch.jit.script does not know its Python; expected torch.export")


def check_dense(function: str, argument: str, value: Any) -> torch.Tensor:
    """Return `value` if it is a tensor of plain entries, or raise the `TypeError` that says what it is.

    Sparse, nested, quantised and meta tensors and those of 8-bit floats lack most of PyTorch's operations.
    """
    x = check_tensor(function, argument, value)
    expected = "expected a dense tensor with data"
    if x.is_nested or x.is_quantized:
        kind = "nested" if x.is_nested else f"quantised ({x.dtype})"
        raise TypeError(f"{function}: {argument} is {kind}; {expected}")
    if x.layout is not torch.strided or x.is_meta:
        raise TypeError(f"{function}: {argument} has layout {x.layout} on {x.device}; {expected}")
    if x.is_floating_point() and x.dtype.itemsize < 2:
        raise TypeError(f"{function}: {argument} has dtype {x.dtype}; expected floats of at least 16 bits")
    return x


def as_mask(function: str, argument: str, value: Any, kept: str) -> torch.Tensor:
    """Return `value` as booleans, True where it is not 0; `kept` says what is there.

    Floats between 0 and 1 would be weights, or the logits of a mask.

    Examples
    --------
    >>> import torch
    >>> as_mask("cka", "mask", torch.tensor([0.0, 1.0]), "tokens are")
    tensor([False,  True])
    """
    x = check_dense(function, argument, value)
    if x.is_floating_point() and bool(((x != 0) & (x != 1)).any()):
        expected = f"nonzero where {kept}, as booleans or integers, or 0 and 1"
        raise fail(function, argument, "has floats other than 0 and 1", expected)
    return x != 0


def as_real(function: str, argument: str, value: Any) -> torch.Tensor:
    """Return `value` as a tensor of floating-point numbers, or raise the error that says why it is none."""
    x = check_dense(function, argument, value)
    if x.is_complex():
        raise TypeError(f"{function}: {argument} has dtype {x.dtype}; expected real values")
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def reject_colours_last(function: str, argument: str, shape: Sequence[int], of_bytes: bool) -> None:
    """Raise an `InputError` if images (B, H, W, 3) or (B, H, W, 4) of bytes would be read as volumes.

    Of floats there are thin volumes of that shape, too: where both other sides are long, there is a warning.
    """
    if len(shape) != 4 or shape[-1] not in (3, 4):
        return
    if of_bytes and shape[1] > 4:
        expected = "images with one value a pixel, colours as an axis of channels, (B, C, H, W), or floats"
        raise fail(
            function, argument, f"has bytes of shape {tuple(shape)}, with colours as last axis", expected
        )
    if min(shape[1:3]) >= _SIDE_OF_IMAGES:
        warnings.warn(
            f"{function}: {argument} has shape {tuple(shape)} and is read as volumes (B, D, H, W); if the "
            "last axis is that of colours, give one value a pixel, or colours as channels, (B, C, H, W)",
            stacklevel=4,
        )


def reject_nan(function: str, argument: str, value: torch.Tensor, expected: str) -> None:
    """Raise an `InputError` that names the sample and the position of the first NaN in `value` (B, …).

    While a compiler or an exporter traces, there are no values to look at: NaN then passes into the result.
    """
    # One reduction decides; the position is looked for only when there is a NaN to report.
    if torch.compiler.is_compiling() or not value.is_floating_point() or value.numel() == 0:
        return
    values = whole_values(value)
    if not bool(torch.isnan(values.sum())):
        return
    where = torch.isnan(values).nonzero()
    if where.numel() == 0:  # the sum was inf - inf
        return
    sample, *position = where[0].tolist()
    at = f" at ({', '.join(map(str, position))})" if position else ""
    raise fail(function, f"{argument}[{sample}]", f"has NaN{at}", expected)


def reject_non_finite(function: str, argument: str, value: torch.Tensor) -> None:
    """Raise an `InputError` that names the sample of the first NaN or infinity in `value` (B, …)."""
    if torch.compiler.is_compiling() or math.isfinite(float(whole_values(value).sum())):
        return
    reject_nan(function, argument, value, "finite values")
    infinite = whole_values(value).isinf().nonzero()
    if len(infinite):  # the sum of large values may be infinite, too
        raise fail(function, f"{argument}[{int(infinite[0, 0])}]", "has an infinite value", "finite values")


def as_dims(dims: int | Iterable[int]) -> tuple[int, ...]:
    """Return the homology dimensions that an integer of any kind or several of them stand for."""
    several = dims if isinstance(dims, Iterable) else (dims,)
    return tuple(int(k) if isinstance(k, numbers.Integral) else k for k in several)


def check_choice(function: str, argument: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise an `InputError` that lists `choices` if `value` is not among them."""
    if value not in choices:
        raise fail(function, argument, f"is {value!r}", f"one of {', '.join(map(repr, choices))}")


def check_number(
    function: str,
    argument: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    integer: bool = False,
) -> None:
    """Raise an `InputError` unless `value` is a finite number (an integer, if asked) in [`low`, `high`]."""
    kinds = numbers.Integral if integer else numbers.Real
    right_type = isinstance(value, kinds) and not isinstance(value, bool)
    if right_type and low <= value <= high and math.isfinite(value):
        return
    kind = "an integer" if integer else "a number"
    anything = "" if integer else " that is finite"
    limits = {(low, math.inf): f" of at least {low:g}", (-math.inf, math.inf): anything}
    expected = kind + limits.get((low, high), f" in [{low:g}, {high:g}]")
    raise fail(function, argument, f"is {value!r}", expected)


def check_connectivity(function: str, connectivity: Any) -> bool:
    """Return whether foreground pixels that share only a corner are neighbours: True for 8 and 26."""
    check_choice(function, "connectivity", connectivity, (8, 26, 4, 6))
    return connectivity in (8, 26)


def check_spacing(function: str, spacing: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    """Return the size of a pixel along each of `ndim` axes; one number is that of all of them."""
    values = (spacing,) * ndim if isinstance(spacing, int | float) else tuple(spacing)
    if len(values) != ndim:
        raise fail(
            function, "spacing", f"is {spacing!r}", f"a number or {ndim} of them, one per spatial axis"
        )
    for value in values:
        check_number(function, "spacing", value)
        if value <= 0:
            raise fail(function, "spacing", f"is {spacing!r}", "positive numbers")
    return tuple(float(value) for value in values)
