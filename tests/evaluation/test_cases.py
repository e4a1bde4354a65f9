"""Folders that nobody prepared: twenty good ones are read with the right labels, fifty bad ones refused."""

import json
import re
import shutil

import numpy as np
import pytest
import tifffile

from tests.evaluation.case_folders import (
    SIZE,
    SPACING,
    VOLUME,
    csv_list,
    decathlon,
    mask,
    nnunet,
    pairs,
    picture,
    save,
)
from topodl.cli import main
from topodl.datasets._common import is_topomortar
from topodl.errors import InputError
from topodl.evaluation.cases import IGNORE, read_cases


def test_two_folders_with_equal_names(tmp_path):
    folder = read_cases(pairs(tmp_path))
    assert [case.id for case in folder.cases] == ["case0", "case1", "case2", "case3"]
    assert {case.split for case in folder.cases} == {""}
    assert folder.layout == f"{tmp_path.name}/: images/ beside masks/ (4 cases, no splits), pictures"
    assert folder.label_line == "labels: 0 is taken for background, 255 (2.31 % of the pixels) for foreground"
    loaded = folder.load(folder.cases[1])
    np.testing.assert_array_equal(loaded.image, np.moveaxis(picture("images", 1), -1, 0))
    np.testing.assert_array_equal(loaded.label, mask((0, 1)))
    assert loaded.image.dtype == np.float32
    assert loaded.label.dtype == np.uint8
    assert loaded.spacing == (1.0, 1.0)
    assert (folder.channel_names, folder.ndim) == (("", "", ""), 2)


@pytest.mark.parametrize("suffix", ["_mask", "_seg", "_label", "_gt", "_manual1", "-mask", "_Segmentation"])
@pytest.mark.parametrize("masks", ["labels", "annotations", "ground_truth", "GT"])
def test_masks_have_many_names(tmp_path, suffix, masks):
    folder = read_cases(pairs(tmp_path, 3, images="imgs", masks=masks, suffix=suffix, ending=".jpg"))
    assert [case.id for case in folder.cases] == ["case0", "case1", "case2"]
    assert [case.label.name for case in folder.cases] == [f"case{i}{suffix}.png" for i in range(3)]


def test_names_may_differ_on_both_sides(tmp_path):
    for i in range(3):
        save(tmp_path / "images" / f"img_{i}.png", picture(i))
        save(tmp_path / "masks" / f"mask_{i}.png", mask())
    assert [case.id for case in read_cases(tmp_path).cases] == ["0", "1", "2"]


def test_a_manual_segmentation_goes_before_the_field_of_view(tmp_path):
    for split in ("training", "test"):
        for i in range(2):
            save(tmp_path / split / "images" / f"{i}_{split}.tif", picture(split, i))
            save(tmp_path / split / "1st_manual" / f"{i}_manual1.gif", mask())
            save(tmp_path / split / "mask" / f"{i}_{split}_mask.gif", mask((255, 255)))
    folder = read_cases(tmp_path)
    assert [(case.id, case.label.name) for case in folder.cases if case.split == "test"] == [
        ("test-0", "0_manual1.gif"),
        ("test-1", "1_manual1.gif"),
    ]
    assert folder.load(folder.cases[0]).label.max() == 1


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "testing")])
def test_folders_of_splits(tmp_path, names):
    for name, n in zip(names, (3, 1, 2), strict=True):
        pairs(tmp_path, n, images=f"{name}/images", masks=f"{name}/masks", suffix="_mask")
    folder = read_cases(tmp_path)
    assert [(case.split, case.id) for case in folder.cases] == [
        ("test", "test-case0"),
        ("test", "test-case1"),
        ("train", "train-case0"),
        ("train", "train-case1"),
        ("train", "train-case2"),
        ("val", "val-case0"),
    ]
    assert "(3 train, 1 val, 2 test)" in folder.layout


def test_splits_inside_images_and_masks(tmp_path):
    for name in ("train", "val"):
        pairs(tmp_path, 2, images=f"images/{name}", masks=f"annotations/{name}")
    save(tmp_path / "images/test/x.png", picture("x"))
    folder = read_cases(tmp_path)
    assert [case.split for case in folder.cases] == ["train", "train", "val", "val"]
    assert "test/ has no labels and is left out" in folder.layout


def test_a_field_of_view_is_no_label_of_the_test(tmp_path):
    for split, folder in (("training", "1st_manual"), ("training", "mask"), ("test", "mask")):
        pairs(tmp_path, 2, images=f"{split}/images", masks=f"{split}/{folder}", suffix="_mask")
    folder = read_cases(tmp_path)
    assert [(case.split, case.label.parent.name) for case in folder.cases] == [("train", "1st_manual")] * 2
    assert (
        "images/ beside 1st_manual/ in each split, mask/ for the field of view and not read" in folder.layout
    )
    assert "test/ has no labels and is left out" in folder.layout


def carvana(root):
    """Write images in train/, masks beside it, and a test without labels."""
    for i in range(3):
        save(root / "train" / f"car_{i:02d}.jpg", picture("car", i))
        save(root / "train_masks" / f"car_{i:02d}_mask.gif", mask())
    save(root / "test" / "car_09.jpg", picture("car", 9))
    (root / "train_masks.csv").write_text("img,rle_mask\ncar_00.jpg,1 2 3\n")
    return root


