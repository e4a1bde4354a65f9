"""Whose turn it is: the trainings of a study, one after the other, each under a claim of its own.

So the processes that work on one study, on one machine or on many, do different trainings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from topodl._claims import Claim, Claims
from topodl.errors import InputError
from topodl.evaluation.data import StudyData
from topodl.evaluation.failures import TrainingFailedError
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.tasks import Task, is_finished, remove_partial_files, work_name

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Turns"]

_NAME = "topodl evaluate"
_WAIT, _WAIT_SECONDS = "wait", 2.0


class Turns:
    """The trainings whose turn it is in this process, one after the other, each under a claim.

    Of several processes that train together by Fabric, the first one chooses and holds the claims.
    """

    def __init__(
        self,
        fabric: Fabric,
        trainings: Sequence[Task],
        settings: StudySettings,
        folds: Sequence[StudyData],
        folder: RunFolder,
        claims: Claims,
        progress: StudyProgress,
        note: Callable[[str], None],
        awaited: Collection[Task],
        shown: bool,
    ) -> None:
        self.claim: Claim | None = None
        self._fabric, self._settings, self._folder, self._claims = fabric, settings, folder, claims
        self._progress, self._note, self._awaited = progress, note, frozenset(awaited)
        self._test_ids = [data.test.ids for data in folds]
        self._left, self._failures, self._said = list(trainings), list[InputError](), not shown

    def __iter__(self) -> Iterator[Task]:
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
        if not self._failures:
            return
        first = str(self._failures[0])
        if len(self._failures) > 1:
            what = first.removeprefix(f"{_NAME}: ")
            first = f"{_NAME}: {len(self._failures)} trainings failed, the first of them so: {what}"
        raise TrainingFailedError(first) from self._failures[0]

    def _choose(self) -> Task | str | None:
        """Return the training that this process now has the claim to, or that it should wait, or end."""
        for task in list(self._left):
            if not is_finished(self._folder, self._settings, task):
                self.claim = self._claims.take(work_name(task))
                if self.claim is None:
                    continue
                # It may have been finished since the look at it, and then there was no claim in the way.
                if not is_finished(self._folder, self._settings, task):
                    image_ids = self._test_ids[task.fold or 0]
                    remove_partial_files(self._folder, self._settings, task, image_ids)
                    return task
                self.claim.finish()
            self._left.remove(task)
            self._progress.finished_elsewhere(task)
        if not self._left:
            return None
        # Where there is no holder, two processes were in each other's way, or one has just ended: look again.
        awaits = not self._awaited.isdisjoint(self._left)
        return None if self._say_who_works(awaits) and not awaits else _WAIT

    def _say_who_works(self, awaits: bool) -> bool:
        """Say once which processes have what is left, and return whether each of it has one."""
        holders = [self._claims.holder(work_name(task)) for task in self._left]
        names = sorted({f"{h.host}, process {h.pid}" for h in holders if h is not None})
        if names and not self._said:
            self._said = True
            then = "; waiting for them" if awaits else ""
            self._note(f"what is left is under way elsewhere ({'; '.join(names)}){then}")
        return None not in holders
