"""The two progress bars of a study, and the estimate of the time that all of it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from tqdm import tqdm

from topodl.evaluation.tasks import Task

__all__ = ["StudyProgress"]


class StudyProgress:
    """Shows the study and the training under way on the terminal.

    Parameters
    ----------
    pending : sequence of Task
        The trainings to come, in their order.
    n_trainings : int
        Number of trainings of the study, those included that are finished already.
    iterations : int
        Of one training.
    test_images : sequence of int
        Number of them in each fold.
    known : mapping of str to float
        Seconds per iteration of losses that were trained before.
    shown : bool
        Whether this process draws the bars.
    """

    def __init__(
        self,
        pending: Sequence[Task],
        n_trainings: int,
        *,
        iterations: int,
        test_images: Sequence[int],
        known: Mapping[str, float],
        shown: bool = True,
    ) -> None:
        self._pending, self._n_trainings = list(pending), n_trainings
        self._iterations, self._test_images = iterations, test_images
        self._per_iteration = dict(known)
        self._per_test_image: float | None = None
        self._done_here = self._tested_here = 0
        # A log file gets a line of the study now and then, a terminal moving bars.
        terminal = sys.stderr.isatty()
        shown = shown and bool(pending)
        self._study = tqdm(
            total=n_trainings * iterations,
            initial=(n_trainings - len(self._pending)) * iterations,
            desc="study",
            position=0,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}{postfix}]",
            disable=not shown,
            mininterval=0.2 if terminal else 10.0,
            dynamic_ncols=True,
            file=sys.stderr,
        )
        self._bar = tqdm(
            total=iterations,
            position=1,
            leave=False,
            disable=not shown or not terminal,
            mininterval=0.2,
            dynamic_ncols=True,
            file=sys.stderr,
        )

    def __enter__(self) -> StudyProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        self._study.close()

    def begin(self, task: Task, done: int) -> None:
        """Start a training, `done` iterations of which were done before."""
        self._task, self._done_here, self._tested_here = task, done, 0
        self._bar.reset(self._iterations)
        self._bar.set_description(str(task), refresh=False)
        self._bar.update(done)
        self._study.update(done)

    def trained(self, seconds: float) -> None:
        """Tell of one iteration and the seconds that it took."""
        loss = self._task.loss
        before = self._per_iteration.get(loss)
        # The mean forgets: the first iterations of a process are slower than the others.
        self._per_iteration[loss] = seconds if before is None else before + 0.1 * (seconds - before)
        self._done_here += 1
        self._bar.update(1)
        self._advance(1)

    def tested(self, n: int, seconds: float) -> None:
        """Tell of `n` test images that took so many seconds together."""
        if not self._tested_here:
            self._bar.reset(self._tested_in(self._task))
            self._bar.set_description(f"{self._task}, test images", refresh=False)
        self._bar.update(n)
        self._tested_here += n
        self._per_test_image = seconds / n
        self._advance(0)

    def end(self) -> None:
        """End the training under way."""
        self._pending.remove(self._task)
        self._done_here = self._tested_here = 0

    def abandon(self) -> None:
        """Leave the training under way, with what was done of it, to another time or process."""
        self._study.update(-self._done_here)
        self._done_here = self._tested_here = 0

    def finished_elsewhere(self, task: Task) -> None:
        """Tell that another process has finished a training."""
        if task in self._pending:
            self._pending.remove(task)
            self._study.update(self._iterations)

    def seconds_left(self) -> float | None:
        """Return the estimate for the whole study, or None as long as there is nothing to tell from."""
        if not self._per_iteration:
            return None
        average = sum(self._per_iteration.values()) / len(self._per_iteration)
        steps = sum(self._per_iteration.get(loss, average) for loss, *_ in self._pending) * self._iterations
        steps -= self._done_here * self._per_iteration.get(self._task.loss, average)
        # Before the first test, an image is guessed to take as long as an iteration.
        per_image = average if self._per_test_image is None else self._per_test_image
        untested = sum(map(self._tested_in, self._pending)) - self._tested_here
        return max(0.0, steps) + per_image * untested

    def _tested_in(self, task: Task) -> int:
        return self._test_images[task.fold or 0]

    def _advance(self, iterations: int) -> None:
        left = self.seconds_left()
        if left is not None:
            number = self._n_trainings - len(self._pending) + 1
            place = f"training {number} of {self._n_trainings}"
            self._study.set_postfix_str(f"{place}, about {tqdm.format_interval(left)} left", refresh=False)
        self._study.update(iterations)


class SharedProgress:
    """The one progress bar of a study whose trainings other processes do.

    Parameters
    ----------
    n_trainings, iterations : int
        Number of trainings, and of iterations in each.
    """

    def __init__(self, n_trainings: int, iterations: int) -> None:
        self._n_trainings, self._iterations = n_trainings, iterations
        self._began: tuple[float, int] | None = None
        self._bar = tqdm(
            total=n_trainings * iterations,
            desc="study",
            bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}{postfix}]",
            mininterval=0.2 if sys.stderr.isatty() else 10.0,
            dynamic_ncols=True,
            file=sys.stderr,
        )

    def __enter__(self) -> SharedProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def show(self, finished: int, under_way: Sequence[int]) -> None:
        """Show so many finished trainings, and others of which so many iterations are done."""
        done = finished * self._iterations + sum(under_way)
        left = self.seconds_left(done, time.monotonic())
        place = f", {finished} of {self._n_trainings} trainings finished, {len(under_way)} under way"
        soon = "" if left is None else f", about {tqdm.format_interval(left)} left"
        self._bar.set_postfix_str((place + soon).removeprefix(", "), refresh=False)
        # A training that began anew is behind where it was.
        self._bar.update(done - self._bar.n)

    def seconds_left(self, done: int, now: float) -> float | None:
        """Return the estimate from the iterations since the first look, or None before there are any."""
        if self._began is None or done < self._began[1]:
            self._began = (now, done)
        start, before = self._began
        if done == before:
            return None
        return (self._n_trainings * self._iterations - done) * (now - start) / (done - before)
