"""Label maps, channels and lists of them: checked, and brought to the form (B, *S) or (B, C, *S)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import as_mask, check_dense, fail
from topodl.metrics._options import Reading

__all__ = [
    "Source",
    "device_of",
    "has_channels",
    "ignored_in",
    "in_batches",
    "shaped",
    "size_of",
    "sources_of",
    "to_labels",
]

_SHAPES = "(B, H, W) or (B, 1, H, W) for images, (B, 1, D, H, W) for volumes"
_LABEL_DTYPES = "bool, integers, or floats such as 1.0"


class Source(NamedTuple):
    """A batch of label maps, or one item of a list as a batch of one."""

    argument: str
    item: int | None
    values: torch.Tensor

    @property
    def name(self) -> str:
        return self.argument if self.item is None else f"{self.argument}[{self.item}]"

    def name_of(self, sample: int) -> str:
        return f"{self.argument}[{sample}]" if self.item is None else self.name


def device_of(value: Any) -> torch.device:
    """Return where the result for a batch, an array or a list belongs."""
    first = value[0] if isinstance(value, list | tuple) else value
    return first.device if isinstance(first, torch.Tensor) else torch.device("cpu")


def in_batches(function: str, given: dict[str, Any]) -> list[dict[str, Source]]:
    """Return what is measured together: all at once, or item by item where something is a list."""
    in_items = any(isinstance(value, list | tuple) for value in given.values())
    sources = {name: sources_of(function, name, value, in_items) for name, value in given.items()}
    n_items = len(sources["preds"])
    for name, items in sources.items():
        if len(items) != n_items:
            raise fail(function, name, f"has {len(items)} items", f"{n_items}, as many as preds")
    return [{name: items[i] for name, items in sources.items()} for i in range(n_items)]


def sources_of(function: str, argument: str, value: Any, in_items: bool = False) -> list[Source]:
    if isinstance(value, list | tuple):
        if not value:
            raise fail(function, argument, "is an empty list", "at least one image")
        tensors = [_as_tensor(function, f"{argument}[{i}]", item)[None] for i, item in enumerate(value)]
    else:
        values = _as_tensor(function, argument, value)
        if not in_items:
            return [Source(argument, None, values)]
        if values.ndim == 0:
            raise fail(function, argument, "has shape ()", "images of shape (B, …) beside a list of them")
        tensors = list(values.split(1))
    return [Source(argument, i, tensor) for i, tensor in enumerate(tensors)]


def _as_tensor(function: str, argument: str, value: Any) -> torch.Tensor:
    """Return a tensor of the host with values that PyTorch can compare."""
    if isinstance(value, np.ndarray):
        try:
            value = torch.tensor(value, device="cpu")
        except (TypeError, ValueError) as error:
            came = f"{function}: {argument} is an array of dtype {value.dtype}"
            raise TypeError(f"{came}; expected {_LABEL_DTYPES}") from error
    if not isinstance(value, torch.Tensor):
        expected = "a tensor, an array, or a list of them"
        raise TypeError(f"{function}: {argument} is a {type(value).__name__}; expected {expected}")
    values = check_dense(function, argument, value).detach().cpu().as_subclass(torch.Tensor)
    if values.is_complex():
        raise fail(function, argument, f"has dtype {values.dtype}", _LABEL_DTYPES)
    return values.to(torch.int64) if values.dtype in (torch.uint16, torch.uint32, torch.uint64) else values


def has_channels(reading: Reading, values: torch.Tensor) -> bool:
    """Return whether the second axis is one of classes or regions; one label map beside one-hot has none."""
    if reading.input_format == "one-hot":
        return values.ndim >= 4 and values.shape[1] == reading.num_classes
    return reading.input_format == "regions"


def size_of(reading: Reading, source: Source) -> tuple[int, ...]:
    shape = tuple(source.values.shape)
    return (shape[0], *shape[2:]) if has_channels(reading, source.values) else shape


def shaped(reading: Reading, source: Source) -> Source:
    """Return label maps (B, *S), or channels (B, C, *S); anything else raises and is named."""
    function, shape, n = reading.function, tuple(source.values.shape), reading.num_classes
    came = f"has shape {shape}"
    if reading.input_format == "regions" or (
        reading.input_format == "one-hot" and len(shape) >= 4 and shape[1] != 1
    ):
        if len(shape) not in (4, 5) or shape[1] != n or 0 in shape[1:]:
            expected = f"shape (B, {n}, H, W) or (B, {n}, D, H, W) for num_classes={n}"
            raise fail(function, source.name, came, f"{expected} and {reading.input_format!r}")
        return source
    if len(shape) not in (3, 4, 5) or 0 in shape[1:]:
        raise fail(function, source.name, came, f"shape {_SHAPES}")
    if len(shape) == 3:
        return source
    if shape[1] != 1:
        # One channel per class, or the slices of a volume: nobody can tell.
        expected = f'label maps, {_SHAPES}; channels with input_format="one-hot" or "regions"'
        raise fail(function, source.name, f"{came}, whose second axis may be channels or depth", expected)
    return source._replace(values=source.values[:, 0])


def ignored_in(reading: Reading, target: Source, mask: Source | None) -> torch.Tensor | None:
    """Return where pixels count nowhere, (B, *S), or (B, C, *S) for regions; None if all count."""
    channels = has_channels(reading, target.values)
    ignored = None
    if reading.ignore_index is not None:
        ignored = target.values == reading.ignore_index
        if channels and reading.input_format == "one-hot":
            ignored = ignored.all(1)
        elif channels and reading.classes == "union":
            ignored = ignored.any(1)
    if mask is not None:
        batch, *size = size_of(reading, target)
        left_out = ~_counted(reading.function, mask, (batch, *size))
        if ignored is not None and ignored.ndim > left_out.ndim:
            left_out = left_out[:, None]
        ignored = left_out if ignored is None else ignored | left_out
    return ignored


def _counted(function: str, mask: Source, size: tuple[int, ...]) -> torch.Tensor:
    """Return a mask (B, *S) or (B, 1, *S) as booleans (B, *S)."""
    batch, *space = size
    if tuple(mask.values.shape) not in (size, (batch, 1, *space)):
        expected = f"shape {size} or {(batch, 1, *space)}"
        raise fail(function, mask.name, f"has shape {tuple(mask.values.shape)}", expected)
    return as_mask(function, mask.name, mask.values, "pixels count").reshape(size)


def to_labels(reading: Reading, source: Source, ignored: torch.Tensor | None) -> NDArray[Any]:
    """Return label maps (B, *S), or the masks of regions (B, C, *S), with 0 where they are ignored."""
    values = source.values
    channels = has_channels(reading, values)
    if ignored is not None:
        values = values.masked_fill(ignored[:, None] if ignored.ndim < values.ndim else ignored, 0)
    kept = source._replace(values=values)
    if not channels:
        _check_labels(reading, kept)
        plain = values.dtype != torch.bool and not values.is_floating_point()
        as_they_are = plain or (values.dtype == torch.bool and reading.input_format != "instances")
        return (values if as_they_are else values.to(torch.int64)).contiguous().numpy()
    _reject_other_values(reading, kept, 2, "0 and 1 (a threshold makes them of scores)")
    if reading.input_format == "regions":
        return values.to(torch.bool).contiguous().numpy()
    return _class_of_each_pixel(reading, kept, ignored)


def _check_labels(reading: Reading, source: Source) -> None:
    """Raise unless all values are labels, or ids of instances, which have no upper bound."""
    if reading.input_format == "instances":
        _reject_other_values(reading, source, None, "ids of instances: 0 for the background, and above")
        return
    expected = f"labels in 0…{reading.num_classes - 1} (argmax or a threshold makes them of scores)"
    if reading.takes_instances:
        expected += '; ids of instances with input_format="instances"'
    _reject_other_values(reading, source, reading.num_classes, expected)


def _class_of_each_pixel(reading: Reading, source: Source, ignored: torch.Tensor | None) -> NDArray[np.int64]:
    """Return the label maps of one-hot classes; what is ignored is background."""
    chosen = source.values.to(torch.uint8)  # argmax takes no booleans
    wrong = chosen.sum(1) != 1
    if ignored is not None:
        wrong &= ~ignored
    if bool(wrong.any()):
        sample, *position = wrong.nonzero()[0].tolist()
        came = f"has {int(chosen[(sample, slice(None), *position)].sum())} classes at {tuple(position)}"
        expected = 'one class in each pixel; masks that overlap with input_format="regions"'
        raise fail(reading.function, source.name_of(sample), came, expected)
    return chosen.argmax(1).numpy()


def _reject_other_values(reading: Reading, source: Source, n: int | None, expected: str) -> None:
    """Raise unless every value is an integer in [0, `n`), or of at least 0 for None."""
    values = source.values
    if values.dtype == torch.bool or values.numel() == 0:
        return
    if not values.is_floating_point():
        low, high = values.aminmax()
        if low >= 0 and (n is None or high < n):
            return
    wrong = values < 0 if n is None else (values < 0) | (values >= n)
    if values.is_floating_point():
        wrong |= (values != values.floor()) | values.isinf()  # NaN too
    if bool(wrong.any()):
        sample, *position = wrong.nonzero()[0].tolist()
        value = values[(sample, *position)].item()
        came = "has NaN" if value != value else f"has the value {value:g}"
        at = f"{came} at ({', '.join(map(str, position))})"
        raise fail(reading.function, source.name_of(sample), at, expected)
