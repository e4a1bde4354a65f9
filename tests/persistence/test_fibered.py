import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.multiparameter import bars_on_line, flag_filtration, king_graph_cliques, lower_star
from topodl import InputError, cubical_persistence, fibered_persistence, graph_persistence, rips_persistence
from topodl.complexes import clique_complexes

FOLDER = "golden/multiparameter"
EDGES = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])


def bars_of(d, places=9):
    columns = (d.dims.tolist(), d.births.tolist(), d.deaths.tolist())
    return sorted((k, round(b, places), round(e, places)) for k, b, e in zip(*columns, strict=True))


def rounded(bars):
    return sorted((k, round(b, 9), round(e, 9)) for k, b, e in bars)


def drawn(shape, seed=0, ties=False):
    generator = torch.Generator().manual_seed(seed)
    if ties:
        return torch.randint(0, 4, shape, generator=generator).double()
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def drawn_lines(n=3, seed=0):
    base, direction = drawn((2, n, 2), seed + 1000)
    return base - 0.5, direction + 0.25


def check_golden_bars(d, bars):
    """Bars (line, dimension, birth, death) as multisets, up to rounding."""
    found = np.stack([x.double().numpy() for x in (d.samples, d.dims, d.births, d.deaths)], 1)
    found = found[np.isin(found[:, 1], (0, 1))]
    assert len(found) == len(bars)
    rows = [table[np.lexsort(np.round(table, 7).T[::-1])] for table in (found, bars)]
    np.testing.assert_allclose(*rows, atol=1e-9)


def golden(shared, pattern):
    for path in sorted((shared / FOLDER).glob(pattern)):
        with np.load(path) as file:
            yield {name: torch.from_numpy(file[name]) for name in file.files}


def test_golden_lines_of_graphs(shared):
    for arrays in golden(shared, "graph_*.npz"):
        lines = arrays["line_base"], arrays["line_direction"]
        d = fibered_persistence(
            arrays["vertex_values"], lines, edge_index=arrays["edges"].T, edge_values=arrays["edge_values"]
        )
        check_golden_bars(d, arrays["line_bars"].numpy())


@pytest.mark.parametrize("construction", ["vertex", "cell"])
def test_golden_lines_of_images(shared, construction):
    for arrays in golden(shared, "image_*.npz"):
        lines = arrays[f"{construction}_line_base"], arrays[f"{construction}_line_direction"]
        d = fibered_persistence(arrays["image"][None], lines, construction=construction)
        check_golden_bars(d, arrays[f"{construction}_line_bars"].numpy())


def test_golden_lines_of_clouds(shared):
    for arrays in golden(shared, "rips_*.npz"):
        lines = arrays["line_base"], arrays["line_direction"]
        d = fibered_persistence(arrays["points"][None], lines, function=arrays["function"][None])
        check_golden_bars(d, arrays["line_bars"].numpy())


@given(st.integers(1, 6), st.integers(0, 999), st.booleans())
def test_graphs_equal_the_slow_twin(n, seed, ties):
    values = drawn((n, 2), seed, ties)
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, n, (2, 9), generator=generator)
    simplices = [(v,) for v in range(n)] + sorted(
        {(min(e), max(e)) for e in edges.T.tolist() if e[0] != e[1]}
    )
    cells = lower_star(values.tolist(), simplices)
    lines = drawn_lines(3, seed)
    d = fibered_persistence(values, lines, edge_index=edges)
    for i, line in enumerate(zip(*(part.tolist() for part in lines), strict=True)):
        assert bars_of(d[i]) == rounded(bars_on_line(cells, *line, top=1))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 999), st.sampled_from(["ties", "holes", "plain"]))
def test_images_in_the_cell_construction_are_unions_of_pixels(height, width, seed, kind):
    image = drawn((2, height, width), seed, kind == "ties")
    if kind == "holes":
        image[drawn(image.shape, seed + 1) < 0.2] = math.inf
    cells = lower_star(image.flatten(1).T.tolist(), king_graph_cliques(height, width))
    lines = drawn_lines(2, seed)
    d = fibered_persistence(image[None], lines, construction="cell")
    for i, line in enumerate(zip(*(part.tolist() for part in lines), strict=True)):
        assert bars_of(d[i]) == rounded(bars_on_line(cells, *line, top=1))


