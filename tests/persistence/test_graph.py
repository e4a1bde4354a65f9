import math

import gudhi
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topodl
from tests.naive.graph import extended_bars, ordinary_bars
from tests.strategies import shuffled
from topodl import InputError, extended_parts, graph_persistence

CYCLE = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])


@st.composite
def graphs(draw, max_vertices=9):
    """A value for each vertex, of few (ties) or many, and edges with loops and copies in both directions."""
    n = draw(st.integers(1, max_vertices))
    value = draw(st.sampled_from([st.integers(0, 2).map(float), st.floats(-5, 5).map(lambda v: round(v, 3))]))
    values = draw(st.lists(value, min_size=n, max_size=n))
    vertex = st.integers(0, n - 1)
    return values, draw(st.lists(st.tuples(vertex, vertex), max_size=20))


def index_of(edges):
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T


def simple(edges):
    return sorted({(min(e), max(e)) for e in edges if e[0] != e[1]})


def bars_of(d):
    return sorted(zip(d.dims.tolist(), d.births.tolist(), d.deaths.tolist(), strict=True))


def pairs_of(d):
    return sorted(zip(d.births.tolist(), d.deaths.tolist(), strict=True))


def check_cells(d, values):
    """Births are values of cells from below; deaths too, in dimension 1 of extended ones from above."""
    rows = zip(
        d.dims.tolist(),
        d.births.tolist(),
        d.deaths.tolist(),
        d.birth_cells.tolist(),
        d.death_cells.tolist(),
        strict=True,
    )
    for dim, birth, death, b, e in rows:
        assert birth == max(values[v] for v in b if v >= 0)
        if e[0] < 0:
            assert death == math.inf
        else:
            assert death == (max if dim == 0 else min)(values[v] for v in e if v >= 0)


@given(graphs())
def test_bars_equal_the_reduced_boundary_matrix(graph):
    values, edges = graph
    d = graph_persistence(torch.tensor(values, dtype=torch.float64), index_of(edges))
    assert bars_of(d) == ordinary_bars(values, simple(edges))
    check_cells(d, values)


@given(graphs())
def test_extended_bars_equal_the_reduced_matrix_of_the_cone(graph):
    values, edges = graph
    d = graph_persistence(torch.tensor(values, dtype=torch.float64), index_of(edges), extended=True)
    expected = extended_bars(values, simple(edges))
    assert {name: pairs_of(part) for name, part in extended_parts(d)._asdict().items()} == expected
    assert d.n_bars == sum(map(len, expected.values()))
    check_cells(d, values)


@given(graphs())
def test_bars_equal_gudhi(graph):
    values, edges = graph
    tree = gudhi.SimplexTree()
    for v, value in enumerate(values):
        tree.insert([v], value)
    for edge in simple(edges):
        tree.insert(list(edge), max(values[edge[0]], values[edge[1]]))
    theirs = tree.persistence(homology_coeff_field=2, persistence_dim_max=True)
    d = graph_persistence(torch.tensor(values, dtype=torch.float64), index_of(edges))
    assert bars_of(d) == sorted((dim, b, e) for dim, (b, e) in theirs)
    if len(set(values)) > 1:
        tree.extend_filtration()
        parts = tree.extended_persistence(homology_coeff_field=2)
        ours = extended_parts(
            graph_persistence(torch.tensor(values, dtype=torch.float64), index_of(edges), extended=True)
        )
        for mine, other in zip(ours, parts, strict=True):
            expected = sorted(bar for _, bar in other if abs(bar[0] - bar[1]) > 1e-9)
            assert pairs_of(mine) == [pytest.approx(bar) for bar in expected]


