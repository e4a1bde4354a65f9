"""Where a study's images come from, how they are cut, scaled and resized, and what is refused."""

import multiprocessing
import os
import shutil
import signal
import types

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tests.evaluation.case_folders import nnunet, pairs, picture, save
from tests.evaluation.given_images import lines, splits, study_data
from topodl import InputError
from topodl.evaluation.data import Sample, training_batches
from topodl.evaluation.given_data import fingerprint, read_given
from topodl.evaluation.intensities import fit_intensities
from topodl.evaluation.patches import PatchCutter, default_patch_size
from topodl.evaluation.resizing import describe_change, resized
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.sources import load_data


def load(given=None, **values):
    notes = []
    settings = StudySettings.of_protocol("quick", device="cpu", **values)
    folds = load_data(settings, notes.append, None if given is None else read_given(given, 4.0))
    return (*folds, notes)


def identity(image, label, rng):
    return image, label


def sample(image, label, spacing=None):
    label = torch.as_tensor(label, dtype=torch.uint8)
    return Sample(torch.as_tensor(image), label, "a", "", spacing or (1.0,) * (label.ndim - 1))


def test_images_from_python_keep_their_sizes_and_values():
    given = splits(classes=("background", "vessel"))
    data, _ = load(given)
    assert [tuple(i.shape) for i in data.train.images] == [(1, 40, 56), (1, 64, 48), (1, 33, 70)]
    for image, label, (x, y) in zip(data.train.images, data.train.labels, given.train, strict=True):
        assert image.numpy().tolist() == x.tolist()
        assert label[0].numpy().tolist() == y.tolist()
    assert (data.classes, data.regions, data.has_ignored) == (("background", "vessel"), False, False)
    assert data.patch_size == (32, 48)
    assert data.test.groups == ("indistr",)


def test_items_may_be_dicts_with_ids_groups_and_spacings():
    image, label = lines((8, 16, 16))
    item = {"image": image, "label": label, "id": "p7", "group": "new clinic", "spacing": (3, 1, 1)}
    data, _ = load(types.SimpleNamespace(train=[(image, label)], val=[], test=[item]))
    assert (data.test.ids, data.test.groups, data.test.spacings) == (("p7",), ("new clinic",), ((3, 1, 1),))
    assert data.spatial_dims == 3


def test_an_ignored_label_and_overlapping_regions_are_read():
    image, label = lines((32, 32))
    label[0, 0] = 7
    data, _ = load(
        types.SimpleNamespace(train=[(image, label)], val=[], test=[(image, label)], ignore_index=7)
    )
    assert data.has_ignored
    assert data.ignores
    assert int(data.train.labels[0][0, 0, 0]) == 255
    both = np.stack([label > 0, label < 9])
    given = types.SimpleNamespace(train=[(image, both)], val=[], test=[(image, both)], regions=True,
                                  classes=("background", "whole", "core"))  # fmt: skip
    data, _ = load(given)
    assert (data.out_channels, data.foreground) == (2, ("whole", "core"))
    assert data.train.labels[0].shape == (2, 32, 32)


IMAGE, LABEL = lines((32, 32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": []}, r"data.train is empty; expected at least one of pairs \(image, label\)"),
        ({"test": iter([])}, "data.test is a list_iterator; expected a sequence of pairs"),
        ({"train": [IMAGE]}, r"data.train\[0\] is a ndarray; expected pairs \(image, label\), or dicts"),
        ({"train": [{"image": IMAGE}]}, r"data.train\[0\] has no 'label'"),
        ({"val": [(IMAGE[0], LABEL)]}, r"data.val\[0\]'s image has shape \(32, 32\) .*; expected numbers"),
        ({"test": [(IMAGE, LABEL[1:])]}, r"data.test\[0\]'s label has shape \(31, 32\) for an image of size"),
        (
            {"test": [(IMAGE, LABEL * 0.5)]},
            "label has values that are no integers; expected indices of classes",
        ),
        (
            {"test": [(IMAGE, LABEL * 255)]},
            r"label has the value 255; expected 0 to 254, or this value as data",
        ),
        (
            {"train": [(IMAGE, LABEL * 3)]},
            "data's labels have the values 0, 1, 3; expected 0, 1, … without gaps",
        ),
        ({"test": [(IMAGE, LABEL * 3)], "classes": ("a", "b")}, r"data.test\[0\]'s label has the value 3"),
        ({"train": [(IMAGE, LABEL * 0)]}, "no training label has any foreground"),
        (
            {"test": [(np.stack([IMAGE[0]] * 2), LABEL)]},
            "image 000 of the test split has 2 channels; expected 1",
        ),
        ({"test": [(IMAGE * np.nan, LABEL)]}, "image 000 of the test split has a value that is not finite"),
        ({"test": [{"image": IMAGE, "label": LABEL, "id": "a"}] * 2}, "the test split has two images a"),
        (
            {"test": [{"image": IMAGE, "label": LABEL, "spacing": (1,)}]},
            r"spacing is \(1.0,\); expected 2 pos",
        ),
    ],
)
def test_unusable_data_from_python_is_named(change, message):
    values = {"train": [(IMAGE, LABEL)], "val": [], "test": [(IMAGE, LABEL)]}
    with pytest.raises(InputError, match=message):
        load(types.SimpleNamespace(**values | change))


