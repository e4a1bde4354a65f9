"""Which losses beat the baseline, on which metrics: by topodl's rule, or by that of the TopoMortar study."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from topodl.errors import InputError
from topodl.evaluation.collapse import find_collapsed
from topodl.evaluation.loading import LossResults, Setting
from topodl.evaluation.loss_names import bare_name
from topodl.evaluation.measurements import Metric
from topodl.evaluation.statistics import (
    Correction,
    FloatArray,
    adjust_p_values,
    group_mean_std,
    group_weights,
    mean_of_defined,
    paired_permutation_test,
)

__all__ = [
    "DOMAINS",
    "LEVEL",
    "Comparison",
    "Rule",
    "SettingComparison",
    "compare_losses",
    "domains_without_power",
    "find_baseline",
    "rounded",
]

Rule = Literal["permutation", "topomortar"]
DOMAINS = {"ID": "In-distribution", "OOD": "Out-of-distribution", "ALL": "All test images"}
LEVEL = 0.05
_BASELINE = "CEDice"


@dataclass(frozen=True)
class Comparison:
    """One loss against the baseline, on one metric and domain.

    Attributes
    ----------
    difference : float
        Mean of the paired differences, loss minus baseline; NaN where no pair has both values.
    p_value, p_adjusted : float
        Before and after the correction for the number of comparisons.
    marked, worse : bool
        Whether the loss beats the baseline, or is worse than it; a collapsed loss does not beat anything.
    """

    difference: float
    p_value: float
    p_adjusted: float
    marked: bool
    worse: bool


@dataclass(frozen=True, eq=False)
class SettingComparison:
    """Means, deviations and tests of one setting, by (loss, metric, domain) names.

    Where there are several classes, the values are those of their mean, and `class_cells` has the means and
    deviations of each under (loss, metric, domain, class). `collapsed` has the losses that collapsed, each
    with the reason.
    """

    setting: Setting
    baseline: LossResults | None
    rule: Rule
    correction: Correction
    cells: dict[tuple[str, str, str], tuple[float, float]]
    class_cells: dict[tuple[str, str, str, str], tuple[float, float]]
    collapsed: dict[str, str]
    tests: dict[tuple[str, str, str], Comparison] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def domains(self) -> tuple[str, ...]:
        """Names in `DOMAINS` of the parts of the test set."""
        return self.setting.domains

    def shown_name(self, loss: LossResults) -> str:
        """Return the name of a loss, with a word for one that collapsed."""
        return f"{loss.name} (collapsed)" if loss.name in self.collapsed else loss.name


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
            alike = [loss for loss in setting.losses if bare_name(loss.folder_name) == bare_name(_BASELINE)]
            return alike[0] if len(alike) == 1 else None  # with options of its own, as a tuned one has
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
    reference = find_baseline(setting, baseline)
    cells = {}
    class_cells = {}
    for loss, metric, domain in itertools.product(setting.losses, setting.metrics, setting.domains):
        key = (loss.name, metric.name, domain)
        cells[key] = _cell(setting, loss, metric, domain)
        for name in setting.classes if len(setting.classes) > 1 else ():
            class_cells[*key, name] = _cell(setting, loss, metric, domain, name)
    collapsed = find_collapsed(setting, reference)
    result = SettingComparison(setting, reference, rule, correction, cells, class_cells, collapsed)
    _note_gaps(result)
    others = [loss for loss in setting.losses if loss is not reference]
    if reference is None:
        result.notes.append(
            f"No loss named {_BASELINE} here, so nothing is tested; name another with --baseline."
        )
    elif others:
        tested: dict[tuple[str, str, str], tuple[float, float]] = {}
        for number, domain in enumerate(setting.domains):
            generator = np.random.default_rng([seed, number])
            tested |= _tested(setting, reference, others, domain, rule, generator)
        _judge(result, tested)
        _note_power(result)
    return result


def _cell(
    setting: Setting, loss: LossResults, metric: Metric, domain: str, class_name: str | None = None
) -> tuple[float, float]:
    values = setting.values(loss, metric, class_name)[:, setting.domain(domain)]
    return group_mean_std(values, setting.groups_in(domain))


def _tested(
    setting: Setting,
    baseline: LossResults,
    others: Sequence[LossResults],
    domain: str,
    rule: Rule,
    generator: np.random.Generator,
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return difference and p-value of every other loss and tested metric in one domain."""
    members = setting.domain(domain)
    columns = [setting.metrics.index(metric) for metric in setting.tested_metrics]
    keys = [(loss.name, metric.name, domain) for loss in others for metric in setting.tested_metrics]
    if rule == "topomortar":
        pairs = [_paired_by_seed(loss, baseline, setting)[:, members][..., columns] for loss in others]
        differences = np.concatenate([mean_of_defined(p, axis=2) for p in pairs], axis=2)
        differences = differences.reshape(-1, len(keys))
        means = mean_of_defined(differences, axis=0)
        p_values = paired_permutation_test(
            differences, alternative="topomortar", generator=generator, nan="omit"
        )
    else:
        reference = mean_of_defined(baseline.values[:, members][..., columns], axis=0)
        # Class by class, so that a class without a value in one of both counts in neither.
        pairs = [
            mean_of_defined(loss.values[:, members][..., columns], axis=0) - reference for loss in others
        ]
        differences = np.concatenate([mean_of_defined(p, axis=1) for p in pairs], axis=1)
        weights = group_weights(differences, setting.groups_in(domain))
        means = np.where(weights.any(axis=0), np.nansum(weights * differences, axis=0), np.nan)
        p_values = paired_permutation_test(differences, weights=weights, generator=generator, nan="omit")
    return dict(zip(keys, zip(means.tolist(), p_values.tolist(), strict=True), strict=True))


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