def isic(root):
    """Write the folders of a skin challenge, with superpixels beside the images."""
    for split, n in (("Training", 2), ("Validation", 1)):
        for i in range(n):
            stem = f"ISIC_{split[0]}{i:07d}"
            images = root / f"ISIC2018_Task1-2_{split}_Input"
            save(images / f"{stem}.jpg", picture(split, i))
            save(images / f"{stem}_superpixels.png", picture("superpixels", i))
            save(root / f"ISIC2018_Task1_{split}_GroundTruth" / f"{stem}_segmentation.png", mask())
    return root


def without_json(root):
    """Write nnU-Net's folders without dataset.json."""
    for kind, n in (("Tr", 3), ("Ts", 1)):
        for i in range(n):
            image = picture(kind, i, size=VOLUME, channels=0, dtype=np.int16)
            save(root / f"images{kind}" / f"{kind}{i}_0000.nii.gz", image)
            save(root / f"labels{kind}" / f"{kind}{i}.nii.gz", mask((0, 1), VOLUME))
    return root


NAMED = {
    "Carvana": (
        carvana,
        ["train"] * 3,
        "train/ beside train_masks/ (3 train; test/ has no labels and is left out)",
    ),
    "ISIC": (
        isic,
        ["train", "train", "val"],
        "ISIC2018_Task1-2_Training_Input/ beside ISIC2018_Task1_Training_GroundTruth/ (2 train, 1 val)",
    ),
    "nnU-Net without its JSON": (
        without_json, ["train", "train", "train", "test"], "imagesTr/ beside labelsTr/ (3 train, 1 test)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_names_of_folders_say_split_and_content(tmp_path, name):
    make, splits, line = NAMED[name]
    folder = read_cases(make(tmp_path))
    assert [case.split for case in folder.cases] == splits
    assert line in folder.layout
    for case in folder.cases:
        loaded = folder.load(case)
        np.testing.assert_array_equal(loaded.label, mask((0, 1), loaded.label.shape))


def voc(root, lists=(("train", (0, 1)), ("val", (2,))), values=(0, 1, 2, 255)):
    """Write pictures, some of them with labels, and lists of their names."""
    for i in range(5):
        save(root / "JPEGImages" / f"2007_{i}.jpg", picture("voc", i))
    for i in range(3):
        label = mask(values)
        save(root / "SegmentationClass" / f"2007_{i}.png", label, palette=list(range(256)) * 3)
    for name, numbers in lists:
        file = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"2007_{i}\n" for i in numbers))
    (root / "Annotations").mkdir()
    return root


def test_pascal_voc(tmp_path):
    folder = read_cases(voc(tmp_path / "VOCdevkit" / "VOC2012"))
    assert [(case.id, case.split) for case in folder.cases] == [
        ("2007_0", "train"), ("2007_1", "train"), ("2007_2", "val")
    ]  # fmt: skip
    assert "VOC2012/: Pascal VOC's layout (2 train, 1 val; 255 counts nowhere)" in folder.layout
    np.testing.assert_array_equal(folder.load(folder.cases[0]).label, mask((0, 1, 2, IGNORE)))


@pytest.mark.parametrize("lists", [(), [("trainval", (0, 1, 2))]])
def test_pascal_voc_without_splits(tmp_path, lists):
    folder = read_cases(voc(tmp_path, lists, values=(0, 255)))
    assert [case.split for case in folder.cases] == [""] * 3
    assert "(3 cases, no splits;" in folder.layout
    np.testing.assert_array_equal(folder.load(folder.cases[0]).label, mask((0, 1)))  # 255 is all there is


def test_of_two_readers_the_first_one_counts(tmp_path):
    for i in range(3):
        save(tmp_path / f"Image_{i:02d}L.jpg", picture("chase", i))
        save(tmp_path / f"Image_{i:02d}L_1stHO.png", mask())
        save(tmp_path / f"Image_{i:02d}L_2ndHO.png", mask((255, 0)))
    folder = read_cases(tmp_path)
    assert [case.label.name for case in folder.cases] == [f"Image_{i:02d}L_1stHO.png" for i in range(3)]


def test_a_folder_around_the_folder_is_looked_through(tmp_path):
    pairs(tmp_path / "unpacked" / "inner", 2)
    assert len(read_cases(tmp_path).cases) == 2


def test_masks_beside_images_in_folders_of_patients(tmp_path):
    for patient in ("anna", "bert"):
        for i in range(2):
            save(tmp_path / patient / f"slice{i}.tif", picture(patient, i))
            save(tmp_path / patient / f"slice{i}_mask.tif", mask())
    folder = read_cases(tmp_path)
    assert [(case.id, case.group) for case in folder.cases] == [
        ("anna-slice0", "anna"),
        ("anna-slice1", "anna"),
        ("bert-slice0", "bert"),
        ("bert-slice1", "bert"),
    ]


def test_what_systems_leave_behind_is_no_image(tmp_path):
    pairs(tmp_path)
    for name in (".DS_Store", "._case0.png", "Thumbs.db", "notes.txt"):
        (tmp_path / "images" / name).write_text("nothing")
    assert len(read_cases(tmp_path).cases) == 4


def test_raw_data_of_nnunet(tmp_path):
    folder = read_cases(nnunet(tmp_path, tests=2, channels=("T1", "T2")))
    assert folder.channel_names == ("T1", "T2")
    assert folder.scheme.classes == ("background", "liver", "tumour")
    assert [case.split for case in folder.cases] == ["train"] * 3 + ["test"] * 2
    assert "raw data of nnU-Net (5 cases of T1, T2, 2 of them for the test), volumes" in folder.layout
    assert folder.label_line == "labels, as dataset.json says: 0 background, 1 liver, 2 tumour"
    loaded = folder.load(folder.cases[0])
    expected = [picture("Tr", 0, c, size=VOLUME, channels=0, dtype=np.int16) for c in range(2)]
    np.testing.assert_array_equal(loaded.image, expected)
    np.testing.assert_array_equal(loaded.label, mask((0, 1, 2), VOLUME))
    assert loaded.spacing == SPACING


