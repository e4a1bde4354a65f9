"""What a report says of the data: its name, its images, how much of them is which class."""

import json

import pytest
import torch

from tests.evaluation.given_images import study_data
from topodl import InputError
from topodl.evaluation.data import describe
from topodl.evaluation.described import data_name, data_sentence, read_description
from topodl.evaluation.run_folder import RunFolder


def described(data, source, **more):
    images = {"source": source, "train": 14, "val": 1, "test": 5}
    shares = {"background": 0.75, "vessel": 0.25}
    return {"settings": {"data": data, "folds": 0}, "images": images, "classes": {"shares": shares}} | more


def test_shares_are_those_of_all_pixels_that_count():
    label = torch.tensor([[[0, 0, 1, 2], [1, 1, 255, 255]]])
    shares = describe(study_data(label, ("background", "artery", "vein")))["classes"]["shares"]
    assert shares == {"background": pytest.approx(1 / 3, abs=1e-6), "artery": 0.5,
                      "vein": pytest.approx(1 / 6, abs=1e-6)}  # fmt: skip
    regions = torch.tensor([[[1, 1, 0, 255]], [[1, 0, 0, 255]]])
    shares = describe(study_data(regions, ("background", "whole", "core"), regions=True))["classes"]["shares"]
    assert shares == {"whole": pytest.approx(2 / 3, abs=1e-6), "core": pytest.approx(1 / 3, abs=1e-6)}
    nowhere = torch.full((1, 2, 2), 255)
    assert describe(study_data(nowhere))["classes"]["shares"] == {"background": 0.0, "line": 0.0}


@pytest.mark.parametrize(
    ("data", "source", "name"),
    [
        ("/home/me/retina", "retina/: images/ beside masks/", "retina, 14 training images"),
        (
            "/home/me/retina/cases.csv",
            "cases.csv: a list of 20 cases",
            "retina/cases.csv, 14 training images",
        ),
        ("python-0123", "images from Python", "Images from Python, 14 training images"),
        (None, "drawn walls", ""),
        ("/data/topomortar", "TopoMortar's layout", ""),
    ],
)
def test_data_of_ones_own_has_its_name_for_a_heading(data, source, name):
    assert data_name(described(data, source)) == name


def test_the_sentence_has_what_was_read():
    assert data_sentence(described("/x/retina", "retina/: images/ beside masks/")) == (
        "Data: retina/: images/ beside masks/; 14 training images, 1 validation image, 5 test images. "
        "Pixels of the labels: background 75 %, vessel 25 %."
    )
    one = described("/x/retina", "retina/")
    folds = {"settings": {"data": "/x/retina", "folds": 2}, "folds": [one, one]}
    assert data_name(folds) == "retina, 2 folds"
    assert data_sentence(folds).startswith("Data: retina/; in the first fold 14 training images")


@pytest.mark.parametrize(
    "content", [{}, {"settings": 5, "images": []}, {"folds": [3]}, {"images": {"source": ""}}]
)
def test_what_is_not_known_is_left_out(content):
    assert (data_name(content), data_sentence(content)) == ("", "")


def test_a_description_is_an_object_or_nothing(tmp_path):
    folder = RunFolder(tmp_path)
    assert read_description(folder) == {}
    folder.settings.write_text(json.dumps({"a": 1}))
    assert read_description(folder) == {"a": 1}
    folder.settings.write_text("[]")
    with pytest.raises(InputError, match="has no names with values"):
        read_description(folder)
