"""The table of a search for settings: what was chosen of each loss, and what it reached in validation."""

from __future__ import annotations

from collections.abc import Sequence

from topodl.evaluation.comparison import rounded
from topodl.evaluation.loss_names import display_name
from topodl.evaluation.run_folder import RunFolder, read_numbers, read_rows
from topodl.evaluation.tables import Cell, Row, Table

__all__ = ["search_table"]

_COLUMNS = ("loss", "trial", "rung", "recipe", "score", "betti_errors", "dice", "fault", "chosen")


def search_table(folders: Sequence[RunFolder]) -> Table | None:
    """Return what was chosen of each loss, from the tables `search.csv` of `folders`; None without any."""
    rows = [row for folder in folders for row in _rows_of(folder)]
    if not rows:
        return None
    columns = ("Loss", "Settings", "Trials", "Failed", "Score ↓", "Betti errors ↓", "Dice ↑")
    return Table("Settings chosen in validation", columns, tuple(rows))


def _rows_of(folder: RunFolder) -> list[Row]:
    path = folder.search_csv
    listed = read_rows(path, _COLUMNS)
    score, dice = (read_numbers(path, listed, column) for column in ("score", "dice"))
    rows = []
    for n, row in enumerate(listed):
        if row["chosen"] != "1":
            continue
        mine = [other for other in listed if other["loss"] == row["loss"]]
        trials = {other["trial"] for other in mine}
        failed = {other["trial"] for other in mine if other["fault"]}
        errors = " / ".join(str(rounded(float(error))) for error in row["betti_errors"].split())
        texts = (row["recipe"], str(len(trials)), str(len(failed)), f"{score[n]:.3f}", errors,
                 f"{dice[n]:.3f}")  # fmt: skip
        role = "collapsed" if row["fault"] else ""
        rows.append(Row(display_name(row["loss"]), role, tuple(map(Cell, texts))))
    return rows
