"""Steps and windows of walks agree with twins that list all neighbours; draws are those of SplitMix64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topodl.kernels.complexes.tables import transpose
from topodl.kernels.complexes.walks import walk_cells, walk_keys, windows_of

from ...naive import walks as naive


def random_sets(draw, n):
    return draw(st.lists(st.sets(st.integers(0, 3), max_size=3), min_size=n, max_size=n))


def as_lists(sets):
    """Return the lists (offsets, members), and those of the members."""
    members = np.array([m for each in sets for m in sorted(each)], np.int64)
    offsets = np.cumsum([0, *map(len, sets)])
    starts, owners, _ = transpose(members, offsets, 4)
    return (offsets, members), (starts, owners)


@st.composite
def connected_cells(draw):
    n = draw(st.integers(1, 5))
    return random_sets(draw, n), random_sets(draw, n)


def walked(faces, cofaces, names, length, size, evenly, starts=None):
    walks = np.zeros((len(names), length + 1), np.int64)
    walks[:, 0] = np.arange(len(names)) % len(faces) if starts is None else starts
    ways = np.zeros((len(names), length), np.int64)
    windows = np.full((len(names), 3 * size - 2, length + 1), 9, np.uint8)
    with np.errstate(over="ignore"):
        walk_cells(walk_keys(3, names), as_lists(faces), as_lists(cofaces), evenly, walks, ways)
    windows_of(walks, as_lists(faces), as_lists(cofaces), windows)
    return walks, ways, windows


@given(connected_cells(), st.booleans(), st.integers(1, 4))
def test_each_step_is_a_way_and_windows_see_what_they_say(cells, evenly, size):
    faces, cofaces = cells
    walks, ways, windows = walked(faces, cofaces, np.arange(2 * len(faces)), 6, size, evenly)
    for walk, way, window in zip(walks.tolist(), ways.tolist(), windows.tolist(), strict=True):
        for t in range(6):
            possible = naive.ways_on(walk[t], faces, cofaces)
            assert (walk[t + 1], way[t]) in possible if possible else walk[t + 1] == walk[t]
        assert window == naive.windows(walk, size, faces, cofaces)


@given(connected_cells(), st.sampled_from([1, 30, 62, 63]))
@settings(max_examples=10)
def test_windows_forget_what_is_longer_ago(cells, size):
    walks, _, windows = walked(*cells, np.arange(len(cells[0])), 150, size, False)
    for walk, window in zip(walks.tolist(), windows.tolist(), strict=True):
        assert window == naive.windows(walk, size, *cells)


@pytest.mark.parametrize("evenly", [False, True])
@given(cells=connected_cells())
@settings(max_examples=10)
def test_first_steps_are_as_likely_as_they_should_be(evenly, cells):
    from scipy.stats import chisquare

    faces, cofaces = cells
    n = 4000 * len(faces)
    walks, ways, _ = walked(faces, cofaces, np.arange(n), 1, 1, evenly)
    for cell in range(len(faces)):
        expected = naive.chances(cell, faces, cofaces, evenly)
        if len(expected) < 2:
            continue
        mine = walks[:, 0] == cell
        taken = list(zip(walks[mine, 1].tolist(), ways[mine, 0].tolist(), strict=True))
        counts = [taken.count(way) for way in expected]
        assert sum(counts) == len(taken)
        assert chisquare(counts, [p * len(taken) for p in expected.values()]).pvalue > 1e-6


def test_keys_are_the_stream_of_splitmix64():
    # the first outputs for seed 1234567, as published with the reference implementation
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    gamma, first = 0x9E3779B97F4A7C15, 1234567
    # a key is the output of a stream whose seed is the first output of the walk's seed
    start = published[0]

    def mixed(word):
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % 2**64
        return word ^ (word >> 31)

    assert [mixed((first + i * gamma) % 2**64) for i in (1, 2, 3)] == published
    keys = walk_keys(first, np.array([0, 1, 5]))
    assert keys.tolist() == [mixed((start + (name + 1) * gamma) % 2**64) for name in (0, 1, 5)]


def test_a_walk_does_not_hang_on_the_others():
    faces, cofaces = [{0}, {0, 1}, {1}], [set(), {0}, {0}]
    names = np.arange(9)
    walks, ways, windows = walked(faces, cofaces, names, 8, 3, True)
    order = np.array([6, 0, 3, 5, 2, 8])
    some = walked(faces, cofaces, names[order], 8, 3, True, walks[order, 0])
    for part, whole in zip(some, (walks, ways, windows), strict=True):
        assert np.array_equal(part, whole[order])
