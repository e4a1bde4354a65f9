"""The induced matching of volumes against matrix reduction, Betti-Matching-3D, and its own invariants."""

import importlib.util
import pathlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tests.naive import betti_matching as naive
from topodl.kernels.images import cubical3d
from topodl.persistence.matching import match_images

SIDES = st.tuples(*[st.integers(1, 4)] * 3)
SEEDS = st.integers(0, 2**32 - 1)


def _rows(pixels):
    return list(map(tuple, pixels.tolist()))


def _pairs(bars, others):
    return sorted(zip(_rows(bars), _rows(others), strict=True))


def _draw(shape, seed, kind):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, *shape))
    if kind == "alike":  # a matching that is not empty
        common = rng.random(shape)
        first, second = common + 0.3 * first, common + 0.3 * second
    if kind == "mask":
        second = np.round(second)
    return first, second


@given(SIDES, SEEDS, st.booleans(), st.sampled_from(["noise", "alike", "mask"]))
def test_agrees_with_image_persistence_by_reduction(shape, seed, by_cells, kind):
    first, second = _draw(shape, seed, kind)
    expected, ours, theirs, both = naive.match(first, second, by_cells)
    result = match_images(first, second, by_cells)
    for bars, parts in (
        (ours, (result.matched, result.unmatched)),
        (theirs, (result.other_matched, result.other_unmatched)),
    ):
        assert Counter(bar[1:] for bar in bars) == Counter(_rows(np.concatenate(parts)))
    ends = [
        [(dim, side, pixel) for dim, *bar in bars for side, pixel in enumerate(bar)]
        for bars in (ours, theirs, both)
    ]
    if all(len(set(pixels)) == len(pixels) for pixels in ends):
        assert _pairs(result.matched, result.other_matched) == sorted((a[1:], b[1:]) for a, b in expected)
    # otherwise a voxel ends two bars, and which of them is matched depends on the order of the cells at it
    assert result.essential.tolist() == [first.argmin(), second.argmin()]


def _draw_with_shared_ends(seed):
    """Return two volumes, with equal voxels if the seed is even, in which a voxel may end several bars."""
    drawn = np.random.default_rng(seed).permutation(120).reshape(2, 3, 4, 5)
    return drawn.astype(float) // (1 if seed % 2 else 4)


# Births and deaths of matched bars in both volumes: a record of which bar of a voxel is taken. Cells of one
# voxel in another order, as those of the slow twin, give other bars.
RECORDED = {
    (239, False): [
        [5, 6, 36, 6],
        [26, 51, 40, 45],
        [38, 47, 49, 29],
    ],
    (346, False): [
        [19, 34, 22, 17],
        [20, 25, 0, 21],
        [36, 21, 31, 32],
        [52, 26, 6, 26],
        [55, 35, 55, 35],
    ],
    (200, True): [
        [8, 53, 52, 53],
        [13, 33, 32, 33],
        [54, 52, 38, 27],
    ],
}


@pytest.mark.parametrize(("seed", "by_cells"), RECORDED)
def test_bars_that_end_in_one_voxel_match_in_their_recorded_order(seed, by_cells):
    result = match_images(*_draw_with_shared_ends(seed), by_cells)
    pairs = np.hstack([result.matched, result.other_matched]).tolist()
    assert sorted(pairs) == RECORDED[seed, by_cells]


@pytest.mark.parametrize(
    ("seed", "by_cells"), [(11, False), (229, False), (299, False), (187, True), (212, True), (328, True)]
)
def test_bars_whose_image_is_over_before_it_begins_do_not_match(seed, by_cells):
    volumes = _draw_with_shared_ends(seed)
    expected = naive.match(*volumes, by_cells)[0]
    result = match_images(*volumes, by_cells)
    assert _pairs(result.matched, result.other_matched) == sorted((a[1:], b[1:]) for a, b in expected)


@pytest.mark.parametrize("by_cells", [False, True])
@pytest.mark.parametrize("levels", [2, 5, 10**6])
def test_a_volume_matches_itself_bar_by_bar(by_cells, levels):
    volume = np.random.default_rng(levels).integers(levels, size=(7, 8, 9)).astype(np.float32)
    result = match_images(volume, volume, by_cells)
    assert result.unmatched.size == result.other_unmatched.size == 0
    assert np.array_equal(result.matched, result.other_matched)
    assert len(result.matched) > 5


@given(SIDES, SEEDS, st.booleans(), st.integers(2, 5))
def test_swapping_the_volumes_swaps_the_matching(shape, seed, by_cells, levels):
    first, second = np.random.default_rng(seed).integers(levels, size=(2, *shape)).astype(float)
    one, other = match_images(first, second, by_cells), match_images(second, first, by_cells)
    assert _pairs(one.matched, one.other_matched) == _pairs(other.other_matched, other.matched)
    assert sorted(_rows(one.unmatched)) == sorted(_rows(other.other_unmatched))


def _tube(shape=(5, 9, 9)):
    """Return a volume of ones with a loop of zeros in it, which is filled at the level one."""
    volume = np.ones(shape)
    volume[2, 2:7, 2:7] = 0
    volume[2, 3:6, 3:6] = 1
    return volume


@pytest.mark.parametrize("by_cells", [False, True])
def test_loops_match_where_they_are_the_same_loop(by_cells):
    wide = np.pad(_tube(), ((0, 0), (0, 0), (0, 10)), constant_values=1)
    thick = ndimage.minimum_filter(wide, size=(3, 1, 1))
    result = match_images(wide, thick, by_cells)
    assert len(result.matched) == 1
    assert len(result.unmatched) == len(result.other_unmatched) == 0
    result = match_images(wide, wide[..., ::-1].copy(), by_cells)  # the same loop elsewhere
    assert len(result.matched) == 0
    assert result.unmatched_dims.tolist() == result.other_unmatched_dims.tolist() == [1]


