"""Folders as people have them, from reading to the report: what is measured with are the right labels."""

import json

import numpy as np
import pytest

from tests.evaluation.case_folders import (
    VOLUME,
    csv_list,
    decathlon,
    mask,
    nnunet,
    pairs,
    picture,
    save,
)
from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.described import data_name
from topodl.evaluation.pictures import find_stored, read_masks
from topodl.evaluation.report import build_report
from topodl.evaluation.run_folder import read_rows
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.study import run_study

TINY = {
    "iterations": 1,
    "batch_size": 2,
    "validation_interval": 0,
    "device": "cpu",
    "seeds": [1],
    "losses": ["ce_dice"],
    "patch_size": 16,
}


def unequal_sizes(root):
    for i in range(4):
        size = (12 + 3 * i, 20 - 2 * i)
        save(root / "img" / f"{i}.png", picture(i, size=size))
        save(root / "gt" / f"{i}.png", mask((0, 1), size))
    return root


def palettes(root):
    for i in range(4):
        save(root / "images" / f"{i}.png", picture(i))
        save(root / "masks" / f"{i}_mask.png", mask((0, 1, 2)), palette=[0, 0, 0, 9, 0, 0, 0, 9, 0])
    return root


def deep_tiff_in_splits(root):
    for split in ("train", "val", "test"):
        for i in range(2):
            image = picture(split, i, channels=0).astype(np.uint16) * 300
            save(root / split / "images" / f"{i}.tif", image)
            save(root / split / "masks" / f"{i}.tif", mask((0, 255)))
    return root


def volumes(ending):
    def make(root):
        for i in range(4):
            save(root / "scans" / f"{i}{ending}", picture(i, size=VOLUME, channels=0))
            save(root / "segmentations" / f"{i}_seg{ending}", mask((0, 1), VOLUME))
        return root

    return make


def arrays_in_a_json_list(root):
    for i in range(4):
        save(root / "data" / f"{i}.npy", picture(i, channels=5).astype(np.float32) - 100)
        save(root / "data" / f"{i}_label.npy", mask((0, 1)))
    splits = ("train", "train", "val", "test")
    rows = [{"image": f"data/{i}.npy", "mask": f"data/{i}_label.npy", "split": splits[i]} for i in range(4)]
    (root / "list.json").write_text(json.dumps(rows))
    return root / "list.json"


def regions(root):
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    return nnunet(root, n=3, tests=1, values=(0, 1, 2, 3), labels=labels)


ONE, TWO = ("foreground",), ("liver", "tumour")
# folder: (what makes it, options, names of the foreground classes, what each value of its masks becomes)
FOLDERS = {
    "pictures and masks of 0 and 255": (pairs, {}, ONE, (0, 1)),
    "pictures of unequal sizes, masks of 0 and 1": (unequal_sizes, {}, ONE, (0, 1)),
    "palettes of three classes": (palettes, {}, ("class_1", "class_2"), (0, 1, 2)),
    "named classes and an ignored value": (
        lambda root: pairs(root, values=(0, 1, 2, 255)),
        {"classes": "0=background,1=artery,2=vein", "ignore_label": 255},
        ("artery", "vein"),
        (0, 1, 2, IGNORE),
    ),
    "sixteen bits in folders of splits": (deep_tiff_in_splits, {}, ONE, (0, 1)),
    "stacks": (volumes(".tif"), {}, ONE, (0, 1)),
    "NIfTI": (volumes(".nii.gz"), {}, ONE, (0, 1)),
    "NRRD": (volumes(".nrrd"), {}, ONE, (0, 1)),
    "raw data of nnU-Net": (lambda root: nnunet(root, tests=1), {}, TWO, (0, 1, 2)),
    "flat raw data of nnU-Net": (
        lambda root: nnunet(root, n=4, channels=("a", "b"), ending=".tif", size=(12, 18)),
        {},
        TWO,
        (0, 1, 2),
    ),
    "the Decathlon": (lambda root: decathlon(root, 4), {}, ("edema",), (0, 1)),
    "a CSV list": (csv_list, {}, ONE, (0, 1)),
    "a JSON list of arrays with five channels": (arrays_in_a_json_list, {}, ONE, (0, 1)),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_trained_and_measured_with_its_labels(tmp_path, name):
    make, options, classes, meaning = FOLDERS[name]
    (tmp_path / "data").mkdir()
    settings = StudySettings.of_protocol("quick", data=make(tmp_path / "data"), **options, **TINY)
    folder = run_study(settings, tmp_path / "run")
    rows = read_rows(folder.result_csv("supervised", "accurate", "large", "ce_dice", 1))
    assert rows
    for row in rows:
        assert {f"Dice_{each}" for each in classes} <= set(row)
        stored = find_stored(folder.label_image(row["ID"]))
        masks = read_masks(stored, len(classes), 3 if stored.suffix == ".npy" else 2)
        expected = mask(meaning, masks.shape[1:])
        for index, found in enumerate(masks, 1):
            np.testing.assert_array_equal(found == 1, expected == index)
            np.testing.assert_array_equal(found == IGNORE, expected == IGNORE)
    build_report([folder.root])
    report = folder.results_markdown.read_text(encoding="utf-8")
    assert "CEDice" in report
    assert f"## {data_name(folder.read_settings())}" in report
    assert "Pixels of the labels: background" in report


REGIONS = {
    "dataset.json": (regions, None, VOLUME),
    "--classes": (
        lambda root: pairs(root, values=(0, 1, 2, 3)), "0=background,1+2=whole,2=core,3=ignore", (12, 18)
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", REGIONS)
def test_regions_are_trained_and_measured_with_their_unions(tmp_path, source):
    make, classes, size = REGIONS[source]
    data = make(tmp_path / "data")
    settings = StudySettings.of_protocol("quick", data=data, classes=classes, **TINY)
    folder = run_study(settings, tmp_path / "run")
    (row,) = read_rows(folder.result_csv("supervised", "accurate", "large", "ce_dice", 1))
    assert {"Dice_whole", "Dice_core"} <= set(row)
    found = read_masks(find_stored(folder.label_image(row["ID"])), 2, len(size))
    values = mask((0, 1, 2, 3), size)
    expected = np.stack([(values == 1) | (values == 2), values == 2]).astype(np.uint8)
    expected[:, values == 3] = IGNORE
    np.testing.assert_array_equal(found, expected)
