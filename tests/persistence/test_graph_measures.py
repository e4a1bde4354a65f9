import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tests.naive.multiparameter import grids_of, lower_star, measure_of, surface
from tests.strategies import shuffled
from topodl import InputError, SignedMeasures, graph_persistence, graph_signed_measure

GOLDEN = ["complete", "edge_values", "path_constant", "random"]


@st.composite
def graphs(draw, max_vertices=6):
    """Two values for each vertex, of few (ties) or many, and edges with loops and copies both ways."""
    n = draw(st.integers(1, max_vertices))
    value = draw(st.sampled_from([st.integers(0, 2).map(float), st.floats(-5, 5).map(lambda v: round(v, 3))]))
    values = draw(st.lists(st.tuples(value, value), min_size=n, max_size=n))
    vertex = st.integers(0, n - 1)
    return values, draw(st.lists(st.tuples(vertex, vertex), max_size=14))


def tensors(values, edges):
    x = torch.tensor(values, dtype=torch.float64).reshape(-1, 2)
    return x, torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T


def simplices(values, edges):
    return [(v,) for v in range(len(values))] + sorted({(min(e), max(e)) for e in edges if e[0] != e[1]})


def points_of(m):
    """Return the points of merged measures with their weights."""
    m = m.merged()
    return [(tuple(p), w) for p, w in zip(m.points.tolist(), m.weights.tolist(), strict=True)]


def check_cells(m, values):
    """Each coordinate is the value of its cell."""
    for c in (0, 1):
        for cell, point in zip(m.cells[:, c].tolist(), m.points[:, c].tolist(), strict=True):
            assert point == max(values[v][c] for v in cell if v >= 0)


@given(graphs())
def test_measures_equal_ranks_of_every_sublevel_set(graph):
    values, edges = graph
    m = graph_signed_measure(*tensors(values, edges))
    cells = lower_star(values, simplices(values, edges))
    grids = grids_of(cells)
    for k in (0, 1):
        expected = surface(cells, *grids, k)
        assert points_of(m.dim(k)) == measure_of(expected, *grids)
        found = m.dim(k).surface(*(torch.tensor(g, dtype=torch.float64) for g in grids))
        np.testing.assert_array_equal(found[0, 0].numpy(), expected)
    check_cells(m, values)


@given(st.integers(2, 30), st.integers(0, 120), st.integers(1, 3), st.booleans(), st.integers(0, 10**6))
def test_measures_of_larger_graphs_count_components_and_cycles(n, n_edges, n_graphs, ties, seed):
    random = np.random.default_rng(seed)
    values = random.integers(0, 5, (n, 2)).astype(float) if ties else random.random((n, 2))
    graph_of = random.integers(0, n_graphs, n)
    pairs = random.integers(0, n, (2, n_edges))
    pairs = pairs[:, graph_of[pairs[0]] == graph_of[pairs[1]]]
    heights = values[pairs].max(0) + (random.integers(0, 2, (pairs.shape[1], 1)) if n_edges % 2 else 0.0)
    pairs, kept = np.unique(np.sort(pairs, axis=0), axis=1, return_index=True)
    x, batch = torch.from_numpy(values), torch.from_numpy(graph_of)
    index, weights = torch.from_numpy(pairs), torch.from_numpy(heights[kept])
    m = graph_signed_measure(x, index, weights, batch, n_graphs)
    for s, t in random.choice(values, 4):
        there = (values <= (s, t)).all(1)
        links = pairs[:, (weights.numpy() <= (s, t)).all(1) & (pairs[0] != pairs[1])]
        matrix = coo_array((np.ones(links.shape[1]), links), (n, n))
        label = connected_components(matrix, directed=False)[1]
        at = m.surface(torch.tensor([s]), torch.tensor([t]))[:, :, 0, 0].tolist()
        for g in range(n_graphs):
            own = there & (graph_of == g)
            components = len(np.unique(label[own]))
            cycles = components - own.sum() + (graph_of[links[0]] == g).sum()
            assert at[g] == [components, cycles]


@given(graphs(), st.integers(0, 10**6))
def test_edges_of_their_own_values_equal_ranks_too(graph, seed):
    values, edges = graph
    x, index = tensors(values, edges)
    delay = torch.randint(0, 3, (index.shape[1], 2), generator=torch.Generator().manual_seed(seed))
    heights = x[index].amax(0) + delay
    last, cells = {}, lower_star(values, [(v,) for v in range(len(values))])
    for e, edge in enumerate(edges):
        pair = (min(edge), max(edge))
        last[pair] = torch.maximum(last[pair], heights[e]) if pair in last else heights[e]
    for e, edge in enumerate(edges):  # copies of one edge are alike
        heights[e] = last[min(edge), max(edge)]
    cells |= {pair: tuple(value.tolist()) for pair, value in last.items() if pair[0] != pair[1]}
    m = graph_signed_measure(x, index, heights)
    grids = grids_of(cells)
    for k in (0, 1):
        assert points_of(m.dim(k)) == measure_of(surface(cells, *grids, k), *grids)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_measures(shared, name):
    with np.load(shared / "golden" / "multiparameter" / f"graph_{name}.npz") as golden:
        arrays = {key: torch.from_numpy(golden[key]) for key in golden.files}
    m = graph_signed_measure(arrays["vertex_values"], arrays["edges"].T, arrays["edge_values"])
    for k in (0, 1):
        merged = m.dim(k).merged()
        torch.testing.assert_close(merged.points, arrays[f"hilbert{k}_points"], atol=1e-9, rtol=0)
        assert torch.equal(merged.weights, arrays[f"hilbert{k}_weights"])
        found = m.dim(k).surface(arrays["grid0"], arrays["grid1"])[0, 0]
        assert torch.equal(found.long(), arrays[f"hilbert{k}"])


