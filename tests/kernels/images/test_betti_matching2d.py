"""The induced matching against image persistence by matrix reduction, and its invariants."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.naive import betti_matching as naive
from topodl.persistence.matching import match_images


def _bars(image, pixels):
    return sorted((image.flat[b], image.flat[d]) for b, d in pixels.tolist())


def _pairs(bars, others):
    return sorted(zip(map(tuple, bars.tolist()), map(tuple, others.tolist()), strict=True))


def _draw(height, width, seed, smooth):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, height, width))
    if smooth:  # fewer saddles that join three basins, and a matching that is not empty
        blob = rng.random((height, width))
        first, second = blob + 0.3 * first, blob + 0.3 * second
    return first, second


@given(
    st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1), st.booleans(), st.booleans()
)  # fmt: skip
def test_agrees_with_image_persistence_by_reduction(height, width, seed, by_cells, smooth):
    first, second = _draw(height, width, seed, smooth)
    expected, ours, theirs, both = naive.match(first, second, by_cells)
    # where a pixel ends two bars, which of them is matched depends on the order of the edges at it
    for bars in (ours, theirs, both):
        ends = [(dim, pixel) for dim, *pair in bars for pixel in pair]
        assume(len(set(ends)) == len(ends))
    result = match_images(first, second, by_cells)
    assert _pairs(result.matched, result.other_matched) == sorted((a[1:], b[1:]) for a, b in expected)
    assert {tuple(p) for p in [*result.matched.tolist(), *result.unmatched.tolist()]} == {b[1:] for b in ours}
    assert {tuple(p) for p in [*result.other_matched.tolist(), *result.other_unmatched.tolist()]} == {
        b[1:] for b in theirs
    }
    assert result.essential.tolist() == [first.argmin(), second.argmin()]


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1), st.booleans(), st.integers(2, 5))
def test_an_image_matches_itself_bar_by_bar(height, width, seed, by_cells, levels):
    image = np.random.default_rng(seed).integers(levels, size=(height, width)).astype(float)
    result = match_images(image, image, by_cells)
    assert result.unmatched.size == result.other_unmatched.size == 0
    assert np.array_equal(result.matched, result.other_matched)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1), st.booleans(), st.integers(2, 5))
def test_swapping_the_images_swaps_the_matching(height, width, seed, by_cells, levels):
    first, second = np.random.default_rng(seed).integers(levels, size=(2, height, width)).astype(float)
    one, other = match_images(first, second, by_cells), match_images(second, first, by_cells)
    assert len(one.matched) == len(other.matched)
    assert _bars(first, one.unmatched) == _bars(first, other.other_unmatched)
    assert _pairs(one.matched, one.other_matched) == _pairs(other.other_matched, other.matched)


def test_a_shifted_feature_is_not_matched():
    first, second = np.zeros((3, 9)), np.zeros((3, 9))
    first[:] = second[:] = 1.0
    first[1, 1] = second[1, 1] = 0.0
    first[1, 4] = 0.2
    second[1, 7] = 0.2
    result = match_images(first, second, by_cells=True)
    assert len(result.matched) == 0
    assert len(result.unmatched) == len(result.other_unmatched) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_precisions_agree(dtype):
    first, second = (x.astype(dtype) for x in np.random.default_rng(0).integers(9, size=(2, 40, 30)))
    result, reference = (match_images(a, b, True) for a, b in ((first, second), (first * 1.0, second * 1.0)))
    assert all(np.array_equal(a, b) for a, b in zip(result, reference, strict=True))


@pytest.mark.parametrize("by_cells", [False, True])
@pytest.mark.parametrize("levels", [None, 3])
def test_any_number_of_threads_finds_the_same_matching(use_threads, by_cells, levels):
    first, second = np.random.default_rng(4).random((2, 19, 17))
    if levels is not None:
        first, second = np.floor(levels * first), np.floor(levels * second)
    use_threads(1)
    alone = match_images(first, second, by_cells)
    for threads in (2, 3, 7):
        use_threads(threads)
        for own, expected in zip(match_images(first, second, by_cells), alone, strict=True):
            np.testing.assert_array_equal(own, expected)