def test_overlapping_regions_of_nnunet_with_an_ignored_value(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    root = nnunet(tmp_path, labels=labels, values=(0, 1, 2, 3), regions_class_order=[1, 2])
    folder = read_cases(root)
    assert folder.scheme.classes == ("background", "whole", "core")
    assert folder.scheme.regions == ((1, 2), (2,))
    assert folder.label_line == (
        "labels, as dataset.json says: regions whole = 1+2, core = 2; 3 counts nowhere"
    )
    label = folder.load(folder.cases[0]).label
    assert label.shape == (2, *VOLUME)
    np.testing.assert_array_equal(label[:, 0, :4, 0], [[1, 1, IGNORE, 0], [0, 1, IGNORE, 0]])


def test_flat_pictures_of_nnunet_with_all_channels_in_one_file(tmp_path):
    content = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "road": 1},
        "numTraining": 2,
        "file_ending": ".png",
    }
    for i in range(2):
        save(tmp_path / "imagesTr" / f"r{i}_0000.png", picture(i))
        save(tmp_path / "labelsTr" / f"r{i}.png", mask((0, 1)))
    (tmp_path / "imagesTs").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    folder = read_cases(tmp_path)
    assert folder.load(folder.cases[0]).image.shape == (3, *SIZE)
    assert {case.split for case in folder.cases} == {""}
    assert "imagesTs has no labels and is left out" in folder.layout


def test_the_decathlon(tmp_path):
    folder = read_cases(decathlon(tmp_path))
    assert folder.channel_names == ("FLAIR", "T1w")
    assert folder.scheme.classes == ("background", "edema")
    assert [case.id for case in folder.cases] == ["bras_0", "bras_1", "bras_2"]
    loaded = folder.load(folder.cases[2])
    expected = picture("decathlon", 2, size=(2, *VOLUME), channels=0, dtype=np.int16)
    np.testing.assert_array_equal(loaded.image, expected)
    assert loaded.spacing == SPACING


