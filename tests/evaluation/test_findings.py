"""The paragraph in words: help, harm, nothing, collapse, too few seeds, and its statistics."""

import numpy as np
import pytest

from tests.evaluation.fake_setting import make_setting
from topodl.evaluation.comparison import compare_losses
from topodl.evaluation.findings import plain_report, summary
from topodl.evaluation.loading import Cost, Study

N_IMAGES = 12
BASE = np.arange(10.0, 10.0 + N_IMAGES)  # mean 15.5


def result_of(others, *, n_seeds=3, groups=None, **options):
    """Return the comparison of CE + Dice with losses of given Betti0 errors; all else is the same."""
    losses = {"CEDice": {"Betti0": np.tile(BASE, (n_seeds, 1))}}
    losses |= {name: {"Betti0": np.tile(values, (n_seeds, 1))} for name, values in others.items()}
    setting = make_setting(losses, groups=groups, constant=options.pop("constant", None))
    return compare_losses(setting, **options)


def test_help_is_told_with_amount_p_value_seeds_group_baseline_and_cost():
    result = result_of({"clDice": BASE - 5})
    costs = [Cost("CEDice", 3, 100, 0.1, 0.0), Cost("clDice", 3, 100, 0.25, 0.0)]
    # All 12 images agree: 2 of 4096 swaps are as extreme, times 4 comparisons.
    assert summary(result, costs) == (
        "clDice helped, compared with CEDice: in distribution Betti0 error down by 5 from 15.5 "
        "(32 %, p = 0.002). It takes 2.50 times as long per iteration. "
        "Statistics: two-sided paired permutation tests on 12 images in distribution, averaged over 3 seeds; "
        "p < 0.05, 4 comparisons with Holm's correction."
    )


def test_harm_is_told_and_never_called_help():
    text = summary(result_of({"clDice": BASE + 5}))
    assert text.startswith("Nothing helped: no loss is shown to be better than CEDice in ")
    assert "Betti0 error, Betti1 error, Dice or HD95." in text
    assert (
        "clDice is worse than CEDice: in distribution Betti0 error up by 5 from 15.5 (32 %, p = 0.002" in text
    )
    assert "clDice helped" not in text
    assert "No difference" not in text


def test_nothing_is_said_plainly():
    sign = np.resize([1.0, -1.0], N_IMAGES)
    text = summary(result_of({"clDice": BASE + sign, "Warping": BASE}))
    assert text.startswith("Nothing helped: ")
    assert "No difference could be shown for clDice, Warping." in text
    assert "worse" not in text


def test_a_collapsed_loss_is_named_and_not_praised():
    constant = {"clDice": np.ones((3, N_IMAGES, 1))}
    result = result_of({"clDice": np.zeros(N_IMAGES), "Warping": BASE - 1}, constant=constant)
    text = summary(result)
    assert (
        "Collapsed, and so better nowhere whatever the numbers are: "
        "clDice (predicts foreground everywhere in distribution, in all seeds)." in text
    )
    assert "clDice helped" not in text
    assert "Warping helped" in text
    assert not any(test.marked for key, test in result.tests.items() if key[0] == "clDice")


def test_beating_a_collapsed_baseline_proves_nothing():
    constant = {"CEDice": -np.ones((3, N_IMAGES, 1))}
    result = result_of({"clDice": BASE - 5}, constant=constant)
    text = summary(result)
    assert text.startswith("Nothing can be concluded: the baseline, CEDice, collapsed itself.")
    assert "helped" not in text
    assert not any(test.marked for test in result.tests.values())


@pytest.mark.parametrize(("n_seeds", "warning"), [(1, "One seed is"), (2, "2 seeds are")])
def test_few_seeds_are_warned_of_and_do_not_help(n_seeds, warning):
    text = summary(result_of({"clDice": BASE - 5}, n_seeds=n_seeds))
    assert text.startswith("clDice did better, compared with CEDice: ")
    assert (
        f"{warning} too few to say whether the loss made the difference or the luck of one training" in text
    )
    assert text.endswith("train at least 3.")
    assert "helped" not in text