def test_a_path_by_hand():
    # the ends come first in one parameter each, the middle last in both
    values = torch.tensor([[0.0, 2.0], [3.0, 3.0], [2.0, 0.0]])
    m = graph_signed_measure(values, torch.tensor([[0, 1], [1, 2]]), dims=0)
    assert points_of(m) == [((0.0, 2.0), 1), ((2.0, 0.0), 1), ((3.0, 3.0), -1)]
    assert m.cells.tolist() == [
        [[0, -1], [0, -1]],
        [[1, -1], [1, -1]],
        [[2, -1], [2, -1]],
        [[0, 1], [0, 1]],
        [[1, 2], [1, 2]],
    ]


def test_a_cycle_by_hand_has_its_exchanges():
    # at level 1 the triangle closes by an edge that is earlier in the second parameter than another
    values = torch.zeros(3, 2)
    edges = torch.tensor([[0, 1, 0], [1, 2, 2]])
    heights = torch.tensor([[0.0, 5.0], [0.0, 1.0], [1.0, 2.0]])
    m = graph_signed_measure(values, edges, heights)
    assert points_of(m.dim(1)) == [((1.0, 5.0), 1)]
    assert m.dim(1).cells.tolist() == [[[0, 2], [0, 1]]]
    assert points_of(m.dim(0)) == [
        ((0.0, 0.0), 3),
        ((0.0, 1.0), -1),
        ((0.0, 5.0), -1),
        ((1.0, 2.0), -1),
        ((1.0, 5.0), 1),
    ]


