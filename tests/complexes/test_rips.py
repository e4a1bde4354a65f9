import gudhi
import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError, MemoryLimitError, complex_persistence, rips_persistence
from topodl.complexes import clique_complexes, graph_rips_complexes, rips_complexes

from .graphs import graphs


def clouds(seed, sizes, d=3):
    g = torch.Generator().manual_seed(seed)
    return [torch.rand(n, d, generator=g, dtype=torch.float64) for n in sizes]


@given(st.integers(0, 999), st.lists(st.integers(1, 9), max_size=3), st.floats(0, 1.5), st.booleans())
def test_simplices_and_values_are_those_of_gudhi(seed, sizes, longest, as_matrices):
    points = clouds(seed, sizes)
    x = [torch.cdist(p, p, compute_mode="donot_use_mm_for_euclid_dist") for p in points]
    complexes = rips_complexes(
        x if as_matrices else points,
        longest,
        max_dim=3,
        metric="precomputed" if as_matrices else "euclidean",
    )
    for cloud, each in zip(points, complexes, strict=True):
        tree = gudhi.RipsComplex(points=cloud.numpy(), max_edge_length=longest).create_simplex_tree(3)
        expected = {tuple(simplex): value for simplex, value in tree.get_simplices()}
        found = {}
        for k in range(4):
            rows = map(tuple, each.vertices(k).table().tolist())
            found |= dict(zip(rows, each.values(k).tolist(), strict=True))
        assert found == pytest.approx(expected)


def test_persistence_is_that_of_clouds():
    x = torch.stack(clouds(5, [12, 12]))
    d = complex_persistence(rips_complexes(x, 2.0), dims=(0, 1))
    other = rips_persistence(x)
    for k in (0, 1):
        torch.testing.assert_close(d.dim(k).deaths.sort().values, other.dim(k).deaths.sort().values)


@pytest.mark.parametrize("scale", [2.0**-1000, 1.0, 2.0**1000])
def test_the_unit_of_the_points_does_not_matter(scale):
    x = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [6.0, 8.1]]], dtype=torch.float64) * scale
    assert rips_complexes(x, 5 * scale).vertices(1).table().tolist() == [[0, 1], [0, 2], [1, 2]]
    assert rips_complexes(x, 0.0).vertices(1).table().tolist() == [[0, 2]]


def test_gradients_reach_points_and_distances():
    x = torch.stack(clouds(1, [5])).requires_grad_()
    matrix = torch.cdist(x, x).detach().requires_grad_()

    def values(x, metric):
        complexes = rips_complexes(x, 2.0, metric=metric)
        return torch.cat([complexes.values(k) for k in (1, 2)])

    assert torch.autograd.gradcheck(lambda x: values(x, "euclidean"), x)
    values(matrix, "precomputed").sum().backward()
    assert matrix.grad.tril().abs().sum() == 0
    assert matrix.grad.sum() == 10 + 10


@given(graphs(max_vertices=7), st.integers(0, 3))
def test_rips_complexes_of_graphs_are_cliques_of_their_powers(batch, distance):
    complexes = graph_rips_complexes(*batch, max_distance=distance, max_dim=3)
    graph = nx.Graph([tuple(edge) for edge in batch.edge_index.T.tolist()])
    graph.add_nodes_from(range(len(batch.batch)))
    steps = dict(nx.all_pairs_shortest_path_length(graph))
    near = [(u, v) for u in steps for v in steps[u] if u < v and steps[u][v] <= distance]
    expected = clique_complexes(
        torch.tensor(near, dtype=torch.int64).reshape(-1, 2).T, batch.batch, batch.n_graphs, max_dim=3
    )
    for k in range(4):
        assert torch.equal(complexes.vertices(k).table(), expected.vertices(k).table())
        assert torch.equal(complexes.offsets(k), expected.offsets(k))
        for simplex, value in zip(complexes.vertices(k).table().tolist(), complexes.values(k), strict=True):
            assert value == max(steps[u][v] for u in simplex for v in simplex)


def test_distances_that_are_read_as_points_are_hinted_at():
    x = torch.cdist(*[torch.arange(4.0)[None, :, None]] * 2)
    with pytest.warns(UserWarning, match=r"rips_complexes: x\[0\] is square"):
        rips_complexes(x, 1.0)


def test_half_precision_and_no_dimension():
    x = torch.tensor([[[0.0], [1.0]]], dtype=torch.bfloat16)
    complexes = rips_complexes(x, 1.0)
    assert complexes.values(1).dtype == torch.bfloat16
    assert rips_complexes(x, 1.0, max_dim=0).dim == 0
    assert graph_rips_complexes(torch.tensor([[0], [1]]), max_dim=0).values(0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: rips_complexes(x[0], 1.0), r"x has shape \(4, 2\); expected finite points"),
        (lambda x: rips_complexes(x, float("inf")), "max_edge_length is inf"),
        (lambda x: rips_complexes(x, 1.0, metric="cosine"), "metric is 'cosine'"),
        (lambda x: rips_complexes(x / 0.0, 1.0), r"x\[0\] has NaN"),
        (lambda x: rips_complexes(x @ x.mT - 9, 1.0, metric="precomputed"), r"x\[0\] has -9.0 at \(0, 1\)"),
        (lambda x: rips_complexes(x, 1.0, max_dim=-1), "max_dim is -1"),
    ],
)
def test_bad_input_is_named(call, message):
    x = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    with pytest.raises(InputError, match=f"rips_complexes: {message}"):
        call(x)


def test_too_many_simplices_are_refused():
    x = torch.cat((torch.zeros(1, 40, 2), torch.arange(80.0).view(1, 40, 2) * 9))
    with pytest.raises(
        MemoryLimitError, match="x has 10740 cells up to its triangles, of which sample 0 has 9880"
    ):
        rips_complexes(x, 1.0, max_cells=10_000)