@given(st.integers(1, 6), st.integers(0, 999), st.sampled_from(["ties", "absent", "plain"]))
def test_clouds_equal_the_slow_twin(n, seed, kind):
    points, function = drawn((n, 2), seed, kind == "ties"), drawn((n,), seed + 1, kind == "ties")
    if kind == "absent":
        function[drawn((n,), seed + 2) < 0.3] = math.inf
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    cells = flag_filtration(distances.numpy(), function.tolist())
    lines = drawn_lines(2, seed)
    d = fibered_persistence(points[None], lines, function=function[None])
    matrices = fibered_persistence(distances[None], lines, function=function[None], metric="precomputed")
    for i, line in enumerate(zip(*(part.tolist() for part in lines), strict=True)):
        expected = rounded(bars_on_line(cells, *line, top=1))
        assert bars_of(d[i]) == bars_of(matrices[i]) == expected


@given(st.integers(1, 6), st.integers(0, 999))
def test_complexes_equal_graphs_and_the_slow_twin(n, seed):
    values = drawn((n, 2), seed)
    edges = torch.combinations(torch.arange(n)).T
    edges = edges[:, drawn((edges.shape[1],), seed) < 0.7]
    complexes = clique_complexes(edges, n_vertices=n).with_values(values)
    simplices = [(v,) for v in range(n)] + [tuple(e) for e in edges.T.tolist()]
    lines = drawn_lines(2, seed)
    d = fibered_persistence(complexes, lines, dims=0)
    cells = lower_star(values.tolist(), simplices)
    for i, line in enumerate(zip(*(part.tolist() for part in lines), strict=True)):
        assert bars_of(d[i]) == [bar for bar in rounded(bars_on_line(cells, *line, top=1)) if bar[0] == 0]


@given(st.integers(0, 999), st.sampled_from(["vertex", "cell"]))
def test_equal_channels_on_the_diagonal_are_ordinary_persistence(seed, construction):
    line = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    image = drawn((2, 5, 4), seed)
    d = fibered_persistence(image[:, None].expand(2, 2, 5, 4), line, construction=construction)
    assert bars_of(d) == bars_of(cubical_persistence(image, construction=construction))
    values = drawn((4,), seed)
    d = fibered_persistence(values[:, None].expand(4, 2), line, edge_index=EDGES)
    assert bars_of(d) == bars_of(graph_persistence(values, EDGES))
    points = drawn((1, 7, 2), seed)
    d = fibered_persistence(points, line, function=torch.full((1, 7), -9.0, dtype=torch.float64))
    assert bars_of(d) == bars_of(rips_persistence(points))


def test_a_line_by_hand():
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0], [3.0, 2.0]])
    lines = torch.tensor([[-1.0, 1.0]]), torch.tensor([[2.0, 1.0]])
    d = fibered_persistence(values, lines, edge_index=torch.tensor([[0, 1], [2, 2]]))
    # λ = (f0 + 1) / 2 or f1 − 1: 0.5, 1, 2
    assert bars_of(d) == [(0, 0.5, math.inf), (0, 1.0, 2.0)]
    assert d.death_cells.tolist() == [[1, 2], [-1, -1]]


def test_volumes_and_more_parameters():
    volume = drawn((2, 3, 3, 4, 2))
    lines = drawn((2, 3)) - 0.5, drawn((2, 3), 1) + 0.5
    d = fibered_persistence(volume, lines)
    assert (len(d), d.homology_dims) == (4, (0, 1, 2))
    for b, i in itertools.product(range(2), range(2)):
        level = ((volume[b] - lines[0][i, :, None, None, None]) / lines[1][i, :, None, None, None]).amax(0)
        assert bars_of(d[2 * b + i]) == bars_of(cubical_persistence(level[None]))


