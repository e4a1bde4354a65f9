"""The options that every metric of label maps has: described, checked and given their defaults once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, TypeVar

from topodl._checks import check_choice, check_number, fail, unknown_option
from topodl._docs import with_shared_parameters

__all__ = [
    "COMMON_DEFAULTS",
    "CommonOptions",
    "MaskArguments",
    "Reading",
    "ReadingOptions",
    "maps_masks",
    "measures_masks",
    "options_of",
    "refuse_ignore_empty",
    "unknown_metric_option",
]

InputFormat = Literal["index", "one-hot", "regions", "instances"]
Classes = Literal["each", "union"]
IgnoreEmpty = Literal["never", "both", "target"]

_CHOICES = {
    "classes": ("each", "union"),
    "ignore_empty": ("never", "both", "target"),
}
_CALL_ARGUMENTS = ("preds", "target", "mask")

# What options are called in MONAI and torchmetrics, and what says the same here.
_READ_AS_THEY_ARE = (
    "label maps come in, or regions: preds.argmax(1), or preds > 0.5 with input_format='regions'"
)
_NAMES_ELSEWHERE = {
    "activation": _READ_AS_THEY_ARE,
    "argmax": _READ_AS_THEY_ARE,
    "average": "reduction says it here",
    "class_thresholds": "tolerance of SurfaceDice says it here",
    "dist_metric": "distances are Euclidean, in units of spacing",
    "distance_metric": "distances are Euclidean, in units of spacing",
    "get_not_nans": "counts() says how many values a mean has",
    "include_background": "the background is no class; input_format='regions' measures every channel",
    "multiclass": "num_classes says it here",
    "num_labels": "num_classes says it here, with input_format='regions'",
    "percentile": "HausdorffDistance95 takes the 95th",
    "return_with_label": "as_dict() has names of classes",
    "sigmoid": _READ_AS_THEY_ARE,
    "softmax": _READ_AS_THEY_ARE,
    "symmetric": "distances are taken both ways",
    "task": "num_classes and input_format say it here",
    "threshold": _READ_AS_THEY_ARE,
    "to_onehot_y": "label maps are taken as they are, one-hot ones with input_format='one-hot'",
    "zero_division": "ignore_empty says which values count",
}

_F = TypeVar("_F", bound=Callable[..., Any])


class ReadingOptions(TypedDict, total=False):
    """How label maps are read.

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
    ignore_index : int, optional
        Label of the target whose pixels count nowhere: they are background in both maps.
    mask : Tensor or ndarray of shape (B, *S) or (B, 1, *S), or a list, optional
        Nonzero where pixels count.
    """

    num_classes: int
    input_format: InputFormat
    classes: Classes
    ignore_index: int | None
    mask: Any


class CommonOptions(ReadingOptions, total=False):
    """The options that every metric has, with the same default and meaning in all of them.

    Parameters
    ----------
    ignore_empty : {"never", "both", "target"}, default="never"
        Which classes of an image are left out: NaN in its values, and in no mean. "both": those in neither
        map. "target": those that the target has not, whatever was predicted. What the prediction alone
        lacks always counts.
    """

    ignore_empty: IgnoreEmpty


COMMON_DEFAULTS: dict[str, Any] = {
    "num_classes": 2,
    "input_format": "index",
    "classes": "each",
    "ignore_empty": "never",
    "ignore_index": None,
    "mask": None,
}


class MaskArguments:
    """What the functions of two batches of masks have in common.

    Parameters
    ----------
    preds, target : Tensor or ndarray of shape (B, *S) or (B, 1, *S), or a list of images
        Masks or label maps, bool, integers, or floats such as 1.0: images (B, H, W) or (B, 1, H, W), volumes
        (B, 1, D, H, W). Channels are read as `input_format` says. The images of a list have no axis B, and
        may differ in size.
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


