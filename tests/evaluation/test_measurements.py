"""Measurements of several classes, names of losses with options, and values that are undefined."""

import csv
import re

import numpy as np
import pytest

from tests.evaluation.fake_setting import make_setting
from topodl.errors import InputError
from topodl.evaluation.comparison import compare_losses
from topodl.evaluation.figures import box_plots
from topodl.evaluation.loading import load_studies
from topodl.evaluation.loss_names import display_name, loss_key, position
from topodl.evaluation.measurements import read_measurements
from topodl.evaluation.tables import class_tables, plain_tables, result_table

REQUIRED = ("Betti0Error", "Betti1Error", "Dice", "HD95")


def write(path, columns, rows):
    """Write a CSV file with IDs a, b, …."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["ID", *columns])
        writer.writerows([chr(97 + n), *row] for n, row in enumerate(rows))
    return path


def of_classes(*classes, metrics=REQUIRED):
    return [f"{metric}_{name}" for name in classes for metric in metrics]


def test_classes_are_read_from_the_columns(tmp_path):
    columns = of_classes("artery", "left_vein", metrics=(*REQUIRED, "clDice"))
    path = write(tmp_path / "1.csv", [*columns, "Volume_artery", "Dice"], [[*range(10), 77, 78]])
    measured = read_measurements(path)
    assert measured.classes == ("artery", "left_vein")
    assert [metric.name for metric in measured.metrics] == ["Betti0", "Betti1", "Dice", "HD95", "clDice"]
    np.testing.assert_array_equal(measured.values, [[[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (of_classes("a") + of_classes("b")[:3], "has no column HD95_b; expected ID, Betti0Error_a, "),
        ([*of_classes("a", "b"), "clDice_a"], "has no column clDice_b"),
        ([*of_classes("a"), "Dice_a"], "has the column Dice_a twice; expected it once"),
        (["Dice"], "has no column Betti0Error_<class>"),
    ],
)
def test_columns_that_do_not_fit_are_named(tmp_path, columns, message):
    path = write(tmp_path / "1.csv", columns, [[1] * len(columns)])
    with pytest.raises(InputError, match=message):
        read_measurements(path)


def test_values_are_numbers_or_nothing(tmp_path):
    path = write(tmp_path / "1.csv", of_classes("a"), [[1, 2, "", 3], ["nan", 1, 1, 1]])
    assert np.isnan(read_measurements(path).values[[0, 1], 0, [2, 0]]).all()
    write(path, of_classes("a"), [[1, 2, 3, "inf"]])
    with pytest.raises(InputError, match=r"1.csv, line 2 has an infinite value; expected a number"):
        read_measurements(path)
    write(path, of_classes("a"), [[1, 2, 3]])
    with pytest.raises(InputError, match=r"1.csv, line 2 is not a row of numbers"):
        read_measurements(path)


def test_files_of_one_setting_have_the_same_classes_in_any_order(tmp_path):
    folder = tmp_path / "supervised" / "accurate" / "large"
    (tmp_path / "groups.csv").write_text("ID,group\na,indistr\n")
    write(folder / "ce_dice" / "1.csv", of_classes("a", "b"), [range(8)])
    write(folder / "cldice" / "1.csv", of_classes("b", "a"), [range(8)])
    (study,) = load_studies([tmp_path])
    values = study.setting.loss("cldice").values
    np.testing.assert_array_equal(values[0, 0], [[4, 5, 6, 7], [0, 1, 2, 3]])
    write(folder / "warping" / "1.csv", of_classes("a", "c"), [range(8)])
    with pytest.raises(InputError, match=r"warping.1.csv has the classes a, c; expected a, b as in "):
        load_studies([tmp_path])
    write(folder / "warping" / "1.csv", of_classes("a", "b", metrics=(*REQUIRED, "clDice")), [range(10)])
    with pytest.raises(InputError, match=r"has the metrics .*clDice; expected Betti0, Betti1, Dice, HD95"):
        load_studies([tmp_path])


def two_classes(**options):
    """Return a comparison of two losses on 20 images with two classes of different errors."""
    base = np.tile(np.arange(20.0)[:, None] + [[1.0, 11.0]], (3, 1, 1))
    return compare_losses(make_setting(
        {"CEDice": {"Betti0": base}, "clDice": {"Betti0": base - [[0.0, 4.0]]}},
        classes=("artery", "vein"), **options,
    ))  # fmt: skip


def test_the_mean_over_classes_comes_first_and_alone_is_tested():
    result = two_classes()
    assert result_table(result, "ID").caption == "In-distribution, mean over 2 classes (20 images × 3 seeds)"
    first = [row.cells[0] for row in result_table(result, "ID").rows]
    assert [(cell.text.split()[0], cell.marked) for cell in first] == [("15.5", False), ("13.5", True)]
    tables = class_tables(result)
    assert [table.caption for table in tables] == [
        f"In-distribution, {name} (20 images × 3 seeds)" for name in ("artery", "vein")
    ]
    means = [[row.cells[0].text.split()[0] for row in table.rows] for table in tables]
    assert means == [["10.5", "10.5"], ["20.5", "16.5"]]
    assert not any(cell.marked for table in tables for row in table.rows for cell in row.cells)
    assert len(result.tests) == 4
    assert "In-distribution, vein" in plain_tables([result])
    first_figure = box_plots(result, "vein")[0]
    assert first_figure.title == "Betti0 of vein, in-distribution (less is better)"


def test_one_class_has_no_table_of_its_own():
    setting = make_setting({"CEDice": {"Betti0": np.ones((1, 3))}})
    result = compare_losses(setting)
    assert class_tables(result) == []
    assert result_table(result, "ID").caption == "In-distribution (3 images × 1 seed)"


def test_a_class_that_is_absent_counts_for_neither_loss():
    base = np.tile(np.arange(20.0)[:, None] + [[1.0, 11.0]], (1, 1, 1))
    # The second loss has no value where its vein would be worst.
    other = base.copy()
    other[0, :5, 1] = np.nan
    result = compare_losses(
        make_setting({"CEDice": {"Betti0": base}, "clDice": {"Betti0": other}}, classes=("artery", "vein"))
    )
    test = result.tests["clDice", "Betti0", "ID"]
    assert (test.difference, test.p_value, test.marked) == (0.0, 1.0, False)
    assert "Undefined values of Betti0 of vein are left out: CEDice 0 of 20, clDice 5 of 20." in result.notes


def test_images_without_any_value_are_left_out_and_counted():
    base = np.arange(20.0)[None] + 5
    base[0, 3] = np.nan
    result = compare_losses(make_setting({"CEDice": {"Betti0": base}, "clDice": {"Betti0": base - 2}}))
    assert result.tests["clDice", "Betti0", "ID"].difference == pytest.approx(-2)
    assert result.tests["clDice", "Betti0", "ID"].p_value < 1e-3
    assert result.cells["CEDice", "Betti0", "ID"][0] == pytest.approx(np.nanmean(base))
    assert "Undefined values of Betti0 are left out: CEDice 1 of 20, clDice 1 of 20." in result.notes


def test_volumes_have_one_error_more():
    base = np.arange(20.0)[None] + 5
    losses = {"CEDice": {"Betti2": base}, "clDice": {"Betti2": base - 1}}
    result = compare_losses(make_setting(losses, volumes=True))
    assert result.setting.spatial_dims == 3
    assert result.tests["clDice", "Betti2", "ID"].marked
    assert result_table(result, "ID").columns == (
        "Loss",
        "Betti0 ↓",
        "Betti1 ↓",
        "Betti2 ↓",
        "Dice ↑",
        "HD95 ↓",
    )


def test_names_with_options_are_the_same_loss_in_every_spelling():
    spellings = (
        "cldice:iterations=10,radius=2",
        "cldice%3Aiterations=10,radius=2",
        "clDice (iterations=10, radius=2)",
    )
    assert {display_name(name) for name in spellings[:2]} == {spellings[2]}
    assert len({loss_key(name) for name in spellings}) == 1
    assert len({loss_key(f"cldice:weight={value}") for value in ("1", "-1", "0.1", "1e-1")}) == 4
    assert position("cldice:iterations=10") == position("cldice") < position("topograph")
    assert loss_key("cldice") != loss_key(spellings[0])


def test_options_in_files_are_found_and_compared(tmp_path):
    (tmp_path / "groups.csv").write_text("ID,group\na,indistr\n")
    for loss in ("ce_dice", "cldice", "cldice%3Aiterations=10"):
        write(
            tmp_path / "results/supervised/accurate/large" / loss / "1.csv",
            of_classes("mortar"),
            [[1, 1, 1, 1]],
        )
    (tmp_path / "costs.csv").write_text(
        "loss,seed,iterations,seconds_per_iteration,peak_memory_bytes\ncldice:iterations=10,1,5,0.5,\n"
        "topograph,1,5,0.5,\n"
    )
    (study,) = load_studies([tmp_path])
    names = ["CEDice", "clDice", "clDice (iterations=10)"]
    assert [loss.name for loss in study.setting.losses] == names
    assert [cost.loss for cost in study.costs] == names[2:]  # topograph has no results yet
    result = compare_losses(study.setting, baseline="cldice:iterations=10")
    assert result.baseline is study.setting.losses[2]


def test_folds_are_read_from_the_groups_and_from_the_names_of_curves(tmp_path):
    folder = tmp_path / "results" / "supervised" / "accurate" / "large" / "ce_dice"
    write(folder / "1.csv", of_classes("mortar"), [[1, 1, 1, 1]] * 3)
    (tmp_path / "groups.csv").write_text("ID,group\na,indistr\nb,indistr\nc,night\n")
    (study,) = load_studies([tmp_path])
    assert study.setting.folds == ()
    assert [part.tolist() for part in study.setting.trainings_in("ID")] == [[True, True, False]]
    (tmp_path / "groups.csv").write_text("ID,group,fold\na,indistr,0\nb,indistr,1\nc,night,1\n")
    for name in ("1.fold0", "1.fold1", "1.old"):
        path = tmp_path / "curves" / "ce_dice" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("iteration,loss\n1,0.5\n")
    (study,) = load_studies([tmp_path])
    assert study.setting.folds == ("0", "1", "1")
    parts = [part.tolist() for part in study.setting.trainings_in("ID")]
    assert parts == [[True, False, False], [False, True, False]]
    assert [part.tolist() for part in study.setting.trainings_in("OOD")] == [[False, False, True]]
    assert [curve.seed for curve in study.curves] == [1, 1]


def test_names_are_escaped_and_wrapped():
    long = "clDice (iterations=10, include_background=true, weight=0.25, more=*|*)"
    result = compare_losses(make_setting({long: {"Dice": np.ones((1, 2))}}))
    table = result_table(result, "ID")
    assert r"more=\*\|\*) |" in table.markdown()
    lines = table.plain().splitlines()
    assert max(map(len, lines[1:])) < 110
    first_column = " ".join(re.split(" {2,}", line.strip())[0] for line in lines[3:])
    assert first_column == long
    figure = box_plots(result)[0]
    assert "more=*|*" in figure.svg.replace("\n", "")
