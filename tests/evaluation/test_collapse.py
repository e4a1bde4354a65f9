"""Collapsed losses: constant predictions and a Dice far below the baseline's are found and never marked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.evaluation.fake_run import save_mask
from tests.evaluation.fake_setting import make_setting
from topodl.errors import InputError
from topodl.evaluation.collapse import find_collapsed
from topodl.evaluation.comparison import compare_losses
from topodl.evaluation.constant import EMPTY, FULL, constant_kind, constant_predictions
from topodl.evaluation.figures import box_plots
from topodl.evaluation.loading import load_studies
from topodl.evaluation.measurements import METRICS
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.tables import group_table, p_value_table, plain_tables, result_table

DICE = {"CEDice": 0.8}


def setting_of(*, seeds=3, images=20, groups=None, constant=None, folds=(), **dice):
    """Return a setting whose losses have the given Dice (number, or array (seeds, images)) and few errors."""
    shape = (seeds, images)
    losses = {
        name: {
            "Dice": np.broadcast_to(value, shape),
            "Betti0": np.full(shape, 9.0 if name == "CEDice" else 1.0),
        }
        for name, value in (DICE | dice).items()
    }
    return make_setting(losses, groups=groups, constant=constant, folds=folds)


def collapsed_of(setting):
    return find_collapsed(setting, setting.loss("CEDice"))


masks = hnp.arrays(np.uint8, st.tuples(st.integers(2, 6), st.integers(2, 6)), elements=st.integers(0, 1))


@given(masks)
def test_a_label_is_never_a_constant_prediction_of_itself(label):
    kind = constant_kind(label, label)
    assert np.isnan(kind) if label.min() == label.max() else kind == 0


@given(masks)
def test_constant_masks_are_found_wherever_the_label_is_not_constant(label):
    if label.min() < label.max():
        assert constant_kind(np.zeros_like(label), label) == EMPTY
        assert constant_kind(np.ones_like(label), label) == FULL


def test_stray_pixels_do_not_hide_a_constant_prediction_and_small_things_are_none():
    label = np.zeros((100, 100), np.uint8)
    label[:50] = 1
    nearly_empty = np.zeros_like(label)
    nearly_empty[0, :49] = 1  # 49 of 5000
    assert constant_kind(nearly_empty, label) == EMPTY
    nearly_empty[0, 49] = 1  # one hundredth
    assert constant_kind(nearly_empty, label) == 0
    assert constant_kind(1 - nearly_empty, label) == 0
    lesion = np.zeros_like(label)
    lesion[3, 3] = 1  # a ten-thousandth of the picture, and all of what there is
    assert constant_kind(lesion, lesion) == 0


def test_ignored_pixels_do_not_count():
    label = np.array([[0, 1, 255, 255]], np.uint8)
    assert constant_kind(np.array([[0, 0, 1, 1]], np.uint8), label) == EMPTY
    assert np.isnan(constant_kind(np.array([[0, 0]], np.uint8), np.array([[0, 255]], np.uint8)))


def test_stored_predictions_are_looked_through(tmp_path):
    folder = RunFolder(tmp_path)
    ids = [f"i{n}" for n in range(60)]
    label = np.eye(8, dtype=bool)
    for image_id in ids:
        save_mask(folder.label_image(image_id), label)
        save_mask(folder.prediction("full", 1, image_id), np.ones_like(label))
        save_mask(folder.prediction("good", 1, image_id), label)
    trainings = [("full", 1), ("good", 1), ("absent", 1)]
    kinds = constant_predictions(folder, trainings, ids, ["a"] * 50 + ["b"] * 10, 1, 2)
    assert kinds.shape == (3, 60, 1)
    looked_at = ~np.isnan(kinds[0, :, 0])
    assert looked_at[:50].sum() == 12  # evenly from each group
    assert looked_at[50:].sum() == 10
    assert (kinds[0, looked_at] == FULL).all()
    assert (kinds[1, looked_at] == 0).all()
    assert np.isnan(kinds[2]).all()


def test_a_prediction_of_another_size_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    save_mask(folder.label_image("a"), np.eye(8, dtype=bool))
    save_mask(folder.prediction("cldice", 1, "a"), np.eye(4, dtype=bool))
    with pytest.raises(InputError, match=r"a.png has 4 × 4 pixels; expected 8 × 8 as its label has"):
        constant_predictions(folder, [("cldice", 1)], ["a"], ["g"], 1, 2)


def test_a_dice_far_below_the_baselines_is_a_collapse():
    assert collapsed_of(setting_of(clDice=0.61)) == {}  # 0.6 is three quarters
    (reason,) = collapsed_of(setting_of(clDice=0.59)).values()
    assert reason == "Dice is 0.59 in distribution, less than 75 % of CEDice's 0.80, in all seeds"


def test_one_collapsed_seed_is_enough():
    dice = np.full((3, 20), 0.8)
    dice[1] = 0.2
    (reason,) = collapsed_of(setting_of(clDice=dice)).values()
    assert reason.startswith("Dice is 0.20 in distribution")
    assert reason.endswith("in 1 of 3 seeds")


def test_a_baseline_is_judged_by_the_median_of_its_own_seeds():
    dice = np.full((3, 20), 0.8)
    dice[1] = 0.2
    assert list(collapsed_of(setting_of(CEDice=dice, clDice=0.8))) == ["CEDice"]
    assert list(collapsed_of(setting_of(CEDice=0.0, clDice=0.0))) == ["CEDice", "clDice"]


def test_one_collapsed_fold_is_enough():
    folds = ("0",) * 16 + ("1",) * 4
    dice = np.full((3, 20), 0.8)
    dice[2, 16:] = 0.3  # 0.7 of 0.8 over all images of that seed
    setting = setting_of(clDice=dice, folds=folds)
    assert collapsed_of(setting_of(clDice=dice)) == {}
    (reason,) = collapsed_of(setting).values()
    assert reason == "Dice is 0.30 in distribution, less than 75 % of CEDice's 0.80, in 1 of 6 trainings"
    kinds = np.zeros((3, 20, 1))
    kinds[:, 16:] = EMPTY
    setting = setting_of(clDice=0.8, folds=folds, constant={"clDice": kinds})
    assert collapsed_of(setting) == {"clDice": "predicts no foreground in distribution, in 3 of 6 trainings"}


def test_a_fold_that_is_hard_for_all_is_no_collapse():
    folds = ("0",) * 16 + ("1",) * 4
    dice = np.where(np.arange(20) < 16, 0.8, 0.3) * np.ones((3, 1))
    assert collapsed_of(setting_of(CEDice=dice, clDice=dice * 0.9, folds=folds)) == {}


def test_a_collapse_out_of_distribution_counts():
    groups = ("indistr",) * 10 + ("shadows",) * 10
    dice = np.repeat([[0.8, 0.1]], 10, axis=1).repeat(3, axis=0)
    (reason,) = collapsed_of(setting_of(clDice=dice, groups=groups)).values()
    assert reason.startswith("Dice is 0.10 out of distribution")


@pytest.mark.parametrize(("share", "collapsed"), [(0.85, False), (0.9, True), (1.0, True)])
def test_constant_predictions_in_nearly_all_images_are_a_collapse(share, collapsed):
    kinds = np.zeros((3, 20, 1))
    kinds[0, : round(share * 20)] = FULL
    found = collapsed_of(setting_of(clDice=0.79, constant={"clDice": kinds}))
    expected = {"clDice": "predicts foreground everywhere in distribution, in 1 of 3 seeds"}
    assert found == (expected if collapsed else {})


def test_images_that_were_not_looked_at_do_not_count():
    kinds = np.full((3, 20, 1), np.nan)
    kinds[:, ::4] = EMPTY
    found = collapsed_of(setting_of(clDice=0.8, constant={"clDice": kinds}))
    assert found == {"clDice": "predicts no foreground in distribution, in all seeds"}


def test_a_class_that_is_never_predicted_is_a_collapse():
    constant = np.zeros((3, 20, 2))
    constant[..., 1] = EMPTY
    setting = two_classes(0.8, 0.8, constant={"clDice": constant})
    assert collapsed_of(setting) == {"clDice": "predicts no vein in distribution, in all seeds"}


def test_one_class_may_fall_further_than_the_mean():
    assert collapsed_of(two_classes(0.85, 0.42)) == {}
    (reason,) = collapsed_of(two_classes(0.8, 0.36)).values()
    assert reason.startswith("Dice is 0.58 in distribution, less than 75 %")
    (reason,) = collapsed_of(two_classes(0.96, 0.36)).values()
    assert reason == "Dice of vein is 0.36 in distribution, less than 50 % of CEDice's 0.80, in all seeds"


def two_classes(artery, vein, **options):
    """Return a setting with a Dice of 0.8 in two classes, and a second loss with the given ones."""
    given = np.tile([artery, vein], (3, 20, 1))
    losses = {"CEDice": {"Dice": np.full((3, 20, 2), 0.8)}, "clDice": {"Dice": given}}
    return make_setting(losses, classes=("artery", "vein"), **options)


def test_undefined_dice_decides_nothing():
    dice = np.full((3, 20), np.nan)
    assert collapsed_of(setting_of(clDice=dice)) == {}
    assert collapsed_of(setting_of(CEDice=dice, clDice=0.8)) == {}


def test_without_a_baseline_only_what_needs_none_is_found():
    setting = make_setting(
        {"clDice": {"Dice": np.full((1, 20), 0.3)}, "Warping": {"Dice": np.zeros((1, 20))}}
    )
    assert find_collapsed(setting, None) == {"Warping": "Dice is 0.00 in distribution"}


def test_a_collapsed_loss_is_marked_as_such_in_every_table_and_is_best_in_none():
    groups = ("indistr",) * 10 + ("shadows",) * 10
    constant = {"Paint": np.full((3, 20, 1), FULL)}
    setting = setting_of(Paint=0.79, clDice=0.81, groups=groups, constant=constant)
    result = compare_losses(setting)
    assert list(result.collapsed) == ["Paint"]
    tests = {loss: result.tests[loss, "Betti0", "ID"] for loss in ("Paint", "clDice")}
    assert tests["Paint"].p_adjusted == tests["clDice"].p_adjusted < 0.05
    assert tests["clDice"].marked
    assert not tests["Paint"].marked
    betti0 = METRICS[0]
    for table in (result_table(result, "ID"), result_table(result, "OOD", tested=False),
                  group_table(result, betti0), p_value_table(result, "ID")):  # fmt: skip
        (row,) = (row for row in table.rows if row.loss == "Paint")
        assert row.role == "collapsed"
        assert not any(cell.marked or cell.shade is not None for cell in row.cells)
        assert "| Paint (collapsed) |" in table.markdown()
        assert "Paint (collapsed)" in table.plain()
    # The others are shaded as if it were not there.
    assert [row.cells[0].shade for row in group_table(result, betti0).rows if row.loss != "Paint"] == [0, 1]
    assert "Paint collapsed: predicts foreground everywhere in distribution, in all seeds." in plain_tables(
        [result]
    )
    assert all("Paint (collapsed)" in figure.alternative for figure in box_plots(result))


def test_no_training_of_the_published_study_collapsed(shared):
    for study in load_studies([shared / "data" / "topomortar" / "results"]):
        assert find_collapsed(study.setting, study.setting.loss("CEDice")) == {}
