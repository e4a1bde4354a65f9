"""The module that every segmentation loss is, and the registry of their names.

A loss is a function ``f(logits, target, *, options…)`` and a class of three lines that keeps the options,
the cache of what depends on the label alone, and the progress of the training.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch

from topodl._checks import check_choice, check_number, check_spacing, fail, plain_tensor, reject_scripting
from topodl._docs import module_docstring
from topodl._overflow import NON_FINITE
from topodl._precision import at_least_single
from topodl.losses._in_graph import evaluate_in_graph, number_of_new
from topodl.losses._input import CommonOptions
from topodl.losses._option_names import unknown_loss_option
from topodl.losses._reading import one_label, read_labels
from topodl.losses._targets import Prepare, TargetCache, TargetParts, target_parts

__all__ = ["SegmentationLoss", "faded_in", "registry"]

registry: dict[str, type[SegmentationLoss]] = {}
"""Every loss by the name that ``topodl evaluate --losses`` knows it by."""

_OPTIONS_OF_CLASSES = ("active_from", "cache_bytes", "ramp")
_CALL_ARGUMENTS = ("logits", "target", "mask", "pixel_weights", "precomputed")
_COMMON_DEFAULTS = {
    "activation": "auto",
    "class_weights": None,
    "reduction": "mean",
    "ignore_index": None,
    "non_finite": "nan",
    "label_smoothing": 0.0,
}


class SegmentationLoss(torch.nn.Module):
    """Base of all segmentation losses: ``loss(logits, target)``.

    A subclass names its function and, if something depends on the label alone, the function that
    prepares it for one label; with a `name` it is registered, and offered by ``topodl evaluate``::

        class MyLoss(SegmentationLoss, name="my_loss", function=my_loss, prepare=my_label_part):
            '''What it punishes.'''

    ``registry.pop("my_loss")`` takes it out again. The keyword arguments of the function are the options of
    the loss, `mask` and `pixel_weights` arguments of the call; what it lacks is an error for who uses it.

    Parameters
    ----------
    active_from : float, default=0
        Share of the training after which the topology term is added; `set_progress` tells the share.
    ramp : float, default=0
        Share of the training over which its weight then rises linearly from 0.
    cache_bytes : int, default=2**28
        Memory for what was computed of the labels seen last; 0 keeps nothing.
    **options
        The keyword arguments of the loss's function.

    Raises
    ------
    TypeError
        For an option that the loss does not have.
    InputError
        For an unusable option or unusable input.

    Examples
    --------
    A loss of one's own: a function, and a class that names it.

    >>> import torch
    >>> from topodl.losses import SegmentationLoss
    >>> def focal(logits, target, *, gamma=2.0):
    ...     labels = target.reshape(len(target), *logits.shape[2:])
    ...     ce = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    ...     return ((1 - torch.exp(-ce)) ** gamma * ce).mean()
    >>> class FocalLoss(SegmentationLoss, function=focal):
    ...     '''Cross-entropy that leaves out what is right.'''
    >>> loss = FocalLoss(gamma=1.0)
    >>> loss(torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.long)).round(decimals=4)
    tensor(0.3466)
    """

    function: ClassVar[Callable[..., torch.Tensor]]
    prepare: ClassVar[Callable[..., dict[str, Any]] | None] = None
    name: ClassVar[str] = ""
    spatial_dims: ClassVar[tuple[int, ...]] = (2, 3)
    _is_ours: ClassVar[bool] = False  # of others nobody knows what else has a gradient
    _number: int

    __prepare_scriptable__ = reject_scripting

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        function: Callable[..., torch.Tensor] | None = None,
        prepare: Callable[..., dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls._is_ours = cls.__module__.startswith("topodl.losses.")
        if function is not None:
            _check_function(cls.__name__, function, prepare is not None)
            cls.function = staticmethod(function)
            cls.__signature__ = _constructor_signature(function)  # type: ignore[attr-defined]
            shared = (CommonOptions.__doc__ or "", SegmentationLoss.__doc__ or "")
            cls.__doc__ = module_docstring(cls.__doc__ or "", function.__doc__ or "", shared, _CALL_ARGUMENTS)
        if prepare is not None:
            cls.prepare = staticmethod(prepare)
        if name:
            cls.name = name
            registry[name] = cls

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._number = number_of_new(self)  # a copy is a loss of its own

    def __init__(
        self, *, active_from: float = 0.0, ramp: float = 0.0, cache_bytes: int = 2**28, **options: Any
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.options = _bind_options(name, type(self).function, options)
        check_number(name, "active_from", active_from, low=0.0, high=1.0)
        check_number(name, "ramp", ramp, low=0.0, high=1.0)
        check_number(name, "cache_bytes", cache_bytes, low=0, integer=True)
        if (active_from or ramp) and "topology_weight" not in self.options:
            raise TypeError(f"{name} has no topology term that active_from or ramp could delay")
        self.active_from, self.ramp = float(active_from), float(ramp)
        self._progress = 0.0
        self._number = number_of_new(self)
        self._cache = TargetCache(cache_bytes)

    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        *,
        mask: torch.Tensor | None = None,
        pixel_weights: torch.Tensor | None = None,
        precomputed: TargetParts | Sequence[TargetParts] | None = None,
        topology: bool = True,
    ) -> torch.Tensor:
        """Return the loss.

        Parameters
        ----------
        logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
            One channel for the foreground alone, or one a class; probabilities with activation="none".
        target : Tensor of shape (B, 1, *S) or (B, *S), integers
            Labels in [0, C), in {0, 1} for one channel. (B, C, *S) are regions that overlap for
            activation="sigmoid", and shares of the classes for "softmax", see the guide.
        mask : Tensor of shape (B, 1, *S) or (B, *S), optional
            Nonzero where pixels count.
        pixel_weights : Tensor of shape (B, 1, *S) or (B, *S), optional
            Weight of each pixel in the cross-entropy.
        precomputed : mapping of str to Tensor of shape (B, …), optional
            What `precompute` returned for this target, or a list of it for each region; else it is computed
            or taken from the cache.
        topology : bool, default=True
            False leaves the topology term out (for the lower heads of deep supervision).

        Returns
        -------
        Tensor
            A scalar, or (B,) with reduction="none"; float64 for float64 logits, else float32.
        """
        return self._evaluate_anywhere(logits, target, mask, pixel_weights, precomputed, topology)

    def _evaluate_anywhere(
        self,
        logits: torch.Tensor,
        target: torch.Tensor | None,
        mask: torch.Tensor | None,
        pixel_weights: torch.Tensor | None,
        precomputed: TargetParts | Sequence[TargetParts] | None,
        topology: bool,
    ) -> torch.Tensor:
        """Return the loss, in a compiled graph by one operator."""
        if not torch.compiler.is_compiling() or not self._fits_a_graph(logits, target):
            others = {} if pixel_weights is None else {"pixel_weights": pixel_weights}
            return self._evaluate(logits, target, mask, precomputed, topology, **others)
        logits, target = at_least_single(plain_tensor(logits)), plain_tensor(target)
        reduction = self.options["reduction"]
        return evaluate_in_graph(
            self._number, logits, target, mask, pixel_weights, precomputed, topology, reduction
        )

    def _fits_a_graph(self, logits: Any, target: Any) -> bool:
        """Return whether nothing but the logits has a gradient: the operator of a graph has that alone."""
        ours = all(part._is_ours for part in self.modules() if isinstance(part, SegmentationLoss))
        learns = any(weight.requires_grad for weight in self.parameters())
        of_tensors = isinstance(logits, torch.Tensor) and (target is None or not target.requires_grad)
        return ours and of_tensors and logits.is_floating_point() and not learns

    def _evaluate(
        self,
        logits: torch.Tensor,
        target: torch.Tensor | None,
        mask: torch.Tensor | None,
        precomputed: TargetParts | Sequence[TargetParts] | None,
        topology: bool,
        **others: Any,
    ) -> torch.Tensor:
        """Return the loss with `others` in place of the options of the same names."""
        options = self.options | others
        if "topology_weight" in options:
            options["topology_weight"] *= self.topology_scale if topology else 0.0
        if type(self).prepare is not None:
            options["precomputed"] = self._cache if precomputed is None else precomputed
        if mask is not None:
            options["mask"] = mask
        refused = _refused(type(self).function, options)
        if refused:
            name = type(self).__name__
            raise TypeError(f"{name} has no argument {refused[0]!r}; expected it in the loss's function")
        return type(self).function(logits, target, **options)

    def precompute(
        self, target: torch.Tensor, *, mask: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return what this loss needs of the label alone, to be handed in as ``precomputed=``.

        Parameters
        ----------
        target : Tensor of shape (B, 1, *S), (B, *S), or (H, W) for one image, integers
            Labels, as for the loss itself.
        mask : Tensor of shape (B, 1, *S) or (B, *S), optional
            Nonzero where pixels count.

        Returns
        -------
        dict of str to Tensor of shape (B, …)
            One row a sample, of integers or numbers that depend on the label alone.
        """
        name = f"{type(self).__name__}.precompute"
        labels = read_labels(name, target, self.options.get("ignore_index"), mask)
        prepare = self._bound_prepare()
        return {} if prepare is None else target_parts(labels, prepare, self._cache)

    def target_transform(self, label: Any = None, *, image: Any = None, mask: Any = None) -> dict[str, Any]:
        """Return the same for one label, without the sample's axis: for the workers of a data loader.

        Parameters
        ----------
        label : Tensor, ndarray or Pillow image of shape (1, *S), (H, W) or (H, W, 1), integers
            As a dataset returns it; the loader collates the dictionaries to what ``precomputed=`` takes.
        image, mask : any, and as `label`
            The call of albumentations, by keywords: `mask` is the label, and `image` stays as it is.

        Returns
        -------
        dict of str to Tensor of shape (…)
            What the loss needs of the label. Of a call by keywords, "image", "mask", the label as a tensor
            (1, *S), and "parts", that dictionary.

        Raises
        ------
        InputError
            If there is more than one label, or none.
        TypeError
            If the label is no tensor, array or image.
        """
        name = f"{type(self).__name__}.target_transform"
        if (label is None) == (mask is None):
            came = "is not given" if label is None else "is given twice, as label and as mask"
            raise fail(name, "label", came, "one label")
        whole = one_label(name, mask if label is None else label)
        parts = {key: part[0] for key, part in self.precompute(whole).items()}
        return parts if mask is None else {"image": image, "mask": whole, "parts": parts}

    def set_progress(self, fraction: float) -> None:
        """Say which share of the training is done; it is part of the state dict.

        Parameters
        ----------
        fraction : float
            In [0, 1]: iterations done over iterations in all.
        """
        check_number(f"{type(self).__name__}.set_progress", "fraction", fraction, low=0.0, high=1.0)
        self._progress = float(fraction)

    @property
    def topology_scale(self) -> float:
        """What the weight of the topology term is multiplied by at the present progress, in [0, 1]."""
        return faded_in(self._progress, self.active_from, self.ramp)

    def get_extra_state(self) -> dict[str, float]:
        """Return the progress, which ``state_dict`` stores."""
        return {"progress": self._progress}

    def set_extra_state(self, state: Mapping[str, float]) -> None:
        """Take the progress from a state dict."""
        self._progress = float(state["progress"])

    def extra_repr(self) -> str:
        """Return the options that differ from their defaults."""
        defaults = _option_defaults(type(self).function)
        changed = {k: v for k, v in self.options.items() if v is not defaults[k] and v != defaults[k]}
        return ", ".join(f"{k}={v!r}" for k, v in changed.items())

    def _bound_prepare(self) -> Prepare | None:
        prepare = type(self).prepare
        if prepare is None:
            return None
        accepted = inspect.signature(prepare).parameters
        return partial(prepare, **{k: v for k, v in self.options.items() if k in accepted})


