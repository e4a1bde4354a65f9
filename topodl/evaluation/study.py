"""The whole study: every loss with every seed trained, tested and written down, finished ones not again."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from topodl import __version__
from topodl._checks import fail
from topodl._claims import STALE_AFTER, Claims
from topodl._files import atomic_path, partial_files
from topodl.errors import InputError
from topodl.evaluation.costs import known_costs, merge_costs
from topodl.evaluation.data import StudyData, describe
from topodl.evaluation.given_data import StudySplits, fingerprint, read_given
from topodl.evaluation.handed_over import HandedOver
from topodl.evaluation.loss_setup import check_losses
from topodl.evaluation.networks import NetworkFactory, find_network
from topodl.evaluation.one_training import Study, train_and_test
from topodl.evaluation.opening import refuse_other_study, require_packages
from topodl.evaluation.pictures import find_stored
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.randomness import private_randomness
from topodl.evaluation.run_folder import RunFolder, write_rows
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.small_parts import check_removal
from topodl.evaluation.sources import load_data
from topodl.evaluation.stored_pictures import write_image, write_label
from topodl.evaluation.tasks import (
    Task,
    is_finished,
    merge_results,
    remove_partial_files,
    trainings_of,
    unfinished,
    work_name,
)
from topodl.evaluation.training import reproducible
from topodl.evaluation.turns import Turns

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["run_study", "with_objects", "work_on"]

_NAME = "topodl evaluate"
_LIBRARIES = ("numpy", "scipy", "numba", "scikit-image", "torchmetrics", "lightning-fabric", "monai")


def run_study(
    settings: StudySettings,
    output: str | Path,
    *,
    data: StudySplits | None = None,
    network: NetworkFactory | None = None,
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
    data : StudySplits, optional
        Images and labels in the place of those that `settings` names: an object with train, val and test,
        such as data sets of torch.
    network : callable, optional
        Makes the network in the place of the one that `settings` names. It is called with the numbers of
        channels of the images, of channels to give (one a class or region) and of spatial axes, and returns
        a module that takes images (B, channels, *S) to logits (B, classes, *S). In training the module may
        give several heads, as a list or (B, heads, classes, *S), the finest first. Its first weights follow
        from the seed of the training.
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

    Data sets and a network of one's own; images may have any size:

    >>> import types
    >>> mine = types.SimpleNamespace(train=train_set, val=val_set, test=test_set)  # doctest: +SKIP
    >>> run_study(settings, "topodl-runs/mine", data=mine, network=make_network)  # doctest: +SKIP
    """
    settings, objects = with_objects("run_study", settings, data, network)
    trainings = trainings_of(settings)
    awaited = trainings if wait else ()
    return work_on(trainings, settings, output, objects=objects, note=note, awaited=awaited)


def work_on(
    trainings: Sequence[Task],
    settings: StudySettings,
    output: str | Path,
    *,
    objects: HandedOver,
    awaited: Collection[Task],
    note: Callable[[str], None],
    shown: bool = True,
) -> RunFolder:
    """Do some of a study's trainings, those that no other process does: `run_study` for a part.

    When nothing is left to take, this waits for the `awaited` ones that others have under way.
    """
    folder = RunFolder(Path(output).expanduser())
    require_packages(settings)
    refuse_other_study(folder, settings)
    factory = objects.network or find_network(settings.network)
    folds = load_data(settings, note, objects.data)
    left = unfinished(trainings, settings, folder)
    check_losses(dict.fromkeys(task.loss for task in left), settings, folds[0])
    if settings.remove_small:
        check_removal(folds[0])
    fabric = _launch(settings)
    claims = Claims(folder.claims)
    if fabric.is_global_zero:
        _open_folder(folder, claims, settings, folds)
    note(f"study in {folder.root}")
    fabric.barrier()
    progress = StudyProgress(
        unfinished(trainings, settings, folder),
        len(trainings),
        iterations=settings.iterations,
        test_images=[len(data.test) for data in folds],
        known=known_costs(folder),
        shown=shown and fabric.is_global_zero,
    )
    study = Study(fabric, settings, folds, factory, folder, progress, note)
    turns = Turns(fabric, trainings, settings, folds, folder, claims, progress, note, awaited, shown)
    with progress, private_randomness(), reproducible(fabric.device):
        for task in turns:
            with turns.training():
                train_and_test(study, task, turns.claim)
    if fabric.is_global_zero:
        merge_results(folder, settings)  # which a process that was killed may have left to this one
    fabric.barrier()
    turns.raise_failure()
    return folder


