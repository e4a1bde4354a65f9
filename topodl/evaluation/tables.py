"""The tables of a study: mean ± standard deviation, marks, p-values, costs; as Markdown and plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from topodl.evaluation.comparison import DOMAINS, LEVEL, Rule, SettingComparison, compare_losses, rounded
from topodl.evaluation.loading import METRICS, Cost, Metric, load_studies
from topodl.evaluation.statistics import Correction

__all__ = [
    "Cell",
    "Table",
    "comparison_table",
    "cost_table",
    "group_table",
    "p_value_table",
    "plain_tables",
    "result_table",
    "rule_sentence",
]


@dataclass(frozen=True)
class Cell:
    """Text of a cell, whether its loss beats the baseline there, and a shade from 0 (worst) to 1 (best)."""

    text: str
    marked: bool = False
    shade: float | None = None


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first column names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown; marked cells are bold."""
        lines = [
            f"| {' | '.join(self.columns)} |",
            f"|{'---|' * len(self.columns)}",
            *(
                "| " + " | ".join(f"**{c.text}**" if c.marked else c.text for c in row) + " |"
                for row in self.rows
            ),
        ]
        return "\n".join(lines)

    def plain(self) -> str:
        """Return the table for a terminal; marked cells have an asterisk."""
        rows = [[c.text + (" *" if c.marked else "  ") for c in row] for row in self.rows]
        header = [f"{column}  " for column in self.columns]
        widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
        lines = [
            "  ".join(
                text.ljust(width) if n == 0 else text.rjust(width)
                for n, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [header, *rows]
        ]
        return "\n".join([self.caption, "-" * max(map(len, lines)), *lines])


def _mean_std(cell: tuple[float, float]) -> str:
    return " ± ".join("n/a" if math.isnan(value) else str(rounded(value)) for value in cell)


def _heading(metric: Metric) -> str:
    return f"{metric.name} {'↑' if metric.higher_is_better else '↓'}"


def _caption(result: SettingComparison, domain: str) -> str:
    count = int(result.setting.domain(domain).sum())
    seeds = max(len(loss.seeds) for loss in result.setting.losses)
    return f"{DOMAINS[domain]} ({count} image{'s' * (count != 1)} × {seeds} seed{'s' * (seeds != 1)})"


def result_table(result: SettingComparison, domain: str, *, tested: bool = True) -> Table:
    """Return mean ± standard deviation of every loss in one domain, marked where it beats the baseline.

    Parameters
    ----------
    result : SettingComparison
        What `compare_losses` returned.
    domain : {"ID", "OOD"}
        In distribution or out of distribution.
    tested : bool
        The four metrics that are tested, or the further ones, which are only described.
    """
    metrics = [metric for metric in METRICS if metric.tested == tested]
    rows = []
    for loss in result.setting.losses:
        keys = [(loss.name, metric.name, domain) for metric in metrics]
        cells = [Cell(_mean_std(result.cells[k]), k in result.tests and result.tests[k].marked) for k in keys]
        rows.append((Cell(loss.name), *cells))
    return Table(_caption(result, domain), ("Loss", *map(_heading, metrics)), tuple(rows))


def group_table(result: SettingComparison, metric: Metric) -> Table:
    """Return the mean of one metric by group of test images, shaded from the best loss to the worst."""
    setting = result.setting
    groups = list(dict.fromkeys(setting.groups))
    labels = np.asarray(setting.groups)
    means = np.array(
        [
            [_nan_mean(loss.values[:, labels == group, metric.index]) for group in groups]
            for loss in setting.losses
        ]
    )
    rows = [
        (Cell(loss.name), *(Cell(_number(m), shade=s) for m, s in zip(row, shades, strict=True)))
        for loss, row, shades in zip(setting.losses, means, _shades(means, metric), strict=True)
    ]
    return Table(f"{_heading(metric)} by group, mean", ("Loss", *groups), tuple(rows))


def _nan_mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else str(rounded(value))


def _shades(means: np.ndarray, metric: Metric) -> list[list[float | None]]:
    """Return how good each mean is among the losses of its column, from 0 (worst) to 1 (best)."""
    signed = means if metric.higher_is_better else -means
    spread = np.nanmax(np.nan_to_num(signed, nan=-np.inf), axis=0) - np.nanmin(
        np.nan_to_num(signed, nan=np.inf), axis=0
    )
    lowest = np.nan_to_num(signed, nan=np.inf).min(axis=0)
    return [
        [
            float((v - low) / s) if np.isfinite(v) and s > 0 else None
            for v, low, s in zip(row, lowest, spread, strict=True)
        ]
        for row in signed
    ]


def p_value_table(result: SettingComparison, domain: str) -> Table:
    """Return the p-value of every comparison with the baseline in one domain, as the rule corrects it."""
    metrics = [metric for metric in METRICS if metric.tested]
    rows = []
    for loss in result.setting.losses:
        tests = [result.tests.get((loss.name, metric.name, domain)) for metric in metrics]
        if any(tests):
            rows.append((Cell(loss.name), *(Cell(_p_text(t.p_adjusted), t.marked) for t in tests if t)))
    return Table(f"p-values, {DOMAINS[domain].lower()}", ("Loss", *(m.name for m in metrics)), tuple(rows))


def _p_text(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def cost_table(costs: Sequence[Cost], baseline: str | None) -> Table:
    """Return what training cost: seconds per iteration, its ratio to the baseline's, and the peak memory."""
    reference = next((cost.seconds_per_iteration for cost in costs if cost.loss == baseline), None)
    rows = []
    for cost in costs:
        ratio = f"{cost.seconds_per_iteration / reference:.2f}×" if reference else "n/a"
        rows.append((
            Cell(cost.loss), Cell(str(cost.seeds)), Cell(f"{cost.iterations:,}"),
            Cell(f"{cost.seconds_per_iteration:.4g}"), Cell(ratio), Cell(_memory(cost.peak_memory_bytes)),
        ))  # fmt: skip
    columns = ("Loss", "Seeds", "Iterations", "Seconds per iteration", "Relative time", "Peak memory")
    return Table("Cost of training", columns, tuple(rows))


def _memory(n_bytes: float) -> str:
    if math.isnan(n_bytes):
        return "n/a"
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"


def rule_sentence(rule: Rule, correction: Correction, baseline: str, n_tests: int) -> str:
    """Return the sentence that says what a mark means."""
    if rule == "topomortar":
        return (
            f"Marked: better than {baseline} by the TopoMortar study's rule (one-sided permutation test over "
            f"image × seed pairs, p < {LEVEL}, no correction; better after rounding to two decimals)."
        )
    corrected = {
        "holm": f"Holm's correction for {n_tests} comparisons",
        "bonferroni": f"Bonferroni's correction for {n_tests} comparisons",
        "none": "no correction",
    }[correction]
    return (
        f"Marked: better than {baseline}, p < {LEVEL} (two-sided paired permutation test, images as units, "
        f"averaged over seeds; {corrected})."
    )


def comparison_table(
    folders: Sequence[str | Path],
    *,
    rule: Rule = "permutation",
    baseline: str | None = None,
    correction: Correction = "holm",
    seed: int = 0,
) -> str:
    """Return the tables of one or more folders as text for a terminal.

    Parameters
    ----------
    folders : sequence of path
        Output folders of `topodl evaluate`, or TopoMortar's published results at any level. Settings that
        several folders share are merged, so that losses may be run apart.
    rule : {"permutation", "topomortar"}
        When a loss is marked as better than the baseline. `"permutation"`: two-sided paired permutation test
        with images as units (averaged over seeds), corrected for the number of comparisons, p < 0.05.
        `"topomortar"`: the rule of the TopoMortar study, one-sided over image × seed pairs, uncorrected.
    baseline : str, optional
        Loss to compare with; by default CE + Dice, where there is one.
    correction : {"holm", "bonferroni", "none"}
        Correction of rule `"permutation"` for the comparisons of one setting.
    seed : int
        Seed of the random swaps; the same seed gives the same results.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If a folder is missing, has no results, or has unusable ones.

    References
    ----------
    J. M. Valverde, M. Koga, N. Otsuka, A. B. Dahl, "TopoMortar: A dataset to evaluate image segmentation
    methods focused on topology accuracy", BMVC 2025.

    Examples
    --------
    >>> from topodl.evaluation import comparison_table
    >>> print(comparison_table(["topodl-runs/walls"]))  # doctest: +SKIP
    """
    results = [
        compare_losses(study.setting, rule=rule, baseline=baseline, correction=correction, seed=seed)
        for study in load_studies(folders)
    ]
    return plain_tables(results, rule, correction)


def plain_tables(results: Sequence[SettingComparison], rule: Rule, correction: Correction) -> str:
    """Return the tables of compared settings as text for a terminal."""
    blocks = []
    for result in results:
        blocks.append(result.setting.title)
        blocks += [result_table(result, domain).plain() for domain in result.domains]
        if result.baseline and result.tests:
            text = rule_sentence(rule, correction, result.baseline.name, len(result.tests))
            blocks.append(text.replace("Marked:", "*"))
        blocks += result.notes
    return "\n\n".join(blocks)
