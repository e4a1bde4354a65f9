"""Training, validation and test cases: as given, or cut by a seed, groups kept together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from topodl._checks import check_number, fail
from topodl.errors import InputError
from topodl.evaluation.case_types import Case
from topodl.evaluation.image_files import FUNCTION
from topodl.evaluation.randomness import SPLIT, generator

__all__ = ["SPLIT_NAMES", "assign_splits"]

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
_SHARE = 0.2  # of the cases for the test, and of the rest for validation

Unit = tuple[Case, ...]


def assign_splits(
    cases: Iterable[Case], *, seed: int, folds: int | None = None, fold: int = 0
) -> tuple[Case, ...]:
    """Return the cases with a split each: those given stay, missing ones are cut from the training cases.

    Without given splits a fifth of the cases is for the test, and a fifth of the others for validation. With
    `folds`, each case is in the test of one fold. Cases of one group stay together unless there is but one
    group. Shares are met as closely as groups allow, with at least one case each.

    Parameters
    ----------
    cases : iterable of Case
        All cases; either all or none have a split.
    seed : int
        What decides; equal seeds split equal cases equally, in whatever order they come.
    folds : int or None
        How many folds there are; for cases without splits only.
    fold : int
        Which fold is the test, from 0.

    Raises
    ------
    InputError
        If there are too few cases or groups, or folds are asked for where splits are given.
    """
    cases = tuple(cases)
    given = Counter(case.split for case in cases)
    check_number(FUNCTION, "seed", seed, low=0, integer=True)
    if folds is not None:
        check_number(FUNCTION, "folds", folds, low=2, integer=True)
        check_number(FUNCTION, "fold", fold, low=0, high=folds - 1, integer=True)
        if set(given) != {""}:
            raise fail(FUNCTION, "folds", f"is {folds} for data with its own splits", "None, or data without")
    if not given["train"] and not given[""]:
        raise InputError(f"{FUNCTION}: the data has no training cases; expected some beside {dict(given)}")
    free = sorted((case for case in cases if case.split in ("", "train")), key=lambda case: case.id)
    order = generator(seed, SPLIT)
    units = _units(free)
    shuffled = [units[i] for i in order.permutation(len(units))]
    chosen: dict[str, str] = {}
    missing = [split for split in ("test", "val") if not given[split]]
    for n_cut, split in enumerate(missing):
        if folds and split == "test":
            taken = _fold(shuffled, folds, fold)
        else:
            taken = _cut(shuffled, split, len(missing) - n_cut)
        chosen.update((case.id, split) for unit in taken for case in unit)
        shuffled = [unit for unit in shuffled if unit not in taken]
    return tuple(replace(case, split=chosen.get(case.id, case.split or "train")) for case in cases)


def _units(cases: Sequence[Case]) -> list[Unit]:
    """Return what must stay together: groups, and cases without one alone."""
    if len({case.group for case in cases}) == 1:
        return [(case,) for case in cases]
    together: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        together.setdefault((case.group, "" if case.group else case.id), []).append(case)
    return [tuple(unit) for unit in together.values()]


def _cut(units: Sequence[Unit], split: str, left_over: int) -> list[Unit]:
    """Return the first units that hold about the share of a split, and leave some over for the others."""
    if len(units) <= left_over:
        raise InputError(
            f"{FUNCTION}: {len(units)} training cases or groups are too few to cut a {split} split from; "
            f"expected at least {left_over + 1}"
        )
    wanted = _SHARE * sum(map(len, units))
    taken: list[Unit] = []
    size = 0
    for unit in units[:-left_over]:
        if taken and size + len(unit) / 2 > wanted:
            break
        taken.append(unit)
        size += len(unit)
    return taken


def _fold(units: Sequence[Unit], folds: int, fold: int) -> list[Unit]:
    """Return the units of one of `folds` parts of about equal size."""
    parts: list[list[Unit]] = [[] for _ in range(folds)]
    for unit in sorted(units, key=len, reverse=True):
        min(parts, key=lambda part: sum(map(len, part))).append(unit)
    if not all(part and len(units) - len(part) >= 2 for part in parts):
        came = f"is {folds} for {len(units)} cases or groups"
        raise fail(
            FUNCTION, "folds", came, "one in each fold, and two outside it for training and validation"
        )
    return parts[fold]
