"""Signed distances of masks against all pairs of pixels, and their topology at 0."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topodl
from topodl.errors import InputError
from topodl.filtrations import signed_distance
from topodl.metrics import betti_numbers


def drawn(seed, shape, share=0.5):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


def naive(mask, sides):
    """Return the signed distance of one mask, from all pairs of pixels."""
    places = np.argwhere(np.ones(mask.shape)) * np.array(sides)
    kinds = mask.numpy().ravel()
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    nearest = np.where(kinds[:, None] != kinds, apart, np.inf).min(1)
    return ((nearest - min(sides) / 2) * np.where(kinds, -1, 1)).reshape(mask.shape)


@given(
    st.integers(0, 10_000),
    st.sampled_from([(5, 6), (1, 4), (3, 4, 5)]),
    st.booleans(),
    st.sampled_from([0.1, 0.4]),
)
def test_equals_the_distances_of_all_pairs(seed, shape, spaced, share):
    masks = drawn(seed, (2, *shape), share)
    sides = (0.5, 2.0, 1.5)[: len(shape)] if spaced else (1.0,) * len(shape)
    found = signed_distance(masks, spacing=sides if spaced else None)
    assert found.dtype == torch.float32
    assert torch.equal(found < 0, masks)
    for mask, values in zip(masks, found, strict=True):
        np.testing.assert_allclose(values, naive(mask, sides), rtol=1e-5)
    torch.testing.assert_close(signed_distance(~masks, spacing=sides), -found)
    assert torch.equal(signed_distance(masks, spacing=sides, clip=0.7), found.clamp(-0.7, 0.7))


@given(st.integers(0, 10_000), st.sampled_from([(9, 8), (5, 4, 6)]))
def test_bars_alive_at_0_are_the_betti_numbers_of_the_mask(seed, shape):
    masks = drawn(seed, (3, *shape))
    bars = topodl.cubical_persistence(signed_distance(masks))
    connectivity = {2: 4, 3: 6}[len(shape)]
    expected = betti_numbers(masks[:, None].long(), connectivity=connectivity)
    assert torch.equal(bars.betti(0.0), expected)
    turned = topodl.cubical_persistence(-signed_distance(masks), superlevel=True)
    assert torch.equal(turned.betti(0.0), expected)


def test_masks_without_a_border_and_other_types():
    masks = torch.stack([torch.zeros(3, 3), torch.ones(3, 3)])
    assert signed_distance(masks)[:, 0, 0].tolist() == [torch.inf, -torch.inf]
    assert signed_distance(masks.long(), clip=2.0)[:, 0, 0].tolist() == [2.0, -2.0]
    assert signed_distance(masks[:0]).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (torch.ones(3, 3), {}, r"mask has shape \(3, 3\)"),
        (
            torch.full((1, 3, 3), 0.5),
            {},
            "mask has values other than 0 and 1; expected a mask, as image > thr",
        ),
        (torch.ones(1, 3, 3), {"clip": 0.0}, "clip is 0; expected a number above 0"),
        (torch.ones(1, 3, 3), {"spacing": (1.0,)}, "spacing is"),
    ],
)
def test_unusable_input_is_named(mask, options, message):
    with pytest.raises(InputError, match=message):
        signed_distance(mask, **options)
