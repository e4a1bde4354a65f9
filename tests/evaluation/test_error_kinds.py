"""Kinds of errors in topology: small cases by hand, against Betti numbers, and their way into the report."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.measure import euler_number

from topodl.evaluation.error_kinds import KIND_COLUMNS, _euler, count_kinds

FRAME = np.zeros((9, 9), dtype=np.uint8)
FRAME[1:8, 1:8] = 1
FRAME[2:7, 2:7] = 0  # a ring
WINDOW = FRAME.copy()
WINDOW[4, 1:8] = 1  # a ring with a bar: two holes


def changed(mask, *pixels):
    mask = mask.copy()
    for pixel in pixels:
        mask[pixel] = 1 - mask[pixel]
    return mask


def kinds(prediction, label):
    counts = count_kinds(prediction[None], label[None])
    return {name: n for name, n in zip(KIND_COLUMNS, counts.tolist(), strict=True) if n}


LINE = np.zeros((5, 9), dtype=np.uint8)
LINE[2, :] = 1
TWO = np.zeros((7, 9), dtype=np.uint8)
TWO[1, :] = TWO[5, :] = 1


@pytest.mark.parametrize(
    ("prediction", "label", "expected"),
    [
        (LINE, LINE, {}),
        (changed(LINE, (2, 4)), LINE, {"components_broken": 1}),
        (changed(TWO, (2, 4), (3, 4), (4, 4)), TWO, {"components_merged": 1}),
        (changed(TWO, (slice(5, 6), slice(None))), TWO, {"components_missing": 1}),
        (TWO, changed(TWO, (slice(5, 6), slice(None))), {"components_spurious": 1}),
        (changed(FRAME, (1, 4)), FRAME, {"holes_broken": 1}),
        (changed(WINDOW, (4, 4)), WINDOW, {"holes_broken": 1}),
        (WINDOW, FRAME, {"holes_merged": 1}),
        (changed(FRAME, (slice(2, 7), slice(2, 7))), FRAME, {"holes_merged": 1}),
        (np.zeros_like(FRAME), FRAME, {"components_missing": 1, "holes_missing": 1}),
    ],
)
def test_kinds_by_hand(prediction, label, expected):
    assert kinds(prediction, label) == expected


def test_ignored_pixels_are_right_and_classes_add_up():
    label = changed(LINE, (2, 4))
    label[2, 4] = 255
    assert kinds(LINE, label) == {}
    both = count_kinds(np.stack([changed(LINE, (2, 4)), LINE]), np.stack([LINE, LINE]))
    assert both.sum() == 1


masks = arrays(np.uint8, (8, 9), elements=st.integers(0, 1))


@settings(deadline=None, max_examples=60)
@given(masks)
def test_the_euler_characteristic_is_that_of_scikit_image(mask):
    assert _euler(mask == 1) == euler_number(mask == 1, connectivity=2)


@settings(deadline=None, max_examples=60)
@given(masks, masks)
def test_without_counts_the_betti_numbers_agree(prediction, label):
    """A prediction without any place has the topology of the label; the same mask has no place."""
    assert not count_kinds(label[None], label[None]).any()
    if not count_kinds(prediction[None], label[None]).any():
        assert betti(prediction) == betti(label)


@settings(deadline=None, max_examples=60)
@given(masks, st.integers(0, 7), st.integers(0, 8))
def test_one_wrong_pixel_changes_what_its_kinds_say(label, row, column):
    prediction = changed(label, (row, column))
    counts = count_kinds(prediction[None], label[None]).reshape(2, 4).sum(1)
    assert counts.tolist() == [abs(p - t) for p, t in zip(betti(prediction), betti(label), strict=True)]


def betti(mask):
    components = ndimage.label(mask, np.ones((3, 3)))[1]
    return components, ndimage.label(np.pad(mask, 1) == 0)[1] - 1
