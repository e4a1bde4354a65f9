"""One training of a study, with its test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from topodl._claims import Claim
from topodl.evaluation.costs import merge_costs, write_cost
from topodl.evaluation.data import StudyData
from topodl.evaluation.error_kinds import write_kinds
from topodl.evaluation.networks import NetworkFactory
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.run_folder import RunFolder, write_rows
from topodl.evaluation.scoring import Predictor, metric_columns, predict_and_measure
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.small_parts import CleanedPredictor, write_sizes
from topodl.evaluation.stored_pictures import write_label
from topodl.evaluation.tasks import Task, merge_results, result_path
from topodl.evaluation.training import CURVE_COLUMNS, Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Study", "train_and_test"]

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Study:
    """What all trainings of a study share."""

    fabric: Fabric
    settings: StudySettings
    folds: tuple[StudyData, ...]
    factory: NetworkFactory
    folder: RunFolder
    progress: StudyProgress
    note: Callable[[str], None]

    def data_of(self, task: Task) -> StudyData:
        """Return what a training trains and is tested with."""
        return self.folds[task.fold or 0]


def train_and_test(study: Study, task: Task, claim: Claim | None) -> None:
    """Do one training and its test; the CSV file, written last, marks it as finished."""
    data, folder, settings = study.data_of(task), study.folder, study.settings
    checkpoint = folder.checkpoint(*task)
    training = Training(study.fabric, data, settings, study.factory, task, checkpoint, study.note)
    study.progress.begin(task, training.iteration)

    def trained(seconds: float) -> None:
        study.progress.trained(seconds)
        if claim is not None:
            claim.done = training.iteration
            claim.check()

    training.run(trained)
    peak = training.peak_memory_bytes
    predictor = training.predictor
    if settings.remove_small:
        predictor = CleanedPredictor.by_validation(predictor)
    rows = _test(study, predictor, task)
    if claim is not None:
        claim.confirm()
        write_rows(folder.curve_csv(*task), CURVE_COLUMNS, training.curve)
        write_cost(folder, task, settings.iterations, training.seconds_per_iteration, peak)
        merge_costs(folder, settings)
        if data.spatial_dims == 2:
            write_kinds(folder, *task, data.test.ids, len(data.foreground))
        if isinstance(predictor, CleanedPredictor):
            write_sizes(folder, *task, predictor.smallest)
        write_rows(result_path(folder, settings, task), ("ID", *metric_columns(data)), rows)
        merge_results(folder, settings)
        training.keep_weights_only()
        claim.finish()
    study.progress.end()


def _test(study: Study, predictor: Predictor, task: Task) -> list[Row]:
    """Return the measurements of all test images, whose predictions are written."""
    data = study.data_of(task)
    clock = [time.perf_counter()]

    def tested(n: int) -> None:
        clock.append(time.perf_counter())
        study.progress.tested(n, clock[-1] - clock[-2])

    def keep(image_id: str, prediction: torch.Tensor) -> None:
        write_label(study.folder.prediction(task.loss, task.seed, image_id), prediction, len(data.classes))

    measured = predict_and_measure(study.fabric, predictor, data.test, keep, tested)
    study.fabric.barrier()
    columns = metric_columns(data)
    return [
        {"ID": i, **dict(zip(columns, map(_plain, values), strict=True))}
        for i, values in zip(data.test.ids, measured.tolist(), strict=True)
    ]


def _plain(value: float) -> float | int | str:
    if math.isnan(value):
        return ""
    return int(value) if value.is_integer() else value
