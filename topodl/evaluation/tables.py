"""The tables of a study: mean ± standard deviation, marks, p-values, costs; as Markdown and plain text."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from topodl._files import visible
from topodl.evaluation.comparison import DOMAINS, LEVEL, Rule, SettingComparison, compare_losses, rounded
from topodl.evaluation.loading import Cost, LossResults, load_studies
from topodl.evaluation.measurements import Metric
from topodl.evaluation.statistics import Correction, mean_of_defined

__all__ = [
    "Cell",
    "Row",
    "Table",
    "class_tables",
    "comparison_table",
    "cost_table",
    "escaped_markdown",
    "group_table",
    "p_text",
    "p_value_table",
    "plain_tables",
    "result_table",
    "rule_sentence",
]


_NAME_WIDTH = 32  # letters of a loss's name in one line of a terminal


@dataclass(frozen=True)
class Cell:
    """Text of a cell, whether its loss beats the baseline there, and a shade from 0 (worst) to 1 (best)."""

    text: str
    marked: bool = False
    shade: float | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table: the loss, what it is here (`"baseline"`, `"collapsed"` or ""), and its cells."""

    loss: str
    role: str
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """The loss as text alone shows it."""
        return f"{self.loss} (collapsed)" if self.role == "collapsed" else self.loss


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first column names the loss."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown; marked cells are bold."""
        lines = [
            f"| {' | '.join(map(escaped_markdown, self.columns))} |",
            f"|{'---|' * len(self.columns)}",
            *(
                f"| {escaped_markdown(row.name)} | "
                + " | ".join(f"**{cell.text}**" if cell.marked else cell.text for cell in row.cells)
                + " |"
                for row in self.rows
            ),
        ]
        return "\n".join(lines)

    def plain(self) -> str:
        """Return the table for a terminal; marked cells have an asterisk, long names go on below."""
        rows = []
        for row in self.rows:
            first, *further = textwrap.wrap(row.name, _NAME_WIDTH) or [""]
            rows.append([f"{first}  ", *(c.text + (" *" if c.marked else "  ") for c in row.cells)])
            rows += [[f"  {line}", *[""] * len(row.cells)] for line in further]
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


def escaped_markdown(name: str) -> str:
    """Return a name as Markdown shows it letter by letter, inside a table too."""
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", name)


def _row(result: SettingComparison, loss: LossResults, cells: Sequence[Cell]) -> Row:
    role = "baseline" if loss is result.baseline else ""
    return Row(loss.name, "collapsed" if loss.name in result.collapsed else role, tuple(cells))


def _mean_std(cell: tuple[float, float]) -> str:
    if math.isnan(cell[0]):
        return "n/a"
    return " ± ".join("n/a" if math.isnan(value) else str(rounded(value)) for value in cell)


def _heading(metric: Metric) -> str:
    return f"{metric.name} {'↑' if metric.higher_is_better else '↓'}"


def _caption(result: SettingComparison, domain: str, class_name: str | None) -> str:
    setting = result.setting
    count = int(setting.domain(domain).sum())
    seeds = max(len(loss.seeds) for loss in setting.losses)
    of = f", {class_name}" if class_name else ""
    if class_name is None and len(setting.classes) > 1:
        of = f", mean over {len(setting.classes)} classes"
    images = f"{count} image{'s' * (count != 1)} × {seeds} seed{'s' * (seeds != 1)}"
    return f"{DOMAINS[domain]}{of} ({images})"


def result_table(
    result: SettingComparison,
    domain: str,
    *,
    class_name: str | None = None,
    tested: bool = True,
    costs: Sequence[Cost] = (),
) -> Table:
    """Return mean ± standard deviation of every loss in one domain, marked where it beats the baseline.

    Parameters
    ----------
    result : SettingComparison
        What `compare_losses` returned.
    domain : {"ID", "OOD", "ALL"}
        In distribution, out of distribution, or everything.
    class_name : str, optional
        One class; by default the mean over classes, which alone is tested and marked.
    tested : bool
        The metrics that are tested, or the further ones, which are only described.
    costs : sequence of Cost
        Where there are any, the last column is the time of an iteration relative to the baseline's.
    """
    times = _relative_times(costs, result)
    metrics = [metric for metric in result.setting.metrics if metric.tested == tested]
    rows = []
    for loss in result.setting.losses:
        keys = [(loss.name, metric.name, domain) for metric in metrics]
        if class_name is None:
            cells = [
                Cell(_mean_std(result.cells[k]), k in result.tests and result.tests[k].marked) for k in keys
            ]
        else:
            cells = [Cell(_mean_std(result.class_cells[*k, class_name])) for k in keys]
        rows.append(_row(result, loss, [*cells, *([Cell(times.get(loss.name, "n/a"))] if times else [])]))
    columns = ("Loss", *map(_heading, metrics), *(["Time"] if times else []))
    return Table(_caption(result, domain, class_name), columns, tuple(rows))