@given(st.lists(graphs(5), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_shuffled_batch_is_each_graph_alone(batch_of, random):
    values, edges, batch = shuffled(batch_of, random)
    together = graph_signed_measure(*tensors(values, edges), batch=batch)
    assert len(together) == len(batch_of)
    for one, graph in zip(together, batch_of, strict=True):
        alone = graph_signed_measure(*tensors(*graph))
        for k in (0, 1):
            assert points_of(one.dim(k)) == points_of(alone.dim(k))


@given(graphs())
def test_swapping_the_parameters_swaps_the_coordinates(graph):
    x, index = tensors(*graph)
    m, swapped = graph_signed_measure(x, index), graph_signed_measure(x.flip(1), index)
    for k in (0, 1):
        mirrored = m.dim(k)._with(points=m.dim(k).points.flip(1))
        assert points_of(mirrored) == points_of(swapped.dim(k))


@given(graphs())
def test_equal_parameters_leave_one_and_moving_a_parameter_moves_points_alone(graph):
    x, index = tensors(*graph)
    same = graph_signed_measure(x[:, :1].expand(-1, 2), index)
    d = graph_persistence(x[:, 0], index)
    assert torch.equal(same.total_mass()[0], torch.stack([d.dim(k).essential().counts[0, 0] for k in (0, 1)]))
    grid = x[:, 0].unique()
    diagonal = same.surface(grid, grid)[0].diagonal(dim1=1, dim2=2)
    betti = [[((d.dim(k).births <= t) & (d.dim(k).deaths > t)).sum() for t in grid] for k in (0, 1)]
    assert torch.equal(diagonal, torch.tensor(betti).double())
    m, moved = graph_signed_measure(x, index), graph_signed_measure(torch.exp(x) + 1, index)
    for k in (0, 1):
        shifted = m.dim(k)._with(points=torch.exp(m.dim(k).points) + 1)
        assert points_of(shifted) == points_of(moved.dim(k))


def test_gradients_of_first_and_second_order():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(9, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    edges = torch.randint(0, 9, (2, 15), generator=generator)
    edges = edges[:, edges[0] < edges[1]].unique(dim=1)

    def functional(values):
        m = graph_signed_measure(values, edges)
        return (m.weights[:, None] * m.points**3).sum(0) * (m.dims + 1).sum()

    torch.autograd.gradcheck(functional, x)
    torch.autograd.gradgradcheck(functional, x)
    heights = (x[edges].amax(0) + 0.1 * torch.rand(edges.shape[1], 2, generator=generator)).detach()

    def of_edges(heights):
        return (graph_signed_measure(x.detach(), edges, heights).points ** 3).sum(0)

    torch.autograd.gradcheck(of_edges, heights.requires_grad_())


def test_what_is_infinite_is_never_present():
    values = torch.tensor([[0.0, 0.0], [1.0, math.inf], [-math.inf, 2.0], [0.5, 0.5]])
    m = graph_signed_measure(values, torch.tensor([[0, 1, 0], [1, 2, 3]]))
    assert points_of(m) == [((-math.inf, 2.0), 1), ((0.0, 0.0), 1)]
    heights = torch.tensor([[math.inf, math.inf], [math.inf, math.inf], [0.5, math.inf]])
    m = graph_signed_measure(values, torch.tensor([[0, 1, 0], [1, 2, 3]]), heights)
    assert m.total_mass().tolist() == [[3, 0]]


def test_of_copies_the_least_counts_and_there_must_be_one():
    values, twice = torch.zeros(2, 2), torch.tensor([[0, 1], [1, 0]])
    heights = torch.tensor([[2.0, 3.0], [1.0, 3.0]], requires_grad=True)
    m = graph_signed_measure(values, twice, heights, dims=0)
    assert points_of(m) == [((0.0, 0.0), 2), ((1.0, 3.0), -1)]
    (m.points * m.weights[:, None]).sum().backward()
    assert heights.grad.tolist() == [[0.0, 0.0], [-1.0, -1.0]]
    with pytest.raises(
        InputError, match=r"edge_values has \[2.0, 1.0\] and \[1.0, 3.0\] for edges 0 and 1|for edges"
    ):
        graph_signed_measure(values, twice, torch.tensor([[2.0, 1.0], [1.0, 3.0]]))


def test_dimensions_above_have_nothing_and_no_vertices_are_a_value():
    none = torch.zeros(2, 0, dtype=torch.int64)
    m = graph_signed_measure(torch.zeros(2, 2), none, batch=torch.tensor([0, 2]), dims=(0, 1, 5))
    assert (m.homology_dims, m.counts.tolist()) == ((0, 1, 5), [[1, 0, 0], [0, 0, 0], [1, 0, 0]])
    x = torch.zeros(0, 2, requires_grad=True)
    m = graph_signed_measure(x, none, n_graphs=2)
    assert isinstance(m, SignedMeasures)
    assert len(m) == 2
    m.surface(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]), width=1).sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_ordered_in_single(dtype):
    g = torch.Generator().manual_seed(3)
    x, edges = torch.randint(0, 5, (9, 2), generator=g), torch.randint(0, 9, (2, 14), generator=g)
    m = graph_signed_measure(x.to(dtype), edges)
    assert m.dtype == dtype
    assert points_of(m) == points_of(graph_signed_measure(x.double(), edges))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertex_values": torch.tensor([[0.0, 0], [math.nan, 0], [0, 0]])}, "NaN at vertex 1 of graph 0"),
        ({"vertex_values": torch.zeros(3)}, r"vertex_values has shape \(3,\); expected two values"),
        ({"vertex_values": torch.zeros(3, 3)}, r"vertex_values has shape \(3, 3\)"),
        ({"edge_values": torch.zeros(2)}, r"edge_values has shape \(2,\)"),
        ({"edge_values": -torch.ones(2, 2)}, "has -1.0 at edge 0, less than an end point's value"),
        ({"edge_index": torch.tensor([[0], [7]])}, "edge_index has 0 … 7"),
        ({"batch": torch.tensor([0, 1, 1])}, "from graph 0 to graph 1"),
        ({"n_graphs": -1}, "n_graphs is -1"),
        ({"dims": ()}, "dims is empty"),
        ({"dims": -1}, "dims has -1"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"vertex_values": torch.zeros(3, 2), "edge_index": torch.tensor([[0, 1], [1, 2]]), **change}
    with pytest.raises(InputError, match=f"graph_signed_measure: .*{message}"):
        graph_signed_measure(**arguments)


@pytest.mark.usefixtures("dynamic_shapes")
def test_the_operator_traces_as_one_graph():
    from topodl.persistence.graph_measures import _graph_measures

    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    x = torch.rand(4, 2, generator=torch.Generator().manual_seed(2))
    torch.library.opcheck(_graph_measures.op, (x, edges, None, None, 1, [0, 1]))
    torch.library.opcheck(_graph_measures.op, (x, edges, None, None, 1, [-1]))
    grid = torch.tensor([0.0, 0.5, 1.0])

    @torch.compile(fullgraph=True, backend="eager")
    def image(values):
        return graph_signed_measure(values, edges).surface(grid, grid, 1.0)

    for seed in range(2):
        y = torch.rand(4, 2, generator=torch.Generator().manual_seed(seed), requires_grad=True)
        image(y).sum().backward()
        assert y.grad.abs().sum() > 0
        torch.testing.assert_close(image(y), graph_signed_measure(y, edges).surface(grid, grid, 1.0))
