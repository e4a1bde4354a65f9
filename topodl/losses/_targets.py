"""What a loss needs of the label alone: computed once per label, kept in a bounded cache, stacked per batch.

The key is the label's content, so that repeated labels, shared heads and reloaded batches all hit.
Cost of a hit: one hash of the label, about 0.3 ms for 512 x 512 pixels.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import fail
from topodl._host import host_array, send, untransformed
from topodl.kernels.shared.pool import map_batch

__all__ = [
    "Classes",
    "Prepare",
    "TargetCache",
    "TargetParts",
    "class_masks",
    "stack_parts",
    "take_part",
    "target_parts",
]

Classes = Literal["each", "union"]

# The label of one sample (*S), -1 where it is ignored, to named arrays.
Prepare = Callable[[NDArray[np.int16]], dict[str, NDArray[Any]]]
TargetParts = Mapping[str, torch.Tensor]
Key = tuple[int, tuple[int, ...], str]


class TargetCache:
    """The parts of the labels seen last, at most `max_bytes` of them; the oldest leave first."""

    def __init__(self, max_bytes: int = 2**28) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._parts: OrderedDict[Key, dict[str, torch.Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._parts)

    def get(self, key: Key) -> dict[str, torch.Tensor] | None:
        """Return the parts stored under `key`, which becomes the youngest."""
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
            return self._parts.get(key)

    def put(self, key: Key, parts: dict[str, torch.Tensor]) -> None:
        """Store `parts` under `key` and drop the oldest while there is too much."""
        with self._lock:
            self.bytes += _size(parts) - _size(self._parts.pop(key, {}))
            self._parts[key] = parts
            while self.bytes > self.max_bytes and self._parts:
                self.bytes -= _size(self._parts.popitem(last=False)[1])

    def __reduce__(self) -> tuple[type[TargetCache], tuple[int]]:
        return TargetCache, (self.max_bytes,)  # copies and worker processes start empty


def class_masks(
    labels: NDArray[np.int16], classes: Classes, include_background: bool
) -> list[NDArray[np.bool_]]:
    """Return the masks of the classes of one label (*S) that occur in it, or that of all foreground."""
    masks = [labels > 0] if classes == "union" else [labels == c for c in np.unique(labels[labels > 0])]
    return [*masks, labels == 0] if include_background else masks


def target_parts(
    labels: torch.Tensor, prepare: Prepare, cache: TargetCache | None = None
) -> dict[str, torch.Tensor]:
    """Return what `prepare` says about each label of `labels` (B, *S), stacked, on the labels' device."""
    arrays = host_array("precompute", labels.to(torch.int16))
    keys = [] if cache is None else [_key(array, labels.device) for array in arrays]
    known: list[dict[str, torch.Tensor] | None]
    known = [None] * len(arrays) if cache is None else [cache.get(key) for key in keys]
    missing = [i for i, parts in enumerate(known) if parts is None]
    with untransformed():  # what is kept outlives any transform
        made = map_batch(prepare, [arrays[i] for i in missing])
        for i, parts in zip(missing, _on_device(made, labels.device), strict=True):
            known[i] = parts
            if cache is not None:
                cache.put(keys[i], parts)
        return stack_parts([parts for parts in known if parts is not None])


def _on_device(made: Sequence[Mapping[str, Any]], device: torch.device) -> list[dict[str, torch.Tensor]]:
    """Return what was made of each label as tensors on `device`."""
    parts = [torch.from_numpy(np.asarray(part)) for own in made for part in own.values()]
    sent = iter(send(parts, device))
    # Copied on a device, where they share memory: a cache may drop one and keep the others.
    rows = [{name: next(sent) for name in own} for own in made]
    return rows if device.type == "cpu" else [{k: v.clone() for k, v in row.items()} for row in rows]


def stack_parts(parts: Sequence[TargetParts]) -> dict[str, torch.Tensor]:
    """Stack the parts of single samples; lists of different length are padded at their end with -1."""
    stacked = {}
    for name in parts[0]:
        tensors = [p[name] for p in parts]
        if any(t.shape != tensors[0].shape for t in tensors):
            longest = max(t.shape[0] for t in tensors)
            tensors = [_pad(t, longest) for t in tensors]
        stacked[name] = torch.stack(tensors)
    return stacked


def take_part(
    function: str, parts: TargetParts, name: str, shape: tuple[int, ...], like: torch.Tensor
) -> torch.Tensor:
    """Return `parts[name]` in `shape`, on the device of `like`; singleton axes of a collate are dropped."""
    if name not in parts:
        raise fail(
            function, "precomputed", f"has the keys {sorted(parts)}", f"{name!r} (the loss's own precompute)"
        )
    part = parts[name]
    if part.numel() != int(np.prod(shape)):
        raise fail(function, f"precomputed[{name!r}]", f"has shape {tuple(part.shape)}", f"shape {shape}")
    return part.reshape(shape).to(like.device)


def _pad(tensor: torch.Tensor, length: int) -> torch.Tensor:
    missing = tensor.new_full((length - tensor.shape[0], *tensor.shape[1:]), -1)
    return torch.cat([tensor, missing])


def _size(parts: TargetParts) -> int:
    return sum(t.numel() * t.element_size() for t in parts.values())


def _key(array: NDArray[np.int16], device: torch.device) -> Key:
    # SipHash: 64 bits, four times as fast as the digests of hashlib
    return hash(array.tobytes()), array.shape, str(device)
