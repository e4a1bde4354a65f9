"""The trials of a search for settings, kept by Optuna in a file of the study's folder.

Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.
Only the process that has the claim to the search writes; the trainings themselves know nothing of it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topodl.errors import MissingDependencyError
from topodl.evaluation.search_space import Choice, Range, Space, recipe_of

if TYPE_CHECKING:
    import optuna

__all__ = ["Outcome", "Trial", "TrialStore"]


@dataclass(frozen=True)
class Outcome:
    """What a trial reached on the validation images in one rung; NaN and infinity where it failed."""

    iterations: int
    score: float
    betti: tuple[float, ...]
    dice: float
    fault: str = ""


@dataclass(frozen=True)
class Trial:
    """Settings that were drawn for a loss, and what they reached in each rung that they took part in."""

    loss: str
    number: int
    recipe: str
    state: str
    outcomes: tuple[Outcome, ...]


class TrialStore:
    """The trials of all losses of one search.

    Parameters
    ----------
    path : Path
        File that Optuna writes to; made when the first trial is drawn.
    random_state : int
        What is drawn depends on it, on the loss and on the number of the trial alone.

    Raises
    ------
    MissingDependencyError
        If the extra `tuning` is not installed.
    """

    def __init__(self, path: Path, random_state: int) -> None:
        self._optuna, self._path, self._random_state = _optuna(), path, random_state

    def draw(self, loss: str, space: Space, count: int) -> list[Trial]:
        """Return the first `count` trials of a loss, drawn where they are not there yet."""
        with self._study(loss) as study:
            if not study.get_trials(deepcopy=False):
                study.enqueue_trial({name: values.default for name, values in space.items()})
            states = self._optuna.trial.TrialState
            while (n := sum(t.state != states.WAITING for t in study.get_trials(deepcopy=False))) < count:
                seed = zlib.crc32(f"{self._random_state} {loss} {n}".encode())
                study.sampler = self._optuna.samplers.RandomSampler(seed)
                trial = study.ask(self._distributions(space))
                trial.set_user_attr("recipe", recipe_of(loss, space, trial.params))
        return self.trials(loss)

    def trials(self, loss: str) -> list[Trial]:
        """Return all trials of a loss in the order in which they were drawn."""
        with self._study(loss) as study:
            drawn = [t for t in study.get_trials(deepcopy=False) if "recipe" in t.user_attrs]
        return [
            Trial(loss, t.number, t.user_attrs["recipe"], t.state.name.lower(), _outcomes(t.user_attrs))
            for t in drawn
        ]

    def record(
        self, loss: str, rung: int, outcomes: Mapping[int, Outcome], kept: Sequence[int], *, last: bool
    ) -> None:
        """Write down what trials reached in a rung; those not `kept` end there, and in the last rung all."""
        states = self._optuna.trial.TrialState
        with self._study(loss) as study:
            for frozen in study.get_trials(deepcopy=True):
                outcome = outcomes.get(frozen.number)
                if outcome is None or f"rung{rung}" in frozen.user_attrs:
                    continue
                trial = self._optuna.trial.Trial(study, frozen._trial_id)  # of a trial that is drawn already
                failed = not math.isfinite(outcome.score)
                if not failed:
                    trial.report(outcome.score, outcome.iterations)
                trial.set_user_attr(f"rung{rung}", {**vars(outcome), "betti": list(outcome.betti)})
                if failed:
                    study.tell(trial, state=states.FAIL)
                elif last:
                    study.tell(trial, outcome.score)
                elif frozen.number not in kept:
                    study.tell(trial, state=states.PRUNED)

    @contextmanager
    def _study(self, loss: str) -> Iterator[optuna.Study]:
        """Give Optuna's study of a loss, without its lines on the terminal."""
        log, journal = self._optuna.logging, self._optuna.storages.journal
        verbosity = log.get_verbosity()
        log.set_verbosity(log.WARNING)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = journal.JournalFileOpenLock(str(self._path))  # without links, which not all systems make
            storage = self._optuna.storages.JournalStorage(journal.JournalFileBackend(str(self._path), lock))
            yield self._optuna.create_study(
                storage=storage, study_name=loss, direction="minimize", load_if_exists=True
            )
        finally:
            log.set_verbosity(verbosity)

    def _distributions(self, space: Space) -> dict[str, Any]:
        return {name: self._distribution(values) for name, values in space.items()}

    def _distribution(self, values: Range | Choice) -> Any:
        kinds = self._optuna.distributions
        if isinstance(values, Range):
            return kinds.FloatDistribution(values.low, values.high, log=True)
        return kinds.CategoricalDistribution(values.values)


def _outcomes(attributes: Mapping[str, Any]) -> tuple[Outcome, ...]:
    rungs = sorted(name for name in attributes if name.startswith("rung"))
    return tuple(Outcome(**{**attributes[name], "betti": tuple(attributes[name]["betti"])}) for name in rungs)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        purpose = "topodl evaluate --protocol tuned"
        raise MissingDependencyError("optuna", extra="tuning", purpose=purpose) from error
    return optuna