def with_objects(
    function: str, settings: StudySettings, data: StudySplits | None, network: NetworkFactory | None
) -> tuple[StudySettings, HandedOver]:
    """Return the settings with names for what was handed to `function`, and these objects, read."""
    given = None
    if data is not None:
        if settings.data is not None:
            came = f"is given beside settings with data={settings.data!r}"
            raise fail(function, "data", came, "one of the two")
        given = read_given(data, settings.image_memory)
        settings = replace(settings, data=f"python-{fingerprint(given)}")
    if network is not None:
        if not callable(network):
            raise fail(function, "network", f"is a {type(network).__name__}", "a callable")
        names = (getattr(network, name, type(network).__name__) for name in ("__module__", "__qualname__"))
        settings = replace(settings, network=":".join(names))
    return settings, HandedOver(given, network)


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


def _open_folder(
    folder: RunFolder, claims: Claims, settings: StudySettings, folds: tuple[StudyData, ...]
) -> None:
    """Write what does not depend on any training; settings first, so that a killed run is known again."""
    try:
        with claims.wait_for("study"):
            refuse_other_study(folder, settings)  # another process may have opened it since the first look
            _remove_what_killed_processes_left(folder, claims, settings, folds)
            text = json.dumps(_description(settings, folds), indent=2) + "\n"
            with atomic_path(folder.settings) as partial:
                partial.write_text(text, encoding="utf-8")
            for data in folds:
                _write_test_images(folder, data)
            _write_groups(folder, folds)
    except OSError as error:
        raise InputError(
            f"{_NAME}: output is {str(folder.root)!r}, which cannot be written ({error.strerror}); "
            "expected a folder that can"
        ) from error
    merge_costs(folder, settings)


def _write_groups(folder: RunFolder, folds: tuple[StudyData, ...]) -> None:
    """Write the group of every test image, and the fold that it is tested in where there are several."""
    rows = [
        {"ID": i, "group": group, "fold": fold}
        for fold, data in enumerate(folds)
        for i, group in zip(data.test.ids, data.test.groups, strict=True)
    ]
    columns = ("ID", "group", "fold") if len(folds) > 1 else ("ID", "group")
    write_rows(folder.groups, columns, [{name: row[name] for name in columns} for row in rows])


def _write_test_images(folder: RunFolder, data: StudyData) -> None:
    for image_id, image, label in zip(data.test.ids, data.test.images, data.test.labels, strict=True):
        if find_stored(folder.input_image(image_id)) is None:
            write_image(folder.input_image(image_id), image)
        if find_stored(folder.label_image(image_id)) is None:
            write_label(folder.label_image(image_id), label, len(data.classes))


def _remove_what_killed_processes_left(
    folder: RunFolder, claims: Claims, settings: StudySettings, folds: tuple[StudyData, ...]
) -> None:
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
    for path in claims.folder.glob("command-*"):  # of commands that had other processes train
        if claims.holder(path.stem) is None:
            path.unlink(missing_ok=True)
    for task in trainings_of(settings):
        work = work_name(task)
        if is_finished(folder, settings, task) and claims.generations(work):
            claim = claims.take(work)
            if claim is not None:
                image_ids = folds[task.fold or 0].test.ids
                remove_partial_files(folder, settings, task, image_ids)
                claim.finish()


def _description(settings: StudySettings, folds: tuple[StudyData, ...]) -> dict[str, Any]:
    # Torch's own word has the CUDA version that it was built for, its package's name not always.
    versions = {"topodl": __version__, "python": platform.python_version(), "torch": torch.__version__}
    return {
        "settings": settings.as_dict(),
        **(describe(folds[0]) if len(folds) == 1 else {"folds": [describe(data) for data in folds]}),
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
