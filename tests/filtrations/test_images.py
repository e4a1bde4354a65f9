"""Filtrations of images against loops over pixels, the numbers of giotto-tda, and gradients."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import topodl
from topodl.errors import InputError
from topodl.filtrations import binarise, density, dilation, erosion, height, radial, tilt

MASK = torch.zeros(1, 3, 4, dtype=torch.bool)
MASK[0, [0, 1, 1], [0, 2, 3]] = True
SHAPES = st.sampled_from([(4, 5), (1, 6), (3, 4, 2)])
METRICS = {"euclidean": "euclidean", "taxicab": "cityblock", "chessboard": "chebyshev"}
SEEDS = st.integers(0, 10_000)


def drawn(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pixels_of(shape):
    return np.argwhere(np.ones(shape)).astype(float)


# Computed once with giotto-tda 0.6.2, whose value outside is the largest in the frame plus 1 and whose axes
# are in the other order.
@pytest.mark.parametrize(
    ("filtered", "expected"),
    [
        (height(MASK, [1.0, 0.0], outside=3.0), [0, 3, 3, 3, 3, 3, 1, 1, 3, 3, 3, 3]),
        (
            height(MASK, [1.0, -1.0], outside=4.536),
            [2.121, *[4.536] * 5, 1.414, 0.707, *[4.536] * 4],
        ),
        (radial(MASK, [0.0, 0.0], outside=4.606), [0, *[4.606] * 5, 2.236, 3.162, *[4.606] * 4]),
        (radial(MASK, [2.0, 1.0], outside=3.828), [2.236, *[3.828] * 5, 1.414, 2.236, *[3.828] * 4]),
        (dilation(MASK), [0, 1, 1, 1, 1, 1, 0, 0, 2, 2, 1, 1]),
        (erosion(MASK), [1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]),
        (density(MASK), [1, 1, 1, 1, 1, 1, 2, 2, 0, 0, 1, 1]),
        (density(MASK, 2.0, metric="euclidean"), [1, 2, 3, 2, 2, 3, 2, 2, 1, 1, 2, 2]),
    ],
)
def test_numbers_of_giotto(filtered, expected):
    torch.testing.assert_close(filtered.flatten(), torch.tensor(expected).float(), atol=1e-3, rtol=0)


@given(SEEDS, SHAPES, st.integers(1, 4))
def test_heights_and_distances_of_each_pixel(seed, shape, k):
    shares, pixels = drawn(seed, 2, *shape).round(decimals=1), pixels_of(shape)
    vectors, sides = drawn(seed + 1, k, len(shape)) - 0.5, tuple(drawn(seed + 2, len(shape)).tolist())
    places = pixels * sides
    units = vectors.numpy() / np.linalg.norm(vectors.numpy(), axis=1, keepdims=True)
    corners = np.array(
        list(itertools.product(*[(0, (n - 1) * s) for n, s in zip(shape, sides, strict=True)]))
    )
    heights = places @ units.T - (corners @ units.T).min(0)
    apart = cdist(places, vectors.numpy())
    for found, exact in (
        (height(shares, vectors, outside=7.0, spacing=sides), heights),
        (radial(shares, vectors, outside=7.0, spacing=sides), apart),
    ):
        mixed = 7.0 + shares.numpy().reshape(2, 1, -1) * (exact.T - 7.0)
        np.testing.assert_allclose(found.numpy(), mixed.reshape(2, k, *shape), atol=1e-9)
    assert (heights < np.linalg.norm(np.multiply(shape, sides))).all()


@given(SEEDS, SHAPES, st.floats(0.0, 3.5), st.sampled_from(sorted(METRICS)))
def test_density_dilation_and_erosion_of_all_pairs(seed, shape, radius, metric):
    shares, pixels = drawn(seed, 2, *shape), pixels_of(shape)
    apart = cdist(pixels, pixels, METRICS[metric])
    counts = shares.numpy().reshape(2, -1) @ (apart <= radius)
    np.testing.assert_allclose(density(shares, radius, metric=metric).flatten(1), counts)
    masks = shares > 0.7
    kinds = masks.numpy().reshape(2, -1)
    for found, others in ((dilation, kinds), (erosion, ~kinds)):
        nearest = np.where(others[:, None], apart, np.inf).min(2)
        np.testing.assert_allclose(found(masks, metric=metric).flatten(1), nearest, rtol=1e-6)
        limited = found(masks, metric=metric, clip=1.5).flatten(1)
        np.testing.assert_allclose(limited, nearest.clip(max=1.5), rtol=1e-6)


@given(SEEDS, st.integers(1, 12), st.integers(1, 4))
def test_the_best_cut_of_an_image(seed, n, levels):
    image = torch.randint(0, levels, (1, 1, n), generator=torch.Generator().manual_seed(seed)).float()
    values = image.flatten().numpy()

    def within(level):
        sides = values[values > level], values[values <= level]
        return sum(((side - side.mean()) ** 2).sum() for side in sides)

    cuts = np.unique(values)[:-1]
    found = binarise(image, "otsu").flatten().numpy()
    if not len(cuts):
        assert not found.any()
        return
    best = min(map(within, cuts))
    spread = sum(((side - side.mean()) ** 2).sum() for side in (values[found], values[~found]))
    assert spread == pytest.approx(best, abs=1e-5)
    assert values[found].min() > values[~found].max()


@given(SEEDS, st.sampled_from([(5, 6), (3, 4, 5)]))
@settings(max_examples=10)
def test_a_mask_is_born_from_one_side(seed, shape):
    """Components of a mask that is convex along an axis are born at its lowest pixels."""
    masks = drawn(seed, 2, *shape) > 0.5
    first = torch.eye(len(shape), dtype=torch.float64)[0]
    bars = topodl.cubical_persistence(height(masks, first), dims=0)
    for sample, mask in zip(bars, masks, strict=True):
        if mask.any():
            assert float(sample.births.min()) == float(mask.nonzero()[:, 0].min())


@given(SEEDS, SHAPES, st.integers(1, 3))
def test_ramps_of_each_pixel(seed, shape, k):
    images, vectors = drawn(seed, 2, *shape), drawn(seed + 1, k, len(shape)) - 0.5
    slopes = (0.5, -2.0)
    units = vectors.numpy() / np.linalg.norm(vectors.numpy(), axis=1, keepdims=True)
    places = pixels_of(shape) - (np.array(shape) - 1) / 2
    ramps = np.concatenate([slope * units @ places.T / (max(shape) / 2) for slope in slopes])
    expected = images.numpy().reshape(2, 1, -1) + ramps
    np.testing.assert_allclose(tilt(images, vectors, slopes).flatten(2), expected, atol=1e-6)
    assert torch.equal(tilt(images, vectors[0], -2.0), tilt(images, vectors[:1], [-2.0])[:, 0])


def test_a_ramp_tells_left_from_right():
    left = torch.zeros(1, 3, 5, dtype=torch.float64)
    left[0, 1, 1] = -4.0
    births = [topodl.cubical_persistence(tilt(x, [0.0, 1.0]), dims=0).births for x in (left, left.flip(2))]
    assert [round(float(birth[0]), 6) for birth in births] == [-4.4, -3.6]


def test_gradients_reach_directions_centres_and_grey_values():
    x, vectors = drawn(0, 2, 3, 4), drawn(1, 3, 2) - 0.5
    x.requires_grad_(), vectors.requires_grad_()
    for filtration in (height, radial, tilt):
        assert torch.autograd.gradcheck(filtration, (x, vectors))
        assert torch.autograd.gradgradcheck(filtration, (x, vectors))
    assert torch.autograd.gradcheck(lambda x: density(x, 1.5, metric="euclidean"), (x,))
    assert torch.autograd.gradcheck(lambda x: binarise(x, 0.4, width=0.1), (x,))
    assert torch.autograd.gradcheck(lambda x: binarise(x, "otsu", width=0.1), (x,))
    on_a_pixel = torch.tensor([[1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    radial(torch.ones(1, 3, 3), on_a_pixel).sum().backward()
    assert on_a_pixel.grad.tolist() == [[0.0, 0.0]]


def test_numbers_of_directions_and_centres():
    masks = torch.ones(1, 4, 4)
    assert height(masks, np.int64(5)).shape == (1, 5, 4, 4)
    assert torch.equal(height(masks, np.eye(2)), height(masks, torch.eye(2)))
    assert height(torch.ones(1, 2, 3, 4), 5).shape == (1, 5, 2, 3, 4)
    drawn_once, again = (height(masks, 5, random_state=seed) for seed in (1, 1))
    assert torch.equal(drawn_once, again)
    assert (drawn_once != height(masks, 5, random_state=2)).any()
    middle = radial(masks)
    assert middle.shape == (1, 4, 4)
    torch.testing.assert_close(middle, radial(masks, 1)[:, 0])
    assert radial(masks, 2).shape == (1, 4, 4, 4)
    corner = radial(masks, 2, spacing=2.0)[0, 0]
    torch.testing.assert_close(corner, radial(masks, [1.0, 1.0], spacing=2.0)[0])
    near = radial(masks, [0.0, 0.0], radius=1.0, outside=5.0)
    assert near[0, 0].tolist() == [0.0, 1.0, 5.0, 5.0]
    assert float(radial(torch.zeros(1, 2, 2), [9.0, 0.0]).max()) == pytest.approx(82**0.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types_are_kept(dtype):
    x = torch.ones(1, 3, 3, dtype=dtype)
    for found in (height(x, 2), radial(x), density(x), binarise(x, width=1.0), tilt(x, 2)):
        assert found.dtype == dtype
    assert height(x > 0, 2).dtype == torch.get_default_dtype()
    assert height(x[:0], 2).shape == (0, 2, 3, 3)


ONES = torch.ones(2, 3, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: height(ONES[0]), r"height: x has shape \(3, 3\); expected shape \(B, H, W\)"),
        (lambda: height(16 * ONES), r"x\[0\] has 16 at \(0, 0\); expected masks, or values from 0 to 1"),
        (lambda: density(ONES * torch.nan), r"density: x\[0\] has NaN at \(0, 0\)"),
        (lambda: height(ONES, [0.0, 0.0]), "directions has a vector of length 0"),
        (lambda: height(ONES, [1.0, 0.0, 0.0]), r"directions has shape \(3,\); expected \(K, 2\) or \(2,\)"),
        (lambda: height(ONES, [1.0, torch.inf]), "directions"),
        (lambda: height(ONES, "up"), "directions is 'up'; expected numbers of shape"),
        (
            lambda: height(ONES, [[1.0, 0.0], [1.0]]),
            r"directions is \[\[1.0, 0.0\], \[1.0\]\]; expected numbers",
        ),
        (lambda: height(ONES, 0), "directions is 0; expected an integer of at least 1"),
        (lambda: height(ONES, 2, outside=torch.inf), "outside is inf"),
        (lambda: radial(ONES, 0), "centres is 0"),
        (lambda: radial(ONES, radius=-1.0), "radius is -1.0"),
        (lambda: density(ONES, metric="l2"), "metric is 'l2'"),
        (lambda: dilation(ONES, spacing=2.0), "spacing is given with metric='taxicab'; expected None"),
        (lambda: erosion(ONES, clip=-1.0), "erosion: clip is -1.0"),
        (lambda: binarise(ONES, "mean"), "threshold is 'mean'; expected a number or 'otsu'"),
        (lambda: binarise(ONES / 0, "otsu"), r"x\[0\] has an infinite value"),
        (lambda: binarise(ONES, width=0.0), "width is 0.0"),
        (lambda: tilt(ONES, [0.0, 0.0]), "tilt: directions has a vector of length 0"),
        (lambda: tilt(ONES, slopes=[]), "slopes is empty; expected at least one number"),
        (lambda: tilt(ONES, slopes=[1.0, torch.inf]), "slopes is inf"),
    ],
)
def test_unusable_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
