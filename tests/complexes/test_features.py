import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError
from topodl.complexes import clique_complexes, lift_features, ring_complexes

from .graphs import graphs

TRIANGLE = clique_complexes(torch.tensor([[0, 0, 1], [1, 2, 2]]))


@given(graphs(), st.sampled_from(["sum", "mean"]), st.booleans())
def test_features_are_those_of_the_vertices_together(batch, how, rings):
    complexes = ring_complexes(*batch) if rings else clique_complexes(*batch, max_dim=3)
    x = torch.rand(complexes.n_cells(0), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for k, found in enumerate(lift_features(x, complexes, how)):
        expected = [getattr(x[v], how)(0) for v in map(torch.from_numpy, complexes.vertices(k).numpy())]
        torch.testing.assert_close(found, torch.stack(expected) if expected else x[:0])


def test_golden_projection_sums(golden, golden_edges):
    complexes = clique_complexes(golden_edges, n_vertices=int(golden["n_vertices"]), max_dim=3)
    features = lift_features(torch.from_numpy(golden["x_0"]).double(), complexes, "projection")
    for k in range(4):
        if f"projection_sum_{k}" in golden:
            assert np.array_equal(features[k], golden[f"projection_sum_{k}"])


def test_vertices_stand_side_by_side():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    features = lift_features(x, TRIANGLE, "concatenate")
    assert features[2].tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]
    assert features[1][1].tolist() == [1.0, 2.0, 5.0, 6.0]


def test_gradients_reach_the_vertices():
    x = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    for how in ("sum", "mean", "concatenate", "projection"):
        assert torch.autograd.gradcheck(lambda x, how=how: tuple(lift_features(x, TRIANGLE, how)), x)


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match=r"x has shape \(2, 1\); expected shape \(3, F\)"):
        lift_features(torch.zeros(2, 1), TRIANGLE)
    with pytest.raises(InputError, match="how is 'max'; expected one of 'sum'"):
        lift_features(torch.zeros(3, 1), TRIANGLE, "max")
    with pytest.raises(InputError, match="how is 'concatenate' for rings"):
        lift_features(torch.zeros(3, 1), ring_complexes(torch.tensor([[0, 0, 1], [1, 2, 2]])), "concatenate")
    with pytest.raises(TypeError, match=r"x has dtype torch\.int64"):
        lift_features(torch.zeros(3, 1, dtype=torch.int64), TRIANGLE)