def test_an_object_without_splits_is_named():
    with pytest.raises(
        InputError, match="run_study: data is a list without 'train'; expected an object with"
    ):
        read_given([1, 2], 4.0)


def test_a_fingerprint_tells_data_apart():
    words = {
        fingerprint(read_given(data, 4.0))
        for data in (splits(), splits(), splits(((40, 56),) * 3), splits(classes=("background", "x")))
    }
    assert len(words) == 3


def test_a_folder_is_read_split_and_said_in_lines(tmp_path):
    data, notes = load(data=pairs(tmp_path, 10))
    assert [len(s) for s in data.splits().values()] == [6, 2, 2]
    assert not set(data.train.ids) & set(data.test.ids)
    assert data.classes == ("background", "foreground")
    assert any("no splits given, 6 cases to train, 2 to validate, 2 to test" in note for note in notes)
    again, _ = load(data=tmp_path)
    assert again.test.ids == data.test.ids


def test_a_split_that_is_missing_is_cut_and_said(tmp_path):
    for split, n in (("train", 5), ("val", 1), ("test", 1)):
        pairs(tmp_path, n, images=f"{split}/images", masks=f"{split}/masks")
    shutil.rmtree(tmp_path / "test" / "masks")
    data, notes = load(data=tmp_path)
    assert [len(s) for s in data.splits().values()] == [4, 1, 1]
    assert (
        "images/ beside masks/ in each split (5 train, 1 val; test/ has no labels and is left out)"
        in notes[0]
    )
    assert notes[2] == "no test split given, so 4 cases to train, 1 to validate, 1 to test"


def test_every_case_is_in_the_test_of_one_fold(tmp_path):
    *folds, notes = load(data=pairs(tmp_path, 10), folds=4)
    assert sorted(i for data in folds for i in data.test.ids) == [f"case{i}" for i in range(10)]
    assert all(not set(data.test.ids) & {*data.train.ids, *data.val.ids} for data in folds)
    assert any(note.startswith("4 folds, in the first of them") for note in notes)
    with pytest.raises(InputError, match="folds is 3 for data with its own splits; expected 0"):
        load(splits(), folds=3)


def test_ct_is_cut_at_percentiles_and_its_name_comes_from_the_data_set(tmp_path):
    data, _ = load(data=nnunet(tmp_path, n=5, tests=1, channels=("CT", "PET"), size=(4, 12, 18)))
    ct, pet = data.intensities.channels
    assert (ct.name, pet.name, pet.low, pet.high) == ("CT", "PET", None, None)
    several = zip(data.train.images, data.train.labels, strict=True)
    inside = np.concatenate([image[0][label[0] > 0].numpy() for image, label in several])
    assert (ct.low, ct.high) == pytest.approx(tuple(np.percentile(inside, [0.5, 99.5])))
    assert (ct.mean, ct.deviation) == pytest.approx((inside.mean(), inside.std()))
    scaled = data.intensities(data.train.images[0])
    assert float(scaled[0].max()) == pytest.approx((ct.high - ct.mean) / ct.deviation)
    assert data.spatial_dims == 3


def test_options_of_topomortar_are_refused_for_other_folders(tmp_path):
    with pytest.raises(InputError, match=r"labels is 'noisy' for .*, which is not TopoMortar"):
        load(data=pairs(tmp_path), labels="noisy")


def test_groups_that_are_not_trained_with_are_out_of_distribution(tmp_path):
    rows = []
    for i, (split, group) in enumerate(
        [("train", "a"), ("train", ""), ("val", "a"), ("test", "a"), ("test", "b")]
    ):
        save(tmp_path / f"{i}.png", picture(i))
        save(tmp_path / f"m{i}.png", np.pad(np.full((4, 4), 255, np.uint8), ((0, 8), (0, 14))))
        rows.append(f"{i}.png,m{i}.png,{split},{group}")
    (tmp_path / "list.csv").write_text("\n".join(["image,mask,split,group", *rows]), encoding="utf-8")
    data, _ = load(data=tmp_path / "list.csv")
    assert data.test.groups == ("indistr", "b")