@given(st.lists(graphs(6), min_size=1, max_size=4), st.booleans(), st.randoms(use_true_random=False))
def test_a_shuffled_batch_is_each_graph_alone(batch_of, extended, random):
    values, edges, batch = shuffled(batch_of, random)
    x = torch.tensor(values, dtype=torch.float64)
    together = graph_persistence(x, index_of(edges), batch=batch, extended=extended)
    assert len(together) == len(batch_of)
    for g, (v, e) in enumerate(batch_of):
        alone = graph_persistence(torch.tensor(v, dtype=torch.float64), index_of(e), extended=extended)
        assert bars_of(together[g]) == bars_of(alone)


@given(graphs(), st.booleans())
def test_many_filtrations_are_each_filtration_alone(graph, extended):
    values, edges = graph
    x = torch.tensor([values, values[::-1], [0.0] * len(values)], dtype=torch.float64).T
    batch = torch.zeros(len(values), dtype=torch.int64)
    together = graph_persistence(x, index_of(edges), batch=batch, extended=extended, n_graphs=2)
    assert len(together) == 6
    assert together[3:].n_bars == 0
    for f in range(3):
        assert bars_of(together[f]) == bars_of(graph_persistence(x[:, f], index_of(edges), extended=extended))


@given(graphs(), st.integers(0, 10**6))
def test_many_values_of_copied_edges_are_each_filtration_alone(graph, seed):
    values, edges = graph
    generator = torch.Generator().manual_seed(seed)
    x = torch.tensor(values, dtype=torch.float64)[:, None].repeat(1, 3)
    ends = index_of(edges + edges[::-1])
    later = torch.randint(0, 3, (ends.shape[1], 3), generator=generator)
    heights = x[ends].amax(0) + later
    together = graph_persistence(x, ends, heights)
    for f in range(3):
        least = {}
        for (u, v), height in zip(ends.T.tolist(), heights[:, f].tolist(), strict=True):
            least[min(u, v), max(u, v)] = min(height, least.get((min(u, v), max(u, v)), math.inf))
        assert bars_of(together[f]) == ordinary_bars(values, simple(edges), least)


def test_edge_values_count_and_of_copies_the_smallest():
    values = torch.zeros(3)
    edges = torch.tensor([[0, 1, 1, 2, 2], [1, 0, 2, 0, 2]])
    weights = torch.tensor([3.0, 1.0, 2.0, 4.0, -9.0], requires_grad=True)
    d = graph_persistence(values, edges, weights)
    assert bars_of(d) == [(0, 0.0, 1.0), (0, 0.0, 2.0), (0, 0.0, math.inf), (1, 4.0, math.inf)]
    (d.finite().deaths.sum() + d.dim(1).births.sum()).backward()
    assert weights.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    naive = ordinary_bars([0.0] * 3, [(0, 1), (1, 2), (0, 2)], {(0, 1): 1.0, (1, 2): 2.0, (0, 2): 4.0})
    assert bars_of(d) == naive


def test_edge_values_are_compared_in_the_precision_of_vertices():
    x = torch.tensor([0.0, 1.0])
    just_above = torch.tensor([1.0 + 1e-12], dtype=torch.float64)
    d = graph_persistence(x, torch.tensor([[0], [1]]), just_above)
    assert bars_of(d) == [(0, 0.0, math.inf)]


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("n_filtrations", [0, 3])
def test_gradients_of_first_and_second_order(extended, n_filtrations):
    generator = torch.Generator().manual_seed(0)
    shape = (12, n_filtrations) if n_filtrations else (12,)
    x = torch.rand(shape, dtype=torch.float64, generator=generator, requires_grad=True)
    edges = torch.randint(0, 12, (2, 25), generator=generator)

    def ends(values):
        d = graph_persistence(values, edges, extended=extended)
        return torch.cat((d.births, d.finite().deaths)) ** 2

    torch.autograd.gradcheck(ends, x)
    torch.autograd.gradgradcheck(ends, x)


def test_gradients_stand_at_the_critical_vertices():
    x = torch.tensor([0.0, 1.0, 3.0, 2.0], requires_grad=True)
    parts = extended_parts(graph_persistence(x, CYCLE, extended=True))
    assert pairs_of(parts.extended_plus) == [(0.0, 3.0)]
    assert pairs_of(parts.extended_minus) == [(3.0, 0.0)]
    parts.extended_minus.births.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 0.0]


