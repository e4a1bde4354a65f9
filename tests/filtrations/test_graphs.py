import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.filtrations import forman, graph_of, heat_signature, ollivier
from topodl import InputError
from topodl.filtrations import degree_values, forman_curvature, heat_kernel_signature, ollivier_curvature

CYCLE = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])


@st.composite
def graphs(draw, max_vertices=7):
    """Edges with loops and copies, and a weight for each."""
    n = draw(st.integers(1, max_vertices))
    vertex = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(vertex, vertex), max_size=14))
    weights = draw(st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=len(edges), max_size=len(edges)))
    return n, edges, weights


def index_of(edges):
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T


def drawn(n=7, n_edges=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, n, (2, n_edges), generator=generator)
    weights = torch.rand(n_edges, generator=generator, dtype=torch.float64) + 0.5
    return edges, weights


@given(graphs(), st.booleans())
def test_values_of_vertices_equal_networkx(graph, weighted):
    n, edges, weights = graph
    theirs = graph_of(n, edges, weights if weighted else None)
    ours = torch.tensor(weights, dtype=torch.float64) if weighted else None
    options = {"n_vertices": n}
    degrees = degree_values(index_of(edges), ours, **options)
    assert degrees.tolist() == pytest.approx([d for _, d in sorted(theirs.degree(weight="weight"))])
    heat = heat_kernel_signature(index_of(edges), [0.0, 0.7, 10.0], ours, **options)
    expected = np.stack([heat_signature(theirs, t) for t in (0.0, 0.7, 10.0)], 1)
    alone = np.array([theirs.degree(v) == 0 for v in range(n)])
    expected[alone] = 1.0
    np.testing.assert_allclose(heat, expected, atol=1e-5 if ours is None else 1e-10)


