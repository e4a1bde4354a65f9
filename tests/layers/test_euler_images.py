"""Euler transforms and curves of images and volumes: cell by cell, with weights, gradients, both faces."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from topodl import InputError
from topodl.layers import EulerCharacteristicTransform, EulerCurve

SHAPES = st.sampled_from([(4, 5), (1, 6), (3, 2, 4)])


def drawn(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cells(shape):
    """Yield the dimension and the pixels of each cell of the cubical complex whose vertices are pixels."""
    for first in itertools.product(*map(range, shape)):
        for spans in itertools.product((0, 1), repeat=len(shape)):
            if all(i + s < n for i, s, n in zip(first, spans, shape, strict=True)):
                ranges = [range(i, i + s + 1) for i, s in zip(first, spans, strict=True)]
                yield sum(spans), list(itertools.product(*ranges))


def one_by_one(image, weights, directions, thresholds, step):
    middle = (np.array(image.shape) - 1) / 2
    out = np.zeros((directions.shape[1], len(thresholds)))
    for dim, pixels in cells(image.shape):
        top = ((np.array(pixels) - middle) @ directions).max(0)
        value = min(image[p] for p in pixels) * max(weights[p] for p in pixels)
        out += (-1) ** dim * value * step(thresholds - top[:, None])
    return out


@given(st.integers(0, 1000), SHAPES, st.booleans(), st.booleans())
@settings(max_examples=20)
def test_agreement_with_counting_one_by_one(seed, shape, soft, weighted):
    images, weights = drawn(seed, 2, *shape), drawn(seed + 1, 2, *shape) - 0.5
    layer = EulerCharacteristicTransform(5, 7, 2.3, "soft" if soft else "hard", 3.0, images=True).double()
    found = layer(images, weights=weights if weighted else None)
    directions, thresholds = layer.directions.double().numpy(), np.linspace(-2.3, 2.3, 7)
    ones = np.ones(shape)
    for k in range(2):
        expected = one_by_one(
            images[k].numpy(),
            weights[k].numpy() if weighted else ones,
            directions,
            thresholds,
            (lambda gap: 1 / (1 + np.exp(-3.0 * gap))) if soft else (lambda gap: gap >= 0),
        )
        np.testing.assert_allclose(found[k], expected, atol=1e-5)
    alone = torch.cat([layer(images[k : k + 1], weights=None) for k in range(2)])
    torch.testing.assert_close(alone, layer([*images]))


def test_the_last_threshold_is_the_characteristic_of_the_mask():
    masks = drawn(0, 4, 6, 7) > 0.4
    transform = EulerCharacteristicTransform(8, 16, mode="hard", images=True)(masks)
    curve = EulerCurve(1, (0.5, 0.5), superlevel=True)(masks.float())
    torch.testing.assert_close(transform[..., -1], curve.expand(4, 8))
    grey = drawn(1, 1, 5, 6)
    levels = (torch.arange(4000) + 0.5) / 4000
    layer = EulerCharacteristicTransform(8, 16, mode="hard", images=True)
    mean = sum(layer(grey >= level) for level in levels[::40]) / 100
    torch.testing.assert_close(layer(grey).float(), mean, atol=0.1, rtol=0)


def test_gradients_reach_pixels_weights_and_directions():
    images, weights = drawn(0, 1, 3, 4).requires_grad_(), drawn(1, 1, 3, 4).requires_grad_()
    layer = EulerCharacteristicTransform(3, 5, 2.0, images=True, learnable=True).double()
    assert torch.autograd.gradcheck(lambda x, w: layer(x, weights=w), (images, weights))
    layer(images, weights=weights).square().sum().backward()
    assert (layer.directions.grad.abs().sum(0) > 0).all()
    hard = EulerCharacteristicTransform(3, 5, 2.0, "hard", images=True).double()
    assert torch.autograd.gradcheck(lambda x, w: hard(x, weights=w), (images, weights))


def test_a_pipeline_of_digits():
    X, y = load_digits(n_class=4, return_X_y=True)
    layer = EulerCharacteristicTransform(8, 12, images=True, sample_shape=(8, 8))
    steps = make_pipeline(layer, LogisticRegression(max_iter=2000)).fit(X[:300] / 16, y[:300])
    assert steps.score(X[300:400] / 16, y[300:400]) > 0.9
    assert steps[0].radius_ == pytest.approx(np.hypot(8, 8) / 2)
    assert len(steps[0].get_feature_names_out()) == 96
    volumes = EulerCharacteristicTransform(4, 5, images=True).fit_transform(np.ones((2, 3, 4, 5)))
    assert volumes.shape == (2, 20)
    ragged = EulerCharacteristicTransform(4, 5, images=True).fit_transform([np.ones((3, 4)), np.ones((5, 2))])
    assert ragged.shape == (2, 20)


@given(
    st.integers(0, 1000),
    SHAPES,
    st.sampled_from(["vertex", "cell"]),
    st.booleans(),
    st.sampled_from([None, 0.2]),
)
@settings(max_examples=20)
def test_weighted_curves_count_cell_by_cell(seed, shape, construction, superlevel, width):
    images, weights = drawn(seed, 2, *shape), drawn(seed + 1, 2, *shape) - 0.5
    curve = EulerCurve(6, (0.0, 1.0), width, superlevel, construction)
    found, grid = curve(images, weights), np.linspace(0, 1, 6)
    for k in range(2):
        values, heavy = images[k].numpy(), weights[k].numpy()
        values, levels = (-values, -grid) if superlevel else (values, grid)
        expected = np.zeros(6)
        if construction == "vertex":
            each = [(dim, max(values[p] for p in ps), max(heavy[p] for p in ps)) for dim, ps in cells(shape)]
        else:  # pixels are the cells of cells() of an image with one more row along each axis, seen from afar
            n, larger = len(shape), tuple(size + 1 for size in shape)
            padded = np.pad(values, 1, constant_values=np.inf), np.pad(heavy, 1, constant_values=-np.inf)
            each = [
                (n - dim, min(padded[0][p] for p in ps), max(padded[1][p] for p in ps))
                for dim, ps in cells(tuple(size + 1 for size in larger))
            ]
            each = [(dim, value, weight) for dim, value, weight in each if np.isfinite(value)]
        for dim, value, weight in each:
            gap = levels - value
            step = gap >= 0 if width is None else 1 / (1 + np.exp(-gap / width))
            expected += (-1) ** dim * weight * step
        np.testing.assert_allclose(found[k], expected, atol=1e-6)
    ones = torch.ones_like(images)
    torch.testing.assert_close(curve(images, ones), curve(images))
    torch.testing.assert_close(curve([*images], [*weights]), found)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda ect, _: ect(torch.ones(1, 3, 3), torch.tensor([[0], [1]])),
            "simplices is given beside images",
        ),
        (lambda ect, _: ect(3 * torch.ones(1, 3, 3)), r"x\[0\] has 3 at \(0, 0\); expected masks"),
        (lambda ect, _: ect(torch.ones(1, 3, 3, 3)), "x has 3 coordinates; expected 2"),
        (lambda ect, _: ect(torch.ones(1, 3, 3), weights=torch.ones(3, 3)), r"weights has shape \(3, 3\)"),
        (lambda ect, _: ect(torch.ones(1, 3, 3), weights=torch.ones(1, 3, 3) / 0), "weights"),
        (lambda _, curve: curve(torch.ones(1, 3, 3), torch.ones(1, 3, 2)), r"weights has shape \(1, 3, 2\)"),
        (lambda _, curve: curve(torch.ones(1, 3, 3), torch.ones(1, 3, 3) / 0), "weights"),
    ],
)
def test_unusable_input_is_named(call, message):
    ect = EulerCharacteristicTransform(3, 5, images=True, ambient_dim=2)
    with pytest.raises(InputError, match=message):
        call(ect, EulerCurve(3, (0, 1)))
    with pytest.raises(InputError, match="images is 'no'"):
        EulerCharacteristicTransform(images="no")(torch.ones(1, 3, 3))
