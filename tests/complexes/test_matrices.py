import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError
from topodl.complexes import clique_complexes, ring_complexes

from .graphs import graphs

K4 = torch.combinations(torch.arange(4)).T


def entries(matrix):
    """Return the stored entries of a sparse matrix as the golden files have them."""
    assert matrix.is_coalesced()
    row, column = matrix.indices().numpy()
    table = np.stack([row, column, matrix.values().numpy()]).astype(np.int64)
    return table[:, np.lexsort((row, column))]


def test_golden_laplacians_and_boundaries(golden, golden_edges):
    complexes = clique_complexes(golden_edges, n_vertices=int(golden["n_vertices"]), max_dim=3)
    parts = {"both": "laplacian", "up": "up_laplacian", "down": "down_laplacian"}
    for k in range(3):
        for part, name in parts.items():
            if f"{name}_{k}" in golden:
                assert np.array_equal(entries(complexes.hodge_laplacian(k, part)), golden[f"{name}_{k}"])
        if f"boundary_{k + 1}" in golden:
            assert np.array_equal(entries(complexes.boundary(k + 1)), golden[f"boundary_{k + 1}"])
        if f"spectrum_{k}" not in golden:
            continue
        dense = complexes.hodge_laplacian(k, dtype=torch.float64).to_dense()
        spectrum = torch.linalg.eigvalsh(dense).numpy()
        np.testing.assert_allclose(spectrum, golden[f"spectrum_{k}"], atol=1e-9)
    assert complexes.betti_numbers()[0, :3].tolist() == golden["betti"].tolist()


def test_golden_laplacians_of_rings(golden, golden_edges):
    complexes = ring_complexes(golden_edges, n_vertices=int(golden["n_vertices"]), max_length=8)
    assert np.array_equal(entries(complexes.boundary(2)), golden["ring_boundary_2"])
    for k in (1, 2):
        assert np.array_equal(entries(complexes.hodge_laplacian(k)), golden[f"ring_laplacian_{k}"])


@given(graphs(max_vertices=7), st.integers(0, 4), st.booleans())
def test_boundaries_have_no_boundary_and_laplacians_are_their_products(batch, max_dim, rings):
    complexes = ring_complexes(*batch) if rings else clique_complexes(*batch, max_dim=max_dim)
    dense = {k: complexes.boundary(k, dtype=torch.float64).to_dense() for k in range(1, complexes.dim + 1)}
    for k in range(complexes.dim + 1):
        n = complexes.n_cells(k)
        up = dense[k + 1] @ dense[k + 1].T if k < complexes.dim else torch.zeros(n, n, dtype=torch.float64)
        down = dense[k].T @ dense[k] if k else torch.zeros(n, n, dtype=torch.float64)
        for part, expected in {"up": up, "down": down, "both": up + down}.items():
            found = complexes.hodge_laplacian(k, part, dtype=torch.float64)
            assert torch.equal(found.to_dense(), expected)
            assert bool((found.values() != 0).all())
        if 0 < k < complexes.dim:
            assert not (dense[k] @ dense[k + 1]).any()


@given(graphs(max_vertices=7), st.integers(0, 4), st.booleans())
def test_betti_numbers_are_the_dimensions_of_kernels(batch, max_dim, rings):
    complexes = ring_complexes(*batch) if rings else clique_complexes(*batch, max_dim=max_dim)
    numbers = complexes.betti_numbers()
    assert numbers.shape == (batch.n_graphs, complexes.dim + 1)
    for g, each in enumerate(complexes):
        for k in range(complexes.dim + 1):
            laplacian = each.hodge_laplacian(k, dtype=torch.float64).to_dense()
            kernel = len(laplacian) - int(torch.linalg.matrix_rank(laplacian)) if len(laplacian) else 0
            assert numbers[g, k] == kernel
    signs = torch.tensor([(-1) ** k for k in range(complexes.dim + 1)])
    assert torch.equal(complexes.euler_characteristic(), (numbers * signs).sum(1))


@given(graphs(max_vertices=6))
def test_adjacent_cells_share_a_face_or_a_coface(batch):
    for complexes in (clique_complexes(*batch), ring_complexes(*batch)):
        for k, via in ((0, "up"), (1, "up"), (1, "down"), (2, "down")):
            lists = complexes.cofaces(k) if via == "up" else complexes.faces(k)
            sets = [set(each.tolist()) for each in lists.numpy()]
            found = complexes.adjacency(k, via)
            shared = [[i != j and bool(a & b) for j, b in enumerate(sets)] for i, a in enumerate(sets)]
            assert found.to_dense().bool().tolist() == shared
            assert bool((found.values() == 1).all())
        assert complexes.adjacency(0, "down")._nnz() == complexes.adjacency(2, "up")._nnz() == 0


def test_unsigned_boundaries_and_dtypes():
    complexes = clique_complexes(K4)
    assert torch.equal(complexes.boundary(2, signed=False).to_dense(), complexes.boundary(2).to_dense().abs())
    assert complexes.boundary(1, dtype=torch.float64).dtype == torch.float64
    assert complexes.adjacency(0, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert complexes.hodge_laplacian(1, dtype=torch.int64).dtype == torch.int64


def test_rook_and_shrikhande_graph_differ_in_betti_numbers():
    places = [(i, j) for i in range(4) for j in range(4)]
    steps = {"rook": [(0, 1), (0, 2), (1, 0), (2, 0)], "shrikhande": [(0, 1), (1, 0), (1, 1)]}
    found = {}
    for name, moves in steps.items():
        edges = {
            (places.index((i, j)), places.index(((i + a) % 4, (j + b) % 4)))
            for i, j in places
            for a, b in moves
        }
        found[name] = clique_complexes(torch.tensor([*edges]).T, max_dim=3).betti_numbers()[0, :3].tolist()
    assert found == {"rook": [1, 9, 0], "shrikhande": [1, 2, 1]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.boundary(0), "boundary: k is 0; expected a dimension from 1 to 2"),
        (lambda c: c.hodge_laplacian(3), "hodge_laplacian: k is 3"),
        (lambda c: c.hodge_laplacian(1, "left"), "part is 'left'; expected one of 'both', 'up', 'down'"),
        (lambda c: c.adjacency(1, "both"), "via is 'both'; expected one of 'up', 'down'"),
    ],
)
def test_what_is_not_there_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call(clique_complexes(K4))
