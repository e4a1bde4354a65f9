"""Experiments in stages, whose results are kept in a file as they come: a stopped run goes on from there."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topodl._checks import check_number, fail
from topodl._files import atomic_path, read_text
from topodl.kernels.shared.pool import get_num_threads

__all__ = ["StageResults", "add_jobs_argument", "check_jobs", "mean_and_deviation"]


class StageResults:
    """The results of stages by their names, in ``results.json`` of a folder that is made if it is not there.

    `settings` tell which experiment it is: a folder has the results of one.
    """

    def __init__(self, function: str, folder: Path, settings: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "results.json"
        self._state: dict[str, Any] = {"settings": dict(settings), "runs": {}}
        if self._path.exists():
            self._state = _read(function, self._path)
        if self._state["settings"] != dict(settings):
            came = f"is {folder}, of {self._state['settings']}"
            raise fail(function, "output", came, f"another folder for {dict(settings)}")

    @property
    def runs(self) -> dict[str, Any]:
        """The results by the names of their stages."""
        runs: dict[str, Any] = self._state["runs"]
        return runs

    def add(self, name: str, result: Any) -> None:
        """Keep the result of a stage, on disk when this returns."""
        self.runs[name] = result
        with atomic_path(self._path) as partial:
            partial.write_text(json.dumps(self._state, indent=1), encoding="utf-8")


def _read(function: str, path: Path) -> dict[str, Any]:
    try:
        state = json.loads(read_text(path))
    except ValueError:
        state = None
    if not isinstance(state, dict) or not isinstance(state.get("runs"), dict) or "settings" not in state:
        raise fail(
            function, "output", f"has {path}, which has no results", "such a file as this command writes"
        )
    return state


def mean_and_deviation(values: list[float], digits: int) -> str:
    """Return the cell of a table: mean ± standard deviation, the latter where there are several values."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def add_jobs_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--jobs``, which `check_jobs` reads."""
    parser.add_argument(
        "--jobs",
        type=int,
        default=None,
        metavar="N",
        help="trainings side by side, each in a process of one thread (default: as many as there are CPUs)",
    )


def check_jobs(function: str, jobs: int | None, device: str = "cpu") -> int:
    """Return how many processes train; an accelerator is shared by none unless they are asked for."""
    if jobs is None:
        return get_num_threads() if device == "cpu" else 1
    check_number(function, "jobs", jobs, low=1, integer=True)
    return jobs
