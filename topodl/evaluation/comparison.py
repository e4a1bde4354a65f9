"""Which losses beat the baseline, on which metrics: by topodl's rule, or by that of the TopoMortar study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from topodl.errors import InputError
from topodl.evaluation.loading import METRICS, LossResults, Metric, Setting
from topodl.evaluation.statistics import (
    Correction,
    FloatArray,
    adjust_p_values,
    group_mean_std,
    group_weights,
    paired_permutation_test,
)

__all__ = [
    "DOMAINS",
    "LEVEL",
    "Comparison",
    "Rule",
    "SettingComparison",
    "compare_losses",
    "find_baseline",
    "rounded",
]

Rule = Literal["permutation", "topomortar"]
DOMAINS = {"ID": "In-distribution", "OOD": "Out-of-distribution"}
LEVEL = 0.05
_BASELINE = "CEDice"


@dataclass(frozen=True)
class Comparison:
    """One loss against the baseline, on one metric and domain; `marked` means that it beats the baseline."""

    p_value: float
    p_adjusted: float
    marked: bool


@dataclass(frozen=True, eq=False)
class SettingComparison:
    """Means, deviations and tests of one setting, by (loss, metric, domain) names."""

    setting: Setting
    baseline: LossResults | None
    domains: tuple[str, ...]
    cells: dict[tuple[str, str, str], tuple[float, float]]
    tests: dict[tuple[str, str, str], Comparison] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def rounded(value: float) -> float:
    """Round to two decimals, as the tables print."""
    return float(np.round(value, 2))


def find_baseline(setting: Setting, name: str | None) -> LossResults | None:
    """Return the loss to compare with: the one of that name, by default CE + Dice; None if there is none.

    Raises
    ------
    InputError
        If a loss was named that the setting does not have.
    """
    try:
        return setting.loss(name or _BASELINE)
    except StopIteration:
        if name is None:
            return None
    names = ", ".join(loss.name for loss in setting.losses)
    raise InputError(
        f"topodl report: baseline {name!r} has no results in {setting.title}; expected one of {names}"
    )


def compare_losses(
    setting: Setting,
    *,
    rule: Rule = "permutation",
    baseline: str | None = None,
    correction: Correction = "holm",
    seed: int = 0,
) -> SettingComparison:
    """Summarise every loss of a setting and test it against the baseline.

    Parameters
    ----------
    setting : Setting
        Losses measured on the same images.
    rule : {"permutation", "topomortar"}
        `"permutation"`: two-sided paired permutation test with images as units (averaged over seeds,
        groups weighted alike), p-values of the setting corrected together; marked where p < 0.05 and the mean
        is better.
        `"topomortar"`: the study's own, one-sided over image × seed pairs, uncorrected; marked where p < 0.05
        and the mean is better after rounding to two decimals.
    baseline : str, optional
        Name of the loss to compare with; CE + Dice by default.
    correction : {"holm", "bonferroni", "none"}
        Correction for the number of comparisons in the setting (rule `"permutation"` only).
    seed : int
        Seed of the random swaps. A setting's result does not depend on the other settings.
    """
    if rule not in get_args(Rule):
        raise InputError(f"topodl report: rule is {rule!r}; expected one of {', '.join(get_args(Rule))}")
    if seed < 0:
        raise InputError(f"topodl report: seed is {seed}; expected a non-negative integer")
    domains = tuple(name for name in DOMAINS if setting.domain(name).any())
    cells = {
        (loss.name, metric.name, domain): _cell(setting, loss, metric, domain)
        for domain in domains
        for loss in setting.losses
        for metric in METRICS
    }
    reference = find_baseline(setting, baseline)
    result = SettingComparison(setting, reference, domains, cells)
    _note_gaps(result)
    others = [loss for loss in setting.losses if loss is not reference]
    if reference is None:
        result.notes.append(
            f"No loss named {_BASELINE} here, so nothing is tested; name another with --baseline."
        )
    elif others:
        p_values: dict[tuple[str, str, str], float] = {}
        for number, domain in enumerate(domains):
            generator = np.random.default_rng([seed, number])
            p_values |= _p_values(setting, reference, others, domain, rule, generator)
        _judge(result, p_values, rule, correction)
        if rule == "permutation":
            _note_power(result, correction)
    return result


def _cell(setting: Setting, loss: LossResults, metric: Metric, domain: str) -> tuple[float, float]:
    members = setting.domain(domain)
    groups = [group for group, member in zip(setting.groups, members, strict=True) if member]
    return group_mean_std(loss.values[:, members, metric.index], groups)


def _p_values(
    setting: Setting,
    baseline: LossResults,
    others: Sequence[LossResults],
    domain: str,
    rule: Rule,
    generator: np.random.Generator,
) -> dict[tuple[str, str, str], float]:
    """Return the p-value of every other loss and tested metric in one domain."""
    members = setting.domain(domain)
    metrics = [metric for metric in METRICS if metric.tested]
    columns = [metric.index for metric in metrics]
    keys = [(loss.name, metric.name, domain) for loss in others for metric in metrics]
    groups = [group for group, member in zip(setting.groups, members, strict=True) if member]
    if rule == "topomortar":
        pairs = [_paired_by_seed(loss, baseline, setting)[:, members][..., columns] for loss in others]
        p_values = paired_permutation_test(
            np.concatenate(pairs, axis=2).reshape(-1, len(keys)),
            alternative="topomortar",
            generator=generator,
            nan="omit",
        )
        return dict(zip(keys, p_values.tolist(), strict=True))
    reference = _seed_average(baseline.values[:, members][..., columns])
    differences = np.concatenate(
        [_seed_average(loss.values[:, members][..., columns]) - reference for loss in others], axis=1
    )
    weights = group_weights(differences, groups)
    p_values = paired_permutation_test(differences, weights=weights, generator=generator, nan="omit")
    return dict(zip(keys, p_values.tolist(), strict=True))


def _paired_by_seed(loss: LossResults, baseline: LossResults, setting: Setting) -> FloatArray:
    """Return loss minus baseline for every seed of the baseline; NaN where the loss lacks the seed."""
    if not set(loss.seeds) & set(baseline.seeds):
        raise InputError(
            f"topodl report: {loss.name} and {baseline.name} have no seed in common in {setting.title}; "
            "expected common seeds for rule 'topomortar', which pairs them"
        )
    missing = np.full(baseline.values.shape[1:], np.nan)
    of_loss = dict(zip(loss.seeds, loss.values, strict=True))
    return np.stack([of_loss.get(seed, missing) for seed in baseline.seeds]) - baseline.values


def _seed_average(values: FloatArray) -> FloatArray:
    """Average (seeds, images, metrics) over the seeds that have a value; NaN where none has."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _judge(
    result: SettingComparison, p_values: dict[tuple[str, str, str], float], rule: Rule, correction: Correction
) -> None:
    """Add the tests: each p-value, the corrected one, and whether the loss is marked as better."""
    raw = np.array(list(p_values.values()))
    adjusted = raw if rule == "topomortar" else adjust_p_values(raw, correction)
    sign = {metric.name: 1 if metric.higher_is_better else -1 for metric in METRICS}
    assert result.baseline is not None
    for (loss, metric, domain), p_value, p_adjusted in zip(p_values, raw, adjusted, strict=True):
        mean = result.cells[loss, metric, domain][0]
        reference = result.cells[result.baseline.name, metric, domain][0]
        if rule == "topomortar":
            mean, reference = rounded(mean), rounded(reference)
        marked = bool(p_adjusted < LEVEL and sign[metric] * (mean - reference) > 0)
        result.tests[loss, metric, domain] = Comparison(float(p_value), float(p_adjusted), marked)


def _note_power(result: SettingComparison, correction: Correction) -> None:
    """Say where there are too few images for any mark."""
    for domain in result.domains:
        n_images = int(result.setting.domain(domain).sum())
        least = 2.0 ** (1 - n_images)
        if correction != "none":
            least *= len(result.tests)
        if least >= LEVEL:
            result.notes.append(
                f"{DOMAINS[domain]}, {n_images} images are too few for p < {LEVEL}, whatever the losses do."
            )


def _note_gaps(result: SettingComparison) -> None:
    """Say which losses have fewer seeds than others, and how many measurements are undefined."""
    losses = result.setting.losses
    most = max(len(loss.seeds) for loss in losses)
    for loss in losses:
        if len(loss.seeds) < most:
            result.notes.append(f"{loss.name} has {len(loss.seeds)} of {most} seeds.")
    for metric in METRICS:
        undefined = {loss.name: int(np.isnan(loss.values[..., metric.index]).sum()) for loss in losses}
        if any(undefined.values()):
            counts = ", ".join(f"{name} {count}" for name, count in undefined.items() if count)
            result.notes.append(f"Undefined values of {metric.name} are left out: {counts}.")
