"""Sums over faces and cofaces are products with the boundary matrices."""

import pickle

import pytest
import torch
from hypothesis import given

from topodl import InputError
from topodl.complexes import clique_complexes

from .graphs import graphs


def boundary(complexes, k, signed):
    """Return the dense boundary (S_{k−1}, S_k), entry by entry."""
    matrix = torch.zeros(complexes.n_cells(k - 1), complexes.n_cells(k), dtype=torch.float64)
    faces = complexes.faces(k)
    for member, owner, sign in zip(faces.members, faces.owners, complexes.signs(k), strict=True):
        matrix[member, owner] = int(sign) if signed else 1
    return matrix


@given(graphs())
def test_sums_are_products_with_the_boundary(given_graphs):
    complexes = clique_complexes(*given_graphs, max_dim=3)
    for k in range(1, 4):
        for signed in (False, True):
            matrix = boundary(complexes, k, signed)
            below = torch.arange(2.0 * complexes.n_cells(k - 1), dtype=torch.float64).view(-1, 2)
            above = torch.arange(2.0 * complexes.n_cells(k), dtype=torch.float64).view(-1, 2)
            torch.testing.assert_close(complexes.sum_faces(below, k, signed), matrix.T @ below)
            torch.testing.assert_close(complexes.sum_cofaces(above, k - 1, signed), matrix @ above)


def test_the_boundary_of_a_boundary_is_nothing(golden_edges):
    complexes = clique_complexes(golden_edges, max_dim=3)
    for k in (1, 2):
        x = torch.randn(complexes.n_cells(k + 1), 3, generator=torch.Generator().manual_seed(0))
        once = complexes.sum_cofaces(x.double(), k, signed=True)
        twice = complexes.sum_cofaces(once, k - 1, signed=True)
        torch.testing.assert_close(twice, torch.zeros_like(twice))


def test_sums_have_gradients_of_second_order():
    complexes = clique_complexes(torch.tensor([[0, 0, 1, 2, 2, 3], [1, 2, 2, 3, 4, 4]]))
    below = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    above = torch.rand(2, 2, dtype=torch.float64, requires_grad=True)
    for signed in (False, True):
        for sums, x in (
            (lambda x, s=signed: complexes.sum_faces(x, 2, s).sin(), below),
            (lambda x, s=signed: complexes.sum_cofaces(x, 1, s).sin(), above),
        ):
            assert torch.autograd.gradcheck(sums, x)
            assert torch.autograd.gradgradcheck(sums, x)


def test_what_sums_keep_does_not_travel():
    complexes = clique_complexes(torch.tensor([[0, 0, 1], [1, 2, 2]]))
    before = len(pickle.dumps(complexes))
    assert complexes.sum_faces(torch.ones(3), 2).tolist() == [3.0]
    assert complexes.sum_cofaces(torch.ones(1), 1).tolist() == [1.0] * 3
    assert len(pickle.dumps(complexes)) == before


def test_unusable_features_are_named():
    complexes = clique_complexes(torch.tensor([[0, 0, 1], [1, 2, 2]]))
    with pytest.raises(
        InputError, match=r"sum_faces: x has shape \(2,\); expected a row for each of 3 edges"
    ):
        complexes.sum_faces(torch.ones(2), 2)
    with pytest.raises(InputError, match="sum_cofaces: k is 2; expected less than the largest dimension, 2"):
        complexes.sum_cofaces(torch.ones(1), 2)
    with pytest.raises(InputError, match="sum_faces: k is 0"):
        complexes.sum_faces(torch.ones(3), 0)
