"""Where attention probabilities can be tapped in a model that was not written for it: one class per library.

A source lists the modules that it serves, switches fused attention off for the time of a recording, and puts
everything back. No source imports its library: it looks at what the model is made of.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from topodl.errors import InputError

__all__ = ["Sink", "innermost", "is_cross_attention", "is_hugging_face_model", "tap"]

# Takes the module's name, the probabilities (B, heads, queries, keys), and which keys are real where known.
Sink = Callable[[str, torch.Tensor, torch.Tensor | None], None]
_CROSS = re.compile(r"cross|EncDecAttention|multihead_attn|encoder_attn", re.IGNORECASE)


def is_cross_attention(name: str) -> bool:
    """Tell by its name whether a module attends to another sequence than its own."""
    return _CROSS.search(name) is not None


def is_hugging_face_model(module: nn.Module) -> bool:
    """Tell whether a module is a model of the transformers library, or one inside another such model."""
    return hasattr(module, "set_attn_implementation") and hasattr(module, "config")


def innermost(scopes: Iterable[str], name: str) -> str | None:
    """Return the longest of the module names `scopes` that the module `name` lies in."""
    around = [scope for scope in scopes if not scope or name.startswith(f"{scope}.")]
    return max(around, key=len, default=None)


@contextmanager
def tap(
    model: nn.Module, wanted: Callable[[str], bool], sink: Sink, without_dropout: bool = False
) -> Iterator[dict[str, str]]:
    """Send the probabilities of every attention module whose name is `wanted` to `sink`.

    Yields module or configuration names and how their attention was computed before it was switched. With
    `without_dropout` those modules drop no attention out meanwhile, in training mode too.
    """
    with ExitStack() as stack:
        switched: dict[str, str] = {}
        names: list[str] = []
        for source in (_torch_modules, _timm_modules, _hugging_face_modules):
            names += source(model, wanted, sink, stack, switched)
        if not names:
            raise InputError(
                f"record: model is a {type(model).__name__} without attention to record under these names; "
                "expected torch.nn.MultiheadAttention, a Hugging Face model, or timm's attention modules"
            )
        if without_dropout:
            modules = dict(model.named_modules())
            for name in names:
                _switch_dropout_off(modules.get(name, model), stack)
        if "torch._dynamo" in sys.modules:  # only then can anything be compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield switched


def _refuse_dropout(name: str, module: nn.Module, rate: float) -> None:
    if module.training and rate > 0:
        raise InputError(
            f"record: {name} is in training mode with attention dropout {rate:g}, so its weights are no "
            'probabilities; expected model.eval(), an attention dropout of 0, or attention_dropout="off"'
        )


def _switch_dropout_off(module: nn.Module, stack: ExitStack) -> None:
    """Set the rate of an attention module's dropout to 0 until `stack` closes."""
    name = _dropout_name(module)
    if name is None:
        return
    value = getattr(module, name)
    owner, rate = (value, "p") if isinstance(value, nn.Dropout) else (module, name)
    stack.callback(setattr, owner, rate, getattr(owner, rate))
    setattr(owner, rate, 0.0)


def _torch_modules(
    model: nn.Module, wanted: Callable[[str], bool], sink: Sink, stack: ExitStack, switched: dict[str, str]
) -> list[str]:
    """Tap `torch.nn.MultiheadAttention`, alone or inside the transformer layers of torch and torchvision."""
    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.MultiheadAttention) and wanted(n)}
    if not found:
        return []
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
    for name, attention in found.items():
        _tap_multihead(name or "attention", attention, sink, stack)
        switched[name or "attention"] = "scaled_dot_product_attention"
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder) and fast:
            hook = module.register_forward_hook(_blank_padding, with_kwargs=True)
            stack.callback(hook.remove)
    return [name or "attention" for name in found]


def _tap_multihead(name: str, module: nn.MultiheadAttention, sink: Sink, stack: ExitStack) -> None:
    signature = inspect.signature(nn.MultiheadAttention.forward)
    asked: list[tuple[bool, bool, Any]] = []

    def before(
        _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[()], dict[str, Any]]:
        _refuse_dropout(name, module, module.dropout)
        bound = signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        given.pop("self")
        asked.append((given["need_weights"], given["average_attn_weights"], given["key_padding_mask"]))
        return (), given | {"need_weights": True, "average_attn_weights": False}

    def after(
        _: nn.Module, args: Any, kwargs: dict[str, Any], output: tuple[torch.Tensor, torch.Tensor]
    ) -> Any:
        out, weights = output
        needed, averaged, padding = asked.pop()
        batched = weights if weights.ndim == 4 else weights[None]
        if padding is not None:
            padding = (padding if padding.dtype == torch.bool else padding < 0).view(len(batched), -1)
        sink(name, batched, None if padding is None else ~padding)
        if needed:
            return out, weights.mean(-3) if averaged else weights
        if bool(weights.detach().isnan().any()):  # a query without any key, which the fused form gives zeros
            return module.forward(**kwargs | {"need_weights": False})
        return out, None

    stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
    # First of all hooks, so that the others, and recorders opened before, see what was asked for.
    stack.callback(module.register_forward_hook(after, prepend=True, with_kwargs=True).remove)


