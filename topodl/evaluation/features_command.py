"""`topodl features`: features of data as a table on disk, and the benchmark of features."""

from __future__ import annotations

import argparse
import importlib

__all__ = ["add_arguments", "run"]

# kind: (module with `add_arguments(parser)` and `run(arguments) -> int`, what it does)
_KINDS = {
    "attention": (
        "topodl.attention.features_command",
        "features of a language model's attention maps, one row a line of a text file",
    ),
    "benchmark": (
        "topodl.evaluation.feature_benchmark",
        "accuracy of features on many data, beside peers and controls without topology",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of `topodl features` and their arguments to `parser`."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name, (module, summary) in _KINDS.items():
        importlib.import_module(module).add_arguments(
            kinds.add_parser(name, help=summary, allow_abbrev=False)
        )


def run(arguments: argparse.Namespace) -> int:
    """Run the kind and return the exit status."""
    return int(importlib.import_module(_KINDS[arguments.kind][0]).run(arguments))
