"""Whose turn it is: the trainings of a study, one after the other, each under a claim of its own.

So the processes that work on one study, on one machine or on many, do different trainings.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from topodl._claims import Claim, Claims
from topodl._files import partial_files
from topodl.errors import InputError
from topodl.evaluation.loss_specs import folder_name
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.settings import StudySettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "Pair",
    "Turns",
    "is_finished",
    "remove_partial_files",
    "result_path",
    "trainings_of",
    "unfinished",
    "work_name",
]

Pair = tuple[str, int]  # loss and seed
_NAME = "topodl evaluate"
_WAIT, _WAIT_SECONDS = "wait", 2.0


def trainings_of(settings: StudySettings) -> list[Pair]:
    """Return all trainings of a study in their order."""
    return [(loss, seed) for seed in settings.seeds for loss in settings.losses]


def unfinished(trainings: Sequence[Pair], settings: StudySettings, folder: RunFolder) -> list[Pair]:
    """Return those of the `trainings` that have no measurements yet."""
    return [pair for pair in trainings if not is_finished(folder, settings, *pair)]


def is_finished(folder: RunFolder, settings: StudySettings, loss: str, seed: int) -> bool:
    """Return whether a training has measurements, which are the last that it writes."""
    path = result_path(folder, settings, loss, seed)
    try:
        # A listing, other than the question for one file, is not answered from a network client's memory.
        return path.name in os.listdir(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return False


def work_name(loss: str, seed: int) -> str:
    """Return the name of the claim to a training."""
    return f"{folder_name(loss)}-{seed}"


def result_path(folder: RunFolder, settings: StudySettings, loss: str, seed: int) -> Path:
    """Return where the measurements of a training are, or will be."""
    return folder.result_csv(settings.framework, settings.labels, settings.training_set, loss, seed)


def remove_partial_files(folder: RunFolder, settings: StudySettings, loss: str, seed: int) -> None:
    """Remove what the last process that had the claim to this training left; only its holder may do so."""
    for whole in (
        folder.checkpoint(loss, seed),
        folder.curve_csv(loss, seed),
        folder.cost_csv(loss, seed),
        result_path(folder, settings, loss, seed),
    ):
        for path in partial_files(whole):
            path.unlink(missing_ok=True)
    for fold in range(settings.folds):
        for whole in (folder.checkpoint(loss, seed, fold), folder.curve_csv(loss, seed, fold)):
            for path in partial_files(whole):
                path.unlink(missing_ok=True)
    for path in folder.predictions(loss, seed).glob(".*.part"):
        path.unlink(missing_ok=True)


class Turns:
    """The trainings whose turn it is in this process, one after the other, each under a claim.

    Of several processes that train together by Fabric, the first one chooses and holds the claims.
    """

    def __init__(
        self,
        fabric: Fabric,
        trainings: Sequence[Pair],
        settings: StudySettings,
        folder: RunFolder,
        claims: Claims,
        progress: StudyProgress,
        note: Callable[[str], None],
        wait: bool,
        shown: bool,
    ) -> None:
        self.claim: Claim | None = None
        self._fabric, self._settings, self._folder, self._claims = fabric, settings, folder, claims
        self._progress, self._note, self._wait = progress, note, wait
        self._left, self._failures, self._said = list(trainings), list[InputError](), not shown

    def __iter__(self) -> Iterator[Pair]:
        while True:
            choice = self._fabric.broadcast(self._choose() if self._fabric.is_global_zero else None)
            if choice is None:
                return
            if choice == _WAIT:
                time.sleep(_WAIT_SECONDS)
                continue
            self._under_way = choice
            yield choice

    @contextmanager
    def training(self) -> Iterator[None]:
        """Do one training inside; what ends it alone, and not the study, ends here."""
        try:
            with self.claim or nullcontext():
                yield
        except Exception as error:
            # Processes of Fabric that wait for each other in the middle of a training cannot go on.
            alone = self._fabric.world_size == 1
            if alone and self.claim is not None and self.claim.is_lost():
                self._note(f"{self.claim.name} goes on in another process: this one did not renew its claim")
            elif alone and isinstance(error, InputError):
                self._failures.append(error)
                self._left.remove(self._under_way)
            else:
                raise
            self._progress.abandon()
        else:
            if self.claim is not None:
                self._left.remove(self._under_way)

    def raise_failure(self) -> None:
        """Raise the error of the training that failed, if one did."""
        if len(self._failures) > 1:
            first = str(self._failures[0]).removeprefix(f"{_NAME}: ")
            raise InputError(
                f"{_NAME}: {len(self._failures)} trainings failed, the first of them so: {first}"
            ) from self._failures[0]
        if self._failures:
            raise self._failures[0]

    def _choose(self) -> Pair | str | None:
        """Return the training that this process now has the claim to, or that it should wait, or end."""
        for loss, seed in list(self._left):
            if not is_finished(self._folder, self._settings, loss, seed):
                self.claim = self._claims.take(work_name(loss, seed))
                if self.claim is None:
                    continue
                # It may have been finished since the look at it, and then there was no claim in the way.
                if not is_finished(self._folder, self._settings, loss, seed):
                    remove_partial_files(self._folder, self._settings, loss, seed)
                    return loss, seed
                self.claim.finish()
            self._left.remove((loss, seed))
            self._progress.finished_elsewhere(loss, seed)
        if not self._left:
            return None
        # Where there is no holder, two processes were in each other's way, or one has just ended: look again.
        return None if self._say_who_works() and not self._wait else _WAIT

    def _say_who_works(self) -> bool:
        """Say once which processes have what is left, and return whether each of it has one."""
        holders = [self._claims.holder(work_name(*pair)) for pair in self._left]
        names = sorted({f"{h.host}, process {h.pid}" for h in holders if h is not None})
        if names and not self._said:
            self._said = True
            then = "; waiting for them" if self._wait else ""
            self._note(f"what is left is under way elsewhere ({'; '.join(names)}){then}")
        return None not in holders
