"""Covers: which samples lie in which elements, those that are new, and those that are crowded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import mapper as naive
from topodl import InputError
from topodl.mapper import BallCover, IntervalCover, KNNCover, PrecomputedCover

LENS = st.integers(0, 99).map(
    lambda seed: np.random.default_rng(seed).normal(size=(seed % 30 + 1, seed % 2 + 1))
)


def located(cover, lens):
    """Return the samples of each element that `locate` finds."""
    samples, elements = cover.locate(lens)
    return [samples[elements == k].tolist() for k in range(len(cover.index_))]


def sets_of(cover, lens):
    return [each.tolist() for each in cover.fit(lens).sets()]


@given(LENS, st.integers(1, 6), st.sampled_from([0.2, 0.37, 0.6]), st.sampled_from(["margin", "tight"]))
def test_elements_are_those_of_comparing_with_all_limits(lens, n_intervals, overlap, ends):
    cover = IntervalCover(n_intervals, overlap, ends=ends)
    sets = sets_of(cover, lens)
    found = list(zip(map(tuple, cover.index_.tolist()), sets, strict=True))
    expected = list(naive.boxes(lens, n_intervals, overlap, ends).items())
    if ends == "tight":  # of elements with equal samples the first counts
        expected = [
            (k, own) for i, (k, own) in enumerate(expected) if own not in [o for _, o in expected[:i]]
        ]
    assert found == expected


@given(
    LENS,
    st.integers(1, 6),
    st.sampled_from([0.0, 0.3, 0.7]),
    st.sampled_from(["uniform", "balanced", "bins"]),
    st.sampled_from(["margin", "tight"]),
)
def test_every_sample_lies_somewhere_and_is_found_again(lens, n_intervals, overlap, kind, ends):
    cover = IntervalCover(n_intervals, overlap, kind, ends)
    sets = sets_of(cover, lens)
    assert set().union(*sets) == set(range(len(lens)))
    assert all(sets)
    assert located(cover, lens) == sets
    if kind == "bins":
        assert sum(map(len, sets)) == len(lens)


def test_the_two_families_by_hand():
    lens = np.linspace(0, 12, 13)[:, None]
    margin, tight = IntervalCover(3, 0.5, ends="margin"), IntervalCover(3, 0.5, ends="tight")
    # cells of length 4 become intervals of length 8 around 2, 6, 10
    assert sets_of(margin, lens) == [[*range(7)], [*range(2, 11)], [*range(6, 13)]]
    np.testing.assert_allclose(margin.intervals_[0], [[-np.inf, 6], [2, 10], [6, np.inf]])
    # three intervals of length 6 that begin at 0, 3, 6, without their ends
    assert sets_of(tight, lens) == [[*range(6)], [*range(4, 9)], [*range(7, 13)]]
    np.testing.assert_allclose(tight.intervals_[0], [[-np.inf, 6], [3, 9], [6, np.inf]])


def test_balanced_intervals_hold_as_many_distinct_values():
    lens = np.array([0.0, 0.0, 1.0, 10.0, 100.0, 1000.0, 10000.0])[:, None]
    cover = IntervalCover(3, 0.0, "balanced")
    assert sets_of(cover, lens) == [[0, 1, 2], [3, 4], [5, 6]]
    assert located(cover, np.array([[-5.0], [50.0], [1e9]])) == [[0], [1], [2]]


def test_bins_are_half_open_and_the_last_is_closed():
    assert sets_of(IntervalCover(2, kind="bins"), np.array([[0.0], [1.0], [2.0]])) == [[0], [1, 2]]


def test_axes_have_settings_of_their_own_and_constant_ones_one_interval():
    lens = np.stack([np.linspace(0, 1, 9), np.ones(9)], 1)
    cover = IntervalCover([4, 3], [0.1, 0.2])
    cover.fit(lens)
    assert [len(limits) for limits in cover.intervals_] == [4, 1]
    assert cover.index_[:, 1].tolist() == [0] * 4


def test_new_values_beyond_the_range_lie_in_the_outer_intervals():
    cover = IntervalCover(3, 0.2)
    cover.fit(np.linspace(0, 1, 20)[:, None])
    assert located(cover, np.array([[-7.0], [7.0]])) == [[0], [], [1]]


@given(LENS, st.integers(2, 6), st.sampled_from([0.0, 0.3, 0.9]), st.sampled_from(["uniform", "balanced"]))
def test_crowded_elements_are_split(lens, max_points, overlap, kind):
    cover = IntervalCover(2, overlap, kind, max_points=max_points)
    sets = sets_of(cover, lens)
    assert max(map(len, sets)) <= max_points
    assert set().union(*sets) == set(range(len(lens)))
    assert located(cover, lens) == sets
    assert len(cover.index_) == len(sets)


def test_equal_values_cannot_be_split():
    cover = IntervalCover(1, max_points=2)
    assert sets_of(cover, np.array([[0.0], [1.0], [1.0], [1.0]])) == [[0], [1, 2, 3]]


@pytest.mark.parametrize("cover", [BallCover(0.7), KNNCover(3)])
@given(LENS)
def test_covers_by_landmarks_hold_every_sample(cover, lens):
    sets = sets_of(cover, lens)
    assert set().union(*sets) == set(range(len(lens)))
    assert all(landmark in own for landmark, own in zip(cover.landmarks_, sets, strict=True))
    for again, own in zip(located(cover, lens), sets, strict=True):
        assert set(own) <= set(again)
    distances = np.linalg.norm(lens[:, None] - lens[None], axis=-1)
    by_distances = type(cover)(*cover.get_params().values())
    assert [each.tolist() for each in by_distances.fit(distances, precomputed=True).sets()] == sets
    for again, own in zip(located(by_distances, distances), sets, strict=True):
        assert set(own) <= set(again)


def test_balls_are_closed():
    assert sets_of(BallCover(1.0), np.array([[0.0], [1.0], [1.5], [2.0]])) == [[0, 1], [1, 2, 3]]


def test_neighbours_of_equal_samples_hold_the_sample_itself():
    cover = KNNCover(1)
    sets = sets_of(cover, np.zeros((4, 1)))
    assert all(landmark in own for landmark, own in zip(cover.landmarks_, sets, strict=True))
    assert set().union(*sets) == {0, 1, 2, 3}


def test_given_sets():
    cover = PrecomputedCover([{3, 1}, [], (0, 0)])
    assert sets_of(cover, np.zeros((4, 1))) == [[1, 3], [], [0]]
    with pytest.raises(InputError, match="X has new samples"):
        cover.locate(np.zeros((4, 1)))


@pytest.mark.parametrize(
    ("cover", "message"),
    [
        (IntervalCover(0), "n_intervals is 0; expected an integer of at least 1"),
        (IntervalCover([2, 3]), r"n_intervals is \[2, 3\]; expected a number, or 1 of them"),
        (IntervalCover(2, 1.0), "overlap is 1.0; expected a number below 1"),
        (IntervalCover(2, -0.1), "overlap is -0.1; expected a number of at least 0"),
        (IntervalCover(kind="cubes"), "kind is 'cubes'; expected one of 'uniform', 'balanced', 'bins'"),
        (IntervalCover(ends="open"), "ends is 'open'; expected one of 'margin', 'tight'"),
        (IntervalCover(max_points=0), "max_points is 0"),
        (IntervalCover(kind="bins", max_points=3), "max_points is 3 with kind='bins'"),
        (BallCover(-1.0), "radius is -1.0"),
        (KNNCover(0), "n_neighbors is 0"),
        (PrecomputedCover([[9]]), r"sets\[0\] has 9 … 9; expected samples from 0 to 3"),
    ],
)
def test_settings_that_are_unusable_are_named(cover, message):
    with pytest.raises(InputError, match=message):
        cover.fit(np.arange(4.0)[:, None])


def test_too_many_cells_and_distances_as_lens_are_named():
    with pytest.raises(InputError, match=r"expected fewer than 2\*\*62 elements in all"):
        IntervalCover(1000).fit(np.random.default_rng(0).random((2, 7)))
    with pytest.raises(InputError, match="the lens values are distances"):
        IntervalCover().fit(np.zeros((3, 3)), precomputed=True)
