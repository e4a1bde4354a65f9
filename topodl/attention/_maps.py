"""From what a user hands over to clean attention maps: checked, cut to the tokens that count, by length.

Maps of one length stand in one tensor, so that no feature ever sees padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from topodl._checks import as_tensor, check_dense, fail
from topodl._host import has_gradient, host_array
from topodl._precision import at_least_single
from topodl.attention._combinatorics import row_sums

__all__ = ["ROW_TOLERANCE", "AttentionSample", "MapGroup", "as_batch", "group_maps"]

_SHAPE = "shape (B, layers, heads, n, n)"
# What half precision and a softmax of a thousand entries leave of a sum of one.
ROW_TOLERANCE = 1e-2


class AttentionSample(NamedTuple):
    """The attention maps of one text or image, for lists of samples of different lengths.

    Attributes
    ----------
    attention : Tensor or ndarray of shape (layers, heads, n, n)
        Attention probabilities, one row a query.
    mask : Tensor or ndarray of shape (n,), optional
        True (or 1) where a token is real, False (or 0) where it is padding.
    input_ids : Tensor or ndarray of shape (n,), optional
        Token ids, for features of token classes and for cutting special tokens.

    Examples
    --------
    >>> import torch
    >>> from topodl.attention import AttentionSample, AttentionTopology
    >>> texts = [torch.softmax(torch.randn(6, 12, n, n), -1) for n in (9, 14)]
    >>> samples = [AttentionSample(maps, mask=torch.ones(maps.shape[-1])) for maps in texts]
    >>> AttentionTopology("sink.max").fit_transform(samples).shape
    (2, 72)
    """

    attention: Any
    mask: Any = None
    input_ids: Any = None


class MapGroup(NamedTuple):
    """All samples of a batch that have the same number of tokens.

    `sums` (G, layers, heads, n) is what the rows of `maps` (G, layers, heads, n, n) are yet to be divided by.
    """

    rows: list[int]
    maps: torch.Tensor
    sums: torch.Tensor | None
    input_ids: torch.Tensor | None


def as_batch(function: str, attention: Any, mask: Any, input_ids: Any) -> list[AttentionSample]:
    """Return the samples of a padded batch (B, layers, heads, n, n), or of a ragged list, as tensors."""
    if isinstance(attention, tuple):
        expected = "torch.stack(output.attentions, 1), a tensor, or a list of samples"
        raise fail(function, "attention", f"is a {type(attention).__name__}", expected)
    if isinstance(attention, Sequence):
        if mask is not None or input_ids is not None:
            raise fail(
                function,
                "mask or input_ids",
                "is given beside a list",
                "AttentionSample(attention, mask, input_ids) for each sample of a list",
            )
        samples = [AttentionSample(*s) if isinstance(s, tuple) else AttentionSample(s) for s in attention]
    else:
        attention = check_dense(function, "attention", attention)
        if attention.ndim != 5 or attention.shape[-1] != attention.shape[-2]:
            raise fail(function, "attention", f"has shape {tuple(attention.shape)}", _SHAPE)
        mask, input_ids = (None if x is None else as_tensor(x) for x in (mask, input_ids))
        shape = (attention.shape[0], attention.shape[-1])
        for name, value in (("mask", mask), ("input_ids", input_ids)):
            if value is not None and tuple(value.shape) != shape:
                raise fail(function, name, f"has shape {tuple(value.shape)}", f"(B, n) = {shape}")
        nothing = [None] * len(attention)
        samples = [
            AttentionSample(*sample)
            for sample in zip(
                attention,
                nothing if mask is None else mask,
                nothing if input_ids is None else input_ids,
                strict=True,
            )
        ]
    return [_checked(function, i, sample) for i, sample in enumerate(samples)]


def _checked(function: str, index: int, sample: AttentionSample) -> AttentionSample:
    attention = as_tensor(sample.attention)
    where = f"attention[{index}]"
    if attention.ndim != 4 or attention.shape[-1] != attention.shape[-2] or 0 in attention.shape[:2]:
        came = f"has shape {tuple(attention.shape)}"
        raise fail(function, where, came, "shape (layers, heads, n, n) with at least one layer and head")
    if not attention.is_floating_point():
        raise fail(function, where, f"has dtype {attention.dtype}", "floating-point probabilities")
    attention = at_least_single(attention)
    n = attention.shape[-1]
    extras = []
    for name, value in (("mask", sample.mask), ("input_ids", sample.input_ids)):
        value = None if value is None else as_tensor(value)
        if value is not None and tuple(value.shape) != (n,):
            raise fail(function, f"{name}[{index}]", f"has shape {tuple(value.shape)}", f"shape ({n},)")
        extras.append(value)
    if extras[0] is not None and not bool(((extras[0] == 0) | (extras[0] == 1)).all()):
        raise fail(
            function, f"mask[{index}]", "has other values", "True or 1 for tokens, False or 0 for padding"
        )
    return AttentionSample(attention, *extras)


def group_maps(
    function: str,
    samples: list[AttentionSample],
    *,
    drop_ids: Sequence[int] = (),
    renormalize: bool = True,
    row_tolerance: float = ROW_TOLERANCE,
    entries: int = 1 << 20,
) -> Iterator[MapGroup]:
    """Cut every sample to its tokens, check it, drop the tokens in `drop_ids`, and stack equal lengths.

    A group has at most `entries` entries, or is a single sample: so much is copied at once.
    """
    layers_heads = {tuple(s.attention.shape[:2]) for s in samples}
    if len(layers_heads) > 1:
        came = f"has samples with (layers, heads) in {sorted(layers_heads)}"
        raise fail(function, "attention", came, "the same for all samples")
    lengths: dict[int, list[tuple[int, torch.Tensor | None]]] = {}
    for row, sample in enumerate(samples):
        kept = _kept(sample.mask)
        lengths.setdefault(sample.attention.shape[-1] if kept is None else len(kept), []).append((row, kept))
    heads = math.prod(samples[0].attention.shape[:2])
    for n, members in lengths.items():
        step = max(1, entries // max(1, heads * n * n))
        for start in range(0, len(members), step):
            part = members[start : start + step]
            rows = [row for row, _ in part]
            cut = [_cut(samples[row].attention, samples[row].input_ids, kept) for row, kept in part]
            maps = _stacked([m for m, _ in cut])
            sums = _checked_sums(function, maps, rows, row_tolerance)
            if drop_ids:
                yield from _without(function, rows, cut, drop_ids, renormalize)
            else:
                known = [ids for _, ids in cut if ids is not None]
                ids = _stacked(known) if len(known) == len(cut) else None
                yield _group(rows, maps, sums if renormalize else None, ids)


def _without(
    function: str,
    rows: list[int],
    samples: list[tuple[torch.Tensor, torch.Tensor | None]],
    drop_ids: Sequence[int],
    renormalize: bool,
) -> Iterator[MapGroup]:
    """Drop the tokens in `drop_ids`, which may leave different lengths."""
    kept = [_drop(function, row, ids, drop_ids) for row, (_, ids) in zip(rows, samples, strict=True)]
    lengths: dict[int, list[int]] = {}
    for position, keep in enumerate(kept):
        lengths.setdefault(len(keep), []).append(position)
    for positions in lengths.values():
        cut = [_cut(*samples[p], kept[p]) for p in positions]
        maps = torch.stack([m for m, _ in cut])
        ids = torch.stack([i for _, i in cut if i is not None])
        sums = _sums(maps)[0] if renormalize else None
        yield _group([rows[p] for p in positions], maps, sums, ids)


def _group(
    rows: list[int], maps: torch.Tensor, sums: torch.Tensor | None, ids: torch.Tensor | None
) -> MapGroup:
    """Return the group; where a gradient passes through the sums, the rows are divided here and now."""
    if sums is None:
        return MapGroup(rows, maps, None, ids)
    sums = torch.where(sums > 0, sums, 1)  # a row without any mass stays zero
    if not has_gradient(maps):
        return MapGroup(rows, maps, sums, ids)
    own = maps.sum(-1)
    divisors = torch.where(own > 0, own + (sums.to(maps.device) - own.detach()), 1)
    return MapGroup(rows, maps / divisors[..., None], None, ids)


def _kept(mask: torch.Tensor | None) -> torch.Tensor | None:
    if mask is None or bool((mask != 0).all()):
        return None
    return (mask != 0).nonzero()[:, 0]


def _drop(function: str, row: int, ids: torch.Tensor | None, drop_ids: Sequence[int]) -> torch.Tensor:
    if ids is None:
        raise fail(
            function, f"input_ids[{row}]", "is missing", "token ids, to know the special tokens to cut"
        )
    return (~torch.isin(ids, torch.tensor(list(drop_ids), device=ids.device))).nonzero()[:, 0]


def _cut(
    maps: torch.Tensor, ids: torch.Tensor | None, keep: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    if keep is None:
        return maps, ids
    keep = keep.to(maps.device)
    return maps[..., keep, :][..., keep], None if ids is None else ids[keep.to(ids.device)]


def _stacked(maps: list[torch.Tensor]) -> torch.Tensor:
    return maps[0][None] if len(maps) == 1 else torch.stack(maps)


def _sums(maps: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """Return the sums (G, layers, heads, n) of the rows on the host, and whether any entry is negative.

    Where a head gives all its weight to one token its bars are no longer than the rounding error of the sum
    by which the row is divided, so their entropy is the papers' only with the papers' rounding.
    """
    shape = maps.shape[:-1]
    values = host_array("AttentionTopology", maps).reshape(math.prod(shape[:-1]), *maps.shape[-2:])
    sums, negative = row_sums(values)
    return torch.from_numpy(sums).view(shape), negative


def _checked_sums(function: str, maps: torch.Tensor, rows: list[int], tolerance: float) -> torch.Tensor:
    """Return the sums of the rows; raise where a map has NaN, a negative entry, or a sum that is not one."""
    sums, negative = _sums(maps)
    if maps.numel() == 0:
        return sums
    low, high = torch.aminmax(sums)
    if float(low) >= 1 - tolerance and float(high) <= 1 + tolerance and not negative:
        return sums
    values = maps.detach()
    for kind, bad in (
        ("has NaN", values.isnan()),
        ("has a negative value", values < 0),
        ("has an infinite value", values.isinf()),
    ):
        if bool(bad.any()):
            sample, *at = bad.nonzero()[0].tolist()
            raise fail(
                function,
                f"attention[{rows[sample]}]",
                f"{kind} at (layer, head, query, key) = {tuple(at)}",
                "probabilities in [0, 1]",
            )
    bad = (sums - 1).abs() > tolerance
    if bool(bad.any()):
        sample, *at = bad.nonzero()[0].tolist()
        total = float(sums[(sample, *at)])
        raise fail(
            function,
            f"attention[{rows[sample]}]",
            f"has a row that sums to {total:.6g} at (layer, head, query) = {tuple(at)}",
            f"rows that sum to one within {tolerance:g}; row_tolerance=inf takes any rows, and renormalize "
            "says whether to divide them by their sums",
        )
    return sums
