"""Attention among the bars of each diagram, and of queries to them, diagrams of about the same size together.

Vaswani et al., NeurIPS 2017. Its sizes follow the numbers of bars, so that a compiled graph has operators
for it. Cost: bars² · width of each diagram.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from topodl._segments import padded_groups, position_in_segment

__all__ = ["attend", "pad", "pool"]

_SHORT = 16  # bars, below which another group of diagrams costs more than padding


def attend(qkv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Return for each bar the mean of the values of its diagram, by their attention, (P, width).

    `qkv` (P, 3 · width) has queries, keys and values of the bars, those of diagram b from ``offsets[b]`` on.
    """
    function = _attend_op if torch.compiler.is_compiling() else _attend
    return function(qkv, offsets, n_heads)


def pool(queries: torch.Tensor, kv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Return for each diagram and query (Q, width) the mean of the values of its bars, (B, Q, width).

    `kv` (P, 2 · width) has keys and values of the bars. The mean of none is 0.
    """
    function = _pool_op if torch.compiler.is_compiling() else _pool
    return function(queries, kv, offsets, n_heads)


def pad(x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Return the vectors (P, width) of the bars diagram by diagram, (B, M, width), 0 in the padding."""
    return (_pad_op if torch.compiler.is_compiling() else _pad)(x, offsets)


def _attend(qkv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    out = torch.zeros_like(qkv[:, : qkv.shape[1] // 3]) if len(qkv) else qkv[:, : qkv.shape[1] // 3]
    for _, places, real in padded_groups(offsets, _SHORT):
        q, k, v = _heads(qkv[places], 3, n_heads)
        mean = _attention(q, k, v, real).transpose(1, 2).flatten(2)
        out = out.index_put((places[real],), mean[real])
    return out


def _pool(queries: torch.Tensor, kv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    pooled = kv.new_zeros(len(offsets) - 1, *queries.shape)
    (q,) = _heads(queries[None].to(kv.dtype), 1, n_heads)
    for which, places, real in padded_groups(offsets, _SHORT):
        k, v = _heads(kv[places], 2, n_heads)
        values = _attention(q.expand(len(which), -1, -1, -1), k, v, real).transpose(1, 2).flatten(2)
        pooled = pooled.index_put((which,), values)
    return pooled if len(kv) else pooled + kv.sum()  # the graph stays


def _pad(x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    lengths = offsets.diff()
    longest = int(lengths.max()) if len(lengths) else 0
    return x.new_zeros(len(lengths), longest, x.shape[1]).index_put(_places(offsets, len(x)), x)


def _places(offsets: torch.Tensor, n_bars: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the diagram of each bar and its place there."""
    samples = torch.repeat_interleave(offsets.diff(), output_size=n_bars)
    return samples, position_in_segment(samples, offsets)


def _heads(x: torch.Tensor, parts: int, n_heads: int) -> Iterator[torch.Tensor]:
    """Yield the `parts` of (S, W, parts · width) by heads, (S, n_heads, W, width / n_heads)."""
    by_head = x.view(*x.shape[:2], parts, n_heads, x.shape[2] // (parts * n_heads))
    return iter(by_head.permute(2, 0, 3, 1, 4).unbind())


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return the means of `v` (S, heads, W, size) that the queries ask for, over `real` keys (S, W) alone."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~real[:, None, None], -math.inf).softmax(-1) @ v


@torch.library.custom_op("topodl::attend_bars", mutates_args=())
def _attend_op(qkv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    return _attend(qkv, offsets, n_heads).clone()  # an operator returns nothing of its input


@_attend_op.register_fake
def _(qkv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    return qkv.new_empty(qkv.shape[0], qkv.shape[1] // 3)


@torch.library.custom_op("topodl::attend_bars_backward", mutates_args=())
def _attend_gradient(
    gradient: torch.Tensor, qkv: torch.Tensor, offsets: torch.Tensor, n_heads: int
) -> torch.Tensor:
    (by_qkv,) = _gradients(lambda x: _attend(x, offsets, n_heads), (qkv,), gradient)
    return by_qkv


@_attend_gradient.register_fake
def _(gradient: torch.Tensor, qkv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    return torch.empty_like(qkv)


@torch.library.custom_op("topodl::pool_bars", mutates_args=())
def _pool_op(queries: torch.Tensor, kv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    return _pool(queries, kv, offsets, n_heads)


@_pool_op.register_fake
def _(queries: torch.Tensor, kv: torch.Tensor, offsets: torch.Tensor, n_heads: int) -> torch.Tensor:
    return kv.new_empty(offsets.shape[0] - 1, *queries.shape)


@torch.library.custom_op("topodl::pool_bars_backward", mutates_args=())
def _pool_gradients(
    gradient: torch.Tensor, queries: torch.Tensor, kv: torch.Tensor, offsets: torch.Tensor, n_heads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    by_queries, by_kv = _gradients(lambda q, x: _pool(q, x, offsets, n_heads), (queries, kv), gradient)
    return by_queries, by_kv


@_pool_gradients.register_fake
def _(
    gradient: torch.Tensor, queries: torch.Tensor, kv: torch.Tensor, offsets: torch.Tensor, n_heads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(queries), torch.empty_like(kv)


@torch.library.custom_op("topodl::pad_bars", mutates_args=())
def _pad_op(x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    return _pad(x, offsets)


@_pad_op.register_fake
def _(x: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    longest = torch.library.get_ctx().new_dynamic_size()
    return x.new_empty(offsets.shape[0] - 1, longest, x.shape[1])


def _gradients(
    function: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor], gradient: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return the gradients by the inputs of a function that runs in an operator."""
    autograd = torch._C.DispatchKey.AutogradFunctionality
    # Operators run below autograd, which is asked for in here.
    with torch._C._SetExcludeDispatchKeyGuard(autograd, False), torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in inputs]
        found = torch.autograd.grad(
            function(*leaves), leaves, gradient, allow_unused=True, materialize_grads=True
        )
    return tuple(each.clone(memory_format=torch.contiguous_format) for each in found)


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    *tensors, ctx.n_heads = inputs
    ctx.save_for_backward(*tensors)


def _attend_backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    return _attend_gradient(gradient.contiguous(), *ctx.saved_tensors, ctx.n_heads), None, None


def _pool_backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    return *_pool_gradients(gradient.contiguous(), *ctx.saved_tensors, ctx.n_heads), None, None


def _keep_offsets(ctx: Any, inputs: tuple[torch.Tensor, torch.Tensor], output: torch.Tensor) -> None:
    x, offsets = inputs
    ctx.n_bars = x.shape[0]
    ctx.save_for_backward(offsets)


def _pad_backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    return gradient[_places(ctx.saved_tensors[0], ctx.n_bars)], None


_pad_op.register_autograd(_pad_backward, setup_context=_keep_offsets)
_attend_op.register_autograd(_attend_backward, setup_context=_keep_inputs)
_pool_op.register_autograd(_pool_backward, setup_context=_keep_inputs)
