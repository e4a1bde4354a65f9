"""The whole study: every loss with every seed trained, tested and written down, finished ones not again."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from topodl import __version__
from topodl._claims import STALE_AFTER, Claim, Claims
from topodl._files import atomic_path, partial_files
from topodl.errors import InputError
from topodl.evaluation.data import StudyData, load_data
from topodl.evaluation.opening import refuse_other_study, require_packages
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.randomness import private_randomness
from topodl.evaluation.run_folder import (
    COST_COLUMNS,
    METRIC_COLUMNS,
    RunFolder,
    read_numbers,
    read_rows,
    write_rows,
)
from topodl.evaluation.scoring import predict_and_measure
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.training import CURVE_COLUMNS, Training, reproducible
from topodl.evaluation.turns import (
    Pair,
    Turns,
    is_finished,
    remove_partial_files,
    result_path,
    trainings_of,
    unfinished,
    work_name,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["run_study", "work_on"]

_NAME = "topodl evaluate"
_LIBRARIES = ("numpy", "scipy", "numba", "scikit-image", "torchmetrics", "lightning-fabric", "monai")


def run_study(
    settings: StudySettings,
    output: str | Path,
    *,
    note: Callable[[str], None] = lambda text: None,
    wait: bool = True,
) -> RunFolder:
    """Train and test every loss with every seed, and write all measurements to `output`.

    A study that was interrupted goes on where it was, with the same result as if it had not been. Several
    processes, on one machine or on many that see the folder, may run the same study: they share its work.

    Parameters
    ----------
    settings : StudySettings
        What to train and test.
    output : str or Path
        A new folder, or that of the same study.
    note : callable
        Gets a line of text for what the user should know but need not act on.
    wait : bool
        Whether to wait for the trainings that other processes have under way, and to go on with those of
        processes that die. Without, the study may be unfinished at the end.

    Returns
    -------
    RunFolder
        Where everything lies.

    Raises
    ------
    InputError
        If data or output folder are unusable, or the folder holds another study: nothing is written then. If
        trainings fail, those that do not are finished first.
    MissingDependencyError
        If the extra `eval` is not installed.

    References
    ----------
    J. M. Valverde, M. Koga, N. Otsuka, A. B. Dahl, "TopoMortar: A dataset to evaluate image segmentation
    methods focused on topology accuracy", BMVC 2025.

    Examples
    --------
    >>> from topodl.evaluation import StudySettings, run_study
    >>> settings = StudySettings.of_protocol("quick", losses=["ce_dice", "cldice"], seeds=[1])
    >>> folder = run_study(settings, "topodl-runs/walls")  # doctest: +SKIP
    """
    return work_on(trainings_of(settings), settings, output, note=note, wait=wait)


def work_on(
    trainings: Sequence[Pair],
    settings: StudySettings,
    output: str | Path,
    *,
    note: Callable[[str], None],
    wait: bool = True,
    shown: bool = True,
) -> RunFolder:
    """Do some of a study's trainings, those that no other process does: `run_study` for a part."""
    folder = RunFolder(Path(output).expanduser())
    require_packages(settings)
    refuse_other_study(folder, settings)
    data = load_data(settings, note)
    fabric = _launch(settings)
    claims = Claims(folder.claims)
    if fabric.is_global_zero:
        _open_folder(folder, claims, settings, data)
    note(f"study in {folder.root}")
    fabric.barrier()
    progress = StudyProgress(
        unfinished(trainings, settings, folder),
        len(trainings),
        iterations=settings.iterations,
        test_images=len(data.test),
        known=_known_costs(folder),
        shown=shown and fabric.is_global_zero,
    )
    turns = Turns(fabric, trainings, settings, folder, claims, progress, note, wait, shown)
    with progress, private_randomness(), reproducible(fabric.device):
        for loss, seed in turns:
            with turns.training():
                _train_and_test(fabric, data, settings, folder, loss, seed, progress, note, turns.claim)
    fabric.barrier()
    turns.raise_failure()
    return folder


def _train_and_test(
    fabric: Fabric,
    data: StudyData,
    settings: StudySettings,
    folder: RunFolder,
    loss: str,
    seed: int,
    progress: StudyProgress,
    note: Callable[[str], None],
    claim: Claim | None,
) -> None:
    """Do one training and its test; the CSV file, written last, marks it as finished."""
    training = Training(fabric, data, settings, loss, seed, folder.checkpoint(loss, seed), note)
    progress.begin(loss, seed, training.iteration)

    def trained(seconds: float) -> None:
        progress.trained(seconds)
        if claim is not None:
            claim.done = training.iteration
            claim.check()

    network = training.run(trained)
    peak = training.peak_memory_bytes
    clock = [time.perf_counter()]

    def tested(n: int) -> None:
        clock.append(time.perf_counter())
        progress.tested(n, clock[-1] - clock[-2])

    def keep(image_id: str, mask: torch.Tensor) -> None:
        _write_picture(folder.prediction(loss, seed, image_id), mask[None])

    measured = predict_and_measure(fabric, network, data.test, keep, tested)
    fabric.barrier()
    if claim is not None:
        claim.confirm()
        write_rows(folder.curve_csv(loss, seed), CURVE_COLUMNS, training.curve)
        _write_cost(folder, loss, seed, training, peak)
        _merge_costs(folder, settings)
        rows = [
            {"ID": i, **dict(zip(METRIC_COLUMNS, map(_plain, values), strict=True))}
            for i, values in zip(data.test.ids, measured.tolist(), strict=True)
        ]
        write_rows(result_path(folder, settings, loss, seed), ("ID", *METRIC_COLUMNS), rows)
        training.keep_weights_only()
        claim.finish()
    progress.end()


