import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from topodl._segments import contiguous_sum, segment_sum, true_range


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
