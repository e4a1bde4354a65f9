import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.losses import golden
from topodl.kernels.masks.thinning import thin


@pytest.mark.parametrize("iterations", [5, 30])
@pytest.mark.parametrize("detection", ["EulerCharacteristic", "Boolean"])
def test_skeleton_equals_mentens(shared, iterations, detection):
    stored = golden.load(shared, "menten_skeleton")[f"skel_{detection}_{iterations}"]
    expected = np.unpackbits(stored)[: 2 * 64 * 64].reshape(2, 64, 64).astype(bool)
    _, labels = golden.case(shared, "A")
    found = np.stack([thin(mask, iterations) for mask in (labels == 1).numpy()])
    np.testing.assert_array_equal(found, expected)


def naive_thin(mask, corner):
    """Try every pixel of every grid in every iteration, simple by counting components before and after."""
    image = np.pad(mask, 1)
    near = ndimage.generate_binary_structure(mask.ndim, mask.ndim)
    fore = near if corner else ndimage.generate_binary_structure(mask.ndim, 1)
    back = ndimage.generate_binary_structure(mask.ndim, 1) if corner else near

    edges = ndimage.generate_binary_structure(mask.ndim, 2)  # no path by faces leads over a corner of a cube

    def pieces(around, structure):
        around = around & edges if structure.sum() == 1 + 2 * mask.ndim else around
        labels, _ = ndimage.label(around, structure)
        centre = tuple(1 for _ in around.shape)
        reach = labels[tuple(slice(0, 3) for _ in centre)] * structure.reshape(around.shape)
        return len(set(reach[reach > 0].tolist()))

    def simple(at):
        around = image[tuple(slice(i - 1, i + 2) for i in at)].copy()
        around[tuple(1 for _ in at)] = False
        outside = ~around
        outside[tuple(1 for _ in at)] = False
        return pieces(around, fore) == 1 and pieces(outside, back) == 1

    while True:
        before = image.copy()
        ends = ndimage.convolve(image.astype(int), fore.astype(int), mode="constant") - 1 <= 1
        for grid in range(2**mask.ndim):
            for at in np.argwhere(image):
                parity = sum((int(i) & 1) << a for a, i in enumerate(at))
                if parity == grid and not ends[tuple(at)] and simple(at):
                    image[tuple(at)] = False
        if (image == before).all():
            return image[tuple(slice(1, -1) for _ in mask.shape)]


@given(st.integers(0, 10**6), st.booleans())
def test_thinning_equals_its_slow_twin(seed, corner):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.standard_normal((11, 14)), 1) > 0
    np.testing.assert_array_equal(thin(mask, corner=corner), naive_thin(mask, corner))


@pytest.mark.parametrize("corner", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_thinning_in_space_equals_its_slow_twin(seed, corner):
    mask = blobs(seed, (5, 6, 7), 0.8)
    np.testing.assert_array_equal(thin(mask, corner=corner), naive_thin(mask, corner))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (1, 1, 1), (1, 5, 6), (0, 4), (2, 0, 3)])
def test_the_smallest_masks(shape):
    line = thin(np.ones(shape, bool))
    assert line.shape == shape
    assert line.any() == (line.size > 0)


def blobs(seed, shape, sigma):
    """A random mask: smooth or rough, with one-pixel parts, or tubes and slanted lines of several widths."""
    rng = np.random.default_rng(seed)
    if seed % 3:
        return ndimage.gaussian_filter(rng.standard_normal(shape), sigma) > 0
    mask = np.zeros(shape, bool)
    for _ in range(3):
        a, b = (rng.integers(0, np.array(shape)) for _ in range(2))
        points = np.linspace(a, b, 60).round().astype(int)
        mask[tuple(points.T)] = True
        mask = ndimage.binary_dilation(mask, np.ones([int(rng.integers(1, 4))] * len(shape), bool))
    return mask


def betti_numbers(mask, corner):
    """Components, tunnels and cavities, by labelling and by the Euler number of the mask's cells."""
    dims = mask.ndim
    near, faces = ndimage.generate_binary_structure(dims, dims), ndimage.generate_binary_structure(dims, 1)
    components = ndimage.label(mask, near if corner else faces)[1]
    outside = ndimage.label(np.pad(~mask, 1, constant_values=True), faces if corner else near)[1] - 1
    if dims == 2:
        return components, outside
    return components, components + outside - euler_number(mask, corner), outside


def euler_number(mask, corner):
    """Count cells: those of the closed voxels, or those of the graph of centres and all that it spans."""
    padded = np.pad(mask, 1)
    total = 0
    for code in range(2**mask.ndim):
        spans = [axis for axis in range(mask.ndim) if code >> axis & 1]
        cells = padded
        for axis in spans:
            ahead = np.roll(cells, -1, axis)
            cells = cells | ahead if corner else cells & ahead
        sign = (-1) ** (mask.ndim - len(spans)) if corner else (-1) ** len(spans)
        total += sign * int(cells.sum())
    return total


def removable(line, corner):
    """Pixels of a skeleton that are no ends and whose loss changes no Betti number."""
    structure = ndimage.generate_binary_structure(line.ndim, line.ndim if corner else 1)
    neighbours = ndimage.convolve(line.astype(int), structure.astype(int), mode="constant") - 1
    kept = betti_numbers(line, corner)
    for at in np.argwhere(line & (neighbours > 1)):
        without = line.copy()
        without[tuple(at)] = False
        if betti_numbers(without, corner) == kept:
            yield tuple(at)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([(13, 17), (7, 8, 9)]), st.floats(0.4, 1.6))
def test_a_skeleton_has_the_homotopy_type_of_its_mask_and_is_thin(seed, corner, shape, sigma):
    mask = blobs(seed, shape, sigma)
    line = thin(mask, corner=corner)
    assert (line <= mask).all()
    assert betti_numbers(line, corner) == betti_numbers(mask, corner)
    if len(shape) == 2:  # in space the flip of a point may cancel two changes, which keeps all three numbers
        assert not list(removable(line, corner))
    else:
        np.testing.assert_array_equal(line, thin(line, corner=corner))


@pytest.mark.parametrize("corner", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 6])
def test_a_straight_tube_keeps_its_length(width, axis, corner):
    mask = np.zeros((32, 32, 32), bool)
    mask[10 : 10 + width, 10 : 10 + width, 4:28] = True
    line = thin(np.moveaxis(mask, 2, axis), corner=corner)
    # at each end half a width may go, and a pixel; by faces alone there are branches into the corners beside
    assert np.moveaxis(line, axis, 2).any((0, 1)).sum() >= 22 - width
    assert line.sum() <= (24 if corner else 48)


@pytest.mark.parametrize("corner", [True, False])
def test_a_slanted_line_of_two_pixels_keeps_its_length(corner):
    mask = np.zeros((64, 64), bool)
    rows = np.arange(2, 61)
    mask[rows, rows] = mask[rows, rows + 1] = True
    mask[61, 61] = True
    line = thin(mask, corner=corner)
    assert line.any(1).sum() >= 56