def faded_in(progress: float, active_from: float, ramp: float) -> float:
    """Return the share, in [0, 1], of what comes in after `active_from` and rises linearly over `ramp`."""
    if active_from == 0.0 and ramp == 0.0:
        return 1.0
    since = progress - active_from
    if since <= 0.0:
        return 0.0
    return min(1.0, since / ramp) if ramp else 1.0


def _option_defaults(function: Callable[..., torch.Tensor]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    own = {
        p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _CALL_ARGUMENTS
    }
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        return own  # a function that reads what it wants, as one of users may
    return own | _COMMON_DEFAULTS


def _refused(function: Callable[..., torch.Tensor], names: Iterable[str]) -> list[str]:
    """Return those of `names` that are no keyword arguments of a loss's function."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return []
    return sorted(set(names) - {p.name for p in parameters})


def _check_function(name: str, function: Callable[..., torch.Tensor], prepares: bool) -> None:
    """Raise unless a loss can call its function: a class that fails at its first call enters no registry."""
    parameters = list(inspect.signature(function).parameters.values())
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in places)
    if needed > 2 or not (len(places) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)):
        came = f"is {getattr(function, '__name__', 'a callable')}{inspect.signature(function)}"
        raise TypeError(f"{name}: function {came}; expected f(logits, target, *, options)")
    if prepares and _refused(function, ["precomputed"]):
        raise TypeError(f"{name}: function does not take precomputed; expected it beside prepare")


def _bind_options(
    name: str, function: Callable[..., torch.Tensor], options: dict[str, Any]
) -> dict[str, Any]:
    """Return all options of `function` with their values, the common ones checked."""
    defaults = _option_defaults(function)
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        raise unknown_loss_option(name, unknown[0], {*defaults, *_OPTIONS_OF_CLASSES})
    bound = defaults | options
    missing = [k for k, v in bound.items() if v is inspect.Parameter.empty]
    if missing:
        raise TypeError(f"{name} needs the option {missing[0]!r}")
    if bound.keys() >= _COMMON_DEFAULTS.keys():
        check_choice(name, "activation", bound["activation"], ("auto", "softmax", "sigmoid", "none"))
        check_choice(name, "reduction", bound["reduction"], ("mean", "sum", "none"))
        check_choice(name, "non_finite", bound["non_finite"], NON_FINITE)
        check_number(name, "label_smoothing", bound["label_smoothing"], low=0.0, high=1.0)
    size = bound.get("spacing")
    if size is not None:
        check_spacing(name, size, 1 if isinstance(size, int | float) else len(size))
    for weight in ("base_weight", "topology_weight", "ce_weight", "dice_weight"):
        if weight in bound:
            check_number(name, weight, bound[weight], low=0.0)
    return bound


def _constructor_signature(function: Callable[..., torch.Tensor]) -> inspect.Signature:
    kind = inspect.Parameter.KEYWORD_ONLY
    defaults = _option_defaults(function) | {"active_from": 0.0, "ramp": 0.0, "cache_bytes": 2**28}
    return inspect.Signature([inspect.Parameter(k, kind, default=v) for k, v in defaults.items()])