@given(st.integers(0, 999))
def test_a_batch_is_each_sample_alone(seed):
    lines = drawn_lines(3, seed)
    clouds, functions = [drawn((n, 2), seed + n) for n in (1, 5, 3)], [drawn((n,), seed) for n in (1, 5, 3)]
    d = fibered_persistence(clouds, lines, function=functions)
    assert len(d) == 9
    for b, (cloud, function) in enumerate(zip(clouds, functions, strict=True)):
        alone = fibered_persistence(cloud[None], lines, function=function[None])
        assert bars_of(d[3 * b : 3 * b + 3]) == bars_of(alone)
        assert torch.equal(d[3 * b : 3 * b + 3].birth_cells, alone.birth_cells)
    values = drawn((9, 2), seed)
    batch = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0])
    own = [2 * EDGES, 2 * EDGES[:, :3] + 1]
    d = fibered_persistence(values, lines, edge_index=torch.cat(own, 1), batch=batch)
    for b in (0, 1):
        edges = own[b] // 2
        alone = fibered_persistence(values[b::2], lines, edge_index=edges)
        assert bars_of(d[3 * b : 3 * b + 3]) == bars_of(alone)


def test_clouds_are_paired_in_groups(monkeypatch):
    lines, points, function = drawn_lines(2), drawn((5, 6, 2)), drawn((5, 6), 1)
    expected = fibered_persistence(points, lines, function=function)
    monkeypatch.setattr("topodl.persistence._fibered_clouds._MOST_ENTRIES", 150)
    found = fibered_persistence(points, lines, function=function)
    assert bars_of(found) == bars_of(expected)
    assert torch.equal(found.samples, expected.samples)


def test_longer_edges_never_enter():
    points = torch.tensor([[[0.0], [1.0], [5.0]]])
    lines = torch.zeros(1, 2), torch.ones(1, 2)
    d = fibered_persistence(points, lines, function=torch.zeros(1, 3), max_edge_length=2.0)
    assert bars_of(d) == [(0, 0.0, 1.0), (0, 0.0, math.inf), (0, 0.0, math.inf)]


def ends(d):
    return torch.cat((d.births, d.finite().deaths))


def check_gradients(function, *inputs):
    inputs = [x.clone().requires_grad_() for x in inputs]
    torch.autograd.gradcheck(function, inputs)
    torch.autograd.gradgradcheck(function, inputs)


def test_gradients_reach_images_and_lines():
    for construction in ("vertex", "cell"):

        def bars(x, base, direction, construction=construction):
            return ends(fibered_persistence(x, (base, direction), construction=construction))

        check_gradients(bars, drawn((1, 2, 3, 4)), *drawn_lines(2))


def test_gradients_reach_graphs_clouds_and_complexes():
    values, heights = drawn((4, 2)), drawn((5, 2), 1) + 1.0
    check_gradients(
        lambda v, e, base, direction: ends(
            fibered_persistence(v, (base, direction), edge_index=EDGES, edge_values=e)
        ),
        *(values, heights, *drawn_lines(2)),
    )
    check_gradients(
        lambda x, f, base, direction: ends(fibered_persistence(x, (base, direction), function=f)),
        *(drawn((1, 6, 2)), drawn((1, 6), 1), *drawn_lines(2)),
    )
    complexes = clique_complexes(EDGES)
    check_gradients(
        lambda v, base, direction: ends(fibered_persistence(complexes.with_values(v), (base, direction))),
        *(values, *drawn_lines(2)),
    )


def test_gradients_of_distances_are_those_of_the_upper_triangle():
    points = drawn((1, 5, 2))
    distances = torch.cdist(points, points).requires_grad_()
    d = fibered_persistence(distances, drawn_lines(2), function=drawn((1, 5), 1), metric="precomputed")
    ends(d).sum().backward()
    assert torch.isfinite(distances.grad).all()
    assert distances.grad.triu(1).abs().sum() > 0


