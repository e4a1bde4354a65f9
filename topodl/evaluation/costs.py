"""What trainings cost: a file for each, and one table of all, which several processes write."""

from __future__ import annotations

from topodl._claims import Claims
from topodl._files import partial_files
from topodl.evaluation.run_folder import COST_COLUMNS, RunFolder, read_numbers, read_rows, write_rows
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.tasks import Task

__all__ = ["known_costs", "merge_costs", "write_cost"]

Row = dict[str, str]


def known_costs(folder: RunFolder) -> dict[str, float]:
    """Return the seconds per iteration of losses that were trained before."""
    rows = read_rows(folder.costs, COST_COLUMNS)
    seconds = read_numbers(folder.costs, rows, "seconds_per_iteration")
    return {row["loss"]: float(value) for row, value in zip(rows, seconds, strict=True)}


def write_cost(folder: RunFolder, task: Task, iterations: int, seconds: float, peak: int) -> None:
    """Write what one training cost: seconds per iteration, and the most bytes that it held."""
    values = (task.loss, task.seed, iterations, round(seconds, 6), peak)
    write_rows(folder.cost_csv(*task), COST_COLUMNS, [dict(zip(COST_COLUMNS, values, strict=True))])


def merge_costs(folder: RunFolder, settings: StudySettings) -> None:
    """Write the costs of all trainings into one table, the losses in the order of the study.

    Under a claim, so that of two processes the last one to write has also seen what the other has.
    """
    order = {loss: place for place, loss in enumerate(settings.losses)}
    with Claims(folder.claims).wait_for("costs"):
        folds: dict[tuple[int, str, str], list[Row]] = {}
        for path in sorted(folder.cost_csv("*", 0).parent.parent.glob("*/*.csv")):
            for row in read_rows(path, COST_COLUMNS):
                for column in ("seconds_per_iteration", "peak_memory_bytes"):
                    read_numbers(path, [row], column)
                key = order.get(row["loss"], len(order)), row["loss"], row["seed"].zfill(20)
                folds.setdefault(key, []).append(row)
        for path in partial_files(folder.costs):
            path.unlink(missing_ok=True)
        if folds:
            write_rows(folder.costs, COST_COLUMNS, [_of_all(folds[key]) for key in sorted(folds)])


def _of_all(folds: list[Row]) -> Row:
    """Return the costs of one loss and seed: the mean time of its folds, and their highest peak."""
    seconds = [float(row["seconds_per_iteration"]) for row in folds]
    peak = max(folds, key=lambda row: float(row["peak_memory_bytes"]))["peak_memory_bytes"]
    if len(folds) == 1:
        return folds[0]
    mean = round(sum(seconds) / len(seconds), 6)
    return {**folds[0], "seconds_per_iteration": str(mean), "peak_memory_bytes": peak}