def test_the_first_version_of_nnunet_lists_names_without_channels(tmp_path):
    nnunet(tmp_path, channels=("T1", "T2"), values=(0, 1))
    listed = [{"image": f"./imagesTr/Tr{i}.nii.gz", "label": f"./labelsTr/Tr{i}.nii.gz"} for i in range(3)]
    content = {
        "modality": {"0": "T1", "1": "T2"},
        "labels": {"0": "background", "1": "x"},
        "training": listed,
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    folder = read_cases(tmp_path)
    assert [len(case.image) for case in folder.cases] == [2, 2, 2]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_list(tmp_path, separator):
    file = csv_list(tmp_path) / "cases.csv"
    file.write_text(file.read_text().replace(",", separator), encoding="utf-8-sig")
    for path in (tmp_path, file):
        folder = read_cases(path)
        assert [case.split for case in folder.cases] == ["train", "train", "val", "test", "test"]
        assert [case.group for case in folder.cases] == ["g0", "g1", "g0", "g1", "g0"]
        assert folder.cases[3].id == "p3"
        assert "cases.csv: a list of 5 cases (2 train, 1 val, 2 test)" in folder.layout


def test_a_list_from_windows_has_backslashes(tmp_path):
    rows = [rf"files\p{i}.png,files\m{i}.png,,g" for i in range(5)]
    folder = read_cases(csv_list(tmp_path, rows=rows))
    assert [case.label.name for case in folder.cases] == [f"m{i}.png" for i in range(5)]


@pytest.mark.parametrize("with_splits", [False, True])
def test_a_json_list(tmp_path, with_splits):
    csv_list(tmp_path)
    rows = [{"image": f"files/p{i}.png", "label": f"files/m{i}.png", "id": f"n{i}"} for i in range(4)]
    content = {"training": rows[:3], "test": rows[3:]} if with_splits else rows
    (tmp_path / "list.json").write_text(json.dumps(content))
    folder = read_cases(tmp_path / "list.json")
    assert [case.id for case in folder.cases] == ["n0", "n1", "n2", "n3"]
    assert [case.split for case in folder.cases] == (["train"] * 3 + ["test"] if with_splits else [""] * 4)


def test_a_list_may_name_a_file_for_each_channel(tmp_path):
    nnunet(tmp_path, channels=("a", "b"))
    files = [f"imagesTr/Tr0_000{c}.nii.gz" for c in range(2)]
    (tmp_path / "l.json").write_text(json.dumps([{"image": files, "mask": "labelsTr/Tr0.nii.gz"}]))
    folder = read_cases(tmp_path / "l.json")
    assert folder.load(folder.cases[0]).image.shape == (2, *VOLUME)


def test_equal_stems_in_a_list_become_ids_by_their_folders(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name / "x.png", picture(name))
        save(tmp_path / name / "y.png", mask())
    (tmp_path / "l.csv").write_text("image,mask\na/x.png,a/y.png\nb/x.png,b/y.png\n")
    assert [case.id for case in read_cases(tmp_path / "l.csv").cases] == ["a-x", "b-x"]


def test_images_of_unequal_sizes_and_sixteen_bits(tmp_path):
    for i, size in enumerate(((8, 9), (20, 7))):
        image = picture(i, size=size, channels=0, dtype=np.uint16) * 300
        save(tmp_path / "images" / f"{i}.tif", image)
        save(tmp_path / "masks" / f"{i}.tif", mask((0, 1), size))
    folder = read_cases(tmp_path)
    shapes = [folder.load(case).image.shape for case in folder.cases]
    assert shapes == [(1, 8, 9), (1, 20, 7)]
    assert folder.load(folder.cases[1]).image.max() > 50_000


def test_stacks_are_volumes(tmp_path):
    for i in range(2):
        save(tmp_path / "images" / f"{i}.tif", picture(i, size=VOLUME, channels=0))
        save(tmp_path / "masks" / f"{i}.tif", mask((0, 1), VOLUME))
    folder = read_cases(tmp_path)
    assert folder.ndim == 3
    assert folder.layout.endswith("volumes")
    assert folder.load(folder.cases[0]).image.shape == (1, *VOLUME)


def test_several_values_are_classes(tmp_path):
    folder = read_cases(pairs(tmp_path, values=(0, 128, 255)))
    assert folder.scheme.classes == ("background", "class_128", "class_255")
    assert folder.label_line == (
        "labels: 0 is taken for background, 128 (2.31 % of the pixels), 255 (2.31 % of the pixels) "
        "for 2 classes"
    )
    np.testing.assert_array_equal(folder.load(folder.cases[0]).label, mask((0, 1, 2)))


def test_palettes_count_by_index(tmp_path):
    for i in range(2):
        save(tmp_path / "images" / f"{i}.png", picture(i))
        save(tmp_path / "masks" / f"{i}.png", mask((0, 1, 2)), palette=[9, 9, 9, 255, 0, 0, 0, 255, 0])
    folder = read_cases(tmp_path)
    assert folder.scheme.values == {0: 0, 1: 1, 2: 2}
    np.testing.assert_array_equal(folder.load(folder.cases[0]).label, mask((0, 1, 2)))


def test_palettes_that_were_renumbered_are_noticed(tmp_path):
    for i, palette in enumerate(([0, 0, 0, 255, 0, 0], [255, 0, 0, 0, 0, 0])):
        save(tmp_path / "images" / f"{i}.png", picture(i))
        save(tmp_path / "masks" / f"{i}.png", mask((0, 1)), palette=palette)
    message = r"1\.png has the colour \(255, 0, 0\) for the value 0, and .*0\.png \(0, 0, 0\)"
    with pytest.raises(InputError, match=message):
        read_cases(tmp_path)


def test_the_values_of_gif_are_its_grey_levels(tmp_path):
    for i, palette in enumerate(([0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0])):
        save(tmp_path / "images" / f"{i}.png", picture(i))
        save(tmp_path / "masks" / f"{i}.gif", mask((i, 1 - i)), palette=palette)
    folder = read_cases(tmp_path)
    for case in folder.cases:
        np.testing.assert_array_equal(folder.load(case).label, mask((0, 1)))


def test_named_classes_and_an_ignored_value(tmp_path):
    root = pairs(tmp_path, values=(0, 1, 2, 255))
    folder = read_cases(root, classes="0=background,1=artery,2=vein", ignore_label=255)
    assert folder.scheme.classes == ("background", "artery", "vein")
    assert folder.label_line == (
        "labels, as --classes says: 0 background, 1 artery, 2 vein; 255 counts nowhere"
    )
    np.testing.assert_array_equal(folder.load(folder.cases[0]).label, mask((0, 1, 2, IGNORE)))


def test_two_values_beside_an_ignored_one(tmp_path):
    folder = read_cases(pairs(tmp_path, values=(0, 1, 255)), ignore_label=255)
    assert folder.scheme.classes == ("background", "foreground")
    assert folder.label_line == (
        "labels: 0 is taken for background, 1 (2.37 % of the pixels) for foreground; 255 counts nowhere"
    )


def test_the_lower_value_is_the_background_even_where_it_is_rare(tmp_path):
    folder = read_cases(pairs(tmp_path, values=(255, 0)))
    assert folder.label_line == (
        "labels: 0 is taken for background, though it is the rarer one, 255 (97.7 % of the pixels) "
        "for foreground"
    )


def test_classes_given_replace_those_of_the_data_set(tmp_path):
    folder = read_cases(nnunet(tmp_path), classes="0=background,1=organ,2=organ")
    assert folder.scheme.classes == ("background", "organ")
    assert folder.load(folder.cases[0]).label.max() == 1


def test_the_layout_of_topomortar_is_told_apart(tmp_path):
    assert not is_topomortar(tmp_path)
    for name in ("dataset_types.txt", "splits.yaml"):
        (tmp_path / name).write_text("")
    assert is_topomortar(tmp_path)
    with pytest.raises(InputError, match=r"TopoMortar's layout; expected topodl.datasets.TopoMortar"):
        read_cases(tmp_path)


def remove(*names):
    def change(root):
        for name in names:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def write(name, text):
    return lambda root: (root / name).write_text(text)


def put(name, array):
    return lambda root: save(root / name, array)


def copied(source, target):
    def change(root):
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / source, root / target)

    return change


def split_folders(root):
    for name in ("train", "test"):
        pairs(root, 2, images=f"{name}/images", masks=f"{name}/masks")
    return root


def all_background(root):
    return pairs(root, values=(0,))


def listing(*rows, header="image,mask"):
    return lambda root: csv_list(root, header, rows)


def entries(**changes):
    return lambda root: nnunet(root, **changes)


def nothing(root):
    return root


def two_named_labels(root):
    carvana(root)
    save(root / "train_labels" / "car_00.png", mask())


