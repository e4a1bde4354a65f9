"""`topodl report FOLDER …`: rebuilds tables, figures and the report of a study from its files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from topodl.evaluation.comparison import Rule
from topodl.evaluation.statistics import Correction

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `topodl report` to `parser`."""
    parser.description = (
        "Write results.md and report.html from the CSV files of `topodl evaluate`, "
        "or from the published results of the TopoMortar study."
    )
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER", help="folder with results; several are merged"
    )
    parser.add_argument(
        "--rule",
        choices=get_args(Rule),
        default="permutation",
        help="when a loss is marked as better than the baseline: 'permutation' (default): two-sided paired "
        "permutation test, images as units, corrected for the number of comparisons; 'topomortar': the "
        "study's own, one-sided over image × seed pairs, uncorrected",
    )
    parser.add_argument("--baseline", metavar="LOSS", help="loss to compare with (default: CE + Dice)")
    parser.add_argument(
        "--correction",
        choices=get_args(Correction),
        default="holm",
        help="correction of the rule 'permutation' for the number of comparisons (default: holm)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random swaps (default: 0)")
    parser.add_argument("--output", metavar="FOLDER", help="where to write (default: the first FOLDER)")


def run(args: argparse.Namespace) -> int:
    """Write the report, print what it found and its path, and return the exit status."""
    from topodl.evaluation.comparison import compare_losses
    from topodl.evaluation.findings import plain_report
    from topodl.evaluation.loading import load_studies
    from topodl.evaluation.report import output_folder, write_report

    studies = load_studies(args.folders)
    results = [
        compare_losses(
            study.setting, rule=args.rule, baseline=args.baseline, correction=args.correction, seed=args.seed
        )
        for study in studies
    ]
    path = write_report(studies, results, output_folder(Path(args.folders[0]), args.output), seed=args.seed)
    print(plain_report(studies, results))
    print(f"\nReport: {path}")
    return 0