def _blank_padding(module: Any, args: Any, kwargs: dict[str, Any], output: torch.Tensor) -> Any:
    """Put at padded positions what the fast path of `TransformerEncoder` puts there: zeros, then the norm."""
    bound = inspect.signature(nn.TransformerEncoder.forward).bind(module, *args, **kwargs).arguments
    padding, source, layer = bound.get("src_key_padding_mask"), bound["src"], module.layers[0]
    weights = (source, *layer.parameters())
    if padding is None or source.ndim != 3 or bound.get("mask") is not None or layer.training:
        return output
    padding = padding if padding.dtype == torch.bool else padding < 0
    aligned = bool((padding[:, 1:] >= padding[:, :-1]).all())
    trains = torch.is_grad_enabled() and any(w.requires_grad for w in weights)
    if not module.use_nested_tensor or not aligned or trains or torch.is_autocast_enabled():
        return output
    blank = output.new_zeros(output.shape[-1])
    return torch.where(padding[..., None], blank if module.norm is None else module.norm(blank), output)


def _timm_modules(
    model: nn.Module, wanted: Callable[[str], bool], sink: Sink, stack: ExitStack, switched: dict[str, str]
) -> list[str]:
    """Tap modules that choose by an attribute ``fused_attn`` and drop out probabilities in ``attn_drop``."""
    found = []
    for name, module in model.named_modules():
        drop = getattr(module, "attn_drop", None)
        if not isinstance(getattr(module, "fused_attn", None), bool) or not isinstance(drop, nn.Module):
            continue
        if not wanted(name):
            continue
        if module.fused_attn:
            switched[name] = "scaled_dot_product_attention"
            stack.callback(setattr, module, "fused_attn", True)
            module.fused_attn = False

        def before(_: nn.Module, args: tuple[torch.Tensor, ...], name: str = name) -> None:
            sink(name, args[0], None)

        stack.callback(drop.register_forward_pre_hook(before).remove)
        found.append(name)
    return found


def _hugging_face_modules(
    model: nn.Module, wanted: Callable[[str], bool], sink: Sink, stack: ExitStack, switched: dict[str, str]
) -> list[str]:
    """Tap the attention modules of Hugging Face models, which return their probabilities when run eagerly."""
    # Parents come first, so that putting a parent back does not undo what a child had.
    before: list[tuple[str, Any, str]] = [
        (name, module, module.config._attn_implementation)
        for name, module in model.named_modules()
        if is_hugging_face_model(module)
    ]
    if not before:
        return []
    stack.callback(_put_back, before)
    for name, module, implementation in before:
        if implementation != "eager":
            switched[name or type(module).__name__] = str(implementation)
            module.set_attn_implementation("eager")
    owners = {name: module for name, module, _ in before}
    names = []
    latest: list[torch.Tensor | None] = [None]
    for name, module in model.named_modules():
        owner = innermost(owners, name)
        if "Attention" not in type(module).__name__ or owner is None:
            continue
        asked = _ask_for_probabilities(module, owners[owner], stack)

        def after(
            module: nn.Module, args: Any, output: Any, name: str = name, asked: list[bool] = asked
        ) -> Any:
            weights = _probabilities(output)
            # A wrapper hands on the very tensor of the module inside it, whose name says what it is.
            if weights is not None and weights is not latest[0]:
                latest[0] = weights
                if wanted(name):
                    _refuse_dropout(name, module, _dropout_rate(module))
                    sink(name, weights, None)
            return _as_if_not_asked(output) if asked[0] else None

        stack.callback(module.register_forward_hook(after, prepend=True).remove)
        names += [name] if wanted(name) else []
    return names


def _ask_for_probabilities(module: nn.Module, owner: nn.Module, stack: ExitStack) -> list[bool]:
    """Have a module return probabilities that does so only if asked, as in models such as DeBERTa.

    Those whose outputs transformers itself records by hooks need not be asked. Returns whether the latest
    call had to be, so that its caller need not see what comes.
    """
    asked = [False]
    signature = inspect.signature(module.forward)

    def before(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        bound = signature.bind(*args, **kwargs)
        asked[0] = not bound.arguments.get("output_attentions")
        bound.arguments["output_attentions"] = True
        return bound.args, bound.kwargs

    if "output_attentions" in signature.parameters and not getattr(owner, "_can_record_outputs", None):
        stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
    return asked


def _as_if_not_asked(output: Any) -> Any:
    if type(output) is not tuple or not isinstance(output[-1], torch.Tensor) or output[-1].ndim < 4:
        return None
    return output[:-1] if len(output) > 2 else (*output[:-1], None)


def _put_back(before: list[tuple[str, Any, str]]) -> None:
    for _, module, implementation in before:
        if module.config._attn_implementation != implementation:
            module.set_attn_implementation(implementation)


def _probabilities(output: Any) -> torch.Tensor | None:
    """Return the last tensor (B, heads, queries, keys) of a module's output."""
    if not isinstance(output, tuple):
        return None
    maps = [t for t in output[1:] if isinstance(t, torch.Tensor) and t.ndim == 4 and t.is_floating_point()]
    return maps[-1] if maps else None


def _dropout_rate(module: nn.Module) -> float:
    name = _dropout_name(module)
    value = 0.0 if name is None else getattr(module, name)
    return value.p if isinstance(value, nn.Dropout) else value


def _dropout_name(module: nn.Module) -> str | None:
    """Return the attribute with the dropout of a module's attention: a rate, or a module."""
    for name in ("attn_dropout", "attention_dropout", "dropout_prob", "dropout"):
        if isinstance(getattr(module, name, None), float | nn.Dropout):
            return name
    return None
