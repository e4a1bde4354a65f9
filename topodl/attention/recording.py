"""Record the attention probabilities, or their features, of any transformer while it runs.

Features are computed layer by layer inside the forward pass, so the maps of one layer are all that is ever
held.
"""

from __future__ import annotations

import inspect
import logging
import re
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch import nn

from topodl._checks import check_choice, fail
from topodl.attention._maps import as_batch
from topodl.attention._sources import innermost, is_cross_attention, is_hugging_face_model, tap
from topodl.attention.topology import AttentionTopology
from topodl.errors import InputError

__all__ = ["AttentionRecorder", "record"]

_logger = logging.getLogger("topodl")


class AttentionRecorder:
    """Collects attention maps, or features of them, from every forward pass of a model while it is open.

    Recording works on Hugging Face models (encoders, decoders, encoder-decoders, vision), on
    `torch.nn.MultiheadAttention` wherever it stands (so in torch's transformer layers and in torchvision's
    ViT), and on timm's attention modules. Fused attention computes no probabilities: while the recorder is
    open those modules run their explicit form, compiled models run uncompiled, and all is put back at the
    end. Outputs stay the same up to rounding (bit for bit where nothing had to be switched); `switched` tells
    what was.

    Parameters
    ----------
    model : torch.nn.Module
        Any model; it may be compiled.
    features : AttentionTopology, optional
        Compute these features on the fly instead of keeping maps. Cross-attention is left out.
    layers : str, optional
        A regular expression; only attention modules with a match in their name are recorded.
    attention_dropout : {"refuse", "off"}, default="refuse"
        What to do about attention dropout in training mode, with which weights are no probabilities: raise,
        or switch it off while the recorder is open, so that a penalty can be trained with.

    Attributes
    ----------
    maps : list of dict
        Without `features`, for each forward pass: name of the attention module -> Tensor (B, heads, queries,
        keys).
    switched : dict
        Module or model -> attention implementation that was replaced for the time of the recording.

    Raises
    ------
    InputError
        If the model has no attention that can be recorded, or runs in training mode with attention dropout
        that is refused.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from topodl.attention import AttentionTopology, record
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    >>> model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    >>> with torch.no_grad(), record(model) as recorder:
    ...     out = model(torch.randn(4, 5, 8))
    >>> recorder.attention().shape
    torch.Size([4, 3, 2, 5, 5])
    >>> with torch.no_grad(), record(model, features=AttentionTopology("barcode.h0.sum")) as recorder:
    ...     out = model(torch.randn(4, 5, 8))
    >>> recorder.features().shape, recorder.feature_names()[-1]
    (torch.Size([4, 6]), 'layer2.head1.barcode.h0.sum')
    """

    def __init__(
        self,
        model: nn.Module,
        features: AttentionTopology | None = None,
        layers: str | None = None,
        attention_dropout: Literal["refuse", "off"] = "refuse",
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"record: model is a {type(model).__name__}; expected a torch.nn.Module")
        if features is not None and not isinstance(features, AttentionTopology):
            raise TypeError(f"record: features is a {type(features).__name__}; expected an AttentionTopology")
        check_choice("record", "attention_dropout", attention_dropout, ("refuse", "off"))
        if layers is not None:
            try:
                re.compile(layers)
            except re.error as error:
                came = f"is {layers!r}, which is no regular expression ({error})"
                raise fail("record", "layers", came, "a regular expression") from None
        self.attention_dropout = attention_dropout
        # A compiled model holds the original, whose modules carry the hooks.
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self.topology, self.layers = features, layers
        self.switched: dict[str, str] = {}
        self._stack: ExitStack | None = None
        self._tokens: dict[str, dict[str, Any]] = {}
        self._running = False
        self._given: tuple[Any, Any] | None = None
        self.clear()

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self.maps: list[dict[str, torch.Tensor]] = []
        self._tables: list[torch.Tensor] = []
        self._shape: tuple[int, int] | None = None
        self._now: list[tuple[str, torch.Tensor]] = []

    def set_tokens(self, mask: torch.Tensor | None = None, input_ids: torch.Tensor | None = None) -> Self:
        """Say which tokens are real, and their ids, where the model's own arguments do not.

        Parameters
        ----------
        mask : Tensor of shape (B, n), optional
            True or 1 for tokens, False or 0 for padding. By default the ``attention_mask`` or key padding
            mask of the call.
        input_ids : Tensor of shape (B, n), optional
            Token ids. By default the ``input_ids`` of the call.
        """
        self._given = (mask, input_ids)
        return self

    def __enter__(self) -> Self:
        if self._stack is not None:
            raise InputError("record: the recorder is open already; expected one `with` at a time")
        stack = ExitStack()
        try:
            self.switched = stack.enter_context(
                tap(self.model, self._wants, self._take, self.attention_dropout == "off")
            )
            stack.callback(self.model.register_forward_pre_hook(self._begin).remove)
            stack.callback(self.model.register_forward_hook(self._finish).remove)
            for name, module in self.model.named_modules():
                if not name or _reads_tokens(module):
                    hook = partial(self._note_tokens, name)
                    stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        except BaseException:
            stack.close()
            raise
        self._stack = stack
        for name, kind in self.switched.items():
            _logger.info("recording runs the attention of %s explicitly instead of by %s", name, kind)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    def _wants(self, name: str) -> bool:
        if self.layers is not None and re.search(self.layers, name) is None:
            return False
        return self.topology is None or not is_cross_attention(name)

    def _begin(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        self._now, self._tokens, self._running = [], {}, True

    def _note_tokens(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Keep the mask and the token ids that a model, or a model inside it, is called with."""
        try:
            arguments = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
        except TypeError:  # the module itself will say what is wrong with its arguments
            arguments = {}
        self._tokens[name] = {**arguments, **arguments.get("kwargs", {})}

    def _take(self, name: str, weights: torch.Tensor, key_mask: torch.Tensor | None) -> None:
        value = weights
        if self.topology is not None:
            if weights.shape[-1] != weights.shape[-2]:
                return
            mask, ids = self._tokens_of(name, weights, key_mask)
            value = self.topology.features_of(as_batch("record", weights[:, None], mask, ids))[:, 0]
        # A checkpointed part runs again in the backward pass, where it has to do the same once more.
        if self._running:
            self._now.append((name, value))

    def _tokens_of(self, name: str, weights: torch.Tensor, key_mask: torch.Tensor | None) -> tuple[Any, Any]:
        if self._given is not None:
            return self._given
        tokens = self._tokens.get(innermost(self._tokens, name) or "", {})
        mask, ids = tokens.get("attention_mask"), tokens.get("input_ids")
        expected = (len(weights), weights.shape[-1])
        mask = mask if mask is not None and tuple(mask.shape) == expected else key_mask
        return mask, ids if ids is not None and tuple(ids.shape) == expected else None

    def _finish(self, model: nn.Module, args: Any, output: Any) -> None:
        recorded, self._now, self._running = self._now, [], False
        if self.topology is None:
            self.maps.append(_numbered(recorded))
            return
        if not recorded:
            raise fail(
                "record", "model", "gave no square attention map", "self-attention over whole sequences"
            )
        shapes = {tuple(table.shape[:2]) for _, table in recorded}
        if len(shapes) > 1:
            came = f"has layers with (batch, heads) in {sorted(shapes)}"
            raise fail("record", "model", came, "one shape; choose layers=… that agree")
        table = torch.stack([table for _, table in recorded], 1)
        self._shape = (table.shape[1], table.shape[2])
        self._tables.append(table.flatten(1))

    def attention(self) -> torch.Tensor:
        """Return the self-attention maps of the last forward pass.

        Returns
        -------
        Tensor of shape (B, layers, heads, n, n)

        Raises
        ------
        InputError
            If nothing was recorded, or the layers differ in shape (choose some by `layers`, or read `maps`).
        """
        if not self.maps:
            raise fail("record", "recorder", "has no maps", "a call of the recorded model inside `with`")
        chosen = [m for name, m in self.maps[-1].items() if not is_cross_attention(name)]
        shapes = {tuple(m.shape) for m in chosen}
        if len(shapes) != 1:
            raise fail(
                "record", "recorder", f"has maps of shapes {sorted(shapes)}", "one shape; choose layers=…"
            )
        return torch.stack(chosen, 1)

    def features(self) -> torch.Tensor:
        """Return the features of every sample seen since the recorder was opened or cleared.

        Returns
        -------
        Tensor of shape (samples, layers * heads * features)
            With gradient where the model ran with it.
        """
        if not self._tables:
            raise fail("record", "recorder", "has no features", "a forward pass with features=…")
        return torch.cat(self._tables)

    def feature_names(self) -> list[str]:
        """Return the names of the columns of `features`."""
        if self.topology is None:
            raise fail("record", "recorder", "has no features", "a forward pass with features=…")
        return self.topology.feature_names(*self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of layers and of heads a layer whose features were recorded."""
        if self._shape is None:
            raise fail("record", "recorder", "has no features", "a forward pass with features=…")
        return self._shape


def record(
    model: nn.Module,
    *,
    features: AttentionTopology | None = None,
    layers: str | None = None,
    attention_dropout: Literal["refuse", "off"] = "refuse",
) -> AttentionRecorder:
    """Return an `AttentionRecorder` for `model`, to be used as a context manager.

    Parameters
    ----------
    model : torch.nn.Module
        The model whose attention is recorded.
    features : AttentionTopology, optional
        Features to compute on the fly; None keeps the maps.
    layers : str, optional
        Regular expression for the names of the attention modules.
    attention_dropout : {"refuse", "off"}, default="refuse"
        What to do about attention dropout in training mode; see `AttentionRecorder`.

    Returns
    -------
    AttentionRecorder

    Raises
    ------
    InputError
        When it is opened, if the model has no attention that can be recorded; when the model runs, if it does
        so in training mode with attention dropout that is refused.

    Examples
    --------
    >>> import torch
    >>> from topodl.attention import record
    >>> model = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    >>> with torch.no_grad(), record(model) as recorder:
    ...     out = model(torch.randn(1, 5, 8))
    >>> recorder.attention().shape
    torch.Size([1, 1, 2, 5, 5])
    """
    return AttentionRecorder(model, features, layers, attention_dropout)


def _reads_tokens(module: nn.Module) -> bool:
    return is_hugging_face_model(module) and "input_ids" in inspect.signature(module.forward).parameters


def _numbered(recorded: list[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return name -> map; a module that runs again in the same pass gets a number."""
    out: dict[str, torch.Tensor] = {}
    for name, weights in recorded:
        key, run = name, 1
        while key in out:
            run += 1
            key = f"{name}#{run}"
        out[key] = weights
    return out
