"""The trainings of a study: which there are, which have measurements, and the tables that they add up to.

A training is one of a loss with a seed, in one fold where there are several: none waits for another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from topodl._files import partial_files
from topodl.evaluation.loss_specs import folder_name
from topodl.evaluation.run_folder import RunFolder, read_rows, write_rows
from topodl.evaluation.settings import StudySettings

__all__ = [
    "Task",
    "is_finished",
    "merge_results",
    "remove_partial_files",
    "result_path",
    "trainings_of",
    "unfinished",
    "work_name",
]


class Task(NamedTuple):
    """One training; `fold` is None where a study has one split.

    Examples
    --------
    >>> str(Task("ce_dice", 3)), str(Task("ce_dice", 3, 0))
    ('ce_dice with seed 3', 'ce_dice with seed 3 in fold 0')
    """

    loss: str
    seed: int
    fold: int | None = None

    def __str__(self) -> str:
        where = "" if self.fold is None else f" in fold {self.fold}"
        return f"{self.loss} with seed {self.seed}{where}"


def trainings_of(settings: StudySettings) -> list[Task]:
    """Return all trainings of a study in their order."""
    folds = range(settings.folds) if settings.folds else (None,)
    return [Task(loss, seed, fold) for seed in settings.seeds for loss in settings.losses for fold in folds]


def unfinished(trainings: Sequence[Task], settings: StudySettings, folder: RunFolder) -> list[Task]:
    """Return those of the `trainings` that have no measurements yet."""
    return [task for task in trainings if not is_finished(folder, settings, task)]


def is_finished(folder: RunFolder, settings: StudySettings, task: Task) -> bool:
    """Return whether a training has measurements, which are the last that it writes."""
    return _is_listed(result_path(folder, settings, task))


def _is_listed(path: Path) -> bool:
    try:
        # A listing, other than the question for one file, is not answered from a network client's memory.
        return path.name in os.listdir(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return False


def work_name(task: Task) -> str:
    """Return the name of the claim to a training."""
    fold = "" if task.fold is None else f"-fold{task.fold}"
    return f"{folder_name(task.loss)}-{task.seed}{fold}"


def result_path(folder: RunFolder, settings: StudySettings, task: Task) -> Path:
    """Return where the measurements of a training are, or will be."""
    return folder.result_csv(settings.framework, settings.labels, settings.training_set, *task)


def merge_results(folder: RunFolder, settings: StudySettings) -> None:
    """Write the measurements of all folds into one table, for each loss and seed that has them all.

    Two processes that do so at once write the same.
    """
    if not settings.folds:
        return
    for whole in (Task(loss, seed) for seed in settings.seeds for loss in settings.losses):
        folds = [whole._replace(fold=fold) for fold in range(settings.folds)]
        path = result_path(folder, settings, whole)
        if not _is_listed(path) and not unfinished(folds, settings, folder):
            rows = [row for fold in folds for row in read_rows(result_path(folder, settings, fold), ("ID",))]
            write_rows(path, list(rows[0]), rows)


def remove_partial_files(
    folder: RunFolder, settings: StudySettings, task: Task, image_ids: Iterable[str]
) -> None:
    """Remove what the last process that had the claim to this training left; only its holder may do so.

    `image_ids` are those of its test images: other folds predict others, into the same folder.
    """
    for whole in (
        folder.checkpoint(*task),
        folder.curve_csv(*task),
        folder.cost_csv(*task),
        folder.kinds_csv(*task),
        folder.sizes_csv(*task),
        result_path(folder, settings, task),
    ):
        for path in partial_files(whole):
            path.unlink(missing_ok=True)
    mine = set(image_ids)
    for path in folder.predictions(task.loss, task.seed).glob(".*.part"):
        picture = path.name.removeprefix(".").rsplit(".", 2)[0]
        if Path(picture).stem in mine:
            path.unlink(missing_ok=True)
