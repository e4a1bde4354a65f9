"""Critical regions against the slow twin, and the promise that they are all that changes the topology."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import topograph as naive
from topodl.kernels.masks.topograph import critical_regions


def _as_sets(pixels, regions):
    return {frozenset(pixels[regions == r].tolist()) for r in np.unique(regions)}


masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(masks, st.data(), st.booleans())
def test_agrees_with_the_slow_twin(predicted, data, eight):
    target = data.draw(hnp.arrays(bool, predicted.shape))
    pixels, regions = critical_regions(predicted, target, eight)
    assert _as_sets(pixels, regions) == naive.critical_regions(predicted, target, eight)
    assert np.all(np.diff(pixels) > 0)


@given(masks)
def test_equal_images_have_no_critical_region(mask):
    assert critical_regions(mask, mask)[0].size == 0


@pytest.mark.parametrize("eight", [True, False])
def test_a_wrong_image_is_one_critical_region(eight):
    pixels, regions = critical_regions(np.ones((3, 4), bool), np.zeros((3, 4), bool), eight)
    assert pixels.tolist() == list(range(12))
    assert not regions.any()


def test_regions_are_numbered_by_their_first_pixel():
    target = np.zeros((3, 9), bool)
    target[1] = True
    predicted = target.copy()
    predicted[1, 2] = predicted[1, 6] = False
    pixels, regions = critical_regions(predicted, target)
    assert pixels.tolist() == [11, 15]
    assert regions.tolist() == [0, 1]


def test_a_thicker_line_has_no_critical_region():
    target = np.zeros((5, 9), bool)
    target[2] = True
    predicted = target.copy()
    predicted[3, 2:5] = True
    assert critical_regions(predicted, target)[0].size == 0
