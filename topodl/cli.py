"""The command `topodl`: a table of subcommands, each in its own module with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from topodl import __version__
from topodl._files import visible
from topodl.errors import InputError, MissingDependencyError

__all__ = ["main"]

# name: (module with `add_arguments(parser)` and `run(arguments) -> int`, what it does)
_COMMANDS = {
    "attention": (
        "topodl.attention.experiments_command",
        "run an experiment on attention topology: artificial text, CoLA, minimal pairs",
    ),
    "evaluate": (
        "topodl.evaluation.evaluate_command",
        "train a network with several losses, compare them on test images, write a report",
    ),
    "features": (
        "topodl.evaluation.features_command",
        "compute features of data with a model, as a table on disk; benchmark features",
    ),
    "graphs": (
        "topodl.representations.graphs_command",
        "cross-validate a graph network with and without topological layers",
    ),
    "manifolds": (
        "topodl.representations.manifolds_command",
        "see which latent spaces have the topology of the data, by persistence and RTD of codes",
    ),
    "nnunet": (
        "topodl.integrations.nnunet_command",
        "print what nnU-Net needs to find the trainers with topodl's losses",
    ),
    "report": (
        "topodl.evaluation.report_command",
        "rebuild tables, figures and the report from the files of a study",
    ),
    "shapes": (
        "topodl.representations.shapes_command",
        "generate shapes of prescribed topology, guided by persistence",
    ),
    "spheres": (
        "topodl.representations.spheres_command",
        "repeat the topological autoencoder's experiment on Spheres, beside other embeddings",
    ),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `topodl` with `arguments` (by default those of the process) and return its exit status.

    What the user can put right, files and disks included, is one line on standard error, with status 2.

    Examples
    --------
    >>> main(["evaluate", "--losses", "ce_dise"])
    2
    """
    _print_whatever_the_stream_knows()
    parser = _Parser(prog="topodl", description="Topological data analysis for deep learning.")
    parser.add_argument("--version", action="version", version=f"topodl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Threads that spin while they wait take the core from those that they wait for, on a busy machine a
    # tenfold slowdown. OpenMP reads this when torch loads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, allow_abbrev=False)
        if name in words:
            importlib.import_module(module).add_arguments(command)
    if any("\0" in word for word in words):
        parser.error("an argument has a NUL; expected text without")
    chosen = parser.parse_args(words)
    name = f"topodl {chosen.command}"
    try:
        status = int(importlib.import_module(_COMMANDS[chosen.command][0]).run(chosen))
        _flush()  # a disk that is full shows here, and not when Python ends
        return status
    except BrokenPipeError:  # whoever read the output, as `head` does, has seen enough
        _forget_output()
        return 141
    except (InputError, MissingDependencyError, OSError) as error:
        text = " ".join(visible(str(error)).split())
        print(text if text.startswith((f"{name}:", f"{name} ")) else f"{name}: {text}", file=sys.stderr)
        _forget_output()
        return 2
    except KeyboardInterrupt:
        print(f"\ntopodl {chosen.command}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _flush() -> None:
    if sys.stdout is not None:  # there is none where the caller has closed it
        sys.stdout.flush()


def _forget_output() -> None:
    """Keep Python from writing again, at its end, what could not be written."""
    try:
        _flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_whatever_the_stream_knows() -> None:
    """Let a file or pipe in a national encoding have "?" for an arrow: Windows has no other default."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
