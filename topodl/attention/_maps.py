"""From what a user hands over to clean attention maps: checked, cut to the tokens that count, by length.

Maps of one length stand in one tensor, so that no feature ever sees padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from topodl._checks import check_tensor, fail

__all__ = ["AttentionSample", "MapGroup", "as_batch", "group_maps"]

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
    """

    attention: Any
    mask: Any = None
    input_ids: Any = None


class MapGroup(NamedTuple):
    """All samples of a batch that have the same number of tokens."""

    rows: list[int]
    maps: torch.Tensor
    input_ids: torch.Tensor | None


def as_batch(function: str, attention: Any, mask: Any, input_ids: Any) -> list[AttentionSample]:
    """Return the samples of a padded batch (B, layers, heads, n, n), or of a ragged list, as tensors."""
    if isinstance(attention, Sequence):
        if mask is not None or input_ids is not None:
            raise fail(
                function,
                "mask or input_ids",
                "is given beside a list",
                "AttentionSample(attention, mask, input_ids) for each sample of a list",
            )
        samples = [s if isinstance(s, AttentionSample) else AttentionSample(s) for s in attention]
    else:
        attention = check_tensor(function, "attention", attention)
        if attention.ndim != 5 or attention.shape[-1] != attention.shape[-2]:
            raise fail(function, "attention", f"has shape {tuple(attention.shape)}", _SHAPE)
        expected = (attention.shape[0], attention.shape[-1])
        for name, value in (("mask", mask), ("input_ids", input_ids)):
            if value is not None and tuple(value.shape) != expected:
                raise fail(function, name, f"has shape {tuple(value.shape)}", f"(B, n) = {expected}")
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
    attention = torch.as_tensor(sample.attention)
    where = f"attention[{index}]"
    if attention.ndim != 4 or attention.shape[-1] != attention.shape[-2] or 0 in attention.shape[:2]:
        came = f"has shape {tuple(attention.shape)}"
        raise fail(function, where, came, "shape (layers, heads, n, n) with at least one layer and head")
    if not attention.is_floating_point():
        raise fail(function, where, f"has dtype {attention.dtype}", "floating-point probabilities")
    if attention.dtype in (torch.float16, torch.bfloat16):
        attention = attention.float()
    n = attention.shape[-1]
    extras = []
    for name, value in (("mask", sample.mask), ("input_ids", sample.input_ids)):
        value = None if value is None else torch.as_tensor(value)
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
) -> list[MapGroup]:
    """Cut every sample to its tokens, check it, drop the tokens in `drop_ids`, and stack equal lengths."""
    layers_heads = {tuple(s.attention.shape[:2]) for s in samples}
    if len(layers_heads) > 1:
        came = f"has samples with (layers, heads) in {sorted(layers_heads)}"
        raise fail(function, "attention", came, "the same for all samples")
    groups: dict[int, list[tuple[int, torch.Tensor, torch.Tensor | None]]] = {}
    for row, sample in enumerate(samples):
        maps, ids = _cut(sample.attention, sample.input_ids, _kept(sample.mask))
        groups.setdefault(maps.shape[-1], []).append((row, maps, ids))
    out = []
    for members in groups.values():
        rows = [row for row, _, _ in members]
        maps = _stacked([m for _, m, _ in members])
        sums = _row_sums(maps)
        _check_values(function, maps, sums, rows, row_tolerance)
        if not drop_ids:
            known = [i for _, _, i in members if i is not None]
            ids = torch.stack(known) if len(known) == len(members) else None
            out.append(MapGroup(rows, _normalised(maps, sums) if renormalize else maps, ids))
            continue
        rest: dict[int, list[int]] = {}
        kept = [_drop(function, row, ids, drop_ids) for row, _, ids in members]
        for position, keep in enumerate(kept):
            rest.setdefault(len(keep), []).append(position)
        for positions in rest.values():
            cut = [_cut(maps[p], members[p][2], kept[p]) for p in positions]
            smaller = torch.stack([m for m, _ in cut])
            ids = torch.stack([i for _, i in cut if i is not None])
            smaller = _normalised(smaller, _row_sums(smaller)) if renormalize else smaller
            out.append(MapGroup([rows[p] for p in positions], smaller, ids))
    return out


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


def _row_sums(maps: torch.Tensor) -> torch.Tensor:
    """Return the detached sums of the rows, on the host, as NumPy rounds them.

    Where a head gives all its weight to one token its bars are no longer than the rounding error of the sum
    by which the row is divided, so their entropy is the papers' only with the same rounding.
    """
    return torch.from_numpy(maps.detach().cpu().numpy().sum(-1, keepdims=True))


def _normalised(maps: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Divide every row by its sum; a row without any mass stays zero."""
    sums = sums.to(maps.device)
    if maps.requires_grad:
        own = maps.sum(-1, keepdim=True)
        sums = own + (sums - own.detach())
    if not bool((sums > 0).all()):
        sums = torch.where(sums > 0, sums, 1)
    return maps / sums


def _check_values(
    function: str, maps: torch.Tensor, sums: torch.Tensor, rows: list[int], tolerance: float
) -> None:
    """Raise where a map has NaN, a negative entry, or a row whose sum is not one within `tolerance`."""
    if maps.numel() == 0:
        return
    values, sums = maps.detach(), sums[..., 0]
    low, high = torch.aminmax(sums)
    if float(low) >= 1 - tolerance and float(high) <= 1 + tolerance and float(values.amin()) >= 0:
        return
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