@given(graphs(), st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_curvatures_of_edges_by_definition(graph, weighted, alpha):
    n, edges, weights = graph
    theirs = graph_of(n, edges, weights if weighted else None)
    ours = torch.tensor(weights, dtype=torch.float64) if weighted else None
    of_forman = forman_curvature(index_of(edges), ours)
    of_ollivier = ollivier_curvature(index_of(edges), torch.tensor(alpha, dtype=torch.float64), ours)
    for i, (u, v) in enumerate(edges):
        if u == v:
            assert of_forman[i] == of_ollivier[i] == 0
        else:
            assert of_forman[i].item() == pytest.approx(forman(theirs, u, v), abs=1e-5)
            assert of_ollivier[i].item() == pytest.approx(ollivier(theirs, u, v, alpha), abs=1e-7)


def test_curvatures_in_closed_form():
    assert ollivier_curvature(CYCLE, 0.0).tolist() == [0.0] * 6
    n = 7
    complete = torch.combinations(torch.arange(n)).T
    torch.testing.assert_close(ollivier_curvature(complete, 0.0), torch.full((21,), (n - 2) / (n - 1)))
    # a mean of (1 − α)(n − 2)/(n − 1) + … : the walkers differ at their two ends alone
    torch.testing.assert_close(
        ollivier_curvature(complete, 0.5), torch.full((21,), 1 - (0.5 - 0.5 / (n - 1)))
    )
    star = torch.tensor([[0, 0, 0], [1, 2, 3]])
    torch.testing.assert_close(ollivier_curvature(star, 0.0), torch.zeros(3))
    assert forman_curvature(star).tolist() == [0.0] * 3
    assert forman_curvature(complete, triangles=True).tolist() == [4 - 12 + 15] * 21


def test_the_cost_needs_more_than_the_nearest_columns():
    edges, weights = drawn(n=12, n_edges=40, seed=3)
    theirs = graph_of(12, edges.T.tolist(), weights.tolist())
    ours = ollivier_curvature(edges, torch.tensor(0.1, dtype=torch.float64), weights)
    for i, (u, v) in enumerate(edges.T.tolist()):
        if u != v:
            assert ours[i].item() == pytest.approx(ollivier(theirs, u, v, 0.1), abs=1e-9)


def test_at_vertices_curvatures_are_means():
    path = torch.tensor([[0, 1, 1], [1, 2, 0]])
    assert forman_curvature(path, at="vertices", n_vertices=4).tolist() == [1.0, 1.0, 1.0, 0.0]
    spider = torch.tensor([[0, 0, 0, 1], [1, 2, 3, 4]])
    edges = ollivier_curvature(spider, 0.3)
    expected = torch.stack([edges[:3].mean(), edges[[0, 3]].mean(), edges[1], edges[2], edges[3]])
    torch.testing.assert_close(ollivier_curvature(spider, 0.3, at="vertices"), expected)


@given(st.lists(graphs(5), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_a_shuffled_batch_is_each_graph_alone(several, random):
    functions = (
        degree_values,
        lambda edges, weights, **o: heat_kernel_signature(edges, 2.0, weights, **o),
        lambda edges, weights, **o: forman_curvature(edges, weights, at="vertices", **o),
        lambda edges, weights, **o: ollivier_curvature(edges, 0.3, weights, at="vertices", **o),
    )
    edges, weights, graph_of_vertex = [], [], []
    for g, (n, e, w) in enumerate(several):
        edges += [(u + len(graph_of_vertex), v + len(graph_of_vertex)) for u, v in e]
        weights += w
        graph_of_vertex += [g] * n
    order = list(range(len(graph_of_vertex)))
    random.shuffle(order)
    place = {v: k for k, v in enumerate(order)}
    ends = index_of([(place[u], place[v]) for u, v in edges])
    batch = torch.tensor([graph_of_vertex[v] for v in order])
    for function in functions:
        together = function(ends, torch.tensor(weights, dtype=torch.float64), batch=batch)
        for g, (n, e, w) in enumerate(several):
            alone = function(index_of(e), torch.tensor(w, dtype=torch.float64), n_vertices=n)
            mine = [v for v in range(len(order)) if graph_of_vertex[v] == g]
            torch.testing.assert_close(together[[place[v] for v in mine]], alone)


@pytest.mark.parametrize(
    "function",
    [
        degree_values,
        lambda e, w: heat_kernel_signature(e, [0.5, 3.0], w),
        forman_curvature,
        lambda e, w: forman_curvature(e, w, at="vertices"),
        lambda e, w: ollivier_curvature(e, 0.3, w),
    ],
)
def test_gradients_reach_the_weights(function):
    edges, weights = drawn()
    torch.autograd.gradcheck(lambda w: function(edges, w), weights.requires_grad_())
    torch.autograd.gradgradcheck(lambda w: function(edges, w), weights.requires_grad_())


def test_gradients_reach_times_and_laziness():
    edges, weights = drawn()
    t = torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda t: heat_kernel_signature(edges, t, weights), t)
    torch.autograd.gradgradcheck(lambda t: heat_kernel_signature(edges, t, weights), t)
    alpha = torch.tensor(0.35, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda a: ollivier_curvature(edges, a, weights), alpha)


def test_equal_eigenvalues_do_no_harm():
    weights = torch.ones(6, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(heat_kernel_signature(CYCLE, 1.0, weights).square().sum(), weights)
    torch.testing.assert_close(slope, slope[:1].expand(6))
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("t", [0.0, 0.2, 10.0, 900.0, 1e5, 1e40])
def test_all_ways_to_the_signature_agree(t):
    edges, weights = drawn(21, 30, 1)
    edges = torch.cat([edges[:, :20] // 2 * 2, edges[:, 20:] // 2 * 2 + 1], 1)
    options = {"batch": torch.tensor([0, 1] * 13)}  # two graphs whose vertices alternate; some have no edge
    by_products = heat_kernel_signature(edges, t, weights, **options)
    time = torch.tensor(t, dtype=torch.float64, requires_grad=True)
    by_vectors = heat_kernel_signature(edges, time, weights, **options)
    torch.testing.assert_close(by_products, by_vectors.detach(), atol=1e-12, rtol=0)
    if t < 1e3:
        by_powers = heat_kernel_signature(edges, t, weights.requires_grad_(), **options)
        torch.testing.assert_close(by_products, by_powers.detach(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("with_gradient", [False, True])
def test_heat_does_not_depend_on_the_unit_of_weights(with_gradient):
    edges = torch.tensor([[0, 0, 0, 0, 1], [1, 2, 3, 4, 2]])
    weights = torch.tensor([1.0, 0.9, 0.8, 0.7, 0.5], dtype=torch.float64)
    time = torch.tensor(2.0, dtype=torch.float64, requires_grad=with_gradient)
    expected = heat_kernel_signature(edges, time, weights)
    for unit in (2.0**1023, 2.0**-900):  # of the first the sum at vertex 0 is infinite
        found = heat_kernel_signature(edges, time, unit * weights)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_heat_on_a_sparse_graph_of_many_vertices():
    """On a long cycle exp(−t L) is a walk on the integers: e^−t I_0(t)."""
    n = 200
    cycle = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    heat = heat_kernel_signature(cycle, [0.5, 4.0], torch.ones(n, dtype=torch.float64))
    expected = torch.special.i0e(torch.tensor([0.5, 4.0], dtype=torch.float64)).expand(n, 2)
    torch.testing.assert_close(heat, expected, atol=1e-13, rtol=0)


def test_nothing_is_a_value():
    none = torch.zeros(2, 0, dtype=torch.int64)
    for function in (degree_values, lambda e, **o: heat_kernel_signature(e, 1.0, **o), forman_curvature):
        assert function(none).shape == (0,)
    assert heat_kernel_signature(none, [1.0, 2.0], n_vertices=3).tolist() == [[1.0, 1.0]] * 3
    assert ollivier_curvature(none).shape == (0,)
    assert forman_curvature(none, triangles=True).shape == (0,)
    loop = torch.tensor([[1], [1]])
    assert (degree_values(loop).tolist(), ollivier_curvature(loop).tolist()) == ([0.0, 0.0], [0.0])


def test_dtypes():
    single = torch.ones(6)
    double = single.double()
    assert degree_values(CYCLE, double).dtype == torch.float64
    assert heat_kernel_signature(CYCLE, torch.tensor(1.0, dtype=torch.float64)).dtype == torch.float64
    assert heat_kernel_signature(CYCLE, 1.0).dtype == torch.float32
    assert ollivier_curvature(CYCLE, 0.5, single.half()).dtype == torch.float16
    assert forman_curvature(CYCLE, single.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: degree_values(torch.zeros(3, 2, dtype=torch.int64)), r"edge_index has shape \(3, 2\)"),
        (lambda: degree_values(CYCLE, torch.ones(5)), r"edge_weights has shape \(5,\)"),
        (lambda: degree_values(CYCLE, -torch.ones(6)), "edge_weights has -1.0 at edge 0"),
        (lambda: degree_values(CYCLE, torch.tensor([1, 1, math.nan, 1, 1, 1])), "has NaN at edge 2"),
        (lambda: degree_values(CYCLE, n_vertices=5), "edge_index has 0 … 5"),
        (lambda: degree_values(CYCLE, n_vertices=-1), "n_vertices is -1"),
        (
            lambda: degree_values(CYCLE, n_vertices=7, batch=torch.zeros(6, dtype=torch.int64)),
            "length of batch",
        ),
        (lambda: degree_values(CYCLE, batch=torch.tensor([0, 0, 0, 1, 1, 1])), "between graphs"),
        (lambda: heat_kernel_signature(CYCLE, -1.0), "t is -1.0"),
        (lambda: heat_kernel_signature(CYCLE, torch.ones(2, 2)), r"t has shape \(2, 2\)"),
        (lambda: forman_curvature(CYCLE, torch.ones(6), triangles=True), "edge_weights are given"),
        (lambda: forman_curvature(CYCLE, at="faces"), "at is 'faces'"),
        (lambda: ollivier_curvature(CYCLE, 1.5), "alpha is 1.5"),
        (lambda: ollivier_curvature(CYCLE, torch.ones(1)), r"alpha has shape \(1,\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_wrong_types_are_type_errors():
    with pytest.raises(TypeError, match="edge_index has dtype"):
        degree_values(CYCLE.float())
