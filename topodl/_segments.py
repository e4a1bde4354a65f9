"""Operations on segments: runs of equal, sorted keys in a flat tensor, with no loop over the segments.

Sums of half precision run in float32 and are rounded once: beyond 256, bfloat16 cannot even count.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from topodl._host import is_traced, on_host, send
from topodl._precision import HALF_TYPES, at_least_single, unit_of

__all__ = [
    "Bags",
    "bag_sum",
    "contiguous_sum",
    "offsets_of",
    "padded_groups",
    "places_among",
    "position_in_segment",
    "segment_amax",
    "segment_amin",
    "segment_mean",
    "segment_scale",
    "segment_sum",
    "stable_order",
    "take_segments",
    "true_positions",
    "true_range",
]

Array = np.ndarray[Any, np.dtype[Any]]


def places_among(ascending: torch.Tensor, values: torch.Tensor, right: bool = False) -> torch.Tensor:
    """Return how many of the `ascending` (n,) lie below each of `values`, and with `right` those equal to it.

    ONNX has no search: what is exported compares all with all.
    """
    if not torch.compiler.is_exporting():
        return torch.searchsorted(ascending, values.contiguous(), right=right)
    other = values.unsqueeze(-1)
    return (ascending <= other if right else ascending < other).sum(-1)


def offsets_of(keys: torch.Tensor, n: int) -> torch.Tensor:
    """Return the `n` + 1 offsets between which the segments of the sorted `keys` (P,) lie."""
    return places_among(keys, torch.arange(n + 1, device=keys.device))


def position_in_segment(keys: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Return how many elements of the same segment stand before each element."""
    return torch.arange(keys.shape[0], device=keys.device) - offsets[keys]


