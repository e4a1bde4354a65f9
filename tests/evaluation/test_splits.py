"""Splits: given ones stay, missing ones are cut by the seed, and groups stay together."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from topodl.errors import InputError
from topodl.evaluation.case_types import Case
from topodl.evaluation.splits import assign_splits


def cases_of(*groups, split=""):
    return [
        Case(f"c{i:03d}", (Path(f"{i}.png"),), Path(f"{i}_mask.png"), split, group)
        for i, group in enumerate(groups)
    ]


def sizes(cases):
    return Counter(case.split for case in cases)


some_groups = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=3, max_size=40)
seeds = st.integers(0, 2**32)


@given(st.integers(3, 60), seeds)
def test_a_fifth_is_for_the_test_and_a_fifth_of_the_rest_for_validation(n, seed):
    counts = sizes(assign_splits(cases_of(*[""] * n), seed=seed))
    assert abs(counts["test"] - n / 5) <= 0.5 or counts["test"] == 1
    assert abs(counts["val"] - (n - counts["test"]) / 5) <= 0.5 or counts["val"] == 1
    assert min(counts["train"], counts["val"], counts["test"]) >= 1


@given(some_groups, seeds, st.randoms())
def test_groups_stay_together_whatever_the_order(groups, seed, random):
    cases = cases_of(*groups)
    units = groups.count("") + len(set(groups) - {""})
    if units < 3 and len(set(groups)) > 1:
        with pytest.raises(InputError, match="too few to cut a"):
            assign_splits(cases, seed=seed)
        return
    done = assign_splits(cases, seed=seed)
    assert [replace(case, split="") for case in done] == cases
    if len(set(groups)) > 1:
        for group in set(groups) - {""}:
            assert len({case.split for case in done if case.group == group}) == 1
    assert set(sizes(done)) == {"train", "val", "test"}
    random.shuffle(cases)
    assert {case.id: case.split for case in assign_splits(cases, seed=seed)} == {c.id: c.split for c in done}


@given(some_groups, seeds, st.integers(2, 6))
def test_each_case_is_in_the_test_of_one_fold(groups, seed, folds):
    cases = cases_of(*groups)
    units = len(groups) if len(set(groups)) == 1 else groups.count("") + len(set(groups) - {""})
    if units < max(folds, 3) or (folds == 2 and units < 4):  # of three, two or one are outside a fold
        with pytest.raises(InputError, match=f"folds is {folds} for {units} cases or groups"):
            assign_splits(cases, seed=seed, folds=folds)
        return
    assume(folds > 2 or len(set(groups)) == 1)  # a large group may fill one half alone
    runs = [assign_splits(cases, seed=seed, folds=folds, fold=fold) for fold in range(folds)]
    tested = Counter(case.id for run in runs for case in run if case.split == "test")
    assert tested == Counter(case.id for case in cases)
    for run in runs:
        assert set(sizes(run)) == {"train", "val", "test"}
        for group in set(groups) - {""}:
            assert len(set(groups)) == 1 or len({case.split for case in run if case.group == group}) == 1


def test_folds_are_of_equal_size():
    cases = cases_of(*[""] * 13)
    assert sorted(sizes(assign_splits(cases, seed=0, folds=5, fold=f))["test"] for f in range(5)) == [
        2,
        2,
        3,
        3,
        3,
    ]


def test_other_seeds_split_otherwise():
    cases = cases_of(*[""] * 30)
    assert len({assign_splits(cases, seed=seed) for seed in range(8)}) > 1


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (["train"] * 10 + ["test"] * 2, {"train": 8, "val": 2, "test": 2}),
        (["train"] * 10 + ["val"] * 2, {"train": 8, "val": 2, "test": 2}),
        (["train"] * 10, {"train": 6, "val": 2, "test": 2}),
        (["train", "train", "val"], {"train": 1, "val": 1, "test": 1}),
        (["train", "val", "test"], {"train": 1, "val": 1, "test": 1}),
    ],
)
def test_given_splits_stay_and_missing_ones_come_from_training(splits, expected):
    cases = [
        replace(case, split=split) for case, split in zip(cases_of(*[""] * len(splits)), splits, strict=True)
    ]
    done = assign_splits(cases, seed=1)
    assert sizes(done) == expected
    assert all(new.split == old.split for new, old in zip(done, cases, strict=True) if old.split != "train")


def test_large_groups_leave_room_for_the_other_splits():
    done = assign_splits(cases_of(*["a"] * 20, "b", "c"), seed=3)
    assert set(sizes(done)) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("cases", "options", "message"),
    [
        (
            cases_of("", ""),
            {},
            "2 training cases or groups are too few to cut a test split from; expected at least 3",
        ),
        (cases_of("", split="train"), {}, "1 training cases or groups are too few"),
        (cases_of("", split="test"), {}, "the data has no training cases"),
        (cases_of("", "", "", split="train"), {"folds": 2}, "folds is 2 for data with its own splits"),
        (cases_of(*[""] * 9), {"folds": 1}, "folds is 1; expected an integer of at least 2"),
        (cases_of(*[""] * 9), {"folds": 3, "fold": 3}, r"fold is 3; expected an integer in \[0, 2\]"),
        (cases_of(*[""] * 9), {"seed": -1}, "seed is -1; expected an integer of at least 0"),
    ],
)
def test_what_cannot_be_split(cases, options, message):
    with pytest.raises(InputError, match=message):
        assign_splits(cases, **{"seed": 0, **options})