def group_table(result: SettingComparison, metric: Metric) -> Table:
    """Return the mean of one metric by group of test images, shaded from the best loss to the worst.

    A collapsed loss has no shade, and the others are shaded as if it were not there.
    """
    setting = result.setting
    groups = list(dict.fromkeys(setting.groups))
    labels = np.asarray(setting.groups)
    means = np.array([
        [mean_of_defined(setting.values(loss, metric)[:, labels == g].ravel(), axis=0) for g in groups]
        for loss in setting.losses
    ])  # fmt: skip
    sound = np.array([loss.name not in result.collapsed for loss in setting.losses])
    shades = _shades(np.where(sound[:, None], means, np.nan), metric)
    rows = [
        _row(result, loss, [Cell(_number(m), shade=s) for m, s in zip(row, row_shades, strict=True)])
        for loss, row, row_shades in zip(setting.losses, means, shades, strict=True)
    ]
    of_classes = f", mean over {len(setting.classes)} classes" if len(setting.classes) > 1 else ""
    return Table(f"{_heading(metric)} by group, mean{of_classes}", ("Loss", *groups), tuple(rows))


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
    metrics = result.setting.tested_metrics
    rows = []
    for loss in result.setting.losses:
        tests = [result.tests.get((loss.name, metric.name, domain)) for metric in metrics]
        if any(tests):
            rows.append(_row(result, loss, [Cell(p_text(t.p_adjusted), t.marked) for t in tests if t]))
    return Table(f"p-values, {DOMAINS[domain].lower()}", ("Loss", *(m.name for m in metrics)), tuple(rows))


def p_text(p_value: float) -> str:
    """Return a p-value as tables show it."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def cost_table(costs: Sequence[Cost], result: SettingComparison) -> Table:
    """Return what training cost: seconds per iteration, its ratio to the baseline's, and the peak memory."""
    times = _relative_times(costs, result)
    cost_of = {cost.loss: cost for cost in costs}
    rows = []
    for loss in result.setting.losses:
        cost = cost_of.get(loss.name)
        if cost is not None:
            cells = (str(cost.seeds), f"{cost.iterations:,}", f"{cost.seconds_per_iteration:.4g}",
                     times.get(loss.name, "n/a"), _memory(cost.peak_memory_bytes))  # fmt: skip
            rows.append(_row(result, loss, [Cell(text) for text in cells]))
    columns = ("Loss", "Seeds", "Iterations", "Seconds per iteration", "Relative time", "Peak memory")
    return Table("Cost of training", columns, tuple(rows))


def _relative_times(costs: Sequence[Cost], result: SettingComparison) -> dict[str, str]:
    """Return the time of an iteration relative to the baseline's by loss; nothing where that is not known."""
    seconds = {cost.loss: cost.seconds_per_iteration for cost in costs}
    reference = seconds.get(result.baseline.name) if result.baseline else None
    return {loss: f"{of_loss / reference:.2f}×" for loss, of_loss in seconds.items()} if reference else {}


def _memory(n_bytes: float) -> str:
    if math.isnan(n_bytes):
        return "n/a"
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"


def rule_sentence(result: SettingComparison) -> str:
    """Return the sentence that says what a mark means; "" where nothing is tested."""
    if not result.tests or result.baseline is None:
        return ""
    baseline, n_tests = result.baseline.name, len(result.tests)
    if result.rule == "topomortar":
        return (
            f"Marked: better than {baseline} by the TopoMortar study's rule (one-sided permutation test over "
            f"image × seed pairs, p < {LEVEL}, no correction; better after rounding to two decimals)."
        )
    corrected = {
        "holm": f"Holm's correction for {n_tests} comparisons",
        "bonferroni": f"Bonferroni's correction for {n_tests} comparisons",
        "none": "no correction",
    }[result.correction]
    of_classes = ", of the mean over classes" if len(result.setting.classes) > 1 else ""
    return (
        f"Marked: better than {baseline}, p < {LEVEL} (two-sided paired permutation test, images as units, "
        f"averaged over seeds{of_classes}; {corrected})."
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
    return visible(plain_tables(results))


def plain_tables(results: Sequence[SettingComparison]) -> str:
    """Return the tables of compared settings as text for a terminal."""
    blocks = []
    for result in results:
        blocks.append(result.setting.title)
        blocks += [result_table(result, domain).plain() for domain in result.domains]
        blocks += [table.plain() for table in class_tables(result)]
        if rule_sentence(result):
            blocks.append(rule_sentence(result).replace("Marked:", "*"))
        blocks += [f"{name} collapsed: {reason}." for name, reason in result.collapsed.items()]
        blocks += result.notes
    return "\n\n".join(blocks)


def class_tables(result: SettingComparison) -> list[Table]:
    """Return the tables of each class, where there are several."""
    classes = result.setting.classes
    if len(classes) == 1:
        return []
    return [result_table(result, domain, class_name=name) for name in classes for domain in result.domains]
