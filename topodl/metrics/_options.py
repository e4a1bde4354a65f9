"""The options that every metric of label maps has: described, checked and given their defaults once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict, TypeVar

from topodl._checks import check_choice, check_number
from topodl._docs import with_shared_parameters

__all__ = [
    "COMMON_DEFAULTS",
    "CommonOptions",
    "MaskArguments",
    "check_common_options",
    "measures_masks",
    "options_of",
]

InputFormat = Literal["index", "one-hot", "regions"]
Classes = Literal["each", "union"]

_CHOICES = {
    "input_format": ("index", "one-hot", "regions"),
    "classes": ("each", "union"),
}
_CALL_ARGUMENTS = ("preds", "target")

_F = TypeVar("_F", bound=Callable[..., Any])


class CommonOptions(TypedDict, total=False):
    """The options that every metric has, with the same default and meaning in all of them.

    Parameters
    ----------
    num_classes : int, default=2
        Labels, the background included, which is not measured; for "regions" the number of channels.
    input_format : {"index", "one-hot", "regions"}, default="index"
        "index": label maps (B, *S) or (B, 1, *S). "one-hot": classes (B, num_classes, *S), of which each
        pixel has one; one of the two may be a label map. "regions": masks (B, num_classes, *S), which may
        overlap and leave pixels to nobody; each is measured by itself.
    classes : {"each", "union"}, default="each"
        Every class, or region, by itself, or all of the foreground as one mask.
    """

    num_classes: int
    input_format: InputFormat
    classes: Classes


COMMON_DEFAULTS: dict[str, Any] = {"num_classes": 2, "input_format": "index", "classes": "each"}


class MaskArguments:
    """What the functions of two batches of masks have in common.

    Parameters
    ----------
    preds, target : Tensor of shape (B, *S) or (B, 1, *S)
        Masks or label maps, bool, integers, or floats such as 1.0: images (B, H, W) or (B, 1, H, W), volumes
        (B, 1, D, H, W). Channels are read as `input_format` says.
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one; 8 stands for 26 in volumes.

    Returns
    -------
    Tensor
        float64 (B,), or (B, K) for K > 1 classes in the foreground, or regions.

    Raises
    ------
    InputError
        If a tensor has another shape than the other, a NaN, or values that are no labels, or if an option
        has an unusable value.
    TypeError
        For an option that the metric does not have.
    """


def measures_masks(function: _F) -> _F:
    """Complete a metric's function: its signature and docstring show the common options like its own."""
    own = inspect.signature(function)
    named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in COMMON_DEFAULTS.items()
    ]
    signature = own.replace(parameters=[*named, *common])
    function.__signature__ = signature  # type: ignore[attr-defined]
    if function.__doc__:  # Python has none with -OO
        shared = [MaskArguments.__doc__ or "", CommonOptions.__doc__ or ""]
        taken = signature.parameters
        function.__doc__ = with_shared_parameters(function.__doc__, taken, shared, ("Returns", "Raises"))
    return function


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of a metric's function with their defaults, without what comes with each batch."""
    parameters = inspect.signature(function).parameters.values()
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return {name: default for name, default in keywords.items() if name not in _CALL_ARGUMENTS}


def check_common_options(function: str, options: Mapping[str, Any]) -> None:
    """Raise unless all of `options` are common options with usable values."""
    unknown = sorted(set(options) - set(COMMON_DEFAULTS))
    if unknown:
        raise TypeError(f"{function} has no option {unknown[0]!r}; all have {', '.join(COMMON_DEFAULTS)}")
    bound = COMMON_DEFAULTS | dict(options)
    for name, choices in _CHOICES.items():
        check_choice(function, name, bound[name], choices)
    least = 1 if bound["input_format"] == "regions" else 2
    check_number(function, "num_classes", bound["num_classes"], low=least, integer=True)
