import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError
from topodl.complexes import clique_complexes, ring_complexes

from .graphs import graphs

TRIANGLE = clique_complexes(torch.tensor([[0, 0, 1], [1, 2, 2]]))


@given(graphs(), st.sampled_from(["max", "min"]), st.booleans(), st.integers(0, 2))
def test_a_cell_has_the_extreme_value_of_its_vertices(batch, rule, rings, n_columns):
    complexes = ring_complexes(*batch) if rings else clique_complexes(*batch, max_dim=3)
    shape = (complexes.n_cells(0), *[n_columns] * (n_columns > 0))
    values = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    filtered = complexes.with_values(values, rule)
    assert not complexes.has_values
    for k in range(filtered.dim + 1):
        expected = [
            getattr(values[v], "a" + rule)(0) for v in map(torch.from_numpy, complexes.vertices(k).numpy())
        ]
        assert torch.equal(filtered.values(k), torch.stack(expected) if expected else values[:0])


def test_values_of_edges_are_those_given_and_the_rest_follows():
    edges = torch.tensor([5.0, 7.0, 6.0], requires_grad=True)
    filtered = TRIANGLE.with_values([torch.zeros(3), edges])
    assert filtered.values(2).tolist() == [7.0]
    filtered.values(2).sum().backward()
    assert edges.grad.tolist() == [0.0, 1.0, 0.0]
    filtered = TRIANGLE.with_values([torch.zeros(3), None, torch.tensor([3.0])])
    assert [filtered.values(k).tolist() for k in (1, 2)] == [[0.0] * 3, [3.0]]


def test_gradients_of_ties_go_to_one_vertex():
    values = torch.zeros(3, requires_grad=True)
    TRIANGLE.with_values(values).values(2).sum().backward()
    assert sorted(values.grad.tolist()) == [0.0, 0.0, 1.0]


@given(graphs(), st.sampled_from(["max", "min"]), st.integers(0, 2))
def test_transforms_see_the_same_values_and_gradients(batch, rule, n_columns):
    complexes = clique_complexes(*batch, max_dim=3)
    shape = (complexes.n_cells(0), *[n_columns] * (n_columns > 0))
    ties = torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(2)).double()

    def total(x):
        filtered = complexes.with_values(x, rule)
        return sum((k + 1) * filtered.values(k).sum() for k in range(filtered.dim + 1))

    x = ties.clone().requires_grad_()
    total(x).backward()
    gradient, value = torch.func.grad_and_value(total)(ties)
    assert value == total(x)
    assert torch.equal(gradient, x.grad)


@pytest.mark.parametrize("rule", ["max", "min"])
def test_a_cell_with_a_face_without_a_number_has_none(rule):
    for place in range(3):
        values = torch.arange(3.0)
        values[place] = math.nan
        filtered = TRIANGLE.with_values(values, rule)
        assert filtered.values(2).isnan().all()
        assert filtered.values(1).isnan().sum() == 2


def test_values_are_differentiable_twice():
    x = torch.tensor([0.3, 0.9, 0.5], dtype=torch.float64, requires_grad=True)

    def total(x):
        filtered = TRIANGLE.with_values(x)
        return sum((filtered.values(k) ** 3).sum() for k in range(3))

    assert torch.autograd.gradcheck(total, x)
    assert torch.autograd.gradgradcheck(total, x)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(2), r"values\[0\] has shape \(2,\); expected shape \(3,\) or \(3, F\)"),
        (torch.zeros(3, 0), r"values\[0\] has shape \(3, 0\)"),
        ([torch.zeros(3), torch.zeros(3, 1)], r"values\[1\] has shape \(3, 1\)"),
        ([None, torch.zeros(3)], "values has none for the vertices"),
        ([], "values has none for the vertices"),
        ([torch.zeros(3)] * 4, "values has 4 tensors; expected those of vertices, and of dimensions up to 2"),
    ],
)
def test_values_that_do_not_fit_are_named(values, message):
    with pytest.raises(InputError, match=f"CellComplexes.with_values: {message}"):
        TRIANGLE.with_values(values)


def test_values_are_floating_point():
    with pytest.raises(TypeError, match=r"values\[0\] has dtype torch.int64"):
        TRIANGLE.with_values(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="rule is 'mean'"):
        TRIANGLE.with_values(torch.zeros(3), "mean")