def test_infinities_leave_the_gradients_finite():
    image = drawn((1, 2, 3, 3))
    image[0, 0, 1, 1], image[0, 1, 0, 0] = math.inf, -math.inf
    image.requires_grad_()
    base, direction = (part.clone().requires_grad_() for part in drawn_lines(2))
    d = fibered_persistence(image, (base, direction)).finite()
    ends(d).sum().backward()
    for x in (image, base, direction):
        assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_are_kept(dtype):
    lines = torch.zeros(2, 2), torch.ones(2, 2)
    image, points = drawn((1, 2, 4, 4)).to(dtype), drawn((1, 5, 2)).to(dtype)
    assert fibered_persistence(image, lines).dtype == dtype
    assert fibered_persistence(points, lines, function=points[..., 0]).dtype == dtype
    assert fibered_persistence(points[0, :4], lines, edge_index=EDGES).dtype == dtype


def test_nothing_is_a_value():
    lines = torch.zeros(2, 2), torch.ones(2, 2)
    assert len(fibered_persistence(torch.zeros(0, 2, 3, 3), lines)) == 0
    assert len(fibered_persistence([], lines, function=[])) == 0
    none = torch.zeros(2, 0, dtype=torch.int64)
    d = fibered_persistence(torch.zeros(0, 2), lines, edge_index=none, n_graphs=3)
    assert (len(d), d.n_bars) == (6, 0)
    never = torch.full((1, 2, 2, 2), math.inf)
    assert fibered_persistence(never, lines).n_bars == 0
    alone = fibered_persistence(torch.zeros(2, 2), lines, dims=1, edge_index=none)
    assert (alone.n_bars, alone.homology_dims) == (0, (1,))


IMAGE, LINES = torch.zeros(1, 2, 3, 3), (torch.zeros(1, 2), torch.ones(1, 2))
CLOUD, FUNCTION = torch.zeros(1, 3, 2), torch.zeros(1, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fibered_persistence(IMAGE[0], LINES), r"x has shape \(2, 3, 3\); expected images"),
        (lambda: fibered_persistence(IMAGE * math.nan, LINES), r"x\[0\] has NaN"),
        (lambda: fibered_persistence(IMAGE, LINES[0]), "lines is a Tensor; expected a pair"),
        (lambda: fibered_persistence(IMAGE, (LINES[0], LINES[1][:, :1])), r"lines\[1\] has shape \(1, 1\)"),
        (lambda: fibered_persistence(IMAGE[:, :1], LINES), r"lines\[0\] has shape \(1, 2\)"),
        (lambda: fibered_persistence(IMAGE, LINES[:1] * 2), r"lines\[1\] has a value that is not positive"),
        (lambda: fibered_persistence(IMAGE, (LINES[0], LINES[1] * 1e-30)), r"lines\[1\] has a value below"),
        (lambda: fibered_persistence(IMAGE, (LINES[0] / 0, LINES[1])), r"lines\[0\] has a value that is not"),
        (lambda: fibered_persistence(IMAGE, LINES, dims=2), "dims has 2"),
        (lambda: fibered_persistence(IMAGE, LINES, batch=FUNCTION), "edge_index is None"),
        (lambda: fibered_persistence(CLOUD, LINES, function=FUNCTION, edge_index=EDGES), "not both"),
        (lambda: fibered_persistence(CLOUD, LINES, function=FUNCTION[0]), r"function has shape \(3,\)"),
        (lambda: fibered_persistence([CLOUD[0]], LINES, function=[FUNCTION]), "function has shapes"),
        (lambda: fibered_persistence(CLOUD, LINES, function=FUNCTION * math.nan), r"function\[0\] has NaN"),
        (lambda: fibered_persistence(CLOUD, LINES, function=FUNCTION - math.inf), r"function\[0\] has -inf"),
        (lambda: fibered_persistence(CLOUD / 0, LINES, function=FUNCTION), r"x\[0\] has NaN"),
        (lambda: fibered_persistence(torch.zeros(4), LINES, edge_index=EDGES), r"x has shape \(4,\)"),
        (
            lambda: fibered_persistence(
                torch.zeros(4, 2), LINES, edge_index=EDGES, edge_values=torch.zeros(5, 3)
            ),
            r"edge_values has shape \(5, 3\)",
        ),
        (lambda: fibered_persistence(clique_complexes(EDGES), LINES), "have not several values a cell"),
        (lambda: fibered_persistence(clique_complexes(EDGES), LINES, edge_index=EDGES), "are complexes"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
