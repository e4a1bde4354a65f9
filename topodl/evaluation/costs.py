"""What trainings cost: a file for each, and one table of all, which several processes write."""

from __future__ import annotations

from topodl._claims import Claims
from topodl._files import partial_files
from topodl.evaluation.run_folder import COST_COLUMNS, RunFolder, read_numbers, read_rows, write_rows
from topodl.evaluation.settings import StudySettings

__all__ = ["known_costs", "merge_costs", "write_cost"]


def known_costs(folder: RunFolder) -> dict[str, float]:
    """Return the seconds per iteration of losses that were trained before."""
    rows = read_rows(folder.costs, COST_COLUMNS)
    seconds = read_numbers(folder.costs, rows, "seconds_per_iteration")
    return {row["loss"]: float(value) for row, value in zip(rows, seconds, strict=True)}


def write_cost(folder: RunFolder, loss: str, seed: int, iterations: int, seconds: float, peak: int) -> None:
    """Write what one training cost: seconds per iteration, and the most bytes that it held."""
    values = (loss, seed, iterations, round(seconds, 6), peak)
    write_rows(folder.cost_csv(loss, seed), COST_COLUMNS, [dict(zip(COST_COLUMNS, values, strict=True))])


def merge_costs(folder: RunFolder, settings: StudySettings) -> None:
    """Write the costs of all trainings into one table, the losses in the order of the study.

    Under a claim, so that of two processes the last one to write has also seen what the other has.
    """
    order = {loss: place for place, loss in enumerate(settings.losses)}
    with Claims(folder.claims).wait_for("costs"):
        found = []
        for path in folder.cost_csv("*", 0).parent.parent.glob("*/*.csv"):
            for row in read_rows(path, COST_COLUMNS):
                read_numbers(path, [row], "seconds_per_iteration")
                found.append((order.get(row["loss"], len(order)), row["loss"], path.stem.zfill(20), row))
        for path in partial_files(folder.costs):
            path.unlink(missing_ok=True)
        if found:
            write_rows(folder.costs, COST_COLUMNS, [row for *_, row in sorted(found, key=lambda f: f[:3])])