def test_16_bit_values_are_neither_clipped_nor_scaled_before_the_training_images_say_how():
    images = [torch.tensor([[[0.0, 60_000.0]], [[1.0, 1.0]]]), torch.tensor([[[30_000.0]], [[1.0]]])]
    scale = fit_intensities(images, [torch.zeros(1, 1, 2), torch.zeros(1, 1, 1)], ("red", "mask"))
    red, mask = scale.channels
    assert (red.mean, mask.mean, mask.deviation) == (30_000, 1, 1)
    assert red.deviation == pytest.approx((2 / 3 * 30_000**2) ** 0.5)
    assert scale(images[0])[0].flatten().tolist() == pytest.approx([-(1.5**0.5), 1.5**0.5])
    assert scale.as_dict()["channels"][0]["name"] == "red"
    with pytest.raises(InputError, match="has 1 names for 2 channels; expected one a channel"):
        fit_intensities(images, [], ("red",))


def test_default_patches_fit_images_and_network():
    assert default_patch_size([(1411, 1411)], 16, 32) == (256, 256)
    assert default_patch_size([(40, 100), (50, 20), (60, 100)], 16, 32) == (48, 96)
    assert default_patch_size([(12, 90, 500)], 16, 32) == (32, 64, 64)
    assert default_patch_size([(300, 2000)], 128, 256) == (256, 256)


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_patch_is_the_piece_of_the_image_at_its_corner(h, w, ph, pw, certain, seed):
    rng = np.random.default_rng(seed)
    label = torch.from_numpy(rng.integers(0, 3, (1, h, w)).astype(np.uint8))
    image = torch.from_numpy(rng.random((2, h, w)))
    cutter = PatchCutter([label], (ph, pw), regions=False)
    index, (y, x) = cutter.place(0, certain, rng)
    patch, piece = cutter.cut(image, label, (y, x), lambda values: values + 1)
    assert index == 0
    assert (patch.shape, piece.shape) == ((2, ph, pw), (1, ph, pw))
    for i in range(ph):
        for j in range(pw):
            if 0 <= y + i < h and 0 <= x + j < w:
                assert torch.equal(patch[:, i, j], image[:, y + i, x + j] + 1)
                assert piece[0, i, j] == label[0, y + i, x + j]
            else:
                assert bool((patch[:, i, j] == 0).all())
                assert piece[0, i, j] == 255
    shown = int((piece != 255).sum())
    assert shown == min(h, ph) * min(w, pw)
    if certain and bool((label > 0).any()):
        assert bool(((piece > 0) & (piece != 255)).any())


def test_certain_foreground_takes_each_class_as_often_and_leaves_empty_images():
    label = torch.zeros(1, 64, 64, dtype=torch.uint8)
    label[0, :40], label[0, 60, 60] = 1, 2
    cutter = PatchCutter([torch.zeros_like(label), label], (8, 8), regions=False)
    rng, rare = np.random.default_rng(0), 0
    for _ in range(200):
        index, corner = cutter.place(0, True, rng)
        assert index == 1
        _, piece = cutter.cut(label, label, corner, lambda values: values)
        rare += bool((piece == 2).any())
    assert 70 < rare < 130
    assert cutter.place(0, False, rng)[0] == 0


def test_a_third_of_every_batch_shows_foreground():
    label = np.zeros((1, 200, 200))
    label[0, 5, 5] = 1
    data = study_data(label, patch_size=(16, 16))
    settings = StudySettings.of_protocol("quick", batch_size=4, device="cpu")
    batches = training_batches(data, data.train.labels, identity, settings,
                               seed=1, first=0, end=5, rank=0, world_size=1)  # fmt: skip
    for images, labels in batches:
        assert images.shape == (4, 1, 16, 16)
        assert (labels == 1).flatten(1).any(1)[-2:].tolist() == [True, True]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere Ctrl-C is no signal that one process sends another")
def test_ctrl_c_leaves_the_workers_that_load_to_their_parent(capfd):
    label = np.zeros((1, 40, 40))
    label[0, 5, 5] = 1
    data = study_data(label, patch_size=(16, 16))
    settings = StudySettings.of_protocol("quick", batch_size=2, workers=1, device="cpu")
    batches = training_batches(data, data.train.labels, identity, settings,
                               seed=1, first=0, end=6, rank=0, world_size=1)  # fmt: skip
    next(batches)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGINT)
    assert len(list(batches)) == 5
    assert "Traceback" not in capfd.readouterr().err