def measures_masks(function: _F, *sources: type) -> _F:
    """Complete a metric's function: its signature and docstring show the common options like its own.

    `sources` describe parameters that the function shares with a few others.
    """
    return _with_options(function, COMMON_DEFAULTS, sources)


def maps_masks(function: _F) -> _F:
    """Do the same for a function whose result is no value that could be left out of a mean."""
    return _with_options(function, {k: v for k, v in COMMON_DEFAULTS.items() if k != "ignore_empty"}, ())


def refuse_ignore_empty(function: str, options: Mapping[str, Any]) -> None:
    """Raise for the one common option that `maps_masks` leaves out."""
    if "ignore_empty" in options:
        raise TypeError(f"{function} has no option 'ignore_empty': it has no values to leave out")


def _with_options(function: _F, options: dict[str, Any], sources: tuple[type, ...]) -> _F:
    own = inspect.signature(function)
    named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(name, kind, default=default) for name, default in options.items()]
    signature = own.replace(parameters=[*named, *added])
    function.__signature__ = signature  # type: ignore[attr-defined]
    if function.__doc__:  # Python has none with -OO
        shared = [source.__doc__ or "" for source in (*sources, MaskArguments, ReadingOptions, CommonOptions)]
        taken = signature.parameters
        function.__doc__ = with_shared_parameters(function.__doc__, taken, shared, ("Returns", "Raises"))
    return function


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of a metric's function with their defaults, without what comes with each batch."""
    parameters = inspect.signature(function).parameters.values()
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return {name: default for name, default in keywords.items() if name not in _CALL_ARGUMENTS}


def unknown_metric_option(metric: str, option: str, known: Iterable[str]) -> TypeError:
    """Return the error that says which options the class `metric` has in the place of `option`."""
    return unknown_option(metric, option, f"its options are {', '.join(sorted(known))}", _NAMES_ELSEWHERE)


def _check_common_options(function: str, options: Mapping[str, Any], takes_instances: bool) -> None:
    """Raise unless all of `options` are common options with usable values."""
    unknown = sorted(set(options) - set(COMMON_DEFAULTS))
    if unknown:
        raise unknown_option(function, unknown[0], f"all have {', '.join(COMMON_DEFAULTS)}", _NAMES_ELSEWHERE)
    bound = COMMON_DEFAULTS | dict(options)
    formats = ("index", "one-hot", "regions", "instances")
    check_choice(function, "input_format", bound["input_format"], formats[: 4 if takes_instances else 3])
    for name, choices in _CHOICES.items():
        check_choice(function, name, bound[name], choices)
    if bound["ignore_index"] is not None:
        check_number(function, "ignore_index", bound["ignore_index"], integer=True)
    if bound["input_format"] == "instances" and bound["num_classes"] != 2:
        came = f"is {bound['num_classes']!r} with input_format='instances'"
        raise fail(function, "num_classes", came, "to be left out, as ids are no classes")
    least = 1 if bound["input_format"] == "regions" else 2
    check_number(function, "num_classes", bound["num_classes"], low=least, integer=True)


@dataclass(frozen=True)
class Reading:
    """How a function reads what it is given."""

    function: str
    num_classes: int
    input_format: str
    classes: str
    ignore_empty: str
    ignore_index: int | None
    mask: Any
    takes_instances: bool

    @classmethod
    def of(cls, function: str, common: Mapping[str, Any], takes_instances: bool = False) -> Reading:
        """Check the options and fill in the defaults."""
        _check_common_options(function, common, takes_instances)
        return cls(function, **(COMMON_DEFAULTS | dict(common)), takes_instances=takes_instances)

    @property
    def n_masks(self) -> int:
        """How many masks an image has."""
        if self.classes == "union":
            return 1
        return self.num_classes if self.input_format == "regions" else self.num_classes - 1

    @property
    def class_axis(self) -> tuple[int, ...]:
        """The axis of classes in a result: none for one mask an image."""
        return (self.n_masks,) if self.n_masks > 1 else ()
