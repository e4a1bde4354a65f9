"""A study whose losses are tuned first: settings chosen on validation images, then trained with other seeds.

So no test image has a say in any setting, and CE + Dice is tuned as much as what is compared with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from topodl._checks import fail
from topodl._files import atomic_path, read_text
from topodl.errors import InputError
from topodl.evaluation.given_data import StudySplits
from topodl.evaluation.loss_setup import check_losses
from topodl.evaluation.networks import NetworkFactory
from topodl.evaluation.opening import refuse_other_study, require_packages
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.scheduler import run_distributed_study
from topodl.evaluation.search import BASELINE, SearchSettings, chosen_recipes, run_search
from topodl.evaluation.search_space import search_space
from topodl.evaluation.search_trials import TrialStore
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.sources import load_data
from topodl.evaluation.study import run_study, with_objects

__all__ = ["run_tuned_study"]

_NAME = "topodl evaluate"


def run_tuned_study(
    settings: StudySettings,
    output: str | Path,
    *,
    search: SearchSettings | None = None,
    data: StudySplits | None = None,
    network: NetworkFactory | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    note: Callable[[str], None] = lambda text: None,
    wait: bool = True,
) -> RunFolder:
    """Choose settings of every loss on the validation images, then compare the losses on the test's.

    Trials of each loss are drawn at random, trained for a short time and compared; the better ones are
    trained longer, and so on. What is left is trained with the seeds of the study and tested once. All of it
    goes on where it was interrupted, and several processes may share the work, as in `run_study`.

    Parameters
    ----------
    settings : StudySettings
        The losses to tune, "ce_dice" among them or added to them, and what they are trained with at the end.
    output : str or Path
        A new folder, or that of the same study.
    search : SearchSettings, optional
        How many trials, how often halved, and with which seeds.
    data, network, note, wait : objects, optional
        As for `run_study`.
    jobs, scheduler : int and str, optional
        As for `run_distributed_study`.

    Returns
    -------
    RunFolder
        Of the study with the settings that were chosen; `search.csv` has all trials. Without `wait` the
        search may be unfinished, and then there is no study yet.

    Raises
    ------
    InputError
        As `run_study` does; if a seed is one of the search's and of the study's; if there are no validation
        images; if all trials of a loss fail.
    MissingDependencyError
        If the extra `tuning` is not installed.

    References
    ----------
    K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
    AISTATS 2016. T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization
    Framework", KDD 2019.

    Examples
    --------
    >>> from topodl.evaluation import SearchSettings, StudySettings, run_tuned_study
    >>> settings = StudySettings.of_protocol("tuned", losses=["ce_dice", "topograph"])
    >>> folder = run_tuned_study(settings, "topodl-runs/tuned", search=SearchSettings())  # doctest: +SKIP
    """
    search = SearchSettings() if search is None else search
    both = sorted(set(search.seeds) & set(settings.seeds))
    if both:
        raise fail(
            _NAME, "search_seeds", f"has {both[0]}, a seed of the study", "other seeds than those tested"
        )
    if BASELINE not in settings.losses:
        settings = replace(settings, losses=(BASELINE, *settings.losses))
    folder = RunFolder(Path(output).expanduser().resolve())
    require_packages(settings)
    named, objects = with_objects("run_tuned_study", settings, data, network)
    folds = load_data(replace(named, measured_split="val"), note, objects.data)
    check_losses(named.losses, named, folds[0])
    spaces = {
        loss: search_space(loss, named, spatial_dims=folds[0].spatial_dims, regions=folds[0].regions)
        for loss in named.losses
    }
    _open(folder, named, search)
    if jobs == 1 and scheduler is None:
        run = partial(run_study, data=data, network=network, note=note, wait=wait)
    else:
        run = partial(
            run_distributed_study, data=data, network=network, jobs=jobs, scheduler=scheduler, note=note
        )
    if not run_search(
        named, search, spaces, folder, lambda rung, root: run(_without_names(rung, settings), root)
    ):
        return folder
    store = TrialStore(folder.search_trials, search.seeds[0])
    chosen = chosen_recipes({loss: store.trials(loss) for loss in spaces})
    for loss, recipe in chosen.items():
        note(f"chosen for {loss}: {recipe}")
    return run(replace(settings, losses=tuple(dict.fromkeys(chosen.values()))), folder.root)


def _without_names(rung: StudySettings, settings: StudySettings) -> StudySettings:
    """Return the settings of a rung without the names of objects of the caller, which are handed over."""
    return replace(rung, data=settings.data, network=settings.network)


def _open(folder: RunFolder, settings: StudySettings, search: SearchSettings) -> None:
    """Write what the search is run with, or raise if the folder holds another one."""
    path = folder.search_settings
    if not path.exists():
        refuse_other_study(folder, settings)
        text = json.dumps({"search": search.as_dict(), "settings": settings.as_dict()}, indent=2) + "\n"
        with atomic_path(path) as partial_path:
            partial_path.write_text(text, encoding="utf-8")
        return
    try:
        stored = json.loads(read_text(path))
        before, difference = dict(stored["search"]), settings.difference(dict(stored["settings"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{_NAME}: cannot read {path}: {error!r}") from error
    for name, value in search.as_dict().items():
        if difference is None and before.get(name) != value:
            difference = f"{name} of the search is {value} now and was {before.get(name)}"
    if difference is not None:
        raise InputError(
            f"{_NAME}: {folder.root} holds a search with other settings: {difference}; "
            "expected the same settings, or another --output"
        )
