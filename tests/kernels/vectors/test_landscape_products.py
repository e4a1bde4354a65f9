"""Inner products of landscapes against Simpson's rule, from the corners that the other kernel finds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive.distances import landscape_product
from topodl.kernels.vectors.landscape_distances import landscape_corners
from topodl.kernels.vectors.landscape_products import landscape_products

N_LAYERS = 3
bar = st.tuples(st.integers(0, 8), st.integers(1, 5)).map(lambda b: (float(b[0]), float(b[0] + b[1])))
sides = st.lists(st.lists(bar, max_size=6), min_size=1, max_size=4)


@given(sides)
@settings(max_examples=50, deadline=None)
def test_products_of_each_with_each(diagrams):
    bars = [np.array(sorted(each, key=lambda b: (b[0], -b[1]))).reshape(-1, 2) for each in diagrams]
    offsets = np.cumsum([0, *map(len, bars)])
    corners, starts = landscape_corners(np.concatenate(bars), offsets, N_LAYERS)
    places, jumps, owners, layers = [], [], [], []
    for layer in range(N_LAYERS):
        for s in range(len(bars)):
            own = corners[starts[s * N_LAYERS + layer] : starts[s * N_LAYERS + layer + 1]]
            slopes = np.concatenate([[0.0], np.sign(np.diff(own[:, 1])), [0.0]])
            places += own[:, 0].tolist()
            jumps += np.diff(slopes).tolist() if len(own) else []
            owners += [s] * len(own)
            layers += [layer] * len(own)
    order = np.lexsort((places, layers))
    cuts = np.searchsorted(np.array(layers)[order], np.arange(N_LAYERS + 1))
    each = [np.array(values)[order] for values in (places, jumps)]
    rows = np.arange(len(bars))
    table = landscape_products(
        corners, starts, N_LAYERS, rows, *each, np.array(owners, np.int64)[order], cuts, len(bars)
    )
    expected = [[landscape_product(x, y, N_LAYERS) for y in bars] for x in bars]
    np.testing.assert_allclose(table, expected, rtol=1e-9, atol=1e-9)


def test_no_rows_and_no_corners():
    nothing, one = np.zeros(0), np.zeros(1, np.int64)
    corners, starts = np.zeros((0, 2)), np.zeros(3, np.int64)
    cuts, none = np.zeros(3, np.int64), np.zeros(0, np.int64)
    assert landscape_products(corners, starts, 2, one, nothing, nothing, none, cuts, 1).tolist() == [[0.0]]
    assert landscape_products(corners, starts, 2, none, nothing, nothing, none, cuts, 1).shape == (0, 1)
