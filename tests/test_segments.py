import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from topodl._segments import contiguous_sum, segment_mean, segment_scale, segment_sum, true_range


@given(
    st.lists(st.integers(0, 4), max_size=8), st.sampled_from([torch.float32, torch.float64, torch.bfloat16])
)
def test_sums_between_offsets_are_those_over_keys(lengths, dtype):
    lengths = torch.tensor(lengths, dtype=torch.int64)
    keys = torch.repeat_interleave(lengths)
    values = torch.arange(len(keys)).to(dtype)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    expected = segment_sum(values, keys, len(lengths))
    torch.testing.assert_close(contiguous_sum(values, offsets), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_of_half_precision_are_rounded_once(dtype):
    values = torch.full((1500,), 1.0, dtype=dtype, requires_grad=True)
    keys, offsets = torch.zeros(1500, dtype=torch.int64), torch.tensor([0, 1500])
    expected = torch.tensor([1500.0]).to(dtype)
    for total in (segment_sum(values, keys, 1), contiguous_sum(values, offsets)):
        assert torch.equal(total, expected)
        (gradient,) = torch.autograd.grad(total.sum(), values)
        assert torch.equal(gradient, torch.ones_like(values))
    assert segment_mean(values, keys, 1).item() == 1.0


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_the_scale_of_a_segment_is_a_power_of_two_of_its_order(numbers):
    values = torch.tensor(numbers, dtype=torch.float32)
    scale = float(segment_scale(values, torch.zeros(len(values), dtype=torch.int64), 1))
    size = float(values.double().abs().max())
    assert math.log2(scale).is_integer()
    if size == 0:
        assert scale == 1.0
    elif size > 1e-37:  # smaller ones are denormal
        assert 0.5 <= size / scale <= 4.0


@pytest.mark.parametrize("lengths", [[2, 0, 3], [0, 0], [1]])
def test_sums_between_offsets_have_gradients(lengths):
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    values = torch.rand(sum(lengths), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: contiguous_sum(v, offsets), values)
    assert torch.autograd.gradgradcheck(lambda v: contiguous_sum(v, offsets).square(), values)


@given(hnp.arrays(bool, st.integers(0, 9)))
def test_a_range_of_true_values_is_a_slice_where_it_has_no_gap(mask):
    chosen = true_range(mask)
    values = torch.arange(len(mask))
    torch.testing.assert_close(values[chosen], values[torch.from_numpy(mask)])
    without_gap = mask.any() and mask[np.argmax(mask) :][: mask.sum()].all()
    assert isinstance(chosen, slice) == (without_gap or not mask.any())
