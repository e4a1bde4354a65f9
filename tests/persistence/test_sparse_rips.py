"""Few edges: sparse distances, and short edges of many points, beside the kernels that know all distances."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import topodl
from topodl.errors import InputError, MemoryLimitError
from topodl.kernels.points.rips import rips_pairs
from topodl.kernels.points.rips_edges import condensed_distances
from topodl.kernels.points.sparse_rips import sparse_rips_pairs
from topodl.persistence import _short_edges, rips
from topodl.persistence._short_edges import edges_in_order, short_edges

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 24)


def drawn_edges(seed, n, share, ties):
    """Return edges (E, 2), i < j, of a random graph, and their lengths."""
    rng = np.random.default_rng(seed)
    i, j = np.triu_indices(n, 1)
    kept = rng.random(len(i)) < share
    lengths = rng.random(kept.sum())
    return np.stack([i[kept], j[kept]], 1), np.floor(5 * lengths) if ties else lengths


def dense_of(edges, lengths, n):
    matrix = np.full((n, n), np.inf)
    matrix[edges[:, 0], edges[:, 1]] = matrix[edges[:, 1], edges[:, 0]] = lengths
    np.fill_diagonal(matrix, 0)
    return torch.from_numpy(matrix)


def alike(a, b):
    names = ("births", "deaths", "dims", "samples", "birth_cells", "death_cells")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


@given(seeds, st.integers(1, 60), st.floats(0, 1), st.booleans())
def test_pairs_are_those_of_annotations(seed, n, share, ties):
    edges, _ = edges_in_order(*drawn_edges(seed, n, share, ties), n)
    for own, expected in zip(sparse_rips_pairs(edges, n), rips_pairs(edges, n), strict=True):
        np.testing.assert_array_equal(own, expected)


@given(seeds, sizes, st.floats(0, 1))
def test_edges_are_in_order(seed, n, share):
    edges, lengths = drawn_edges(seed, n, share, ties=True)
    shuffled = np.random.default_rng(seed).permutation(len(edges))
    order = np.lexsort((edges[:, 1], edges[:, 0], lengths))
    for own, expected in zip(
        edges_in_order(edges[shuffled], lengths[shuffled], n), (edges[order], lengths[order]), strict=True
    ):
        np.testing.assert_array_equal(own, expected)


FORMS = {
    "one triangle": lambda upper, both: upper.tocoo(),
    "the other triangle": lambda upper, both: upper.T.tocsr(),
    "both": lambda upper, both: both.tocsr(),
    "by columns, in a list": lambda upper, both: [both.tocsc()],
    "tensor": lambda upper, both: as_tensor(both),
    "compressed tensor": lambda upper, both: as_tensor(both).to_sparse_csr(),
    "batch of one": lambda upper, both: as_tensor(both).unsqueeze(0),
}


def as_tensor(matrix):
    coo = matrix.tocoo()
    places = torch.from_numpy(np.stack(coo.coords).astype(np.int64))
    return torch.sparse_coo_tensor(places, torch.from_numpy(coo.data), coo.shape, check_invariants=True)


@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(seeds, sizes, st.floats(0, 1), st.sampled_from([np.inf, 0.5, 2.0]))
def test_sparse_distances_are_dense_ones_with_infinity(form, seed, n, share, longest):
    edges, lengths = drawn_edges(seed, n, share, ties=True)
    upper = sparse.coo_array((lengths, tuple(edges.T)), shape=(n, n))
    mirrored = (np.r_[lengths, lengths], (np.r_[tuple(edges.T)], np.r_[tuple(edges.T[::-1])]))
    both = sparse.coo_array(mirrored, shape=(n, n))
    options = {"dims": (0, 1, 2), "metric": "precomputed", "max_edge_length": longest}
    expected = topodl.rips_persistence(dense_of(edges, lengths, n)[None], **options)
    assert alike(topodl.rips_persistence(form(upper, both), **options), expected)


def test_a_square_by_hand():
    lengths, rows, columns = [1.0, 1.0, 1.0, 2.0, 0.0], [0, 1, 2, 0, 3], [1, 2, 3, 3, 4]
    square = sparse.coo_array((lengths, (rows, columns)), shape=(5, 5))
    d = topodl.rips_persistence(square, metric="precomputed")
    assert d.dim(0).deaths.tolist() == [1.0, 1.0, 1.0, np.inf]  # the explicit 0 joins vertex 4 at once
    assert d.dim(1).births.tolist() == [2.0]
    assert d.dim(1).deaths.tolist() == [np.inf]
    assert d.dim(1).birth_cells.tolist() == [[0, 3]]


def test_the_diagonal_plays_no_part_and_dense_samples_may_stand_beside():
    one = sparse.coo_array(([3.0, np.nan], ([0, 1], [1, 1])), shape=(2, 2))
    dense = np.array([[0.0, 2.0, np.inf], [2.0, 0.0, 5.0], [np.inf, 5.0, 0.0]])
    d = topodl.rips_persistence([one, dense, torch.from_numpy(dense)], metric="precomputed")
    assert [s.deaths.tolist() for s in d] == [[3.0, np.inf], [2.0, 5.0, np.inf], [2.0, 5.0, np.inf]]


def test_samples_without_an_entry():
    empty = sparse.csr_array((3, 3))
    d = topodl.rips_persistence([empty, empty], metric="precomputed")
    assert d.dim(0).deaths.tolist() == [np.inf] * 6
    assert d.dim(1).n_bars == 0


def test_a_batch_without_samples():
    none = torch.sparse_coo_tensor(torch.empty(3, 0).long(), torch.empty(0), (0, 4, 4), check_invariants=True)
    d = topodl.rips_persistence(none, metric="precomputed")
    assert (d.n_samples, d.n_bars, d.homology_dims) == (0, 0, (0, 1))


@pytest.mark.parametrize("kind", ["coo", "csr"])
@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning")
def test_gradients_reach_the_entries(kind):
    edges, _ = drawn_edges(0, 12, 0.6, ties=False)
    places = torch.from_numpy(edges.T)
    lengths = torch.randperm(len(edges), generator=torch.Generator().manual_seed(0)).double() + 1

    def ends(values):
        matrix = torch.sparse_coo_tensor(places, values, (12, 12), check_invariants=True)
        d = topodl.rips_persistence(matrix if kind == "coo" else matrix.to_sparse_csr(), 1, "precomputed")
        return d.finite().births, d.finite().deaths

    assert len(ends(lengths)[0]) > 2
    torch.autograd.gradcheck(ends, lengths.requires_grad_())


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (([1.0, -2.0], ([0, 1], [1, 2])), r"x has -2.0 at \(1, 2\)"),
        (([1.0, np.nan], ([0, 1], [1, 2])), r"x has NaN at \(1, 2\)"),
        (([1.0, 2.0], ([0, 1], [1, 0])), r"x has 1.0 at \(0, 1\) and 2.0 at \(1, 0\)"),
    ],
)
def test_unusable_entries_are_named(entries, message):
    with pytest.raises(InputError, match=message):
        topodl.rips_persistence(sparse.coo_array(entries, shape=(3, 3)), metric="precomputed")


def test_unusable_matrices_are_named():
    with pytest.raises(InputError, match=r"x has shape \(2, 3\); expected a sparse matrix"):
        topodl.rips_persistence(sparse.csr_array((2, 3)), metric="precomputed")
    with pytest.raises(TypeError, match="has dtype complex128"):
        topodl.rips_persistence(sparse.csr_array((2, 2), dtype=complex), metric="precomputed")
    with pytest.raises(TypeError, match="x is a csr_array"):
        topodl.rips_persistence(sparse.csr_array((2, 2)))


def test_rounding_below_zero_and_off_symmetry_counts_as_none():
    entries = ([1.0, 1.0 + 1e-9, -1e-16], ([0, 1, 1], [1, 0, 2]))
    d = topodl.rips_persistence(sparse.coo_array(entries, shape=(3, 3)), 0, "precomputed")
    assert d.deaths.tolist() == [1.0, np.inf]


@given(seeds, st.integers(2, 40), st.sampled_from([1, 2, 5, 20]), st.sampled_from([1e-30, 1e-3, 1.0, 1e20]))
def test_short_edges_of_points_are_all_of_them(seed, n, n_dims, unit):
    rng = np.random.default_rng(seed)
    points = rng.random((n, n_dims)).astype(rng.choice([np.float32, np.float64]))
    points = (points + rng.integers(0, 100)).astype(points.dtype) * points.dtype.type(unit)
    known, (i, j) = condensed_distances(points), np.triu_indices(n, 1)
    longest = float(np.quantile(known, rng.random()))
    ends = zip(i.tolist(), j.tolist(), strict=True)
    expected = {e: v for e, v in zip(ends, known.tolist(), strict=True) if v <= longest}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_short_edges, "LEAST_POINTS", 2)
        patch.setattr(_short_edges, "_FEW", 1)
        for most in (12, 0):  # by a tree where there are few dimensions, and by products
            patch.setattr(_short_edges, "_MOST_TREE_DIMS", most)
            patch.setattr(_short_edges, "_BLOCK", int(rng.integers(1, 200)))
            edges, lengths = short_edges(points, longest)
            assert dict(zip(map(tuple, edges.tolist()), lengths.tolist(), strict=True)) == expected


@pytest.mark.parametrize("dims", [0, (0, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_many_points_with_short_edges_have_the_bars_of_all_distances(dims, dtype, monkeypatch):
    points = torch.rand(2, 2100, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    few = topodl.rips_persistence(points, dims, max_edge_length=0.02)
    for module in (_short_edges, rips):
        monkeypatch.setattr(module, "LEAST_POINTS", 10**6)
    assert alike(few, topodl.rips_persistence(points, dims, max_edge_length=0.02))


def test_gradients_reach_many_points():
    points = torch.rand(1, 2100, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    d = topodl.rips_persistence(points, 1, max_edge_length=0.05).finite()
    (pull,) = torch.autograd.grad(d.deaths.sum(), points)
    i, j = d.death_cells.T
    (expected,) = torch.autograd.grad((points[0, i] - points[0, j]).norm(dim=1).sum(), points)
    torch.testing.assert_close(pull, expected)


def test_more_points_than_a_matrix_has_room_for():
    t = torch.arange(70_000) * (2 * torch.pi / 70_000)
    circle = torch.stack([t.cos(), t.sin()], 1).double()
    step = float((circle[0] - circle[1]).norm())
    d = topodl.rips_persistence(circle[None], (0, 1), max_edge_length=1.5 * step)
    assert d.dim(0).essential().n_bars == 1
    assert d.dim(1).deaths.tolist() == [np.inf]
    with pytest.raises(MemoryLimitError, match="a shorter max_edge_length"):
        topodl.rips_persistence(circle[None], (0, 1), max_edge_length=3.0)