def test_the_loss_with_the_fewest_seeds_decides_on_the_warning():
    setting = make_setting({
        "CEDice": {"Betti0": np.tile(BASE, (3, 1))}, "clDice": {"Betti0": BASE[None] - 5},
    })  # fmt: skip
    text = summary(compare_losses(setting))
    assert "averaged over 1 to 3 seeds" in text
    assert "One seed is too few" in text


def test_seeds_that_disagree_are_counted():
    betti = np.stack([BASE - 9, BASE - 9, BASE + 3])
    setting = make_setting({"CEDice": {"Betti0": np.tile(BASE, (3, 1))}, "clDice": {"Betti0": betti}})
    assert ", in 2 of 3 seeds)" in summary(compare_losses(setting))


def test_too_few_images_are_said_instead_of_no_effect():
    values = np.tile(BASE[:4], (3, 1))
    setting = make_setting({"CEDice": {"Betti0": values}, "clDice": {"Betti0": values - 5}})
    text = summary(compare_losses(setting))
    assert text.startswith("Nothing can be concluded: the test images are too few for any p < 0.05.")
    assert "Nothing helped" not in text


def test_domains_are_told_apart_and_one_domain_has_its_own_words():
    groups = ("indistr",) * 12 + ("shadows",) * 12
    base = np.tile(np.concatenate([BASE, BASE]), (3, 1))
    better_outside = base - np.repeat([0.0, 4.0], 12)
    losses = {"CEDice": {"Betti0": base}, "clDice": {"Betti0": better_outside}}
    text = summary(compare_losses(make_setting(losses, groups=groups)))
    assert "clDice helped, compared with CEDice: out of distribution Betti0 error down by 4 from 15.5" in text
    assert "on 12 images in distribution and 12 images out of distribution" in text
    elsewhere = summary(compare_losses(make_setting(losses, groups=("a",) * 12 + ("b",) * 12)))
    assert "over all test images Betti0 error down by 2 from 15.5" in elsewhere
    assert "tests on 24 images, averaged over 3 seeds" in elsewhere


def test_one_loss_or_no_baseline_compares_nothing():
    alone = make_setting({"CEDice": {"Betti0": BASE[None]}})
    assert summary(compare_losses(alone)) == "Only CEDice was trained, so there is nothing to compare."
    other = make_setting({"clDice": {"Betti0": BASE[None]}})
    assert summary(compare_losses(other)) == "Nothing is compared, as there is no baseline."


def test_of_many_losses_the_first_three_are_told_in_full():
    text = summary(result_of({f"Loss{n}": BASE - 5 - n for n in range(5)}))
    assert text.count(" helped, compared with CEDice") == 3
    assert "So have Loss3 in Betti0 error; Loss4 in Betti0 error." in text
    worse = summary(result_of({f"Loss{n}": BASE + 5 + n for n in range(4)}))
    assert worse.count(" is worse than CEDice") == 3
    assert "Worse are also Loss3 in Betti0 error." in worse


def test_the_statistics_follow_rule_and_correction():
    text = summary(result_of({"clDice": BASE - 5}, correction="none"))
    assert "p < 0.05, 4 comparisons uncorrected." in text
    text = summary(result_of({"clDice": BASE - 5}, rule="topomortar"))
    assert "one-sided permutation tests on image × seed pairs (12 images in distribution, 3 seeds)" in text
    assert "4 comparisons uncorrected" in text


def test_the_mean_over_classes_is_named():
    values = np.repeat(np.tile(BASE, (3, 1))[..., None], 2, axis=2)
    setting = make_setting(
        {"CEDice": {"Betti0": values}, "clDice": {"Betti0": values - np.array([4.0, 0.0])}},
        classes=("artery", "vein"),
    )
    text = summary(compare_losses(setting))
    assert "Betti0 error down by 2 from 15.5" in text
    assert "averaged over 3 seeds, mean over 2 classes" in text


def test_the_terminal_gets_the_paragraph_too():
    result = result_of({"clDice": BASE - 5})
    text = plain_report([Study(result.setting, {}, [], [])], [result])
    assert "clDice helped, compared with CEDice" in " ".join(text.split())
    assert max(map(len, text.split("\n\n")[-1].splitlines())) <= 110
