"""Which losses collapsed: a network that paints all, or nothing, may have the fewest topology errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from topodl.evaluation.constant import EMPTY, FULL
from topodl.evaluation.loading import LossResults, Setting
from topodl.evaluation.statistics import FloatArray, mean_of_defined, percent

__all__ = ["CLASS_SHARE", "DICE_SHARE", "NEARLY_ALL", "find_collapsed"]

# The 320 trainings of the TopoMortar study all reach three quarters of their baseline's Dice.
DICE_SHARE = 0.75
CLASS_SHARE = 0.5  # one class of several varies more than their mean
_NOTHING = 0.01
NEARLY_ALL = 0.9
_IN = {"ID": "in distribution", "OOD": "out of distribution", "ALL": "on the test images"}


def find_collapsed(setting: Setting, baseline: LossResults | None) -> dict[str, str]:
    """Return the losses that collapsed, by name, each with the reason in words.

    A loss collapsed if the predictions of any of its trainings are constant in a class, in 90 % of the images
    in distribution or out of it, or if the Dice of any there is below 75 % of the baseline's (50 % in a
    class), or below 0.01. A training is one seed, or one fold of it. The baseline's Dice is the median of its
    seeds', by which its own are judged too.
    """
    collapsed = {}
    for loss in setting.losses:
        for domain in setting.domains:
            reason = _constant_reason(setting, loss, domain) or _dice_reason(setting, loss, baseline, domain)
            if reason:
                collapsed[loss.name] = reason
                break
    return collapsed


def _constant_reason(setting: Setting, loss: LossResults, domain: str) -> str:
    """Say in which class and how many trainings the predictions of a loss are constant, or return ""."""
    kinds = [loss.constant[:, part] for part in setting.trainings_in(domain)]
    known = np.stack([(~np.isnan(of_fold)).sum(axis=1) for of_fold in kinds])
    for code, words in ((EMPTY, "no {}"), (FULL, "{} everywhere")):
        constant = np.stack([(of_fold == code).sum(axis=1) for of_fold in kinds])
        share = constant / np.maximum(known, 1)
        for number, name in enumerate(setting.classes):
            here = share[..., number] >= NEARLY_ALL
            if here.any():
                what = name if len(setting.classes) > 1 else "foreground"
                return f"predicts {words.format(what)} {_IN[domain]}{_how_often(here)}"
    return ""


def _dice_reason(setting: Setting, loss: LossResults, baseline: LossResults | None, domain: str) -> str:
    """Say where and in how many trainings the Dice of a loss is far below the baseline's, or return ""."""
    kinds: list[tuple[str | None, float]] = [(None, DICE_SHARE)]
    if len(setting.classes) > 1:
        kinds += [(name, CLASS_SHARE) for name in setting.classes]
    for name, share in kinds:
        mine = _dice_of_trainings(setting, loss, domain, name)
        reference = np.zeros((len(mine), 1))
        if baseline is not None:
            reference = _median(_dice_of_trainings(setting, baseline, domain, name))
        here = mine < np.maximum(share * reference, _NOTHING if name is None else 0.0)
        if here.any():
            worst = np.unravel_index(np.argmin(np.where(here, mine, np.inf)), mine.shape)
            of_class = f" of {name}" if name else ""
            than = ""
            if baseline is not None and mine[worst] < share * reference[worst[0], 0]:
                than = f", less than {percent(share)} of {baseline.name}'s {reference[worst[0], 0]:.2f}"
            return f"Dice{of_class} is {mine[worst]:.2f} {_IN[domain]}{than}{_how_often(here)}"
    return ""


def _dice_of_trainings(
    setting: Setting, loss: LossResults, domain: str, class_name: str | None
) -> FloatArray:
    """Return the mean Dice of each training, groups weighted alike, shape (folds, seeds)."""
    dice = next(metric for metric in setting.metrics if metric.name == "Dice")
    values = setting.values(loss, dice, class_name)
    groups = np.asarray(setting.groups)
    of_folds = []
    for part in setting.trainings_in(domain):
        of_groups = [
            mean_of_defined(values[:, part & (groups == group)], axis=1) for group in np.unique(groups[part])
        ]
        of_folds.append(mean_of_defined(np.stack(of_groups), axis=0))
    return np.stack(of_folds)


def _median(of_trainings: FloatArray) -> FloatArray:
    """Return the median over seeds of each fold, shape (folds, 1); 0 where nothing is defined."""
    defined = [of_fold[~np.isnan(of_fold)] for of_fold in of_trainings]
    return np.array([[np.median(of_fold) if of_fold.size else 0.0] for of_fold in defined])


def _how_often(here: NDArray[np.bool_]) -> str:
    """Say in how many trainings (folds, seeds) something is so; nothing where there is one training only."""
    if here.size == 1:
        return ""
    what = "seeds" if len(here) == 1 else "trainings"
    return f", in all {what}" if here.all() else f", in {here.sum()} of {here.size} {what}"
