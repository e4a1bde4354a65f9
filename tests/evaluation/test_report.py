"""The report of a whole run folder, of CSV files alone, and of folders that cannot be used."""

import os
import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.evaluation.fake_run import make_run, save_mask, write_measurements
from tests.html_page import Page
from topodl.cli import main
from topodl.errors import InputError
from topodl.evaluation import build_report
from topodl.evaluation.error_pictures import ERROR_STYLES, Errors, count_errors, draw_overlay
from topodl.evaluation.figures import box_plots, learning_curves
from topodl.evaluation.loading import Curve, load_studies
from topodl.evaluation.overlays import choose_examples, load_examples
from topodl.evaluation.run_folder import RunFolder, read_rows, write_rows
from topodl.metrics import TopologyError


def huge_picture() -> bytes:
    """Return a small PNG file that says it has 30,000 × 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html(run_folder) -> str:
    return build_report([run_folder.root]).read_text(encoding="utf-8")


@pytest.fixture
def copied(run_folder, tmp_path) -> RunFolder:
    """Return a copy of the run folder that a test may damage."""
    shutil.copytree(run_folder.root, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    folder.report_html.unlink(missing_ok=True)
    folder.results_markdown.unlink(missing_ok=True)
    return folder


def test_the_report_has_every_part(html):
    text = " ".join(Page(html).text)
    for part in (
        "What helped", "In-distribution (2 images × 2 seeds)", "Out-of-distribution (12 images × 2 seeds)",
        "Marked: better than CEDice, p < 0.05 (two-sided paired permutation test, images as units",
        "Holm's correction for 16 comparisons", "Measurements image by image", "By group of test images",
        "p-values", "Training loss", "Validation: Dice", "Validation: Betti0 error", "Seconds per iteration",
        "Peak memory", "400 MiB", "2.82×", "Where the losses differ most", "broken", "merged", "missing",
        "spurious", "What was run", "image_size",
    ):  # fmt: skip
        assert part in text, part
    assert "Left out" not in text


def test_the_report_is_one_file_that_needs_nothing_else(html):
    page = Page(html)
    assert not page.all("script")
    assert not page.all("link")
    assert not re.search(r"https?://|url\((?!#)|@import", html)
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/"))


def test_the_report_is_accessible(html):
    page = Page(html)
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("meta")[1]["name"] == "viewport"
    images = page.all("img")
    assert len(images) == 4 * (2 + 3 * 2)
    assert all(len(image["alt"] or "") > 10 for image in images)
    figures = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(figures) == 8 + 3
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in figures)
    assert all("scope" in th for th in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    referred = set(re.findall(r'(?:url\(|href=")#([\w-]+)', html))
    assert referred <= set(ids)
    assert "prefers-color-scheme: dark" in html
    assert not re.search(r"#0[1-4][0-9a-f]{4}\b", html)  # no placeholder colour is left


def test_the_tables_of_both_files_agree(run_folder, html):
    markdown = run_folder.results_markdown.read_text(encoding="utf-8")
    cells = re.findall(r"-?[\d.]+ ± [\d.]+", markdown)
    assert len(cells) == 2 * 3 * 7
    assert set(cells) == set(re.findall(r"-?[\d.]+ ± [\d.]+", html))
    bold = re.findall(r"\*\*(-?[\d.]+ ± [\d.]+)\*\*", markdown)
    marked = re.findall(r'class="better">([\d.]+ ± [\d.]+)<', html)
    assert bold == marked


@pytest.mark.usefixtures("html")
def test_the_cells_are_the_means_of_the_files(run_folder):
    group = {row["ID"]: row["group"] for row in read_rows(run_folder.groups)}
    values = []
    for path in sorted((run_folder.results / "supervised/accurate/large/cldice").iterdir()):
        rows = [row for row in read_rows(path) if group[row["ID"]] == "indistr"]
        values += [float(row["Dice_mortar"]) for row in rows]
    expected = f"{np.round(np.mean(values), 2)} ± {np.round(np.std(values, ddof=1), 2)}"
    row = re.search(r"\| clDice \|.*", run_folder.results_markdown.read_text(encoding="utf-8"))
    assert row is not None
    assert expected in row[0]


def test_the_same_files_and_seed_give_the_same_report(run_folder, html, tmp_path):
    again = build_report([run_folder.root], output=tmp_path / "again")
    assert again.read_text(encoding="utf-8") == html


def test_csv_files_alone_are_enough(copied, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(copied.results, bare / "results")
    shutil.copy(copied.groups, bare / "groups.csv")
    path = build_report([bare])
    assert path == bare / "report.html"
    text = " ".join(Page(path.read_text(encoding="utf-8")).text)
    assert (
        "Left out, as there are no files for it: learning curves (curves/), cost (costs.csv), pictures"
        in text
    )
    assert "Where the losses differ most" not in text
    assert "Left out" in (bare / "results.md").read_text(encoding="utf-8")


def test_one_loss_in_one_domain_is_reported_without_tests(copied):
    for loss in ("ce_dice", "skeleton_recall"):
        shutil.rmtree(copied.results / "supervised/accurate/large" / loss)
    ids = [path.stem for path in copied.label_image("x").parent.iterdir()]
    copied.groups.write_text("ID,group\n" + "".join(f"{i},indistr\n" for i in ids))
    text = build_report([copied.root]).read_text(encoding="utf-8")
    assert "No loss named CEDice here, so nothing is tested" in text
    assert "There are no out-of-distribution test images." in text


def test_losses_run_apart_are_shown_together(copied, tmp_path):
    other = RunFolder(tmp_path / "other")
    for part in ("results/supervised/accurate/large", "predictions", "curves"):
        (other.root / part).mkdir(parents=True)
        shutil.move(copied.root / part / "cldice", other.root / part / "cldice")
    shutil.copy(copied.groups, other.groups)
    shutil.copytree(copied.root / "labels", other.root / "labels")
    report = build_report([copied.root, other.root], output=tmp_path / "both")
    page = Page(report.read_text(encoding="utf-8"))
    assert len(page.all("img")) == 4 * (2 + 3 * 2)
    assert [h2.get("id") for h2 in page.all("h2")] == [None, "title-1"]


def test_examples_are_the_images_on_which_losses_differ_most(run_folder):
    (study,) = load_studies([run_folder.root])
    setting = study.setting
    ids = list(setting.image_ids)
    chosen = choose_examples(setting, 1, ids, count=len(ids))
    assert sorted(chosen) == sorted(ids)
    betti = [metric for metric in setting.metrics if metric.name in ("Betti0", "Betti1")]
    errors = np.stack([
        sum(setting.values(loss, metric)[0] for metric in betti) for loss in setting.losses
    ])  # fmt: skip
    score = dict(zip(ids, np.ptp(np.log1p(errors), axis=0), strict=True))
    group = dict(zip(ids, setting.groups, strict=True))
    assert chosen[0] == min(ids, key=lambda i: (-score[i], i))
    assert len({group[i] for i in chosen[:7]}) == 7  # one of each group first
    for image_id in chosen[:7]:
        assert score[image_id] == max(score[i] for i in ids if group[i] == group[image_id])
    assert choose_examples(setting, 1, ids[:2], count=4) == sorted(ids[:2], key=lambda i: (-score[i], i))


def test_the_styles_are_the_classes_of_errors():
    assert [style.name for style in ERROR_STYLES] == [error.name.lower() for error in TopologyError if error]
    assert [int(error) for error in TopologyError if error] == [1, 2, 3, 4]


def test_an_overlay_shows_each_error_in_its_colour():
    label = np.zeros((64, 64), bool)
    label[20:24] = True
    prediction = label.copy()
    prediction[:, 40:44] = False
    errors = np.where(label & ~prediction, 1, 0)
    errors[50:53, 10:13] = 4
    picture = np.full((64, 64, 3), 200, np.uint8)
    image = np.asarray(draw_overlay(picture, Errors(prediction & label, prediction ^ label, errors)))
    assert image.shape == (512, 512, 3)
    assert tuple(image[21 * 8 + 4, 41 * 8 + 4]) == tuple(bytes.fromhex(ERROR_STYLES[0].color[1:]))
    assert tuple(image[51 * 8 + 4, 11 * 8 + 4]) == tuple(bytes.fromhex(ERROR_STYLES[3].color[1:]))
    assert image[21 * 8 + 4, 10 * 8].min() > 140  # right: light
    assert image[5, 5].max() < 100  # background: dimmed
    ring = (image == tuple(bytes.fromhex(ERROR_STYLES[0].color[1:]))).all(-1)
    rows, columns = np.nonzero(ring)
    assert columns.max() > 44 * 8 + 3  # the circle goes round the gap
    assert rows.min() < 20 * 8 - 3
    assert count_errors(errors) == {"broken": 1, "merged": 0, "missing": 0, "spurious": 1}


def test_pictures_of_another_size_are_refused(copied):
    (study,) = load_studies([copied.root])
    _, examples = load_examples(study)
    path = copied.prediction("cldice", 1, examples[0].image_id)
    Image.new("L", (32, 16)).save(path)
    with pytest.raises(
        InputError, match=r"cldice.1.\w+.png has 16 × 32 pixels; expected 64 × 64 as its label"
    ):
        build_report([copied.root])
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"png is not a readable picture"):
        build_report([copied.root])
    assert not copied.report_html.exists()


def test_long_curves_are_averaged_in_blocks():
    iterations = np.arange(10_000.0)
    curves = [Curve("clDice", 1, {"iteration": iterations, "loss": 1 / (1 + iterations)})]
    (figure,) = learning_curves(curves)
    assert len(figure.svg) < 30_000
    nothing = [Curve("clDice", 1, {"iteration": iterations, "val_dice": np.full(10_000, np.nan)})]
    assert learning_curves(nothing) == []


def test_curves_have_the_colours_of_the_box_plots():
    iterations = np.arange(3.0)
    columns = {"iteration": iterations, "loss": iterations}
    curves = [Curve(name, 1, columns) for name in ("clDice", "CEDice")]
    first, second, third = (f"var(--series-{n})" for n in range(3))
    (figure,) = learning_curves(curves, losses=["CEDice", "Warping", "clDice"])
    assert first in figure.svg
    assert second not in figure.svg  # of a loss without curves
    assert third in figure.svg
    assert figure.svg.index(first) < figure.svg.index(third)


def test_box_plots_say_their_medians(run_folder):
    from topodl.evaluation.comparison import compare_losses

    figures = box_plots(compare_losses(load_studies([run_folder.root])[0].setting))
    assert len(figures) == 8
    assert re.search(r"medians: CEDice [\d.]+, clDice [\d.]+, SkelRecall [\d.]+\.$", figures[0].alternative)


# --- collapsed losses, several classes, volumes ------------------------------------------------------------


def add_painter(folder: RunFolder) -> None:
    """Add a loss that paints everything, with the best Betti errors of all."""
    ids = [path.stem for path in sorted(folder.label_image("x").parent.iterdir())]
    labels = torch.stack([torch.from_numpy(np.array(Image.open(folder.label_image(i)))) for i in ids])
    for seed in (1, 2):
        masks = [np.ones(labels.shape[1:], bool)] * len(ids)
        write_measurements(folder, "topograph", seed, ids, masks, (labels[:, None] > 0).long())
        path = folder.result_csv("supervised", "accurate", "large", "topograph", seed)
        rows = [row | {"Betti0Error_mortar": "0", "Betti1Error_mortar": "0"} for row in read_rows(path)]
        write_rows(path, tuple(rows[0]), rows)
        for image_id, mask in zip(ids, masks, strict=True):
            save_mask(folder.prediction("topograph", seed, image_id), mask)


def test_a_network_that_paints_everything_wins_nothing(copied):
    add_painter(copied)
    html = build_report([copied.root]).read_text(encoding="utf-8")
    page = Page(html)
    text = " ".join(" ".join(page.text).split())
    assert (
        "Collapsed, and so better nowhere whatever the numbers are: "
        "Topograph (predicts foreground everywhere in distribution, in all seeds)" in text
    )
    assert "Topograph helped" not in text
    assert "Topograph did better" not in text
    rows = [row for row in html.split("<tr")[1:] if 'row">Topograph' in row]
    assert len(rows) == 2 + 3 + 2 + 2 + 2  # results, groups, further metrics, intervals, p-values
    assert all("(collapsed)" in row and 'class="better"' not in row and "--shade" not in row for row in rows)
    tiles = [figure for figure in page.all("figure") if "collapsed" in (figure.get("class") or "")]
    assert len(tiles) == 4
    boxes = [svg["aria-label"] for svg in page.all("svg") if "Box plot" in (svg.get("aria-label") or "")]
    assert all("Topograph (collapsed)" in label for label in boxes)
    markdown = copied.results_markdown.read_text(encoding="utf-8")
    assert "| Topograph (collapsed) |" in markdown
    assert not re.search(r"\| Topograph .*\*\*", markdown)


def test_without_pictures_a_collapse_shows_in_dice(copied):
    add_painter(copied)
    shutil.rmtree(copied.root / "predictions")
    text = " ".join(Page(build_report([copied.root]).read_text(encoding="utf-8")).text)
    assert re.search(r"are: Topograph \(Dice is 0\.\d\d in distribution, less than 75 % of CEDice's", text)


def make_volumes(root: Path) -> RunFolder:
    """Write a run of volumes of unequal sizes with two classes, stored as arrays."""
    folder = RunFolder(root)
    generator = np.random.default_rng(0)
    metrics = ("Betti0Error", "Betti1Error", "Betti2Error", "Dice", "HD95", "clDice")
    columns = [f"{metric}_{name}" for name in ("artery", "vein") for metric in metrics]
    ids = [f"case.{n}" for n in range(5)]

    def save(path: Path, array: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path.with_suffix(".npy"), array)

    for number, image_id in enumerate(ids):
        label = np.zeros((8 + number, 14, 20), np.uint8)
        label[3:5, 4:6, 2:18] = 1
        label[:, 9:11, 10:12] = 2
        save(folder.label_image(image_id), label)
        save(folder.input_image(image_id), (label * 300.0 - 400)[None].astype(np.float32))
        broken = label.copy()
        broken[3:5, 4:6, 8:10] = 0
        for loss, prediction in (("ce_dice", broken), ("cldice%3Aiterations=10", label)):
            save(folder.prediction(loss, 1, image_id), prediction)
    for loss in ("ce_dice", "cldice%3Aiterations=10"):
        rows = [
            {"ID": i, **dict(zip(columns, generator.uniform(0.8, 0.9, 12).round(3).tolist(), strict=True))}
            for i in ids
        ]
        rows[0]["HD95_vein"] = ""
        write_rows(folder.result_csv("supervised", "accurate", "large", loss, 1), ("ID", *columns), rows)
    write_rows(folder.groups, ("ID", "group"), [{"ID": i, "group": ""} for i in ids])
    return folder


def test_volumes_with_classes_are_reported_class_by_class_and_from_all_sides(tmp_path):
    html = build_report([make_volumes(tmp_path).root]).read_text(encoding="utf-8")
    page = Page(html)
    text = " ".join(" ".join(page.text).split())
    for part in (
        "All test images, mean over 2 classes (5 images × 1 seed)", "All test images, artery", "Betti2",
        "All test images, vein", "Class by class", "clDice (iterations=10)", "maximum along axis 0",
        "other wrong pixels", "One seed is too few to say", "class artery",
        "Undefined values of HD95 of vein are left out: CEDice 1 of 5, clDice (iterations=10) 1 of 5.",
    ):  # fmt: skip
        assert part in text, part
    assert "distribution" not in text
    assert len(page.all("img")) == 4 * (1 + 2) * 4 * 2
    assert all(len(image["alt"] or "") > 10 for image in page.all("img"))
    assert "By group of test images" not in text  # there is one


def test_names_from_outside_do_not_become_markup(tmp_path):
    folder = make_volumes(tmp_path)
    path = folder.result_csv("supervised", "accurate", "large", "cldice%3Aiterations=10", 1)
    path.parent.rename(path.parent.with_name("x%3A%3Cscript%3Ealert(1)%3C%2Fscript%3E"))
    html = build_report([folder.root]).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "X (&lt;script&gt;alert(1)&lt;/script&gt;)" in html


@pytest.mark.parametrize("content", ["[]", "5", "null", "{", "[" * 100_000])
def test_settings_that_are_none_are_named(copied, content):
    copied.settings.write_text(content)
    with pytest.raises(InputError, match=r"settings.json (is not JSON|has no names with values)"):
        build_report([copied.root])


def test_settings_of_another_kind_are_passed_over(copied):
    copied.settings.write_text('{"images": {"source": "x"}, "classes": {"shares": {"a": "much", "b": 0.5}}}')
    assert "b 50 %" in build_report([copied.root]).read_text(encoding="utf-8")


@pytest.mark.parametrize("iterations", ["", "nan", "inf", "1e400"])
@pytest.mark.parametrize("column", ["iterations", "seconds_per_iteration"])
def test_costs_that_are_no_number_are_named(copied, iterations, column):
    rows = read_rows(copied.costs)
    rows[0][column] = iterations
    write_rows(copied.costs, list(rows[0]), rows)
    with pytest.raises(InputError, match=rf"costs.csv, column {column} has .*; expected finite numbers"):
        build_report([copied.root])


def test_names_steer_neither_terminal_nor_markdown(copied, capsys):
    path = copied.result_csv("supervised", "accurate", "large", "cldice", 1)
    path.parent.rename(path.parent.with_name("a|<script>\x1b[31mred"))
    groups = copied.groups.read_text(encoding="utf-8")
    copied.groups.write_text(groups.replace("angles", "<b>\x1b[1m|"), encoding="utf-8")
    assert main(["report", str(copied.root)]) == 0
    printed = capsys.readouterr().out
    markdown = copied.results_markdown.read_text(encoding="utf-8")
    for text in (printed, markdown, copied.report_html.read_text(encoding="utf-8")):
        assert "\x1b" not in text
        assert "x1b" in text
    assert not re.search(r"(?<!\\)<(script|b)>", markdown)
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


@pytest.mark.parametrize("kind", ["labels", "predictions", "inputs"])
def test_a_picture_that_would_fill_memory_is_named(copied, kind):
    for path in (copied.root / kind).rglob("*.png"):
        path.write_bytes(huge_picture())
    with pytest.raises(InputError, match=r"\.png is not a readable picture \(Image size"):
        build_report([copied.root])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("name", ["costs.csv", "groups.csv", "settings.json", "result"])
def test_a_pipe_is_named_and_not_waited_for(copied, name):
    result = copied.result_csv("supervised", "accurate", "large", "cldice", 1)
    path = result if name == "result" else copied.root / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match=rf"{path.name} is .*is a pipe or a device"):
        build_report([copied.root])


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_prints_tables_and_the_path(copied, capsys, tmp_path):
    output = tmp_path / "deep" / "output"
    arguments = ["report", str(copied.root), "--rule", "topomortar", "--output", str(output)]
    assert main([*arguments, "--baseline", "cldice", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert "better than clDice by the TopoMortar study's rule" in printed
    assert printed.endswith(f"Report: {output / 'report.html'}\n")
    assert sorted(path.name for path in output.iterdir()) == ["report.html", "results.md"]
    assert not copied.report_html.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["{tmp}/nowhere"],
            "topodl report: folder {tmp}/nowhere does not exist; expected a folder with results",
        ),
        (["{tmp}"], "topodl report: folder {tmp} has no results; expected files "),
        (["{run}", "--baseline", "warping"], "topodl report: baseline 'warping' has no results in "),
        (["{run}", "--output", "{run}/settings.json/x"], "topodl report: cannot write "),
    ],
)
def test_errors_are_one_line_with_status_2(run_folder, tmp_path, capsys, arguments, message):
    places = {"tmp": tmp_path.as_posix(), "run": run_folder.root.as_posix()}
    assert main(["report", *(a.format(**places) for a in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message.format(**places))
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_rule_that_does_not_exist_is_refused(run_folder, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["report", str(run_folder.root), "--rule", "bayes"])
    assert caught.value.code == 2
    assert "invalid choice: 'bayes'" in capsys.readouterr().err


def test_a_failed_write_leaves_the_old_report(copied, monkeypatch):
    copied.report_html.write_text("old")

    def full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match=r"cannot write .*No space left on device.*--output"):
        build_report([copied.root])
    monkeypatch.undo()
    assert copied.report_html.read_text() == "old"
    assert not list(copied.root.glob("*.part")) + list(copied.root.glob(".*.part"))


def test_folders_of_others_that_cannot_be_written_to_stay_untouched(copied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("topodl.evaluation.report.os.access", lambda path, mode: False)
    published = tmp_path / "published"
    shutil.copytree(copied.results, published)
    shutil.copy(copied.groups, published / "groups.csv")
    assert build_report([published]) == Path("topodl-report/report.html")
    assert Path("topodl-report/results.md").exists()