def labels_of_a_test_without_images(root):
    carvana(root)
    shutil.move(root / "test", root / "others")
    save(root / "test_masks" / "car_09_mask.gif", mask())


def one_hot(ending):
    def make(root):
        for i in range(4):
            channels = np.stack([mask((0, 1, 2)) == k for k in range(3)]).astype(np.uint8)
            save(root / "images" / f"{i}.npy", np.moveaxis(picture(i), -1, 0))
            save(
                root / "masks" / f"{i}{ending}", channels if ending == ".npy" else channels.transpose(1, 2, 0)
            )
        return root

    return make


def a_stray_pixel(root):
    pairs(root)
    label = mask(size=(40, 40))
    label[5, 7] = 3
    save(root / "masks" / "case2.png", label)
    save(root / "images" / "case2.png", picture("stray", size=(40, 40)))


def a_link_to_nothing(root):
    pairs(root)
    (root / "images" / "case9.png").symlink_to(root / "nowhere.png")


BROKEN = {
    "a channel for each class in an array": (
        one_hot(".npy"),
        nothing,
        r"0\.npy has shape \(3, 12, 18\) with one of 3 marked at each place \(one-hot\); expected the number",
    ),
    "a channel for each class as colours": (
        one_hot(".png"),
        nothing,
        r"0\.png has shape \(3, 12, 18\) with one of 3 marked at each place",
    ),
    "a stray pixel": (
        nothing,
        a_stray_pixel,
        r"case2\.png has the value 3 at \(5, 7\), 1 pixel and no other label has it; expected names of all",
    ),
    "a background of three pixels": (
        lambda root: pairs(root, values=(1, 2)),
        lambda root: (
            save(
                root / "masks" / "case0.png",
                np.where(np.arange(2500).reshape(50, 50) < 2, 0, mask((1, 2), (50, 50))).astype(np.uint8),
            ),
            save(root / "images" / "case0.png", picture("x", size=(50, 50))),
        ),
        r"case0\.png has the value 0 at \(0, 0\), 2 pixels and no other label has it",
    ),
    "a link to nothing": (nothing, a_link_to_nothing, r"case9\.png is a link to what is not there"),
    "two folders of labels by their names": (
        nothing,
        two_named_labels,
        r"train_labels, .*train_masks may all have the labels of train",
    ),
    "labels whose images are elsewhere": (
        nothing,
        labels_of_a_test_without_images,
        r"test_masks has no images beside it; expected a folder of test",
    ),
    "a list of names without labels": (
        lambda root: voc(root, [("train", (0, 1, 4))]),
        nothing,
        r"Segmentation lists 2007_4; expected files of that name in .*SegmentationClass",
    ),
    "a name in two lists": (
        lambda root: voc(root, [("train", (0, 1)), ("val", (1, 2))]),
        nothing,
        r"val\.txt lists 2007_1 again",
    ),
    "two folders whose names differ in case": (
        pairs,
        put("Masks/case0.png", mask()),
        r"Masks and .*masks have one name; expected one such folder",
    ),
    "a missing mask": (pairs, remove("masks/case1.png"), r"image .*images/case1\.png has no label"),
    "a mask without image": (pairs, remove("images/case1.png"), r"label .*masks/case1\.png has no image"),
    "no masks": (pairs, remove("masks"), r"is not understood; expected images/ beside masks/"),
    "no images": (pairs, remove("images"), r"is not understood|has no images"),
    "an empty folder": (nothing, nothing, r"has no images; expected images and their labels"),
    "folders without files": (
        pairs,
        remove(*(f"{kind}/case{i}.png" for kind in ("images", "masks") for i in range(4))),
        r"has no images; expected images and their labels",
    ),
    "two label folders": (pairs, copied("masks/case0.png", "labels/case0.png"), r"may all have the labels"),
    "a damaged image": (pairs, write("images/case0.png", "no picture"), r"case0\.png cannot be read"),
    "an empty image": (pairs, write("images/case0.png", ""), r"case0\.png cannot be read"),
    "unknown formats": (
        nothing,
        write("scan.dcm", "x"),
        r"no file of a format that is read, but .*scan\.dcm",
    ),
    "one stem twice": (
        pairs,
        put("images/case0.bmp", picture("twice")),
        r"case0\.bmp and .*case0\.png have one name",
    ),
    "unequal shapes": (
        pairs,
        put("masks/case2.png", mask(size=(12, 17))),
        r"case2\.png has shape \(3, 12, 18\) and its label .*case2\.png \(12, 17\)",
    ),
    "unequal channels": (
        pairs,
        put("images/case2.png", picture("grey", channels=0)),
        r"case2\.png has 1 channels and .*case0\.png 3; expected the same number in all",
    ),
    "colours in a mask": (
        pairs,
        put("masks/case1.png", picture("colours")),
        r"label .*case1\.png has colours \(\(\d+, \d+, \d+\), .*; expected one value a pixel",
    ),
    "noise of JPEG": (
        pairs,
        lambda root: (remove("masks/case1.png")(root), put("masks/case1.jpg", mask())(root)),
        r"label .*case1\.jpg has the values 0, 1, .*, as JPEG's compression .* or --classes \"0-127=",
    ),
    "too many values": (
        pairs,
        put("masks/case1.png", picture("many", channels=0)),
        r"different values, \d+ of them in .*case1\.png",
    ),
    "masks of 0 and 1 beside others of 0 and 255": (
        pairs,
        put("masks/case1.png", mask((0, 1))),
        r"label .*case1\.png has the values 0 and 1, and .*case0\.png 0 and 255; expected the same in all",
    ),
    "negative values": (
        pairs,
        lambda root: (
            remove("masks/case1.png")(root),
            put("masks/case1.npy", mask((-1, 255), dtype=int))(root),
        ),
        r"the negative value -1, as in .*case1\.npy; expected --ignore-label -1, or names",
    ),
    "a value to ignore or a class": (
        lambda root: pairs(root, values=(0, 1, 255)),
        nothing,
        r"the values 0, 1, 255, and .*case0\.png has 255, which may be a class or not count",
    ),
    "labels of background alone": (all_background, nothing, r"the labels have only the value 0"),
    "fractions in labels": (
        pairs,
        lambda root: (
            remove("masks/case1.png")(root),
            put("masks/case1.npy", mask((0, 0.5), dtype=float))(root),
        ),
        r"label .*case1\.npy has 0\.5 at \(0, 0\); expected integers",
    ),
    "NaN in an image": (
        pairs,
        lambda root: (
            remove("images/case1.png")(root),
            put("images/case1.npy", np.full((3, *SIZE), np.nan))(root),
        ),
        r"image .*case1\.npy has nan at \(0, 0, 0\), channel first; expected finite values",
    ),
    "pictures and volumes": (
        pairs,
        lambda root: (
            remove("images/case1.png", "masks/case1.png")(root),
            put("images/case1.tif", picture("v", size=VOLUME, channels=3))(root),
            put("masks/case1.tif", mask((0, 1), VOLUME))(root),
        ),
        r"label .*case1\.tif has 3 axes and .*case0\.png 2",
    ),
    "an image in two splits": (
        split_folders,
        copied("train/images/case0.png", "test/images/case1.png"),
        r"image .*train/images/case0\.png of train equals .*test/images/case1\.png of test",
    ),
    "an image under two names": (
        pairs,
        copied("images/case0.png", "images/case2.png"),
        r"image .*case2\.png equals .*case0\.png, and splits may part them; expected each image once",
    ),
    "a split without labels": (split_folders, remove("train/masks"), r"train has no images with labels"),
    "splits and folders of all": (
        lambda root: pairs(split_folders(root)),
        nothing,
        r"has images, labels and .*train; expected splits or none",
    ),
    "labels of a split without images": (
        lambda root: pairs(root, images="images/train", masks="masks/train"),
        copied("masks/train/case0.png", "masks/val/case0.png"),
        r"masks/val has no images; expected such a folder in .*images",
    ),
    "a test without images": (
        split_folders,
        remove("test/images"),
        r"test has masks, no images; expected both",
    ),
    "two training folders": (
        split_folders,
        copied("train/images/case0.png", "training/x.png"),
        r"train, .*training are all train folders",
    ),
    "JSON that is none": (nnunet, write("dataset.json", "{"), r"dataset\.json is no JSON"),
    "JSON of another kind": (nnunet, write("dataset.json", "[1]"), r"dataset\.json is no object"),
    "JSON without channels": (nnunet, write("dataset.json", '{"labels": {}}'), r"has labels; expected"),
    "labels of a wrong kind": (
        entries(labels=[0, 1]),
        nothing,
        r"'labels' = \[0, 1\]; expected \"labels\" as",
    ),
    "labels that are no integers": (
        entries(labels={"background": 0, "x": "1"}),
        nothing,
        r'label value "1"; expected an integer',
    ),
    "another ending": (
        entries(file_ending=".mha"),
        nothing,
        r"imagesTr has .*; expected files that end in \.mha",
    ),
    "another number": (entries(numTraining=7), nothing, r"numTraining = 7, and labelsTr 3 labels"),
    "a missing channel": (
        entries(channels=("a", "b")),
        remove("imagesTr/Tr1_0000.nii.gz"),
        r"case Tr1 of .*imagesTr has the channels \[1\]; expected 0 to 1",
    ),
    "a missing image": (nnunet, remove("imagesTr/Tr1_0000.nii.gz"), r"case Tr1 of .*a label and no image"),
    "an image that names no channel": (
        nnunet,
        copied("imagesTr/Tr0_0000.nii.gz", "imagesTr/Tr0.nii.gz"),
        r"imagesTr/Tr0\.nii\.gz names no channel; expected an ending such as _0000\.nii\.gz",
    ),
    "an image without label": (nnunet, remove("labelsTr/Tr1.nii.gz"), r"case Tr1 of .*imagesTr has no label"),
    "no folder of labels": (nnunet, remove("labelsTr"), r"labelsTr is not there; expected it beside"),
    "no files": (entries(n=0), lambda root: (root / "imagesTr").mkdir(), r"imagesTr has no images"),
    "a case in training and test": (
        lambda root: nnunet(root, tests=1),
        lambda root: (
            copied("imagesTs/Ts0_0000.nii.gz", "imagesTs/Tr0_0000.nii.gz")(root),
            copied("labelsTs/Ts0.nii.gz", "labelsTs/Tr0.nii.gz")(root),
        ),
        r"has Tr0 in training and test; expected each case in one",
    ),
    "two labels of one value": (
        entries(labels={"background": 0, "a": 1, "b": 1}),
        nothing,
        r"has the labels .*; expected another value for each",
    ),
    "labels without background": (
        entries(labels={"a": 1}),
        nothing,
        r"expected \"background\": 0 and others",
    ),
    "a label value beyond all": (
        entries(labels={"background": 0, "a": 10**9}),
        nothing,
        r"label value 1000000000",
    ),
    "channels without numbers": (entries(channel_names={"a": "CT"}), nothing, r'expected the keys "0", "1"'),
    "channels in a list": (entries(channel_names=["CT"]), nothing, r"'channel_names' = \[\"CT\"\]; expected"),
    "an unknown ending": (
        entries(file_ending=".dcm"),
        nothing,
        r"has the file ending '\.dcm'; expected one of",
    ),
    "a Decathlon of no cases": (
        lambda root: decathlon(root, training=[]),
        nothing,
        r"lists no training cases; expected each once",
    ),
    "a Decathlon with a case twice": (
        lambda root: decathlon(
            root, training=[{"image": "imagesTr/bras_0.nii.gz", "label": "labelsTr/bras_0.nii.gz"}] * 2
        ),
        nothing,
        r"lists a training case twice; expected each once",
    ),
    "a Decathlon without labels of cases": (
        lambda root: decathlon(root, training=["imagesTr/bras_0.nii.gz"]),
        nothing,
        r"lists \"imagesTr/bras_0\.nii\.gz\"; expected an object with \"image\" and \"label\"",
    ),
    "a Decathlon with names for keys": (
        lambda root: decathlon(root, labels={"background": 0, "edema": 1}),
        nothing,
        r"has the labels .*; expected \{\"0\": \"background\"",
    ),
    "a Decathlon without background": (
        lambda root: decathlon(root, labels={"1": "edema"}),
        nothing,
        r"expected 0 for the background and others",
    ),
    "a value beyond those declared": (
        nnunet,
        put("labelsTr/Tr2.nii.gz", mask((0, 1, 2, 9), VOLUME)),
        r"Tr2\.nii\.gz has the value 9 at \(0, 2, 0\); expected one of 0, 1, 2 \(by dataset\.json\)",
    ),
    "too few channels": (
        entries(channel_names={"0": "R", "1": "G"}),
        nothing,
        r"channels; expected 2, as dataset\.json says",
    ),
    "files that the Decathlon lacks": (
        decathlon,
        remove("labelsTr/bras_1.nii.gz"),
        r"names .*labelsTr/bras_1\.nii\.gz, which is not there",
    ),
    "a list without rows": (listing(), nothing, r"cases\.csv lists no cases; expected at least one"),
    "two lists": (
        csv_list,
        copied("cases.csv", "copy.csv"),
        r"has the lists .*cases\.csv, .*copy\.csv; expected one, or the path of one",
    ),
    "an image that is its own label": (
        listing("files/m0.png,files/m0.png"),
        nothing,
        r"has .*files/m0\.png as an image and as its label",
    ),
    "a list of missing files": (
        listing("files/p0.png,files/m0.png", "files/p9.png,files/m1.png"),
        nothing,
        r"names .*files/p9\.png at line 3, which is not there",
    ),
    "a list with an empty cell": (listing("files/p0.png,"), nothing, r"has '' for a file at line 2"),
    "a list with a row too short": (listing("files/p0.png"), nothing, r"has None for a file at line 2"),
    "an unknown split": (
        listing("files/p0.png,files/m0.png,spare", header="image,mask,split"),
        nothing,
        r"has the split 'spare' at line 2; expected train, val or test",
    ),
    "a list with some splits": (
        listing("files/p0.png,files/m0.png,train", "files/p1.png,files/m1.png,", header="image,mask,split"),
        nothing,
        r"gives some cases a split and others none",
    ),
    "an image listed twice": (
        listing(
            "files/p0.png,files/m0.png,train", "files/p0.png,files/m0.png,test", header="image,mask,split"
        ),
        nothing,
        r"lists .*files/p0\.png twice in train and test",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_ends_in_one_line(tmp_path, capsys, name):
    make, damage, message = BROKEN[name]
    damage(make(tmp_path))
    with pytest.raises(InputError) as caught:
        read_cases(tmp_path)
    line = str(caught.value)
    assert re.search(message, line), line
    assert line.startswith("topodl evaluate: ")
    assert "\n" not in line
    assert "expected" in line
    run = tmp_path / "run"
    assert main(["evaluate", "--data", str(tmp_path), "--output", str(run)]) == 2
    assert capsys.readouterr().err == f"{line}\n"
    assert not run.exists()


def test_tables_of_something_else_beside_folders_are_no_lists(tmp_path):
    pairs(tmp_path)
    (tmp_path / "train.csv").write_text("image,label\ncase0.png,cat\n")
    (tmp_path / "latin.csv").write_bytes("größe,image,mask\n".encode("latin-1"))
    assert len(read_cases(tmp_path).cases) == 4


def test_json_lists_under_two_names_of_one_split_are_joined(tmp_path):
    csv_list(tmp_path)
    rows = [{"image": f"files/p{i}.png", "mask": f"files/m{i}.png"} for i in range(3)]
    (tmp_path / "l.json").write_text(json.dumps({"name": "x", "train": rows[:1], "Training": rows[1:]}))
    assert [case.split for case in read_cases(tmp_path / "l.json").cases] == ["train"] * 3
    for content, message in (
        ({"train": {}}, "has no list under 'train'; expected one of cases"),
        ({"train": ["a"]}, "has 'a' at entry 0; expected an object"),
        ({"cases": rows}, "lists no cases"),
        (None, "lists no cases"),
        ([{"image": [], "mask": "files/m0.png"}], r"has \[\] for a file at entry 0"),
        ([{"image": "files/p0.png"}], "has the names image at entry 0; expected 'image' and 'mask'"),
    ):
        (tmp_path / "l.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            read_cases(tmp_path / "l.json")


def test_a_list_needs_its_columns(tmp_path):
    file = csv_list(tmp_path, header="image,truth,split,group") / "cases.csv"
    with pytest.raises(
        InputError, match="has the columns image, truth, split, group; expected 'image' and 'mask'"
    ):
        read_cases(file)


def test_equal_images_may_stay_together_and_constant_ones_are_no_copies(tmp_path):
    for patient, kind in (("a", "x"), ("a", "y"), ("b", "z")):
        save(tmp_path / "images" / patient / f"{kind}.png", picture(patient))
        save(tmp_path / "masks" / patient / f"{kind}.png", mask())
    assert len(read_cases(tmp_path).cases) == 3
    for kind in ("v", "w"):
        save(tmp_path / "images" / f"{kind}.png", np.zeros((*SIZE, 3), np.uint8))
        save(tmp_path / "masks" / f"{kind}.png", mask())
    assert len(read_cases(tmp_path).cases) == 5


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"data is '.*nowhere', which is not there; expected a folder"):
        read_cases(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"data cannot be looked at \(.*\); expected a folder"):
        read_cases("x" * 5000)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"notes\.txt is no list; expected a folder, or a list"):
        read_cases(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("background", "classes has the part 'background'; expected values and names"),
        ("0=background,x=vein", "classes has the part 'x=vein'"),
        ("0=background,,1=vein", "classes has the part ''"),
        ("0=background,1=artery,1=vein", "classes names the value 1 twice"),
        ("0=background," + "9" * 5000 + "=vein", "classes has the part '999"),
        ("0=background", "less than two classes"),
        ("0=background,255=ignore", "less than two classes"),
        ("0=background,1=vein", r"has the value 255 at \(0, 0\); expected one of 0, 1 \(by --classes\)"),
    ],
)
def test_classes_that_do_not_fit(tmp_path, classes, message):
    with pytest.raises(InputError, match=message):
        read_cases(pairs(tmp_path), classes=classes)