def test_a_label_shrinks_to_the_class_of_most_of_its_area():
    label = torch.zeros(1, 4, 8)
    label[0, 0, 0] = 1  # a quarter of its pixel
    label[0, 2, 2:4] = 2  # a half
    label[0, 0:2, 6:8] = 255
    label[0, 2, 4], label[0, 2:4, 5] = 2, 1
    small = resized(sample(torch.rand(3, 8, 8), torch.cat([label, label], 1), (2.0, 1.0)), 4)
    assert small.image.shape == (3, 4, 4)
    assert small.spacing == (4.0, 2.0)
    assert small.label[0].tolist() == [[0, 0, 0, 255], [0, 2, 1, 0]] * 2


def test_regions_shrink_by_themselves():
    label = torch.ones(2, 4, 4)
    label[1, 1:] = 0
    small = resized(sample(torch.rand(1, 4, 4), label), 2)
    assert small.label.tolist() == [[[1, 1], [1, 1]], [[1, 1], [0, 0]]]


def test_volumes_are_resized_along_every_axis():
    image = torch.arange(8.0).reshape(1, 8, 1, 1).expand(1, 8, 4, 2)
    small = resized(sample(image, torch.ones(1, 8, 4, 2)), 4)
    assert small.image.shape == (1, 4, 4, 4)
    assert small.image[0, :, 0, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    assert bool((small.label == 1).all())


def test_resizing_says_what_it_does_to_the_topology(tmp_path):
    checks = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((2, 2))).astype(np.uint8) * 255
    for i in range(4):
        save(tmp_path / "images" / f"{i}.png", picture(i, size=(32, 32)))
        save(tmp_path / "masks" / f"{i}.png", checks)
    _, notes = load(data=tmp_path, image_size=16)
    before = [ndimage.label(checks > 0, np.ones((3, 3)))[1], ndimage.label(np.pad(checks == 0, 1))[1]]
    assert before[0] == 1
    line = next(note for note in notes if "--image-size" in note)
    assert line.startswith(
        "--image-size 16: resized labels have the same Betti numbers, on average foreground 1"
    )
    _, notes = load(data=tmp_path)
    assert not any("--image-size" in note for note in notes)


def test_the_change_of_betti_numbers_by_hand():
    ring = torch.zeros(1, 9, 9, dtype=torch.uint8)
    ring[0, 2:7, 2:7], ring[0, 4, 4] = 2, 0
    line = describe_change([ring, ring * 0], [ring, ring], ("background", "a", "b"), regions=False)
    assert line == (
        "resized labels have other Betti numbers, on average a 0.0, 0.0 -> 0.0, 0.0; b 0.5, 0.5 -> 1.0, 1.0"
    )
    # Equal means do not make equal labels.
    swapped = describe_change([ring, ring * 0], [ring * 0, ring], ("background", "a", "b"), regions=False)
    assert swapped.startswith("resized labels have other Betti numbers, on average a 0.0")
    same = describe_change([ring], [ring], ("background", "a", "b"), regions=False)
    assert same.startswith("resized labels have the same Betti numbers, on average a 0.0")


def test_random_hues_are_for_colours():
    with pytest.raises(
        InputError, match="framework is 'randhue' for images with 1 channels; expected images"
    ):
        load(splits(), framework="randhue")


def test_options_of_folders_are_refused_for_data_that_needs_none():
    for values, message in (
        (
            {"classes": "0=a,1=b"},
            "classes is '0=a,1=b' for data that names its classes itself; expected None",
        ),
        ({"ignore_label": 3}, "ignore_label is 3 for data that names its classes itself"),
    ):
        with pytest.raises(InputError, match=message):
            load(splits(), **values)
        with pytest.raises(InputError, match=message):
            load(**values)


def test_patch_sizes_that_do_not_fit_are_named():
    with pytest.raises(
        InputError, match="patch_size is 32 32 32 for images with 2 axes; expected 1 or 2 numbers"
    ):
        load(splits(), patch_size=[32, 32, 32])
    with pytest.raises(
        InputError, match="patch_size is 64 with network='dynunet'; expected a multiple of 128"
    ):
        load(splits(), patch_size=64, network="dynunet")
    assert load(splits(), patch_size=40)[0].patch_size == (40, 40)