def _launch(settings: StudySettings) -> Fabric:
    from lightning_fabric import Fabric

    # Deterministic matrix products on GPUs need this before the first of them.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    kind, _, index = settings.device.partition(":")
    fabric = Fabric(
        accelerator=kind,
        devices=[int(index)] if index else settings.devices,
        num_nodes=settings.nodes,
        precision=settings.precision,
    )
    fabric.launch()
    return fabric


def _open_folder(folder: RunFolder, claims: Claims, settings: StudySettings, data: StudyData) -> None:
    """Write what does not depend on any training; settings first, so that a killed run is known again."""
    try:
        with claims.wait_for("study"):
            refuse_other_study(folder, settings)  # another process may have opened it since the first look
            _remove_what_killed_processes_left(folder, claims, settings)
            text = json.dumps(_description(settings, data), indent=2) + "\n"
            with atomic_path(folder.settings) as partial:
                partial.write_text(text, encoding="utf-8")
            for picture, images in (
                (folder.input_image, data.test.images),
                (folder.label_image, data.test.labels),
            ):
                for image_id, values in zip(data.test.ids, images, strict=True):
                    if not picture(image_id).exists():
                        _write_picture(picture(image_id), values)
            groups = zip(data.test.ids, data.test.groups, strict=True)
            write_rows(folder.groups, ("ID", "group"), [{"ID": i, "group": g} for i, g in groups])
    except OSError as error:
        raise InputError(
            f"{_NAME}: output is {str(folder.root)!r}, which cannot be written ({error.strerror}); "
            "expected a folder that can"
        ) from error
    _merge_costs(folder, settings)


def _remove_what_killed_processes_left(folder: RunFolder, claims: Claims, settings: StudySettings) -> None:
    """Remove partial files that no living process can be writing: not those of trainings under way."""
    for path in [*partial_files(folder.settings), *partial_files(folder.groups)]:
        path.unlink(missing_ok=True)
    for pictures in (folder.input_image("").parent, folder.label_image("").parent):
        for path in pictures.glob(".*.part"):
            path.unlink(missing_ok=True)
    for report in (folder.results_markdown, folder.report_html):
        for path in partial_files(report):  # a report is written without a claim, within a second
            if claims.now() - path.stat().st_mtime > STALE_AFTER:
                path.unlink(missing_ok=True)
    for path in claims.folder.glob("command-*"):  # of commands that had a cluster train
        if claims.holder(path.stem) is None:
            path.unlink(missing_ok=True)
    for loss, seed in trainings_of(settings):
        work = work_name(loss, seed)
        if is_finished(folder, settings, loss, seed) and claims.generations(work):
            claim = claims.take(work)
            if claim is not None:
                remove_partial_files(folder, settings, loss, seed)
                claim.finish()


def _description(settings: StudySettings, data: StudyData) -> dict[str, Any]:
    # Torch's own word has the CUDA version that it was built for, its package's name not always.
    versions = {"topodl": __version__, "python": platform.python_version(), "torch": torch.__version__}
    images = {name: len(getattr(data, name)) for name in ("train", "val", "test")}
    return {
        "settings": settings.as_dict(),
        "images": {**images, "height": data.test.images.shape[2], "width": data.test.images.shape[3]},
        "versions": {**versions, **{name: _version(name) for name in _LIBRARIES}},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if settings.device.startswith("cuda") else None,
        },
    }


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _known_costs(folder: RunFolder) -> dict[str, float]:
    rows = read_rows(folder.costs, COST_COLUMNS)
    seconds = read_numbers(folder.costs, rows, "seconds_per_iteration")
    return {row["loss"]: float(value) for row, value in zip(rows, seconds, strict=True)}


def _write_cost(folder: RunFolder, loss: str, seed: int, training: Training, peak: int) -> None:
    values = (loss, seed, training.iteration, round(training.seconds_per_iteration, 6), peak)
    write_rows(folder.cost_csv(loss, seed), COST_COLUMNS, [dict(zip(COST_COLUMNS, values, strict=True))])


def _merge_costs(folder: RunFolder, settings: StudySettings) -> None:
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


def _plain(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _write_picture(path: Path, values: torch.Tensor) -> None:
    """Write an image (3, H, W) of bytes, or a mask (1, H, W) as 0 and 255."""
    from PIL import Image

    channels = values.permute(1, 2, 0) if values.dtype == torch.uint8 else values[0].to(torch.uint8) * 255
    with atomic_path(path) as partial:
        Image.fromarray(channels.numpy()).save(partial, format="PNG")
