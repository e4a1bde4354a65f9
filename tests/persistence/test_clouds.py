"""A flat tensor of points with a batch vector is the list of its clouds, in any order of the points."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import topodl
from topodl import InputError
from topodl.layers import AlphaPersistence, RipsPersistence
from topodl.losses import BettiTargetLoss, FeatureCountLoss, TotalPersistenceLoss

FUNCTIONS = [topodl.rips_persistence, topodl.alpha_persistence]
LAYERS = [RipsPersistence(), AlphaPersistence()]


def shuffled(sizes, seed, dtype=torch.float64):
    """Points of clouds of these sizes in a random order, and the cloud of each."""
    generator = torch.Generator().manual_seed(seed)
    batch = torch.repeat_interleave(torch.tensor(sizes))[torch.randperm(sum(sizes), generator=generator)]
    return torch.rand(sum(sizes), 2, generator=generator, dtype=dtype), batch


def assert_equal_diagrams(ours, theirs):
    assert len(ours) == len(theirs)
    for name in ("births", "deaths", "dims", "samples", "birth_cells", "death_cells"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


@pytest.mark.parametrize("function", FUNCTIONS)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(0, 2**31), st.booleans())
@settings(max_examples=25, deadline=None)
def test_points_with_a_batch_vector_are_the_list_of_clouds(function, sizes, seed, in_order):
    points, batch = shuffled(sizes, seed)
    batch = batch.sort().values if in_order else batch
    listed = [points[batch == k] for k in range(len(sizes))]
    assert_equal_diagrams(function(points, batch=batch), function(listed))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers_take_the_batch_vector_too(layer):
    points, batch = shuffled([4, 1, 6], 3)
    assert_equal_diagrams(layer(points, batch), layer([points[batch == k] for k in range(3)]))


def test_a_case_by_hand():
    points = torch.tensor([[0.0], [10.0], [2.0], [13.0]])
    d = topodl.rips_persistence(points, dims=0, batch=torch.tensor([0, 1, 0, 1]))
    assert d.deaths.tolist() == [2.0, torch.inf, 3.0, torch.inf]
    assert d.samples.tolist() == [0, 0, 1, 1]
    assert d.death_cells.tolist() == [[0, 1], [-1, -1], [0, 1], [-1, -1]]  # within each cloud


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_of_first_and_second_order_reach_shuffled_points(function):
    points, batch = shuffled([5, 3, 4], 1)
    points.requires_grad_()

    def total(x):
        return function(x, batch=batch).total_persistence().sum(1)

    assert torch.autograd.gradcheck(total, points)
    assert torch.autograd.gradgradcheck(total, points)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_empty_batch_is_a_value(function):
    d = function(torch.empty(0, 2), batch=torch.empty(0, dtype=torch.int64))
    assert len(d) == 0


def test_half_types_and_small_integers():
    points, batch = shuffled([4, 5], 2, torch.bfloat16)
    d = topodl.rips_persistence(points, batch=batch.to(torch.int32))
    assert d.births.dtype == torch.bfloat16
    assert_equal_diagrams(d, topodl.rips_persistence([points[batch == k] for k in range(2)]))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("x", "batch", "message"),
    [
        (torch.rand(3, 2), torch.tensor([0, 2, 2]), "batch has no point of cloud 1; expected at least one"),
        (torch.rand(3, 2), torch.tensor([0, -1, 0]), "batch has -1; expected clouds from 0 on"),
        (
            torch.rand(3, 2),
            torch.tensor([0, 1]),
            r"batch has shape \(2,\); expected one cloud for each of the 3",
        ),
        (torch.rand(1, 3, 2), torch.tensor([0, 1, 1]), r"x has shape \(1, 3, 2\); expected points of shape"),
        (torch.tensor([[0.0, 0.0], [torch.nan, 0.0]]), torch.tensor([1, 0]), r"x\[0\] has NaN at \(0, 0\)"),
    ],
)
def test_what_does_not_fit_is_named(function, x, batch, message):
    with pytest.raises(InputError, match=message):
        function(x, batch=batch)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_batch_vector_has_integers(function):
    with pytest.raises(TypeError, match=r"batch has dtype torch.float32; expected integers"):
        function(torch.rand(2, 2), batch=torch.zeros(2))
    with pytest.raises(TypeError, match=r"x is a list; expected a torch\.Tensor"):
        function([torch.rand(2, 2)], batch=torch.zeros(2, dtype=torch.int64))


def test_distances_have_no_batch_vector():
    with pytest.raises(InputError, match="batch is given; expected none beside metric='precomputed'"):
        topodl.rips_persistence(torch.zeros(2, 2), metric="precomputed", batch=torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "loss", [TotalPersistenceLoss(dims=0), FeatureCountLoss(0.2), BettiTargetLoss({0: 2, 1: 1})]
)
def test_penalties_are_the_mean_over_the_clouds_of_a_batch(loss):
    points, batch = shuffled([4, 1, 6], 5)
    expected = torch.stack([loss(points[batch == k]) for k in range(3)]).mean()
    torch.testing.assert_close(loss(points, batch), expected)


def test_penalties_name_a_batch_vector_that_is_of_no_use():
    batch = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(
        InputError, match="TotalPersistenceLoss: batch is given; expected it only beside points"
    ):
        TotalPersistenceLoss()(torch.rand(1, 1, 4, 4), batch)
    with pytest.raises(InputError, match="batch is given"):
        TotalPersistenceLoss(filtration=topodl.rips_persistence)(torch.rand(1, 4, 2), batch)
