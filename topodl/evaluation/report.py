"""Writes the report of a study from its files: `report.html`, self-contained, and `results.md`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topodl import __version__
from topodl._docs import shares_documentation
from topodl._files import atomic_path
from topodl.errors import InputError, MissingDependencyError
from topodl.evaluation.comparison import DOMAINS, Rule, SettingComparison, compare_losses
from topodl.evaluation.figures import box_plots, learning_curves
from topodl.evaluation.loading import METRICS, Study, load_studies
from topodl.evaluation.overlays import ERROR_STYLES, OTHER_ERRORS, load_examples
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.statistics import Correction
from topodl.evaluation.tables import (
    comparison_table,
    cost_table,
    group_table,
    p_value_table,
    result_table,
    rule_sentence,
)

__all__ = ["build_report", "output_folder", "write_report"]

_GROUP_TITLES = {"indistr": "in distribution"}
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
    return write_report(studies, results, target, rule=rule, correction=correction, seed=seed)


def write_report(
    studies: Sequence[Study],
    results: Sequence[SettingComparison],
    output: Path,
    *,
    rule: Rule,
    correction: Correction,
    seed: int,
) -> Path:
    """Write the report of studies that are loaded and compared already; see `build_report`."""
    sections = [
        _section(study, result, rule, correction) for study, result in zip(studies, results, strict=True)
    ]
    values = {
        "title": "Topology losses compared",
        "lead": _lead(results),
        "sections": sections,
        "styles": (*ERROR_STYLES, OTHER_ERRORS),
        "method": f"{_METHODS[rule]}; seed {seed}.",
        "version": __version__,
    }
    target = RunFolder(output)
    files = {
        target.results_markdown: _render("results.md.j2", values, escape=False),
        target.report_html: _render("report.html.j2", values, escape=True),
    }
    _write(files)
    return target.report_html


def _section(study: Study, result: SettingComparison, rule: Rule, correction: Correction) -> dict[str, Any]:
    """Return what the templates show of one setting."""
    setting = result.setting
    baseline = result.baseline.name if result.baseline else None
    seed, examples = load_examples(study)
    shown_by_group = [metric for metric in METRICS if metric.name in ("Betti0", "Betti1", "Dice")]
    several_groups = len(set(setting.groups)) > 1
    return {
        "title": setting.title,
        "baseline": baseline,
        "findings": _findings(result),
        "tables": [result_table(result, domain) for domain in result.domains],
        "further_tables": [result_table(result, domain, tested=False) for domain in result.domains],
        "group_tables": [group_table(result, metric) for metric in shown_by_group] if several_groups else [],
        "p_tables": [p_value_table(result, domain) for domain in result.domains] if result.tests else [],
        "p_note": "Corrected p-values."
        if rule == "permutation" and correction != "none"
        else "Uncorrected p-values.",
        "rule": rule_sentence(rule, correction, baseline, len(result.tests))
        if result.tests and baseline
        else "",
        "notes": [*_missing_domains(result), *result.notes],
        "box_plots": box_plots(result),
        "curves": learning_curves(study.curves),
        "costs": cost_table(study.costs, baseline) if study.costs else None,
        "examples": [
            {**vars(example), "group_title": _GROUP_TITLES.get(example.group, example.group)}
            for example in examples
        ],
        "example_seed": seed,
        "absent": _absent(study, bool(examples)),
        "settings": [row for folder in study.folders[:1] for row in _settings(folder)],
    }


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
        f"{seeds} seed{'s' * (seeds != 1)}, {images} test images."
    )


def _findings(result: SettingComparison) -> list[str]:
    """Say in one sentence per domain which losses beat the baseline, and on what."""
    if not result.tests or result.baseline is None:
        return []
    baseline = result.baseline.name
    sentences = []
    for domain in result.domains:
        winners = {}
        for loss in result.setting.losses:
            keys = [(loss.name, metric.name, domain) for metric in METRICS if metric.tested]
            won = [key[1] for key in keys if key in result.tests and result.tests[key].marked]
            if won:
                winners[loss.name] = ", ".join(won)
        text = "; ".join(f"{loss} ({metrics})" for loss, metrics in winners.items())
        start = DOMAINS[domain]
        sentences.append(
            f"{start}, these beat {baseline}: {text}." if text else f"{start}, no loss beats {baseline}."
        )
    return sentences


def _missing_domains(result: SettingComparison) -> list[str]:
    missing = [title.lower() for name, title in DOMAINS.items() if name not in result.domains]
    return [f"There are no {title} test images." for title in missing]


def _settings(folder: RunFolder) -> list[tuple[str, str]]:
    if not folder.settings.exists():
        return []
    try:
        settings = folder.read_settings()
    except ValueError as error:
        raise InputError(f"topodl report: {folder.settings} is not JSON ({error})") from None
    return list(_flattened(settings))


def _flattened(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            rows += _flattened(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((prefix + name, text))
    return rows


def _render(template: str, values: dict[str, Any], *, escape: bool) -> str:
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError("jinja2", extra="eval", purpose="topodl report") from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("topodl.evaluation"),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


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
