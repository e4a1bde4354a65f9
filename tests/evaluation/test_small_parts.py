"""Small components and holes are removed from predictions, as small as the validation images say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from topodl import InputError
from topodl.evaluation.data import Images
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.small_parts import (
    SIZES,
    SmallestParts,
    check_removal,
    choose_sizes,
    without_small_parts,
)
from topodl.evaluation.study import run_study

from .given_images import splits, study_data

SHAPES = st.sampled_from([(1, 1), (7, 9), (12, 5), (4, 5, 6)])
MASKS = SHAPES.flatmap(lambda shape: arrays(bool, shape))


def sizes_of(mask, corners, *, closed):
    """Return the sizes of components; `closed` leaves out those with a pixel at the edge."""
    structure = np.ones((3,) * mask.ndim) if corners else None
    places, n = ndimage.label(np.pad(mask, 1, constant_values=closed), structure)
    outer = places[(0,) * mask.ndim] if closed else 0
    return [int((places == i).sum()) for i in range(1, n + 1) if i != outer]


@settings(max_examples=60, deadline=None)
@given(MASKS, st.integers(0, 12), st.integers(0, 12))
def test_what_is_left_is_large_enough(mask, component, hole):
    left = without_small_parts(mask, SmallestParts(component, hole))
    assert min(sizes_of(left, corners=True, closed=False), default=component) >= component
    assert min(sizes_of(~left, corners=False, closed=True), default=hole) >= hole
    assert np.array_equal(without_small_parts(left, SmallestParts(component, hole)), left)


@settings(max_examples=30, deadline=None)
@given(MASKS)
def test_nothing_is_small_without_sizes(mask):
    for none in (0, 1):
        assert np.array_equal(without_small_parts(mask, SmallestParts(none, none)), mask)


def test_background_at_the_edge_is_no_hole():
    mask = np.ones((5, 5), dtype=bool)
    mask[0, 2] = mask[2, 2] = False
    filled = without_small_parts(mask, SmallestParts(0, 9))
    assert not filled[0, 2]
    assert filled[2, 2]


def test_of_volumes_cavities_are_filled_and_tunnels_stay():
    volume = np.ones((5, 5, 5), dtype=bool)
    volume[:, 1, 1] = volume[3, 3, 3] = False
    filled = without_small_parts(volume, SmallestParts(0, 99))
    assert not filled[:, 1, 1].any()
    assert filled[3, 3, 3]


def a_case(specks, side=24):
    """Return a prediction and a label (1, H, W): a frame of 92 pixels, and specks of the sizes given."""
    label = np.zeros((side, side), dtype=np.uint8)
    label[[0, -1]] = label[:, [0, -1]] = 1
    prediction = label.copy()
    for i, size in enumerate(specks):
        prediction[3 + 3 * i, 3 : 3 + size] = 1
    return torch.from_numpy(prediction)[None], torch.from_numpy(label)[None]


def test_sizes_suit_the_labels():
    prediction, label = a_case([3, 5, 1])
    assert choose_sizes([prediction], [label], "standard") == SmallestParts(8, 0)
    assert choose_sizes([label], [label], "standard") == SmallestParts(0, 0)
    prediction, label = a_case([1, 1, 1])
    speck = label.clone()
    speck[0, 5, 5:8] = 1  # a true one, which must stay
    assert choose_sizes([prediction, speck], [label, speck], "standard") == SmallestParts(2, 0)


def test_what_is_ignored_says_nothing():
    prediction, label = a_case([3])
    label[0, 3, 3:6] = 255
    assert choose_sizes([prediction], [label], "standard") == SmallestParts(0, 0)


def test_a_study_cleans_its_test_predictions(tmp_path):
    values = {"image_size": 32, "iterations": 2, "batch_size": 2, "test_images": 1, "training_set": "small",
              "validation_interval": 0, "device": "cpu", "seeds": [3], "losses": ["ce_dice"]}  # fmt: skip
    plain, clean = (
        run_study(StudySettings.of_protocol("quick", **values, remove_small=remove), tmp_path / str(remove))
        for remove in (False, True)
    )
    row = clean.sizes_csv("ce_dice", 3).read_text().split()
    assert row[0] == "component,hole"
    smallest = SmallestParts(*map(int, row[1].split(",")))
    assert set(smallest) <= set(SIZES)
    assert max(smallest) > 1  # after two steps there are specks
    for path in clean.predictions("ce_dice", 3).iterdir():
        before = plain.prediction("ce_dice", 3, path.stem)
        from_file = [np.asarray(Image.open(each)) > 0 for each in (before, path)]
        assert np.array_equal(without_small_parts(from_file[0], smallest), from_file[1])
    assert not plain.sizes_csv("ce_dice", 3).exists()


def test_several_classes_are_refused_before_any_training(tmp_path):
    wanted = StudySettings.of_protocol("quick", losses=["ce_dice"], device="cpu", remove_small=True)
    with pytest.raises(
        InputError, match="remove_small is True for the 2 classes class 1, class 2; expected one class"
    ):
        run_study(wanted, tmp_path / "run", data=splits(n_classes=3))
    assert not (tmp_path / "run").exists()


def test_sizes_need_validation_images():
    data = study_data(np.zeros((1, 8, 8)))
    check_removal(data)
    without = replace(data, val=Images.of([]))
    with pytest.raises(InputError, match="remove_small is True for data without validation images"):
        check_removal(without)
