"""What a study trains with, as one word: losses, their sums and what SCNP makes of them, and how to train.

RECIPE  = LOSS [@SETTING=VALUE,…]
LOSS    = [WEIGHT*]TERM[+[WEIGHT*]TERM…]
TERM    = NAME[:OPTION=VALUE,…] | scnp(LOSS)[:OPTION=VALUE,…] | fade(LOSS;LOSS)[:OPTION=VALUE,…]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from topodl._checks import check_choice, check_number, fail
from topodl.errors import InputError
from topodl.evaluation.loss_specs import LossSpec, parse_loss, parse_options, split_outside, written_options
from topodl.losses import SCNP, FadingLoss, SegmentationLoss, WeightedSumLoss

__all__ = ["AUGMENTATIONS", "TRAINING_SETTINGS", "Recipe", "SumSpec", "WrappedSpec", "parse_recipe"]

_NAME = "topodl evaluate"
AUGMENTATIONS = ("none", "light", "topomortar")
TRAINING_SETTINGS = ("augmentation", "foreground_weight", "learning_rate")
_WEIGHTED = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*\*(.*)", re.DOTALL)
_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*(?::(.*))?", re.DOTALL)
_WRAPPERS: dict[str, int] = {"scnp": 1, "fade": 2}

Build = Callable[[LossSpec], SegmentationLoss]


@dataclass(frozen=True)
class WrappedSpec:
    """What `SCNP` or `FadingLoss` makes of one or two losses.

    Attributes
    ----------
    wrapper : {"scnp", "fade"}
        Which of them.
    inner : tuple of specs
        The losses in the brackets.
    options : dict of str to object
        Keyword arguments of the wrapper.
    """

    wrapper: str
    inner: tuple[Spec, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the one way to write it."""
        call = f"{self.wrapper}({';'.join(map(str, self.inner))})"
        return call + (f":{written_options(self.options)}" if self.options else "")

    def build(self, build: Build) -> SegmentationLoss:
        """Return the loss; `build` makes the single ones."""
        losses = [_built(spec, build) for spec in self.inner]
        kind = SCNP if self.wrapper == "scnp" else FadingLoss
        try:
            return kind(*losses, **self.options)
        except (TypeError, InputError) as error:
            raise fail(_NAME, "losses", f"has {str(self)!r} ({error})", "other options") from error


@dataclass(frozen=True)
class SumSpec:
    """A weighted sum of losses: pairs of weight and loss."""

    terms: tuple[tuple[float, Spec], ...]

    def __str__(self) -> str:
        """Return the one way to write it, each weight included."""
        return "+".join(f"{weight!r}*{spec}" for weight, spec in self.terms)

    def build(self, build: Build) -> SegmentationLoss:
        """Return the loss; `build` makes the single ones."""
        losses = [_built(spec, build) for _, spec in self.terms]
        try:
            return WeightedSumLoss(losses, [weight for weight, _ in self.terms])
        except InputError as error:
            raise fail(_NAME, "losses", f"has {str(self)!r} ({error})", "other weights") from error


Spec = LossSpec | WrappedSpec | SumSpec


