"""Ridges against a gradient field by the book, with and without ties, and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.separatrices import separatrices
from topodl.losses.dmt import morse_ridges


def ridges(image, threshold, eight=True, window=None):
    return morse_ridges(torch.as_tensor(image)[None], threshold, eight, window)[0].numpy()


def draw(shape, seed, levels, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return (rng.random(shape) if levels is None else rng.integers(levels, size=shape) / levels).astype(dtype)


SIDE, SEED = st.integers(1, 5), st.integers(0, 2**32 - 1)
LEVELS = st.one_of(st.none(), st.integers(2, 6))
THRESHOLD = st.sampled_from([0.0, 0.1, 0.3, 0.6, 2.0])


@given(SIDE, SIDE, SEED, LEVELS, THRESHOLD, st.booleans(), st.sampled_from([np.float32, np.float64]))
def test_agrees_with_a_gradient_field_by_the_book(height, width, seed, levels, threshold, eight, dtype):
    image = draw((height, width), seed, levels, dtype)
    assert np.array_equal(ridges(image, threshold, eight), separatrices(image, threshold, eight))


@given(st.tuples(*[st.integers(1, 3)] * 3), SEED, LEVELS, THRESHOLD, st.booleans())
def test_agrees_with_a_gradient_field_of_volumes(shape, seed, levels, threshold, eight):
    image = draw(shape, seed, levels)
    assert np.array_equal(ridges(image, threshold, eight), separatrices(image, threshold, eight))


@pytest.mark.parametrize(("threshold", "expected"), [(0.0, "0111110"), (0.3, "0111000"), (0.6, "0000000")])
def test_a_line_with_two_gaps_by_hand(threshold, expected):
    line = np.array([[0.1, 0.9, 0.3, 0.8, 0.5, 0.7, 0.2]])  # saddles of persistence 0.5 and 0.2
    assert "".join(map(str, ridges(line, threshold)[0].astype(int))) == expected


def test_a_ring_by_hand():
    ring = np.zeros((5, 5))
    ring[1:4, 1:4] = 1 - 0.01 * np.arange(9).reshape(3, 3)
    ring[2, 2] = 0
    # one maximum, in a corner; the loop closes at 0.93, the latest of those that it cannot do without
    diamond = np.zeros((5, 5), bool)
    diamond[[1, 1, 2, 2, 3], [1, 2, 1, 3, 2]] = True
    assert np.array_equal(ridges(ring, 0.5), diamond)
    assert np.array_equal(ridges(ring, 0.5, eight=False), ring > 0)  # without corners it takes all
    assert not ridges(ring, 0.95).any()


@given(SIDE, SIDE, st.floats(0, 1))
def test_a_constant_image_has_no_ridge(height, width, value):
    assert not ridges(np.full((height, width), value), 0.0).any()


@given(st.integers(2, 12), st.integers(2, 12), SEED, LEVELS, st.integers(2, 7))
def test_windows_are_images_of_their_own(height, width, seed, levels, window):
    image = draw((height, width), seed, levels)
    found = ridges(image, 0.1, window=window)
    for y in range(0, height, window):
        for x in range(0, width, window):
            crop = (slice(y, y + window), slice(x, x + window))
            assert np.array_equal(found[crop], ridges(image[crop], 0.1))


@given(st.integers(1, 12), st.integers(1, 12), SEED, LEVELS)
def test_ridges_shrink_to_nothing_with_the_threshold_and_batches_are_single_images(
    height, width, seed, levels
):
    images = torch.as_tensor(draw((3, height, width), seed, levels))
    together = morse_ridges(images, 0.2, True)
    for image, found in zip(images, together, strict=True):
        assert torch.equal(morse_ridges(image[None], 0.2, True)[0], found)
    assert not morse_ridges(images, 1.0, True).any()
