"""The losses of a study as it trains with them: for its images, its labels and its network."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from topodl._checks import fail
from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.data import StudyData
from topodl.evaluation.loss_recipes import Recipe, parse_recipe
from topodl.evaluation.loss_specs import LossSpec
from topodl.evaluation.networks import DYNUNET_LEVELS
from topodl.evaluation.settings import StudySettings, regresses_depth
from topodl.losses import DeepSupervisionLoss, SegmentationLoss, registry, topomortar_head_weights

__all__ = ["build_loss", "check_losses", "out_channels"]

_NAME = "topodl evaluate"
# Where the published study adds the topology term late, and then to the network's output alone.
_PUBLISHED_DELAY = 0.7
_PUBLISHED_DELAYED = frozenset({"TopoLoss", "WarpingLoss"})
# What it trains with without cross-entropy and Dice.
_PUBLISHED_ALONE = frozenset({"RegionWiseLoss"})
_TRIAL_SIDE = {2: 32, 3: 16}


def build_loss(text: str, settings: StudySettings, data: StudyData) -> DeepSupervisionLoss:
    """Return the loss over all heads of the network, in the variant that the settings ask for.

    Options in `text` come before those of the study. Where pixels are longer along one axis than along
    another, losses of distances get their size, the shortest side as unit.
    """
    recipe = parse_recipe(text)
    own = _class_weights(recipe, data)

    def build(spec: LossSpec) -> SegmentationLoss:
        return spec.build(**own, **_options_of(spec, settings, data))

    heads = DYNUNET_LEVELS[data.spatial_dims] - 1
    weights = topomortar_head_weights(heads) if settings.network == "dynunet" else None
    delayed = any(_is_delayed(spec, settings) for spec in recipe.singles)
    return DeepSupervisionLoss(recipe.build(build), weights, topology_heads="first" if delayed else "all")


def _options_of(spec: LossSpec, settings: StudySettings, data: StudyData) -> dict[str, Any]:
    """Return what the study says to a single loss."""
    kind = registry[spec.name]
    takes = inspect.signature(kind).parameters
    options: dict[str, Any] = {}
    if "non_finite" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        options["non_finite"] = "raise"  # without a scaler a step of NaN ends the training
    if data.regions:
        options["activation"] = "sigmoid"
    if data.ignores:
        options["ignore_index"] = IGNORE
    spacing = _relative_spacing(data)
    if "spacing" in takes and max(spacing) > 1.0:
        options["spacing"] = spacing
    if "variant" in takes:
        options["variant"] = settings.loss_variant
    if settings.loss_variant == "topomortar" and kind.__name__ in _PUBLISHED_ALONE:
        options["base_weight"] = 0.0
    if _is_delayed(spec, settings):
        options["active_from"] = _PUBLISHED_DELAY
    return options


def _is_delayed(spec: LossSpec, settings: StudySettings) -> bool:
    published = settings.loss_variant == "topomortar"
    return published and registry[spec.name].__name__ in _PUBLISHED_DELAYED


def _class_weights(recipe: Recipe, data: StudyData) -> dict[str, Any]:
    """Return the weights of the classes that the setting `foreground_weight` of a loss makes."""
    weight = recipe.training.get("foreground_weight")
    if weight is None:
        return {}
    if data.regions:
        came = f"has {str(recipe)!r} for regions, which have no background in common"
        raise fail(_NAME, "losses", came, "no foreground_weight")
    return {"class_weights": [1.0, *[float(weight)] * (data.out_channels - 1)]}


def out_channels(loss: str, settings: StudySettings, data: StudyData) -> int:
    """Return how many channels the network has to give for `loss`."""
    return 1 if regresses_depth(loss, settings) else data.out_channels


def check_losses(losses: Iterable[str], settings: StudySettings, data: StudyData) -> None:
    """Raise for a loss that does not work on these images and labels, before any training.

    Each loss is tried on a small image of noise, whose label has a block of each class.
    """
    dims = data.spatial_dims
    side = _TRIAL_SIDE[dims]
    label = _trial_label(data, side)
    generator = torch.Generator("cpu").manual_seed(0)
    for loss in losses:
        unfit = [x for x in parse_recipe(loss).singles if dims not in registry[x.name].spatial_dims]
        for spec in unfit:
            came = f"has {spec.name!r}, which is for {'volumes' if dims == 2 else 'pictures'} alone"
            raise fail(_NAME, "losses", came, f"a loss of {'pictures' if dims == 2 else 'volumes'}")
        depth = regresses_depth(loss, settings)
        if depth and (data.regions or data.out_channels > 2):
            came = f"has {loss!r} in the variant 'topomortar', which is for two classes alone"
            raise fail(_NAME, "losses", came, "the variant 'paper'")
        n = out_channels(loss, settings, data)
        logits = torch.randn(1, n, *(side,) * dims, generator=generator, device="cpu")
        module = build_loss(loss, settings, data).loss
        try:
            module(logits, label)
        except (ValueError, TypeError) as error:
            raise fail(_NAME, "losses", f"has {loss!r} ({error})", "losses that take these labels") from error


def _trial_label(data: StudyData, side: int) -> torch.Tensor:
    """Return a label (1, K, *S) with a bar of each class or region."""
    n = len(data.foreground)
    axes = (side,) * data.spatial_dims
    label = torch.zeros((1, n if data.regions else 1, *axes), dtype=torch.long, device="cpu")
    for k in range(n):
        channel = label[0, k if data.regions else 0]
        start = 2 + 3 * k % (side - 5)
        channel[2:-2, ..., start : start + 2] = 1 if data.regions else k + 1
    return label


def _relative_spacing(data: StudyData) -> tuple[float, ...]:
    median = np.median(np.asarray(data.train.spacings), axis=0)
    return tuple(float(size) for size in median / median.min())
