import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topodl.kernels.images.euler_ramps import add_ramps, last_pixels, ramp_gradient, ramps


def signed_cells(image, by_cells):
    """Return {(last pixel of the first channel, of the second): sum of signs}, by going through all cells."""
    height, width = image.shape[1:]
    near = [(0, 0), (0, 1), (1, 0), (1, 1)]
    shapes = [c for k in range(1, 5) for c in itertools.combinations(near, k)]
    found = {}
    for y, x, steps in itertools.product(range(height), range(width), shapes):
        corner = (min(s[0] for s in steps), min(s[1] for s in steps)) == (0, 0)
        pixels = [(y + down, x + right) for down, right in steps]
        straight = len(steps) in (1, 4) or (len(steps) == 2 and sum(steps[0]) + 1 == sum(steps[1]))
        inside = all(j < height and i < width for j, i in pixels)
        if not corner or not inside or not (by_cells or straight):
            continue
        sign = (-1) ** (len(steps) - 1) if by_cells else {1: 1, 2: -1, 4: 1}[len(steps)]
        last = tuple(max((image[c][p], p[0] * width + p[1]) for p in pixels)[1] for c in (0, 1))
        found[last] = found.get(last, 0) + sign
    return {last: sign for last, sign in found.items() if sign}


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.booleans())
def test_cells_are_known_by_their_last_pixels(seed, height, width, ties, by_cells):
    random = np.random.default_rng(seed)
    image = (
        random.integers(0, 3, (2, height, width)).astype(float) if ties else random.random((2, height, width))
    )
    found = {}
    for first, second, sign in last_pixels(image, by_cells).tolist():
        found[first, second] = found.get((first, second), 0) + sign
    assert {last: sign for last, sign in found.items() if sign} == signed_cells(image, by_cells)


def test_one_cell_by_hand():
    grid = np.array([0.0, 1.0, 3.0])
    starts, rises, slopes = ramps(np.array([0.25, 2.5, 9.0]), grid, 1.0)
    # 0.25 is a quarter into the first bin: up to 0 a quarter of its ramp is done, and all of it up to 1.
    assert starts.tolist() == [0, 2, 2]
    np.testing.assert_allclose(rises, [[0.25, 0.75], [0.75, 0.25], [0.0, 1.0]])
    np.testing.assert_allclose(slopes, [[-1.0, 1.0], [-0.5, 0.5], [0.0, 0.0]])
    out, cell = np.empty((3, 3)), np.array([[0, 1, -1]], np.int32)
    add_ramps(cell, starts, rises, starts, rises, out)
    np.testing.assert_allclose(out, -np.outer([0.25, 1.0, 1.0], [0.0, 0.0, 0.75]))
    gradient = np.zeros((2, 3))
    ramp_gradient(cell, starts, rises, slopes, starts, rises, slopes, np.ones((3, 3)), gradient)
    np.testing.assert_allclose(gradient, [[0.75, 0, 0], [0, 0.5 * 2.25, 0]])