def test_an_ignored_value_is_no_class(tmp_path):
    with pytest.raises(InputError, match=r"ignore_label is 255, which --classes names 'vessel'"):
        read_cases(pairs(tmp_path), classes="0=background,255=vessel", ignore_label=255)
    with pytest.raises(InputError, match=r"ignore_label is 1.5; expected an integer"):
        read_cases(tmp_path, ignore_label=1.5)
    with pytest.raises(InputError, match="ignore_label is 10000000000; expected an integer in"):
        read_cases(tmp_path, ignore_label=10**10)


def test_training_labels_need_foreground_those_of_the_test_do_not_make_up_for_it(tmp_path):
    split_folders(tmp_path)
    for i in range(2):
        save(tmp_path / "train/masks" / f"case{i}.png", mask((0,)))
    with pytest.raises(InputError, match="none of the 2 training labels has foreground"):
        read_cases(tmp_path)


def test_a_rare_value_may_be_named_and_a_sheet_is_no_class_a_channel(tmp_path):
    a_stray_pixel(tmp_path / "rare")
    named = read_cases(tmp_path / "rare", classes="0=background,255=vessel,3=dot")
    assert named.scheme.classes == ("background", "vessel", "dot")
    sheet = np.zeros((2, 5, 6), np.uint8)  # in a file that says its axes
    sheet[0] = 1
    for i in range(3):
        save(tmp_path / "sheets" / "images" / f"{i}.nii.gz", picture(i, size=(2, 5, 6), channels=0))
        save(tmp_path / "sheets" / "masks" / f"{i}.nii.gz", sheet)
    assert read_cases(tmp_path / "sheets").ndim == 3