def padded_groups(
    offsets: torch.Tensor, together: int = 1
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield segments of about the same length, their elements (S, W), padded, and which of these are real.

    A segment is padded to less than twice its length, whatever other segments there are, but those shorter
    than `together`, a power of 2, are one group.
    """
    lengths = offsets.diff()
    own = np.array(lengths.tolist(), np.int64)
    levels = np.frexp(np.maximum(own, together // 2).astype(np.float64))[1]
    groups = [np.flatnonzero((levels == level) & (own > 0)) for level in np.unique(levels[own > 0])]
    for which, group in zip(send([torch.from_numpy(g) for g in groups], offsets.device), groups, strict=True):
        place = torch.arange(int(own[group].max()), device=offsets.device)
        real = place < lengths[which, None]
        yield which, torch.where(real, offsets[which, None] + place, offsets[which, None]), real


def take_segments(offsets: torch.Tensor, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the positions of the elements of segment after segment in `which` (M,), and their new keys."""
    lengths = offsets[which + 1] - offsets[which]
    keys = torch.repeat_interleave(lengths)
    ends = lengths.cumsum(0)
    positions = torch.arange(keys.shape[0], device=keys.device) + (offsets[which] - ends + lengths)[keys]
    return positions, keys


def stable_order(keys: torch.Tensor, n: int) -> torch.Tensor:
    """Return the positions of `keys` (P,), integers from 0 to `n` - 1, in the order of the keys."""
    if on_host(keys) and n <= 2**16:  # NumPy sorts 16 bits by radix, in a sixth of the time
        return torch.from_numpy(np.argsort(keys.numpy().astype(np.uint16), kind="stable"))
    return torch.sort(keys, stable=True).indices


def true_positions(mask: torch.Tensor) -> torch.Tensor:
    """Return the positions at which `mask` (P,) is true, in ascending order."""
    if on_host(mask):
        return torch.from_numpy(np.flatnonzero(mask.numpy()))  # three times as fast as torch's nonzero
    return mask.nonzero()[:, 0]


def true_range(mask: Array) -> slice | torch.Tensor:
    """Return the positions at which `mask` (P,) is true, as a slice if there is no gap between them."""
    positions = mask.nonzero()[0]
    n = len(positions)
    if n == 0:
        return slice(0, 0)
    first, last = positions.item(0), positions.item(n - 1)
    if last - first < n:
        return slice(first, last + 1)
    return torch.from_numpy(positions)


def segment_sum(values: torch.Tensor, keys: torch.Tensor, n: int) -> torch.Tensor:
    """Return the sums of `values` (P, …) over each of `n` segments; 0 where a segment is empty."""
    terms = at_least_single(values)
    return terms.new_zeros((n, *terms.shape[1:])).index_add(0, keys, terms).to(values.dtype)


def segment_mean(values: torch.Tensor, keys: torch.Tensor, n: int) -> torch.Tensor:
    """Return the means of `values` (P, …) over each of `n` segments; 0 where a segment is empty."""
    terms = at_least_single(values)
    counts = torch.bincount(keys, minlength=n).clamp(min=1).to(terms.dtype)
    return (segment_sum(terms, keys, n) / counts.view(-1, *[1] * (terms.ndim - 1))).to(values.dtype)


def segment_amax(values: torch.Tensor, keys: torch.Tensor, n: int, empty: float = 0.0) -> torch.Tensor:
    """Return the largest of `values` (P, …) in each of `n` segments; `empty` where a segment is empty."""
    return _reduce(values, keys, n, "amax", empty)


def segment_amin(values: torch.Tensor, keys: torch.Tensor, n: int, empty: float = 0.0) -> torch.Tensor:
    """Return the smallest of `values` (P, …) in each of `n` segments; `empty` where a segment is empty."""
    return _reduce(values, keys, n, "amin", empty)


def segment_scale(
    values: torch.Tensor, keys: torch.Tensor, n: int, offsets: torch.Tensor | None = None
) -> torch.Tensor:
    """Return a power of two for each of `n` segments, (n, …), of the order of its largest |value|.

    What is squared or divided in this unit neither vanishes nor overflows, whatever unit the data have, and a
    power of two rounds nothing. It is 1 where a segment is empty, all zero or infinite. Known `offsets`
    (n + 1,) of the segments save two thirds of the time.
    """
    if offsets is not None and on_host(values):
        return unit_of(torch.from_numpy(_between(np.maximum, values.detach().abs().numpy(), offsets.numpy())))
    return unit_of(segment_amax(values.detach().abs(), keys, n))


def _reduce(values: torch.Tensor, keys: torch.Tensor, n: int, how: str, empty: float) -> torch.Tensor:
    index = keys.view(-1, *[1] * (values.ndim - 1)).expand_as(values)
    start = values.new_full((n, *values.shape[1:]), empty)
    return start.scatter_reduce(0, index, values, how, include_self=False)


def contiguous_sum(values: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Return the sums of `values` (P, …) between `offsets` (n + 1,): `segment_sum`, but much faster."""
    if values.dtype in HALF_TYPES:
        return contiguous_sum(values.float(), offsets).to(values.dtype)
    if is_traced(values):
        keys = torch.repeat_interleave(offsets.diff(), output_size=values.shape[0])
        return segment_sum(values, keys, offsets.shape[0] - 1)
    if not values.requires_grad:
        return _sums_between(values, offsets)
    sums: torch.Tensor = _ContiguousSum.apply(values, offsets)  # type: ignore[no-untyped-call]
    return sums


def _sums_between(values: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    if values.device.type != "cpu" or values.dtype not in (torch.float32, torch.float64):
        return torch.segment_reduce(values.contiguous(), "sum", offsets=offsets)
    return torch.from_numpy(_between(np.add, values.numpy(), offsets.numpy()))


@np.errstate(over="ignore")  # what overflows is infinite, as PyTorch's sums are
def _between(ufunc: np.ufunc, table: Array, starts: Array) -> Array:
    """Return `ufunc` over the rows of `table` (P, …) between `starts` (n + 1,); 0 where there is none."""
    firsts = starts[:-1]
    present = starts[1:] > firsts  # `reduceat` knows no empty segment
    if present.all() and len(firsts):
        whole: Array = ufunc.reduceat(table, firsts)
        return whole
    reduced = np.zeros((len(present), *table.shape[1:]), table.dtype)
    if len(table):
        reduced[present] = ufunc.reduceat(table, firsts[present])
    return reduced


class _ContiguousSum(torch.autograd.Function):
    """Sums that PyTorch does not see inside of."""

    @staticmethod
    def forward(values: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return _sums_between(values.detach(), offsets)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: torch.Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (offsets,) = ctx.saved_tensors
        return gradient.repeat_interleave(offsets.diff(), dim=0), None


class Bags:
    """Which rows of a table are summed up for each row of another, one bag after the other.

    Bag i sums the rows `rows[offsets[i] : offsets[i + 1]]` of a table of `n_rows`. Its transpose, which the
    gradient takes, is made once: layers that use the same bags share it.
    """

    def __init__(
        self, rows: torch.Tensor, offsets: torch.Tensor, n_rows: int, *, symmetric: bool = False
    ) -> None:
        self.rows, self.offsets, self.n_rows = rows, offsets, n_rows
        self._symmetric = symmetric
        self._source: Bags | None = None  # what it is the transpose of

    @classmethod
    def gathering(cls, rows: torch.Tensor, n_rows: int) -> Bags:
        """Return bags of one row each: their sum is `table[rows]`, that of their transpose its gradient."""
        counted = torch.arange(len(rows) + 1, device=rows.device)
        bags = cls(rows, counted, n_rows)
        bags.keys = counted[:-1]
        return bags

    @classmethod
    def neighbours(cls, edges: torch.Tensor, n: int) -> Bags:
        """Return the bags of the neighbours of `n` vertices; `edges` (2, E) are simple, u < v, sorted."""
        # Neighbours rise within a bag, smaller ends before larger ones, so that the bags are their transpose.
        targets, sources = torch.cat((edges[1], edges[0])), torch.cat((edges[0], edges[1]))
        rows = sources[stable_order(targets, n)]
        return cls(rows, _offsets_of_any(targets, n), n, symmetric=True)

    def __len__(self) -> int:
        """Return the number of bags."""
        return self.offsets.shape[0] - 1

    @functools.cached_property
    def keys(self) -> torch.Tensor:
        """The bag of each entry."""
        return torch.repeat_interleave(self.offsets.diff(), output_size=len(self.rows))

    @functools.cached_property
    def at_keys(self) -> Bags:
        """Bags of one row for each entry, that of its bag; their transpose sums up the entries of a bag."""
        return Bags.gathering(self.keys, len(self))

    @functools.cached_property
    def at_rows(self) -> Bags:
        """Bags of one row for each entry, the one that it takes; `bag_sum` gathers them."""
        return Bags.gathering(self.rows, self.n_rows)

    @functools.cached_property
    def order(self) -> torch.Tensor:
        """The positions of the entries in the order of the transpose."""
        if self._source is None:
            return stable_order(self.rows, self.n_rows)
        back = torch.empty_like(self._source.order)
        back[self._source.order] = torch.arange(len(back), device=back.device)
        return back

    @functools.cached_property
    def transposed(self) -> Bags:
        """The bags in which each row of the table lies; their transpose is this one again."""
        if self._symmetric:
            return self
        if self._source is not None:
            return self._source
        back = Bags(self.keys[self.order], _offsets_of_any(self.rows, self.n_rows), len(self))
        back._source = self
        return back


def _offsets_of_any(keys: torch.Tensor, n: int) -> torch.Tensor:
    """Return the `n` + 1 offsets between which the segments would lie if `keys` (P,) were sorted."""
    return torch.nn.functional.pad(torch.bincount(keys, minlength=n).cumsum(0), (1, 0))


def bag_sum(table: torch.Tensor, bags: Bags, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Return the sum (len(bags), …) of the rows of `table` (n_rows, …) in each bag, 0 in an empty one.

    Each entry may have a weight or sign, `weights` (M,). On the CPU it takes a fourth to a thirtieth of the
    time of a gather and `index_add`, and its gradient, a sum over the transposed bags, does as well.
    """
    fast = table.is_cpu and table.dtype in _BAG_TYPES and table.numel() > 0
    if not fast or is_traced(table) or (weights is not None and is_traced(weights)):
        return _bag_sum_by_index(table, bags, weights)
    shape = table.shape[1:]
    flat = table if table.ndim == 2 else table.reshape(len(table), -1)
    if weights is not None:
        weights = weights.to(table.dtype)
    follows = table.requires_grad or (weights is not None and weights.requires_grad)
    if follows and torch.is_grad_enabled():
        sums = _BagSum.apply(flat, weights, bags)  # type: ignore[no-untyped-call]
    else:
        sums = _embedded(flat.detach(), bags, None if weights is None else weights.detach())
    return sums if table.ndim == 2 else sums.view(len(bags), *shape)


_SUM = 0  # the mode of `torch.embedding_bag`
_BAG_TYPES = (torch.float64, torch.float32, *HALF_TYPES)


def _bag_sum_by_index(table: torch.Tensor, bags: Bags, weights: torch.Tensor | None) -> torch.Tensor:
    terms = at_least_single(table)[bags.rows]
    if weights is not None:
        terms = terms * at_least_single(weights).to(terms.dtype).view(len(weights), *[1] * (terms.ndim - 1))
    return segment_sum(terms, bags.keys, len(bags)).to(table.dtype)


def _embedded(flat: torch.Tensor, bags: Bags, weights: torch.Tensor | None) -> torch.Tensor:
    # What `torch.nn.functional.embedding_bag` calls, in two thirds of its time for small tables.
    table, rows, offsets = flat.contiguous(), bags.rows, bags.offsets
    return torch.embedding_bag(table, rows, offsets, False, _SUM, False, weights, True)[0]


class _BagSum(torch.autograd.Function):
    """Sums whose gradient is one of them, and so to any order."""

    @staticmethod
    def forward(ctx: Any, flat: torch.Tensor, weights: torch.Tensor | None, bags: Bags) -> torch.Tensor:
        ctx.bags = bags
        ctx.save_for_backward(flat if ctx.needs_input_grad[1] else None, weights)
        return _embedded(flat, bags, weights)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        flat, weights = ctx.saved_tensors
        bags: Bags = ctx.bags
        by_table = by_weights = None
        if ctx.needs_input_grad[0]:
            swapped = None if weights is None else weights[bags.order]
            by_table = bag_sum(gradient, bags.transposed, swapped)
        if ctx.needs_input_grad[1]:
            terms = at_least_single(gradient[bags.keys]) * at_least_single(flat[bags.rows])
            by_weights = terms.sum(1).to(weights.dtype)
        return by_table, by_weights, None
