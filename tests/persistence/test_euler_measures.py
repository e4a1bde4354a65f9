import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.multiparameter import grids_of, lower_star, measure_of, surface
from topodl import InputError, euler_signed_measure, graph_signed_measure
from topodl.complexes import clique_complexes, ring_complexes

EDGES = torch.tensor([[0, 0, 1, 3], [1, 2, 2, 4]])


def points_of(m):
    m = m.merged()
    return [(tuple(p), w) for p, w in zip(m.points.tolist(), m.weights.tolist(), strict=True)]


@given(st.integers(1, 8), st.integers(0, 10**6), st.booleans())
def test_graphs_and_their_cliques_equal_counting_every_sublevel_set(n, seed, ties):
    g = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, n, (2, 14), generator=g)
    x = torch.randint(0, 3, (n, 2), generator=g).double() if ties else torch.rand(n, 2, generator=g).double()
    batch = torch.zeros(n, dtype=torch.int64)
    simple = sorted({tuple(sorted(e)) for e in edges.T.tolist() if e[0] != e[1]})
    points = [(v,) for v in range(n)]
    cells = lower_star(x.tolist(), points + simple)
    grids = grids_of(cells)
    of_graph = euler_signed_measure(x, edges, batch=batch)
    assert points_of(of_graph) == measure_of(surface(cells, *grids, -1), *grids)
    complexes = clique_complexes(edges, max_dim=2, batch=batch).with_values(x)
    triangles = [tuple(t) for t in complexes.vertices(2).table().tolist()]
    cells = lower_star(x.tolist(), points + simple + triangles)
    of_cliques = euler_signed_measure(complexes)
    assert points_of(of_cliques) == measure_of(surface(cells, *grids, -1), *grids)
    assert of_cliques.total_mass().tolist() == [complexes.euler_characteristic().tolist()]


@given(st.integers(1, 8), st.integers(0, 10**6))
def test_it_is_the_alternating_sum_of_the_homology(n, seed):
    g = torch.Generator().manual_seed(seed)
    x, edges = torch.rand(n, 2, generator=g), torch.randint(0, n, (2, 12), generator=g)
    m, grid = graph_signed_measure(x, edges), torch.linspace(0, 1, 6)
    h0, h1 = m.surface(grid, grid)[0]
    assert torch.equal(euler_signed_measure(x, edges).surface(grid, grid)[0, 0], h0 - h1)


def test_complexes_by_hand_with_rings_and_several_samples():
    hexagon = torch.stack([torch.arange(6), (torch.arange(6) + 1) % 6])
    complexes = ring_complexes(
        torch.cat([hexagon, hexagon[:, :2] + 6], 1), max_length=6, batch=torch.tensor([0] * 6 + [1] * 3)
    )
    values = torch.arange(18.0).view(9, 2).requires_grad_()
    m = euler_signed_measure(complexes.with_values(values))
    assert m.total_mass().tolist() == [[1], [1]]
    assert m.cells[:, 0].tolist()[-5:] == [[0, 6], [0, 7], [0, 8], [1, 6], [1, 7]]
    assert m.cells[12].tolist() == [[2, 0], [2, 0]]
    assert m.points[12].tolist() == [10.0, 11.0]
    m.points[12].sum().backward()
    assert values.grad[5].tolist() == [1.0, 1.0]


def test_what_is_infinite_is_never_present():
    values = torch.tensor([[0.0, 0.0], [1.0, 1.0], [math.inf, 0.0], [0.0, 0.0], [0.0, math.inf]])
    complexes = clique_complexes(EDGES, batch=torch.tensor([0, 0, 0, 1, 1])).with_values(values)
    for m in (
        euler_signed_measure(complexes),
        euler_signed_measure(values, EDGES, batch=torch.tensor([0, 0, 0, 1, 1])),
    ):
        assert points_of(m[0]) == [((0.0, 0.0), 1)]
        assert m.total_mass().tolist() == [[1], [1]]


def test_gradients():
    x = torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def functional(x):
        first = euler_signed_measure(x, EDGES)
        second = euler_signed_measure(clique_complexes(EDGES).with_values(x))
        return torch.stack([(m.weights[:, None] * m.points**3).sum(0) for m in (first, second)])

    torch.autograd.gradcheck(functional, x)
    torch.autograd.gradgradcheck(functional, x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": clique_complexes(EDGES)}, "x have no values; expected two values a cell"),
        ({"x": clique_complexes(EDGES).with_values(torch.zeros(5))}, r"x have values of shape \(5,\)"),
        ({"x": clique_complexes(EDGES).with_values(torch.full((5, 2), math.nan))}, "have NaN at vertex 0"),
        (
            {"x": clique_complexes(EDGES).with_values([torch.ones(5, 2), torch.zeros(4, 2)])},
            "enter before its faces",
        ),
        (
            {"x": torch.zeros(5, 2), "batch": torch.zeros(5, dtype=torch.int64)},
            "batch is given; expected edge_index",
        ),
        ({"x": torch.zeros(5, 2)}, "expected images of two channels"),
        ({"x": torch.zeros(5, 3), "edge_index": EDGES}, "vertex_values has shape"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(InputError, match=f"euler_signed_measure: .*{message}"):
        euler_signed_measure(**arguments)
