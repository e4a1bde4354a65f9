"""Losses with options as one word, "cldice:iterations=10": read, checked, and as the name of a folder."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from topodl._checks import fail
from topodl.errors import InputError

if TYPE_CHECKING:
    from topodl.losses import SegmentationLoss

__all__ = [
    "LossSpec",
    "folder_name",
    "parse_loss",
    "parse_options",
    "ready_losses",
    "split_outside",
    "written_options",
]

_NAME = "topodl evaluate"
_FORM = "NAME or NAME:OPTION=VALUE,OPTION=VALUE"
_WORDS = {"true": True, "false": False, "none": None}
# What the study itself says to a loss.
_RESERVED = ("activation", "reduction", "ignore_index", "non_finite", "cache_bytes")
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_SAFE = ",=()[]'+@ "  # these and letters, digits, _.-~ may stand in names of files everywhere


@dataclass(frozen=True)
class LossSpec:
    """A loss of the registry and the options that it is made with.

    Attributes
    ----------
    name : str
        In `topodl.losses.registry`.
    options : dict of str to object
        Keyword arguments of the loss.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the one way to write it: options sorted by name, without spaces."""
        return f"{self.name}:{written_options(self.options)}" if self.options else self.name

    def build(self, **others: Any) -> SegmentationLoss:
        """Return the loss; `others` are options of the study, which those of the user come before.

        Raises
        ------
        InputError
            For an option that the loss does not have, or a value that it refuses.
        """
        from topodl.losses import registry

        try:
            return registry[self.name](**(others | self.options))
        except (TypeError, InputError) as error:
            raise fail(_NAME, "losses", f"has {str(self)!r} ({error})", _FORM) from error


def parse_loss(text: str) -> LossSpec:
    """Return the loss that `text` names, with the options after its colon.

    Parameters
    ----------
    text : str
        Such as "cldice:iterations=10,include_background=true". Values are numbers, true, false, none, words,
        or lists in brackets.

    Raises
    ------
    InputError
        If the loss is unknown or cannot be made from a word, or an option is not written as shown.

    Examples
    --------
    >>> parse_loss("cldice:iterations=10,include_background=true").options
    {'iterations': 10, 'include_background': True}
    >>> str(parse_loss("cldice: iterations = 10"))
    'cldice:iterations=10'
    """
    name, colon, rest = text.partition(":")
    name = name.strip()
    _check_usable(name)
    options = parse_options(text, rest) if colon else {}
    reserved = sorted(set(options) & set(_RESERVED))
    if reserved:
        raise fail(
            _NAME, "losses", f"has {text!r}, but the study itself sets {reserved[0]!r}", "another option"
        )
    spec = LossSpec(name, options)
    if options:
        spec.build()
    return spec


def parse_options(text: str, listed: str) -> dict[str, Any]:
    """Return the options that are `listed` as "key=value,key=value" in `text`, which an error names."""
    options: dict[str, Any] = {}
    for part in split_outside(listed, ","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier() or not value:
            raise fail(_NAME, "losses", f"has {text!r}, where {part.strip()!r} is no option", _FORM)
        if key in options:
            raise fail(_NAME, "losses", f"has {text!r}, which gives {key!r} twice", "each option once")
        options[key] = _value(text, value)
    return options


def written_options(options: Mapping[str, Any]) -> str:
    """Return the one way to write options: sorted by name, without spaces."""
    return ",".join(f"{key}={_written(value)}" for key, value in sorted(options.items()))


def folder_name(loss: str) -> str:
    """Return the name of a loss's folder, one that every system takes; a folder's name stays as it is.

    Examples
    --------
    >>> folder_name("cldice:iterations=10,include_background=True")
    'cldice%3Aiterations=10,include_background=True'
    """
    return quote(unquote(loss), safe=_SAFE)


def split_outside(text: str, separator: str) -> list[str]:
    """Split at each `separator`, one letter, that stands outside of brackets and quotes."""
    parts, depth, quote, escaped = [""], 0, "", False
    for c in text:
        if quote:
            quote = "" if c == quote and not escaped else quote
            escaped = c == "\\" and not escaped
        elif c in "'\"":
            quote = c
        else:
            depth += (c in "([{") - (c in ")]}")
        if c == separator and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += c
    return parts


def _value(text: str, value: str) -> Any:
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        if _WORD.fullmatch(value):
            return value
        came = f"has {text!r}, where {value!r} is no value"
        raise fail(_NAME, "losses", came, "numbers, true, false, none, words, or lists in brackets") from None


def _written(value: Any) -> str:
    if isinstance(value, str):
        plain = _WORD.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(repr(v) if isinstance(v, str) else _written(v) for v in value)}]"
    return repr(value).replace(" ", "")


def _check_usable(loss: str) -> None:
    """Raise for a loss that the study cannot make, and say why for one that there is."""
    from topodl.losses import registry

    ready = ready_losses()
    if loss in ready:
        return
    if loss in registry:
        reason = "needs an option that only Python can give it, such as a network"
        raise fail(_NAME, "losses", f"has {loss!r}, which {reason}", _one_of(ready))
    close = difflib.get_close_matches(loss, ready, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise fail(_NAME, "losses", f"is {loss!r}{hint}", _one_of(ready))


def _one_of(names: Sequence[str]) -> str:
    return f"one of {', '.join(map(repr, names))}"


def ready_losses() -> list[str]:
    """Return the names of the losses that need no option which only their user can give."""
    from topodl.losses import registry

    def is_ready(option: inspect.Parameter) -> bool:
        return option.default is not option.empty or option.kind is option.VAR_KEYWORD

    return sorted(
        name
        for name, kind in registry.items()
        if all(map(is_ready, inspect.signature(kind).parameters.values()))
    )
