"""Which settings of a loss a search tries: as many for cross-entropy and Dice as for any other loss.

Every setting has a default, which the first trial of each loss takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from topodl.evaluation.loss_recipes import Recipe, SumSpec, WrappedSpec, parse_recipe
from topodl.evaluation.loss_specs import LossSpec
from topodl.evaluation.settings import StudySettings

__all__ = ["Choice", "Range", "Space", "recipe_of", "search_space"]

_PLAIN = ("ce_dice", "scnp_ce_dice")  # what SCNP makes of them is a loss of its own
_RATE_FACTOR, _WEIGHT_FACTOR = 4.0, 10.0
_DIGITS = 3
# One option each: names of losses are names of folders, whose length is limited.
_SCHEDULES: dict[str, dict[str, float]] = {
    "always": {},
    "rising": {"ramp": 0.5},
    "late": {"active_from": 0.5},
    "last": {"active_from": 0.8},
}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, alike in their logarithm."""

    default: float
    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """One of several values, the default first."""

    values: tuple[Any, ...]

    @property
    def default(self) -> Any:
        """What the first trial takes."""
        return self.values[0]


Space = dict[str, Range | Choice]


def search_space(loss: str, settings: StudySettings, *, spatial_dims: int, regions: bool) -> Space:
    """Return what is tried of a loss; what its text gives stays as it is.

    Parameters
    ----------
    loss : str
        A loss as `topodl evaluate --losses` takes it. Of combinations only the training is tuned.
    settings : StudySettings
        The defaults of the training.
    spatial_dims : int
        2 for pictures, 3 for volumes.
    regions : bool
        Whether classes overlap: there is no weight of the foreground then.

    Examples
    --------
    >>> settings = StudySettings.of_protocol("tuned", device="cpu")
    >>> sorted(search_space("ce_dice", settings, spatial_dims=2, regions=False))
    ['augmentation', 'dice_weight', 'foreground_weight', 'learning_rate']
    """
    recipe = parse_recipe(loss)
    rate = settings.learning_rate
    space: Space = {
        "learning_rate": Range(rate, rate / _RATE_FACTOR, rate * _RATE_FACTOR),
        "augmentation": Choice(_augmentations(settings.augmentation, spatial_dims)),
    }
    if not regions:
        space["foreground_weight"] = Range(1.0, 0.5, 4.0)
    space = {name: values for name, values in space.items() if name not in recipe.training}
    if isinstance(recipe.loss, LossSpec):
        space |= _space_of_single(recipe.loss, spatial_dims)
    return space


def _augmentations(default: str, spatial_dims: int) -> tuple[str, ...]:
    known = ("none", "light", "topomortar") if spatial_dims == 2 else ("none", "light")
    return tuple(dict.fromkeys((default, *known)))


def _space_of_single(spec: LossSpec, spatial_dims: int) -> Space:
    """Return what is tried of a loss of the registry: weight, schedule, filtration, neighbours, and SCNP."""
    options = spec.build().options
    space: Space = {}
    weight = options.get("topology_weight")
    if weight:
        space["topology_weight"] = Range(weight, weight / _WEIGHT_FACTOR, weight * _WEIGHT_FACTOR)
    if "topology_weight" in options and not {"active_from", "ramp"} & spec.options.keys():
        space["schedule"] = Choice(tuple(_SCHEDULES))
    if "filtration" in options:
        space["filtration"] = Choice(("superlevel", "sublevel", "both"))
    if "connectivity" in options:
        space["connectivity"] = Choice((8, 4) if spatial_dims == 2 else (26, 6))
    if "dimension_weights" in options and "dimension_weights" not in spec.options and spatial_dims == 2:
        space["hole_weight"] = Range(1.0, 0.2, 5.0)
    if spec.name == "ce_dice":
        space["dice_weight"] = Range(1.0, 0.3, 3.0)
    space = {name: values for name, values in space.items() if name not in spec.options}
    if spec.name not in _PLAIN:
        space["scnp"] = Choice(("none", "half", "alone", "beside"))
    return space


def recipe_of(loss: str, space: Space, values: dict[str, Any]) -> str:
    """Return the loss with the settings `values`, those that are defaults left out.

    Numbers are rounded to three digits. The setting "scnp" says what becomes of the loss: "half" is on the
    worst logits by half, "alone" on them alone, and "beside" the mean with CE + Dice on the worst logits.

    Examples
    --------
    >>> settings = StudySettings.of_protocol("tuned", device="cpu")
    >>> space = search_space("topograph", settings, spatial_dims=2, regions=False)
    >>> recipe_of("topograph", space, {"learning_rate": 0.00123456, "scnp": "alone"})
    'scnp(topograph):plain_weight=0.0@learning_rate=0.00123'
    """
    recipe = parse_recipe(loss)
    chosen = {name: _rounded(value) for name, value in values.items() if value != space[name].default}
    scnp = chosen.pop("scnp", "none")
    own = ("augmentation", "foreground_weight", "learning_rate")
    training = recipe.training | {name: value for name, value in chosen.items() if name in own}
    options = {name: value for name, value in chosen.items() if name not in own}
    spec = recipe.loss
    options |= _SCHEDULES[options.pop("schedule", "always")]
    if "hole_weight" in options:
        options["dimension_weights"] = [1.0, options.pop("hole_weight")]
    if isinstance(spec, LossSpec):
        single = LossSpec(spec.name, spec.options | options)
        spec = _with_scnp(single, scnp)
    return str(parse_recipe(str(Recipe(spec, training))))


def _with_scnp(single: LossSpec, scnp: str) -> LossSpec | WrappedSpec | SumSpec:
    if scnp == "none":
        return single
    if scnp == "beside":
        worst = WrappedSpec("scnp", (LossSpec("ce_dice"),), {"plain_weight": 0.0})
        return SumSpec(((0.5, single), (0.5, worst)))
    return WrappedSpec("scnp", (single,), {"plain_weight": 0.5 if scnp == "half" else 0.0})


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