@dataclass(frozen=True)
class Recipe:
    """A loss, and the settings of the training that are its own.

    Attributes
    ----------
    loss : LossSpec, WrappedSpec or SumSpec
        What is trained with.
    training : dict of str to object
        Of `TRAINING_SETTINGS`; what is not there is that of the study.
    """

    loss: Spec
    training: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the one way to write it."""
        own = ",".join(f"{name}={value}" for name, value in sorted(self.training.items()))
        return f"{self.loss}@{own}" if own else str(self.loss)

    @property
    def singles(self) -> tuple[LossSpec, ...]:
        """The losses of the registry that this one is made of."""
        return tuple(_singles(self.loss))

    @property
    def is_combined(self) -> bool:
        """Whether it is made of losses, and not one of the registry itself."""
        return not isinstance(self.loss, LossSpec)

    def build(self, build: Build) -> SegmentationLoss:
        """Return the loss; `build` makes the single ones."""
        return _built(self.loss, build)


def parse_recipe(text: str) -> Recipe:
    """Return what `text` names: a loss or a combination of losses, and how to train with it.

    Parameters
    ----------
    text : str
        Such as "cldice:iterations=10", "0.5*ce_dice+0.5*scnp(ce_dice)" or "ce_dice@learning_rate=0.003".

    Raises
    ------
    InputError
        If a loss is unknown or something is not written as shown.

    Examples
    --------
    >>> str(parse_recipe("scnp( skeleton_recall ): plain_weight = 0"))
    'scnp(skeleton_recall):plain_weight=0'
    >>> str(parse_recipe("ce_dice + .5 * topograph @ learning_rate=1e-3"))
    '1.0*ce_dice+0.5*topograph@learning_rate=0.001'
    """
    loss, *training = split_outside(text, "@")
    if len(training) > 1:
        raise fail(
            _NAME, "losses", f"has {text!r}", "one @, with what the training of this loss has of its own"
        )
    settings = parse_options(text, training[0]) if training else {}
    for name, value in settings.items():
        check_choice(_NAME, f"losses has {text!r}, whose setting", name, TRAINING_SETTINGS)
        if name == "augmentation":
            settings[name] = value = "none" if value is None else value
            check_choice(_NAME, f"losses has {text!r}, whose {name}", value, AUGMENTATIONS)
        else:
            check_number(_NAME, f"losses has {text!r}, whose {name}", value, low=1e-12)
    return Recipe(_parsed(loss), settings)


def _parsed(text: str) -> Spec:
    terms = _terms(text)
    weighted = [_WEIGHTED.fullmatch(term) for term in terms]
    if len(terms) == 1 and weighted[0] is None:
        return _parsed_term(text)
    pairs = []
    for term, found in zip(terms, weighted, strict=True):
        weight, rest = found.groups() if found else ("1", term)
        try:
            pairs.append((float(weight), _parsed_term(rest)))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise fail(_NAME, "losses", f"has {text!r}, where {weight!r} is no weight", "a number") from None
    spec = SumSpec(tuple(pairs))
    if not any(weight for weight, _ in pairs):
        raise fail(_NAME, "losses", f"has {text!r}", "a weight above 0")
    return spec


def _terms(text: str) -> list[str]:
    """Split at each plus outside of brackets and quotes that is not the sign of an exponent."""
    terms = split_outside(text, "+")
    joined = terms[:1]
    for term in terms[1:]:
        if re.search(r"[0-9.][eE]$", joined[-1]) and term[:1].isdigit():
            joined[-1] += f"+{term}"
        else:
            joined.append(term)
    return joined


def _parsed_term(text: str) -> Spec:
    call = _CALL.fullmatch(text)
    if call is None or call[1] not in _WRAPPERS:
        return parse_loss(text)
    name, inner, options = call.groups()
    losses = split_outside(inner, ";")
    if len(losses) != _WRAPPERS[name]:
        expected = f"{name}({';'.join(['LOSS'] * _WRAPPERS[name])})"
        raise fail(_NAME, "losses", f"has {text!r}, with {len(losses)} losses in brackets", expected)
    spec = WrappedSpec(name, tuple(map(_parsed, losses)), parse_options(text, options) if options else {})
    spec.build(lambda single: single.build())
    return spec


def _built(spec: Spec, build: Build) -> SegmentationLoss:
    return build(spec) if isinstance(spec, LossSpec) else spec.build(build)


def _singles(spec: Spec) -> Sequence[LossSpec]:
    if isinstance(spec, LossSpec):
        return [spec]
    inner = spec.inner if isinstance(spec, WrappedSpec) else [term for _, term in spec.terms]
    return [single for each in inner for single in _singles(each)]
