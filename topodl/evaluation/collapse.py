"""Which losses collapsed: a network that paints all, or nothing, may have the fewest topology errors."""

from __future__ import annotations

import numpy as np

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

    A loss collapsed if the predictions of any of its seeds are constant in a class, in 90 % of the images in
    distribution or out of it, or if any seed's Dice there is below 75 % of the baseline's (50 % in a class),
    or below 0.01. The baseline's Dice is the median of its seeds', by which its own seeds are judged too.
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
    """Say in which class and how many seeds the predictions of a loss are constant, or return ""."""
    kinds = loss.constant[:, setting.domain(domain)]
    known = (~np.isnan(kinds)).sum(axis=1)
    for code, words in ((EMPTY, "no {}"), (FULL, "{} everywhere")):
        share = (kinds == code).sum(axis=1) / np.maximum(known, 1)
        for number, name in enumerate(setting.classes):
            seeds = int((share[:, number] >= NEARLY_ALL).sum())
            if seeds:
                what = name if len(setting.classes) > 1 else "foreground"
                return f"predicts {words.format(what)} {_IN[domain]}{_of_seeds(seeds, loss)}"
    return ""


def _dice_reason(setting: Setting, loss: LossResults, baseline: LossResults | None, domain: str) -> str:
    """Say where and in how many seeds the Dice of a loss is far below the baseline's, or return ""."""
    parts: list[tuple[str | None, float]] = [(None, DICE_SHARE)]
    if len(setting.classes) > 1:
        parts += [(name, CLASS_SHARE) for name in setting.classes]
    for name, share in parts:
        mine = _dice_by_seed(setting, loss, domain, name)
        reference = _median_dice(setting, baseline, domain, name) if baseline else 0.0
        least = max(share * reference, _NOTHING if name is None else 0.0)
        seeds = int((mine < least).sum())
        if seeds:
            of_class = f" of {name}" if name else ""
            than = f", less than {percent(share)} of {baseline.name}'s {reference:.2f}" if baseline else ""
            return f"Dice{of_class} is {np.nanmin(mine):.2f} {_IN[domain]}{than}{_of_seeds(seeds, loss)}"
    return ""


def _dice_by_seed(setting: Setting, loss: LossResults, domain: str, class_name: str | None) -> FloatArray:
    """Return the mean Dice of each seed, groups weighted alike."""
    dice = next(metric for metric in setting.metrics if metric.name == "Dice")
    values = setting.values(loss, dice, class_name)[:, setting.domain(domain)]
    groups = np.asarray(setting.groups_in(domain))
    of_groups = [mean_of_defined(values[:, groups == group], axis=1) for group in np.unique(groups)]
    return mean_of_defined(np.stack(of_groups), axis=0)


def _median_dice(setting: Setting, loss: LossResults, domain: str, class_name: str | None) -> float:
    of_seeds = _dice_by_seed(setting, loss, domain, class_name)
    defined = of_seeds[~np.isnan(of_seeds)]
    return float(np.median(defined)) if defined.size else 0.0


def _of_seeds(seeds: int, loss: LossResults) -> str:
    if len(loss.seeds) == 1:
        return ""
    return ", in all seeds" if seeds == len(loss.seeds) else f", in {seeds} of {len(loss.seeds)} seeds"