@given(st.integers(1, 9), st.integers(0, 10**6), st.booleans())
def test_vertices_without_values_enter_with_their_first_edges(n, seed, ties):
    g = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, n, (2, 12), generator=g)
    values = torch.randint(-3, 3, (12, 2), generator=g).double() if ties else torch.randn(12, 2, generator=g)
    lowest = torch.full((n, 2), math.inf, dtype=values.dtype)
    for (u, v), value in zip(edges.T.tolist(), values, strict=True):
        if u != v:
            lowest[u], lowest[v] = lowest[u].minimum(value), lowest[v].minimum(value)
    d = graph_persistence(None, edges, values, batch=torch.zeros(n, dtype=torch.int64))
    expected = graph_persistence(lowest, edges, values)
    expected = expected.select(expected.births < math.inf)
    assert torch.equal(d.births, expected.births)
    assert torch.equal(d.deaths, expected.deaths)
    assert torch.equal(d.birth_cells, expected.birth_cells)
    assert len(d) == 2


def test_a_vertex_gives_its_gradient_to_the_first_of_its_first_edges():
    # 2 and 3 are joined at -4, 0 and 1 at -3, both at -1; 4 has no edge but a loop
    edges = torch.tensor([[0, 1, 2, 0, 4], [1, 2, 3, 1, 4]])
    values = torch.tensor([-3.0, -1.0, -4.0, -3.0, -9.0], requires_grad=True)
    d = graph_persistence(None, edges, values)
    assert (d.births.tolist(), d.deaths.tolist()) == ([-3.0, -4.0], [-1.0, math.inf])
    d.births.sum().backward()
    assert values.grad.tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]
    doubles = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def ends(values):
        d = graph_persistence(None, edges, values)
        return torch.cat((d.births, d.finite().deaths)) ** 2

    torch.autograd.gradcheck(ends, doubles)
    torch.autograd.gradgradcheck(ends, doubles)


def test_edges_alone_with_a_batch_and_without_any():
    none = torch.zeros(2, 0, dtype=torch.int64)
    assert graph_persistence(None, none, torch.zeros(0)).n_bars == 0
    d = graph_persistence(None, torch.tensor([[0], [1]]), torch.tensor([-1.0]), torch.tensor([0, 0, 1]))
    assert (len(d), d.births.tolist(), d.samples.tolist()) == (2, [-1.0], [0])
    layer = topodl.layers.GraphPersistence()
    graphs = [
        (None, CYCLE, -torch.arange(1.0, 5.0)),
        (None, none, torch.zeros(0)),
        (None, CYCLE, torch.ones(4)),
    ]
    d = layer(graphs)
    assert (len(d), d.dim(0).samples.tolist()) == (3, [0, 2])
    again = layer.fit_transform([(None, e.numpy(), v.numpy()) for _, e, v in graphs])
    assert torch.equal(again.births, d.births)
    with pytest.raises(InputError, match=r"x\[1\] has values of vertices; expected the same as x\[0\]"):
        layer([graphs[0], (torch.zeros(4), CYCLE, torch.ones(4))])


def test_isolated_vertices_empty_graphs_and_no_edges_are_values():
    none = torch.zeros(2, 0, dtype=torch.int64)
    d = graph_persistence(torch.tensor([1.0, 2.0]), none, batch=torch.tensor([0, 2]))
    assert (d.counts[:, 0].tolist(), d.births.tolist()) == ([1, 0, 1], [1.0, 2.0])
    assert len(graph_persistence(torch.zeros(0), none, batch=torch.zeros(0, dtype=torch.int64))) == 0
    assert len(graph_persistence(torch.zeros(0, 4), none, n_graphs=3)) == 12
    assert graph_persistence(torch.zeros(2), none, extended=True).n_bars == 0


