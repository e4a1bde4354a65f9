"""Thumbnails: PNG files that another library reads, and which samples they show."""

import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image

from topodl import InputError
from topodl.mapper._thumbnails import draw_thumbnails, png_bytes


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def sheet_of(drawn, number=0):
    return opened(base64.b64decode(drawn.sheets[number].removeprefix("data:image/png;base64,")))


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4]), st.integers(0, 99))
def test_png_files_are_read_back(height, width, channels, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    for each in (image, np.arange(width, dtype=np.uint8)[None, :, None] + image[:, :1]):  # noise, and a slope
        assert_array_equal(opened(png_bytes(each)).reshape(each.shape), each)


def test_each_picture_is_at_its_place():
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 8), dtype=np.uint8)
    drawn = draw_thumbnails("f", images, [3, 7, 29])
    sheet = sheet_of(drawn)
    assert list(drawn.places) == [3, 7, 29]
    for sample, (number, left, top, width, height) in drawn.places.items():
        assert number == 0
        assert_array_equal(sheet[top : top + height, left : left + width], images[sample])


def test_many_pictures_take_several_sheets():
    images = np.zeros((2000, 48, 48), np.uint8)
    images[:, 0, 0] = np.arange(2000) % 256
    drawn = draw_thumbnails("f", images, range(2000))
    assert len(drawn.sheets) == 2
    number, left, top, _, _ = drawn.places[1999]
    assert sheet_of(drawn, number)[top, left] == 1999 % 256


def test_floats_are_scaled_over_all_pictures():
    images = torch.tensor([[[-1.0, 0.0]], [[1.0, 3.0]]])
    drawn = draw_thumbnails("f", images, [0, 1])
    pixels = {k: sheet_of(drawn)[y, x : x + w].tolist() for k, (_, x, y, w, _) in drawn.places.items()}
    assert pixels == {0: [0, 64], 1: [128, 255]}
    constant = draw_thumbnails("f", np.full((1, 2, 2), 7.0), [0])
    assert sheet_of(constant).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("shape", [(3, 5, 6), (5, 6, 3)])
def test_colours_stand_first_or_last(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    sheet = sheet_of(draw_thumbnails("f", [image], [0]))
    assert_array_equal(sheet[:5, :6], image if shape[-1] == 3 else np.moveaxis(image, 0, -1))


def test_grey_and_coloured_pictures_share_a_sheet():
    grey, red = np.full((2, 2), 9, np.uint8), np.zeros((2, 2, 4), np.uint8)
    red[..., 0] = 200
    sheet = sheet_of(draw_thumbnails("f", [grey, red], [0, 1]))
    assert sheet[0, 0].tolist() == [9, 9, 9, 255]
    assert sheet[0, 2].tolist() == [200, 0, 0, 0]


def test_large_pictures_are_means_of_squares():
    image = np.zeros((96, 97), np.uint8)
    image[:3, :3] = 90  # 97 / 48: squares of three pixels
    image[:, 96] = 30  # alone in its column
    drawn = draw_thumbnails("f", [image], [0])
    sheet = sheet_of(drawn)
    assert drawn.places[0][3:] == (33, 32)
    assert sheet[0, 0] == 90
    assert sheet[0, 32] == 30
    assert sheet[1, 1] == 0


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(3), r"images\[0\] has shape \(3,\)"),
        (np.zeros((2, 3, 5)), r"images\[0\] has shape \(2, 3, 5\)"),
        (np.zeros((0, 3)), r"images\[0\] has shape \(0, 3\)"),
        (np.full((2, 2), np.nan), r"images\[0\] has a value that is not finite"),
        (np.full((2, 2), "a"), r"images\[0\] has dtype"),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        draw_thumbnails("f", [image], [0])
