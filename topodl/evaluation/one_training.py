"""One training of a study with its test: of one loss with one seed, in every fold one after the other."""

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
from topodl.evaluation.networks import NetworkFactory
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.run_folder import RunFolder, write_rows
from topodl.evaluation.scoring import metric_columns, predict_and_measure
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.stored_pictures import write_label
from topodl.evaluation.training import CURVE_COLUMNS, Training, finished_state
from topodl.evaluation.turns import result_path

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

    def fold_name(self, fold: int) -> int | None:
        """Return the number that files of this fold have in their names, None where there is but one."""
        return fold if len(self.folds) > 1 else None


def train_and_test(study: Study, loss: str, seed: int, claim: Claim | None) -> None:
    """Do one training and its test; the CSV file, written last, marks it as finished."""
    rows: list[Row] = []
    seconds: list[float] = []
    peak, begun, training = 0, False, None
    for fold in range(len(study.folds)):
        checkpoint = study.folder.checkpoint(loss, seed, study.fold_name(fold))
        done = finished_state(checkpoint) if len(study.folds) > 1 else None
        if done is None:
            training = _open_training(study, loss, seed, fold)
            if not begun:
                study.progress.begin(loss, seed, fold * study.settings.iterations + training.iteration)
                begun = True
            done = _do_fold(study, training, loss, seed, fold, claim)
        rows += done["rows"]
        seconds.append(done["seconds_per_iteration"])
        peak = max(peak, done["peak_memory_bytes"])
    if not begun:
        study.progress.begin(loss, seed, len(study.folds) * study.settings.iterations)
    if claim is not None:
        claim.confirm()
        mean = sum(seconds) / len(seconds)
        write_cost(study.folder, loss, seed, study.settings.iterations, mean, peak)
        merge_costs(study.folder, study.settings)
        columns = ("ID", *metric_columns(study.folds[0]))
        write_rows(result_path(study.folder, study.settings, loss, seed), columns, rows)
        if training is not None and len(study.folds) == 1:
            training.keep_weights_only()
        claim.finish()
    study.progress.end()


def _open_training(study: Study, loss: str, seed: int, fold: int) -> Training:
    return Training(
        study.fabric,
        study.folds[fold],
        study.settings,
        study.factory,
        loss,
        seed,
        study.folder.checkpoint(loss, seed, study.fold_name(fold)),
        study.note,
    )


def _do_fold(
    study: Study, training: Training, loss: str, seed: int, fold: int, claim: Claim | None
) -> dict[str, Any]:
    """Return the measurements and costs of one fold; where there are several, its checkpoint keeps them."""
    data, progress = study.folds[fold], study.progress

    def trained(seconds: float) -> None:
        progress.trained(seconds)
        if claim is not None:
            claim.done = fold * study.settings.iterations + training.iteration
            claim.check()

    training.run(trained)
    peak = training.peak_memory_bytes
    clock = [time.perf_counter()]

    def tested(n: int) -> None:
        clock.append(time.perf_counter())
        progress.tested(n, clock[-1] - clock[-2])

    def keep(image_id: str, prediction: torch.Tensor) -> None:
        write_label(study.folder.prediction(loss, seed, image_id), prediction, len(data.classes))

    measured = predict_and_measure(study.fabric, training.predictor, data.test, keep, tested)
    study.fabric.barrier()
    columns = metric_columns(data)
    done = {
        "rows": [
            {"ID": i, **dict(zip(columns, map(_plain, values), strict=True))}
            for i, values in zip(data.test.ids, measured.tolist(), strict=True)
        ],
        "seconds_per_iteration": training.seconds_per_iteration,
        "peak_memory_bytes": peak,
    }
    if claim is not None:
        claim.confirm()
        curve = study.folder.curve_csv(loss, seed, study.fold_name(fold))
        write_rows(curve, CURVE_COLUMNS, training.curve)
        if len(study.folds) > 1:
            training.keep_weights_only(**done)
    return done


def _plain(value: float) -> float | int | str:
    if math.isnan(value):
        return ""
    return int(value) if value.is_integer() else value
