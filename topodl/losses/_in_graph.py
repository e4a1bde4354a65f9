"""A segmentation loss inside a compiled graph: one operator, which computes a value and its gradient at once.

Losses look at values: they check them, warn of them, skeletonise labels on the host and keep what they found.
An operator is opaque to a compiler, so that all of that happens in a compiled model as it does without one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch

from topodl._checks import fail

__all__ = ["evaluate_in_graph", "number_of_new"]

# What a graph knows of a loss is a number: options, progress and cache are those of the moment.
_losses: WeakValueDictionary[int, Any] = WeakValueDictionary()
_numbers = itertools.count()


def number_of_new(loss: Any) -> int:
    """Return a number that no other loss of this process has, by which operators find `loss`."""
    number = next(_numbers)
    _losses[number] = loss
    return number


def evaluate_in_graph(
    number: int,
    logits: torch.Tensor,
    target: torch.Tensor | None,
    mask: torch.Tensor | None,
    pixel_weights: torch.Tensor | None,
    precomputed: Any,
    topology: bool,
    reduction: str,
) -> torch.Tensor:
    """Return what the loss of that number does with logits in float32 or float64, by one operator."""
    regions = [precomputed] if isinstance(precomputed, Mapping) else list(precomputed or ())
    named = [(f"{r}/{name}", part) for r, parts in enumerate(regions) for name, part in parts.items()]
    names = ",".join(name for name, _ in named) if isinstance(precomputed, Mapping) else ""
    if isinstance(precomputed, Sequence):
        names = f"{len(regions)};" + ",".join(name for name, _ in named)
    differentiable = logits.requires_grad and torch.is_grad_enabled()
    parts = [part for _, part in named]
    value: torch.Tensor
    value, _ = _op(
        logits, target, mask, pixel_weights, parts, names, number, topology, reduction, differentiable
    )
    return value


def _given_parts(tensors: Sequence[torch.Tensor], names: str) -> Any:
    """Return the mapping, or the list of one for each region, that was taken apart."""
    if not names:
        return None
    n_regions, _, listed = names.rpartition(";")
    regions: list[dict[str, torch.Tensor]] = [{} for _ in range(int(n_regions or 1))]
    for name, part in zip(filter(None, listed.split(",")), tensors, strict=True):
        region, _, key = name.partition("/")
        regions[int(region)][key] = part
    return regions if n_regions else regions[0]


@torch.library.custom_op("topodl::segmentation_loss", mutates_args=())
def _op(
    logits: torch.Tensor,
    target: torch.Tensor | None,
    mask: torch.Tensor | None,
    pixel_weights: torch.Tensor | None,
    parts: Sequence[torch.Tensor],
    names: str,
    number: int,
    topology: bool,
    reduction: str,
    differentiable: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss and, where it is `differentiable`, its gradient by the logits, that of each sample."""
    loss = _losses.get(number)
    if loss is None:
        raise fail("segmentation_loss", "a graph", "names a loss that is gone", "a graph of this process")
    x = logits.detach().requires_grad_(differentiable)
    autograd = torch._C.DispatchKey.AutogradFunctionality
    # Operators run below autograd, which is asked for in here.
    with torch._C._SetExcludeDispatchKeyGuard(autograd, False), torch.set_grad_enabled(differentiable):
        others = {} if pixel_weights is None else {"pixel_weights": pixel_weights}
        value = loss._evaluate(x, target, mask, _given_parts(parts, names), topology, **others)
        gradient = logits.new_empty(0)
        if differentiable:
            gradient = torch.autograd.grad(value.sum(), x)[0].contiguous()
    return value.detach().clone(), gradient


@_op.register_fake
def _(
    logits: torch.Tensor,
    target: torch.Tensor | None,
    mask: torch.Tensor | None,
    pixel_weights: torch.Tensor | None,
    parts: Sequence[torch.Tensor],
    names: str,
    number: int,
    topology: bool,
    reduction: str,
    differentiable: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    shape = logits.shape[:1] if reduction == "none" else ()
    return logits.new_empty(shape), logits.new_empty(logits.shape if differentiable else (0,))


def _keep_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.n_parts = len(inputs[4])


def _scaled_gradient(ctx: Any, by_value: torch.Tensor, _: Any) -> tuple[Any, ...]:
    (gradient,) = ctx.saved_tensors
    scale = by_value.view(-1, *[1] * (gradient.ndim - 1)) if by_value.ndim else by_value
    return scale * gradient, None, None, None, [None] * ctx.n_parts, None, None, None, None, None


_op.register_autograd(_scaled_gradient, setup_context=_keep_gradient)