def test_threads_change_nothing():
    generator = torch.Generator().manual_seed(1)
    x, edges = torch.rand(50, 6, generator=generator), torch.randint(0, 50, (2, 200), generator=generator)
    before, results = topodl.get_num_threads(), []
    try:
        for n in (1, 8):
            topodl.set_num_threads(n)
            results.append(graph_persistence(x, edges, extended=True))
    finally:
        topodl.set_num_threads(before)
    for name in ("births", "deaths", "samples", "birth_cells", "death_cells"):
        assert torch.equal(getattr(results[0], name), getattr(results[1], name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertex_values": torch.tensor([0.0, math.nan, 0, 0])}, "NaN at vertex 1 of graph 0"),
        ({"vertex_values": torch.zeros(4, 1, 1)}, r"vertex_values has shape \(4, 1, 1\)"),
        ({"edge_index": torch.zeros(3, 2, dtype=torch.int64)}, r"edge_index has shape \(3, 2\)"),
        ({"edge_index": torch.tensor([[0], [4]])}, "edge_index has 0 … 4"),
        ({"edge_values": torch.zeros(3)}, "edge_values has 3 rows"),
        ({"edge_values": torch.zeros(4, 2)}, r"edge_values has shape \(4, 2\)"),
        ({"edge_values": torch.tensor([1.0, -1, 1, 1])}, "has -1.0 at edge 1"),
        ({"edge_values": torch.tensor([1.0, math.nan, 1, 1])}, "NaN at edge 1 of graph 0"),
        ({"edge_values": torch.ones(4), "extended": True}, "None with extended=True"),
        ({"batch": torch.tensor([0, 0, 1, 1])}, "from graph 0 to graph 1"),
        ({"batch": torch.tensor([0, 0, 0])}, r"batch has shape \(3,\)"),
        ({"batch": torch.tensor([-1, -1, -1, -1])}, "batch has -1"),
        ({"batch": torch.tensor([1, 1, 1, 1]), "n_graphs": 1}, "has 1 … 1; expected .* below n_graphs = 1"),
        ({"vertex_values": torch.zeros(4, 0)}, r"vertex_values has shape \(4, 0\)"),
        ({"n_graphs": -1}, "n_graphs is -1"),
        ({"vertex_values": None}, "vertex_values is None and edge_values too"),
        (
            {"vertex_values": None, "edge_values": torch.tensor([1.0, math.nan, 1, 1])},
            r"edge_values\[1\] has NaN",
        ),
        (
            {"vertex_values": None, "edge_values": torch.ones(4), "batch": torch.tensor([0, 0, 0])},
            "has 0 … 3",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"vertex_values": torch.zeros(4), "edge_index": CYCLE, **change}
    with pytest.raises(InputError, match=message):
        graph_persistence(**arguments)


def test_wrong_types_are_type_errors():
    with pytest.raises(TypeError, match="vertex_values is a list"):
        graph_persistence([0.0], CYCLE)
    with pytest.raises(TypeError, match=r"edge_index has dtype torch\.float32"):
        graph_persistence(torch.zeros(4), CYCLE.float())
    with pytest.raises(InputError, match="extended_parts: diagrams"):
        extended_parts(graph_persistence(torch.zeros(4), CYCLE))


@pytest.mark.usefixtures("dynamic_shapes")
def test_the_operator_traces_as_one_graph():
    from topodl.persistence.graph import _graph_bars

    x = torch.rand(4, 2, generator=torch.Generator().manual_seed(2))
    torch.library.opcheck(_graph_bars.op, (x, CYCLE, None, None, True, 1))

    @torch.compile(fullgraph=True, backend="eager")
    def total(values):
        d = graph_persistence(values, CYCLE, extended=True)
        return (d.deaths - d.births).abs().sum()

    for seed in range(2):
        y = torch.rand(4, 2, generator=torch.Generator().manual_seed(seed), requires_grad=True)
        total(y).backward()
        assert y.grad.abs().sum() > 0
