"""Writes the report of a study from its files: `report.html`, self-contained, and `results.md`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topodl import __version__
from topodl._docs import shares_documentation
from topodl._files import atomic_path
from topodl.errors import InputError
from topodl.evaluation.collapse import CLASS_SHARE, DICE_SHARE, NEARLY_ALL
from topodl.evaluation.comparison import DOMAINS, Rule, SettingComparison, compare_losses
from topodl.evaluation.described import data_sentence, read_description
from topodl.evaluation.error_kinds import load_kinds
from topodl.evaluation.error_pictures import (
    CLASS_COLORS,
    ERROR_STYLES,
    OTHER_ERRORS,
)
from topodl.evaluation.figures import box_plots, learning_curves
from topodl.evaluation.findings import summary
from topodl.evaluation.intervals import interval_table
from topodl.evaluation.kind_tables import kind_figures, kind_tables
from topodl.evaluation.loading import Setting, Study, load_studies
from topodl.evaluation.overlays import load_examples
from topodl.evaluation.rendering import render
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.search_table import search_table
from topodl.evaluation.statistics import Correction, percent
from topodl.evaluation.tables import (
    class_tables,
    comparison_table,
    cost_table,
    group_table,
    p_value_table,
    result_table,
    rule_sentence,
)

__all__ = ["build_report", "output_folder", "write_report"]

_GROUP_TITLES = {"indistr": "in distribution"}
_BETTI = ("Betti0", "Betti1", "Betti2")
_METHODS = {
    "permutation": "p-values: 10,000 random swaps of paired images (all swaps, where there are fewer), "
    "images averaged over seeds, groups weighted alike",
    "topomortar": "p-values: 10,000 random swaps of image × seed pairs, one-sided, as in the study",
}


@shares_documentation(comparison_table)
def build_report(
    folders: Sequence[str | Path],
    *,
    rule: Rule = "permutation",
    baseline: str | None = None,
    correction: Correction = "holm",
    seed: int = 0,
    output: str | Path | None = None,
) -> Path:
    """Write `results.md` and `report.html` for one or more folders of results.

    Parameters
    ----------
    output : path, optional
        Folder to write to, made if need be. By default the first folder; if that cannot be written to and is
        not a run folder (published results, say), `topodl-report` in the current folder.

    Returns
    -------
    Path
        The written `report.html`.

    Raises
    ------
    InputError
        If a folder is missing, has no results, has files with other columns or lacks images for some loss, if
        the baseline is unknown, or if the output cannot be written. Nothing is written then.
    MissingDependencyError
        If the extra `eval` is not installed.

    References
    ----------
    J. M. Valverde, M. Koga, N. Otsuka, A. B. Dahl, "TopoMortar: A dataset to evaluate image segmentation
    methods focused on topology accuracy", BMVC 2025. S. Holm, "A simple sequentially rejective multiple test
    procedure", Scandinavian Journal of Statistics 6, 1979 (the correction).

    Examples
    --------
    >>> from topodl.evaluation import build_report
    >>> build_report(["runs/first", "runs/second"], output="comparison")  # doctest: +SKIP
    PosixPath('comparison/report.html')
    """
    studies = load_studies(folders)
    results = [
        compare_losses(study.setting, rule=rule, baseline=baseline, correction=correction, seed=seed)
        for study in studies
    ]
    target = output_folder(Path(folders[0]), output)
    return write_report(studies, results, target, seed=seed)


def write_report(
    studies: Sequence[Study], results: Sequence[SettingComparison], output: Path, *, seed: int
) -> Path:
    """Write the report of studies that are loaded and compared already; see `build_report`."""
    values = {
        "title": "Topology losses compared",
        "lead": _lead(results),
        "sections": [_section(study, result, seed) for study, result in zip(studies, results, strict=True)],
        "method": f"{_METHODS[results[0].rule]}; seed {seed}.",
        "version": __version__,
    }
    target = RunFolder(output)
    files = {
        target.results_markdown: render("results.md.j2", values, escape=False),
        target.report_html: render("report.html.j2", values, escape=True),
    }
    _write(files)
    return target.report_html


def _section(study: Study, result: SettingComparison, seed: int) -> dict[str, Any]:
    """Return what the templates show of one setting."""
    setting, described = result.setting, read_description(study.folders[0])
    kinds = load_kinds(study)
    example_seed, examples = load_examples(study, collapsed=result.collapsed)
    return {
        "title": setting.title,
        "summary": summary(result, study.costs),
        "baseline": result.baseline.name if result.baseline else None,
        **_section_tables(study, result, seed),
        "rule": rule_sentence(result),
        "notes": [*_missing_domains(result), *_collapse_note(result), *result.notes],
        "box_plots": box_plots(result),
        "kind_tables": kind_tables(result, kinds),
        "kind_plots": kind_figures(result, kinds),
        "class_plots": _class_plots(result),
        "curves": learning_curves(study.curves, result.collapsed, [loss.name for loss in setting.losses]),
        "examples": [
            {**vars(example), "group_title": _GROUP_TITLES.get(example.group, example.group)}
            for example in examples
        ],
        "example_seed": example_seed,
        "styles": (*ERROR_STYLES, OTHER_ERRORS),
        "class_colors": _class_colors(setting),
        "absent": _absent(study, bool(examples)),
        "data": data_sentence(described),
        "settings": list(_flattened(described)),
    }


def _section_tables(study: Study, result: SettingComparison, seed: int) -> dict[str, Any]:
    """Return the tables of one setting."""
    setting = result.setting
    by_group = [metric for metric in setting.metrics if metric.name in (*_BETTI, "Dice")]
    several_groups = len(set(setting.groups)) > 1
    intervals = [interval_table(result, domain, seed=seed) for domain in result.domains]
    corrected = result.rule == "permutation" and result.correction != "none"
    return {
        "tables": [result_table(result, domain, costs=study.costs) for domain in result.domains],
        "class_tables": class_tables(result),
        "further_tables": [result_table(result, domain, tested=False) for domain in result.domains],
        "group_tables": [group_table(result, metric) for metric in by_group] if several_groups else [],
        "p_tables": [p_value_table(result, domain) for domain in result.domains] if result.tests else [],
        "interval_tables": [table for table in intervals if table is not None],
        "search_table": search_table(study.folders),
        "p_note": "Corrected p-values." if corrected else "Uncorrected p-values.",
        "costs": cost_table(study.costs, result) if study.costs else None,
    }


def _class_plots(result: SettingComparison) -> dict[str, Any]:
    classes = result.setting.classes
    return {name: box_plots(result, name) for name in classes} if len(classes) > 1 else {}


def _collapse_note(result: SettingComparison) -> list[str]:
    """Say what collapsed means, where a loss did."""
    if not result.collapsed:
        return []
    return [
        f"Collapsed: the predictions of a seed are empty or full in {percent(NEARLY_ALL)} of the images, or "
        f"its Dice is below {percent(DICE_SHARE)} of the baseline's ({percent(CLASS_SHARE)} in one class); "
        "such a loss is better nowhere."
    ]


def _class_colors(setting: Setting) -> list[tuple[str, str]]:
    """Return name and colour of each class, where there are several."""
    colors = [CLASS_COLORS[number % len(CLASS_COLORS)] for number in range(len(setting.classes))]
    return list(zip(setting.classes, colors, strict=True)) if len(colors) > 1 else []


def _absent(study: Study, has_examples: bool) -> str:
    """Say in one sentence which parts are left out because the folders have no files for them."""
    parts = {
        "learning curves (curves/)": bool(study.curves),
        "cost (costs.csv)": bool(study.costs),
        "pictures (labels/, predictions/)": has_examples,
    }
    missing = [name for name, there in parts.items() if not there]
    return f"Left out, as there are no files for it: {', '.join(missing)}." if missing else ""


def _lead(results: Sequence[SettingComparison]) -> str:
    settings = [result.setting for result in results]
    losses = list(dict.fromkeys(loss.name for setting in settings for loss in setting.losses))
    seeds = max(len(loss.seeds) for setting in settings for loss in setting.losses)
    images = max(len(setting.image_ids) for setting in settings)
    training = f"{len(settings)} training settings" if len(settings) > 1 else "one training setting"
    return (
        f"{len(losses)} loss{'es' * (len(losses) != 1)} ({', '.join(losses)}), {training}, "
        f"{seeds} seed{'s' * (seeds != 1)}, {images} test image{'s' * (images != 1)}."
    )


def _missing_domains(result: SettingComparison) -> list[str]:
    if result.domains == ("ALL",):
        return []
    missing = [DOMAINS[name].lower() for name in ("ID", "OOD") if name not in result.domains]
    return [f"There are no {title} test images." for title in missing]


def _flattened(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            value = {str(number): each for number, each in enumerate(value)}
        if isinstance(value, dict):
            rows += _flattened(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((prefix + name, text))
    return rows


def output_folder(first: Path, output: str | Path | None) -> Path:
    """Return where a report goes: `output`, or by default the first folder if that can be written to."""
    if output is not None:
        return Path(output)
    is_run_folder = RunFolder(first).results.is_dir()
    return first if is_run_folder or os.access(first, os.W_OK) else Path("topodl-report")


def _write(files: dict[Path, str]) -> None:
    for path, text in files.items():
        try:
            with atomic_path(path) as partial:
                partial.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(
                f"topodl report: cannot write {path} ({error.strerror}); expected a writable folder, "
                "which --output names"
            ) from None
