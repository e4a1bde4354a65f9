import builtins

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError, MissingDependencyError
from topodl.complexes import CellComplexes, clique_complexes, ring_complexes

from .graphs import graphs
from .test_cell_complexes import assert_same, square_with_rings

TRIANGLE = clique_complexes(torch.tensor([[0, 0, 1], [1, 2, 2]]))


@given(graphs(), st.integers(1, 3))
def test_simplex_trees_hold_the_same_cells_and_values(batch, max_dim):
    complexes = clique_complexes(*batch, max_dim=max_dim)
    g = torch.Generator().manual_seed(max_dim)
    values = torch.rand(complexes.n_cells(0), generator=g, dtype=torch.float64)
    complexes = complexes.with_values([values, values.new_full((complexes.n_cells(1),), 2.0)])
    trees = complexes.to_gudhi()
    assert len(trees) == batch.n_graphs
    again = CellComplexes.from_gudhi(trees)
    assert_same(again, with_dimension(complexes, again.dim))


def with_dimension(complexes, dim):
    """Return the complexes up to the largest dimension that has cells, as trees know no other."""
    assert all(complexes.n_cells(k) == 0 for k in range(dim + 1, complexes.dim + 1))
    return complexes.skeleton(dim)


def test_values_of_trees_go_with_their_simplices():
    tree = gudhi.SimplexTree()
    for simplex, value in [([7], 0.5), ([2], 0.25), ([5], 1.0), ([2, 7], 2.0), ([5, 2], 3.0), ([5, 7], 4.0)]:
        tree.insert(simplex, value)
    complexes = CellComplexes.from_gudhi([tree, gudhi.SimplexTree()])
    assert complexes.n_samples == 2
    assert complexes.values(0).tolist() == [0.25, 1.0, 0.5]
    assert complexes.values(1).tolist() == [3.0, 2.0, 4.0]
    assert TRIANGLE.to_gudhi()[0].filtration([0, 1, 2]) == 0.0


def test_matrices_of_toponetx_have_the_same_rows_columns_and_signs():
    pytest.importorskip("toponetx")
    g = torch.Generator().manual_seed(2)
    edge_index = torch.cat((torch.randint(7, (2, 18), generator=g), torch.tensor([range(6), range(1, 7)])), 1)
    for complexes in (clique_complexes(edge_index), ring_complexes(edge_index, max_length=5)):
        (written,) = complexes.to_toponetx()
        for k in (1, 2):
            found = written.incidence_matrix(k).todense()
            assert np.array_equal(found, complexes.boundary(k).to_dense().numpy())
        assert_same(CellComplexes.from_toponetx(written), complexes)


def test_several_complexes_of_toponetx_are_a_batch():
    pytest.importorskip("toponetx")
    assert_same(CellComplexes.from_toponetx(square_with_rings().to_toponetx()), square_with_rings())
    batch = clique_complexes(torch.tensor([[0, 0, 1, 3], [1, 2, 2, 4]]), torch.tensor([0, 0, 0, 1, 1]))
    assert_same(CellComplexes.from_toponetx(batch.to_toponetx()), batch)
    mixed = [*batch.to_toponetx(), *square_with_rings().to_toponetx()]
    with pytest.raises(InputError, match="are of CellComplex, SimplicialComplex; expected"):
        CellComplexes.from_toponetx(mixed)


def test_what_trees_cannot_hold_is_refused():
    with pytest.raises(InputError, match="to_gudhi: the complexes have rings"):
        square_with_rings().to_gudhi()
    with pytest.raises(InputError, match="have 2 filtrations; expected one"):
        TRIANGLE.with_values(torch.zeros(3, 2)).to_gudhi()
    with pytest.raises(
        InputError, match=r"to_gudhi: complexes have \(0, 1\) of the edges .* before its faces"
    ):
        TRIANGLE.with_values([torch.ones(3), torch.zeros(3)]).to_gudhi()
    with pytest.raises(InputError, match=r"trees\[0\] is a int; expected a gudhi.SimplexTree"):
        CellComplexes.from_gudhi([3])


def test_without_toponetx_the_command_that_installs_it_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "toponetx":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingDependencyError, match=r"to_toponetx needs toponetx.*topodl\[interop\]"):
        TRIANGLE.to_toponetx()