@pytest.mark.parametrize("by_cells", [False, True])
def test_cavities_match_where_they_are_the_same_cavity(by_cells):
    ball = np.ones((5, 5, 11))
    ball[1:4, 1:4, 1:4] = 0
    ball[2, 2, 2] = 1
    result = match_images(ball, np.minimum(ball, 0.9), by_cells)
    assert len(result.matched) == 1
    assert len(result.unmatched) == len(result.other_unmatched) == 0
    result = match_images(ball, ball[..., ::-1].copy(), by_cells)
    assert result.unmatched_dims.tolist() == result.other_unmatched_dims.tolist() == [2]


@pytest.mark.parametrize("by_cells", [False, True])
def test_flows_may_be_forgotten(monkeypatch, by_cells):
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 12, 13, 14))
    expected = match_images(first, first + 0.3 * second, by_cells)
    assert len(expected.matched) > 50
    monkeypatch.setattr(cubical3d, "_WORDS_A_VOXEL", 0)
    found = match_images(first, first + 0.3 * second, by_cells)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@given(st.tuples(*[st.integers(1, 9)] * 3), SEEDS, st.booleans())
def test_a_volume_matches_a_lower_one_by_a_constant_bar_by_bar(shape, seed, by_cells):
    volume = np.random.default_rng(seed).integers(6, size=shape).astype(np.float32)
    result = match_images(volume, volume - 0.5, by_cells)
    pairs = zip(result.matched, result.other_matched, strict=True)
    assert all(np.array_equal(volume.flat[a], volume.flat[b]) for a, b in pairs)
    values = volume.flat[np.concatenate([result.matched, result.unmatched])]
    long = values[:, 1] - values[:, 0] > 0.5  # the others are over in one before they begin in the other
    assert len(result.matched) == long.sum()


def test_both_precisions_agree():
    volumes = np.random.default_rng(0).integers(9, size=(2, 8, 7, 9))
    result, reference = (match_images(*volumes.astype(dtype), True) for dtype in (np.float32, np.float64))
    assert all(np.array_equal(a, b) for a, b in zip(result, reference, strict=True))


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_equals_betti_matching_3d_for_a_mask(noise):
    rng = np.random.default_rng(0)
    fields = ndimage.gaussian_filter(rng.normal(size=(2, 24, 25, 26)), (0, 2, 2, 2))
    mask = (fields[0] > np.quantile(fields[0], 0.6)).astype(float)
    image = ndimage.gaussian_filter(mask, 1) + fields[1] + noise * rng.random(mask.shape)
    result, expected = match_images(-image, -mask, by_cells=False), _peer_matches(-image, -mask)
    ours = np.hstack(
        [result.matched, -mask.flat[result.other_matched]]
    )  # where a mask's bars end is arbitrary
    theirs = np.hstack([expected[:, :2], -mask.flat[expected[:, 2:]]])
    assert len(theirs) > 10
    assert sorted(_rows(ours)) == sorted(_rows(theirs))


def test_betti_matching_3d_has_the_same_matches_and_some_without_an_image():
    rng = np.random.default_rng(0)
    fields = ndimage.gaussian_filter(rng.normal(size=(3, 20, 21, 22)), (0, 1.5, 1.5, 1.5))
    first, second = fields[0] + 0.5 * fields[1], fields[0] + 0.5 * fields[2]
    result, expected = match_images(first, second, by_cells=False), _peer_matches(first, second)
    ours, theirs = set(_rows(np.hstack([result.matched, result.other_matched]))), set(_rows(expected))
    assert len(ours) > 40
    assert ours <= theirs
    # a bar of the minimum from the earlier birth to a death that comes before the later birth is no match
    later_birth = {bar: max(first.flat[bar[0]], second.flat[bar[2]]) for bar in theirs}
    earlier_death = {bar: min(first.flat[bar[1]], second.flat[bar[3]]) for bar in theirs}
    assert {bar for bar in theirs if later_birth[bar] >= earlier_death[bar]} <= theirs - ours


def _peer_matches(first, second):
    """Return (birth, death, birth, death) of each match of finite bars, as flat voxels."""
    result = _betti_matching_3d().compute_matching(first, second, True, True)
    columns = []
    for i in (1, 2):
        for end in ("birth", "death"):
            coordinates = np.concatenate(getattr(result, f"input{i}_matched_{end}_coordinates"))
            columns.append(np.ravel_multi_index(coordinates.T, first.shape))
    return np.stack(columns, 1)


def _betti_matching_3d():
    package = importlib.util.find_spec("topolosses")
    if package is None:
        pytest.skip("topolosses is not installed")
    folder = pathlib.Path(package.submodule_search_locations[0]) / "losses" / "betti_matching" / "src"
    library = next(folder.glob("betti_matching.*.so"), None)
    if library is None:
        pytest.skip("topolosses has no compiled Betti matching here")
    spec = importlib.util.spec_from_file_location("betti_matching", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("by_cells", [False, True])
@pytest.mark.parametrize("levels", [None, 3])
def test_any_number_of_threads_finds_the_same_matching(monkeypatch, use_threads, by_cells, levels):
    first, second = np.random.default_rng(4).random((2, 6, 7, 8))
    if levels is not None:
        first, second = np.floor(levels * first), np.floor(levels * second)
    use_threads(1)
    alone = match_images(first, second, by_cells)
    monkeypatch.setattr(cubical3d, "_LEAST_VOXELS", 1)
    for threads in (2, 3, 7):
        use_threads(threads)
        for own, expected in zip(match_images(first, second, by_cells), alone, strict=True):
            np.testing.assert_array_equal(own, expected)