def test_a_file_that_changed_since_is_noticed(tmp_path):
    folder = read_cases(pairs(tmp_path))
    save(folder.cases[0].image[0], picture("grey", channels=0))
    with pytest.raises(InputError, match=r"has shape \(1, 12, 18\); expected 3 channels of 2 axes"):
        folder.load(folder.cases[0])
    save(folder.cases[1].label, mask((0, 7)))
    with pytest.raises(InputError, match=r"has the value 7 at \(0, 0\)"):
        folder.load(folder.cases[1])


def test_orientation_and_spacing_of_image_and_label_agree(tmp_path):
    import nibabel

    nnunet(tmp_path)
    label = tmp_path / "labelsTr" / "Tr1.nii.gz"
    values = np.asarray(nibabel.load(label).dataobj)
    for affine, message in (
        (np.diag([0.5, -0.75, 3, 1]), "axes of different directions; expected both in one orientation"),
        (
            np.diag([-0.5, -0.5, 3, 1]),
            r"has the spacing \(3.0, 0.75, 0.5\) and its label .* \(3.0, 0.5, 0.5\)",
        ),
    ):
        nibabel.save(nibabel.Nifti1Image(values, affine), label)
        with pytest.raises(InputError, match=message):
            read_cases(tmp_path)


def test_the_progress_of_the_pass_is_shown_where_asked_for(tmp_path, capsys):
    read_cases(pairs(tmp_path))
    assert capsys.readouterr().err == ""
    read_cases(tmp_path, progress=True)
    assert "reading" in capsys.readouterr().err


def test_slices_of_colour_keep_their_channels(tmp_path):
    volume = picture("rgb", size=VOLUME)
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "0.tif", volume, photometric="rgb")
    save(tmp_path / "masks" / "0.tif", mask((0, 1), VOLUME))
    folder = read_cases(tmp_path)
    np.testing.assert_array_equal(folder.load(folder.cases[0]).image, np.moveaxis(volume, -1, 0))
