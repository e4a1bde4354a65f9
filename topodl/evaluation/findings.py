"""One paragraph in words on what a comparison found: what helped, by how much, and how sure that is."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import numpy as np

from topodl._files import visible
from topodl.evaluation.comparison import LEVEL, Comparison, SettingComparison, domains_without_power
from topodl.evaluation.loading import Cost, LossResults, Study
from topodl.evaluation.measurements import Metric
from topodl.evaluation.statistics import mean_of_defined, percent
from topodl.evaluation.tables import p_text, plain_tables

__all__ = ["ENOUGH_SEEDS", "plain_report", "summary"]

# Fewer trainings say nothing about how much one training differs from the next.
ENOUGH_SEEDS = 3
_TOLD_IN_FULL = 3  # losses; a paragraph is no table
_TERMINAL_WIDTH = 100
_WHERE = {"ID": "in distribution", "OOD": "out of distribution", "ALL": "over all test images"}
_CORRECTED = {
    "holm": "with Holm's correction",
    "bonferroni": "with Bonferroni's correction",
    "none": "uncorrected",
}

_Found = tuple[Metric, str, Comparison]  # metric, domain, its test


def summary(result: SettingComparison, costs: Sequence[Cost] = ()) -> str:
    """Return the paragraph on one setting.

    Parameters
    ----------
    result : SettingComparison
        What `compare_losses` returned.
    costs : sequence of Cost
        What training cost; may be empty.

    Returns
    -------
    str
        Sentences: what helped and what it costs, what harmed, what made no difference, what collapsed, the
        statistics, and a warning where there are too few seeds. A collapsed loss is never said to help.
    """
    if result.baseline is None:
        return " ".join(["Nothing is compared, as there is no baseline.", *_collapses(result)])
    baseline = result.baseline.name
    if not result.tests:
        found = [f"Only {baseline} was trained, so there is nothing to compare."]
        return " ".join([*found, *_collapses(result)])
    if baseline in result.collapsed:
        found = [f"Nothing can be concluded: the baseline, {baseline}, collapsed itself."]
    elif len(domains_without_power(result)) == len(result.domains):
        found = [f"Nothing can be concluded: the test images are too few for any p < {LEVEL}."]
    else:
        found = [*_help(result, costs), *_harm(result), *_no_difference(result)]
    return " ".join([*found, *_collapses(result), _statistics(result), *_seed_warning(result)])


def plain_report(studies: Sequence[Study], results: Sequence[SettingComparison]) -> str:
    """Return the tables of all settings for a terminal, each with its paragraph."""
    blocks = []
    for study, result in zip(studies, results, strict=True):
        paragraph = textwrap.fill(summary(result, study.costs), _TERMINAL_WIDTH, break_long_words=False)
        blocks.append(f"{plain_tables([result])}\n\n{paragraph}")
    return visible("\n\n".join(blocks))


def _help(result: SettingComparison, costs: Sequence[Cost]) -> list[str]:
    """Say which losses beat the baseline, on what, by how much and at what cost."""
    assert result.baseline is not None
    helped = _found(result, lambda test: test.marked)
    if not helped:
        *others, last = [_in_words(metric) for metric in result.setting.tested_metrics]
        metrics = f"{', '.join(others)} or {last}"
        return [f"Nothing helped: no loss is shown to be better than {result.baseline.name} in {metrics}."]
    enough = _fewest_seeds(result) >= ENOUGH_SEEDS
    verb = "helped" if enough else "did better"
    sentences = [
        f"{loss.name} {verb}, compared with {result.baseline.name}: {_changes(result, loss, tests)}."
        f"{_cost_of(loss, result, costs)}"
        for loss, tests in helped[:_TOLD_IN_FULL]
    ]
    further = "; ".join(f"{loss.name} in {_metrics_of(tests)}" for loss, tests in helped[_TOLD_IN_FULL:])
    return [*sentences, *([f"So {'have' if enough else 'did'} {further}."] if further else [])]


def _harm(result: SettingComparison) -> list[str]:
    """Say which losses are worse than the baseline, on what and by how much."""
    assert result.baseline is not None
    harmed = [pair for pair in _found(result, lambda t: t.worse) if pair[0].name not in result.collapsed]
    sentences = [
        f"{loss.name} is worse than {result.baseline.name}: {_changes(result, loss, tests)}."
        for loss, tests in harmed[:_TOLD_IN_FULL]
    ]
    further = "; ".join(f"{loss.name} in {_metrics_of(tests)}" for loss, tests in harmed[_TOLD_IN_FULL:])
    return [*sentences, *([f"Worse are also {further}."] if further else [])]


def _no_difference(result: SettingComparison) -> list[str]:
    different = {loss.name for loss, _ in _found(result, lambda test: test.marked or test.worse)}
    same = [
        loss.name
        for loss in result.setting.losses
        if loss is not result.baseline and loss.name not in different | result.collapsed.keys()
    ]
    return [f"No difference could be shown for {', '.join(same)}."] if same else []


def _collapses(result: SettingComparison) -> list[str]:
    if not result.collapsed:
        return []
    losses = "; ".join(f"{name} ({reason})" for name, reason in result.collapsed.items())
    return [f"Collapsed, and so better nowhere whatever the numbers are: {losses}."]


def _found(
    result: SettingComparison, condition: Callable[[Comparison], bool]
) -> list[tuple[LossResults, list[_Found]]]:
    """Return the losses with tests that meet a condition, those with most of them first."""
    found = []
    for loss in result.setting.losses:
        tests = [
            (metric, domain, test)
            for domain in result.domains
            for metric in result.setting.tested_metrics
            if (test := result.tests.get((loss.name, metric.name, domain))) and condition(test)
        ]
        if tests:
            found.append((loss, tests))
    return sorted(found, key=lambda pair: -len(pair[1]))


def _changes(result: SettingComparison, loss: LossResults, tests: Sequence[_Found]) -> str:
    """Say by how much a loss differs from the baseline, metric by metric, in each domain."""
    parts = []
    for domain in dict.fromkeys(domain for _, domain, _ in tests):
        changes = ", ".join(_change(result, loss, *found) for found in tests if found[1] == domain)
        parts.append(f"{_WHERE[domain]} {changes}")
    return "; ".join(parts)


def _change(
    result: SettingComparison, loss: LossResults, metric: Metric, domain: str, test: Comparison
) -> str:
    assert result.baseline is not None
    before = result.cells[result.baseline.name, metric.name, domain][0]
    share = f"{percent(abs(test.difference / before))}, " if before else ""
    p_value = p_text(test.p_adjusted)
    p_value = f"p {p_value}" if p_value.startswith("<") else f"p = {p_value}"
    agreeing = _agreeing_seeds(result, loss, metric, domain, test.difference)
    direction = "up" if test.difference > 0 else "down"
    return (
        f"{_in_words(metric)} {direction} by {abs(test.difference):.3g} from {before:.3g} "
        f"({share}{p_value}{agreeing})"
    )


def _agreeing_seeds(
    result: SettingComparison, loss: LossResults, metric: Metric, domain: str, difference: float
) -> str:
    """Say in how many of the seeds that both have the difference has the same sign, if not in all."""
    assert result.baseline is not None
    members = result.setting.domain(domain)
    by_seed = []
    for seed in sorted(set(loss.seeds) & set(result.baseline.seeds)):
        mine, reference = (
            result.setting.values(x, metric)[x.seeds.index(seed), members] for x in (loss, result.baseline)
        )
        by_seed.append(float(mean_of_defined(mine - reference, axis=0)))
    agreeing = int((np.sign(by_seed) == np.sign(difference)).sum())
    return f", in {agreeing} of {len(by_seed)} seeds" if agreeing < len(by_seed) else ""


def _in_words(metric: Metric) -> str:
    return f"{metric.name} error" if metric.name.startswith("Betti") else metric.name


def _metrics_of(tests: Sequence[_Found]) -> str:
    return ", ".join(dict.fromkeys(_in_words(metric) for metric, _, _ in tests))


def _cost_of(loss: LossResults, result: SettingComparison, costs: Sequence[Cost]) -> str:
    assert result.baseline is not None
    seconds = {cost.loss: cost.seconds_per_iteration for cost in costs}
    mine, reference = seconds.get(loss.name), seconds.get(result.baseline.name)
    return f" It takes {mine / reference:.2f} times as long per iteration." if mine and reference else ""


def _statistics(result: SettingComparison) -> str:
    """Say what was tested, on how many images and seeds, and how the number of comparisons counts."""
    setting = result.setting
    fewest, most = _fewest_seeds(result), max(len(loss.seeds) for loss in setting.losses)
    seeds = f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' * (most != 1)}"
    images = " and ".join(
        f"{n} image{'s' * (n != 1)}{'' if domain == 'ALL' else ' ' + _WHERE[domain]}"
        for domain in result.domains
        for n in [int(setting.domain(domain).sum())]
    )
    of_classes = f", mean over {len(setting.classes)} classes" if len(setting.classes) > 1 else ""
    if result.rule == "topomortar":
        return (
            "Statistics: the TopoMortar study's rule, one-sided permutation tests on image × seed pairs "
            f"({images}, {seeds}{of_classes}); p < {LEVEL}, {len(result.tests)} comparisons uncorrected."
        )
    return (
        f"Statistics: two-sided paired permutation tests on {images}, averaged over {seeds}{of_classes}; "
        f"p < {LEVEL}, {len(result.tests)} comparisons {_CORRECTED[result.correction]}."
    )


def _fewest_seeds(result: SettingComparison) -> int:
    return min(len(loss.seeds) for loss in result.setting.losses)


def _seed_warning(result: SettingComparison) -> list[str]:
    """Warn where too few seeds were trained to tell a loss from the luck of a training."""
    fewest = _fewest_seeds(result)
    if fewest >= ENOUGH_SEEDS:
        return []
    count = "One seed is" if fewest == 1 else f"{fewest} seeds are"
    return [
        f"{count} too few to say whether the loss made the difference or the luck of one training: "
        f"train at least {ENOUGH_SEEDS}."
    ]
