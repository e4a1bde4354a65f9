"""Cuts of single linkage at gaps, against NumPy's histogram and a loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.naive import mapper as naive
from topodl.kernels.mapper.gaps import histogram_cuts, relative_cuts

# sixteenths, whose sums and products are exact, and other numbers
HEIGHT = st.one_of(st.integers(0, 40).map(lambda k: k / 16), st.floats(0, 3).map(lambda x: round(x, 3)))
HEIGHTS = st.lists(st.lists(HEIGHT, max_size=12).map(sorted), max_size=5)


def joined(several):
    starts = np.cumsum([0, *map(len, several)])
    return starts, np.array([height for own in several for height in own], np.float64)


@given(HEIGHTS, st.integers(1, 6), st.booleans())
def test_histogram_cuts_are_those_of_numpy(several, n_bins, grows):
    expected = [naive.histogram_cut(np.array(own), n_bins, grows) for own in several]
    assert histogram_cuts(*joined(several), n_bins, grows).tolist() == expected


@given(HEIGHTS, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_relative_cuts_are_at_the_first_large_step(several, share):
    expected = [naive.relative_cut(np.array(own), share) for own in several]
    assert relative_cuts(*joined(several), share).tolist() == expected


def test_cuts_by_hand():
    starts, heights = joined([[1.0, 1.1, 1.2, 6.0], [2.0], [], [0.0, 0.0]])
    assert histogram_cuts(starts, heights, 5, True).tolist() == [3, 1, 0, 2]
    assert relative_cuts(starts, heights, 0.5).tolist() == [3, 0, 0, 2]
