import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from topodl._segments import (
    Bags,
    bag_sum,
    contiguous_sum,
    padded_groups,
    segment_mean,
    segment_scale,
    segment_sum,
    true_range,
)


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


@given(st.lists(st.integers(0, 40), max_size=12), st.sampled_from([1, 2, 16]))
def test_padded_groups_hold_each_segment_once(lengths, together):
    offsets = torch.tensor([0, *itertools.accumulate(lengths)])
    found = {}
    for which, places, real in padded_groups(offsets, together):
        longest = max(lengths[i] for i in which)
        assert places.shape == (len(which), longest)
        assert longest < max(together, 2 * min(lengths[i] for i in which))
        found |= {int(i): row[there].tolist() for i, row, there in zip(which, places, real, strict=True)}
    bounds = itertools.pairwise(offsets.tolist())
    assert found == {i: list(range(a, b)) for i, (a, b) in enumerate(bounds) if b > a}


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
    rows = torch.stack([values, 2 * values], 1).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: contiguous_sum(v, offsets), rows)


@given(hnp.arrays(bool, st.integers(0, 9)))
def test_a_range_of_true_values_is_a_slice_where_it_has_no_gap(mask):
    chosen = true_range(mask)
    values = torch.arange(len(mask))
    torch.testing.assert_close(values[chosen], values[torch.from_numpy(mask)])
    without_gap = mask.any() and mask[np.argmax(mask) :][: mask.sum()].all()
    assert isinstance(chosen, slice) == (without_gap or not mask.any())


@st.composite
def bags_and_tables(draw, dtypes=(torch.float32, torch.float64, torch.bfloat16, torch.float16)):
    """Bags with empty ones and repeated rows among them, a table of whole numbers, and signs."""
    n_rows = draw(st.integers(1, 5))
    lengths = draw(st.lists(st.integers(0, 4), max_size=6))
    rows = draw(st.lists(st.integers(0, n_rows - 1), min_size=sum(lengths), max_size=sum(lengths)))
    shape = (n_rows, *draw(st.sampled_from([(), (0,), (1,), (3,), (2, 3)])))
    table = draw(hnp.arrays(np.int64, shape, elements=st.integers(-9, 9)))
    weights = draw(hnp.arrays(np.int64, sum(lengths), elements=st.integers(-2, 2)))
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    bags = Bags(torch.tensor(rows, dtype=torch.int64), offsets, n_rows)
    return bags, torch.from_numpy(table).to(draw(st.sampled_from(dtypes))), torch.from_numpy(weights)


def sums_one_by_one(bags, table, weights):
    bounds = bags.offsets.tolist()
    sums = [
        sum((weights[p] * table[bags.rows[p]] for p in range(a, b)), torch.zeros_like(table[0]))
        for a, b in itertools.pairwise(bounds)
    ]
    return torch.stack(sums) if sums else table[:0]


@given(bags_and_tables())
def test_sums_of_bags_are_those_of_their_rows(drawn):
    bags, table, weights = drawn
    ones = torch.ones_like(weights)
    torch.testing.assert_close(bag_sum(table, bags), sums_one_by_one(bags, table, ones))
    torch.testing.assert_close(bag_sum(table, bags, weights), sums_one_by_one(bags, table, weights))
    integers = table.long()
    assert torch.equal(bag_sum(integers, bags), sums_one_by_one(bags, integers, ones))


@given(bags_and_tables([torch.float64]))
def test_the_transpose_of_bags_has_the_entries_the_other_way(drawn):
    bags, _, weights = drawn
    back = bags.transposed
    pairs = sorted(zip(bags.keys.tolist(), bags.rows.tolist(), weights.tolist(), strict=True))
    turned = zip(back.rows.tolist(), back.keys.tolist(), weights[bags.order].tolist(), strict=True)
    assert sorted(turned) == pairs
    assert back.transposed is bags
    assert torch.equal(weights[bags.order][back.order], weights)
    assert (len(back), back.n_rows) == (bags.n_rows, len(bags))


@settings(max_examples=25)
@given(bags_and_tables([torch.float64]))
def test_gradients_of_bags_are_right_to_second_order(drawn):
    bags, table, weights = drawn
    table, weights = table.requires_grad_(), weights.to(table.dtype).requires_grad_()
    for arguments in ((table,), (table, weights), (table.detach(), weights), (table, weights.detach())):

        def sums(table, *rest):
            return bag_sum(table, bags, *rest)

        if table.numel() and any(
            a.requires_grad and a.numel() for a in arguments
        ):  # else there is nothing to vary
            assert torch.autograd.gradcheck(sums, arguments, check_batched_grad=True)
            assert torch.autograd.gradgradcheck(sums, arguments)


@settings(max_examples=25)
@given(bags_and_tables([torch.float64]))
def test_transforms_see_through_sums_of_bags(drawn):
    bags, table, weights = drawn
    weights = weights.to(table.dtype)

    def total(table, weights):
        return bag_sum(table, bags, weights).square().sum()

    held, own = table.clone().requires_grad_(), weights.clone().requires_grad_()
    expected = torch.autograd.grad(total(held, own), (held, own))
    for found in (
        torch.func.grad(total, (0, 1))(table, weights),
        torch.func.jacrev(total, (0, 1))(table, weights),
        torch.func.jacfwd(total, (0, 1))(table, weights),
    ):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_the_neighbours_of_a_path_and_an_isolated_vertex():
    bags = Bags.neighbours(torch.tensor([[0, 1], [1, 2]]), 4)
    table = torch.tensor([[1.0], [10.0], [100.0], [1000.0]], requires_grad=True)
    sums = bag_sum(table, bags)
    assert sums.flatten().tolist() == [10.0, 101.0, 10.0, 0.0]
    (gradient,) = torch.autograd.grad(sums[1].sum(), table)
    assert gradient.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]
    weighed = bag_sum(table, bags, torch.tensor([2.0, 3.0, 5.0, 7.0]))
    assert weighed.flatten().tolist() == [20.0, 503.0, 70.0, 0.0]
    (gradient,) = torch.autograd.grad(weighed[1].sum(), table)
    assert gradient.flatten().tolist() == [3.0, 0.0, 5.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_of_bags_of_half_precision_are_rounded_once(dtype):
    values = torch.ones(1500, 2, dtype=dtype, requires_grad=True)
    bags = Bags(torch.arange(1500), torch.tensor([0, 1500]), 1500)
    expected = torch.full((1, 2), 1500.0).to(dtype)
    assert torch.equal(bag_sum(values, bags), expected)
    assert torch.equal(bag_sum(values, bags, torch.ones(1500, dtype=dtype)), expected)
    gathering = Bags.gathering(torch.zeros(1500, dtype=torch.int64), 1)
    (gradient,) = torch.autograd.grad(bag_sum(values[:1], gathering).sum(), values)
    assert torch.equal(gradient[:1], expected)


def test_layers_share_the_transpose_of_bags():
    bags = Bags(torch.tensor([1, 0, 1]), torch.tensor([0, 2, 3]), 2)
    assert bags.transposed is bags.transposed
    symmetric = Bags.neighbours(torch.tensor([[0], [1]]), 2)
    assert symmetric.transposed is symmetric
