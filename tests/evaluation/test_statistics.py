"""Means, permutation tests and corrections against scipy, exhaustive enumeration and cases done by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from topodl.errors import InputError
from topodl.evaluation.statistics import (
    adjust_p_values,
    group_mean_std,
    group_weights,
    paired_permutation_test,
)


def test_one_group_gives_the_plain_mean_and_deviation_of_all_rows():
    values = np.random.default_rng(0).normal(size=(3, 7))
    mean, std = group_mean_std(values, ["indistr"] * 7)
    assert mean == pytest.approx(values.mean())
    assert std == pytest.approx(values.ravel().std(ddof=1))


def test_groups_count_alike_however_large_they_are():
    values = np.array([[0.0, 2.0, 4.0, 10.0], [0.0, 2.0, 4.0, 14.0]])
    mean, std = group_mean_std(values, ["a", "a", "a", "b"])
    assert mean == pytest.approx((2 + 12) / 2)
    assert std == pytest.approx((np.std([0, 2, 4, 0, 2, 4], ddof=1) + np.std([10, 14], ddof=1)) / 2)


def test_undefined_values_are_left_out_of_means():
    values = np.array([[1.0, np.nan, 4.0]])
    assert group_mean_std(values, ["a", "a", "a"]) == pytest.approx((2.5, np.std([1, 4], ddof=1)))
    assert np.isnan(group_mean_std(np.array([[np.nan, 1.0]]), ["a", "b"])[0])
    assert np.isnan(group_mean_std(np.array([[1.0]]), ["a"])[1])


def test_group_weights_leave_out_undefined_rows_and_empty_groups():
    differences = np.array([[1.0], [np.nan], [3.0], [np.nan]])
    np.testing.assert_allclose(group_weights(differences, ["a", "a", "b", "c"]).ravel(), [0.5, 0.0, 0.5, 0.0])


@pytest.mark.parametrize("n", [2, 5, 12])
def test_few_pairs_are_tested_exactly_as_scipy_does(n):
    generator = np.random.default_rng(n)
    first, second = generator.normal(0.3, 1, (2, n))
    if n == 5:  # integers, hence ties
        first, second = np.round(first * 2), np.round(second * 2)
    ours = paired_permutation_test((first - second)[:, None], generator=generator)
    theirs = stats.permutation_test(
        (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    # scipy doubles the smaller tail; for a mean of differences both tails are the same.
    assert ours[0] == pytest.approx(theirs.pvalue)


def test_many_pairs_agree_with_the_normal_limit():
    generator = np.random.default_rng(1)
    differences = generator.normal([0.0, 0.1, 0.2], 1, (400, 3))
    p_values = paired_permutation_test(differences, generator=generator, n_permutations=20_000)
    z = differences.mean(0) / np.sqrt((differences**2).mean(0) / 400)
    np.testing.assert_allclose(p_values, 2 * stats.norm.sf(np.abs(z)), atol=0.015)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_study_rule_is_one_strict_tail_of_the_absolute_difference(sign):
    differences = sign * np.array([3.0, 1.0, 1.0, -1.0, 2.0, 0.0, 1.0, 0.0])
    swapped = [np.mean(np.array(s) * differences) for s in itertools.product([1, -1], repeat=8)]
    expected = np.mean(np.array(swapped) > abs(differences.mean()))
    p_value = paired_permutation_test(
        differences[:, None],
        alternative="topomortar",
        generator=np.random.default_rng(0),
        n_permutations=200_000,
    )
    assert p_value[0] == pytest.approx(expected, abs=0.004)


def test_the_study_rule_may_give_zero_and_the_default_never_does():
    differences = np.full((40, 1), 2.0)
    generator = np.random.default_rng(0)
    assert paired_permutation_test(differences, alternative="topomortar", generator=generator)[0] == 0
    assert paired_permutation_test(differences, generator=generator, n_permutations=999)[0] == 1 / 1000


def test_columns_without_a_difference_are_not_significant():
    assert paired_permutation_test(np.zeros((30, 2)), generator=np.random.default_rng(0)).tolist() == [1, 1]


def test_weights_give_small_groups_their_say():
    # Nine images of one group better by 1, one image of another worse by 9: alike as groups, not as images.
    differences = np.array([-1.0] * 9 + [9.0])[:, None]
    weights = group_weights(differences, ["a"] * 9 + ["b"])
    assert (weights * differences).sum() == pytest.approx(4.0)
    exact = paired_permutation_test(differences, weights=weights, generator=np.random.default_rng(0))
    sums = [abs(np.dot(s, (weights * differences).ravel())) for s in itertools.product([1, -1], repeat=10)]
    assert exact[0] == pytest.approx(np.mean(np.array(sums) >= 4.0 - 1e-9))


def test_leaving_out_undefined_pairs_equals_dropping_them():
    generator = np.random.default_rng(3)
    differences = generator.normal(0.4, 1, (12, 1))
    holes = np.insert(differences, [2, 5], np.nan, axis=0)
    with_holes = paired_permutation_test(
        holes, generator=np.random.default_rng(0), nan="omit", n_permutations=1 << 14
    )
    without = paired_permutation_test(differences, generator=np.random.default_rng(0), n_permutations=1 << 14)
    assert with_holes[0] == pytest.approx(without[0])


def test_undefined_differences_are_an_error_unless_told_otherwise():
    differences = np.array([[1.0, 2.0], [0.5, np.nan]])
    with pytest.raises(InputError, match=r"differences\[1, 1\] is nan; expected finite values"):
        paired_permutation_test(differences, generator=np.random.default_rng(0))
    with pytest.raises(InputError, match=r"differences\[0, 0\] is inf; expected finite values or NaN"):
        paired_permutation_test(np.array([[np.inf]]), generator=np.random.default_rng(0), nan="omit")
    with pytest.raises(InputError, match=r"shape \(0, 2\); expected \(pairs, comparisons\)"):
        paired_permutation_test(np.zeros((0, 2)), generator=np.random.default_rng(0))


def test_the_same_generator_state_gives_the_same_p_values():
    differences = np.random.default_rng(0).normal(0.1, 1, (300, 4))
    first, second, other = (
        paired_permutation_test(differences, generator=np.random.default_rng(seed)) for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    np.testing.assert_allclose(first, other, atol=0.03)


def test_swaps_in_many_chunks_are_as_many_as_asked_for(monkeypatch):
    monkeypatch.setattr("topodl.evaluation.statistics._CHUNK", 64)
    differences = np.random.default_rng(0).normal(0.2, 1, (20, 2))
    exact = paired_permutation_test(differences, generator=np.random.default_rng(0), n_permutations=1 << 20)
    sampled = paired_permutation_test(differences, generator=np.random.default_rng(0), n_permutations=10_000)
    np.testing.assert_allclose(sampled, exact, atol=0.02)
    assert (sampled * 10_001) % 1 == pytest.approx(0, abs=1e-6)


def test_holm_by_hand():
    p_values = np.array([0.04, 0.01, 0.02, 0.6])
    np.testing.assert_allclose(adjust_p_values(p_values), [0.08, 0.04, 0.06, 0.6])
    np.testing.assert_allclose(adjust_p_values(p_values, "bonferroni"), [0.16, 0.04, 0.08, 1.0])
    np.testing.assert_array_equal(adjust_p_values(p_values, "none"), p_values)
    assert adjust_p_values(np.empty(0)).size == 0
    with pytest.raises(InputError, match="correction is 'fdr'; expected 'holm', 'bonferroni' or 'none'"):
        adjust_p_values(p_values, "fdr")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order(values):
    raw = np.array(values)
    holm = adjust_p_values(raw)
    assert (holm >= raw).all()
    assert (holm <= adjust_p_values(raw, "bonferroni") + 1e-12).all()
    order = np.argsort(raw, kind="stable")
    assert (np.diff(holm[order]) >= 0).all()


def test_false_marks_of_a_whole_family_stay_below_the_level():
    generator = np.random.default_rng(11)
    false_marks = 0
    for _ in range(200):
        differences = generator.standard_exponential((12, 8)) * generator.choice([-1, 1], (12, 8))
        p_values = paired_permutation_test(differences, generator=generator, n_permutations=1 << 12)
        false_marks += (adjust_p_values(p_values) < 0.05).any()
    assert false_marks <= 18  # 10 expected at most; beyond 18 has a chance of 0.5 %
