"""Intervals of differences: by hand, against each other, and their coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topodl.evaluation.intervals import difference_interval


def interval(values, baseline, groups=None, seed=0):
    groups = groups or ["a"] * values.shape[1]
    return difference_interval(values, baseline, groups, np.random.default_rng(seed))


def test_groups_weigh_alike():
    values, baseline = np.array([[1.0, 1.0, 1.0, 9.0]]), np.zeros((1, 4))
    difference, low, high = interval(values, baseline, ["a", "a", "a", "b"])
    assert (difference, low, high) == (5.0, 5.0, 5.0)  # within a group nothing varies


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(2, 6), st.integers(0, 99))
def test_the_interval_moves_and_turns_with_the_difference(n_seeds, n_images, seed):
    values, baseline = np.random.default_rng(seed).normal(size=(2, n_seeds, n_images))
    difference, low, high = interval(values, baseline)
    assert difference == pytest.approx(values.mean() - baseline.mean())
    assert low <= high
    moved = interval(values + 5.0, baseline)
    assert moved == pytest.approx((difference + 5.0, low + 5.0, high + 5.0))
    turned = interval(-values, -baseline)
    assert turned == pytest.approx((-difference, -high, -low))


def test_undefined_values_are_left_out():
    values = np.array([[1.0, np.nan, 3.0], [1.0, 5.0, 3.0]])
    assert interval(values, np.zeros((2, 3)))[0] == pytest.approx(13.0 / 5)
    assert np.isnan(interval(np.full((2, 3), np.nan), np.zeros((2, 3)))).all()


def test_seeds_that_differ_widen_the_interval():
    images = np.array([0.0, 0.1, 0.2, 0.1])
    alike, apart = np.tile(images, (3, 1)), images + np.array([[-1.0], [0.0], [1.0]])
    baseline = np.tile(images, (3, 1))
    narrow, wide = interval(alike, baseline), interval(apart, baseline)
    assert wide[2] - wide[1] > narrow[2] - narrow[1] + 0.5


def test_most_intervals_hold_the_true_difference():
    generator = np.random.default_rng(1)
    holds = []
    for seed in range(60):
        values, baseline = generator.normal(size=(2, 5, 40))
        _, low, high = interval(values + 0.3, baseline, seed=seed)
        holds.append(low <= 0.3 <= high)
    assert np.mean(holds) > 0.85