def _judge(result: SettingComparison, tested: dict[tuple[str, str, str], tuple[float, float]]) -> None:
    """Add the tests: each p-value, the corrected one, and whether the loss is better or worse.

    Nothing is better than a collapsed baseline: which of the two is at fault would be anybody's guess.
    """
    assert result.baseline is not None
    raw = np.array([p_value for _, p_value in tested.values()])
    adjusted = raw if result.rule == "topomortar" else adjust_p_values(raw, result.correction)
    metrics = {metric.name: metric for metric in result.setting.metrics}
    for (key, (difference, p_value)), p_adjusted in zip(tested.items(), adjusted.tolist(), strict=True):
        loss, metric, domain = key
        gap = difference
        if result.rule == "topomortar":
            gap = rounded(result.cells[key][0]) - rounded(
                result.cells[result.baseline.name, metric, domain][0]
            )
        comparable = loss not in result.collapsed and result.baseline.name not in result.collapsed
        significant = p_adjusted < LEVEL
        marked = bool(significant and comparable and metrics[metric].is_better(gap))
        worse = bool(significant and metrics[metric].is_better(-gap))
        result.tests[key] = Comparison(difference, p_value, p_adjusted, marked, worse)


def domains_without_power(result: SettingComparison) -> list[str]:
    """Return the domains with too few images for any mark, whatever the losses do."""
    if result.rule == "topomortar":
        return []
    n_tests = len(result.tests) if result.correction != "none" else 1
    images = {domain: int(result.setting.domain(domain).sum()) for domain in result.domains}
    return [domain for domain, count in images.items() if n_tests * 2.0 ** (1 - count) >= LEVEL]


def _note_power(result: SettingComparison) -> None:
    """Say where there are too few images for any mark."""
    for domain in domains_without_power(result):
        n_images = int(result.setting.domain(domain).sum())
        images = "1 image is" if n_images == 1 else f"{n_images} images are"
        result.notes.append(f"{DOMAINS[domain]}, {images} too few for p < {LEVEL}, whatever the losses do.")


def _note_gaps(result: SettingComparison) -> None:
    """Say which losses have fewer seeds than others, and how many measurements are undefined."""
    setting = result.setting
    most = max(len(loss.seeds) for loss in setting.losses)
    for loss in setting.losses:
        if len(loss.seeds) < most:
            result.notes.append(f"{loss.name} has {len(loss.seeds)} of {most} seeds.")
    metrics_with: dict[tuple[str, str], list[str]] = {}
    for name in setting.classes:
        for metric in setting.metrics:
            undefined = {loss.name: np.isnan(setting.values(loss, metric, name)) for loss in setting.losses}
            if any(values.any() for values in undefined.values()):
                counts = ", ".join(f"{loss} {v.sum()} of {v.size}" for loss, v in undefined.items())
                metrics_with.setdefault((name, counts), []).append(metric.name)
    for (name, counts), metrics in metrics_with.items():
        of_class = f" of {name}" if len(setting.classes) > 1 else ""
        result.notes.append(f"Undefined values of {', '.join(metrics)}{of_class} are left out: {counts}.")
