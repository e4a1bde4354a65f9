"""The folder of a study: the one place that knows which file lies where, and how files are written.

Everything is written under another name and then renamed, so that a killed run leaves whole files only.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl._files import atomic_path, read_text
from topodl.errors import InputError
from topodl.evaluation.loss_specs import folder_name

__all__ = ["COST_COLUMNS", "METRIC_COLUMNS", "RunFolder", "read_numbers", "read_rows", "write_rows"]

# The columns of TopoMortar's own results, in its order; they follow the column "ID".
METRIC_COLUMNS = (
    "Betti0ErrorLocal_mortar",
    "Betti0Error_mortar",
    "Betti1ErrorLocal_mortar",
    "Betti1Error_mortar",
    "Dice_mortar",
    "HD95_mortar",
    "clDice_mortar",
)
COST_COLUMNS = ("loss", "seed", "iterations", "seconds_per_iteration", "peak_memory_bytes")


@dataclass(frozen=True)
class RunFolder:
    """The paths inside the output folder of one study.

    Parameters
    ----------
    root : Path
        The output folder of `topodl evaluate`.

    Examples
    --------
    >>> folder = RunFolder(Path("run"))
    >>> folder.result_csv("supervised", "noisy", "large", "ce_dice", 0).as_posix()
    'run/results/supervised/noisy/large/ce_dice/0.csv'
    """

    root: Path

    @property
    def settings(self) -> Path:
        """What the study was run with: every value of the protocol and the versions of the libraries."""
        return self.root / "settings.json"

    @property
    def groups(self) -> Path:
        """A table (ID, group) of the test images."""
        return self.root / "groups.csv"

    @property
    def results(self) -> Path:
        """The measurements, laid out like TopoMortar's published results."""
        return self.root / "results"

    @property
    def costs(self) -> Path:
        """A table with the columns `COST_COLUMNS`, one row for each finished (loss, seed)."""
        return self.root / "costs.csv"

    @property
    def search(self) -> Path:
        """Folder of the search for settings, where the protocol has one."""
        return self.root / "search"

    @property
    def search_settings(self) -> Path:
        """What the search was run with."""
        return self.search / "search.json"

    @property
    def search_trials(self) -> Path:
        """What Optuna knows of the trials."""
        return self.search / "trials.log"

    def search_rung(self, rung: int) -> Path:
        """Folder of the study that one rung of the search is."""
        return self.search / f"rung{rung}"

    @property
    def search_csv(self) -> Path:
        """A table of all trials, one row a rung."""
        return self.root / "search.csv"

    @property
    def claims(self) -> Path:
        """Which process does what at the moment."""
        return self.root / "claims"

    @property
    def results_markdown(self) -> Path:
        """The tables of the report as Markdown."""
        return self.root / "results.md"

    @property
    def report_html(self) -> Path:
        """The report, one self-contained file."""
        return self.root / "report.html"

    def result_csv(
        self, framework: str, labels: str, training_set: str, loss: str, seed: int, fold: int | None = None
    ) -> Path:
        """Measurements of one (loss, seed): ID and metrics of every class, one row per test image."""
        folder = self.results / framework / labels / training_set / folder_name(loss)
        return folder / f"{_with_fold(seed, fold)}.csv"

    def curve_csv(self, loss: str, seed: int, fold: int | None = None) -> Path:
        """Learning curve of one training: iteration, loss, and val_dice, val_betti0_error, … or empty."""
        return self.root / "curves" / folder_name(loss) / f"{_with_fold(seed, fold)}.csv"

    def cost_csv(self, loss: str, seed: int, fold: int | None = None) -> Path:
        """Row of `costs` for one training, alone in a file, as several processes may train."""
        return self.root / "costs" / folder_name(loss) / f"{_with_fold(seed, fold)}.csv"

    def kinds_csv(self, loss: str, seed: int, fold: int | None = None) -> Path:
        """Numbers of errors in topology by kind of one training's predictions, one row per test image."""
        return self.root / "errors" / folder_name(loss) / f"{_with_fold(seed, fold)}.csv"

    def sizes_csv(self, loss: str, seed: int, fold: int | None = None) -> Path:
        """Return where the sizes are that predictions were cleaned with."""
        return self.root / "sizes" / folder_name(loss) / f"{_with_fold(seed, fold)}.csv"

    def kinds_of(self, loss: str, seed: int) -> list[Path]:
        """Return the files of `kinds_csv` that there are of a seed, one or one for each fold."""
        whole = self.kinds_csv(loss, seed)
        return [whole] if whole.is_file() else sorted(whole.parent.glob(f"{seed}.fold*.csv"))

    def checkpoint(self, loss: str, seed: int, fold: int | None = None) -> Path:
        """State of a training under way, and the weights of the last iteration once it is finished."""
        return self.root / "checkpoints" / folder_name(loss) / f"{_with_fold(seed, fold)}.pt"

    def predictions(self, loss: str, seed: int) -> Path:
        """Folder of the predicted masks of one (loss, seed)."""
        return self.root / "predictions" / folder_name(loss) / str(seed)

    def prediction(self, loss: str, seed: int, image_id: str) -> Path:
        """Predicted mask of one test image, 0 and 255."""
        return self.predictions(loss, seed) / f"{image_id}.png"

    def input_image(self, image_id: str) -> Path:
        """One test image, as it was evaluated."""
        return self.root / "inputs" / f"{image_id}.png"

    @property
    def labels(self) -> Path:
        """Folder of the labels of the test images, as they were evaluated."""
        return self.root / "labels"

    def label_image(self, image_id: str) -> Path:
        """Label of one test image as it was evaluated, 0 and 255."""
        return self.labels / f"{image_id}.png"

    def read_settings(self) -> dict[str, Any]:
        """Return what `settings.json` says."""
        return json.loads(read_text(self.settings))


def _with_fold(seed: int, fold: int | None) -> str:
    return str(seed) if fold is None else f"{seed}.fold{fold}"


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file with a header, atomically; numbers are written so that they read back exactly."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_path(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8", newline="")


def read_rows(path: Path, required: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header, values as written; no row where there is no file.

    Raises an `InputError` if the file is none, or has rows of another length, or not the `required` columns.
    """
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a readable CSV file ({error})") from None
    for number, row in enumerate(rows, 2):
        if any(name is None or value is None for name, value in row.items()):
            raise InputError(f"{path}, row {number}: has more or fewer values than the header has columns")
    if rows and not set(required) <= rows[0].keys():
        raise InputError(f"{path} has columns {', '.join(map(str, rows[0]))}; expected {', '.join(required)}")
    return rows


def read_numbers(
    path: Path, rows: Sequence[Mapping[str, str]], column: str, *, finite: bool = False
) -> NDArray[np.float64]:
    """Return a column of the `rows` of `path` as numbers, NaN where it is empty; all are to be `finite`."""
    try:
        numbers = np.array([float(row[column] or "nan") for row in rows])
    except ValueError as error:
        raise InputError(f"{path}, column {column}: {error}") from None
    if finite and not np.isfinite(numbers).all():
        wrong = next(row[column] for row, n in zip(rows, numbers, strict=True) if not np.isfinite(n))
        raise InputError(f"{path}, column {column} has {wrong!r}; expected finite numbers")
    return numbers
