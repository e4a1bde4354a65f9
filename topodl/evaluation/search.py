"""The search for settings: random trials of each loss, halved rung by rung by what they reach in validation.

Jamieson, Talwalkar, AISTATS 2016. A rung is an ordinary study of all trials that are left, in a folder of its
own, so that it is shared, stopped and gone on with as any other; rungs come one after the other, so that no
result depends on which process was faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from topodl._checks import check_number, fail
from topodl._claims import Claims
from topodl.errors import InputError
from topodl.evaluation.collapse import find_collapsed
from topodl.evaluation.failures import TrainingFailedError
from topodl.evaluation.loading import LossResults, Setting, load_studies
from topodl.evaluation.loss_names import loss_key
from topodl.evaluation.run_folder import RunFolder, write_rows
from topodl.evaluation.search_space import Space
from topodl.evaluation.search_trials import Outcome, Trial, TrialStore
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.statistics import mean_of_defined
from topodl.evaluation.tasks import trainings_of, unfinished

__all__ = ["BASELINE", "SEARCH_COLUMNS", "SearchSettings", "chosen_recipes", "run_search", "validation_score"]

_NAME = "topodl evaluate"
BASELINE = "ce_dice"
SEARCH_COLUMNS = (
    "loss", "trial", "rung", "iterations", "recipe", "score", "betti_errors", "dice", "fault", "chosen",
)  # fmt: skip
_BETTI = ("Betti0", "Betti1", "Betti2")
_COLLAPSED = 1000.0  # behind all others, though not out: in a short rung a slow start looks like it
_DICE_MARGIN, _DICE_STEP = 0.01, 0.01

Train = Callable[[StudySettings, Path], object]


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How settings are searched for, the same for every loss.

    Parameters
    ----------
    trials : int, default=12
        Settings that are tried of each loss; the first are the defaults.
    rungs : int, default=3
        How often trials are compared. The last rung trains as long as the study, each one before it a
        `reduction`-th as long as the next.
    reduction : int, default=3
        One in so many trials goes on to the next rung, at least two.
    seeds : tuple of int, default=(101,)
        Of the search's trainings: others than those of the study.

    Raises
    ------
    InputError
        If a number is out of range, or a seed is there twice.

    References
    ----------
    K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
    AISTATS 2016.

    Examples
    --------
    >>> SearchSettings(trials=12).sizes()
    [12, 4, 2]
    """

    trials: int = 12
    rungs: int = 3
    reduction: int = 3
    seeds: tuple[int, ...] = (101,)

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("rungs", 1), ("reduction", 2)):
            check_number(_NAME, name, getattr(self, name), low=least, integer=True)
        for seed in self.seeds:
            check_number(_NAME, "search_seeds", seed, low=0, integer=True)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            came = " ".join(map(str, self.seeds)) or "empty"
            raise fail(_NAME, "search_seeds", f"is {came}", "at least one, each once")

    def sizes(self) -> list[int]:
        """Return how many trials of a loss take part in each rung."""
        return [
            min(self.trials, max(2, math.ceil(self.trials / self.reduction**rung)))
            for rung in range(self.rungs)
        ]

    def iterations(self, whole: int) -> list[int]:
        """Return how long each rung trains, where the study does so for `whole` iterations."""
        return [max(1, whole // self.reduction**left) for left in range(self.rungs - 1, -1, -1)]

    def as_dict(self) -> dict[str, Any]:
        """Return the values as plain types, as they are stored."""
        return asdict(self) | {"seeds": list(self.seeds)}


def run_search(
    settings: StudySettings,
    search: SearchSettings,
    spaces: Mapping[str, Space],
    folder: RunFolder,
    train: Train,
) -> bool:
    """Try settings of every loss, and return whether the search is finished here.

    `train` runs a study in a folder. It is not finished where `train` left trainings to other processes.
    """
    store = TrialStore(folder.search_trials, random_state=search.seeds[0])
    claims = Claims(folder.claims)
    with claims.wait_for("search"):
        for loss, space in spaces.items():
            store.draw(loss, space, search.trials)
    sizes, lengths = search.sizes(), search.iterations(settings.iterations)
    for rung, iterations in enumerate(lengths):
        contenders = {loss: _contenders(store.trials(loss), rung) for loss in spaces}
        if all(len(t.outcomes) > rung for trials in contenders.values() for t in trials):
            continue
        study, root = _study_of(settings, search, contenders, iterations), folder.search_rung(rung)
        failed = _trained(study, root, train)
        if not failed and unfinished(trainings_of(study), study, RunFolder(root)):
            return False
        following = sizes[rung + 1] if rung + 1 < len(sizes) else None
        with claims.wait_for("search"):
            _judge(store, contenders, rung, iterations, root, following)
    _write_table(folder, {loss: store.trials(loss) for loss in spaces})
    return True


def chosen_recipes(trials: Mapping[str, Sequence[Trial]]) -> dict[str, str]:
    """Return the settings of each loss, whose `trials` these are, that were best in the longest rung.

    Raises
    ------
    InputError
        If all trials of a loss failed.
    """
    chosen = {}
    for loss, drawn in trials.items():
        best = _best(drawn)
        if best is None:
            raise InputError(f"{_NAME}: all trials of {loss} failed; expected one that trains")
        chosen[loss] = best.recipe
    return chosen


def _best(trials: Sequence[Trial]) -> Trial | None:
    sound = [t for t in trials if t.outcomes and math.isfinite(t.outcomes[-1].score)]
    return min(sound, key=lambda t: (-len(t.outcomes), t.outcomes[-1].score, t.number), default=None)


def validation_score(betti_errors: Sequence[float], dice: float, reference: float) -> float:
    """Return what a search makes small: log(1 + error), summed over dimensions, and what is lost in Dice.

    Parameters
    ----------
    betti_errors : sequence of float
        Mean errors of the Betti numbers.
    dice : float
        Mean Dice.
    reference : float
        The best Dice of CE + Dice in the same rung. Up to 0.01 below it costs nothing, each 0.01 more as much
        as an error that grows by a factor of e.

    Examples
    --------
    >>> round(validation_score([1.0, 3.0], 0.90, 0.905), 4), round(validation_score([1.0, 3.0], 0.88, 0.9), 4)
    (2.0794, 3.0794)
    """
    lost = max(0.0, reference - _DICE_MARGIN - dice) / _DICE_STEP
    return float(np.log1p(betti_errors).sum() + lost)


def _contenders(trials: Sequence[Trial], rung: int) -> list[Trial]:
    """Return the trials that take part in a rung: those that all rungs before it kept."""
    return [t for t in trials if len(t.outcomes) > rung or (len(t.outcomes) == rung and t.state == "running")]


def _study_of(
    settings: StudySettings,
    search: SearchSettings,
    contenders: Mapping[str, Sequence[Trial]],
    iterations: int,
) -> StudySettings:
    """Return the study that a rung is: all its trials, measured on the validation images."""
    return replace(
        settings,
        losses=tuple(dict.fromkeys(t.recipe for trials in contenders.values() for t in trials)),
        seeds=search.seeds,
        iterations=iterations,
        measured_split="val",
        validation_interval=0,
    )


def _trained(study: StudySettings, root: Path, train: Train) -> bool:
    """Train a rung, and return whether trainings failed, which is a result of theirs, not the end."""
    try:
        train(study, root)
    except TrainingFailedError:
        return True
    return False


def _judge(
    store: TrialStore,
    contenders: Mapping[str, Sequence[Trial]],
    rung: int,
    iterations: int,
    root: Path,
    following: int | None,
) -> None:
    """Score all trials of a rung, and write down which go on."""
    setting = _results(root)
    baseline = [t.recipe for loss, trials in contenders.items() if loss == BASELINE for t in trials]
    reference = _best_of(setting, baseline)
    for loss, trials in contenders.items():
        measured = {t.number: _outcome(setting, t.recipe, iterations, reference) for t in trials}
        sound = [n for n in measured if math.isfinite(measured[n].score)]
        ranked = sorted(sound, key=lambda n: (measured[n].score, n))
        store.record(loss, rung, measured, ranked[:following], last=following is None)


def _results(root: Path) -> Setting | None:
    """Return the measurements of a rung, or None if no training came to its end."""
    if not any(RunFolder(root).results.rglob("*.csv")):
        return None
    (study,) = load_studies([root])
    return study.setting


def _result_of(setting: Setting | None, recipe: str) -> LossResults | None:
    found = () if setting is None else setting.losses
    return next((loss for loss in found if loss_key(loss.folder_name) == loss_key(recipe)), None)


def _best_of(setting: Setting | None, recipes: Sequence[str]) -> LossResults | None:
    """Return the results with the best Dice; None where there are none."""
    found = [loss for recipe in recipes if (loss := _result_of(setting, recipe)) is not None]
    return max(found, key=lambda loss: _mean(setting, loss, "Dice"), default=None)


def _mean(setting: Setting | None, loss: LossResults, name: str) -> float:
    assert setting is not None
    metric = next(metric for metric in setting.metrics if metric.name == name)
    return float(mean_of_defined(setting.values(loss, metric).ravel(), axis=0))


def _outcome(setting: Setting | None, recipe: str, iterations: int, reference: LossResults | None) -> Outcome:
    loss = _result_of(setting, recipe)
    if setting is None or loss is None:
        return Outcome(iterations, math.inf, (), math.nan, "the training failed")
    names = [metric.name for metric in setting.metrics if metric.name in _BETTI]
    betti = tuple(_mean(setting, loss, name) for name in names)
    dice = _mean(setting, loss, "Dice")
    of_reference = dice if reference is None else _mean(setting, reference, "Dice")
    fault = find_collapsed(replace(setting, losses=(loss,)), reference).get(loss.name, "")
    score = validation_score(betti, dice, of_reference) + (_COLLAPSED if fault else 0.0)
    return Outcome(iterations, score, betti, dice, fault)


def _write_table(folder: RunFolder, trials: Mapping[str, Sequence[Trial]]) -> None:
    """Write every trial in every rung, as the report reads it."""
    rows = []
    for loss, drawn in trials.items():
        best = _best(drawn)
        for trial, (rung, outcome) in ((t, each) for t in drawn for each in enumerate(t.outcomes)):
            errors = " ".join(map(repr, outcome.betti))
            is_chosen = trial is best and rung == len(trial.outcomes) - 1
            values = (loss, trial.number, rung, outcome.iterations, trial.recipe, outcome.score, errors,
                      outcome.dice, outcome.fault, int(is_chosen))  # fmt: skip
            rows.append(dict(zip(SEARCH_COLUMNS, values, strict=True)))
    write_rows(folder.search_csv, SEARCH_COLUMNS, rows)
